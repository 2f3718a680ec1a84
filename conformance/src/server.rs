//! Brokers that the suite starts for itself, on loopback and a free port.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a broker may take to start.
const START: Duration = Duration::from_secs(20);

/// A broker that runs as a process of its own. Dropped, it is killed, and its files are removed.
pub(crate) struct Server {
    child: Child,
    directory: PathBuf,
    pub(crate) address: SocketAddr,
    /// Where it listens for WebSockets.
    pub(crate) websocket: SocketAddr,
}

/// Where `mqttd` keeps its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Store {
    /// In memory.
    Memory,
    /// In a directory that is removed afterwards.
    Rocksdb,
}

impl Server {
    /// # Errors
    /// If the program cannot be started, or does not say where it listens.
    pub(crate) fn mqttd(program: &Path, store: Store) -> Result<Self, String> {
        let directory = directory()?;
        let mut command = Command::new(program);
        command.args(["--listen", "127.0.0.1:0", "--websocket", "127.0.0.1:0"]);
        if store == Store::Rocksdb {
            command.arg("--data-dir").arg(&directory);
        }
        let mut child = start(command.stderr(Stdio::piped()))?;
        let log = child.stderr.take().expect("it is piped");
        let mut lines = BufReader::new(log).lines();
        let mut address_after = |words: &str| {
            lines.by_ref().find_map(|line| {
                let line = line.ok()?;
                line.split_once(words)?.1.parse().ok()
            })
        };
        let address = address_after("listening on ");
        let websocket = address_after("listening for WebSockets on ");
        // Nobody looks at the rest, but a full pipe would stop the broker.
        std::thread::spawn(move || lines.for_each(drop));
        let (address, websocket) = address
            .zip(websocket)
            .ok_or_else(|| format!("{} does not listen", program.display()))?;
        Ok(Self {
            child,
            directory,
            address,
            websocket,
        })
    }

    /// Mosquitto lets everybody in here, and bounds no queue.
    ///
    /// # Errors
    /// If the program cannot be started, or does not listen.
    pub(crate) fn mosquitto(program: &Path) -> Result<Self, String> {
        let directory = directory()?;
        // It cannot be given port 0. What is free now will be in a moment.
        let (address, websocket) =
            free_ports().map_err(|error| format!("no free port: {error}"))?;
        let config = directory.join("mosquitto.conf");
        let text = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\nset_tcp_nodelay true\n\
             listener {} 127.0.0.1\nprotocol websockets\n",
            address.port(),
            websocket.port(),
        );
        fs::write(&config, text).map_err(|error| format!("{}: {error}", config.display()))?;
        let mut command = Command::new(program);
        command.arg("-c").arg(&config).stderr(Stdio::null());
        let server = Self {
            child: start(&mut command)?,
            directory,
            address,
            websocket,
        };
        let end = Instant::now() + START;
        while TcpStream::connect(address)
            .and(TcpStream::connect(websocket))
            .is_err()
        {
            if Instant::now() > end {
                return Err(format!("{} does not listen", program.display()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn start(command: &mut Command) -> Result<Child, String> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("{}: {error}", command.get_program().display()))
}

fn free_ports() -> io::Result<(SocketAddr, SocketAddr)> {
    let (one, other) = (
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    );
    Ok((one.local_addr()?, other.local_addr()?))
}

fn directory() -> Result<PathBuf, String> {
    let name = format!("mqtt-conformance-{:016x}", fastrand::u64(..));
    let path = std::env::temp_dir().join(name);
    fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}
