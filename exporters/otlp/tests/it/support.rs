//! Batches with numbered records, and the outcomes of their acks.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use telemetry_core::batch::Batch;
use telemetry_core::export::{Ack, Context, Exporter, Outcome};
use telemetry_core::ledger::{Cause, Signal, Units};
use telemetry_core::resource::Resource;
use telemetry_core::testing::BatchFixture;
use telemetry_core::{Level, clock};
use telemetry_otlp::receiver::{Receiver, Value};
use telemetry_otlp::{OtlpBuilder, OtlpExporter, Protocol};

/// Longer than anything takes that a test waits for, on the slowest machine; no test waits so long.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// A wait that no test lives to see the end of.
pub(crate) const NEVER: Duration = Duration::from_secs(3600);

pub(crate) fn soon(after: Duration) -> Instant {
    clock::now() + after
}

/// Makes tests of functions that take a protocol: each is one over HTTP and one over gRPC.
macro_rules! over_both {
    ($($name:ident)*) => {
        mod http {
            $(#[test]
            fn $name() {
                super::$name(telemetry_otlp::Protocol::HttpProtobuf);
            })*
        }
        mod grpc {
            $(#[test]
            fn $name() {
                super::$name(telemetry_otlp::Protocol::Grpc);
            })*
        }
    };
}
pub(crate) use over_both;

/// An exporter whose waits are short, that sends nothing by its own delay, and gives up nothing.
pub(crate) fn builder(protocol: Protocol, endpoint: &str) -> OtlpBuilder {
    OtlpExporter::builder()
        .protocol(protocol)
        .endpoint(endpoint)
        .delay(Duration::from_secs(600))
        .timeout(LONG)
        .retry_timeout(NEVER)
        .backoff(Duration::from_millis(20), Duration::from_millis(100))
}

pub(crate) fn started(builder: OtlpBuilder) -> OtlpExporter {
    // The faults are many, and each has a diagnostic.
    telemetry_core::diagnostics::set_level(None);
    let mut exporter = builder.build().unwrap();
    exporter.start(&Context::new(Resource::default().with("service.name", "it")));
    exporter
}

/// Starts a thread of a test's peer, which ends with the process.
pub(crate) fn peer(run: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().name("peer".to_owned()).spawn(run).unwrap();
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
pub(crate) struct Outcomes(Arc<Finished>);

#[derive(Debug, Default)]
struct Finished {
    all: Mutex<Vec<(Units, Outcome)>>,
    changed: Condvar,
}

impl Outcomes {
    pub(crate) fn ack(&self, units: Units) -> Ack {
        let outcomes = Arc::clone(&self.0);
        Ack::for_tests(units, move |outcome| {
            outcomes.all.lock().unwrap().push((units, outcome));
            outcomes.changed.notify_all();
        })
    }

    pub(crate) fn export(&self, exporter: &mut OtlpExporter, batch: Batch) {
        let ack = self.ack(batch.units());
        exporter.export(batch, ack);
    }

    /// All outcomes, once there are so many.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Outcome> {
        let few = |all: &mut Vec<_>| all.len() < count;
        let waited =
            self.0.changed.wait_timeout_while(self.0.all.lock().unwrap(), LONG, few).unwrap();
        assert!(!waited.1.timed_out(), "{} outcomes of {count}", waited.0.len());
        drop(waited);
        self.all()
    }

    pub(crate) fn all(&self) -> Vec<Outcome> {
        self.0.all.lock().unwrap().iter().map(|(_, outcome)| outcome.clone()).collect()
    }

    /// What was delivered, and what was lost by cause.
    pub(crate) fn totals(&self) -> (Units, BTreeMap<Cause, Units>) {
        let mut delivered = Units::default();
        let mut lost: BTreeMap<Cause, Units> = BTreeMap::new();
        for (units, outcome) in self.0.all.lock().unwrap().iter() {
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
