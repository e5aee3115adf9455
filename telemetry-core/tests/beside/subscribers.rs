//! Captures beside other subscribers.

use super::{assert_passes, is_scenario};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use telemetry_core::pipeline::{Pipeline, SinkBuilder};
use telemetry_core::testing::{self, MemoryExporter};
use telemetry_core::{assert_event, assert_no_event, event};
use tracing::{info, info_span, warn};

const LONG: Duration = Duration::from_secs(20);

#[tracing_test::traced_test]
fn theirs() {
    info!("for theirs");
    assert!(logs_contain("for theirs"));
    {
        let captured = testing::capture();
        info!("for the capture");
        assert_event!(captured, message: "for the capture");
    }
    assert!(!logs_contain("for the capture"), "a capture takes");
    info!("for theirs again");
    assert!(logs_contain("for theirs again"));
}

fn ours() {
    let captured = testing::capture();
    info_span!("request").in_scope(|| warn!("slow"));
    assert_event!(captured, level: Warn, message: "slow", span: "request");
    testing::init_for_tests();
}

#[test]
fn tracing_test_first() {
    if is_scenario("subscribers::tracing_test_first") {
        theirs();
        ours();
        theirs();
    }
}

#[test]
fn capture_first() {
    if is_scenario("subscribers::capture_first") {
        ours();
        std::thread::spawn(theirs).join().unwrap();
        ours();
    }
}

#[test]
fn captures_and_tracing_test_go_together_in_either_order() {
    assert_passes("subscribers::tracing_test_first");
    assert_passes("subscribers::capture_first");
}

#[test_log::test]
fn with_test_log() {
    if is_scenario("subscribers::with_test_log") {
        ours();
    }
}

#[test]
fn captures_and_test_log_go_together() {
    assert_passes("subscribers::with_test_log");
}

/// A logger of another library's.
struct TheirLogger;

impl log::Log for TheirLogger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, _: &log::Record<'_>) {}

    fn flush(&self) {}
}

#[test]
fn logger_first() {
    if !is_scenario("subscribers::logger_first") {
        return;
    }
    log::set_logger(&TheirLogger).unwrap();
    ours();
    let captured = testing::capture();
    log::error!("theirs");
    let failure = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        assert_event!(captured, message: "theirs");
    }));
    let text = failure.unwrap_err().downcast_ref::<String>().unwrap().clone();
    assert!(text.contains("not captured: records of the `log` crate: the global"), "{text}");
}

#[test]
fn logger_second() {
    if is_scenario("subscribers::logger_second") {
        ours();
        // Of the two things that it does, one is refused: the logger.
        tracing_subscriber::fmt().try_init().unwrap_err();
        assert!(tracing::dispatcher::get_default(|current| current.is::<TheirSubscriber>()));
        ours();
    }
}

type TheirSubscriber = tracing_subscriber::fmt::Subscriber;

#[test]
fn captures_leave_a_logger_that_is_there_and_say_so() {
    assert_passes("subscribers::logger_first");
    assert_passes("subscribers::logger_second");
}

fn attached() -> (Pipeline, MemoryExporter) {
    let memory = MemoryExporter::new("memory");
    let pipeline = Pipeline::builder().sink(SinkBuilder::new(memory.clone())).attach().unwrap();
    (pipeline, memory)
}

/// Others' records go to the pipeline, a capture's to the capture.
fn beside(pipeline: &Pipeline, memory: &MemoryExporter) {
    let captured = testing::capture();
    let outer = info_span!("outer").entered();
    std::thread::spawn(|| info!("to the pipeline")).join().unwrap();
    event!(Info, "to.the.capture");
    assert_event!(captured, count: 1, name: "to.the.capture");
    drop(outer);
    drop(captured);
    info_span!("after").in_scope(|| info!("to the pipeline"));
    let report = pipeline.flush(LONG).unwrap();
    assert!(report.is_balanced() && report.is_complete(), "{report}");
    let (events, spans) = (memory.events(), memory.spans());
    assert!(events.iter().all(|event| event.message() == Some("to the pipeline")), "{events:?}");
    assert_eq!((events.len() % 2, spans.len()), (0, events.len() / 2), "{spans:?}");
}

#[test]
fn pipeline_first() {
    if is_scenario("subscribers::pipeline_first") {
        let (pipeline, memory) = attached();
        beside(&pipeline, &memory);
        beside(&pipeline, &memory);
        assert!(pipeline.shutdown(LONG).is_complete());
    }
}

#[test]
fn pipeline_second() {
    if is_scenario("subscribers::pipeline_second") {
        ours();
        let both = || {
            let (pipeline, memory) = attached();
            beside(&pipeline, &memory);
            beside(&pipeline, &memory);
            assert!(pipeline.shutdown(LONG).is_complete());
        };
        std::thread::spawn(both).join().unwrap();
        ours();
    }
}

#[test]
fn captures_beside_a_pipeline_take_theirs_and_leave_the_rest() {
    assert_passes("subscribers::pipeline_first");
    assert_passes("subscribers::pipeline_second");
}

/// Spans that one of the two opened and the other sees the end of.
#[test]
fn spans_across() {
    if !is_scenario("subscribers::spans_across") {
        return;
    }
    let (pipeline, memory) = attached();
    let of_pipeline = info_span!("of_pipeline", late = tracing::field::Empty);
    let captured = testing::capture();
    let of_capture = info_span!("of_capture", late = tracing::field::Empty);
    of_pipeline.record("late", 1);
    let inside = of_pipeline.in_scope(|| info_span!("inside"));
    drop(of_pipeline);
    drop(inside);
    let close = move || {
        of_capture.record("late", 2);
        drop(of_capture);
    };
    std::thread::spawn(close).join().unwrap();
    let spans = captured.spans();
    assert_eq!(spans[0].name, "inside");
    assert_eq!(spans[1].field("late").unwrap().as_i128(), Some(2));
    assert_eq!((spans.len(), captured.lost()), (2, 0));
    drop(captured);
    let report = pipeline.flush(LONG).unwrap();
    let spans = memory.spans();
    assert_eq!(spans[0].field("late").unwrap().as_i128(), Some(1), "{spans:?}");
    assert_eq!((spans.len(), report.lost()), (1, 0));
    assert!(pipeline.shutdown(LONG).is_complete());
}

#[test]
fn spans_end_with_whom_they_began() {
    assert_passes("subscribers::spans_across");
}

/// What a value's `Debug` emits is captured where the process's subscriber is ours: `tracing`
/// lets no event out of an event to a subscriber of a thread.
#[test]
fn nested() {
    struct Chatty;
    impl std::fmt::Debug for Chatty {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            info!("nested");
            f.write_str("Chatty")
        }
    }
    if is_scenario("subscribers::nested") {
        let (_pipeline, _) = attached();
        let captured = testing::capture();
        info!(value = ?Chatty, "outer");
        assert_event!(captured, count: 1, message: "outer", value = "Chatty");
        assert_event!(captured, count: 1, message: "nested");
    }
}

#[test]
fn event_of_a_debug_is_captured_where_the_global_subscriber_is_ours() {
    assert_passes("subscribers::nested");
}

/// A writer in memory.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn poisoned() {
    warn!("slow");
}

/// What a test sees that captures with a subscriber of `tracing-subscriber`, for its thread, after
/// a thread without one has hit the call site.
#[test]
fn peer() {
    if !is_scenario("subscribers::peer") {
        return;
    }
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, || {
        std::thread::spawn(poisoned).join().unwrap();
        poisoned();
    });
    assert_eq!(*buffer.0.lock().unwrap(), b"", "the call site was silenced for all");
    // Ours, at the same call site.
    let captured = testing::capture();
    std::thread::spawn(poisoned).join().unwrap();
    poisoned();
    assert_event!(captured, count: 1, message: "slow");
    assert_no_event!(captured, level: Error);
}

#[test]
fn call_site_that_another_thread_silences_for_a_subscriber_of_a_thread_is_captured() {
    assert_passes("subscribers::peer");
}
