//! The transport's thread: encodes, sends, waits, tries again.
//!
//! One thread with a current-thread runtime owns everything, so there is no lock and no shared
//! state but the channel into it. Encoding a batch there takes about a millisecond; meanwhile the
//! kernel's socket buffers go on.
//!
//! ```text
//! export ─> backlog ─> gather (logs, spans) ─> waiting ─> attempts under way ─> acks
//!                      metrics ───────────────────┘  ^────── again, after a wait ─┘
//! ```
//!
//! # Invariants
//!
//! - At most [`WAITING_BYTES_MAX`] are encoded and wait; further batches stay what they are: the
//!   pipeline's queue holds them anyway until their acks, and bounds them in bytes.
//! - A lane whose peer fails has one request under way, and one wait that all its requests share:
//!   an outage costs a handful of attempts a minute, however much is waiting.
//! - A request is given up when its next attempt could only begin after its time, and no wait but
//!   one that the peer asked for puts off an attempt in the last tenth of it; one that was never
//!   tried is not given up, unless it holds up a signal whose peer is well.
//! - After the deadline of the shutdown nothing is left: every ack is finished, the thread ends.

use crate::answer::Answer;
use crate::config::{Config, Lane};
use crate::diagnostics::{diagnose, mark_own_thread};
use crate::encode::{envelope, metrics};
use crate::gather::Gather;
use crate::retry::{self, Random};
use crate::tally::{Parts, Tally};
use crate::transport::Transport;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::io;
use std::panic::catch_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use telemetry_core::batch::Batch;
use telemetry_core::export::{Ack, Outcome};
use telemetry_core::ledger::{Cause, Units};
use telemetry_core::metric::Snapshot;
use telemetry_core::record::Kind;
use telemetry_core::resource::Resource;
use telemetry_core::{Level, clock};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};

/// No request is larger, before compression (OTLP specification: 64 MiB).
const REQUEST_BYTES_MAX: usize = 64 * 1024 * 1024;
/// While this much is encoded and waits, no more is encoded.
const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How much longer than its deadline a shutdown waits for the thread to say that it has ended.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(200);

/// What the thread is told, in this order.
enum Message {
    Work(Work),
    Shutdown(Instant, blocking::SyncSender<()>),
}

enum Work {
    Batch(Batch, Ack),
    Metrics(Arc<Snapshot>, Ack),
    Flush(Flush),
}

/// Somebody who waits for everything that came before.
struct Flush {
    deadline: Instant,
    done: blocking::SyncSender<()>,
}

/// The way to the transport's thread.
#[derive(Debug)]
pub(crate) struct Handle {
    inbox: mpsc::UnboundedSender<Message>,
    thread: JoinHandle<()>,
}

impl Handle {
    /// Has the thread ended by a panic?
    pub(crate) fn is_gone(&self) -> bool {
        self.thread.is_finished()
    }

    pub(crate) fn export(&self, batch: Batch, ack: Ack) {
        // A thread that is gone drops the ack with the message, which counts it as lost.
        let _ = self.inbox.send(Message::Work(Work::Batch(batch, ack)));
    }

    pub(crate) fn metrics(&self, snapshot: Arc<Snapshot>, ack: Ack) {
        let _ = self.inbox.send(Message::Work(Work::Metrics(snapshot, ack)));
    }

    /// Sends everything now, and waits for the answers: until the deadline, or until nothing is
    /// left that could be tried before it.
    pub(crate) fn flush(&self, deadline: Instant) {
        let (done, wait) = blocking::sync_channel(1);
        if self.inbox.send(Message::Work(Work::Flush(Flush { deadline, done }))).is_ok() {
            let _ = wait.recv_timeout(deadline.saturating_duration_since(clock::now()));
        }
    }

    /// Sends what it can until the deadline, and ends the thread.
    pub(crate) fn shutdown(self, deadline: Instant) {
        let (done, wait) = blocking::sync_channel(1);
        let left = deadline.saturating_duration_since(clock::now()) + SHUTDOWN_GRACE;
        let is_told = self.inbox.send(Message::Shutdown(deadline, done)).is_ok();
        if !is_told || wait.recv_timeout(left).is_ok() {
            // It is at its last lines, or has panicked.
            let _ = self.thread.join();
        }
    }
}

/// Starts the thread.
pub(crate) fn start(config: Arc<Config>, resource: &Resource) -> io::Result<Handle> {
    let (inbox, messages) = mpsc::unbounded_channel();
    let resource = envelope::resource(resource);
    let runtime = runtime()?;
    let thread =
        std::thread::Builder::new().name("telemetry-otlp".to_owned()).spawn(move || {
            mark_own_thread();
            runtime.block_on(async {
                Worker::new(config, resource, messages).run().await;
            });
            // A name lookup that hangs must not hold up the shutdown.
            runtime.shutdown_background();
        })?;
    Ok(Handle { inbox, thread })
}

fn runtime() -> io::Result<Runtime> {
    let build = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .thread_name("telemetry-otlp-dns")
            .on_thread_start(mark_own_thread)
            .max_blocking_threads(4)
            .build()
    };
    // Where the program uses tokio's signals, this panics when there is no descriptor left.
    catch_unwind(build).unwrap_or_else(|_| Err(io::Error::other("tokio's runtime has panicked")))
}

struct Request {
    number: u64,
    body: Bytes,
    parts: Parts,
    /// When its attempts end; set by the first.
    deadline: Option<Instant>,
    /// Which round of its lane its current attempt belongs to.
    round: u64,
}

/// The requests of one signal, and how its peer does.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Request>,
    active: usize,
    /// Failures in a row; requests that fail together count as one.
    failures: u32,
    round: u64,
    /// No attempt before this.
    until: Option<Instant>,
    /// Did the peer itself ask for the wait?
    is_throttled: bool,
    /// Since when every answer was a failure.
    failing_since: Option<Instant>,
    /// When a request was answered for good the last time.
    well_at: Option<Instant>,
}

enum Event {
    Message(Option<Message>),
    Attempt(Id, Answer),
    Time,
}

struct Worker {
    config: Arc<Config>,
    resource: Vec<u8>,
    transport: Transport,
    inbox: mpsc::UnboundedReceiver<Message>,
    backlog: VecDeque<Work>,
    /// Bytes of the requests that wait.
    waiting_bytes: usize,
    gathers: [Gather; 2],
    queues: [Queue; 3],
    attempts: JoinSet<Answer>,
    /// The requests of the attempts that are under way.
    active: BTreeMap<Id, (Lane, Request)>,
    /// The numbers of all requests that are not settled.
    unsettled: BTreeSet<u64>,
    next_number: u64,
    /// Who waits for all requests below a number.
    flushes: Vec<(u64, Flush)>,
    hurried_at: Option<Instant>,
    closing: Option<Instant>,
    random: Random,
}

impl Worker {
    fn new(
        config: Arc<Config>,
        resource: Vec<u8>,
        inbox: mpsc::UnboundedReceiver<Message>,
    ) -> Self {
        Self {
            transport: Transport::new(Arc::clone(&config)),
            config,
            resource,
            inbox,
            backlog: VecDeque::new(),
            waiting_bytes: 0,
            gathers: [Gather::new(Lane::Logs), Gather::new(Lane::Spans)],
            queues: Default::default(),
            attempts: JoinSet::new(),
            active: BTreeMap::new(),
            unsettled: BTreeSet::new(),
            next_number: 0,
            flushes: Vec::new(),
            hurried_at: None,
            closing: None,
            random: Random::new(),
        }
    }

    async fn run(&mut self) {
        let mut done = None;
        loop {
            match self.next_event().await {
                Event::Message(Some(Message::Work(work))) => self.backlog.push_back(work),
                Event::Message(Some(Message::Shutdown(deadline, ended))) => {
                    done = Some(ended);
                    self.close(deadline);
                }
                // The exporter was dropped without a shutdown: nobody waits.
                Event::Message(None) if self.closing.is_none() => self.close(clock::now()),
                Event::Message(None) | Event::Time => {}
                Event::Attempt(task, answer) => self.answered(task, answer),
            }
            self.work_off();
            self.cut_due();
            self.send();
            self.answer_flushes();
            if let Some(deadline) = self.closing {
                let is_done = self.unsettled.is_empty() && self.backlog.is_empty();
                if is_done || clock::now() >= deadline {
                    break;
                }
            }
        }
        self.abandon();
        if let Some(done) = done {
            let _ = done.try_send(());
        }
    }

    /// Waits for whatever comes first.
    async fn next_event(&mut self) -> Event {
        let wake = self.wake_at();
        // Without anything to wait for, an hour is as good as for ever.
        let wake = wake.unwrap_or_else(|| clock::now() + Duration::from_secs(3600));
        let mut sleep = pin!(tokio::time::sleep_until(wake.into()));
        let is_closing = self.closing.is_some();
        poll_fn(|context| {
            match self.attempts.poll_join_next_with_id(context) {
                Poll::Ready(Some(Ok((task, answer)))) => {
                    return Poll::Ready(Event::Attempt(task, answer));
                }
                // A task that panicked: what made it panic once will do so again.
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Event::Attempt(error.id(), Answer::Refused));
                }
                _ => {}
            }
            match self.inbox.poll_recv(context) {
                // A closed inbox is always ready: asked again, it would keep the thread spinning.
                Poll::Ready(None) if is_closing => {}
                Poll::Ready(message) => return Poll::Ready(Event::Message(message)),
                Poll::Pending => {}
            }
            sleep.as_mut().poll(context).map(|()| Event::Time)
        })
        .await
    }

    /// When something is to be done although nothing comes.
    fn wake_at(&self) -> Option<Instant> {
        let gathers = self.gathers.iter().filter_map(|gather| gather.since());
        let due = gathers.map(|since| since + self.config.delay);
        let waiting = self.queues.iter().filter(|queue| !queue.waiting.is_empty());
        let again = waiting.filter(|queue| queue.active < self.limit(queue));
        due.chain(again.filter_map(|queue| queue.until)).chain(self.closing).min()
    }

    fn limit(&self, queue: &Queue) -> usize {
        if queue.failures > 0 { 1 } else { self.config.concurrency }
    }

    /// Encodes what came, as long as there is room for it.
    fn work_off(&mut self) {
        while self.waiting_bytes < WAITING_BYTES_MAX || self.make_room() {
            match self.backlog.pop_front() {
                Some(Work::Batch(batch, ack)) => self.export(&batch, ack),
                Some(Work::Metrics(snapshot, ack)) => self.metrics(&snapshot, ack),
                Some(Work::Flush(flush)) => {
                    self.cut_all();
                    self.hurry();
                    self.flushes.push((self.next_number, flush));
                }
                None => break,
            }
        }
        if self.closing.is_some() {
            self.cut_all();
            Lane::ALL.into_iter().for_each(|lane| self.give_up(lane));
        }
    }

    /// Gives up the oldest request of a signal that fails while another one is well, so that a
    /// collector without traces does not cost the logs too. `false` if there is none.
    fn make_room(&mut self) -> bool {
        if self.backlog.is_empty() {
            return false;
        }
        let well_at = self.queues.iter().filter_map(|queue| queue.well_at).max();
        let is_alone = |queue: &&mut Queue| {
            queue.failing_since.is_some_and(|since| well_at.is_some_and(|well| well > since))
        };
        let queue = self.queues.iter_mut().filter(is_alone).max_by_key(|q| q.waiting.len());
        let Some(request) = queue.and_then(|queue| queue.waiting.pop_front()) else { return false };
        self.waiting_bytes -= request.body.len();
        self.settle(request, u64::MAX, Cause::RetriesExhausted);
        true
    }

    /// Ends the waits, but for those that a peer has asked for. Who flushes all the time does not
    /// get more attempts than the shortest wait allows; a shutdown always gets its last one.
    fn hurry(&mut self) {
        let now = clock::now();
        let is_early = self.hurried_at.is_some_and(|last| now < last + self.config.backoff_initial);
        if is_early && self.closing.is_none() {
            return;
        }
        self.hurried_at = Some(now);
        for queue in self.queues.iter_mut().filter(|queue| !queue.is_throttled) {
            queue.until = None;
            // Attempts that began before and fail now have one more without a wait.
            queue.round += 1;
        }
    }

    fn export(&mut self, batch: &Batch, ack: Ack) {
        let units = ack.units();
        let (tally, open) = Tally::begin(ack);
        let now = clock::now();
        let mut encoded = Units::default();
        for record in batch.records() {
            let lane = if record.kind() == Kind::SpanClose { Lane::Spans } else { Lane::Logs };
            let gather = &mut self.gathers[lane as usize];
            if gather.add(&record, &tally, now) {
                encoded.add(lane.signal(), 1);
            }
            if gather.is_full(self.config.request_bytes) {
                self.cut(lane);
            }
        }
        open.finish(units.minus(encoded));
    }

    fn metrics(&mut self, snapshot: &Snapshot, ack: Ack) {
        let units = ack.units();
        let (tally, open) = Tally::begin(ack);
        let signal = Lane::Metrics.signal();
        let mut requests = Vec::new();
        let request_bytes = self.config.request_bytes;
        metrics::snapshot(snapshot, &self.resource, request_bytes, &mut |body, points| {
            let mut parts = Parts::default();
            parts.add(&tally, signal, points);
            requests.push((body, parts));
        });
        let encoded: u64 = requests.iter().map(|(_, parts)| parts.count()).sum();
        for (body, parts) in requests {
            self.submit(Lane::Metrics, &body, parts);
        }
        open.finish(units.minus(Units::of(signal, encoded)));
    }

    fn cut(&mut self, lane: Lane) {
        if let Some((body, parts)) = self.gathers[lane as usize].cut(&self.resource) {
            self.submit(lane, &body, parts);
        }
    }

    fn cut_all(&mut self) {
        self.cut(Lane::Logs);
        self.cut(Lane::Spans);
    }

    fn cut_due(&mut self) {
        let now = clock::now();
        for lane in [Lane::Logs, Lane::Spans] {
            let since = self.gathers[lane as usize].since();
            if since.is_some_and(|since| now >= since + self.config.delay) {
                self.cut(lane);
            }
        }
    }

    /// Takes a request into its queue.
    fn submit(&mut self, lane: Lane, body: &Bytes, parts: Parts) {
        if body.len() > REQUEST_BYTES_MAX {
            diagnose("otlp.request", Level::Error, || {
                format!("a request of {} bytes is over the limit of 64 MiB", body.len())
            });
            return parts.finish(u64::MAX, Cause::Rejected);
        }
        let body = self.transport.body(lane, body.clone());
        self.waiting_bytes += body.len();
        let number = self.next_number;
        self.next_number += 1;
        self.unsettled.insert(number);
        let request = Request { number, body, parts, deadline: None, round: 0 };
        self.queues[lane as usize].waiting.push_back(request);
    }

    /// Begins as many attempts as may be under way.
    fn send(&mut self) {
        let now = clock::now();
        for lane in Lane::ALL {
            let limit = self.limit(&self.queues[lane as usize]);
            let queue = &mut self.queues[lane as usize];
            if queue.until.is_some_and(|until| until > now) {
                continue;
            }
            while queue.active < limit
                && let Some(mut request) = queue.waiting.pop_front()
            {
                queue.active += 1;
                self.waiting_bytes -= request.body.len();
                request.round = queue.round;
                let deadline = *request.deadline.get_or_insert(now + self.config.retry_timeout);
                let left = deadline.saturating_duration_since(now);
                let left = left.max(retry::last_attempt(self.config.retry_timeout));
                let timeout = self.config.lanes[lane as usize].timeout;
                let timeout = timeout.map(|timeout| timeout.min(left));
                let attempt = self.transport.attempt(lane, request.body.clone(), timeout);
                let task = self.attempts.spawn(attempt);
                self.active.insert(task.id(), (lane, request));
            }
        }
    }

    fn answered(&mut self, task: Id, answer: Answer) {
        let Some((lane, request)) = self.active.remove(&task) else { return };
        if answer == Answer::Missing {
            self.transport.reconnect(lane);
        }
        let queue = &mut self.queues[lane as usize];
        queue.active -= 1;
        let (lost, wait) = match answer {
            Answer::Delivered => (0, None),
            Answer::Partial(rejected) => (rejected, None),
            Answer::Refused => (u64::MAX, None),
            Answer::Retry(wait) => (0, Some(wait)),
            Answer::Missing => (0, Some(None)),
        };
        if let Some(wait) = wait {
            self.failed(lane, request, wait);
        } else {
            queue.failures = 0;
            queue.until = None;
            queue.is_throttled = false;
            queue.failing_since = None;
            queue.well_at = Some(clock::now());
            self.settle(request, lost, Cause::Rejected);
        }
    }

    /// Plans the next attempt, of this request and of those that wait with it.
    fn failed(&mut self, lane: Lane, request: Request, wait: Option<Duration>) {
        let now = clock::now();
        let config = Arc::clone(&self.config);
        let queue = &mut self.queues[lane as usize];
        if request.round == queue.round {
            queue.round += 1;
            queue.failures += 1;
            let (initial, max) = (config.backoff_initial, config.backoff_max);
            let random = &mut self.random;
            let delay = wait.map(|wait| retry::throttled(wait, random));
            let delay =
                delay.unwrap_or_else(|| retry::backoff(queue.failures, initial, max, random));
            queue.until = Some(now + delay);
            queue.is_throttled = wait.is_some();
        } else if let Some(wait) = wait {
            queue.until = queue.until.max(Some(now + wait));
            queue.is_throttled = true;
        }
        queue.failing_since.get_or_insert(now);
        self.waiting_bytes += request.body.len();
        queue.waiting.push_front(request);
        self.call_last(lane, now);
        self.give_up(lane);
    }

    /// Shortens a wait of our own beyond which the time of a request would be over: each request
    /// has an attempt near the end of its time, however long the waits have become.
    fn call_last(&mut self, lane: Lane, now: Instant) {
        let room = retry::last_attempt(self.config.retry_timeout);
        let queue = &mut self.queues[lane as usize];
        if queue.is_throttled {
            return;
        }
        let ends = queue.waiting.iter().filter_map(|request| request.deadline);
        let last_calls = ends.filter_map(|end| end.checked_sub(room));
        let next = last_calls.filter(|last_call| *last_call > now).min();
        queue.until = queue.until.map(|until| next.map_or(until, |next| until.min(next)));
    }

    /// Ends the requests whose time is over before their next attempt could begin.
    fn give_up(&mut self, lane: Lane) {
        let queue = &mut self.queues[lane as usize];
        let Some(until) = queue.until else { return };
        let is_late = |request: &Request| request.deadline.is_some_and(|end| until >= end);
        let is_closed = self.closing.is_some_and(|deadline| until >= deadline);
        let (late, waiting) = std::mem::take(&mut queue.waiting)
            .into_iter()
            .partition::<VecDeque<_>, _>(|request| is_closed || is_late(request));
        queue.waiting = waiting;
        for request in late {
            self.waiting_bytes -= request.body.len();
            let cause =
                if is_late(&request) { Cause::RetriesExhausted } else { Cause::ShutdownTimeout };
            self.settle(request, u64::MAX, cause);
        }
    }

    fn settle(&mut self, request: Request, lost: u64, cause: Cause) {
        self.unsettled.remove(&request.number);
        request.parts.finish(lost, cause);
    }

    fn answer_flushes(&mut self) {
        let first = self.unsettled.first().copied().unwrap_or(u64::MAX);
        let next_attempt = self.next_attempt();
        self.flushes.retain(|(end, flush)| {
            // What could only be tried after the deadline is not worth waiting for.
            let is_hopeless = next_attempt.is_some_and(|next| next >= flush.deadline);
            let is_done = first >= *end || is_hopeless;
            if is_done {
                let _ = flush.done.try_send(());
            }
            !is_done
        });
    }

    /// When the next attempt begins, if nothing is under way and every lane waits.
    fn next_attempt(&self) -> Option<Instant> {
        let is_idle = self.active.is_empty();
        let waiting = self.queues.iter().filter(|queue| !queue.waiting.is_empty());
        waiting.map(|queue| queue.until).min().flatten().filter(|_| is_idle)
    }

    /// Begins the end: everything goes out now, but for a peer that asked us to wait.
    fn close(&mut self, deadline: Instant) {
        self.closing = Some(deadline);
        self.hurry();
    }

    /// Counts as lost what the deadline left.
    fn abandon(&mut self) {
        self.attempts.abort_all();
        let waiting = self.queues.iter_mut().flat_map(|queue| std::mem::take(&mut queue.waiting));
        let active = std::mem::take(&mut self.active).into_values().map(|(_, request)| request);
        for request in waiting.chain(active).collect::<Vec<_>>() {
            self.settle(request, u64::MAX, Cause::ShutdownTimeout);
        }
        for work in std::mem::take(&mut self.backlog) {
            if let Work::Batch(_, ack) | Work::Metrics(_, ack) = work {
                ack.finish(Outcome::Rejected(Cause::ShutdownTimeout));
            }
        }
        for gather in &mut self.gathers {
            if let Some((_, parts)) = gather.cut(&[]) {
                parts.finish(u64::MAX, Cause::ShutdownTimeout);
            }
        }
    }
}
