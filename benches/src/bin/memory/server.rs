//! A server as a process of its own, and its resident memory.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long the server is left alone before its memory is read, so that it has noticed all.
const SETTLE: Duration = Duration::from_secs(2);

/// A server that runs. Killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) tcp: SocketAddr,
    pub(crate) websocket: SocketAddr,
}

impl Server {
    /// Starts a server with these arguments, on free ports.
    pub(crate) fn start(program: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(["--listen", "127.0.0.1:0", "--websocket", "127.0.0.1:0"])
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|cause| panic!("{}: {cause}", program.display()));
        let mut log = BufReader::new(child.stderr.take().expect("it is piped"));
        let (mut tcp, mut websocket) = (None, None);
        while tcp.is_none() || websocket.is_none() {
            let mut line = String::new();
            let count = log.read_line(&mut line).expect("the log can be read");
            assert!(count > 0, "the server has ended");
            let Some((before, address)) = line.trim().rsplit_once(" on ") else {
                continue;
            };
            let address = address.parse().ok();
            if before.ends_with("for WebSockets") {
                websocket = address;
            } else {
                tcp = address;
            }
        }
        // It is not to fill the pipe, nor to find it closed.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self {
            child,
            tcp: tcp.expect("it is there"),
            websocket: websocket.expect("it is there"),
        }
    }

    /// Its resident memory, once it has come to rest.
    pub(crate) fn resident_bytes(&self) -> i64 {
        std::thread::sleep(SETTLE);
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("Linux tells");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kilobytes: i64 = kilobytes
            .and_then(|number| number.parse().ok())
            .expect("Linux tells");
        kilobytes * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
