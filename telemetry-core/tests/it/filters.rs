//! Directives of spans and fields, at call sites.

use crate::face;
use crate::support::shut_down;
use std::cell::Cell;
use telemetry_core::event;
use telemetry_core::filter::Filter;
use telemetry_core::pipeline::SinkBuilder;
use telemetry_core::testing::{MemoryExporter, OwnedValue};

/// What passes a filter: the `n` of events, and the names of spans.
fn passed(filter: &str, emit: impl FnOnce()) -> (Vec<u64>, Vec<String>) {
    let (events, spans, lost) = passed_with_losses(filter, emit);
    assert_eq!(lost, 0);
    (events, spans)
}

/// As [`passed`], and how many were lost.
fn passed_with_losses(filter: &str, emit: impl FnOnce()) -> (Vec<u64>, Vec<String>, u64) {
    let memory = MemoryExporter::new("memory");
    let sink = SinkBuilder::new(memory.clone()).filter(Filter::parse(filter).unwrap());
    let pipeline = face::builder().sink(sink).scoped().unwrap();
    pipeline.run(emit);
    let report = shut_down(pipeline);
    let number = |fields: &[(String, OwnedValue)]| {
        let field = fields.iter().find(|(key, _)| key == "n").cloned();
        let Some((_, OwnedValue::U64(n))) = field else { panic!("{fields:?}") };
        n
    };
    let events = memory.events().iter().map(|event| number(&event.fields)).collect();
    (events, memory.spans().iter().map(|span| span.name.clone()).collect(), report.lost())
}

fn requests() {
    for tenant in [41_u64, 42] {
        let request = tracing::info_span!("request", tenant);
        let _request = request.enter();
        tracing::info!(n = tenant, "info");
        tracing::debug!(n = tenant + 100, "debug");
        let query = tracing::debug_span!("query");
        query.in_scope(|| tracing::trace!(n = tenant + 200, "trace"));
    }
}

#[test]
fn span_fields_decide_about_what_is_inside() {
    let (events, spans) = passed("info,[request{tenant=42}]=debug", requests);
    assert_eq!(events, [41, 42, 142]);
    assert_eq!(spans, ["request", "query", "request"]);
    let (events, spans) = passed("[request{tenant=42}]=trace", requests);
    assert_eq!(events, [42, 142, 242]);
    assert_eq!(spans, ["query", "request"]);
    let (events, spans) = passed("trace,[request{tenant=42}]=off", requests);
    assert_eq!(events, [41, 141, 241]);
    assert_eq!(spans, ["query", "request"]);
    assert_eq!(passed("info,[request]=off", requests), (vec![], vec![]));
    assert_eq!(passed("info,[request{tenant>41}]=warn", requests).0, [41]);
    assert_eq!(passed("off,[{tenant!=42}]=info", requests).0, [41]);
}

#[test]
fn event_fields_decide_about_the_event() {
    let emit = || {
        for n in [1_u64, 2] {
            tracing::debug!(n, status = n * 100, "by tracing");
            event!(Debug, "own", { n = n + 10, status = n * 100 });
            tracing::debug!(n = n + 20, path = %format_args!("/api/v{n}/x"), "printed");
            event!(Debug, "own.printed", { n = n + 30 }, { path = %format_args!("/api/v{n}/x") });
        }
    };
    assert_eq!(passed("info,[{status>=200}]=debug", emit).0, [2, 12]);
    assert_eq!(passed("debug,[{status>=200}]=off", emit).0, [1, 11, 21, 31, 22, 32]);
    assert_eq!(passed("info,[{path~\"^/api/v1/\"}]=trace", emit).0, [21, 31]);
    assert_eq!(passed("info,[{status>=200}]=debug,[{status=100,n=11}]=debug", emit).0, [11, 2, 12]);
}

#[test]
fn fields_that_are_recorded_later_decide_from_then_on() {
    let emit = || {
        let span = tracing::info_span!("s", a = 1, b = tracing::field::Empty);
        let child = span.in_scope(|| tracing::info_span!("child"));
        let log = |n: u64| {
            span.in_scope(|| tracing::debug!(n, "in it"));
            child.in_scope(|| tracing::debug!(n = n + 10, "in its child"));
        };
        log(1);
        span.record("b", 2);
        log(2);
        span.record("b", 3);
        log(3);
    };
    assert_eq!(passed("info,[s{a=1,b=2}]=debug", emit).0, [2, 12]);
    assert_eq!(passed("info,[{b>=2}]=debug", emit).0, [2, 12, 3, 13]);
}

#[test]
fn hidden_span_leaves_its_place_to_the_one_around_it() {
    let memory = MemoryExporter::new("memory");
    let filter = Filter::parse("off,[outer]=info,[leaf]=info,[inner]=off").unwrap();
    let sink = SinkBuilder::new(memory.clone()).filter(filter);
    let pipeline = face::builder().sink(sink).scoped().unwrap();
    pipeline.run(|| {
        let outer = tracing::info_span!("outer").entered();
        let other = tracing::info_span!("other").entered();
        tracing::info!("in outer, as far as is told");
        drop(other);
        drop(outer);
        drop(tracing::info_span!("nothing").entered());
        let hidden = tracing::info_span!("inner").entered();
        let leaf = tracing::info_span!("leaf");
        drop(hidden);
        drop(leaf);
    });
    shut_down(pipeline);
    let spans = memory.spans();
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["other", "outer"]);
    assert_eq!(memory.events().len(), 1);
}

#[test]
fn debug_that_logs_or_panics_while_its_field_is_held_is_harmless() {
    struct Loud<'a>(&'a Cell<u64>);
    impl std::fmt::Debug for Loud<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.set(self.0.get() + 1);
            tracing::debug!(n = 90_u64, loud = ?self, "nested");
            f.write_str("loud")
        }
    }
    struct Broken;
    impl std::fmt::Debug for Broken {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("broken")
        }
    }
    let calls = Cell::new(0);
    // Nested deeper than one record in another, a record is lost, and counted.
    let (events, _, lost) = passed_with_losses("info,[{loud=loud}]=debug", || {
        tracing::debug!(n = 1_u64, loud = ?Loud(&calls), "outer");
        tracing::debug!(n = 2_u64, loud = ?Broken, "broken");
        tracing::info!(n = 3_u64, "after");
    });
    assert!(events.contains(&1) && events.contains(&3) && !events.contains(&2), "{events:?}");
    assert!(lost <= 1, "{lost}");
    assert!(calls.get() < 10, "{}", calls.get());
}

#[test]
fn spans_of_another_thread_count_by_their_parents() {
    let (events, _) = passed("info,[request{tenant=42}]=debug", || {
        let request = tracing::info_span!("request", tenant = 42_u64);
        let task = request.in_scope(|| tracing::info_span!("task"));
        task.in_scope(|| tracing::debug!(n = 1_u64, "only the child is entered"));
        tracing::debug!(n = 2_u64, "outside");
        let alone = tracing::info_span!(parent: None, "alone");
        request.in_scope(|| alone.in_scope(|| tracing::debug!(n = 3_u64, "in another tree")));
    });
    assert_eq!(events, [1]);
}

#[test]
fn spans_by_handle_are_decided_by_names_and_what_is_around_them() {
    use telemetry_core::Level;
    use telemetry_core::context::{self, OwnedSpan, SpanParent};
    let span = context::span_callsite(Level::Debug, "library", "by handle");
    let event = context::event_callsite(Level::Debug, "library", "happened");
    let open = || {
        let span = OwnedSpan::start(span, SpanParent::Current, None, |_| {});
        if let Some(span) = &span {
            span.open().emit(event, |_| {});
        }
    };
    let table = [
        ("info", 0, 0),
        ("debug,[other]=off", 2, 2),
        ("info,[around]=debug", 1, 1),
        ("debug,[around]=off", 1, 1),
        ("info,[\"by handle\"]=debug", 2, 2),
        ("info,[{n=1}]=debug", 0, 0),
    ];
    for (filter, spans, events) in table {
        let memory = MemoryExporter::new("memory");
        let sink = SinkBuilder::new(memory.clone()).filter(filter.parse().unwrap());
        let pipeline = crate::face::builder().sink(sink).scoped().unwrap();
        pipeline.run(|| {
            open();
            tracing::trace_span!("around").in_scope(open);
        });
        shut_down(pipeline);
        let handles = memory.spans().iter().filter(|span| span.name == "by handle").count();
        assert_eq!((handles, memory.events().len()), (spans, events), "{filter}");
    }
}

#[test]
fn too_many_dynamic_directives_of_all_exporters_are_an_error() {
    let sink = |n: usize| {
        let filter: Vec<_> = (0..40).map(|k| format!("[s{n}_{k}]=info")).collect();
        SinkBuilder::new(MemoryExporter::new(format!("memory {n}")))
            .filter(Filter::parse(&filter.join(",")).unwrap())
    };
    assert!(face::builder().sink(sink(1)).scoped().is_ok());
    let error = face::builder().sink(sink(1)).sink(sink(2)).scoped().unwrap_err();
    assert!(error.is_setting() && error.to_string().contains("64"), "{error}");
}

/// Sets each filter in turn, and emits a `trace` event with the number of the turn after it.
#[test]
fn open_spans_go_on_to_carry_what_stays_when_filters_change() {
    let memory = MemoryExporter::new("memory");
    let filter = Filter::parse("info,[request{tenant=42}]=trace").unwrap();
    let builder = face::builder().filter(filter).sink(SinkBuilder::new(memory.clone()));
    let pipeline = builder.scoped().unwrap();
    let turns = [
        ("info,[other{x=1}]=off,[request{tenant=42}]=debug", false, "it stays, at another level"),
        ("info,[other{x=1}]=off,[request{tenant=42}]=trace", true, "it stays"),
        ("info", false, "it is gone"),
        ("info,[request{tenant=42}]=trace", false, "it is new, and the values are not known"),
        ("info,[request]=trace", true, "it is new, and needs no values"),
        ("info,[{tenant}]=trace", true, "it is new, and needs a name only"),
        ("info,[{user}]=trace", false, "there is no such field"),
    ];
    pipeline.run(|| {
        let span = tracing::info_span!("request", tenant = 42_u64).entered();
        for (n, (filter, _, _)) in turns.iter().enumerate() {
            pipeline.filters().set(filter).unwrap();
            tracing::trace!(n = n as u64, "in the span");
        }
        pipeline.filters().set("info,[request{tenant=42}]=trace").unwrap();
        span.record("tenant", 42_u64);
        tracing::trace!(n = 100_u64, "recorded again");
        pipeline.filters().set("info,[request{tenant=42}]=trace,[other{x=1}]=off").unwrap();
        tracing::trace!(n = 101_u64, "known since it was recorded");
    });
    shut_down(pipeline);
    let events = memory.events();
    let has = |n: usize| {
        let field = ("n".to_owned(), OwnedValue::U64(n as u64));
        events.iter().any(|event| event.fields.contains(&field))
    };
    for (n, (filter, expected, why)) in turns.iter().enumerate() {
        assert_eq!(has(n), *expected, "{filter}: {why}");
    }
    assert!(has(100) && has(101));
}

#[test]
fn filters_of_single_exporters_are_their_own_until_they_are_unset() {
    let sink = |name: &str| SinkBuilder::new(MemoryExporter::new(name));
    let own = sink("own").filter(Filter::parse("warn").unwrap());
    let pipeline = face::builder().sink(sink("common")).sink(own).scoped().unwrap();
    let filters = pipeline.filters();
    let in_effect =
        || filters.in_effect().iter().map(|(_, filter)| filter.to_string()).collect::<Vec<_>>();
    assert_eq!(in_effect(), ["info", "warn"]);
    filters.set("debug").unwrap();
    assert_eq!(in_effect(), ["debug", "warn"]);
    let temporary = filters.add_to("own", "app=trace", std::time::Duration::from_secs(60)).unwrap();
    filters.set_of("own", "error,app=off").unwrap();
    assert_eq!(in_effect(), ["debug", "error,app=trace"]);
    assert_eq!(filters.temporary()[0].exporter(), Some("own"));
    assert!(temporary.cancel().unwrap() && !temporary.cancel().unwrap());
    filters.unset_of("own").unwrap();
    assert_eq!(in_effect(), ["debug", "debug"]);
    shut_down(pipeline);
    assert!(filters.set("info").is_err(), "it does not run any more");
}

#[test]
fn what_cannot_be_had_leaves_the_filters_as_they_were() {
    let pipeline =
        face::builder().sink(SinkBuilder::new(MemoryExporter::new("memory"))).scoped().unwrap();
    let filters = pipeline.filters();
    let life = std::time::Duration::from_secs(60);
    let many = |prefix: &str| {
        let parts: Vec<_> = (0..40).map(|n| format!("[{prefix}{n}]=info")).collect();
        parts.join(",")
    };
    filters.set(&many("a")).unwrap();
    let errors = [
        filters.set("info,app=debgu").unwrap_err(),
        filters.set_of("other", "info").unwrap_err(),
        filters.add(&many("b"), life).unwrap_err(),
        filters.add("debug", std::time::Duration::ZERO).unwrap_err(),
        filters.add("debug", life * 60 * 24 * 8).unwrap_err(),
    ];
    for (error, text) in errors.iter().zip(["debgu", "`memory`", "64", "nothing", "604800s"]) {
        assert!(error.to_string().contains(text), "{error}");
    }
    assert!(errors[0].excerpt().unwrap().contains("^^^^^ did you mean `debug`?"));
    assert_eq!(filters.of("memory").unwrap(), many("a").parse().unwrap());
    for _ in 0..telemetry_core::pipeline::TEMPORARY_MAX {
        filters.add("app=debug", life).unwrap();
    }
    assert!(filters.add("app=debug", life).unwrap_err().to_string().contains("32"));
    shut_down(pipeline);
}
