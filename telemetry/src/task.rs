//! Tasks of tokio that take their context along: span, baggage, key-values of scopes.
//!
//! Records of the task also have the place where it was started (`task.location`) and its name, if
//! it was given one (`task.name`).
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
//! # How many there are
//!
//! The starts are counted as `telemetry.task.started`, and the tasks that are not over are
//! `telemetry.task.live`, by `task.kind` and by `task.context`: `some`, or `none` for what was
//! started outside of spans, callers' contexts, scopes and baggage. Where telemetry is started
//! inside a runtime, and the poller runs, `telemetry.task.live` also has `task.context = "unknown"`:
//! the tasks of that runtime that were started past these functions, by `tokio::spawn` for example.
//! Whether those have a context is not to be seen from outside.
//!
//! # Invariants
//!
//! - The span that a task was started in stays open until the task is over.

use std::panic::Location;
use telemetry_core::context::{Carried, InContext, TaskKind};
use tokio::task::JoinHandle;

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
    spawn_at(None, Location::caller(), future)
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
    spawn_at(Some(name), Location::caller(), future)
}

#[track_caller]
fn spawn_at<F>(
    name: Option<&str>,
    location: &'static Location<'static>,
    future: F,
) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let future = future.in_context(Carried::for_task(TaskKind::Async, name, location));
    #[cfg(feature = "poller")]
    let future = watch::counted(future);
    tokio::spawn(future)
}

/// As [`tokio::task::spawn_blocking`], in the context of the caller.
///
/// # Panics
///
/// As [`tokio::task::spawn_blocking`]: outside of a runtime.
#[track_caller]
pub fn spawn_blocking<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let carried = Carried::for_task(TaskKind::Blocking, None, Location::caller());
    tokio::task::spawn_blocking(move || carried.run(f))
}

/// The runtime that telemetry was started in: its tasks are compared with those started here.
#[cfg(feature = "poller")]
pub(crate) mod watch {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, PoisonError, RwLock};
    use telemetry_poller::{Measure, MeasureError};
    use tokio::runtime::{Handle, Id};

    /// The runtime, and how many of its tasks were started here and are not over.
    static WATCHED: RwLock<Option<(Id, Arc<AtomicUsize>)>> = RwLock::new(None);

    /// One task more while it exists.
    struct Counted(Arc<AtomicUsize>);

    impl Counted {
        /// `None` in another runtime than the one that is watched.
        fn here() -> Option<Self> {
            let watched = WATCHED.read().unwrap_or_else(PoisonError::into_inner);
            let (id, count) = watched.as_ref()?;
            let is_here = Handle::try_current().is_ok_and(|handle| handle.id() == *id);
            is_here.then(|| {
                // Relaxed, here and below: the count is a statistic.
                count.fetch_add(1, Ordering::Relaxed);
                Self(Arc::clone(count))
            })
        }
    }

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(super) fn counted<F: Future>(future: F) -> impl Future<Output = F::Output> {
        let counted = Counted::here();
        async move {
            let _counted = counted;
            future.await
        }
    }

    /// Takes the runtime out again.
    struct Watch {
        handle: Handle,
        count: Arc<AtomicUsize>,
    }

    impl Drop for Watch {
        fn drop(&mut self) {
            let mut watched = WATCHED.write().unwrap_or_else(PoisonError::into_inner);
            watched.take_if(|(_, count)| Arc::ptr_eq(count, &self.count));
        }
    }

    /// Watches a runtime as long as the measurement exists.
    pub(crate) fn measurement(
        handle: Handle,
    ) -> impl FnMut(&mut Measure) -> Result<(), MeasureError> + Send {
        let count = Arc::new(AtomicUsize::new(0));
        let watched = (handle.id(), Arc::clone(&count));
        *WATCHED.write().unwrap_or_else(PoisonError::into_inner) = Some(watched);
        let watch = Watch { handle, count };
        move |measure| {
            let ours = watch.count.load(Ordering::Relaxed);
            let unknown = watch.handle.metrics().num_alive_tasks().saturating_sub(ours);
            let labels = [("task.kind", "async"), ("task.context", "unknown")];
            measure.up_down_counter("telemetry.task.live", labels, unknown as i64);
            Ok(())
        }
    }
}
