//! A broker that is a program: a child, with its files in a directory of its own.

use std::env;
use std::fs;
use std::io::{Write, stderr};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;

use super::{Kind, Sessions};
use crate::directory::Directory;
use crate::port::Port;
use crate::{SOON, soon};

const MOSQUITTO: &str = "/usr/sbin/mosquitto";

pub(crate) struct Process {
    kind: Kind,
    program: PathBuf,
    directory: Directory,
    port: Port,
    websocket: Port,
    child: Option<Child>,
}

impl Process {
    /// One that is not started yet.
    pub(super) fn new(kind: Kind) -> Option<Self> {
        let program = program(kind)?;
        Some(Self {
            kind,
            program,
            directory: Directory::new(),
            port: Port::new(),
            websocket: Port::new(),
            child: None,
        })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Where `mqttd` listens for WebSockets.
    pub(super) const fn websocket_address(&self) -> SocketAddr {
        self.websocket.address()
    }

    /// Kills it; but Mosquitto saves its sessions only when it may end by itself.
    pub(super) async fn kill(&mut self, sessions: Sessions) {
        let mut child = self.child.take().expect("it runs");
        match (self.kind, sessions) {
            (Kind::Mosquitto, Sessions::Kept) => terminate(&child),
            _ => child.kill().unwrap(),
        }
        soon("the broker's end", async {
            while child.try_wait().unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        if sessions == Sessions::Lost {
            self.directory.clear();
        }
    }

    pub(super) async fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let mut command = match self.kind {
            Kind::Mosquitto => self.mosquitto(),
            Kind::Mqttd | Kind::Embedded => self.mqttd(),
        };
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.directory.path("log"))
            .unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.child = Some(child.spawn().expect("the broker starts"));
        let listens = async {
            while TcpStream::connect(self.address()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(SOON, listens).await.is_err() {
            panic!("{} does not listen: {}", self.kind, self.log());
        }
    }

    fn mqttd(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["--listen", &self.address().to_string()])
            .args(["--websocket", &self.websocket_address().to_string()])
            .args(["--durability", "process", "--data-dir"])
            .arg(self.directory.path("data"));
        command
    }

    /// Without bounds on its queues. It loses a QoS 2 message of a 3.1.1 client that sends more than
    /// `max_inflight_messages` of them again, which 3.1.1 has no way of telling.
    fn mosquitto(&self) -> Command {
        let directory = self.directory.path("");
        let configuration = format!(
            "user root\n\
             listener {} 127.0.0.1\n\
             allow_anonymous true\n\
             persistence true\n\
             persistence_location {}\n\
             autosave_interval 0\n\
             max_queued_messages 0\n\
             max_inflight_messages 0\n\
             set_tcp_nodelay true\n",
            self.address().port(),
            directory.display(),
        );
        let path = self.directory.path("mosquitto.conf");
        fs::write(&path, configuration).unwrap();
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(path);
        command
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path("log")).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            println!("the log of {}:\n{}", self.kind, self.log());
        }
    }
}

/// Where the program is; says so if it is nowhere.
fn program(kind: Kind) -> Option<PathBuf> {
    let (program, why) = match kind {
        Kind::Mosquitto => (
            Some(PathBuf::from(MOSQUITTO)),
            format!("{MOSQUITTO} is not there"),
        ),
        Kind::Mqttd | Kind::Embedded => (
            env::var_os("MQTTD").map(PathBuf::from),
            "the environment variable MQTTD does not name the program".to_owned(),
        ),
    };
    let program = program.filter(|program| program.is_file());
    if program.is_none() {
        // Not by a macro: what those print in a test that passes is not shown.
        let _ = writeln!(
            stderr(),
            "SKIPPED: nothing is checked with {kind}, since {why}"
        );
    }
    program
}

/// Asks a child to end by itself.
fn terminate(child: &Child) {
    let process = child.id().to_string();
    let status = Command::new("kill").args(["-TERM", &process]).status();
    assert!(status.expect("kill is there").success());
}
