//! An exporter of one's own: posts batches as JSON to an HTTP server, tries again when the server
//! says so, and is held to account by the ledger. `cargo run --example custom_exporter`

use axum::http::StatusCode;
use serde_json::{Value, json};
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use telemetry_toolkit::batch::Batch;
use telemetry_toolkit::ledger::{Cause, Signal};
use telemetry_toolkit::prelude::*;
use tracing::{info, info_span};

struct HttpJson {
    agent: ureq::Agent,
    url: String,
}

impl Exporter for HttpJson {
    fn name(&self) -> &str {
        "http-json"
    }

    fn export(&mut self, batch: Batch, ack: Ack) {
        let records = batch.records().map(|record| {
            json!({
                "unix_ns": record.unix_ns(),
                "level": record.level().as_str(),
                "target": record.target(),
                "name": record.name(),
                "fields": record
                    .fields()
                    .map(|field| (field.key.to_owned(), field.value.to_string().into()))
                    .collect::<serde_json::Map<String, Value>>(),
            })
        });
        let body = Value::from(records.collect::<Vec<_>>()).to_string();
        let request = self.agent.post(&self.url).content_type("application/json");
        ack.finish(match request.send(body) {
            Ok(_) => Outcome::Delivered,
            Err(ureq::Error::StatusCode(400..500)) => Outcome::Rejected(Cause::Rejected),
            Err(_) => Outcome::RetryAfter(Duration::from_millis(200)),
        });
    }
}

static RECORDS: AtomicU64 = AtomicU64::new(0);
static REFUSALS: AtomicU64 = AtomicU64::new(0);

/// The server: refuses the first request, to see it come again.
async fn take(axum::Json(records): axum::Json<Vec<Value>>) -> StatusCode {
    if REFUSALS.fetch_add(1, Ordering::Relaxed) == 0 {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    RECORDS.fetch_add(records.len() as u64, Ordering::Relaxed);
    StatusCode::OK
}

#[expect(clippy::print_stdout, reason = "the result of the example")]
fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
    let url = format!("http://{}/", listener.local_addr()?);
    let router = axum::Router::new().route("/", axum::routing::post(take));
    runtime.spawn(async move { axum::serve(listener, router).await });

    let exporter = HttpJson { agent: ureq::Agent::new_with_defaults(), url };
    let telemetry = Telemetry::builder()
        .exporter(SinkBuilder::new(exporter).filter("info".parse()?))
        .no_console()
        .init()?;
    for order in 0..1000 {
        let _span = info_span!("order", order).entered();
        info!(items = order % 7, "placed");
    }
    // A flush waits for what is tried again; a shutdown gives it one last attempt, at once.
    telemetry.flush(Duration::from_secs(10))?;
    let report = telemetry.shutdown();

    println!("{report}");
    let counts = report.exporter("http-json").ok_or("the exporter is in the report")?;
    let delivered = [Signal::Log, Signal::Span].map(|signal| counts.counts(signal).delivered);
    let received = RECORDS.load(Ordering::Relaxed);
    println!("the server has {received} records");
    if received != delivered.iter().sum::<u64>() || !report.is_complete() {
        return Err("the server has other records than the ledger says".into());
    }
    Ok(())
}
