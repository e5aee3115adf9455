//! tracing-subscriber's JSON layer over tracing-appender's non-blocking writer, which waits instead
//! of losing lines.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, registry};

use super::{Outcome, Purpose, Session, Setup, Subject, locked_version, targets};
use crate::Result;
use crate::sink::{Keep, Lines, Sink};
use crate::workload::{Op, tracing_emit};

/// JSON formatted by the caller, written by a thread.
#[derive(Debug)]
pub(crate) struct SubscriberJson;

impl Subject for SubscriberJson {
    fn name(&self) -> &'static str {
        "tracing-subscriber-json-nonblocking"
    }

    fn version(&self) -> String {
        locked_version("tracing-subscriber")
    }

    fn runs(&self, purpose: Purpose, op: Op) -> bool {
        let otlp = matches!(purpose, Purpose::OtlpLogs | Purpose::OtlpSpans);
        !otlp && op != Op::EventMacro
    }

    fn install(&self, setup: &Setup) -> Result<Box<dyn Session>> {
        if setup.purpose == Purpose::Loss {
            return install_as_documented(setup);
        }
        let keep = if setup.purpose == Purpose::File { Keep::All } else { Keep::Recent };
        let (sink, lines) = Sink::create(&setup.json_file(), keep)?;
        let (writer, guard) = NonBlockingBuilder::default().lossy(false).finish(sink);
        let layer = fmt::layer().json().with_writer(writer);
        registry().with(layer).with(targets()?).try_init()?;
        Ok(Box::new(Installed { lines, guard, emitted: AtomicU64::new(0) }))
    }
}

/// A file behind `non_blocking`, with everything left at its default.
fn install_as_documented(setup: &Setup) -> Result<Box<dyn Session>> {
    let file = File::options().append(true).create(true).open(setup.json_file())?;
    let (writer, guard) = tracing_appender::non_blocking(file);
    let dropped = writer.error_counter();
    registry().with(fmt::layer().json().with_writer(writer)).with(targets()?).try_init()?;
    Ok(Box::new(AsDocumented { guard, dropped }))
}

struct AsDocumented {
    guard: WorkerGuard,
    dropped: ErrorCounter,
}

impl Session for AsDocumented {
    fn emit(&self, op: Op, ops: u64) {
        tracing_emit(op, ops);
    }

    fn settle(&self) {}

    fn finish(self: Box<Self>) -> Outcome {
        drop(self.guard);
        let counted_lost = Some(self.dropped.dropped_lines() as u64);
        Outcome { counted_lost, ..Outcome::default() }
    }
}

struct Installed {
    lines: Lines,
    guard: WorkerGuard,
    emitted: AtomicU64,
}

impl Session for Installed {
    fn emit(&self, op: Op, ops: u64) {
        tracing_emit(op, ops);
        if op.is_event() {
            self.emitted.fetch_add(ops, Ordering::SeqCst);
        }
    }

    fn settle(&self) {
        self.lines.wait_for(self.emitted.load(Ordering::SeqCst));
    }

    fn finish(self: Box<Self>) -> Outcome {
        // The guard gives its thread a second: a full queue needs longer, so the lines are waited
        // for first.
        self.settle();
        drop(self.guard);
        Outcome::default()
    }
}
