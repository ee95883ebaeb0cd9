//! What the kernel says of a process: its CPU time and its memory.

use std::fs;
use std::time::Duration;

use crate::Outcome;

/// One tick of `/proc/PID/stat`: `USER_HZ` is 100 on every Linux (proc(5), sysconf(3)).
const TICK: Duration = Duration::from_millis(10);
/// `utime` and `stime`, counted from behind the command's closing bracket (proc(5)).
const UTIME: usize = 11;

/// CPU time of a process so far, all its threads, user and system, ended ones included.
///
/// # Errors
/// There is no such process.
pub fn cpu_time(pid: u32) -> Outcome<Duration> {
    stat_ticks(&format!("/proc/{pid}/stat"), 2)
}

/// CPU time of this process and of those it started that have ended.
///
/// # Errors
/// There is no `/proc`.
pub fn cpu_time_of_own() -> Outcome<Duration> {
    stat_ticks("/proc/self/stat", 4)
}

/// CPU time of all processors since the start, but what they idled.
///
/// # Errors
/// There is no `/proc`.
pub fn cpu_time_of_machine() -> Outcome<Duration> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().find_map(|line| line.strip_prefix("cpu ")).ok_or("/proc/stat has no total")?;
    let ticks = line.split_whitespace().map(str::parse::<u32>).collect::<Result<Vec<_>, _>>()?;
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are counted in user (proc(5)).
    let busy = ticks.iter().take(8).enumerate().filter(|(place, _)| !matches!(place, 3 | 4));
    Ok(TICK * busy.map(|(_, ticks)| *ticks).sum::<u32>())
}

/// The sum of so many fields from `utime` on.
fn stat_ticks(path: &str, fields: usize) -> Outcome<Duration> {
    let text = fs::read_to_string(path)?;
    let (_, rest) = text.rsplit_once(')').ok_or_else(|| format!("{path} is not as expected"))?;
    let ticks = rest.split_whitespace().skip(UTIME).take(fields).map(str::parse::<u32>);
    let ticks = ticks.sum::<Result<u32, _>>()?;
    Ok(TICK * ticks)
}

/// A process's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// What is resident now, in KiB.
    pub resident_kib: u64,
    /// The most that was.
    pub peak_kib: u64,
}

/// Memory of a process.
///
/// # Errors
/// There is no such process.
pub fn memory(pid: u32) -> Outcome<Memory> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path)?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.ok_or_else(|| format!("{path} has no {name}"))
    };
    Ok(Memory { resident_kib: field("VmRSS")?, peak_kib: field("VmHWM")? })
}
