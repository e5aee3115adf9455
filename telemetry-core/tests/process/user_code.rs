//! User code that runs at a call site, or around it: destructors, samplers, values of `log` records.

use super::{LONG, assert_delivered, assert_done, count, lines};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use telemetry_core::callsite::Callsite;
use telemetry_core::context::TraceId;
use telemetry_core::filter::Filter;
use telemetry_core::ledger::{Cause, Signal};
use telemetry_core::pipeline::SinkBuilder;
use telemetry_core::testing::MemoryExporter;
use telemetry_core::{Level, Sampler};

/// Emits when its thread-local is destroyed.
struct LastWords(&'static str);

impl Drop for LastWords {
    fn drop(&mut self) {
        let span = tracing::info_span!("last");
        let _entered = span.enter();
        tracing::info!("{}", self.0);
    }
}

thread_local! {
    static LAST_WORDS: std::cell::RefCell<Option<LastWords>> =
        const { std::cell::RefCell::new(None) };
}

pub(crate) fn destructors() {
    let memory = MemoryExporter::new("memory");
    let pipeline =
        super::builder().sink(lines()).sink(SinkBuilder::new(memory.clone())).attach().unwrap();
    for _ in 0..50 {
        // Destructors run last-registered first: ours is registered by the first record.
        std::thread::spawn(|| {
            LAST_WORDS.set(Some(LastWords("ours is gone")));
            tracing::info!("alive");
        })
        .join()
        .unwrap();
        std::thread::spawn(|| {
            tracing::info!("alive");
            LAST_WORDS.set(Some(LastWords("ours is there")));
        })
        .join()
        .unwrap();
        std::thread::spawn(|| LAST_WORDS.set(Some(LastWords("ours never was")))).join().unwrap();
    }
    let report = pipeline.shutdown(LONG);
    assert_delivered(&report);
    assert_eq!(memory.spans().len(), 150);
    // Calls after our thread-local's end share one state, which enters no spans; a registry knows.
    let in_span = memory.events().iter().filter(|event| event.spans.len() == 1).count();
    assert_eq!(in_span, if super::is_layer() { 150 } else { 100 });
}

/// Logs and opens a span when it is formatted in a destructor.
struct Nested;

impl std::fmt::Debug for Nested {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        tracing::info!("nested");
        log::info!("nested");
        telemetry_core::event!(Info, "nested");
        drop(tracing::info_span!("nested"));
        f.write_str("nested")
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        tracing::info!(value = ?self, "outer");
    }
}

thread_local! {
    static NESTED: std::cell::RefCell<Option<Nested>> = const { std::cell::RefCell::new(None) };
}

pub(crate) fn nested_destructors() {
    // What the pipeline says of its own losses would be one more record, if it comes in time.
    let sink = lines().filter("info,telemetry=off".parse().unwrap());
    let pipeline = super::builder().sink(sink).attach().unwrap();
    for _ in 0..50 {
        // Destructors run last-registered first: ours is registered by the first record.
        std::thread::spawn(|| {
            NESTED.set(Some(Nested));
            tracing::info!("alive");
        })
        .join()
        .unwrap();
    }
    let report = pipeline.shutdown(LONG);
    for (signal, delivered, reentrant) in [(Signal::Log, 100, 150), (Signal::Span, 0, 50)] {
        let counts = report.exporter("lines").unwrap().counts(signal);
        assert_eq!(counts.delivered, delivered, "{report}");
        assert_eq!(counts.dropped_for(Cause::Reentrant), reentrant, "{report}");
        assert_eq!(counts.emitted, delivered + reentrant, "{report}");
    }
}

#[test]
fn records_nested_in_those_of_destructors_are_counted() {
    assert_done("nested_destructors");
}

#[test]
fn thread_local_destructors_are_heard() {
    let text = assert_done("destructors");
    for line in ["ours is gone", "ours is there", "ours never was"] {
        assert_eq!(count(&text, line), 50, "{line}");
    }
    assert_eq!(count(&text, "alive"), 100);
}

struct Everything(bool);

impl Sampler for Everything {
    fn sample(&self, _: TraceId, _: &Callsite) -> bool {
        self.0
    }
}

struct OnlyNamed(&'static str, Arc<Mutex<BTreeMap<String, usize>>>);

impl Sampler for OnlyNamed {
    fn sample(&self, _: TraceId, root: &Callsite) -> bool {
        *self.1.lock().unwrap().entry(root.name().to_owned()).or_default() += 1;
        assert_ne!(root.name(), "panics", "a sampler's panic stays there");
        root.name() == self.0
    }
}

pub(crate) fn sampler() {
    for sampled in [true, false] {
        let memory = MemoryExporter::new("memory");
        let pipeline = super::builder()
            .sink(SinkBuilder::new(memory.clone()))
            .sampler(Everything(sampled))
            .attach()
            .unwrap();
        tracing::info_span!("root").in_scope(|| tracing::info!("inside"));
        assert_delivered(&pipeline.shutdown(LONG));
        assert_eq!((memory.events().len(), memory.spans().len()), (1, usize::from(sampled)));
        assert_eq!(memory.events()[0].spans.len(), 1, "its fields are there all the same");
    }
    let asked: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let memory = MemoryExporter::new("memory");
    let pipeline = super::builder()
        .sink(SinkBuilder::new(memory.clone()))
        .sampler(OnlyNamed("kept", Arc::clone(&asked)))
        .attach()
        .unwrap();
    tracing::info_span!("kept").in_scope(|| drop(tracing::info_span!("child")));
    tracing::info_span!("other").in_scope(|| drop(tracing::info_span!("child")));
    drop(tracing::info_span!("panics"));
    let report = pipeline.shutdown(LONG);
    assert_delivered(&report);
    let mut names: Vec<_> = memory.spans().iter().map(|span| span.name.clone()).collect();
    names.sort();
    assert_eq!(names, ["child", "kept", "panics"], "the decision travels from root to child");
    assert!(!asked.lock().unwrap().contains_key("child"), "asked at roots only");
}

/// Opens a span of its own, as an instrumented function that it calls would.
struct Instrumented;

impl Sampler for Instrumented {
    fn sample(&self, _: TraceId, root: &Callsite) -> bool {
        tracing::info_span!("of the sampler").in_scope(|| tracing::info!("asked"));
        root.name() == "kept"
    }
}

pub(crate) fn sampler_span() {
    let memory = MemoryExporter::new("memory");
    let sink = SinkBuilder::new(memory.clone());
    let pipeline = super::builder().sink(sink).sampler(Instrumented).attach().unwrap();
    drop(tracing::info_span!("kept"));
    drop(tracing::info_span!("other"));
    assert_delivered(&pipeline.shutdown(LONG));
    let names: Vec<_> = memory.spans().iter().map(|span| span.name.clone()).collect();
    assert_eq!(names, ["of the sampler", "kept", "of the sampler"]);
    assert_eq!(memory.events().len(), 2);
}

#[test]
fn sampler_that_opens_spans_is_not_asked_about_them() {
    assert_done("sampler_span");
}

#[test]
fn sampler_decides_at_the_root_and_logs_are_kept() {
    assert_done("sampler");
}

pub(crate) fn log_bridge() {
    let memory = MemoryExporter::new("memory");
    let sink = SinkBuilder::new(memory.clone()).filter(Filter::level(Level::Debug));
    let pipeline = super::builder().sink(sink).attach().unwrap();
    log::info!(target: "library", answer = 42; "of the log crate");
    log::trace!("not wanted");
    // What `tracing` with `log-always` does: the event, then a log record of the same place.
    let (line, _) = (line!() + 1, tracing::info!("from tracing"));
    let text = std::hint::black_box("from tracing");
    let echo = || {
        log::logger().log(
            &log::Record::builder()
                .args(format_args!("{text}"))
                .level(log::Level::Info)
                .target(module_path!())
                .file(Some(file!()))
                .line(Some(line - 1))
                .build(),
        );
    };
    echo();
    let message =
        |n: usize| memory.events().get(n).and_then(|event| event.message().map(str::to_owned));
    pipeline.flush(LONG).unwrap();
    assert_eq!(memory.events().len(), 2, "{:?}", memory.events());
    assert_eq!(message(1).as_deref(), Some("from tracing"));
    // Without the event before it, it is a record like any other.
    echo();
    tracing::info_span!("around").in_scope(|| log::warn!("inside"));
    // Whoever uses both on one line, as a macro does, means both.
    #[rustfmt::skip]
    let () = { tracing::info!("of both"); log::info!("{text}, again"); };
    let report = pipeline.shutdown(LONG);
    assert_delivered(&report);
    assert_eq!(report.log_echoes, 1, "what is left out is counted");
    let events = memory.events();
    assert_eq!(events.len(), 6);
    assert_eq!(events[0].target, "library");
    assert_eq!(events[3].spans.len(), 1);
    assert_eq!(events[5].message(), Some("from tracing, again"));
}

#[test]
fn log_records_arrive_and_echoes_of_tracing_do_not() {
    assert_done("log");
}

/// Key-values whose source panics.
struct Hopeless;

impl log::kv::Source for Hopeless {
    fn visit<'kvs>(
        &'kvs self,
        visitor: &mut dyn log::kv::VisitSource<'kvs>,
    ) -> Result<(), log::kv::Error> {
        visitor.visit_pair("first".into(), 1.into())?;
        panic!("in the source, on purpose");
    }
}

pub(crate) fn log_panic() {
    let memory = MemoryExporter::new("memory");
    let pipeline = super::builder().sink(SinkBuilder::new(memory.clone())).attach().unwrap();
    let record =
        log::Record::builder().args(format_args!("survives")).key_values(&Hopeless).build();
    log::logger().log(&record);
    log::info!("next");
    tracing::info!("last");
    assert_delivered(&pipeline.shutdown(LONG));
    let events = memory.events();
    let messages: Vec<_> = events.iter().filter_map(|event| event.message()).collect();
    assert_eq!(messages, ["survives", "next", "last"]);
    assert!(events[0].field("first").is_some());
}

#[test]
fn panic_in_the_key_values_of_a_log_record_stays_there() {
    assert_done("log_panic");
}
