//! One look at a process as sections of rows.

use super::{Look, Task};
use crate::callsite::{self, Callsite};
use crate::document::{Cell, Row, Section};
use crate::filter::Filter;
use crate::ledger::{Counts, Report, Signal};
use crate::pipeline::{OnFull, Pipeline};
use crate::record::{Fields, RawFields};
use crate::runner::{Fill, Sink};
use crate::watch::Reading;
use crate::worker::{OpenSpan, Survey, Tally};

use super::threads::{Activity, Thread};

/// How many characters of one value are shown, and how many fields of a span.
const VALUE_CHARACTERS: usize = 256;
const FIELDS_MAX: usize = 32;
/// How many spans around one are named.
const AROUND_MAX: usize = 8;
/// How many threads have a row that are in no span; each that is in one has a row.
const IDLE_THREADS_MAX: usize = 64;
/// How many threads are named in a span's row.
const LABELS_MAX: usize = 8;
/// How many characters of a filter are shown.
const FILTER_CHARACTERS: usize = 2048;

pub(super) fn sections(look: &Look, pipeline: &Pipeline) -> Vec<Section> {
    let shared = pipeline.shared();
    let mut report = shared.report_without_buffers();
    report.buffered = match &look.survey {
        Some(_) => shared.report(false).buffered,
        // The worker may hold the buffers.
        None => 0,
    };
    vec![
        Section::record("open", "Open", totals(look, &report)),
        queues(&look.queues),
        oldest(look),
        threads(look),
        tasks(look),
        counts(look),
        exporters(pipeline),
        ledger(&report),
        tallies("busiest_by_records", "Busiest by records", look, |survey| &survey.most_records),
        tallies("busiest_by_bytes", "Busiest by bytes", look, |survey| &survey.most_bytes),
    ]
}

fn totals(look: &Look, report: &Report) -> Row {
    let open = look.survey.as_ref().map(|survey| Cell::Count(survey.open as u64));
    let threads = look.threads.len() as u64 + look.threads_left_out;
    let tasks = look.tasks.len() as u64 + look.tasks_left_out;
    let buffered = look.survey.is_some().then_some(Cell::Count(report.buffered));
    Row::new()
        .with("worker_answered", look.survey.is_some())
        .with_known("spans", open)
        .with("threads", Cell::Count(threads))
        .with("tasks", Cell::Count(tasks))
        .with_known("buffered_records", buffered)
        .with("callers_blocked_s", report.blocked)
        .with("cut", Cell::Count(report.cut))
        .with("stale_spans", Cell::Count(report.stale_spans))
        .with("span_updates_lost", Cell::Count(report.span_updates_lost))
}

fn queues(readings: &[Reading]) -> Section {
    let mut section = Section::table("queues", "Watched queues");
    for reading in readings {
        let count = |number: usize| Cell::Count(number as u64);
        let growth =
            reading.growth_per_s.map(|growth| Cell::Number((growth * 10.0).round() / 10.0));
        let row = Row::new()
            .with("name", cut(&reading.name))
            .with_known("length", reading.length.map(count))
            .with_known("capacity", reading.capacity.map(count))
            .with_known("growth_per_s", growth)
            .with_known("read_s", reading.length.map(|_| reading.age))
            .with_known("asking_s", reading.asking)
            .with_known("panics", (reading.panics > 0).then_some(Cell::Count(reading.panics)));
        section.push(row);
    }
    section
}

fn oldest(look: &Look) -> Section {
    let mut section = Section::table("oldest_spans", "Oldest open spans");
    let inside = look.threads_by_span();
    for span in look.oldest() {
        let threads = inside.get(&span.data.span_id);
        let label = |thread: &&Thread| thread.label();
        let threads = threads.map(|all| all.iter().take(LABELS_MAX).map(label).collect());
        let row = Row::new()
            .with("age_s", look.since(span.data.start_ticks))
            .with("span", path(span))
            .with("thread", threads.map_or(Cell::from("none"), Cell::Texts))
            .with_known("place", callsite_of(span).and_then(place))
            .with("span_id", format!("{:016x}", span.data.span_id))
            .with("trace_id", format!("{:032x}", span.data.trace_id))
            .with("fields", Cell::Fields(fields(span)));
        section.push(row);
    }
    let more = look.survey.as_ref().map_or(0, |survey| survey.open - survey.oldest.len());
    section.left_out(more as u64)
}

fn threads(look: &Look) -> Section {
    let mut section = Section::table("threads", "Threads");
    let mut all: Vec<&Thread> = look.threads.iter().collect();
    all.sort_by_key(|thread| {
        let age = look.span(thread.span_id).map_or(u64::MAX, |span| span.data.start_ticks);
        (thread.is_own(), thread.span_id == 0, age, thread.id)
    });
    let busy = all.iter().filter(|thread| thread.span_id != 0).count();
    let rows = busy + IDLE_THREADS_MAX;
    for thread in all.iter().take(rows) {
        section.push(thread_row(look, thread));
    }
    let left_out = all.len().saturating_sub(rows) as u64;
    section.left_out(left_out + look.threads_left_out)
}

fn thread_row(look: &Look, thread: &Thread) -> Row {
    let span = look.span(thread.span_id);
    let name = match (span, thread.span_id) {
        (Some(span), _) => Some(path(span)),
        (None, 0) => None,
        (None, id) => Some(format!("{id:016x}")),
    };
    let lock = match thread.activity {
        Some(Activity::Lock(address)) => Some(format!("{address:#x}")),
        _ => None,
    };
    Row::new()
        .with("thread", cut(&thread.label()))
        .with_known("state", thread.activity.as_ref().map(Activity::describe))
        .with_known("cpu_s", thread.cpu)
        .with_known("span", name)
        .with_known("age_s", span.map(|span| look.since(span.data.start_ticks)))
        .with_known("lock", lock)
        .with_known("blocked_s", (!thread.blocked.is_zero()).then_some(thread.blocked))
        .with_known("fields", span.map(|span| Cell::Fields(own_fields(span))))
}

fn tasks(look: &Look) -> Section {
    let mut section = Section::table("tasks", "Tasks");
    for task in &look.tasks {
        let thread = task.state.thread.map(|id| thread_of(look, id));
        let row = Row::new()
            .with("task", task_name(task))
            .with("kind", task.live.kind.as_str())
            .with("state", if thread.is_some() { "runs" } else { "waits" })
            .with("since_s", look.since(task.state.since_ticks))
            .with("age_s", look.since(task.live.start_ticks))
            .with("polls", Cell::Count(task.state.polls))
            .with_known("thread", thread)
            .with("place", task_place(task))
            .with_known("span", look.span(task.live.span_id).map(path));
        section.push(row);
    }
    section.left_out(look.tasks_left_out)
}

pub(super) fn task_place(task: &Task) -> String {
    format!("{}:{}", task.live.location.file(), task.live.location.line())
}

/// The task's name, else the place where it was started.
pub(super) fn task_name(task: &Task) -> String {
    task.live.name.as_ref().map_or_else(|| task_place(task), |name| cut(name))
}

/// The thread of an id, with its name if that is known.
pub(super) fn thread_of(look: &Look, id: u32) -> String {
    let found = look.threads.iter().find(|thread| thread.id == id);
    found.map_or_else(|| format!("thread {id}"), Thread::label)
}

fn counts(look: &Look) -> Section {
    let mut section = Section::table("open_spans", "Open spans by name");
    let Some(survey) = &look.survey else { return section };
    for entry in &survey.counts {
        let Some(callsite) = callsite::by_id(entry.callsite) else { continue };
        let row = Row::new()
            .with("name", cut(callsite.name()))
            .with("count", Cell::Count(entry.count))
            .with("oldest_s", look.since(entry.oldest_ticks))
            .with("target", cut(callsite.target()))
            .with_known("place", place(callsite));
        section.push(row);
    }
    section.left_out(survey.counts_left_out)
}

fn exporters(pipeline: &Pipeline) -> Section {
    let mut section = Section::table("exporters", "Exporters");
    let filters = pipeline.filters().in_effect();
    for (n, sink) in pipeline.shared().sinks().iter().enumerate() {
        let fill = sink.fill();
        let is_waiting = fill.deliveries > 0;
        let row = Row::new()
            .with("exporter", cut(&sink.name))
            .with("state", state(&fill))
            .with("queue_bytes", Cell::Bytes(fill.bytes as u64))
            .with("capacity_bytes", Cell::Bytes(sink.capacity_bytes as u64))
            .with("batches", Cell::Count(fill.deliveries as u64))
            .with_known("idle_s", is_waiting.then_some(fill.idle))
            .with("on_full", on_full(sink))
            .with_known("filter", filters.get(n).map(|(_, filter)| shown_filter(filter)));
        section.push(row);
    }
    section
}

fn shown_filter(filter: &Filter) -> String {
    filter.masked().chars().take(FILTER_CHARACTERS).collect()
}

fn state(fill: &Fill) -> &'static str {
    match fill {
        Fill { is_ended: true, .. } => "has ended",
        Fill { is_stalled: true, .. } => "stalled",
        Fill { deliveries: 0, .. } => "idle",
        _ => "works",
    }
}

fn on_full(sink: &Sink) -> &'static str {
    match sink.on_full {
        OnFull::Wait => "wait",
        OnFull::Drop => "drop",
    }
}

fn ledger(report: &Report) -> Section {
    let mut section = Section::table("ledger", "Ledger");
    for exporter in &report.exporters {
        for signal in Signal::ALL {
            let Counts { emitted, delivered, pending, dropped } = exporter.counts(signal);
            if *emitted == 0 {
                continue;
            }
            let causes = dropped.iter().map(|(cause, count)| format!("{count} {}", cause.as_str()));
            let row = Row::new()
                .with("exporter", cut(exporter.name()))
                .with("signal", signal.as_str())
                .with("emitted", Cell::Count(*emitted))
                .with("delivered", Cell::Count(*delivered))
                .with("pending", Cell::Count(*pending))
                .with("dropped", Cell::Texts(causes.collect()));
            section.push(row);
        }
    }
    section
}

fn tallies(
    key: &'static str,
    title: &'static str,
    look: &Look,
    of: impl Fn(&Survey) -> &Vec<Tally>,
) -> Section {
    let mut section = Section::table(key, title);
    let Some(survey) = &look.survey else { return section };
    for tally in of(survey) {
        let Some(callsite) = callsite::by_id(tally.callsite) else { continue };
        // `tracing` makes the name of an event up, of the place.
        let name = if callsite.is_span() || callsite.event_name().is_some() {
            callsite.name()
        } else {
            "event"
        };
        let row = Row::new()
            .with("records", Cell::Count(tally.records))
            .with("bytes", Cell::Bytes(tally.bytes))
            .with("level", callsite.level().to_string())
            .with("name", cut(name))
            .with("target", cut(callsite.target()))
            .with_known("place", place(callsite));
        section.push(row);
    }
    section.left_out(survey.callsites - of(survey).len() as u64)
}

/// `file.rs:12`.
fn place(callsite: &Callsite) -> Option<String> {
    Some(format!("{}:{}", callsite.file()?, callsite.line()?))
}

pub(super) fn callsite_of(span: &OpenSpan) -> Option<&'static Callsite> {
    callsite::by_id(span.data.callsite)
}

/// The names of the spans around it and its own, outermost first: `request > charge`.
pub(super) fn path(span: &OpenSpan) -> String {
    let name = |id: u32| callsite::by_id(id).map_or("?", Callsite::name);
    let around = span.around.iter().take(AROUND_MAX).map(|(_, callsite)| name(*callsite));
    let mut names: Vec<&str> = std::iter::once(name(span.data.callsite)).chain(around).collect();
    if span.around.len() > AROUND_MAX {
        names.push("…");
    }
    names.reverse();
    cut(&names.join(" > "))
}

pub(super) fn fields(span: &OpenSpan) -> Vec<(String, String)> {
    let names = callsite_of(span).map(Callsite::fields).unwrap_or_default();
    let fields = Fields::new(RawFields::of(&span.data.fields), names);
    let shown = fields.take(FIELDS_MAX);
    let mut fields: Vec<_> =
        shown.map(|field| (cut(field.key), cut(&field.value.to_string()))).collect();
    fields.sort_by_key(is_of_task);
    fields
}

fn own_fields(span: &OpenSpan) -> Vec<(String, String)> {
    fields(span).into_iter().filter(|field| !is_of_task(field)).collect()
}

/// Does the field tell where its task was started? That stands with the tasks, too.
fn is_of_task((key, _): &(String, String)) -> bool {
    key.starts_with("task.")
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// `name{field=value …}`, short.
pub(super) fn sketch(span: &OpenSpan) -> String {
    const CHARACTERS: usize = 80;
    let fields = own_fields(span).into_iter().map(|(key, value)| format!("{key}={value}"));
    let fields: String = fields.collect::<Vec<_>>().join(" ");
    let name = callsite_of(span).map_or("?", Callsite::name);
    if fields.is_empty() {
        return format!("`{name}`");
    }
    match fields.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("`{name}{{{}…}}`", &fields[..end]),
        None => format!("`{name}{{{fields}}}`"),
    }
}

/// Where a span was opened, in parentheses, if that is known.
pub(super) fn at_place(span: &OpenSpan) -> String {
    let place = callsite_of(span).and_then(place);
    place.map_or_else(String::new, |place| format!(" ({place})"))
}
