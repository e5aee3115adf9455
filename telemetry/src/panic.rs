//! A panic is an error event, and what was told before it is out before the process ends.
//!
//! # Invariants
//!
//! - The hook is installed once and calls the one before it; without a pipeline that wants it, it
//!   does nothing else.
//! - It waits at most [`FLUSH`] (where a panic aborts: [`FLUSH_ABORT`]), and not again for
//!   [`REST`] after a flush that was not done in time: a service that catches panics must not
//!   stand still because a collector is away.
//! - Nothing in it panics: that would end the process.

use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex, Once, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};
use telemetry_core::clock;
use telemetry_core::pipeline::Pipeline;
use tracing::{Level, event};

const FLUSH: Duration = Duration::from_millis(200);
const FLUSH_ABORT: Duration = Duration::from_secs(2);
const REST: Duration = Duration::from_secs(10);

/// The pipeline that is told of panics.
static PIPELINE: RwLock<Weak<Pipeline>> = RwLock::new(Weak::new());
/// No flush before this moment.
static REST_UNTIL: Mutex<Option<Instant>> = Mutex::new(None);

/// Tells `pipeline` of panics from now on.
pub(crate) fn install(pipeline: &Arc<Pipeline>) {
    static INSTALL: Once = Once::new();
    // The standard library refuses, by a panic, to change hooks during one.
    if std::thread::panicking() {
        return;
    }
    *PIPELINE.write().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(pipeline);
    INSTALL.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            tell(panic);
            previous(panic);
        }));
    });
}

/// Tells `pipeline` of panics no longer.
pub(crate) fn uninstall(pipeline: &Arc<Pipeline>) {
    let mut current = PIPELINE.write().unwrap_or_else(PoisonError::into_inner);
    if std::ptr::eq(current.as_ptr(), Arc::as_ptr(pipeline)) {
        *current = Weak::new();
    }
}

fn tell(panic: &PanicHookInfo<'_>) {
    // Whoever holds the lock may be the thread that panics: no waiting.
    let Some(pipeline) = PIPELINE.try_read().ok().and_then(|current| current.upgrade()) else {
        return;
    };
    emit(panic);
    flush(&pipeline);
}

fn emit(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(a payload that is no text)");
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("(unnamed)");
    match panic.location() {
        Some(place) => {
            let location = format_args!("{}:{}:{}", place.file(), place.line(), place.column());
            event!(target: "panic", Level::ERROR, { %location, thread.name = thread }, "{message}");
        }
        None => {
            event!(target: "panic", Level::ERROR, { thread.name = thread }, "{message}")
        }
    }
}

fn flush(pipeline: &Pipeline) {
    let now = clock::now();
    let aborts = cfg!(panic = "abort");
    let Ok(mut rest_until) = REST_UNTIL.try_lock() else { return };
    if !aborts && rest_until.is_some_and(|until| now < until) {
        return;
    }
    // An error: the pipeline's own thread panics; the pipeline deals with that.
    let timeout = if aborts { FLUSH_ABORT } else { FLUSH };
    if pipeline.flush(timeout).is_ok_and(|report| report.timed_out) {
        *rest_until = Some(clock::now() + REST);
    }
}
