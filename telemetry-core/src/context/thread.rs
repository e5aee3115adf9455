//! Threads that take the context of their starter along.

use super::{Carried, TaskKind};
use std::panic::Location;
use std::thread::{Builder, JoinHandle};

/// Starts a thread in the context of this one: span, baggage, key-values, and the name and the
/// place of the start as `task.name` and `task.location`.
///
/// # Errors
///
/// The operating system starts no thread.
///
/// # Panics
///
/// As [`std::thread::Builder::name`]: the name has a zero byte.
#[track_caller]
pub fn spawn_thread<T: Send + 'static>(
    name: &str,
    f: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<JoinHandle<T>> {
    let carried = Carried::for_task(TaskKind::Thread, Some(name), Location::caller());
    Builder::new().name(name.to_owned()).spawn(move || carried.run(f))
}
