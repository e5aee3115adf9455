//! Two processes, one trace: `cargo run --example propagation`.
//!
//! The program starts itself a second time, with its trace context and baggage in environment
//! variables. The second one continues the trace and says what it delivered; the first one
//! compares, and ends with an error where something differs.

use std::process::{Command, ExitCode};
use telemetry_toolkit::context::{self, Baggage, Environment};
use telemetry_toolkit::prelude::*;
use telemetry_toolkit::testing::MemoryExporter;
use tracing::{info, info_span};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[expect(clippy::print_stdout, reason = "the result of the example")]
fn main() -> ExitCode {
    let is_second = std::env::args().nth(1).as_deref() == Some("second");
    let outcome = if is_second { second() } else { first() };
    match outcome {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(memory: &MemoryExporter) -> Result<Telemetry> {
    let builder = Telemetry::builder().no_console().baggage_fields(["tenant"]);
    Ok(builder.exporter(SinkBuilder::new(memory.clone())).init()?)
}

/// Calls the second process inside a span, and compares what it says with that span.
fn first() -> Result<String> {
    let memory = MemoryExporter::new("memory");
    let telemetry = start(&memory)?;
    let mut baggage = Baggage::default();
    baggage.insert("tenant", "acme & sons");
    let output = info_span!("first").in_scope(|| {
        let _baggage = context::with_baggage(baggage);
        info!("calling the second process");
        let mut command = Command::new(std::env::current_exe()?);
        context::inject(&mut command);
        command.arg("second").output()
    })?;
    let report = telemetry.shutdown();
    let spans = memory.spans();
    let span = spans.first().ok_or("no span was delivered")?;
    let (trace_id, span_id) = span.trace_id.zip(span.span_id).ok_or("the span has no ids")?;
    let expected = format!("trace {trace_id}, parent {span_id} (remote), tenant acme & sons");
    let said = String::from_utf8(output.stdout)?.trim().to_owned();
    if !report.is_complete() || !output.status.success() || said != expected {
        return Err(format!("expected `{expected}`, but the second process said `{said}`").into());
    }
    Ok(format!("both processes agree: {said}"))
}

/// Continues the trace that the environment names, and says what was delivered.
fn second() -> Result<String> {
    let memory = MemoryExporter::new("memory");
    let telemetry = start(&memory)?;
    let remote = context::extract(&Environment::of_process());
    remote.run(|| info_span!("second").in_scope(|| info!("at work")));
    telemetry.shutdown();
    let (spans, events) = (memory.spans(), memory.events());
    let record = spans.first().ok_or("no span was delivered")?;
    let span = record.spans.first().ok_or("the span is not in its own record")?;
    let (trace_id, parent_id) = span.trace_id.zip(span.parent_id).ok_or("no parent")?;
    let place = if span.has_remote_parent { "remote" } else { "here" };
    let fields = events.first().map(|event| &event.fields[..]).unwrap_or_default();
    let tenant = fields.iter().find(|(key, _)| key == "tenant").ok_or("no tenant")?;
    let telemetry_toolkit::testing::OwnedValue::Text(tenant) = &tenant.1 else {
        return Err("the tenant is no text".into());
    };
    Ok(format!("trace {trace_id}, parent {parent_id} ({place}), tenant {tenant}"))
}
