//! tracing-subscriber's text layer, written by the caller under a lock.

use std::io::Write;
use std::sync::Mutex;

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, registry};

use super::{Outcome, Purpose, Session, Setup, Subject, locked_version, targets};
use crate::Result;
use crate::sink::{Keep, Sink};
use crate::workload::{Op, tracing_emit};

/// Text, formatted and written by the caller. It takes no part in the file cases, whose lines are
/// JSON.
#[derive(Debug)]
pub(crate) struct SubscriberFmt;

impl Subject for SubscriberFmt {
    fn name(&self) -> &'static str {
        "tracing-subscriber-fmt-sync"
    }

    fn version(&self) -> String {
        locked_version("tracing-subscriber")
    }

    fn runs(&self, purpose: Purpose, op: Op) -> bool {
        purpose == Purpose::CallSite && op != Op::EventMacro
    }

    fn install(&self, setup: &Setup) -> Result<Box<dyn Session>> {
        let (sink, _) = Sink::create(&setup.dir.join("events.log"), Keep::Recent)?;
        // The subscriber is global and never dropped: leaked, the sink can be flushed at the end.
        let sink: &'static Mutex<Sink> = Box::leak(Box::new(Mutex::new(sink)));
        let layer = fmt::layer().with_ansi(false).with_writer(move || sink.make_writer());
        registry().with(layer).with(targets()?).try_init()?;
        Ok(Box::new(Installed { sink }))
    }
}

struct Installed {
    sink: &'static Mutex<Sink>,
}

impl Session for Installed {
    fn emit(&self, op: Op, ops: u64) {
        tracing_emit(op, ops);
    }

    fn settle(&self) {}

    fn finish(self: Box<Self>) -> Outcome {
        if let Err(error) = self.sink.make_writer().flush() {
            eprintln!("tracing-subscriber-fmt-sync: {error}");
        }
        Outcome::default()
    }
}
