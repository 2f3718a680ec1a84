//! CPU time and memory of the broker and of this program, from `/proc`. Where there is none, there are no figures.

use std::fs;
use std::path::{Path, PathBuf};

/// CPU seconds of a process since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cpu {
    pub(crate) user_s: f64,
    pub(crate) system_s: f64,
    /// Seconds that its threads were ready to run and had no core.
    pub(crate) waited_s: f64,
}

impl Cpu {
    pub(crate) fn total_s(&self) -> f64 {
        self.user_s + self.system_s
    }

    /// What has come since an earlier reading.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            user_s: (self.user_s - earlier.user_s).max(0.0),
            system_s: (self.system_s - earlier.system_s).max(0.0),
            waited_s: (self.waited_s - earlier.waited_s).max(0.0),
        }
    }
}

/// A process at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Reading {
    pub(crate) cpu: Cpu,
    pub(crate) resident_bytes: u64,
    /// The most resident bytes so far.
    pub(crate) resident_bytes_max: u64,
    pub(crate) threads: u64,
}

/// A process that can be read.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    directory: PathBuf,
    ticks_per_s: f64,
}

impl Process {
    /// The process with this identifier.
    pub(crate) fn of(pid: u32) -> Self {
        Self::at(PathBuf::from(format!("/proc/{pid}")))
    }

    /// This one.
    pub(crate) fn own() -> Self {
        Self::at(PathBuf::from("/proc/self"))
    }

    fn at(directory: PathBuf) -> Self {
        Self {
            directory,
            ticks_per_s: rustix::param::clock_ticks_per_second() as f64,
        }
    }

    /// What it has used and has now; `None` if it is not there.
    pub(crate) fn read(&self) -> Option<Reading> {
        let text = |name| fs::read_to_string(self.directory.join(name)).ok();
        let (user_s, system_s) = parse_stat(&text("stat")?, self.ticks_per_s)?;
        let status = text("status")?;
        Some(Reading {
            cpu: Cpu {
                user_s,
                system_s,
                waited_s: waited_s(&self.directory),
            },
            resident_bytes: kilobytes(&status, "VmRSS:")? * 1024,
            resident_bytes_max: kilobytes(&status, "VmHWM:")? * 1024,
            threads: kilobytes(&status, "Threads:")?,
        })
    }
}

/// CPU seconds of one thread of this program, exactly; its identifier is from [`thread_id`].
pub(crate) fn thread_cpu_s(thread: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
    let ns: u64 = text.split_ascii_whitespace().next()?.parse().ok()?;
    Some(ns as f64 / 1e9)
}

/// The identifier of the current thread.
pub(crate) fn thread_id() -> Option<u32> {
    let link = fs::read_link("/proc/thread-self").ok()?;
    link.file_name()?.to_str()?.parse().ok()
}

/// User and system seconds. The name of the program is in parentheses and may hold anything.
fn parse_stat(stat: &str, ticks_per_s: f64) -> Option<(f64, f64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut next = || Some(fields.next()?.parse::<f64>().ok()? / ticks_per_s);
    Some((next()?, next()?))
}

/// The number behind a name in `/proc/PID/status`.
fn kilobytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Of all the threads there are now.
fn waited_s(directory: &Path) -> f64 {
    let Ok(threads) = fs::read_dir(directory.join("task")) else {
        return 0.0;
    };
    let waited = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()
    });
    waited.sum::<u64>() as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_mislead() {
        let stat = "7 (a) b (c 1 2) S 1 7 7 0 -1 4194560 10 0 0 0 150 50 9 9 20 0 3 0 100 1 1";
        assert_eq!(parse_stat(stat, 100.0), Some((1.5, 0.5)));
        assert_eq!(parse_stat("7 (a) S 1", 100.0), None);
    }

    #[test]
    fn memory_is_read_from_its_lines() {
        let status = "Name:\tx\nVmHWM:\t    20 kB\nVmRSS:\t    10 kB\nThreads:\t3\n";
        assert_eq!(kilobytes(status, "VmRSS:"), Some(10));
        assert_eq!(kilobytes(status, "Threads:"), Some(3));
        assert_eq!(kilobytes(status, "VmSwap:"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_program_has_threads_memory_and_uses_time() {
        let own = Process::own();
        let before = own.read().unwrap();
        let thread = thread_id().unwrap();
        let thread_before = thread_cpu_s(thread).unwrap();
        while thread_cpu_s(thread).unwrap() < thread_before + 0.05 {
            std::hint::black_box(fs::read_to_string("/proc/self/status").unwrap());
        }
        let after = own.read().unwrap();
        assert!(after.cpu.since(&before.cpu).total_s() >= 0.02);
        assert!(after.resident_bytes > 0 && after.resident_bytes <= after.resident_bytes_max);
        assert!(after.threads >= 1);
        assert_eq!(Process::of(u32::MAX).read(), None);
    }
}
