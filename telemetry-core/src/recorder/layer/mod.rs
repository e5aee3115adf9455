//! The recorder as a layer of tracing-subscriber's `Registry`, for those who have other layers.
//!
//! # Invariants
//!
//! - It never vetoes: what nobody here wants is filtered for this layer alone.
//! - A registry's span is known here from its start to its close, or not at all: one that was
//!   filtered out for this layer, by its own filter or by one around it, is a *stranger*. Inside
//!   of a stranger is inside of the nearest span around it that is known.
//! - Call sites look nothing up in the registry, except strangers' and those outside of any known
//!   span.
//! - References to the registry are taken for a call only: the layer keeps nothing alive.

mod ids;
mod stack;

pub(crate) use stack::{BoxedLayer, install};

use super::slots;
use super::span;
use crate::diagnostics;
use crate::level::Level;
use crate::local::{Current, Local};
use crate::router;
use ids::Ids;
use std::any::TypeId;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use tracing_core::dispatcher::WeakDispatch;
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::subscriber::Interest;
use tracing_core::{Dispatch, Event, LevelFilter, Metadata, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Filtered;
use tracing_subscriber::layer::{Context, Filter, Layer};
use tracing_subscriber::registry::{LookupSpan, SpanData};

/// How many spans outwards a known one is looked for.
const AROUND_MAX: usize = 1024;

/// The recorder as a [`Layer`], beside other layers on a [`Registry`].
///
/// It records what the attached pipeline's filters want, and leaves everything else to the other
/// layers; a filter around it (`with_filter`) is respected. One of it belongs into a subscriber:
/// two would record everything twice.
///
/// What the registry does with spans holds here, too: a forged id panics, a deep nest of spans is
/// closed by recursion, memory of closed spans is kept, and calls cost more than with the recorder
/// alone.
///
/// ```
/// use telemetry_core::TelemetryLayer;
/// use telemetry_core::pipeline::{Pipeline, SinkBuilder};
/// use telemetry_core::testing::MemoryExporter;
/// use tracing_subscriber::layer::SubscriberExt;
///
/// let subscriber = tracing_subscriber::registry().with(TelemetryLayer::new());
/// tracing::subscriber::set_global_default(subscriber).unwrap();
/// let memory = MemoryExporter::new("memory");
/// let pipeline = Pipeline::builder().sink(SinkBuilder::new(memory.clone())).attach().unwrap();
/// tracing::info!("taken");
/// drop(pipeline);
/// assert_eq!(memory.events().len(), 1);
/// ```
pub struct TelemetryLayer<S = Registry> {
    filtered: Filtered<Recorder, Wanted, S>,
}

impl<S> TelemetryLayer<S> {
    /// A layer for one subscriber.
    pub fn new() -> Self {
        let spans = Arc::new(Spans { ids: Ids::new(), dispatch: OnceLock::new() });
        let recorder = Recorder { spans: Arc::clone(&spans), is_used: false };
        Self { filtered: Filtered::new(recorder, Wanted { spans }) }
    }

    fn spans(&self) -> &Spans {
        &self.filtered.inner().spans
    }
}

impl<S> Default for TelemetryLayer<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> fmt::Debug for TelemetryLayer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TelemetryLayer").finish_non_exhaustive()
    }
}

/// Starts and events go through the filter, which holds what was decided about them; for the rest
/// it is enough whether the span is known.
impl<S> Layer<S> for TelemetryLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        // A second one finds the place taken: a layer is in one subscriber.
        let _ = self.spans().dispatch.set(dispatch.downgrade());
    }

    fn on_layer(&mut self, subscriber: &mut S) {
        let has_one = (subscriber as &dyn Subscriber).is::<Recorder>();
        self.filtered.on_layer(subscriber);
        self.filtered.inner_mut().join();
        if has_one {
            let text = "two `TelemetryLayer`s are in one subscriber: everything is recorded twice";
            diagnostics::report("tracing.face", Level::Warn, text);
        }
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        self.filtered.register_callsite(metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        self.filtered.enabled(metadata, context)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.filtered.max_level_hint()
    }

    #[inline]
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.filtered.on_new_span(attributes, id, context);
    }

    #[inline]
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        self.filtered.on_event(event, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        if let Some(handle) = self.spans().ids.get(id.into_u64()) {
            span::record(handle, values);
        }
    }

    fn on_follows_from(&self, id: &Id, other: &Id, _: Context<'_, S>) {
        let get = |id: &Id| self.spans().ids.get(id.into_u64());
        if let (Some(handle), Some(other)) = (get(id), get(other)) {
            span::follows_from(handle, other);
        }
    }

    #[inline]
    fn on_enter(&self, id: &Id, _: Context<'_, S>) {
        if let Some(handle) = self.spans().nearest(id) {
            span::enter_from_afar(handle);
        }
    }

    #[inline]
    fn on_exit(&self, id: &Id, _: Context<'_, S>) {
        if let Some(handle) = self.spans().nearest(id) {
            span::exit_from_afar(handle);
        }
    }

    #[inline]
    fn on_close(&self, id: Id, _: Context<'_, S>) {
        if let Some(handle) = self.spans().ids.remove(id.into_u64()) {
            span::close(handle);
        }
    }

    unsafe fn downcast_raw(&self, id: TypeId) -> Option<*const ()> {
        if id == TypeId::of::<Self>() {
            return Some(std::ptr::from_ref(self).cast());
        }
        // SAFETY: the caller's promise is passed on. It has to be: a subscriber asks its layers in
        // this way whether each has a filter of its own.
        unsafe { self.filtered.downcast_raw(id) }
    }
}

/// The open spans of a layer, and the registry that they are in.
#[derive(Debug)]
struct Spans {
    ids: Ids,
    /// What the layer is a part of; set once it is.
    dispatch: OnceLock<WeakDispatch>,
}

impl Spans {
    /// The span with this id, or the nearest one around it that is known.
    #[inline(always)]
    fn nearest(&self, id: &Id) -> Option<u64> {
        self.ids.get(id.into_u64()).or_else(|| self.around_stranger(id))
    }

    #[cold]
    #[inline(never)]
    fn around_stranger(&self, id: &Id) -> Option<u64> {
        let dispatch = self.dispatch.get()?.upgrade()?;
        let registry = dispatch.downcast_ref::<Registry>()?;
        let mut next = id.clone();
        for _ in 0..AROUND_MAX {
            let parent = registry.span_data(&next)?.parent()?.clone();
            if let Some(handle) = self.ids.get(parent.into_u64()) {
                return Some(handle);
            }
            next = parent;
        }
        None
    }

    /// What a thread is in that has entered no known span.
    #[cold]
    #[inline(never)]
    fn outside(&self, current: Option<&Id>) -> Current {
        let handle = current.and_then(|id| self.nearest(id));
        handle.and_then(span::current_of).unwrap_or_default()
    }

    #[inline(always)]
    fn around<S: Subscriber>(&self, local: &Local, context: &Context<'_, S>) -> Current {
        let current = local.current.get();
        if current.handle | current.span_id != 0 {
            return current;
        }
        // A stranger may be entered that was filtered out before this layer could hear of it.
        self.outside(context.current_span().id())
    }

    fn named(&self, parent: Option<&Id>) -> Current {
        parent.and_then(|id| self.nearest(id)).and_then(span::current_of).unwrap_or_default()
    }
}

impl Drop for Spans {
    /// A subscriber that ends with spans open: nobody will close them any more.
    fn drop(&mut self) {
        for handle in self.ids.drain() {
            span::close(handle);
        }
    }
}

/// Records what its filter lets through.
struct Recorder {
    spans: Arc<Spans>,
    /// Is it a part of a subscriber?
    is_used: bool,
}

impl Recorder {
    fn join(&mut self) {
        if !std::mem::replace(&mut self.is_used, true) {
            router::add_layer(|dispatch| dispatch.is::<Self>());
            used().push(Arc::downgrade(&self.spans));
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if self.is_used && !router::is_forked() {
            router::remove_layer();
            used().retain(|spans| !std::ptr::eq(spans.as_ptr(), Arc::as_ptr(&self.spans)));
        }
    }
}

impl<S: Subscriber> Layer<S> for Recorder {
    #[inline]
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let handle = span::new_span_inside(attributes, |local| match attributes.is_contextual() {
            true => self.spans.around(local, &context),
            false => self.spans.named(attributes.parent()),
        });
        if handle != slots::DISABLED && !self.spans.ids.insert(id.into_u64(), handle) {
            span::close(handle);
        }
    }

    #[inline]
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        super::tracing_event_inside(event, |local| match event.is_contextual() {
            true => self.spans.around(local, &context),
            false => self.spans.named(event.parent()),
        });
    }
}

/// What anybody here wants.
struct Wanted {
    spans: Arc<Spans>,
}

impl<S: Subscriber> Filter<S> for Wanted {
    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        super::is_wanted(metadata, |local| self.spans.around(local, context))
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        router::interest(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(router::level_hint())
    }
}

/// The layers that are a part of a subscriber.
fn used() -> MutexGuard<'static, Vec<Weak<Spans>>> {
    static USED: Mutex<Vec<Weak<Spans>>> = Mutex::new(Vec::new());
    USED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The handle of a registry's span; `None` for a stranger.
pub(super) fn handle_of(dispatch: &Dispatch, id: &Id) -> Option<u64> {
    let known = |spans: &Spans| spans.ids.get(id.into_u64());
    if let Some(recorder) = dispatch.downcast_ref::<Recorder>() {
        return known(&recorder.spans);
    }
    // A layer in a `reload::Layer` cannot be found from outside; the registry that it is on can.
    if router::is_forked() {
        return None; // the lock may be held by a thread that is not there
    }
    let registry = std::ptr::from_ref(dispatch.downcast_ref::<Registry>()?);
    let is_there = |spans: &Arc<Spans>| {
        let dispatch = spans.dispatch.get().and_then(WeakDispatch::upgrade);
        dispatch.is_some_and(|dispatch| {
            dispatch.downcast_ref().is_some_and(|other: &Registry| std::ptr::eq(registry, other))
        })
    };
    // The lock is let go before references are: the last one to a subscriber ends a layer.
    let all: Vec<_> = used().iter().filter_map(Weak::upgrade).collect();
    all.iter().find(|spans| is_there(spans)).and_then(|spans| known(spans))
}
