//! What a running process is doing: open spans, threads, tasks, queues, exporters.
//!
//! # Invariants
//!
//! - Nothing here needs a thread of the application's to move, or holds one up: they write what is
//!   shown before anybody asks. What only the worker knows is asked of it, with a deadline; without
//!   its answer, the rest is told.
//! - Lists are bounded, and say what they leave out. Values of fields are as exporters get them:
//!   what is redacted there is redacted here.
//! - In a fork's child, whose locks may be held by threads that are not there, nothing is looked
//!   at.
//! - The user's code is called by [`watch`] alone, within a limited time.

mod rows;
mod suspects;
mod threads;

use crate::clock;
use crate::context::{self, Live, TaskState};
use crate::document::Section;
use crate::pipeline::{Pipeline, ScopedPipeline, Shared};
use crate::watch::{self, Reading};
use crate::worker::{OpenSpan, Question, Survey};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use threads::Thread;

/// How long the worker has time to answer. It takes milliseconds, but for a million open spans on a
/// machine that is busy elsewhere.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the closures of watched queues have time.
const WATCH_TIMEOUT: Duration = Duration::from_millis(200);
/// How many tasks are told of.
const TASKS_MAX: usize = 50;
/// How many spans the worker is asked about, beside the oldest.
const ABOUT_MAX: usize = 2048;

/// What was found out about a process.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Findings {
    /// What to look at first, in sentences, the most suspicious first.
    pub suspects: Vec<String>,
    /// Everything, by subject.
    pub sections: Vec<Section>,
}

impl Findings {
    /// Nothing, and why.
    pub fn of_nothing(why: &str) -> Self {
        Self { suspects: vec![why.to_owned()], sections: Vec::new() }
    }
}

/// A live task with what it does.
#[derive(Debug)]
struct Task {
    live: Arc<Live>,
    state: TaskState,
}

/// One look at the process.
struct Look {
    /// `None` = the worker did not answer.
    survey: Option<Survey>,
    threads: Vec<Thread>,
    threads_left_out: u64,
    tasks: Vec<Task>,
    tasks_left_out: u64,
    queues: Vec<Reading>,
    anchor: clock::Anchor,
    now_ticks: u64,
}

impl Look {
    fn take(shared: &Shared, timeout: Duration) -> Self {
        let (threads, threads_left_out) = threads::list();
        let (tasks, tasks_left_out) = tasks();
        let spans = threads.iter().map(|thread| thread.span_id);
        let spans = spans.chain(tasks.iter().map(|task| task.live.span_id));
        let about: HashSet<u64> = spans.filter(|id| *id != 0).take(ABOUT_MAX).collect();
        let question = Question::new(about.into_iter().collect());
        shared.ask(&question);
        let deadline = clock::now() + timeout;
        let queues = watch::read(WATCH_TIMEOUT);
        let survey = question.wait(deadline);
        let now_ticks = clock::ticks();
        let anchor = shared.anchor();
        Self { survey, threads, threads_left_out, tasks, tasks_left_out, queues, anchor, now_ticks }
    }

    /// How long ago a tick was.
    fn since(&self, ticks: u64) -> Duration {
        Duration::from_nanos(self.anchor.duration_ns(ticks, self.now_ticks))
    }

    fn span(&self, span_id: u64) -> Option<&OpenSpan> {
        self.survey.as_ref()?.about.get(&span_id)
    }

    fn oldest(&self) -> &[OpenSpan] {
        self.survey.as_ref().map_or(&[], |survey| &survey.oldest)
    }

    /// The threads inside each span, those that are in spans inside of it included.
    fn threads_by_span(&self) -> HashMap<u64, Vec<&Thread>> {
        let mut inside: HashMap<u64, Vec<&Thread>> = HashMap::new();
        for thread in self.threads.iter().filter(|thread| thread.span_id != 0) {
            let around = self.span(thread.span_id).map_or(&[][..], |span| &span.around);
            let ids = std::iter::once(thread.span_id).chain(around.iter().map(|(id, _)| *id));
            ids.for_each(|id| inside.entry(id).or_default().push(thread));
        }
        inside
    }
}

/// The tasks that matter most: those that have been running for longest, then the oldest.
fn tasks() -> (Vec<Task>, u64) {
    let task = |live: Arc<Live>| Task { state: live.state(), live };
    let mut all: Vec<_> = context::live().into_iter().map(task).collect();
    all.sort_by_key(|task| match task.state.thread {
        Some(_) => (0, task.state.since_ticks),
        None => (1, task.live.start_ticks),
    });
    let left_out = all.len().saturating_sub(TASKS_MAX) as u64;
    all.truncate(TASKS_MAX);
    (all, left_out)
}

impl Pipeline {
    /// Looks at what the process is doing. The worker has time to answer for `timeout`.
    ///
    /// It works from every thread, those of the pipeline included, and while all others are stuck;
    /// it takes some milliseconds, and some more for very many open spans.
    ///
    /// In a fork's child it finds nothing, and says so.
    pub fn inspect(&self, timeout: Duration) -> Findings {
        if !self.shared().is_of_this_process() {
            return Findings::of_nothing("this is a fork's child: telemetry runs in its parent");
        }
        let look = Look::take(self.shared(), timeout);
        let sections = rows::sections(&look, self);
        Findings { suspects: suspects::list(&look, self.shared()), sections }
    }
}

impl ScopedPipeline {
    /// As [`Pipeline::inspect`]; threads are in the spans of this pipeline only.
    pub fn inspect(&self, timeout: Duration) -> Findings {
        self.pipeline().inspect(timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Cell;
    use crate::pipeline::SinkBuilder;
    use crate::testing::MemoryExporter;

    #[test]
    fn without_the_workers_answer_the_rest_is_told() {
        let sink = SinkBuilder::new(MemoryExporter::new("memory"));
        let pipeline = Pipeline::builder().sink(sink).scoped().unwrap();
        pipeline.pipeline().end(Duration::from_secs(30));
        let found = pipeline.inspect(Duration::from_secs(30));
        assert_eq!(found.suspects[0], "the worker does not answer: open spans are not known");
        let rows =
            |key: &str| found.sections.iter().find(|section| section.key() == key).unwrap().rows();
        assert_eq!(rows("open")[0].get("worker_answered"), Some(&Cell::Flag(false)));
        assert_eq!(rows("exporters").len(), 1);
        #[cfg(target_os = "linux")]
        assert!(rows("threads").len() > 1);
    }
}
