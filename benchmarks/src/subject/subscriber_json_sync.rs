//! tracing-subscriber's JSON layer that writes each line itself: the slowest peer, and the one
//! that loses the least.

use std::fs::File;
use std::sync::Mutex;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, registry};

use super::{Outcome, Purpose, Session, Setup, Subject, locked_version, targets};
use crate::Result;
use crate::workload::{Op, tracing_emit};

/// Formatted and written by the caller, behind a lock.
#[derive(Debug)]
pub(crate) struct SubscriberJsonSync;

impl Subject for SubscriberJsonSync {
    fn name(&self) -> &'static str {
        "tracing-subscriber-json-sync"
    }

    fn version(&self) -> String {
        locked_version("tracing-subscriber")
    }

    fn runs(&self, purpose: Purpose, op: Op) -> bool {
        matches!(purpose, Purpose::File | Purpose::Loss) && op == Op::Event
    }

    fn install(&self, setup: &Setup) -> Result<Box<dyn Session>> {
        let file = Mutex::new(File::options().append(true).create(true).open(setup.json_file())?);
        registry().with(fmt::layer().json().with_writer(file)).with(targets()?).try_init()?;
        Ok(Box::new(Installed))
    }
}

struct Installed;

impl Session for Installed {
    fn emit(&self, op: Op, ops: u64) {
        tracing_emit(op, ops);
    }

    fn settle(&self) {}

    fn finish(self: Box<Self>) -> Outcome {
        Outcome { counted_lost: Some(0), ..Outcome::default() }
    }
}
