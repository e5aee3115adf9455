//! logforth: its JSON layout over its file appender, behind its asynchronous appender.

use std::num::NonZeroUsize;

use logforth::append::asynchronous::AsyncBuilder;
use logforth::append::file::FileBuilder;
use logforth::bridge::log::LogBridge;
use logforth::core::builder;
use logforth::layout::JsonLayout;

use super::{LogSession, Purpose, Session, Setup, Subject, locked_version};
use crate::Result;
use crate::workload::Op;

/// When a call-site run begins a new file.
const FILE_BYTES_MAX: NonZeroUsize = NonZeroUsize::new(64 << 20).unwrap();

/// Records are copied by the caller, formatted and written by a thread.
#[derive(Debug)]
pub(crate) struct Logforth;

impl Subject for Logforth {
    fn name(&self) -> &'static str {
        "logforth-async-file"
    }

    fn version(&self) -> String {
        locked_version("logforth")
    }

    fn runs(&self, purpose: Purpose, op: Op) -> bool {
        LogSession::knows(op) && purpose.is_of_files()
    }

    fn install(&self, setup: &Setup) -> Result<Box<dyn Session>> {
        let file = FileBuilder::new(&setup.dir, "events").filename_suffix("jsonl");
        let file = file.layout(JsonLayout::default());
        let file = match setup.purpose {
            Purpose::CallSite => {
                let two = NonZeroUsize::new(2).ok_or("two is not zero")?;
                file.rollover_size(FILE_BYTES_MAX).max_log_files(two)
            }
            _ => file,
        };
        let append = AsyncBuilder::new("logforth").append(file.build()?).build();
        let logger = builder().dispatch(|dispatch| dispatch.append(append)).build();
        log::set_boxed_logger(Box::new(LogBridge::new(logger)))?;
        log::set_max_level(log::LevelFilter::Info);
        Ok(Box::new(LogSession::KeyValues))
    }
}
