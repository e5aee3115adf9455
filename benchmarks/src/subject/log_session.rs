//! What libraries behind the `log` crate share: its macros, with the same content as everybody's.

use log::{debug, info};

use super::{Outcome, Session};
use crate::workload::{Op, PEER, SPAN, USER, hot_loop, ratio};

/// How a library takes the fields. `log` has no spans: every record has those of the span, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogSession {
    /// As key-values.
    KeyValues,
    /// As a part of the message.
    Text,
}

impl LogSession {
    /// Is it something that `log`'s macros can do?
    pub(crate) fn knows(op: Op) -> bool {
        matches!(op, Op::Event | Op::DisabledLevel)
    }
}

impl Session for LogSession {
    fn emit(&self, op: Op, ops: u64) {
        match (op, self) {
            (Op::DisabledLevel, _) => hot_loop(ops, |i| {
                debug!(count = i, ratio = ratio(i), peer = PEER, ok = true; "request handled");
            }),
            (_, Self::KeyValues) => hot_loop(ops, |i| {
                info!(
                    count = i, ratio = ratio(i), peer = PEER, ok = true,
                    span = SPAN, request_id = 7_u64, user = USER;
                    "request handled"
                );
            }),
            (_, Self::Text) => hot_loop(ops, |i| {
                info!(
                    "request handled count={i} ratio={} peer={PEER} ok={} span={SPAN} \
                     request_id={} user={USER}",
                    ratio(i),
                    true,
                    7_u64
                );
            }),
        }
    }

    fn settle(&self) {
        log::logger().flush();
    }

    fn finish(self: Box<Self>) -> Outcome {
        self.settle();
        Outcome::default()
    }
}
