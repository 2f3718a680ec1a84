//! Runs a case on one side, and holds what came of it against the other.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::broker::{Broker, SOON};
use crate::case::{Case, Code, Compare, words};
use crate::files::Files;

/// The programs of one side and its broker.
pub(crate) struct Side<'a> {
    /// Where Mosquitto's programs are, which do what happens around the case.
    pub(crate) reference: &'a Path,
    /// Where the programs are that are compared.
    pub(crate) directory: &'a Path,
    pub(crate) broker: &'a Broker,
    pub(crate) files: &'a Files,
}

/// What a case has come to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What went wrong around the case, or that it did not end.
    wrong: Option<String>,
    code: Option<i32>,
    stdout: String,
    stderr: String,
    observed: String,
}

/// Runs the case.
pub(crate) fn play(side: &Side<'_>, case: &Case, index: usize) -> Outcome {
    let fill = |line: &str| side.fill(line, index);
    for line in &case.before {
        side.publish(&fill(line));
    }
    let topic = fill(case.subscribed);
    let mut subscriptions = side.broker.subscriptions(&topic);
    let mut subscribed = true;
    let observer = case.observer.as_deref().map(|line| {
        let process = side
            .reference("mosquitto_sub", &fill(line))
            .spawn()
            .unwrap();
        subscriptions += 1;
        subscribed = side.broker.wait_for_subscription(&topic, subscriptions);
        Running::new(process, &[])
    });
    let (name, arguments) = case.line.split_once(' ').unwrap_or((&case.line, ""));
    let program = side.directory.join(format!("mosquitto_{name}"));
    let mut command = side.command(&program, &fill(arguments), !case.is_usage());
    side.surround(&mut command, case, name, &fill);
    let running = Running::new(command.spawn().unwrap(), &case.stdin);
    let observed;
    if name == "rr" {
        observed = observer.map(Running::end);
        case.during
            .iter()
            .for_each(|line| side.publish(&fill(line)));
    } else {
        if !case.during.is_empty() {
            subscribed &= side.broker.wait_for_subscription(&topic, subscriptions + 1);
            case.during
                .iter()
                .for_each(|line| side.publish(&fill(line)));
        }
        observed = observer.map(Running::end);
    }
    let outcome = running.end();
    let observed = observed.unwrap_or_default();
    let wrong = match subscribed {
        true => observed.wrong.map(|wrong| format!("observer: {wrong}")),
        false => Some("nothing has subscribed".to_owned()),
    };
    Outcome {
        wrong: wrong.or(outcome.wrong),
        observed: observed.stdout,
        ..outcome
    }
}

impl Side<'_> {
    fn fill(&self, line: &str, index: usize) -> String {
        let files = self.files.path("").display().to_string();
        let line = line
            .replace("{t}", &format!("c{index:03}"))
            .replace("{files}", files.trim_end_matches('/'));
        self.broker.fill(&line)
    }

    fn command(&self, program: &Path, line: &str, placed: bool) -> Command {
        let mut command = Command::new(program);
        let says_where = ["-h ", "-L ", "--unix ", "-p "]
            .iter()
            .any(|option| line.contains(option));
        if placed && !says_where {
            command.args(words(&self.broker.fill("{here}")));
        }
        // The C locale is what Mosquitto's programs know; the zone has an offset, so that it is seen.
        command
            .args(words(line))
            .env("TZ", "<+0130>-1:30")
            .env("LC_ALL", "C");
        for variable in [
            "MQTT_URL",
            "MQTT_HOST",
            "MQTT_PORT",
            "MQTT_USERNAME",
            "MQTT_PASSWORD",
            "MQTT_CAFILE",
        ] {
            command.env_remove(variable);
        }
        let nowhere = self.files.path("nowhere");
        command
            .env("XDG_CONFIG_HOME", &nowhere)
            .env("HOME", &nowhere);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn reference(&self, name: &str, line: &str) -> Command {
        self.command(&self.reference.join(name), line, true)
    }

    fn publish(&self, line: &str) {
        let output = self.reference("mosquitto_pub", line).output().unwrap();
        assert!(
            output.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn surround(
        &self,
        command: &mut Command,
        case: &Case,
        name: &str,
        fill: &dyn Fn(&str) -> String,
    ) {
        if let Some(options) = case.options {
            let directory = self.files.directory();
            std::fs::write(directory.join(format!("mosquitto_{name}")), fill(options)).unwrap();
            command.env("XDG_CONFIG_HOME", &directory);
        }
    }
}

/// A process whose output is read while it runs.
struct Running {
    process: Child,
    stdout: std::thread::JoinHandle<Vec<u8>>,
    stderr: std::thread::JoinHandle<Vec<u8>>,
}

impl Running {
    fn new(mut process: Child, stdin: &[u8]) -> Self {
        let mut input = process.stdin.take().unwrap();
        let stdin = stdin.to_vec();
        std::thread::spawn(move || {
            // A program that does not read it has ended already.
            let _ = input.write_all(&stdin);
        });
        let stdout = read(process.stdout.take().unwrap());
        let stderr = read(process.stderr.take().unwrap());
        Self {
            process,
            stdout,
            stderr,
        }
    }

    /// Waits for the end, and makes one where there is none.
    fn end(mut self) -> Outcome {
        let until = Instant::now() + SOON;
        let (status, wrong) = loop {
            match self.process.try_wait().unwrap() {
                Some(status) => break (status, None),
                None if Instant::now() > until => {
                    self.process.kill().unwrap();
                    break (
                        self.process.wait().unwrap(),
                        Some("it does not end".to_owned()),
                    );
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let text = |output: Vec<u8>| output.escape_ascii().to_string().replace("\\n", "\n");
        let stdout = text(self.stdout.join().unwrap());
        let stderr = text(self.stderr.join().unwrap());
        Outcome {
            wrong,
            code: status.code(),
            stdout,
            stderr,
            observed: String::new(),
        }
    }
}

fn read(mut output: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        output.read_to_end(&mut all).unwrap();
        all
    })
}

impl Outcome {
    /// What is not the same in `ours`, a line for each; empty if all is.
    pub(crate) fn differences(&self, case: &Case, ours: &Self) -> String {
        let mut out = String::new();
        for (whose, outcome) in [("Mosquitto's", self), ("ours", ours)] {
            if let Some(wrong) = &outcome.wrong {
                writeln!(
                    out,
                    "    {whose}: {wrong}: {:?} {:?}",
                    outcome.stdout, outcome.stderr
                )
                .unwrap();
            }
        }
        let is_failure = |outcome: &Self| outcome.code.is_some_and(|code| code != 0);
        let alike = match case.code {
            Code::Same => self.code == ours.code,
            Code::Failure => is_failure(self) && is_failure(ours),
        };
        if !alike {
            writeln!(
                out,
                "    exit code: {:?}, ours {:?} ({})",
                self.code,
                ours.code,
                ours.stderr.trim()
            )
            .unwrap();
        }
        for (what, how, theirs, ours) in [
            ("stdout", case.stdout, &self.stdout, &ours.stdout),
            ("stderr", case.stderr, &self.stderr, &ours.stderr),
            ("observed", Compare::All, &self.observed, &ours.observed),
        ] {
            if how.seen(theirs) != how.seen(ours) {
                writeln!(out, "    {what}: {theirs:?}\n      ours: {ours:?}").unwrap();
            }
        }
        out
    }
}

impl Compare {
    fn seen(self, output: &str) -> String {
        match self {
            Self::All => output.to_owned(),
            Self::FirstLine => output.lines().next().unwrap_or_default().to_owned(),
            Self::WithoutDigits => output
                .chars()
                .map(|c| if c.is_ascii_digit() { '0' } else { c })
                .collect(),
            Self::Nothing => String::new(),
        }
    }
}
