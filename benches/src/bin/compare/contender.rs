//! Who is compared: a table of programs, and how each is started and ended.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a program may take until it listens.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(10);
/// From the first connection until its memory at rest is read.
const SETTLE: Duration = Duration::from_millis(200);

/// One of those that are compared. The first is what the others are compared with.
#[derive(Debug)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) program: Program,
    /// Besides those that say where it listens.
    pub(crate) arguments: &'static [&'static str],
    /// The configuration file, with PORT in it; the program takes its path where the arguments say CONFIGURATION.
    pub(crate) configuration: Option<&'static str>,
}

/// Whose program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Mqttd,
    Mosquitto,
    Rumqttd,
    Floor,
}

const MOSQUITTO: &str = "\
listener PORT 127.0.0.1
allow_anonymous true
max_queued_messages 0
max_inflight_messages 0
set_tcp_nodelay true
persistence false
log_type error
";

const RUMQTTD: &str = "\
id = 0
[router]
id = 0
max_connections = 100000
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v4.1]
name = \"v4-1\"
listen = \"127.0.0.1:PORT\"
next_connection_delay_ms = 0
[v4.1.connections]
connection_timeout_ms = 60000
max_payload_size = 268435455
max_inflight_count = 500
dynamic_filters = true
";

/// All of them, in the order of the columns.
pub(crate) const CONTENDERS: &[Contender] = &[
    Contender {
        name: "mqttd",
        program: Program::Mqttd,
        arguments: &["--listen", "127.0.0.1:PORT", "--log", "error"],
        configuration: None,
    },
    Contender {
        name: "mqttd, 1 thread",
        program: Program::Mqttd,
        arguments: &[
            "--listen",
            "127.0.0.1:PORT",
            "--log",
            "error",
            "--threads",
            "1",
        ],
        configuration: None,
    },
    Contender {
        name: "Mosquitto",
        program: Program::Mosquitto,
        arguments: &["-c", "CONFIGURATION"],
        configuration: Some(MOSQUITTO),
    },
    Contender {
        name: "rumqttd",
        program: Program::Rumqttd,
        arguments: &["-c", "CONFIGURATION"],
        configuration: Some(RUMQTTD),
    },
    Contender {
        name: "floor",
        program: Program::Floor,
        arguments: &["--port", "PORT"],
        configuration: None,
    },
];

/// A program that runs, and listens. It ends when this is dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) port: u16,
    /// Its resident memory when it listened and nobody had connected.
    pub(crate) start_bytes: Option<u64>,
}

impl Contender {
    /// Starts it on a free port and waits until it listens; its files are in `directory`.
    ///
    /// # Errors
    /// That it cannot be started or does not listen.
    pub(crate) fn start(&self, program: &Path, directory: &Path) -> io::Result<Running> {
        let port = free_port()?;
        // rumqttd goes by the ending; Mosquitto takes any.
        let configuration = directory.join("contender.toml");
        if let Some(text) = self.configuration {
            fs::write(&configuration, text.replace("PORT", &port.to_string()))?;
        }
        let argument = |argument: &&str| {
            argument
                .replace("PORT", &port.to_string())
                .replace("CONFIGURATION", &configuration.to_string_lossy())
        };
        let child = Command::new(program)
            .args(self.arguments.iter().map(argument))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(directory.join("contender.log"))?)
            .spawn()?;
        let mut running = Running {
            child,
            port,
            start_bytes: None,
        };
        running.wait()?;
        sleep(SETTLE);
        running.start_bytes = resident_bytes(running.id());
        Ok(running)
    }
}

impl Running {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn wait(&mut self) -> io::Result<()> {
        let begin = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("it has ended: {status}")));
            }
            if begin.elapsed() > PATIENCE {
                return Err(io::Error::other("it does not listen"));
            }
            sleep(LOOK);
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(id) = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
        let begin = Instant::now();
        while begin.elapsed() < GRACE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            sleep(LOOK);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// The directory of those that are ours.
    pub(crate) ours: PathBuf,
    pub(crate) mosquitto: PathBuf,
    pub(crate) rumqttd: PathBuf,
}

impl Programs {
    /// The file of a program, if it is there.
    pub(crate) fn find(&self, program: Program) -> Option<PathBuf> {
        let file = match program {
            Program::Mqttd => self.ours.join("mqttd"),
            Program::Floor => self.ours.join("floor"),
            Program::Mosquitto => self.mosquitto.clone(),
            Program::Rumqttd => self.rumqttd.clone(),
        };
        file.is_file().then_some(file)
    }
}

/// A port that nobody has; it may be taken before the program has it, and then the program says so.
fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

fn resident_bytes(id: u32) -> Option<u64> {
    resident(&fs::read_to_string(format!("/proc/{id}/status")).ok()?)
}

/// The resident memory in a file `/proc/PID/status`.
fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read() {
        let status = "Name:\tmqttd\nVmHWM:\t 9999 kB\nVmRSS:\t    1234 kB\nThreads:\t1\n";
        assert_eq!(resident(status), Some(1234 * 1024));
        assert_eq!(resident("Name:\tzombie\n"), None);
    }
}
