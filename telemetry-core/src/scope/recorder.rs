//! The `metrics` recorder of threads that are inside a capture.
//!
//! # Invariants
//!
//! - A measurement goes into the registry of the capture that the thread is in when it asks for
//!   the handle; in none any more, to the process's.

use crate::plan::Scope;
use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, LocalRecorderGuard, Metadata, SharedString, Unit,
};
use std::sync::{Arc, OnceLock};

/// A recorder behind a pointer.
pub(crate) type AnyRecorder = Box<dyn metrics::Recorder + Send + Sync>;

/// What measures for the process.
static PROCESS: OnceLock<AnyRecorder> = OnceLock::new();

/// Sets what measures for the process where a thread has left its capture; the first call wins.
pub(crate) fn set_process_recorder(recorder: AnyRecorder) {
    let _ = PROCESS.set(recorder);
}

/// Lets what the thread measures go into captures, if this one takes measurements.
pub(super) fn enter_here(scope: &Scope) -> Option<LocalRecorderGuard<'static>> {
    static HERE: Here = Here;
    let is_measured = scope.tape.as_ref().is_some_and(|tape| tape.measured().is_some());
    is_measured.then(|| metrics::set_default_local_recorder(&HERE))
}

/// The recorder of whatever capture the thread is in.
struct Here;

impl Here {
    fn with<R>(&self, f: impl FnOnce(&dyn metrics::Recorder) -> R) -> R {
        let capture: Option<Arc<Scope>> = super::current_capture();
        let tape = capture.as_ref().and_then(|scope| scope.tape.as_ref());
        let of_capture = tape.and_then(|tape| tape.measured()).map(|measured| measured.recorder());
        match (of_capture, PROCESS.get()) {
            (Some(recorder), _) => f(recorder),
            (None, Some(recorder)) => f(recorder),
            (None, None) => f(&metrics::NoopRecorder),
        }
    }
}

impl metrics::Recorder for Here {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.with(|recorder| recorder.describe_counter(key, unit, description));
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.with(|recorder| recorder.describe_gauge(key, unit, description));
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.with(|recorder| recorder.describe_histogram(key, unit, description));
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.with(|recorder| recorder.register_counter(key, metadata))
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.with(|recorder| recorder.register_gauge(key, metadata))
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.with(|recorder| recorder.register_histogram(key, metadata))
    }
}
