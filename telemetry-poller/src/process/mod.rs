//! The default set: what the operating system knows of this process.
//!
//! Names, units and attributes are those of the OpenTelemetry semantic conventions 1.44
//! (release candidates); a golden test holds them to that table.
//!
//! # Invariants
//!
//! - Each source is a measurement of its own: `/proc/self/io` that may not be read costs the disk
//!   metrics only.
//! - Values are those of the whole process, never of the thread that reads them.
//! - Linux only: elsewhere the set is one measurement, `process`, that says so once.
//!
//! Not in the set: `process.network.io` (`/proc/self/net/dev` is per network namespace, not per
//! process) and `process.disk.operations` (`/proc/self/io` counts system calls, not operations).

#[cfg(target_os = "linux")]
mod linux;
mod parse;

use telemetry_core::metric::Registry;

use crate::measure::Measurement;

/// Processor time used, in seconds.
///
/// - **Metric**: `process.cpu.time`, unit `s`, counter (float).
/// - **Attributes**: `cpu.mode` = `user`, `system`.
/// - **Source**: `ru_utime`, `ru_stime` of getrusage(2), `RUSAGE_SELF`.
/// - **When missing**: not reported; never 0.
pub const CPU_TIME: &str = "process.cpu.time";

/// Resident memory, in bytes.
///
/// - **Metric**: `process.memory.usage`, unit `By`, up-down counter.
/// - **Source**: `/proc/self/statm` field 2 times the page size (proc(5)). The kernel batches the
///   count per processor, so it may be off by some pages; the exact `smaps_rollup` walks all
///   mappings, which is too much for every poll.
/// - **When missing**: not reported; never 0.
pub const MEMORY_USAGE: &str = "process.memory.usage";

/// Virtual memory, in bytes.
///
/// - **Metric**: `process.memory.virtual`, unit `By`, up-down counter.
/// - **Source**: `/proc/self/statm` field 1 times the page size (proc(5)).
/// - **When missing**: not reported; never 0.
pub const MEMORY_VIRTUAL: &str = "process.memory.virtual";

/// Bytes that storage was asked for, in bytes.
///
/// - **Metric**: `process.disk.io`, unit `By`, counter.
/// - **Attributes**: `disk.io.direction` = `read`, `write`.
/// - **Source**: `read_bytes`, `write_bytes` of `/proc/self/io` (proc(5)); not `rchar`, `wchar`,
///   which include the page cache, pipes and sockets.
/// - **When missing**: not reported; never 0. A process that is not dumpable may not read the file.
pub const DISK_IO: &str = "process.disk.io";

/// Threads.
///
/// - **Metric**: `process.thread.count`, unit `{thread}`, up-down counter.
/// - **Source**: `/proc/self/stat` field 20 (proc(5)).
/// - **When missing**: not reported; never 0.
pub const THREAD_COUNT: &str = "process.thread.count";

/// Open file descriptors.
///
/// - **Metric**: `process.unix.file_descriptor.count`, unit `{file_descriptor}`, up-down counter.
/// - **Source**: size of `/proc/self/fd` (Linux 6.2 and later), otherwise the number of its
///   entries without the one opened to list them.
/// - **When missing**: not reported; never 0. More than 65,536 entries are not listed.
pub const FILE_DESCRIPTOR_COUNT: &str = "process.unix.file_descriptor.count";

/// Context switches of all threads.
///
/// - **Metric**: `process.context_switches`, unit `{context_switch}`, counter.
/// - **Attributes**: `process.context_switch.type` = `voluntary`, `involuntary`.
/// - **Source**: `ru_nvcsw`, `ru_nivcsw` of getrusage(2), `RUSAGE_SELF`; not `/proc/self/status`,
///   which counts those of the main thread only.
/// - **When missing**: not reported; never 0.
pub const CONTEXT_SWITCHES: &str = "process.context_switches";

/// Page faults.
///
/// - **Metric**: `process.paging.faults`, unit `{fault}`, counter.
/// - **Attributes**: `system.paging.fault.type` = `major`, `minor`.
/// - **Source**: `ru_majflt`, `ru_minflt` of getrusage(2), `RUSAGE_SELF`.
/// - **When missing**: not reported; never 0.
pub const PAGING_FAULTS: &str = "process.paging.faults";

/// Time since the process started, in seconds.
///
/// - **Metric**: `process.uptime`, unit `s`, gauge.
/// - **Source**: `CLOCK_BOOTTIME` minus `/proc/self/stat` field 22 (proc(5)): setting the wall
///   clock does not change it, and time in suspend counts.
/// - **When missing**: not reported; never 0.
pub const UPTIME: &str = "process.uptime";

/// Name, unit and description of each metric of the set.
const DESCRIPTIONS: [(&str, &str, &str); 9] = [
    (CPU_TIME, "s", "Processor time used, by mode"),
    (MEMORY_USAGE, "By", "Resident memory"),
    (MEMORY_VIRTUAL, "By", "Virtual memory"),
    (DISK_IO, "By", "Bytes read from and written to storage"),
    (THREAD_COUNT, "{thread}", "Threads"),
    (FILE_DESCRIPTOR_COUNT, "{file_descriptor}", "Open file descriptors"),
    (CONTEXT_SWITCHES, "{context_switch}", "Context switches of all threads"),
    (PAGING_FAULTS, "{fault}", "Page faults"),
    (UPTIME, "s", "Time since the process started"),
];

pub(crate) fn describe(registry: &Registry) {
    for (name, unit, description) in DESCRIPTIONS {
        registry.describe(name, unit, description);
    }
}

#[cfg(target_os = "linux")]
pub(crate) fn measurements() -> Vec<Measurement> {
    vec![
        Measurement::new("process.rusage", Box::new(linux::rusage)),
        Measurement::new("process.statm", Box::new(linux::statm)),
        Measurement::new("process.io", Box::new(linux::io)),
        Measurement::new("process.fd", Box::new(linux::fd)),
        // Last: who sees a new uptime sees the whole reading.
        Measurement::new("process.stat", Box::new(linux::stat)),
    ]
}

/// One measurement that always fails: its first failure is the note that the set is empty.
#[cfg(not(target_os = "linux"))]
pub(crate) fn measurements() -> Vec<Measurement> {
    let note = "process statistics are read on Linux only: none are reported";
    vec![Measurement::new("process", Box::new(move |_| Err(note.into())))]
}
