//! What to look at first: what stands still, what is full, what is lost.
//!
//! # Invariants
//!
//! - A sentence names the thing, for how long, and where in the source it is.
//! - At most [`EACH_MAX`] sentences of a kind: one cause often has a thousand victims.

use super::rows::{at_place, sketch, task_name, task_place, thread_of};
use super::threads::{Activity, Thread};
use super::{Look, Task};
use crate::context::TaskKind;
use crate::document::age_text;
use crate::ledger::Cause;
use crate::pipeline::Shared;
use crate::watch::Reading;
use crate::worker::OpenSpan;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// How many sentences there are of a kind.
const EACH_MAX: usize = 5;
/// How long a span may be open without being named.
const SPAN_AGE: Duration = Duration::from_secs(3);
/// How long a poll may keep its thread without being named.
const POLL_AGE: Duration = Duration::from_secs(1);

pub(super) fn list(look: &Look, shared: &Shared) -> Vec<String> {
    let mut all = Vec::new();
    if look.survey.is_none() {
        all.push("the worker does not answer: open spans are not known".to_owned());
    }
    let kinds = [polls(look), locks(look), queues(&look.queues), spans(look), exporters(shared)];
    all.extend(kinds.into_iter().flat_map(|kind| kind.into_iter().take(EACH_MAX)));
    let waiting = shared.intake().waiting();
    if waiting > 0 {
        all.push(format!("{waiting} call sites wait for room in the buffers"));
    }
    all
}

/// Async tasks that keep the thread of a runtime from its other tasks.
fn polls(look: &Look) -> Vec<String> {
    let is_kept = |task: &&Task| {
        task.live.kind == TaskKind::Async && look.since(task.state.since_ticks) >= POLL_AGE
    };
    let sentence = |task: &Task| {
        let thread = task.state.thread?;
        let age = age_text(look.since(task.state.since_ticks));
        let (name, thread) = (task_name(task), thread_of(look, thread));
        let place = task_place(task);
        Some(format!(
            "task `{name}` ({place}) has kept thread `{thread}` for {age} without a break"
        ))
    };
    look.tasks.iter().filter(is_kept).filter_map(sentence).collect()
}

/// Locks that several threads, or one inside a span, wait for.
fn locks(look: &Look) -> Vec<String> {
    let mut waiting: BTreeMap<u64, Vec<&Thread>> = BTreeMap::new();
    for thread in look.threads.iter().filter(|thread| !thread.is_own()) {
        if let Some(Activity::Lock(address)) = thread.activity {
            waiting.entry(address).or_default().push(thread);
        }
    }
    let mut locks: Vec<_> = waiting.into_iter().collect();
    locks.retain(|(_, threads)| threads.len() > 1 || threads[0].span_id != 0);
    locks.sort_by_key(|(_, threads)| std::cmp::Reverse(threads.len()));
    locks.iter().map(|(address, threads)| lock(look, *address, threads)).collect()
}

fn lock(look: &Look, address: u64, threads: &[&Thread]) -> String {
    const NAMED_MAX: usize = 3;
    let named = threads.iter().take(NAMED_MAX).map(|thread| match look.span(thread.span_id) {
        Some(span) => format!("`{}` in {}", thread.label(), sketch(span)),
        None => format!("`{}`", thread.label()),
    });
    let named = named.collect::<Vec<_>>().join(", ");
    let more = match threads.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let who = if threads.len() == 1 { "1 thread waits" } else { "threads wait" };
    let count = if threads.len() == 1 { String::new() } else { format!("{} ", threads.len()) };
    format!("{count}{who} for one lock ({address:#x}): {named}{more}{}", holder(look, threads))
}

/// Who may have the lock that these threads wait for: the thread that does not wait for one and has
/// been in its span for longest.
fn holder(look: &Look, waiting: &[&Thread]) -> String {
    let waits = |thread: &Thread| matches!(thread.activity, Some(Activity::Lock(_)));
    let ids: HashSet<u32> = waiting.iter().map(|thread| thread.id).collect();
    let others = look.threads.iter().filter(|thread| !waits(thread) && !ids.contains(&thread.id));
    let inside = others.filter_map(|thread| Some((thread, look.span(thread.span_id)?)));
    let oldest = inside.min_by_key(|(_, span)| span.data.start_ticks);
    let Some((thread, span)) = oldest else { return String::new() };
    let age = age_text(look.since(span.data.start_ticks));
    format!("; held perhaps by `{}`, in {} for {age}", thread.label(), sketch(span))
}

fn queues(readings: &[Reading]) -> Vec<String> {
    let mut all: Vec<(f64, String)> = readings.iter().filter_map(queue).collect();
    all.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    all.into_iter().map(|(_, sentence)| sentence).collect()
}

/// What is wrong with a queue, and how much.
fn queue(reading: &Reading) -> Option<(f64, String)> {
    let name = &reading.name;
    if let Some(asking) = reading.asking.filter(|asking| *asking >= POLL_AGE) {
        let asking = age_text(asking);
        let sentence = format!("queue `{name}`: its length has not been told for {asking}");
        return Some((2.0, sentence));
    }
    let length = reading.length?;
    let fill = reading.capacity.filter(|capacity| *capacity > 0).map(|capacity| {
        let fill = length as f64 / capacity as f64;
        (fill, format!("{length} of {capacity}, {:.0} %", fill * 100.0))
    });
    let growth = reading.growth_per_s.filter(|growth| reading.grows && *growth > 0.0);
    match (fill, growth) {
        (Some((fill, text)), _) if fill >= 0.9 => {
            Some((1.0 + fill, format!("queue `{name}` is full: {text}")))
        }
        (Some((fill, text)), Some(growth)) => {
            Some((fill, format!("queue `{name}` grows by {growth:.0}/s: {text}")))
        }
        (None, Some(growth)) => {
            Some((0.5, format!("queue `{name}` grows by {growth:.0}/s: {length}")))
        }
        _ => None,
    }
}

/// The oldest spans, without those that wait for one inside of them.
fn spans(look: &Look) -> Vec<String> {
    let inside = look.threads_by_span();
    let waits_for_another: HashSet<u64> =
        look.oldest().iter().flat_map(|span| span.around.iter().map(|(id, _)| *id)).collect();
    // Who waits for a lock is told with the lock.
    let waits_for_lock = |id: u64| {
        let threads = inside.get(&id).map_or(&[][..], Vec::as_slice);
        threads.iter().any(|thread| matches!(thread.activity, Some(Activity::Lock(_))))
    };
    let is_named = |span: &&OpenSpan| {
        let id = span.data.span_id;
        look.since(span.data.start_ticks) >= SPAN_AGE
            && !waits_for_another.contains(&id)
            && !waits_for_lock(id)
    };
    let sentence = |span: &OpenSpan| {
        let age = age_text(look.since(span.data.start_ticks));
        let whose = match inside.get(&span.data.span_id).and_then(|threads| threads.first()) {
            Some(thread) => format!("on thread `{}`{}", thread.label(), activity(thread)),
            None => "no thread is in it: it waits".to_owned(),
        };
        format!("span {} has been open for {age}; {whose}{}", sketch(span), at_place(span))
    };
    look.oldest().iter().filter(is_named).map(sentence).collect()
}

fn activity(thread: &Thread) -> String {
    thread
        .activity
        .as_ref()
        .map_or_else(String::new, |activity| format!(", which {}", activity.describe()))
}

fn exporters(shared: &Shared) -> Vec<String> {
    let mut all = Vec::new();
    for sink in shared.sinks() {
        let fill = sink.fill();
        let name = &sink.name;
        if fill.is_stalled {
            let idle = age_text(fill.idle);
            all.push(format!(
                "exporter `{name}` has stood still for {idle}, and loses its records"
            ));
        } else if fill.bytes > sink.capacity_bytes / 10 * 9 {
            all.push(format!("the queue of exporter `{name}` is full"));
        }
        let report = sink.ledger().read(name);
        if report.lost() > 0 {
            all.push(format!("exporter `{name}` has lost {}: {}", report.lost(), causes(&report)));
        }
    }
    all
}

fn causes(report: &crate::ledger::ExporterReport) -> String {
    use crate::ledger::Signal;
    let lost = |cause: Cause| {
        let of_signal = |signal: &Signal| report.counts(*signal).dropped_for(cause);
        let count: u64 = Signal::ALL.iter().map(of_signal).sum();
        (count > 0).then(|| format!("{count} {}", cause.as_str()))
    };
    Cause::ALL.into_iter().filter_map(lost).collect::<Vec<_>>().join(", ")
}
