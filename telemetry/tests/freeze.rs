//! A process that is frozen between its requests, as AWS Lambda does it: stopped for a while, with
//! the clocks moved on and the connections dead when it goes on.

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a failed test may say so; its threads are its own"
)]

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Lines, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use telemetry_toolkit::OtlpExporter;
use telemetry_toolkit::receiver::{Receiver, Value};

const CHILD: &str = "TELEMETRY_TEST_CHILD_ENDPOINT";
const FROZEN: Duration = Duration::from_millis(1500);
const POLL_PERIOD: Duration = Duration::from_millis(100);

/// What the function that is called in between does: it obeys, line by line.
fn serve(endpoint: &str) {
    static POLLS: AtomicU64 = AtomicU64::new(0);
    let otlp = OtlpExporter::builder().endpoint(endpoint).timeout(Duration::from_millis(500));
    let telemetry = telemetry_toolkit::builder()
        .no_console()
        .otlp(otlp.build().unwrap())
        .poll_period(POLL_PERIOD)
        .measure("polls", |_| {
            POLLS.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
        .init()
        .unwrap();
    let mut emitted = 0;
    for line in io::stdin().lines() {
        let line = line.unwrap();
        match line.split_once(' ') {
            Some(("emit", count)) => {
                for _ in 0..count.parse::<u64>().unwrap() {
                    tracing::info!(number = emitted, "invoked");
                    emitted += 1;
                }
                println!("answer: emitted");
            }
            Some(("flush", ms)) => {
                let timeout = Duration::from_millis(ms.parse().unwrap());
                let report = telemetry.flush(timeout).unwrap();
                println!("answer: {}", if report.timed_out { "late" } else { "flushed" });
            }
            _ => println!("answer: {}", POLLS.load(Ordering::Relaxed)),
        }
    }
    let report = telemetry.shutdown();
    assert!(report.is_balanced() && !report.timed_out, "{report}");
    println!("answer: {}", report.lost());
}

/// The function, as its platform sees it.
struct Function {
    process: Child,
    orders: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Function {
    fn start(test: &str, endpoint: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, endpoint);
        command.env_remove("RUST_LOG").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let orders = process.stdin.take();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, orders, lines }
    }

    fn ask(&mut self, order: &str) -> String {
        self.order(order);
        self.answer()
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders.as_ref().unwrap(), "{order}").unwrap();
    }

    fn answer(&mut self) -> String {
        let mut answers = self.lines.by_ref().map(Result::unwrap).filter_map(|line| {
            // libtest may have begun the line.
            line.split_once("answer: ").map(|(_, answer)| answer.to_owned())
        });
        answers.next().expect("the child ended early")
    }

    fn signal(&self, signal: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Stops the process, and does something while it stands still.
    fn freeze(&self, meanwhile: impl FnOnce()) {
        self.signal("-STOP");
        let stat = format!("/proc/{}/stat", self.process.id());
        while !std::fs::read_to_string(&stat).unwrap().contains(") T ") {
            std::thread::yield_now();
        }
        meanwhile();
        std::thread::sleep(FROZEN);
        self.signal("-CONT");
    }

    /// Lets it shut down; returns how many records it counts as lost.
    fn end(mut self) -> u64 {
        drop(self.orders.take());
        let lost = self.answer().parse().unwrap();
        assert!(self.process.wait().unwrap().success());
        lost
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The network between the process and its collector.
#[derive(Default)]
struct Network {
    connections: Mutex<Vec<Connection>>,
    /// Bytes that came from the process.
    sent: AtomicU64,
}

/// Both ends of a connection, and whether the network still knows it.
struct Connection(TcpStream, TcpStream, Arc<Mutex<bool>>);

impl Network {
    /// Opens a way to the collector.
    fn before(collector: &Receiver) -> (Arc<Self>, String) {
        let to: SocketAddr = collector.endpoint()["http://".len()..].parse().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let network = Arc::new(Self::default());
        let accepting = Arc::clone(&network);
        std::thread::spawn(move || {
            listener.incoming().for_each(|from| accepting.connect(from.unwrap(), to));
        });
        (network, endpoint)
    }

    fn connect(self: &Arc<Self>, from: TcpStream, to: SocketAddr) {
        let to = TcpStream::connect(to).unwrap();
        let known = Arc::new(Mutex::new(true));
        let copies = [(&from, &to, true), (&to, &from, false)];
        for (source, sink, is_sent) in copies {
            let (mut source, mut sink) = (source.try_clone().unwrap(), sink.try_clone().unwrap());
            let (network, known) = (Arc::clone(self), Arc::clone(&known));
            std::thread::spawn(move || {
                let mut buffer = [0; 16 * 1024];
                while let Ok(read @ 1..) = source.read(&mut buffer) {
                    if is_sent {
                        network.sent.fetch_add(read as u64, Ordering::Relaxed);
                    }
                    if *known.lock().unwrap() && sink.write_all(&buffer[..read]).is_err() {
                        break;
                    }
                }
                if *known.lock().unwrap() {
                    let _ = sink.shutdown(Shutdown::Both);
                }
            });
        }
        self.connections.lock().unwrap().push(Connection(from, to, known));
    }

    /// Closes all connections.
    fn close(&self) {
        for Connection(from, to, _) in self.connections.lock().unwrap().drain(..) {
            [from, to].iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        }
    }

    /// Forgets all connections: what is sent on them goes nowhere, and nobody is told.
    fn forget(&self) {
        for Connection(.., known) in self.connections.lock().unwrap().iter() {
            *known.lock().unwrap() = false;
        }
    }

    /// Waits until a request of this size is under way.
    fn wait_for_bytes(&self, bytes: u64) {
        while self.sent.load(Ordering::Relaxed) < bytes {
            std::thread::yield_now();
        }
    }
}

/// The numbers of the events that arrived.
fn arrived(collector: &Receiver) -> BTreeSet<i64> {
    let numbers =
        collector.logs().into_iter().filter_map(|log| match log.attributes.get("number") {
            Some(Value::I64(number)) => Some(*number),
            _ => None,
        });
    numbers.collect()
}

#[test]
fn each_invocation_that_flushes_is_out_before_the_freeze_whatever_became_of_the_connections() {
    if let Ok(endpoint) = std::env::var(CHILD) {
        return serve(&endpoint);
    }
    let collector = Receiver::start().unwrap();
    let (network, endpoint) = Network::before(&collector);
    let test =
        "each_invocation_that_flushes_is_out_before_the_freeze_whatever_became_of_the_connections";
    let mut function = Function::start(test, &endpoint);
    for invocation in 1..=4 {
        assert_eq!(function.ask("emit 50"), "emitted");
        assert_eq!(function.ask("flush 10000"), "flushed");
        let wanted: BTreeSet<i64> = (0..50 * invocation).collect();
        assert_eq!(arrived(&collector), wanted, "invocation {invocation}");
        match invocation % 2 {
            0 => function.freeze(|| network.forget()),
            _ => function.freeze(|| network.close()),
        }
    }
    assert_eq!(function.end(), 0);
}

#[test]
fn freeze_with_a_request_under_way_loses_nothing() {
    if let Ok(endpoint) = std::env::var(CHILD) {
        return serve(&endpoint);
    }
    let collector = Receiver::start().unwrap();
    let (network, endpoint) = Network::before(&collector);
    let mut function = Function::start("freeze_with_a_request_under_way_loses_nothing", &endpoint);
    function.ask("emit 10");
    assert_eq!(function.ask("flush 10000"), "flushed");
    // Now the connections lead nowhere: the request has no answer when the process is frozen, and
    // the deadlines of request and flush are over when it goes on.
    network.forget();
    let before = network.sent.load(Ordering::Relaxed);
    function.ask("emit 500");
    function.order("flush 400");
    network.wait_for_bytes(before + 1);
    function.freeze(|| network.close());
    let answer = function.answer();
    assert!(answer == "late" || answer == "flushed", "{answer}");
    assert_eq!(function.ask("flush 10000"), "flushed");
    assert_eq!(arrived(&collector), (0..510).collect());
    assert_eq!(function.end(), 0);
}

#[test]
fn poller_does_not_make_up_for_a_freeze() {
    if let Ok(endpoint) = std::env::var(CHILD) {
        return serve(&endpoint);
    }
    let collector = Receiver::start().unwrap();
    let mut function =
        Function::start("poller_does_not_make_up_for_a_freeze", &collector.endpoint());
    let polls = |function: &mut Function| function.ask("polls").parse::<u64>().unwrap();
    while polls(&mut function) == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let (before, began) = (polls(&mut function), Instant::now());
    function.freeze(|| ());
    let resumed = Instant::now();
    std::thread::sleep(POLL_PERIOD / 2);
    let polled = polls(&mut function) - before;
    let running = began.elapsed() - FROZEN;
    let most = running.as_millis() / POLL_PERIOD.as_millis() + 2;
    assert!(u128::from(polled) <= most, "{polled} polls in {running:?}, {:?}", resumed.elapsed());
    assert_eq!(function.end(), 0);
}
