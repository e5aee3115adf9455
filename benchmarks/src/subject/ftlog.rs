//! ftlog: text lines, formatted by the caller, written by a thread.

use ftlog::LoggerGuard;
use ftlog::appender::FileAppender;

use super::{LogSession, Outcome, Purpose, Session, Setup, Subject, locked_version};
use crate::Result;
use crate::sink::{Keep, Sink};
use crate::workload::Op;

/// Room for everything a case emits, waiting for room beyond it.
const QUEUE_RECORDS: usize = 100_000;

/// The fields are part of the text: its formatter knows no key-values.
#[derive(Debug)]
pub(crate) struct Ftlog;

impl Subject for Ftlog {
    fn name(&self) -> &'static str {
        "ftlog"
    }

    fn version(&self) -> String {
        locked_version("ftlog")
    }

    fn runs(&self, purpose: Purpose, op: Op) -> bool {
        LogSession::knows(op) && purpose.is_of_files()
    }

    fn install(&self, setup: &Setup) -> Result<Box<dyn Session>> {
        let builder = ftlog::builder().utc().max_log_level(log::LevelFilter::Info);
        let builder = match setup.purpose {
            Purpose::Loss => builder.root(FileAppender::new(setup.json_file())),
            purpose => {
                let keep = if purpose == Purpose::File { Keep::All } else { Keep::Recent };
                let (sink, _) = Sink::create(&setup.json_file(), keep)?;
                builder.root(sink).bounded(QUEUE_RECORDS, true)
            }
        };
        let guard = builder.try_init().map_err(|error| error.to_string())?;
        Ok(Box::new(Installed { guard }))
    }
}

struct Installed {
    guard: LoggerGuard,
}

impl Session for Installed {
    fn emit(&self, op: Op, ops: u64) {
        LogSession::Text.emit(op, ops);
    }

    fn settle(&self) {
        LogSession::Text.settle();
    }

    fn finish(self: Box<Self>) -> Outcome {
        drop(self.guard);
        Outcome::default()
    }
}
