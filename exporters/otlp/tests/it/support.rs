//! Batches with numbered records, and the outcomes of their acks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use telemetry_core::batch::Batch;
use telemetry_core::export::{Ack, Context, Exporter, Outcome};
use telemetry_core::ledger::{Cause, Signal, Units};
use telemetry_core::resource::Resource;
use telemetry_core::testing::BatchFixture;
use telemetry_core::{Level, clock};
use telemetry_otlp::receiver::{Receiver, Value};
use telemetry_otlp::{OtlpBuilder, OtlpExporter};

/// Longer than anything a test waits for.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) fn soon(after: Duration) -> Instant {
    clock::now() + after
}

/// An exporter whose waits are short, and that sends nothing by its own delay.
pub(crate) fn builder(endpoint: &str) -> OtlpBuilder {
    OtlpExporter::builder()
        .endpoint(endpoint)
        .delay(Duration::from_secs(60))
        .timeout(Duration::from_secs(2))
        .retry_timeout(Duration::from_secs(5))
        .backoff(Duration::from_millis(20), Duration::from_millis(100))
}

pub(crate) fn started(builder: OtlpBuilder) -> OtlpExporter {
    // The faults are many, and each has a diagnostic.
    telemetry_core::diagnostics::set_level(None);
    let mut exporter = builder.build().unwrap();
    exporter.start(&Context::new(Resource::default().with("service.name", "it")));
    exporter
}

/// A batch of logs numbered from `first`.
pub(crate) fn logs(first: u64, count: u64) -> Batch {
    let mut fixture = BatchFixture::new();
    for number in first..first + count {
        fixture.event("it", Level::Info, &["message", "number"], None, number + 1, |writer| {
            writer.str(0, "numbered");
            writer.u64(1, number);
        });
    }
    fixture.finish()
}

/// How often the receiver has each number.
pub(crate) fn numbers(receiver: &Receiver) -> BTreeMap<i64, usize> {
    let mut numbers = BTreeMap::new();
    for log in receiver.logs() {
        let Some(Value::I64(number)) = log.attributes.get("number") else { panic!("{log:?}") };
        *numbers.entry(*number).or_default() += 1;
    }
    numbers
}

/// The outcomes of all acks it gave out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcomes(Arc<Mutex<Vec<(Units, Outcome)>>>);

impl Outcomes {
    pub(crate) fn ack(&self, units: Units) -> Ack {
        let outcomes = Arc::clone(&self.0);
        Ack::for_tests(units, move |outcome| outcomes.lock().unwrap().push((units, outcome)))
    }

    pub(crate) fn export(&self, exporter: &mut OtlpExporter, batch: Batch) {
        let ack = self.ack(batch.units());
        exporter.export(batch, ack);
    }

    pub(crate) fn all(&self) -> Vec<Outcome> {
        self.0.lock().unwrap().iter().map(|(_, outcome)| outcome.clone()).collect()
    }

    /// What was delivered, and what was lost by cause.
    pub(crate) fn totals(&self) -> (Units, BTreeMap<Cause, Units>) {
        let mut delivered = Units::default();
        let mut lost: BTreeMap<Cause, Units> = BTreeMap::new();
        for (units, outcome) in self.0.lock().unwrap().iter() {
            let (here, cause) = match outcome {
                Outcome::Delivered => (Units::default(), None),
                Outcome::Partial { lost, cause } => (lost.min(*units), Some(*cause)),
                Outcome::Rejected(cause) => (*units, Some(*cause)),
                other => panic!("{other:?}"),
            };
            delivered = delivered.plus(units.minus(here));
            if let Some(cause) = cause {
                let total = lost.entry(cause).or_default();
                *total = total.plus(here);
            }
        }
        (delivered, lost)
    }

    /// Logs delivered, and logs lost by cause.
    pub(crate) fn logs(&self) -> (u64, BTreeMap<Cause, u64>) {
        let (delivered, lost) = self.totals();
        let logs = |units: Units| units.get(Signal::Log);
        (logs(delivered), lost.into_iter().map(|(cause, units)| (cause, logs(units))).collect())
    }
}
