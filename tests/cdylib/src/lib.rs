//! A plugin with telemetry of its own: what it exports is called by a host that knows nothing of
//! Rust.
//!
//! # Invariants
//!
//! - No panic leaves an exported function.

#![expect(unsafe_code, reason = "what a host finds has a name that is not mangled")]

use std::ffi::{CStr, c_char};
use std::panic::catch_unwind;
use std::sync::{Mutex, PoisonError};
use telemetry_toolkit::Telemetry;
use tracing::{info, info_span};

static TELEMETRY: Mutex<Option<Telemetry>> = Mutex::new(None);

fn replace(telemetry: Option<Telemetry>) -> Option<Telemetry> {
    std::mem::replace(&mut *TELEMETRY.lock().unwrap_or_else(PoisonError::into_inner), telemetry)
}

/// Starts telemetry, which writes JSON lines to a file; returns whether it could.
///
/// # Safety
///
/// `path` has to end with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugin_start(path: *const c_char) -> bool {
    // SAFETY: the caller says so.
    let path = unsafe { CStr::from_ptr(path) };
    let start = || {
        let builder = telemetry_toolkit::builder().no_console().poller(false);
        builder.json_file(path.to_str().ok()?).init().ok()
    };
    let telemetry = catch_unwind(start).ok().flatten();
    let is_started = telemetry.is_some();
    replace(telemetry);
    is_started
}

/// Does so many pieces of work.
#[unsafe(no_mangle)]
pub extern "C" fn plugin_work(first: u64, count: u64) {
    let _ = catch_unwind(|| {
        for number in first..first + count {
            let _span = info_span!("work", number).entered();
            info!(number, "worked");
            log::info!("worked on {number}");
        }
    });
}

/// Shuts telemetry down; returns how many records were lost, or -1 if it did not run.
#[unsafe(no_mangle)]
pub extern "C" fn plugin_stop() -> i64 {
    let stop = || replace(None).map(|telemetry| telemetry.shutdown().lost() as i64);
    catch_unwind(stop).ok().flatten().unwrap_or(-1)
}
