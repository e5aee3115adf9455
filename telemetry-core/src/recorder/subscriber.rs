//! The recorder as the process's `tracing` subscriber.

use super::span;
use crate::router::{self, Router};
use tracing_core::span::{Attributes, Current, Id, Record};
use tracing_core::subscriber::Interest;
use tracing_core::{Event, LevelFilter, Metadata, Subscriber};

impl Subscriber for Router {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        router::interest(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(router::level_hint())
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        super::is_wanted(metadata, |local| local.current.get())
    }

    #[inline]
    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        Id::from_u64(span::new_span(attributes))
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        span::record(id.into_u64(), values);
    }

    fn record_follows_from(&self, id: &Id, other: &Id) {
        span::follows_from(id.into_u64(), other.into_u64());
    }

    #[inline]
    fn event(&self, event: &Event<'_>) {
        super::tracing_event(event);
    }

    #[inline]
    fn enter(&self, id: &Id) {
        span::enter(id.into_u64());
    }

    #[inline]
    fn exit(&self, id: &Id) {
        span::exit(id.into_u64());
    }

    #[inline]
    fn clone_span(&self, id: &Id) -> Id {
        span::retain(id.into_u64());
        id.clone()
    }

    #[inline]
    fn try_close(&self, id: Id) -> bool {
        span::close(id.into_u64())
    }

    fn current_span(&self) -> Current {
        match span::current() {
            Some((handle, metadata)) => Current::new(Id::from_u64(handle), metadata),
            None => Current::none(),
        }
    }
}
