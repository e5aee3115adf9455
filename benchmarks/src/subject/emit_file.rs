//! emit, with emit_file's rolling files.

use std::time::Duration;

use emit::{Frame, Level};

use super::{Outcome, Purpose, Session, Setup, Subject, locked_version};
use crate::Result;
use crate::workload::{Op, PEER, SPAN, USER, hot_loop, ratio};

const FILE_BYTES_MAX: usize = 64 << 20;

/// Events are formatted by the caller and written by a thread.
#[derive(Debug)]
pub(crate) struct EmitFile;

impl Subject for EmitFile {
    fn name(&self) -> &'static str {
        "emit_file"
    }

    fn version(&self) -> String {
        locked_version("emit_file")
    }

    fn writes_where_it_is_told(&self) -> bool {
        false
    }

    fn runs(&self, purpose: Purpose, op: Op) -> bool {
        matches!(op, Op::Event | Op::DisabledLevel) && purpose.is_of_files()
    }

    fn install(&self, setup: &Setup) -> Result<Box<dyn Session>> {
        let files = emit_file::set(setup.json_file());
        let files = match setup.purpose {
            Purpose::CallSite => files.max_file_size_bytes(FILE_BYTES_MAX).max_files(2),
            _ => files,
        };
        let setup = emit::setup().emit_to(files.spawn());
        let running = setup.emit_when(emit::level::min_filter(Level::Info)).init();
        Ok(Box::new(Installed(Box::new(move |timeout| running.blocking_flush(timeout)))))
    }
}

/// Flushes; `true` = in time.
struct Installed(Box<dyn Fn(Duration) -> bool + Sync>);

impl Session for Installed {
    fn emit(&self, op: Op, ops: u64) {
        let context = emit::runtime::shared().ctxt();
        let properties = emit::props! { span: SPAN, request_id: 7_u64, user: USER };
        Frame::push(context, properties).call(|| match op {
            Op::DisabledLevel => hot_loop(ops, |i| {
                emit::debug!(
                    "request handled", count: i, ratio: ratio(i), peer: PEER, ok: true
                );
            }),
            _ => hot_loop(ops, |i| {
                emit::info!(
                    "request handled", count: i, ratio: ratio(i), peer: PEER, ok: true
                );
            }),
        });
    }

    fn settle(&self) {
        if !(self.0)(Duration::from_secs(60)) {
            eprintln!("emit_file: not flushed in time");
        }
    }

    fn finish(self: Box<Self>) -> Outcome {
        self.settle();
        Outcome::default()
    }
}
