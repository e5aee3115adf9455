//! Claims about the poller as a user meets it.

mod poller;
#[cfg(target_os = "linux")]
mod process;
