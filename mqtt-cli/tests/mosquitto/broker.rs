//! A broker of its own for each side, and what its log says.

use std::io::{BufRead as _, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::files::{Files, program};
use crate::socks;

/// How long anything that must happen may take.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// What serves.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Mosquitto,
    Mqttd(PathBuf),
}

/// A broker that runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Broker {
    process: Child,
    log: Arc<Log>,
    tells_of_subscriptions: bool,
    /// What stands for each place in a command line.
    pub(crate) places: Vec<(&'static str, String)>,
}

#[derive(Debug, Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Broker {
    pub(crate) fn start(kind: &Kind, files: &Files) -> Self {
        match kind {
            Kind::Mosquitto => (0..10)
                .find_map(|_| Self::mosquitto(files))
                .expect("a broker that starts"),
            Kind::Mqttd(program) => Self::mqttd(program),
        }
    }

    /// Nothing if another process has taken one of the ports.
    fn mosquitto(files: &Files) -> Option<Self> {
        let directory = files.directory();
        let file = |name: &str| files.path(name).display().to_string();
        let place = |name: &str| directory.join(name).display().to_string();
        let ports = free_ports();
        let [open, auth, tls, stranger, strict] = ports;
        std::fs::write(directory.join("passwords"), PASSWORDS).unwrap();
        std::fs::write(
            directory.join("acl"),
            "user joe\ntopic readwrite allowed/#\n",
        )
        .unwrap();
        let (ca, unix) = (file("ca.pem"), place("socket"));
        let certificate = |name: &str| {
            format!(
                "cafile {ca}\ncertfile {}\nkeyfile {}",
                file(&format!("{name}.pem")),
                file(&format!("{name}.key"))
            )
        };
        let configuration = format!(
            // Started by root it would become a user who may not read our files.
            "user root\nper_listener_settings true\nlog_type all\nlog_dest stderr\nmax_queued_messages 0\n\
             listener {open} 127.0.0.1\nallow_anonymous true\n\
             listener 0 {unix}\nallow_anonymous true\n\
             listener {auth} 127.0.0.1\nallow_anonymous false\npassword_file {}\nacl_file {}\n\
             listener {tls} 127.0.0.1\nallow_anonymous true\n{}\n\
             listener {stranger} 127.0.0.1\nallow_anonymous true\n{}\n\
             listener {strict} 127.0.0.1\nallow_anonymous true\nrequire_certificate true\n{}\n",
            place("passwords"),
            place("acl"),
            certificate("server"),
            certificate("stranger"),
            certificate("server"),
        );
        std::fs::write(directory.join("conf"), configuration).unwrap();
        let mut command = Command::new(program("mosquitto").unwrap());
        command.arg("-c").arg(directory.join("conf"));
        let mut broker = Self::spawn(command);
        broker.tells_of_subscriptions = true;
        let started = |line: &str| {
            let wrong = line.contains("Error:");
            (wrong || line.ends_with(" running")).then(|| line.to_owned())
        };
        let line = broker.log.find(started).expect("a line in the log");
        if !line.ends_with(" running") {
            eprintln!("the broker does not start, once more: {line}");
            return None;
        }
        let at = |port: u16| format!("-h 127.0.0.1 -p {port}");
        broker.places = vec![
            ("{port}", open.to_string()),
            ("{here}", at(open)),
            ("{options}", options(open)),
            ("{auth}", at(auth)),
            ("{tls}", at(tls)),
            ("{stranger}", at(stranger)),
            ("{strict}", at(strict)),
            ("{closed}", at(closed_port())),
            ("{unix}", unix),
            ("{proxy}", format!("127.0.0.1:{}", socks::start())),
        ];
        Some(broker)
    }

    fn mqttd(program: &PathBuf) -> Self {
        let mut command = Command::new(program);
        command.args(["--listen", "127.0.0.1:0"]);
        let mut broker = Self::spawn(command);
        let port = broker.log.find(|line| {
            let (_, rest) = line.rsplit_once("127.0.0.1:")?;
            rest.chars()
                .take_while(char::is_ascii_digit)
                .collect::<String>()
                .parse::<u16>()
                .ok()
        });
        let port = port.expect("the port in the log");
        broker.places = vec![
            ("{port}", port.to_string()),
            ("{here}", format!("-h 127.0.0.1 -p {port}")),
            ("{options}", options(port)),
            ("{closed}", format!("-h 127.0.0.1 -p {}", closed_port())),
        ];
        broker
    }

    fn spawn(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let log = Arc::new(Log::default());
        log.follow(process.stdout.take().unwrap());
        log.follow(process.stderr.take().unwrap());
        Self {
            process,
            log,
            tells_of_subscriptions: false,
            places: Vec::new(),
        }
    }

    /// Waits until there have been `count` subscriptions to a filter with `text` in it; false if there are not so many soon.
    #[must_use]
    pub(crate) fn wait_for_subscription(&self, text: &str, count: usize) -> bool {
        if self.tells_of_subscriptions {
            return self.log.wait(|line| is_subscription(line, text), count);
        }
        // Our server's log has none: what subscribes on this machine has done so by then.
        std::thread::sleep(Duration::from_millis(500));
        true
    }

    /// How many subscriptions there have been to a filter with `text` in it.
    pub(crate) fn subscriptions(&self, text: &str) -> usize {
        self.log.count(|line| is_subscription(line, text))
    }

    /// Waits for a line with `text` in the log; false if there is none soon.
    #[must_use]
    pub(crate) fn log_has(&self, text: &str) -> bool {
        self.log.wait(|line| line.contains(text), 1)
    }

    /// The line with all places filled in.
    pub(crate) fn fill(&self, line: &str) -> String {
        self.places
            .iter()
            .fold(line.to_owned(), |line, (place, value)| {
                line.replace(place, value)
            })
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Log {
    fn follow(self: &Arc<Self>, output: impl Read + Send + 'static) {
        let log = Arc::clone(self);
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                log.lines.lock().unwrap().push(line);
                log.more.notify_all();
            }
        });
    }

    fn count(&self, is_it: impl Fn(&str) -> bool) -> usize {
        self.lines
            .lock()
            .unwrap()
            .iter()
            .filter(|line| is_it(line))
            .count()
    }

    fn wait(&self, is_it: impl Fn(&str) -> bool, count: usize) -> bool {
        let found = self.lines.lock().unwrap();
        let few = |lines: &mut Vec<String>| lines.iter().filter(|line| is_it(line)).count() < count;
        let (_lines, waited) = self.more.wait_timeout_while(found, SOON, few).unwrap();
        !waited.timed_out()
    }

    fn find<T>(&self, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let until = Instant::now() + SOON;
        let mut lines = self.lines.lock().unwrap();
        loop {
            if let Some(found) = lines.iter().find_map(|line| find(line)) {
                return Some(found);
            }
            let left = until.checked_duration_since(Instant::now())?;
            lines = self.more.wait_timeout(lines, left).unwrap().0;
        }
    }
}

/// A line of a SUBSCRIBE, with a topic filter that has `text` in it.
fn is_subscription(line: &str, text: &str) -> bool {
    line.contains(": \t") && line.contains(" (QoS ") && line.contains(text)
}

/// An options file that says where the broker is.
fn options(port: u16) -> String {
    format!("# where the broker is\n-h 127.0.0.1\n-p {port}\n")
}

/// Ports that nothing listened on a moment ago.
fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    let listeners: [TcpListener; COUNT] =
        std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// A port that nothing listens on, and nothing will: none without privileges can.
fn closed_port() -> u16 {
    (1..1024)
        .find(|port| TcpStream::connect(("127.0.0.1", *port)).is_err())
        .expect("a closed port")
}

/// `joe` with the password `secret`.
const PASSWORDS: &str = "joe:$7$101$Ctkvju3HwREHKM6g$GDdfqzUJ39jg2bB1HNZdZGf37HD9u9vr\
    pDKo/5wWqE1jMX2Bxmwa94QJ3nS/S5E+MSSCLJA1GTUCf5TnzMzJ7w==\n";
