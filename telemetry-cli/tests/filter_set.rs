//! Another filter for a process that runs: the command, and a service that is a process of its own.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests")]

mod command;

use command::telemetry;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const FOLDER: &str = "TELEMETRY_TEST_FOLDER";

/// The service's side, until its standard input ends; does nothing when it runs as a test.
#[test]
fn service() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let telemetry = telemetry_toolkit::builder()
        .no_console()
        .poller(false)
        .json_file(folder.join("service.jsonl"))
        .filter("info")
        .inspect_socket(folder.join("service.sock"))
        .init()
        .unwrap();
    let waiting = std::thread::Builder::new()
        .spawn(|| std::io::stdin().lock().read_to_end(&mut Vec::new()).unwrap());
    let waiting = waiting.unwrap();
    while !waiting.is_finished() {
        for tenant in [41, 42] {
            let _request = tracing::info_span!("request", tenant).entered();
            tracing::debug!("detail of {tenant}");
        }
        tracing::info!("turn");
        std::thread::sleep(Duration::from_millis(5));
    }
    telemetry.shutdown();
}

/// A service in a process of its own.
struct Service {
    process: Child,
    folder: tempfile::TempDir,
}

impl Service {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "service", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let service = Self { process, folder };
        service.wait_for("its first turn", |lines| count(lines, "turn") > 0);
        service
    }

    fn socket(&self) -> String {
        self.path("service.sock").to_str().unwrap().to_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(self.folder.path()).join(name)
    }

    /// The messages that it has written.
    fn messages(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("service.jsonl")).unwrap_or_default();
        let message = |line: &str| {
            let record: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(record["fields"]["message"].as_str()?.to_owned())
        };
        text.lines().filter_map(message).collect()
    }

    fn wait_for(&self, what: &str, is_there: impl Fn(&[String]) -> bool) {
        for _ in 0..1_000 {
            if is_there(&self.messages()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{what} never comes: {:?}", self.messages().last());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

fn count(messages: &[String], message: &str) -> usize {
    messages.iter().filter(|other| *other == message).count()
}

/// Are details of this tenant told of in each of the last turns, or in none?
fn are_told(messages: &[String], tenant: u32, are_told: bool) -> bool {
    let detail = format!("detail of {tenant}");
    let mut turns = messages.split(|message| message == "turn").rev().skip(1);
    let last: Vec<_> = turns.by_ref().take(5).collect();
    last.len() == 5 && last.iter().all(|turn| turn.contains(&detail) == are_told)
}

#[test]
fn filter_of_a_process_is_set_for_good_or_for_a_while() {
    let service = Service::start();
    let (socket, number) = (service.socket(), service.process.id().to_string());

    let (status, output, errors) = telemetry(&["filter", "set", &number, "debug"]);
    assert_eq!((status, output.as_str(), errors.as_str()), (0, "json: debug\n", ""));
    service.wait_for("every detail", |told| are_told(told, 41, true) && are_told(told, 42, true));
    let audit = "the filter is `debug`, and was `info` (by: inspect socket)";
    service.wait_for("the record of it", |told| count(told, audit) == 1);

    // A mistake changes nothing, and nor does what is forgotten: by the command or another client.
    let empty = "the filter is empty: write `off` to let nothing through";
    for forgotten in ["", " ", ","] {
        let (status, output, errors) = telemetry(&["filter", "set", &number, forgotten]);
        assert_eq!((status, output.as_str(), errors), (2, "", format!("error: {empty}\n")));
        for order in ["set", "add 1000"] {
            let request = format!("filter {order} {forgotten},");
            let answer = telemetry_toolkit::client::ask(Path::new(&socket), None, &request);
            let error = answer.unwrap_err().to_string();
            assert!(error.ends_with(&format!("answers: {empty}")), "{error}");
        }
    }
    let (status, output, errors) = telemetry(&["filter", "set", &socket, "info,inof"]);
    assert_eq!((status, output.as_str()), (2, ""));
    assert!(errors.contains("did you mean `info`, or the target"), "{errors}");
    let (_, _, errors) = telemetry(&["filter", "set", &socket, "info,app=info,app=debug"]);
    assert!(errors.starts_with("note: `app=info` never decides"), "{errors}");
    let audit = "the filter is `info,app=debug`, and was `debug` (by: inspect socket)";
    service.wait_for("the record of it", |told| count(told, audit) == 1);
    service.wait_for("no detail", |told| are_told(told, 41, false) && are_told(told, 42, false));

    let tenant = "[request{tenant=42}]=debug";
    let (status, output, errors) =
        telemetry(&["filter", "set", &socket, tenant, "--for", "1500ms"]);
    assert_eq!((status, errors.as_str()), (0, ""));
    let expected = format!("json: info,app=debug,{tenant}\ntemporary filter 1, for ");
    assert!(output.starts_with(&expected), "{output}");
    let ended = format!("temporary filter 1 has ended: `{tenant}`");
    service.wait_for("the record of its end", |told| count(told, &ended) == 1);
    service.wait_for("no detail", |told| are_told(told, 42, false));
    let added = format!("temporary filter 1 is added for 1.5s: `{tenant}` (by: inspect socket)");
    let told = service.messages();
    let at = |message: &String| told.iter().position(|other| other == message).unwrap();
    let meanwhile = &told[at(&added)..at(&ended)];
    assert!(count(meanwhile, "detail of 42") > 0 && count(meanwhile, "detail of 41") == 0);
}

#[test]
fn what_cannot_be_set_is_said_with_status_2() {
    let service = Service::start();
    let socket = service.socket();
    for (arguments, said) in [
        (["filter", "set", &socket, "debug", "--for=8d"], "at most 604800s"),
        (["filter", "set", &socket, "debug", "--for=0s"], "more than nothing"),
        (["filter", "set", &socket, "debug", "--for=soon"], "`5m`"),
        (["filter", "set", &socket, "--for=5m", "debug,\nwarn"], "more than one line"),
        (["filter", "set", &socket, "--for=5m", ""], "write `off` to let nothing through"),
        (["filter", "set", "--for=5m", "/no/such/socket", "debug"], "cannot be connected to"),
        (["filter", "set", "--for=5m", "4000000000", "debug"], "does not run"),
    ] {
        let (status, output, errors) = telemetry(&arguments);
        assert_eq!((status, output.as_str()), (2, ""), "{arguments:?}");
        assert!(errors.contains(said), "{arguments:?}: {errors}");
    }
    let told = service.messages();
    assert!(told.iter().all(|message| message == "turn"), "{told:?}");
}
