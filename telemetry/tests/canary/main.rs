//! Canaries: distinct secrets are planted wherever one may get into telemetry, and looked for in
//! whatever comes out of it, with everything on and all of it at `trace`.
//!
//! Each style of the console is a child process: it plants (`plant`), everything that it puts out is
//! kept (`outputs`), and the parent looks through it. A new way in is a function in `plant`; a new
//! way out is a file in the child's folder.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::print_stdout,
    reason = "tests"
)]

mod debugs;
#[cfg(unix)]
mod doors;
mod http2;
mod outputs;
mod plant;
mod tls;
#[cfg(feature = "tower")]
mod tower_layers;

use outputs::Outputs;
use std::path::Path;
use std::process::Command;

const FOLDER: &str = "TELEMETRY_TEST_FOLDER";

/// What every canary begins with; the rest says where it was planted.
const MARK: &str = "cnry-";
/// What those begin with that only a pattern can find: texts.
const TEXT_MARK: &str = "cnry-text-";

/// A secret that is found by the name of its field, its URL, or its type.
fn canary(place: &str) -> String {
    format!("{MARK}{place}")
}

/// A secret within a text, for the pattern [`PATTERN`].
fn text_canary(place: &str) -> String {
    format!("{TEXT_MARK}{place}")
}

const PATTERN: &str = r"cnry-text-[a-z0-9_]+";

/// The console's styles, and how the collector is spoken to beside each.
const RUNS: [(&str, &str); 4] = [
    ("pretty", "http/protobuf"),
    ("compact", GRPC),
    ("logfmt@stderr", "http/protobuf"),
    ("json@stderr", GRPC),
];

const GRPC: &str = if cfg!(feature = "otlp-grpc") { "grpc" } else { "http/protobuf" };

/// What the environment says in the child.
fn variables(style: &str, protocol: &str, collector: &str) -> Vec<(&'static str, String)> {
    let user = canary("env_endpoint_user");
    let host = collector.trim_start_matches("http://");
    let through = if style.starts_with("logfmt") { "1" } else { "0" };
    vec![
        ("TELEMETRY_CONSOLE", style.to_owned()),
        ("TELEMETRY_WRITE_THROUGH", through.to_owned()),
        ("RUST_LOG", format!("trace,[{{password=\"{}\"}}]=trace", canary("env_filter"))),
        ("TELEMETRY_REDACT", "iban".to_owned()),
        ("OTEL_LOG_LEVEL", "trace".to_owned()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{user}:{user}@{host}")),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
        ("OTEL_EXPORTER_OTLP_HEADERS", format!("x-key={},bad={}%", canary("h"), canary("h2"))),
        ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", format!("{},a b={}", canary("h3"), canary("h4"))),
        ("OTEL_RESOURCE_ATTRIBUTES", format!("api_key={},team=a", canary("env_resource"))),
        ("BAGGAGE", format!("client.secret={}", canary("env_baggage"))),
    ]
}

fn run_child(style: &str, protocol: &str, folder: &Path) -> Outputs {
    let collector = outputs::Collector::start();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["child", "--exact", "--nocapture", "--test-threads=1"]).env(FOLDER, folder);
    command.envs(variables(style, protocol, &collector.endpoint()));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{style}: {output:?}");
    let mut outputs = Outputs::of_folder(folder);
    outputs.add("stdout", &output.stdout);
    outputs.add("stderr", &output.stderr);
    outputs.add("collector", &collector.bodies());
    assert_eq!(collector.grpc_requests() > 0, protocol == "grpc", "{style}");
    outputs
}

/// The child's side; does nothing when it runs as an ordinary test.
#[test]
fn child() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        plant::run(Path::new(&folder));
    }
}

#[test]
fn no_canary_is_in_any_output() {
    for (style, protocol) in RUNS {
        let folder = tempfile::tempdir().unwrap();
        let outputs = run_child(style, protocol, folder.path());
        let found = outputs.places_of(MARK);
        assert!(found.is_empty(), "{style}: {found:#?}");
        // What was planted got there, but for its secret.
        for output in ["stderr", "log.jsonl", "collector", "memory.txt"] {
            let planted = plant::PLACES.map(|place| format!("planted {place}"));
            for mark in
                planted.iter().map(String::as_str).chain(["h2::", "hyper_util::", "rustls::"])
            {
                assert!(outputs.count(output, mark) > 0, "{style}: no `{mark}` in {output}");
            }
            let count = outputs.count(output, "[redacted]");
            assert!(count > plant::PLACES.len(), "{style}: {count} times in {output}");
        }
        for (output, mark) in [("debug.txt", "outbox"), ("log.jsonl", "temporary filter")] {
            assert!(outputs.count(output, mark) > 0, "{style}: no `{mark}` in {output}");
        }
        if cfg!(feature = "tower") {
            for mark in ["http.server.request.duration", "page=1&access_token=REDACTED"] {
                assert!(outputs.count("collector", mark) > 0, "{style}: no `{mark}`");
            }
        }
        if cfg!(feature = "opentelemetry") {
            assert!(outputs.count("collector", "otel_list") == 0, "{style}");
            assert!(outputs.count("collector", "db.password") > 1, "{style}");
        }
        if cfg!(unix) {
            let outputs =
                ["doors.txt", "log.jsonl", "collector"].map(|o| outputs.count(o, "oldest_spans"));
            assert!(outputs.iter().all(|count| *count > 0), "{style}: {outputs:?}");
        }
        let metrics = &["macro.scoped", "scope_secret", "scope_url"];
        assert!(metrics.iter().all(|part| outputs.count("collector", part) > 1), "{style}");
        for answer in ["records: repeated", "first repeated"] {
            assert!(outputs.count("stderr", answer) > 0, "{style}: `{answer}` is not told");
        }
        for output in ["debug.txt", "snapshots.txt", "report.txt"] {
            assert!(outputs.count(output, "redacted") > 0, "{style}: {output}");
        }
    }
}
