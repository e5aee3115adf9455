//! The public types that hold what the program or a caller says, as `Debug` and `Display` show them.

use crate::{canary, plant};
use std::fmt::{Debug, Write};
use telemetry_toolkit::context::{self, Baggage, Carried, Environment, Propagators, RemoteContext};
use telemetry_toolkit::filter::{FieldValue, Filter, Record, SpanRecord};
use telemetry_toolkit::metric::{self, Labels};
use telemetry_toolkit::redaction::{Redaction, Secret};
use telemetry_toolkit::resource::Resource;
use telemetry_toolkit::testing::BatchFixture;
use telemetry_toolkit::{Level, Report, Telemetry};

/// All of them, one after the other.
pub(crate) fn all(telemetry: &Telemetry, report: &Report) -> String {
    let mut text = String::new();
    let mut show = |value: &dyn Debug| writeln!(text, "{value:?}\n{value:#?}").unwrap();
    show(telemetry);
    show(report);
    show(&telemetry.report());
    let snapshot = telemetry.snapshot();
    show(&snapshot);
    show(&(snapshot.to_string(), snapshot.to_json()));
    show(&(telemetry.inspector(), telemetry.config(), telemetry.config().to_string()));
    show(&telemetry.filters());
    show(&Redaction::default());
    show(&Secret::new(canary("secret")));
    settings(&mut show);
    contexts(&mut show);
    filters(&mut show);
    records(&mut show);
    for conflict in metric::global().conflicts() {
        show(&conflict);
        show(&conflict.to_string());
    }
    show(metric::global());
    show(&Labels::from([("db.password", canary("labels"))]));
    text
}

fn settings(show: &mut dyn FnMut(&dyn Debug)) {
    let otlp = plant::otlp_exporter();
    show(&otlp);
    show(&otlp.clone().build().unwrap());
    let wrong = otlp.endpoint(format!("ftp://ann:{}@host?x={}", canary("user"), canary("query")));
    let wrong = wrong.header("a b", canary("bad_header"));
    show(&wrong);
    let error = wrong.clone().build().unwrap_err();
    show(&error);
    show(&error.to_string());
    let collector = |url: String| telemetry_toolkit::builder().no_console().otlp_endpoint(url);
    let bad = collector(format!("http://u:{}@h:99999/?k={}", canary("user"), canary("query")));
    show(&bad);
    show(&bad.init().unwrap_err());
    show(&Resource::default().with("api_key", canary("resource")));
    let variable = |name: &str| match name {
        "OTEL_RESOURCE_ATTRIBUTES" => Some(format!("password=x,{}", canary("no_key"))),
        "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(format!("http//{}@h", canary("bad_endpoint"))),
        "RUST_LOG" => Some(format!("[{{secret=\"{}\"", canary("bad_filter"))),
        "TELEMETRY_STRICT" => Some("1".to_owned()),
        _ => None,
    };
    let builder = telemetry_toolkit::builder().no_console().from_variables(variable);
    show(&builder);
    show(&builder.init().unwrap_err());
    for pattern in ["_(", "(_)*"].map(|pattern| pattern.replace('_', &canary("bad_pattern"))) {
        let builder = telemetry_toolkit::builder().no_console().redact_values([pattern]);
        show(&builder);
        show(&builder.init().unwrap_err());
    }
    show(&telemetry_toolkit::ConsoleExporter::builder());
    let path = std::path::PathBuf::from("/tmp/x");
    show(&telemetry_toolkit::builder().json_file(path));
}

fn contexts(show: &mut dyn FnMut(&dyn Debug)) {
    let mut baggage = Baggage::default();
    assert!(baggage.insert("client.secret", &canary("baggage")));
    let scope = context::scope([("token", canary("scope"))]);
    let remote = RemoteContext::new(None, baggage.clone());
    let guard = remote.enter();
    show(&Carried::capture());
    show(&context::values());
    show(&(scope, guard));
    show(&remote);
    show(&baggage);
    let environment = Environment::of_process();
    show(&environment);
    show(&Propagators::default().extract(&environment));
    let mut headers = http::HeaderMap::new();
    headers.insert("authorization", canary("map").parse().unwrap());
    show(&telemetry_toolkit::headers::Headers(&headers));
    show(&telemetry_toolkit::headers::HeadersMut(&mut headers));
}

fn filters(show: &mut dyn FnMut(&dyn Debug)) {
    let text = format!("info,app[request{{password=\"{}\"}}]=debug", canary("filter"));
    let filter: Filter = text.parse().unwrap();
    show(&filter);
    show(&filter.to_string());
    show(&filter.never());
    let value = canary("record");
    let fields = [("password", FieldValue::Text(&value))];
    let spans = [SpanRecord { name: "request", target: None, fields: &fields }];
    let record = Record { target: "app", level: Level::Info, fields: &fields, spans: &spans };
    show(&record);
    show(&filter.explain(&record));
    show(&filter.explain(&record).to_string());
    for wrong in ["[{token=\"_", "[{token<_}]", "[{token~\"(_\"}]", "[{token=_"] {
        let wrong = wrong.replace('_', &canary("wrong_filter"));
        let error = Filter::parse(&wrong).unwrap_err();
        show(&error);
        show(&error.render());
        show(&wrong.parse::<Filter>().unwrap_err());
    }
}

fn records(show: &mut dyn FnMut(&dyn Debug)) {
    let mut fixture = BatchFixture::new();
    let secret = canary("fixture");
    let span = fixture.span("s", Level::Info, &["password"], None, 1, |w| w.str(0, &secret));
    let write = |w: &mut telemetry_toolkit::record::Writer<'_>| w.str(1, &secret);
    fixture.event("app", Level::Info, &["n", "token"], Some(span), 2, write);
    fixture.log_event("app", Level::Info, "text", &[("api_key", &secret)], 3);
    fixture.close(span, 4);
    let batch = fixture.finish();
    show(&batch);
    for record in batch.records() {
        show(&record);
        show(&record.fields().collect::<Vec<_>>());
        show(&record.span());
        show(&record.span().map(|span| span.fields().collect::<Vec<_>>()));
    }
}
