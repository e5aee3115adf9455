//! A small shop over HTTP with full telemetry, and clients that use it:
//! `cargo run --release --example service`
//!
//! Log events go to the console at `info` and to a JSON file at `debug`; logs, spans and metrics
//! go to `OTEL_EXPORTER_OTLP_ENDPOINT` or, where that is unset, to a receiver within the process.
//! At the end the ledger is compared with what the receiver and the file have. The last line of
//! standard output is a JSON object; the exit code is 0 if everything agrees.
//!
//! - `--seconds N`: how long the clients run, 5 by default
//! - `--json FILE`: where the JSON lines go, a new file in the temporary directory by default
//! - `--no-receiver`: no receiver within the process

mod arguments;
mod audit;
mod client;
mod server;
mod shop;

use arguments::Arguments;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;
use telemetry_toolkit::receiver::Receiver;
use telemetry_toolkit::{ConsoleExporter, Telemetry};

fn start(arguments: &Arguments, receiver: Option<&Receiver>) -> Result<Telemetry, Box<dyn Error>> {
    let mut builder = Telemetry::builder()
        .service("shop", env!("CARGO_PKG_VERSION"))
        .resource("deployment.environment.name", "example")
        .filter("info")
        .console(ConsoleExporter::builder().stderr().build()?)
        .metric_interval(Duration::from_secs(1))
        .poll_period(Duration::from_secs(1))
        .measure("shop", |measure| {
            measure.gauge("shop.stock", (), shop::stock() as f64);
            Ok(())
        })
        .from_env()
        .json_file(&arguments.json)
        .json_filter("debug");
    if let Some(receiver) = receiver {
        builder = builder.otlp_endpoint(receiver.endpoint());
    }
    Ok(builder.init()?)
}

#[expect(clippy::print_stdout, reason = "the result of the example")]
fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    let receiver = arguments.wants_receiver().then(Receiver::start).transpose()?;
    let before = audit::count_lines(&arguments.json)?;
    let telemetry = start(&arguments, receiver.as_ref())?;

    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let address = runtime.block_on(server::start())?;
    let requests = client::run(address, Duration::from_secs(arguments.seconds));
    runtime.shutdown_timeout(Duration::from_secs(1));

    let report = telemetry.shutdown();
    println!("{report}");
    let file = (arguments.json.as_path(), before);
    let audit = audit::Audit::new(&report, receiver.as_ref(), file, requests)?;
    println!("{}", audit.to_json());
    Ok(if audit.agrees() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
