//! Tasks and threads that the wrappers start: what they take along, and how many there are.
//!
//! # Invariants
//!
//! - A start is counted once, and a task is live until its context is dropped, which is when the
//!   task is over, cancelled or never ran.
//! - What is started past the wrappers is not seen here.

use super::{Carried, top};
use crate::local;
use crate::metric::{self, Counter, Labels, UpDownCounter, Value};
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, OnceLock};

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

/// Counts a task as live while it exists.
pub(super) struct Live(&'static Series);

impl Live {
    fn begin(kind: TaskKind, has_context: bool) -> Arc<Self> {
        let series = series(kind, has_context);
        series.started.add(1);
        series.live.add(1);
        Arc::new(Self(series))
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Live")
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.add(-1);
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
        let task = Live::begin(kind, has_context());
        let place = format!("{}:{}", location.file(), location.line());
        let mut values = Labels::from([("task.location", Value::from(place))]);
        if let Some(name) = name {
            values = values.with("task.name", name.to_owned());
        }
        let mut carried = Self::capture().with_values(values);
        carried.task = Some(task);
        carried
    }
}
