//! The global subscriber made of a registry, our layer, and those of others.
//!
//! # Invariants
//!
//! - Our layer hears of everything first, so that the others find its spans.
//! - A layer hears of its subscriber: a `Vec` of layers does not tell them (tracing-subscriber
//!   0.3.23), and layers that are nested in each other lose level hints (`Layered` asks the outer
//!   one only, if both are on a registry itself).

use super::TelemetryLayer;
use crate::diagnostics;
use crate::error::Error;
use crate::level::Level;
use crate::router;
use std::any::TypeId;
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::subscriber::Interest;
use tracing_core::{Dispatch, Event, LevelFilter, Metadata};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// A layer of somebody else's.
pub(crate) type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Makes a registry with our layer and others the process's global `tracing` subscriber.
///
/// # Errors
///
/// The recorder, or another library's subscriber, is the global one already.
pub(crate) fn install(others: Vec<BoxedLayer>) -> Result<(), Error> {
    if router::is_installed() {
        return Err(Error::not_allowed(
            "`layer` comes too late: the recorder has become the global `tracing` subscriber \
             without layers, and stays it for the life of the process",
        ));
    }
    let count = others.len();
    let ours: BoxedLayer = Box::<TelemetryLayer>::default();
    let layers = std::iter::once(ours).chain(others).collect();
    let subscriber = Registry::default().with(Layers(layers));
    if tracing_core::dispatcher::set_global_default(Dispatch::new(subscriber)).is_ok() {
        let text =
            format!("the recorder is a layer on a `Registry`, beside {count} of the program");
        diagnostics::report("tracing.face", Level::Info, text);
        return Ok(());
    }
    if !router::has_layer() {
        return Err(router::foreign_subscriber());
    }
    let text = "the global `tracing` subscriber keeps the layers that it has: those given now are \
                left out";
    diagnostics::report("tracing.face", Level::Warn, text);
    Ok(())
}

/// Several layers as one.
struct Layers(Vec<BoxedLayer>);

impl Layer<Registry> for Layers {
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        self.0.iter().for_each(|layer| layer.on_register_dispatch(dispatch));
    }

    fn on_layer(&mut self, registry: &mut Registry) {
        self.0.on_layer(registry);
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        self.0.register_callsite(metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, Registry>) -> bool {
        self.0.enabled(metadata, context)
    }

    fn event_enabled(&self, event: &Event<'_>, context: Context<'_, Registry>) -> bool {
        self.0.event_enabled(event, context)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.0.max_level_hint()
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, Registry>) {
        self.0.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, Registry>) {
        self.0.on_record(id, values, context);
    }

    fn on_follows_from(&self, id: &Id, other: &Id, context: Context<'_, Registry>) {
        self.0.on_follows_from(id, other, context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, Registry>) {
        self.0.on_event(event, context);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, Registry>) {
        self.0.on_enter(id, context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, Registry>) {
        self.0.on_exit(id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, Registry>) {
        self.0.on_close(id, context);
    }

    unsafe fn downcast_raw(&self, id: TypeId) -> Option<*const ()> {
        if id == TypeId::of::<Self>() {
            return Some(std::ptr::from_ref(self).cast());
        }
        // SAFETY: the caller's promise is passed on, as in `TelemetryLayer`.
        unsafe { self.0.downcast_raw(id) }
    }
}
