//! Tasks of tokio that take their context along: span, baggage, key-values of scopes.
//!
//! Records of the task also have the place where it was started (`task.location`) and its name, if
//! it was given one (`task.name`). The starts are counted as `telemetry.task.started`, by kind.
//!
//! ```
//! use telemetry_toolkit::{context, task};
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
//! # runtime.block_on(async {
//! let handle = {
//!     let _scope = context::scope([("tenant", "acme")]);
//!     task::spawn(async { tracing::info!("for acme") })
//! };
//! handle.await.unwrap();
//! # });
//! ```
//!
//! # Invariants
//!
//! - The span that a task was started in stays open until the task is over.

use std::panic::Location;
use telemetry_core::context::{Carried, InContext};
use tokio::task::JoinHandle;

const ASYNC: &str = "async";
const BLOCKING: &str = "blocking";

/// As [`tokio::spawn`], in the context of the caller.
///
/// # Panics
///
/// As [`tokio::spawn`]: outside of a runtime.
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    tokio::spawn(future.in_context(Carried::for_task(ASYNC, None, Location::caller())))
}

/// As [`spawn`], with a name.
///
/// # Panics
///
/// As [`tokio::spawn`]: outside of a runtime.
#[track_caller]
pub fn spawn_named<F>(name: &str, future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    tokio::spawn(future.in_context(Carried::for_task(ASYNC, Some(name), Location::caller())))
}

/// As [`tokio::task::spawn_blocking`], in the context of the caller.
///
/// # Panics
///
/// As [`tokio::task::spawn_blocking`]: outside of a runtime.
#[track_caller]
pub fn spawn_blocking<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let carried = Carried::for_task(BLOCKING, None, Location::caller());
    tokio::task::spawn_blocking(move || carried.run(f))
}
