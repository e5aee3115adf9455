//! Claims that need a process of their own: the attached pipeline, ways out of a process, forks.
//!
//! Each test runs this binary again with one scenario, and looks at what that left behind.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::print_stdout,
    reason = "tests"
)]

mod filter_file;
mod forks;
mod rate_limit;
mod redaction;
mod reload;
mod signals;
mod user_code;

use std::io::Write;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Once;
use std::time::Duration;
use telemetry_core::Level;
use telemetry_core::TelemetryLayer;
use telemetry_core::batch::Batch;
use telemetry_core::clock::ManualClock;
use telemetry_core::export::{Ack, Exporter, Outcome};
use telemetry_core::ledger::{Report, Signal};
use telemetry_core::pipeline::{Builder, Pipeline, SinkBuilder};
use telemetry_core::record::Value;
use telemetry_core::testing::MemoryExporter;
use tracing_subscriber::layer::SubscriberExt;

const SCENARIO: &str = "TELEMETRY_TEST_SCENARIO";
const LONG: Duration = Duration::from_secs(20);

/// Runs a scenario in a child, and returns what it wrote into its file and how it ended.
fn run(scenario: &str) -> (String, ExitStatus) {
    run_beside(scenario, |_| std::thread::sleep(Duration::from_millis(5)))
}

/// Runs a scenario in a child, and `meanwhile` again and again with the child's id.
fn run_beside(scenario: &str, meanwhile: impl Fn(libc::pid_t)) -> (String, ExitStatus) {
    let path = std::env::temp_dir().join(format!("{scenario}-{}.txt", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let said = path.with_extension("err");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &scenario_path(), "--nocapture", "--test-threads=1"])
        .env(SCENARIO, scenario)
        .env("TELEMETRY_TEST_FILE", &path)
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&said).unwrap())
        .spawn()
        .unwrap();
    let deadline = telemetry_core::clock::now() + Duration::from_secs(60);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if telemetry_core::clock::now() > deadline {
            let _ = child.kill();
            panic!("{scenario} hangs");
        }
        meanwhile(child.id() as libc::pid_t);
    };
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    if !status.success() {
        // Shown if the test fails.
        print!("{}", std::fs::read_to_string(&said).unwrap_or_default());
    }
    let _ = std::fs::remove_file(&path);
    let _ = std::fs::remove_file(&said);
    (text, status)
}

/// What the scenarios' test is called in this binary: they are a module of `tests/layer_process`.
fn scenario_path() -> String {
    let module = module_path!().split_once("::").map(|(_, module)| format!("{module}::"));
    format!("{}scenario", module.unwrap_or_default())
}

/// Is the recorder a layer in this binary?
fn is_layer() -> bool {
    module_path!().starts_with("layer")
}

/// What a pipeline is made of, in a process with the face that this binary is for.
fn builder() -> Builder {
    static INSTALL: Once = Once::new();
    if is_layer() {
        INSTALL.call_once(|| {
            let subscriber = tracing_subscriber::registry().with(TelemetryLayer::new());
            tracing::subscriber::set_global_default(subscriber).unwrap();
        });
    }
    Pipeline::builder()
}

/// Writes each event's message into the scenario's file, one a line, with one write.
struct Lines {
    name: &'static str,
    delay: Duration,
}

fn write_line(line: &str) {
    let path = std::env::var_os("TELEMETRY_TEST_FILE").unwrap();
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

impl Exporter for Lines {
    fn name(&self) -> &str {
        self.name
    }

    fn export(&mut self, batch: Batch, ack: Ack) {
        std::thread::sleep(self.delay);
        let mut lines = String::new();
        for record in batch.records() {
            if let Some(Value::Str(text) | Value::Formatted(text)) = record.message() {
                lines.push_str(text);
                lines.push('\n');
            }
        }
        write_line(lines.trim_end());
        ack.finish(Outcome::Delivered);
    }
}

fn lines() -> SinkBuilder {
    SinkBuilder::new(Lines { name: "lines", delay: Duration::ZERO })
}

fn count(text: &str, line: &str) -> usize {
    text.lines().filter(|other| *other == line).count()
}

fn assert_delivered(report: &Report) {
    assert!(report.is_balanced() && report.is_complete(), "{report}");
}

/// The child's side; does nothing when it runs as an ordinary test.
#[test]
fn scenario() {
    let Ok(scenario) = std::env::var(SCENARIO) else { return };
    match scenario.as_str() {
        "exit" => exit(),
        "panic" => panic_in_main(),
        "fork" => fork(),
        "forks" => forks::of_a_busy_process(),
        "attach_twice" => attach_twice(),
        "attach_again" => attach_again(),
        "attach_during_shutdown" => attach_during_shutdown(),
        "after_shutdown" => after_shutdown(),
        "destructors" => user_code::destructors(),
        "clock" => clock_jump(),
        "sampler" => user_code::sampler(),
        "report_after_end" => report_after_end(),
        "full_standard_error" => full_standard_error(),
        "sampler_span" => user_code::sampler_span(),
        "nested_destructors" => user_code::nested_destructors(),
        "throttled" => throttled(),
        "dynamic" => dynamic(),
        "log" => user_code::log_bridge(),
        "log_panic" => user_code::log_panic(),
        "end_and_flush" => end_and_flush(),
        "redaction_names" => redaction::names(),
        "redaction_memory" => redaction::memory(),
        "rate_limit_storm" => rate_limit::harmless(),
        "rate_limit_exact" => rate_limit::exact(),
        "rate_limit_again" => rate_limit::again(),
        "filter_file" => filter_file::follows(),
        "filter_file_later" => filter_file::comes_later(),
        "hangup" => filter_file::hangup(),
        "reload_everywhere" => reload::everywhere(),
        "reload_race" => reload::race(),
        "reload_coalesced" => reload::coalesced(),
        "reload_during_shutdown" => reload::during_shutdown(),
        "reload_forked" => reload::forked(),
        "reload_temporary" => reload::temporary(),
        "reload_foreign_default" => reload::foreign_default(),
        "signal_chain" => signals::chain(),
        "signal_emits" => signals::emits(),
        "signal_forked" => signals::forked(),
        other => panic!("no scenario {other}"),
    }
    write_line("done");
}

fn assert_done(scenario: &str) -> String {
    let (text, status) = run(scenario);
    assert!(status.success() && count(&text, "done") == 1, "{scenario}: {status}\n{text}");
    text
}

fn exit() {
    let pipeline = builder().sink(lines()).attach().unwrap();
    telemetry_core::exit::flush_at_exit(&pipeline);
    for n in 0..10_000 {
        tracing::info!("event {n}");
    }
    std::thread::scope(|scope| {
        scope.spawn(|| tracing::info!("from a thread"));
    });
    std::process::exit(7);
}

#[test]
fn process_exit_delivers_everything_and_keeps_its_code() {
    let (text, status) = run("exit");
    assert_eq!(status.code(), Some(7));
    let mut expected: Vec<_> = (0..10_000).map(|n| format!("event {n}")).collect();
    expected.push("from a thread".to_owned());
    assert!(text.lines().eq(expected.iter()), "{} lines", text.lines().count());
}

fn panic_in_main() {
    let _pipeline = builder().sink(lines()).attach().unwrap();
    let _span = tracing::info_span!("around").entered();
    tracing::info!("before the panic");
    panic!("on purpose");
}

#[test]
fn panic_delivers_what_was_emitted_before_it() {
    let (text, status) = run("panic");
    assert_eq!(status.code(), Some(101));
    assert_eq!(text.trim(), "before the panic");
}

/// Forks while other threads emit; the child emits, drops spans and exits through `exit`.
fn fork() {
    let pipeline = builder().sink(lines()).attach().unwrap();
    telemetry_core::exit::flush_at_exit(&pipeline);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    tracing::info_span!("busy").in_scope(|| tracing::debug!("not wanted"));
                    std::thread::spawn(|| tracing::info!("of a short thread")).join().unwrap();
                }
            });
        }
        for n in 0..30 {
            let span = tracing::info_span!("forked");
            let entered = span.enter();
            tracing::info!("parent {n}");
            // SAFETY: the child calls only what this test is about, and exits.
            let child = unsafe { libc::fork() };
            if child == 0 {
                for _ in 0..1_000 {
                    tracing::info!("child");
                    tracing::warn!("child, at a new callsite");
                    tracing::error!("child");
                }
                tracing::info_span!("of the child").in_scope(|| tracing::info!("child"));
                log::info!("child");
                drop(entered);
                drop(span);
                assert!(pipeline.report().buffered == 0);
                // SAFETY: runs the exit hooks, as a child that returns from `main` does.
                unsafe { libc::exit(0) };
            }
            assert!(waits_for(child), "the child of round {n} hangs or failed");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_delivered(&pipeline.shutdown(LONG));
}

fn waits_for(child: libc::pid_t) -> bool {
    let deadline = telemetry_core::clock::now() + Duration::from_secs(10);
    let mut status = 0;
    // SAFETY: `status` is ours; the child is not waited for elsewhere.
    while unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == 0 {
        if telemetry_core::clock::now() > deadline {
            // SAFETY: ends a child of ours.
            unsafe { libc::kill(child, libc::SIGKILL) };
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    status == 0
}

#[test]
fn forks_child_neither_hangs_nor_delivers_again() {
    let text = assert_done("fork");
    for n in 0..30 {
        assert_eq!(count(&text, &format!("parent {n}")), 1, "round {n}");
    }
    assert_eq!(count(&text, "child"), 0);
}

fn attach_twice() {
    let first = builder().sink(lines()).attach().unwrap();
    let error = builder().sink(lines()).attach().unwrap_err();
    assert!(error.is_already_attached(), "{error}");
    tracing::info!("still here");
    assert_delivered(&first.shutdown(LONG));
}

#[test]
fn second_attach_is_an_error_and_the_first_keeps_working() {
    assert_eq!(count(&assert_done("attach_twice"), "still here"), 1);
}

fn attach_again() {
    for n in 0..20 {
        let pipeline = builder().sink(lines()).attach().unwrap();
        tracing::info!("round {n}");
        std::thread::scope(|scope| {
            scope.spawn(|| tracing::info!("thread of round {n}"));
        });
        assert_delivered(&pipeline.shutdown(LONG));
    }
}

fn report_after_end() {
    let old = builder().sink(lines()).attach().unwrap();
    tracing::info!("old");
    assert_delivered(&old.end(LONG));
    let new = builder().sink(lines()).attach().unwrap();
    for n in 0..1_000 {
        tracing::info!("new {n}");
        assert_delivered(&old.report());
    }
    assert_delivered(&new.shutdown(LONG));
}

#[test]
fn records_of_the_next_pipeline_are_not_in_an_old_ones_report() {
    assert_done("report_after_end");
}

#[test]
fn attach_after_shutdown_loses_nothing() {
    let text = assert_done("attach_again");
    for n in 0..20 {
        assert_eq!(count(&text, &format!("round {n}")), 1);
        assert_eq!(count(&text, &format!("thread of round {n}")), 1);
    }
}

/// One thread shuts down while another attaches: neither pipeline loses what it took.
fn attach_during_shutdown() {
    for round in 0..10 {
        let delay = Duration::from_millis(2);
        let slow = SinkBuilder::new(Lines { name: "slow", delay }).queue_bytes(64 * 1024);
        let old = builder().sink(slow).attach().unwrap();
        for n in 0..5_000 {
            tracing::info!("old {round}.{n}");
        }
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let report = old.shutdown(LONG);
                assert_delivered(&report);
                let logs = report.exporter("slow").unwrap().counts(Signal::Log).clone();
                assert_eq!(logs.delivered, 5_000, "{report}");
            });
            scope.spawn(move || {
                let new = loop {
                    match builder().sink(lines()).attach() {
                        Ok(new) => break new,
                        Err(error) => assert!(error.is_already_attached(), "{error}"),
                    }
                    std::thread::yield_now();
                };
                for n in 0..1_000 {
                    tracing::info!("new {round}.{n}");
                }
                let report = new.shutdown(LONG);
                assert_delivered(&report);
                let logs = report.exporter("lines").unwrap().counts(Signal::Log).clone();
                assert_eq!(logs.delivered, 1_000, "{report}");
            });
        });
    }
}

#[test]
fn attach_during_a_shutdown_waits_for_its_end() {
    let text = assert_done("attach_during_shutdown");
    assert_eq!(text.lines().filter(|line| line.starts_with("old")).count(), 50_000);
    assert_eq!(text.lines().filter(|line| line.starts_with("new")).count(), 10_000);
}

/// Small queues behind exporters that are busy all the time.
fn throttled() {
    let busy = |name| {
        SinkBuilder::new(Lines { name, delay: Duration::from_millis(1) }).queue_bytes(64 * 1024)
    };
    let pipeline =
        builder().sink(busy("one")).sink(busy("two")).buffer_bytes(256 * 1024).attach().unwrap();
    for n in 0..50_000 {
        tracing::info!("event {n}");
    }
    let report = pipeline.shutdown(LONG);
    if report.lost() > 0 {
        write_line(&report.to_string());
    }
    assert_delivered(&report);
}

/// A CPU quota, as a cgroup enforces it: the whole process stands still most of the time.
#[test]
fn process_that_is_stopped_again_and_again_loses_nothing() {
    let signal = |child, signal| {
        // SAFETY: signals a child of ours that was not waited for yet.
        unsafe { libc::kill(child, signal) };
    };
    let (text, status) = run_beside("throttled", |child| {
        signal(child, libc::SIGSTOP);
        std::thread::sleep(Duration::from_millis(150));
        signal(child, libc::SIGCONT);
        std::thread::sleep(Duration::from_millis(30));
    });
    let tail = &text.lines().rev().take(6).collect::<Vec<_>>();
    assert!(status.success() && count(&text, "done") == 1, "{status} {tail:?}");
    assert_eq!(text.lines().filter(|line| line.starts_with("event")).count(), 100_000);
}

/// Makes standard error a pipe that is full and that nobody reads.
fn stop_reader_of_standard_error() {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for two descriptors; they stay open until the process ends.
    unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        let flags = libc::fcntl(ends[1], libc::F_GETFL);
        libc::fcntl(ends[1], libc::F_SETFL, flags | libc::O_NONBLOCK);
        while libc::write(ends[1], [b'x'; 4096].as_ptr().cast(), 4096) > 0 {}
        libc::fcntl(ends[1], libc::F_SETFL, flags);
        libc::dup2(ends[1], libc::STDERR_FILENO);
    }
}

fn full_standard_error() {
    stop_reader_of_standard_error();
    let pipeline = builder().sink(lines()).attach().unwrap();
    // From any thread: the worker reports losses, the exporters what they failed at.
    telemetry_core::diagnostics::report("test", Level::Error, "nobody reads this");
    (0..100).for_each(|n| tracing::info!("after {n}"));
    pipeline.flush(LONG).unwrap();
    assert_delivered(&pipeline.shutdown(LONG));
}

#[test]
fn full_standard_error_holds_nothing_up() {
    let text = assert_done("full_standard_error");
    assert_eq!(text.lines().filter(|line| line.starts_with("after")).count(), 100);
}

fn after_shutdown() {
    let pipeline = builder().sink(lines()).attach().unwrap();
    let span = tracing::info_span!("outlives its pipeline");
    tracing::info!("in time");
    let began = telemetry_core::clock::now();
    assert_delivered(&pipeline.end(LONG));
    for _ in 0..1_000 {
        span.in_scope(|| tracing::info!("too late"));
        log::info!("too late");
    }
    drop(span);
    let report = pipeline.end(LONG);
    assert_eq!(report.exporter("lines").unwrap().counts(Signal::Log).emitted, 1, "{report}");
    assert!(!pipeline.flush(LONG).unwrap().timed_out);
    drop(pipeline);
    assert!(telemetry_core::clock::now() - began < Duration::from_secs(10));
    // The span is of the pipeline before; what the next one gets is its own.
    let pipeline = builder().sink(lines()).attach().unwrap();
    tracing::info!("next");
    assert_delivered(&pipeline.shutdown(LONG));
}

#[test]
fn events_after_the_shutdown_are_ignored() {
    let text = assert_done("after_shutdown");
    assert_eq!(text, "in time\nnext\ndone\n");
}

fn clock_jump() {
    let clock = ManualClock::install(1_000_000_000_000);
    let memory = MemoryExporter::new("memory");
    let pipeline = builder().sink(SinkBuilder::new(memory.clone())).attach().unwrap();
    for jump in [5_000_000_000, 2_000_000_000_000, 1_000] {
        let span = tracing::info_span!("over a jump");
        pipeline.flush(LONG).unwrap();
        clock.advance(Duration::from_millis(3));
        clock.jump_to(jump);
        span.in_scope(|| tracing::info!("inside"));
        clock.advance(Duration::from_millis(4));
        drop(span);
        pipeline.flush(LONG).unwrap();
    }
    assert_delivered(&pipeline.shutdown(LONG));
    let spans = memory.spans();
    assert_eq!(spans.len(), 3);
    for span in spans {
        assert!(span.unix_ns >= span.spans[0].start_unix_ns, "{span:?}");
        assert_eq!(span.duration_ns, 7_000_000, "{span:?}");
    }
}

#[test]
fn clock_that_jumps_leaves_durations_alone() {
    assert_done("clock");
}

/// A request with a tenant that is told late; what is inside it, on two threads.
fn request(tenant: u64) {
    let span = tracing::info_span!("request", tenant = tracing::field::Empty);
    let inside = || {
        span.in_scope(|| {
            tracing::debug!("tracing {tenant}");
            telemetry_core::event!(Debug, "own", {}, { message = %format_args!("own {tenant}") });
            log::debug!("log {tenant}");
        });
    };
    inside();
    span.record("tenant", tenant);
    inside();
    std::thread::scope(|scope| drop(scope.spawn(inside)));
    tracing::debug!("outside {tenant}");
}

fn dynamic() {
    // Attached and detached: the same callsites and threads under other rules, or none.
    let table = [
        ("info,[request{tenant=42}]=debug", [0, 2]),
        ("info", [0, 0]),
        ("info,[request{tenant=41}]=debug", [2, 0]),
        ("debug,[request{tenant<42}]=off", [1, 3]),
        ("info,[request]=debug", [3, 3]),
    ];
    for (filter, expected) in table {
        let memory = MemoryExporter::new("memory");
        let sink = SinkBuilder::new(memory.clone()).filter(filter.parse().unwrap());
        let pipeline = builder().sink(sink).attach().unwrap();
        [41, 42].into_iter().for_each(request);
        assert_delivered(&pipeline.shutdown(LONG));
        let events = memory.events();
        for (tenant, expected) in [41, 42].into_iter().zip(expected) {
            for way in ["tracing", "own", "log"] {
                let text = format!("{way} {tenant}");
                let seen =
                    events.iter().filter(|event| event.message() == Some(text.as_str())).count();
                assert_eq!(seen, expected, "{text} under {filter}");
            }
        }
    }
}

#[test]
fn directives_of_spans_hold_in_the_attached_pipeline_for_every_way_in() {
    assert_done("dynamic");
}

/// Eight threads emit and eight flush while one ends the pipeline.
fn end_and_flush() {
    let began = telemetry_core::clock::now();
    for _ in 0..5 {
        let pipeline = builder().sink(lines()).attach().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..500).for_each(|n| tracing::info!("event {n}")));
                scope.spawn(|| {
                    for _ in 0..20 {
                        let report = pipeline.flush(LONG).unwrap();
                        assert!(report.exporters.len() == 1);
                    }
                });
            }
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(3));
                let report = pipeline.end(LONG);
                assert!(!report.timed_out && report.is_balanced(), "{report}");
            });
        });
        let report = pipeline.end(LONG);
        assert!(report.is_balanced(), "{report}");
        assert_eq!(report.lost(), 0, "{report}");
    }
    assert!(telemetry_core::clock::now() - began < Duration::from_secs(15), "a flush hung");
}

#[test]
fn flushes_beside_the_end_return() {
    assert_done("end_and_flush");
}
