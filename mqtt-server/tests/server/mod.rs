//! The real server as a process of its own, and peers that speak to it over TCP, well or badly.

#![allow(dead_code, unused_imports, reason = "no test needs all of it")]
#![allow(
    clippy::disallowed_methods,
    reason = "these tests are about real time, as the server's clients have it"
)]

mod directory;
mod pair;
mod peer;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

pub(crate) use self::directory::Directory;
pub(crate) use self::pair::{Pair, beside_others};
pub(crate) use self::peer::{Got, Peer, hello, post, subscribe};

/// How long something may take that has to come at once, on a machine with much else to do.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// A server that runs. It is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    log: Receiver<String>,
    /// What it has logged so far.
    pub(crate) lines: Vec<String>,
    /// Where it listens, in the order of the command line.
    pub(crate) addresses: Vec<SocketAddr>,
}

/// The server's program with these arguments.
pub(crate) fn mqttd(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqttd"));
    command.args(arguments);
    command
}

impl Server {
    /// A server that listens on a free port.
    pub(crate) fn start() -> Self {
        Self::start_with(&["--listen", "127.0.0.1:0"])
    }

    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let listeners = arguments.iter().filter(|text| **text == "--listen");
        Self::run(mqttd(arguments), listeners.count())
    }

    /// A server that may open so many files at most, sockets included.
    pub(crate) fn start_with_files(files: usize) -> Self {
        let mut shell = Command::new("sh");
        let script = format!("ulimit -n {files}; exec \"$0\" --listen 127.0.0.1:0");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_mqttd")]);
        Self::run(shell, 1)
    }

    /// A server started by this command, which listens so many times.
    pub(crate) fn run(mut command: Command, listeners: usize) -> Self {
        let command = command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the server starts");
        let log = follow(child.stderr.take().expect("it is piped"));
        let mut server = Self {
            child,
            log,
            lines: Vec::new(),
            addresses: Vec::new(),
        };
        for _ in 0..listeners {
            let line = server.wait_for("listening on ");
            let (_, address) = line.rsplit_once(' ').expect("it ends with an address");
            server.addresses.push(address.parse().expect(address));
        }
        server
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Waits for a line in the log that contains `text`.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        loop {
            match self.log.recv_timeout(SOON) {
                Ok(line) => {
                    self.lines.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no {text:?} in {:#?}", self.lines),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended: {:#?}", self.lines),
            }
        }
    }

    /// Bytes of memory that the server has now; 0 where the system does not tell.
    pub(crate) fn resident_bytes(&self) -> usize {
        self.status_bytes("VmRSS:")
    }

    /// Bytes of memory that are the server's alone: without its program, which comes from its file
    /// and goes when memory is short; 0 where the system does not tell.
    pub(crate) fn private_bytes(&self) -> usize {
        self.status_bytes("RssAnon:")
    }

    /// The most bytes of memory that the server has had; 0 where the system does not tell.
    pub(crate) fn peak_bytes(&self) -> usize {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> usize {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).unwrap_or_default();
        let kilobytes = status.lines().find_map(|line| {
            let value = line.strip_prefix(name)?.trim().strip_suffix(" kB")?;
            value.parse::<usize>().ok()
        });
        kilobytes.unwrap_or(0) * 1024
    }

    /// The number of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// How many files and sockets the server has open; 0 where the system does not tell.
    pub(crate) fn open_files(&self) -> usize {
        let path = format!("/proc/{}/fd", self.child.id());
        fs::read_dir(path).map_or(0, Iterator::count)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Ends it at once, whatever it is doing.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait(SOON);
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self, within: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is a child") {
                self.lines.extend(self.log.iter());
                return status;
            }
            assert!(start.elapsed() < within, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Fails if the server has ended.
    pub(crate) fn is_alive(&mut self) {
        let ended = self.child.try_wait().expect("it is a child");
        assert!(ended.is_none(), "it ended: {:#?}", self.lines);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a log, as they come.
fn follow(stderr: ChildStderr) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            // The test may have ended.
            let _ = sender.send(line);
        }
    });
    receiver
}

/// Fails if `condition` does not become true soon.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < SOON, "not soon: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
