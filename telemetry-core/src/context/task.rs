//! Tasks and threads that the wrappers start: what they take along, and how many there are.
//!
//! # Invariants
//!
//! - A start is counted once, and a task is live until its context is dropped, which is when the
//!   task is over, cancelled or never ran.
//! - What is started past the wrappers is not seen here.

use super::{Carried, top};
use crate::clock;
use crate::local;
use crate::metric::{self, Counter, Labels, UpDownCounter, Value};
use crate::router;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

/// What runs a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TaskKind {
    /// The workers of an async runtime.
    Async,
    /// An async runtime's threads for what blocks.
    Blocking,
    /// A thread of its own.
    Thread,
}

impl TaskKind {
    /// The attribute `task.kind`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Async => "async",
            Self::Blocking => "blocking",
            Self::Thread => "thread",
        }
    }
}

/// The two series of a kind of tasks.
struct Series {
    started: Counter,
    live: UpDownCounter,
}

/// By kind, without and with a context.
static SERIES: [[OnceLock<Series>; 2]; 3] = [const { [const { OnceLock::new() }; 2] }; 3];

fn series(kind: TaskKind, has_context: bool) -> &'static Series {
    SERIES[kind as usize][usize::from(has_context)].get_or_init(|| {
        let context = if has_context { "some" } else { "none" };
        let labels = Labels::from([("task.kind", kind.as_str()), ("task.context", context)]);
        let registry = metric::global();
        registry.describe("telemetry.task.started", "{task}", "Tasks started by the wrappers.");
        registry.describe("telemetry.task.live", "{task}", "Tasks that are not over.");
        Series {
            started: registry.counter("telemetry.task.started", &labels),
            live: registry.up_down_counter("telemetry.task.live", &labels),
        }
    })
}

/// A task that is not over: counted while it exists, and known to inspections.
pub(crate) struct Live {
    series: &'static Series,
    number: u64,
    pub(crate) kind: TaskKind,
    pub(crate) name: Option<Box<str>>,
    pub(crate) location: &'static Location<'static>,
    pub(crate) start_ticks: u64,
    /// The span that it was started in; 0 = none.
    pub(crate) span_id: u64,
    /// The thread that runs it, as the operating system knows it; 0 = none does.
    thread: AtomicU32,
    /// Since when it has been running, or has not.
    since_ticks: AtomicU64,
    polls: AtomicU64,
}

/// How many live tasks inspections know of; those beyond are counted only.
const KNOWN_MAX: usize = 100_000;
const SHARDS: usize = 16;

/// The live tasks by number. Where starting a task took a lock and an allocation already, one more
/// of both is affordable; sharded, because many threads start tasks at once.
static LIVE: [Mutex<BTreeMap<u64, Weak<Live>>>; SHARDS] =
    [const { Mutex::new(BTreeMap::new()) }; SHARDS];
static NEXT: AtomicU64 = AtomicU64::new(1);

fn shard(number: u64) -> MutexGuard<'static, BTreeMap<u64, Weak<Live>>> {
    LIVE[number as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
}

/// All tasks that inspections know of.
pub(crate) fn live() -> Vec<Arc<Live>> {
    let mut all = Vec::new();
    for number in 0..SHARDS as u64 {
        all.extend(shard(number).values().filter_map(Weak::upgrade));
    }
    all
}

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TaskState {
    /// The thread that runs it; `None` = it waits.
    pub(crate) thread: Option<u32>,
    pub(crate) since_ticks: u64,
    pub(crate) polls: u64,
}

impl Live {
    fn begin(
        kind: TaskKind,
        has_context: bool,
        name: Option<&str>,
        location: &'static Location<'static>,
    ) -> Arc<Self> {
        let series = series(kind, has_context);
        series.started.add(1);
        series.live.add(1);
        let now = clock::ticks();
        let task = Arc::new(Self {
            series,
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            kind,
            name: name.map(Into::into),
            location,
            start_ticks: now,
            span_id: local::with(|local| local.current.get().span_id).unwrap_or(0),
            thread: AtomicU32::new(0),
            since_ticks: AtomicU64::new(now),
            polls: AtomicU64::new(0),
        });
        let mut known = shard(task.number);
        if known.len() < KNOWN_MAX / SHARDS {
            known.insert(task.number, Arc::downgrade(&task));
        }
        drop(known);
        task
    }

    /// The task runs on this thread until the guard is dropped.
    pub(super) fn run(&self) -> Running<'_> {
        let thread = local::with(|local| local.producer().shared().owner.id).unwrap_or(0);
        // Relaxed, here and below: an inspection may see one of them a moment before the others.
        self.since_ticks.store(clock::ticks(), Ordering::Relaxed);
        self.thread.store(thread.max(1), Ordering::Relaxed);
        self.polls.fetch_add(1, Ordering::Relaxed);
        Running(self)
    }

    pub(crate) fn state(&self) -> TaskState {
        let thread = self.thread.load(Ordering::Relaxed);
        TaskState {
            thread: (thread != 0).then_some(thread),
            since_ticks: self.since_ticks.load(Ordering::Relaxed),
            polls: self.polls.load(Ordering::Relaxed),
        }
    }
}

/// A task is running.
pub(super) struct Running<'a>(&'a Live);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.thread.store(0, Ordering::Relaxed);
        self.0.since_ticks.store(clock::ticks(), Ordering::Relaxed);
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.series.live.add(-1);
        if router::is_forked() {
            return;
        }
        // What the map held is dropped after the lock: it is one reference to memory.
        let gone = shard(self.number).remove(&self.number);
        drop(gone);
    }
}

/// Is the thread in a span, a caller's context, a scope, or does it have baggage?
fn has_context() -> bool {
    let in_span = local::with(|local| local.current.get().span_id != 0).unwrap_or(false);
    in_span || top().is_some_and(|frame| !frame.values.is_empty() || !frame.baggage.is_empty())
}

impl Carried {
    /// What a task takes along: the thread's context, and where the task was started, under
    /// `task.location`; its name, if it has one, under `task.name`. The start is counted.
    ///
    /// - **Metrics**: `telemetry.task.started`, unit `{task}`, counter; `telemetry.task.live`, unit
    ///   `{task}`, up-down counter; both with the attributes `task.kind` and `task.context`, which
    ///   is `none` for what is started outside of spans, callers' contexts, scopes and baggage,
    ///   else `some`.
    /// - **Source**: the spawn wrappers; tasks that are spawned past them are not seen.
    pub fn for_task(
        kind: TaskKind,
        name: Option<&str>,
        location: &'static Location<'static>,
    ) -> Self {
        // In a fork's child the locks may be held by threads that are not there.
        let task = (!router::is_forked()).then(|| Live::begin(kind, has_context(), name, location));
        let place = format!("{}:{}", location.file(), location.line());
        let mut values = Labels::from([("task.location", Value::from(place))]);
        if let Some(name) = name {
            values = values.with("task.name", name.to_owned());
        }
        let mut carried = Self::capture().with_values(values);
        carried.task = task;
        carried
    }
}
