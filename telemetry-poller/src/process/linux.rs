//! Reads the process statistics of Linux.
//!
//! # Invariants
//!
//! - Every source that fails says what could not be read, and observes nothing.
//! - A read takes at most 16 KiB; a listing at most 65,536 entries.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::mem::MaybeUninit;

use super::{parse, *};
use crate::measure::{Measure, MeasureError};

/// Longer than any of the texts: `stat` has 52 numbers and a name of 16 bytes.
const TEXT_BYTES_MAX: u64 = 16 * 1024;

/// Most entries of `/proc/self/fd` that are listed where the kernel does not count them: about
/// 10 ms.
const LISTED_MAX: usize = 65_536;

/// Says what could not be read.
#[derive(Debug)]
struct ReadError {
    what: &'static str,
    source: io::Error,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read `{}`", self.what)
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

fn reading(what: &'static str) -> impl Fn(io::Error) -> ReadError {
    move |source| ReadError { what, source }
}

pub(super) fn rusage(measure: &mut Measure) -> Result<(), MeasureError> {
    let usage = getrusage().map_err(reading("getrusage(2)"))?;
    let (user, system) = (seconds(usage.ru_utime)?, seconds(usage.ru_stime)?);
    let voluntary = u64::try_from(usage.ru_nvcsw)?;
    let involuntary = u64::try_from(usage.ru_nivcsw)?;
    let (major, minor) = (u64::try_from(usage.ru_majflt)?, u64::try_from(usage.ru_minflt)?);
    measure.counter_f64(CPU_TIME, [("cpu.mode", "user")], user);
    measure.counter_f64(CPU_TIME, [("cpu.mode", "system")], system);
    let switch = "process.context_switch.type";
    measure.counter(CONTEXT_SWITCHES, [(switch, "voluntary")], voluntary);
    measure.counter(CONTEXT_SWITCHES, [(switch, "involuntary")], involuntary);
    measure.counter(PAGING_FAULTS, [("system.paging.fault.type", "major")], major);
    measure.counter(PAGING_FAULTS, [("system.paging.fault.type", "minor")], minor);
    Ok(())
}

pub(super) fn stat(measure: &mut Measure) -> Result<(), MeasureError> {
    let stat = parse::stat(&text("/proc/self/stat")?)?;
    let ticks_per_second = sysconf(libc::_SC_CLK_TCK).map_err(reading("_SC_CLK_TCK"))?;
    let since_boot = boottime_seconds().map_err(reading("CLOCK_BOOTTIME"))?;
    let uptime = since_boot - stat.start_ticks as f64 / ticks_per_second as f64;
    measure.up_down_counter(THREAD_COUNT, (), i64::try_from(stat.threads)?);
    // Negative where a container shows the start by another boot than the clock: not known.
    if uptime >= 0.0 {
        measure.gauge(UPTIME, (), uptime);
    }
    Ok(())
}

pub(super) fn statm(measure: &mut Measure) -> Result<(), MeasureError> {
    let statm = parse::statm(&text("/proc/self/statm")?)?;
    let page_bytes = sysconf(libc::_SC_PAGESIZE).map_err(reading("_SC_PAGESIZE"))?;
    let bytes = |pages: u64| i64::try_from(u128::from(pages) * u128::from(page_bytes));
    let (resident, virtual_size) = (bytes(statm.resident_pages)?, bytes(statm.virtual_pages)?);
    measure.up_down_counter(MEMORY_USAGE, (), resident);
    measure.up_down_counter(MEMORY_VIRTUAL, (), virtual_size);
    Ok(())
}

pub(super) fn io(measure: &mut Measure) -> Result<(), MeasureError> {
    let io = parse::io(&text("/proc/self/io")?)?;
    measure.counter(DISK_IO, [("disk.io.direction", "read")], io.read_bytes);
    measure.counter(DISK_IO, [("disk.io.direction", "write")], io.write_bytes);
    Ok(())
}

pub(super) fn fd(measure: &mut Measure) -> Result<(), MeasureError> {
    let size = fs::metadata("/proc/self/fd").map_err(reading("/proc/self/fd"))?.len();
    // Before Linux 6.2 the size is 0, as it is for a process without descriptors: list, then.
    let count = if size > 0 { i64::try_from(size)? } else { list_fds()? };
    measure.up_down_counter(FILE_DESCRIPTOR_COUNT, (), count);
    Ok(())
}

/// Counts the entries of `/proc/self/fd`, without the descriptor that lists them.
fn list_fds() -> Result<i64, MeasureError> {
    let entries = fs::read_dir("/proc/self/fd").map_err(reading("/proc/self/fd"))?;
    let mut count = 0_usize;
    for entry in entries {
        entry.map_err(reading("/proc/self/fd"))?;
        count += 1;
        if count > LISTED_MAX {
            return Err(
                format!("`/proc/self/fd` has more than {LISTED_MAX} entries to list").into()
            );
        }
    }
    Ok(i64::try_from(count.saturating_sub(1))?)
}

fn text(path: &'static str) -> Result<Vec<u8>, ReadError> {
    let mut text = Vec::with_capacity(1024);
    let file = File::open(path).map_err(reading(path))?;
    file.take(TEXT_BYTES_MAX).read_to_end(&mut text).map_err(reading(path))?;
    Ok(text)
}

fn seconds(time: libc::timeval) -> Result<f64, MeasureError> {
    let (seconds, microseconds) = (u64::try_from(time.tv_sec)?, u64::try_from(time.tv_usec)?);
    Ok(seconds as f64 + microseconds as f64 / 1e6)
}

fn getrusage() -> io::Result<libc::rusage> {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to writable memory of the size the call fills.
    let result = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is made of integers, for which all zeroes are valid, and the call filled it.
    Ok(unsafe { usage.assume_init() })
}

fn boottime_seconds() -> io::Result<f64> {
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: the pointer is to writable memory of the size the call fills.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, time.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is made of integers, for which all zeroes are valid, and the call filled it.
    let time = unsafe { time.assume_init() };
    Ok(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

/// Reads a setting of the system that is above 0.
fn sysconf(name: libc::c_int) -> io::Result<u64> {
    // SAFETY: the call takes any number and touches no memory of ours.
    let value = unsafe { libc::sysconf(name) };
    match u64::try_from(value) {
        Ok(value) if value > 0 => Ok(value),
        _ => Err(io::Error::from(io::ErrorKind::Unsupported)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listing_agrees_with_the_kernel_count() {
        // Other tests open and close files meanwhile: a round in which none did must come.
        let agree = (0..1000).any(|_| {
            let size = fs::metadata("/proc/self/fd").expect("has /proc").len();
            let listed = list_fds().expect("can list");
            size == 0 || i64::try_from(size) == Ok(listed)
        });
        assert!(agree);
    }

    #[test]
    fn missing_file_is_named() {
        let error = text("/proc/self/nothing").expect_err("is not there");
        assert_eq!(error.to_string(), "cannot read `/proc/self/nothing`");
    }
}
