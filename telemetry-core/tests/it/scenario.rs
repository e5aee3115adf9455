//! One event in its spans, put to a filter three ways: to `explain`, to a pipeline, and to
//! tracing-subscriber's `EnvFilter`.

use crate::face;
use crate::support::shut_down;
use std::sync::OnceLock;
use telemetry_core::Level;
use telemetry_core::filter::{FieldValue, Filter, Record, SpanRecord};
use telemetry_core::pipeline::SinkBuilder;
use telemetry_core::testing::MemoryExporter;
use tracing::callsite::{Callsite, Identifier};
use tracing::field::{FieldSet, Value};
use tracing::level_filters::LevelFilter;
use tracing::metadata::{Kind, Metadata};
use tracing::span::{Attributes, Id};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Held {
    Integer(i64),
    Bool(bool),
    Text(String),
}

impl Held {
    fn as_value(&self) -> &dyn Value {
        match self {
            Self::Integer(value) => value,
            Self::Bool(value) => value,
            Self::Text(value) => value,
        }
    }

    fn as_field_value(&self) -> FieldValue<'_> {
        match self {
            Self::Integer(value) => FieldValue::Integer((*value).into()),
            Self::Bool(value) => FieldValue::Bool(*value),
            Self::Text(value) => FieldValue::Text(value),
        }
    }
}

/// An event or a span; at most three fields.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) target: String,
    pub(crate) level: Level,
    pub(crate) fields: Vec<(String, Held)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) filter: String,
    /// Outermost first; all are entered.
    pub(crate) spans: Vec<Place>,
    pub(crate) event: Place,
}

struct Site(OnceLock<Metadata<'static>>);

impl Callsite for Site {
    fn set_interest(&self, _: Interest) {}

    fn metadata(&self) -> &Metadata<'_> {
        self.0.get().unwrap()
    }
}

fn leak(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

impl Place {
    fn metadata(&self, kind: Kind) -> &'static Metadata<'static> {
        let site: &'static Site = Box::leak(Box::new(Site(OnceLock::new())));
        let names: Vec<&'static str> = self.fields.iter().map(|(name, _)| leak(name)).collect();
        let level = match self.level {
            Level::Trace => tracing::Level::TRACE,
            Level::Debug => tracing::Level::DEBUG,
            Level::Info => tracing::Level::INFO,
            Level::Warn => tracing::Level::WARN,
            Level::Error => tracing::Level::ERROR,
        };
        let fields = FieldSet::new(Box::leak(names.into_boxed_slice()), Identifier(site));
        let (name, target) = (leak(&self.name), leak(&self.target));
        site.0.get_or_init(|| Metadata::new(name, target, level, None, None, None, fields, kind))
    }

    /// Calls `f` with the fields' values.
    fn with_values<R>(
        &self,
        metadata: &'static Metadata<'static>,
        f: impl FnOnce(&tracing::field::ValueSet<'_>) -> R,
    ) -> R {
        let fields: Vec<_> = metadata.fields().iter().collect();
        let value = |n: usize| self.fields.get(n).map(|(_, held)| held.as_value());
        match fields.as_slice() {
            [] => f(&metadata.fields().value_set(&[])),
            [a] => f(&metadata.fields().value_set(&[(a, value(0))])),
            [a, b] => f(&metadata.fields().value_set(&[(a, value(0)), (b, value(1))])),
            [a, b, c] => {
                let values = [(a, value(0)), (b, value(1)), (c, value(2))];
                f(&metadata.fields().value_set(&values))
            }
            _ => panic!("too many fields"),
        }
    }

    fn held(&self) -> Vec<(&str, FieldValue<'_>)> {
        self.fields.iter().map(|(name, held)| (name.as_str(), held.as_field_value())).collect()
    }
}

/// What `tracing`'s macros ask before they call.
fn is_asked_for(
    dispatch: &Dispatch,
    hint: LevelFilter,
    metadata: &'static Metadata<'static>,
) -> bool {
    let interest = dispatch.register_callsite(metadata);
    *metadata.level() <= hint
        && !interest.is_never()
        && (interest.is_always() || dispatch.enabled(metadata))
}

/// What the pipeline tells `tracing` of the levels it wants.
fn filter_hint(filter: &Filter) -> LevelFilter {
    match filter.max_level() {
        None => LevelFilter::OFF,
        Some(Level::Error) => LevelFilter::ERROR,
        Some(Level::Warn) => LevelFilter::WARN,
        Some(Level::Info) => LevelFilter::INFO,
        Some(Level::Debug) => LevelFilter::DEBUG,
        Some(Level::Trace) => LevelFilter::TRACE,
    }
}

impl Scenario {
    /// What `explain` says.
    pub(crate) fn explained(&self) -> Result<bool, String> {
        let filter = Filter::parse(&self.filter).map_err(|error| error.render())?;
        Ok(self.explain(&filter, |explanation| explanation.enabled))
    }

    pub(crate) fn explain<R>(
        &self,
        filter: &Filter,
        f: impl FnOnce(&telemetry_core::filter::Explanation<'_>) -> R,
    ) -> R {
        let held: Vec<_> = self.spans.iter().map(Place::held).collect();
        let spans: Vec<_> = self
            .spans
            .iter()
            .zip(&held)
            .map(|(span, fields)| SpanRecord {
                name: &span.name,
                target: Some(&span.target),
                fields,
            })
            .collect();
        let fields = self.event.held();
        let (target, level) = (self.event.target.as_str(), self.event.level);
        f(&filter.explain(&Record { target, level, fields: &fields, spans: &spans }))
    }

    /// Opens and enters the spans, emits the event; says whether the event was asked for.
    fn play(&self, dispatch: &Dispatch, hint: LevelFilter) -> bool {
        let mut entered: Vec<Id> = Vec::new();
        for span in &self.spans {
            let metadata = span.metadata(Kind::SPAN);
            if is_asked_for(dispatch, hint, metadata) {
                let id = span.with_values(metadata, |values| {
                    dispatch.new_span(&Attributes::new(metadata, values))
                });
                dispatch.enter(&id);
                entered.push(id);
            }
        }
        let metadata = self.event.metadata(Kind::EVENT);
        let is_asked_for = is_asked_for(dispatch, hint, metadata);
        if is_asked_for {
            self.event.with_values(metadata, |values| {
                dispatch.event(&Event::new(metadata, values));
            });
        }
        for id in entered.into_iter().rev() {
            dispatch.exit(&id);
            dispatch.try_close(id);
        }
        is_asked_for
    }

    /// What a pipeline delivers.
    pub(crate) fn delivered(&self) -> Result<bool, String> {
        let filter = Filter::parse(&self.filter).map_err(|error| error.render())?;
        let memory = MemoryExporter::new("memory");
        let most = filter_hint(&filter);
        let sink = SinkBuilder::new(memory.clone()).filter(filter);
        let pipeline = face::builder().sink(sink).scoped().unwrap();
        pipeline.run(|| {
            tracing::dispatcher::get_default(|dispatch| self.play(dispatch, most));
        });
        shut_down(pipeline);
        Ok(!memory.events().is_empty())
    }

    /// What `EnvFilter` does.
    pub(crate) fn env_filter(&self) -> Result<bool, String> {
        let filter = EnvFilter::try_new(&self.filter).map_err(|error| error.to_string())?;
        let hint = filter.max_level_hint().unwrap_or(LevelFilter::TRACE);
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(filter));
        Ok(tracing::dispatcher::with_default(&dispatch, || self.play(&dispatch, hint)))
    }
}
