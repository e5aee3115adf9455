//! What the process used so far: processor time and memory, as the kernel counts them.

use rustix::time::{ClockId, clock_gettime};

/// Processor time of all threads of this process, in ns.
pub(crate) fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Resident memory now, in bytes: `VmRSS` of `/proc/self/status` (proc(5)); 0 where there is none.
pub(crate) fn rss_bytes() -> u64 {
    status_kib("VmRSS:") * 1024
}

/// Resident memory at its highest, in bytes: `VmHWM` of `/proc/self/status`.
pub(crate) fn rss_peak_bytes() -> u64 {
    status_kib("VmHWM:") * 1024
}

fn status_kib(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
