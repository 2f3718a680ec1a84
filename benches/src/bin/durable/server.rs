//! A server as a process of its own, and what the system tells about it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A server that runs. Killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// How long it took until it listened.
    pub(crate) start: Duration,
}

impl Server {
    /// Starts a server with these arguments, on a free port.
    pub(crate) fn start(program: &Path, arguments: &[&str]) -> Self {
        let began = Instant::now();
        let mut child = Command::new(program)
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|cause| panic!("{}: {cause}", program.display()));
        let mut log = BufReader::new(child.stderr.take().expect("it is piped"));
        let address = loop {
            let mut line = String::new();
            let count = log.read_line(&mut line).expect("the log can be read");
            assert!(count > 0, "the server has ended");
            if let Some((_, address)) = line.trim().rsplit_once("listening on ") {
                break address.parse().expect("it is an address");
            }
        };
        let start = began.elapsed();
        // It is not to fill the pipe, nor to find it closed.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self {
            child,
            address,
            start,
        }
    }

    /// A number of kilobytes of `/proc/PID/status`, in MB.
    pub(crate) fn memory_mb(&self, name: &str) -> f64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("Linux tells");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes =
            line.and_then(|line| line.trim_matches([':', '\t', ' ', 'k', 'B']).parse().ok());
        kilobytes.unwrap_or(0.0) / 1024.0
    }

    /// Seconds of CPU time that all its threads have used.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(path).expect("Linux tells");
        let (_, numbers) = stat.rsplit_once(')').expect("its name is in parentheses");
        let ticks = numbers.split_whitespace().skip(11).take(2);
        ticks
            .filter_map(|ticks| ticks.parse::<f64>().ok())
            .sum::<f64>()
            / 100.0
    }

    /// Ends it in peace.
    pub(crate) fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it runs");
        self.child.wait().expect("it is a child");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
