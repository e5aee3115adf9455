//! Their values as ours, and ours as theirs.
//!
//! # Invariants
//!
//! - Ids and flags are the same bits on both sides; flags that we do not know are dropped.
//! - A trace's state or baggage that one side cannot read is left out, member by member if it can.

use super::api::baggage as theirs;
use super::api::trace::{
    SpanContext as TheirSpan, SpanId, TraceFlags as TheirFlags, TraceId, TraceState as TheirState,
};
use super::api::{KeyValue, Value};
use telemetry_core::context::{self as ours, Baggage, SpanContext, TraceFlags, TraceState};
use telemetry_core::record::Writer;

/// Their span, if it is valid.
pub(crate) fn span(span: &TheirSpan) -> Option<SpanContext> {
    let state = span.trace_state().header();
    let state = if state.is_empty() { None } else { TraceState::parse([state.as_str()]) };
    Some(SpanContext {
        trace_id: ours::TraceId::new(u128::from_be_bytes(span.trace_id().to_bytes()))?,
        span_id: ours::SpanId::new(u64::from_be_bytes(span.span_id().to_bytes()))?,
        flags: TraceFlags::from_bits(span.trace_flags().to_u8()),
        state: state.unwrap_or_default(),
        is_remote: span.is_remote(),
    })
}

/// Our span.
pub(crate) fn to_their_span(span: &SpanContext) -> TheirSpan {
    let state = TheirState::from_key_value(span.state.members()).unwrap_or_default();
    TheirSpan::new(
        TraceId::from_bytes(span.trace_id.to_bytes()),
        SpanId::from_bytes(span.span_id.to_bytes()),
        TheirFlags::new(span.flags.bits()),
        span.is_remote,
        state,
    )
}

/// Their baggage.
pub(crate) fn baggage(baggage: &theirs::Baggage) -> Baggage {
    // Its text is the header's value, with properties and in the same encoding.
    if baggage.is_empty() { Baggage::default() } else { Baggage::parse([&*baggage.to_string()]) }
}

/// Our baggage.
pub(crate) fn to_their_baggage(baggage: &Baggage) -> theirs::Baggage {
    let mut members = theirs::Baggage::new();
    for (key, value) in baggage.iter() {
        let metadata = baggage.metadata(key).unwrap_or_default();
        members.insert_with_metadata(key.to_owned(), value.to_owned(), metadata);
    }
    members
}

/// Writes an attribute as a field; a list becomes its text.
pub(crate) fn write(writer: &mut Writer<'_>, attribute: &KeyValue) {
    let key = attribute.key.as_str();
    match &attribute.value {
        Value::Bool(value) => writer.inline(key, value),
        Value::I64(value) => writer.inline(key, value),
        Value::F64(value) => writer.inline(key, value),
        Value::String(value) => writer.inline(key, &value.as_str()),
        other => writer.inline(key, &&*other.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_the_same_on_both_sides() {
        let one = SpanContext {
            trace_id: ours::TraceId::new(7 << 64 | 9).unwrap(),
            span_id: ours::SpanId::new(5).unwrap(),
            flags: TraceFlags::SAMPLED | TraceFlags::RANDOM,
            state: TraceState::parse(["a=1,b=2"]).unwrap(),
            is_remote: true,
        };
        assert_eq!(span(&to_their_span(&one)), Some(one));
        assert_eq!(span(&TheirSpan::NONE), None);
    }

    #[test]
    fn baggage_is_the_same_on_both_sides() {
        let one = Baggage::parse(["k=a%2Cb;ttl=3,l=%C3%A9"]);
        let there = to_their_baggage(&one);
        assert_eq!(there.get("k").unwrap().as_str(), "a,b");
        assert_eq!(there.get_with_metadata("k").unwrap().1.as_str(), "ttl=3");
        let back = baggage(&there);
        assert_eq!((back.get("k"), back.metadata("k")), (Some("a,b"), Some("ttl=3")));
        assert_eq!((back.get("l"), back.len()), (Some("é"), 2));
    }
}
