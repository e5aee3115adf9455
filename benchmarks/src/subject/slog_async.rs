//! slog-json behind slog-async, whose callers wait when its channel is full.

use std::sync::atomic::{AtomicU64, Ordering};

use slog::{Drain, FnValue, Level, LevelFilter, Logger, Record, debug, info, o};
use slog_async::{Async, AsyncGuard, OverflowStrategy};

use super::{Outcome, Purpose, Session, Setup, Subject, locked_version};
use crate::Result;
use crate::sink::{Keep, Lines, Sink};
use crate::workload::{Op, PEER, SPAN, USER, hot_loop, ratio};

/// Room for every batch: the default of 128 would measure the consumer instead of the call site.
const CHANNEL_RECORDS: usize = 65_536;

/// Values captured by the caller, formatted by a thread.
#[derive(Debug)]
pub(crate) struct SlogAsync;

impl Subject for SlogAsync {
    fn name(&self) -> &'static str {
        "slog-async"
    }

    fn version(&self) -> String {
        locked_version("slog-async")
    }

    fn runs(&self, purpose: Purpose, op: Op) -> bool {
        let knows = matches!(op, Op::Event | Op::DisabledLevel);
        knows && purpose.is_of_files()
    }

    fn install(&self, setup: &Setup) -> Result<Box<dyn Session>> {
        let keep = if setup.purpose == Purpose::File { Keep::All } else { Keep::Recent };
        let (sink, lines) = Sink::create(&setup.json_file(), keep)?;
        let json = slog_json::Json::new(sink)
            .add_default_keys()
            .add_key_value(o!("target" => FnValue(|record: &Record<'_>| record.module())))
            .build();
        let drain = Async::new(json.fuse());
        let (drain, guard) = match setup.purpose {
            Purpose::Loss => drain.build_with_guard(),
            _ => drain
                .chan_size(CHANNEL_RECORDS)
                .overflow_strategy(OverflowStrategy::Block)
                .build_with_guard(),
        };
        let logger = Logger::root(LevelFilter::new(drain, Level::Info).fuse(), o!());
        Ok(Box::new(Installed { logger, guard, lines, emitted: AtomicU64::new(0) }))
    }
}

struct Installed {
    logger: Logger,
    guard: AsyncGuard,
    lines: Lines,
    emitted: AtomicU64,
}

impl Session for Installed {
    fn emit(&self, op: Op, ops: u64) {
        // slog has no spans: a child logger carries the same three values to every line.
        let log = self.logger.new(o!("span" => SPAN, "request_id" => 7_u64, "user" => USER));
        match op {
            Op::Event => {
                hot_loop(ops, |i| {
                    info!(log, "request handled";
                        "count" => i, "ratio" => ratio(i), "peer" => PEER, "ok" => true);
                });
                self.emitted.fetch_add(ops, Ordering::SeqCst);
            }
            _ => hot_loop(ops, |i| {
                debug!(log, "request handled";
                    "count" => i, "ratio" => ratio(i), "peer" => PEER, "ok" => true);
            }),
        }
    }

    fn settle(&self) {
        self.lines.wait_for(self.emitted.load(Ordering::SeqCst));
    }

    fn finish(self: Box<Self>) -> Outcome {
        drop(self.logger);
        drop(self.guard);
        Outcome::default()
    }
}
