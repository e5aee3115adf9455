//! The default set, held against the table of the conventions and against the kernel.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use telemetry_core::metric::{Data, Labels, Number, Point, Registry, Snapshot};
use telemetry_poller::{Poller, PollerHandle};

fn poller(registry: &Registry) -> PollerHandle {
    let period = Duration::from_secs(3600);
    Poller::builder().registry(registry.clone()).period(period).start().expect("starts")
}

fn snapshot() -> Snapshot {
    let registry = Registry::new();
    let report = poller(&registry).poll_now().expect("answers");
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    registry.snapshot(0)
}

/// Name to kind, value type, unit and attribute sets.
fn shape(snapshot: &Snapshot) -> BTreeMap<String, String> {
    let describe = |points: &[Point<Number>]| {
        let kind = |number| match number {
            Number::U64(_) | Number::I64(_) => "int",
            _ => "double",
        };
        let sets: Vec<_> = points.iter().map(|point| label_text(&point.labels)).collect();
        format!("{} [{}]", kind(points[0].value), sets.join(" "))
    };
    let row = |data: &Data| match data {
        Data::Counter { points } => format!("counter {}", describe(points)),
        Data::UpDownCounter { points } => format!("updown {}", describe(points)),
        Data::Gauge { points } => format!("gauge {}", describe(points)),
        other => panic!("{other:?}"),
    };
    let metrics = snapshot.metrics.iter();
    metrics.map(|m| (m.name.to_string(), format!("{} {}", m.unit, row(&m.data)))).collect()
}

fn label_text(labels: &Labels) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

#[test]
fn names_units_kinds_and_attributes_are_those_of_the_conventions() {
    let table = [
        (
            "process.context_switches",
            "{context_switch} counter int [process.context_switch.type=involuntary \
             process.context_switch.type=voluntary]",
        ),
        ("process.cpu.time", "s counter double [cpu.mode=system cpu.mode=user]"),
        ("process.disk.io", "By counter int [disk.io.direction=read disk.io.direction=write]"),
        ("process.memory.usage", "By updown int []"),
        ("process.memory.virtual", "By updown int []"),
        (
            "process.paging.faults",
            "{fault} counter int [system.paging.fault.type=major \
             system.paging.fault.type=minor]",
        ),
        ("process.thread.count", "{thread} updown int []"),
        ("process.unix.file_descriptor.count", "{file_descriptor} updown int []"),
        ("process.uptime", "s gauge double []"),
    ];
    let expected = table.map(|(name, row)| (name.to_owned(), row.to_owned())).into();
    assert_eq!(shape(&snapshot()), expected);
}

fn value(snapshot: &Snapshot, name: &str, label: &str) -> f64 {
    let metric = snapshot.metrics.iter().find(|m| &*m.name == name).expect("is there");
    let (Data::Counter { points } | Data::UpDownCounter { points } | Data::Gauge { points }) =
        &metric.data
    else {
        panic!("{metric:?}")
    };
    points.iter().find(|p| label_text(&p.labels).ends_with(label)).expect("is there").value.as_f64()
}

fn page_bytes() -> f64 {
    let output = Command::new("getconf").arg("PAGESIZE").output().expect("getconf runs");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

/// One number of `/proc/self/status`, which the poller does not read.
fn status(key: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("has /proc");
    let line = text.lines().find_map(|line| line.strip_prefix(key)).expect("has the key");
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number")
}

/// Looks whether `read` lies between two other readings of the same thing, give or take `slack`:
/// the process goes on meanwhile, so several tries are made.
fn agrees(name: &str, label: &str, slack: f64, other: impl Fn() -> f64) {
    let registry = Registry::new();
    let poller = poller(&registry);
    let mut last = (0.0, 0.0, 0.0);
    let agreed = (0..200).any(|_| {
        let before = other();
        poller.poll_now().expect("answers");
        let read = value(&registry.snapshot(0), name, label);
        let after = other();
        last = (before, read, after);
        read >= before.min(after) - slack && read <= before.max(after) + slack
    });
    assert!(agreed, "{name} {label}: before, read, after {last:?}");
}

#[test]
fn values_agree_with_another_reading_of_the_kernel() {
    let page = page_bytes();
    agrees("process.memory.usage", "", page, || status("VmRSS:") * 1024.0);
    agrees("process.memory.virtual", "", page, || status("VmSize:") * 1024.0);
    agrees("process.thread.count", "", 0.0, || status("Threads:"));
    agrees("process.unix.file_descriptor.count", "", 0.0, || {
        std::fs::read_dir("/proc/self/fd").expect("has /proc").count() as f64 - 1.0
    });
    agrees("process.disk.io", "=write", 0.0, || {
        let text = std::fs::read_to_string("/proc/self/io").expect("has /proc");
        let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
        line.expect("has the key").parse().expect("a number")
    });
}

/// Processor time and faults, from `/proc/self/stat` where the poller uses getrusage(2).
#[test]
fn usage_agrees_with_stat_within_a_tick() {
    let stat = |field: usize| {
        let text = std::fs::read("/proc/self/stat").expect("has /proc");
        let text = String::from_utf8_lossy(&text).into_owned();
        let fields = text.rsplit_once(')').expect("has a name").1;
        fields.split_whitespace().nth(field - 3).expect("is there").parse::<f64>().expect("number")
    };
    agrees("process.cpu.time", "=user", 0.02, || stat(14) / 100.0);
    agrees("process.cpu.time", "=system", 0.02, || stat(15) / 100.0);
    agrees("process.paging.faults", "=minor", 0.0, || stat(10));
    agrees("process.paging.faults", "=major", 0.0, || stat(12));
    agrees("process.uptime", "", 0.02, || {
        let text = std::fs::read_to_string("/proc/uptime").expect("has /proc");
        let boot: f64 = text.split_whitespace().next().expect("a field").parse().expect("a number");
        boot - stat(22) / 100.0
    });
}

#[test]
fn context_switches_are_those_of_all_threads() {
    let registry = Registry::new();
    let poller = poller(&registry);
    poller.poll_now().expect("answers");
    let before = value(&registry.snapshot(0), "process.context_switches", "=voluntary");
    // Sleeping is what switches: nothing is waited for.
    std::thread::scope(|s| {
        s.spawn(|| (0..50).for_each(|_| std::thread::sleep(Duration::from_micros(100))));
    });
    poller.poll_now().expect("answers");
    let after = value(&registry.snapshot(0), "process.context_switches", "=voluntary");
    assert!(after >= before + 50.0, "{before} {after}");
}

#[test]
fn counters_never_go_down_and_keep_their_start() {
    let registry = Registry::new();
    let poller = poller(&registry);
    let mut last = BTreeMap::new();
    for _ in 0..1_000 {
        poller.poll_now().expect("answers");
        for metric in registry.snapshot(0).metrics {
            let Data::Counter { points } = metric.data else { continue };
            for point in points {
                assert_eq!(point.start_unix_ns, registry.start_unix_ns());
                let key = format!("{} {:?}", metric.name, point.labels);
                let value = point.value.as_f64();
                assert!(last.insert(key, value).is_none_or(|before| before <= value));
            }
        }
    }
}
