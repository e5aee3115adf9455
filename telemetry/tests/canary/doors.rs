//! Who looks in through the doors while a span is open: a client of the socket, a signal and a page.

use crate::canary;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use telemetry_toolkit::testing::MemoryExporter;
use telemetry_toolkit::{Builder, Telemetry, client};

fn socket(folder: &Path) -> PathBuf {
    folder.join("door.sock")
}

/// Opens them.
pub(crate) fn opened(builder: Builder, folder: &Path) -> Builder {
    builder.inspect_socket(socket(folder)).inspect_signal(libc::SIGUSR1)
}

/// What each of them shows; the signal's snapshot goes to the exporters.
pub(crate) fn all(telemetry: &Telemetry, folder: &Path, memory: &MemoryExporter) -> String {
    let mut text = String::new();
    let filter = |name: &str| format!("trace,[{{{name}=\"{}\"}}]=trace", canary("door_filter"));
    let requests = [
        "snapshot text".to_owned(),
        "snapshot json".to_owned(),
        format!("filter set {}", filter("session_token")),
        format!("filter add 60000 {}", filter("iban")),
        "config text".to_owned(),
        "config json".to_owned(),
    ];
    for request in requests {
        let answer = client::ask(&socket(folder), None, &request).unwrap();
        writeln!(text, "{answer}").unwrap();
    }
    for wrong in ["dance", "snapshot", "filter", "filter set [{token=", "filter add [{token="] {
        let request = format!("{wrong} {}", canary("door_request"));
        let error = client::ask(&socket(folder), None, &request).unwrap_err();
        writeln!(text, "{error} {error:?}").unwrap();
    }
    for (address, format) in
        [("127.0.0.1:80", "text"), ("127.0.0.1:80", "json"), ("8.8.8.8:80", "")]
    {
        let uri = format!("/?format={format}&token={}", canary("door_query"));
        let request = http::Request::get(uri).header("host", "localhost").body(()).unwrap();
        let answer = telemetry.inspector().respond(address.parse().unwrap(), &request);
        writeln!(text, "{answer:?}").unwrap();
    }
    let kill = Command::new("kill").args(["-USR1", &std::process::id().to_string()]).status();
    assert!(kill.unwrap().success());
    let deadline = Instant::now() + Duration::from_secs(20);
    let has_told =
        || memory.events().iter().any(|event| format!("{event:?}").contains("oldest_spans"));
    while !has_told() {
        assert!(Instant::now() < deadline, "the signal is not answered");
        std::thread::sleep(Duration::from_millis(10));
    }
    text
}
