//! The command line of `mqtt bench`, and what follows from it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, value_parser};
use mqtt_client::{Address, Tls};
use mqtt_codec::{QoS, Version};

pub(crate) use super::scenario::Scenario;
use super::stamp::STAMP_BYTES;

/// Messages stored by the scenario `retained`, unless it is told.
const RETAINED: u64 = 10_000;
/// The longest run: the time in a payload has room for 78 hours.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
const DURATION: Duration = Duration::from_secs(10);
const WARM_UP: Duration = Duration::from_secs(1);
/// Threads that are used where there are cores enough: the broker needs the others.
const THREADS_MAX: usize = 8;

const EXAMPLES: &str = "\
Without --rate and -I, messages go as fast as the broker takes them, with a bounded number under way:
look at throughput and CPU time there. With either, each is due at a fixed time, and its latency counts
from then, so that a broker that stalls cannot hide it: look at latency there.

Examples:
  mqtt bench fan-in -c 50 -q 1 --pid $(pidof mqttd)
      50 publishers as fast as the broker takes it, and what it cost the broker
  mqtt bench pairs -c 100 -s 256 --rate 20000 --duration 60 --html report.html
      20,000 messages a second on a fixed schedule: the latency that users would see
  mqtt bench fan-out -c 1000 -I 100
      a message every 100 ms to 1,000 subscribers
  mqtt bench connections -c 20000 -R 2000 --pid $(pidof mosquitto)
      connect 2,000 clients a second; CPU and memory for each
  mqtt bench retained -c 10 -L 50000 --json
      10 subscribers get 50,000 retained messages each
  mqtt bench pairs -t site/%i/temp --filter +/%i/# --subscriptions 200000
      wildcard filters, and 200,000 subscriptions more: what they do to messages, and memory for each
  mqtt bench shared -c 8 -L 100000 -q 2 -V 311
      100,000 messages to a group of 8

Exit status: 0 if all is well; 1 if, at QoS 1 or 2, a message was lost, doubled or out of order, if a
client was disconnected or, of connections, refused, or if the options are not valid; 2 if no run could
be made.";

/// The command line.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, max_term_width = 100)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a flag of its own on the command line"
)]
pub(crate) struct Arguments {
    /// What to measure
    #[arg(value_enum)]
    scenario: Scenario,

    /// Broker as a URL: mqtt, mqtts, ws, wss or unix, for example mqtts://user@broker.example
    #[arg(value_name = "URL", conflicts_with_all = ["host", "port", "unix", "tls"])]
    url: Option<Address>,

    /// Host of the broker
    #[arg(
        help_heading = "Broker",
        short = 'h',
        long,
        default_value = "localhost"
    )]
    host: String,
    /// Port of the broker [default: 1883, or 8883 with TLS]
    #[arg(help_heading = "Broker", short, long)]
    port: Option<u16>,
    /// Unix socket of the broker
    #[arg(help_heading = "Broker", long, value_name = "PATH", conflicts_with_all = ["host", "port"])]
    unix: Option<PathBuf>,
    /// Connect with TLS
    #[arg(help_heading = "Broker", long, conflicts_with = "unix")]
    tls: bool,
    /// With TLS: trust the certificates in this PEM file, and not those of the system
    #[arg(help_heading = "Broker", long, value_name = "FILE")]
    cafile: Option<PathBuf>,
    /// With TLS: the client's certificate, in PEM
    #[arg(help_heading = "Broker", long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// With TLS: the key of the client's certificate, in PEM
    #[arg(help_heading = "Broker", long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// With TLS: accept any certificate; for tests only
    #[arg(help_heading = "Broker", long)]
    insecure: bool,
    /// User name; %i is the number of the client
    #[arg(help_heading = "Broker", short, long)]
    username: Option<String>,
    /// Password; others can see it in the list of processes, unlike MQTT_PASSWORD and --password-file
    #[arg(help_heading = "Broker", short = 'P', long)]
    password: Option<String>,
    /// File whose first line is the password
    #[arg(
        help_heading = "Broker",
        long,
        value_name = "FILE",
        conflicts_with = "password"
    )]
    password_file: Option<PathBuf>,
    /// Protocol version: 5 or 311
    #[arg(help_heading = "Broker", short = 'V', long, value_name = "VERSION", default_value = "5", value_parser = version)]
    protocol_version: Version,
    /// Seconds of keep alive; 0: none
    #[arg(
        help_heading = "Broker",
        short,
        long,
        value_name = "SECONDS",
        default_value_t = 300
    )]
    keepalive: u16,
    /// Start of all client identifiers; by default it differs from run to run
    #[arg(help_heading = "Broker", long, value_name = "TEXT")]
    prefix: Option<String>,

    /// Clients on the side that is many: connections, publishers of fan-in, subscribers of fan-out, of shared and of retained,
    /// pairs [default: 1000 connections, 20 of fan-in and pairs, 50 of fan-out, 8 of shared, 1 of retained]
    #[arg(help_heading = "Load", short, long, value_name = "N", value_parser = value_parser!(u32).range(1..=1_000_000))]
    clients: Option<u32>,
    /// Publishers, where they are not what -c says
    #[arg(help_heading = "Load", long, value_name = "N", value_parser = value_parser!(u32).range(1..=1_000_000))]
    publishers: Option<u32>,
    /// Subscribers, where they are not what -c says
    #[arg(help_heading = "Load", long, value_name = "N", value_parser = value_parser!(u32).range(1..=1_000_000))]
    subscribers: Option<u32>,
    /// Quality of service of messages and subscriptions
    #[arg(help_heading = "Load", short, long, default_value_t = 0, value_parser = value_parser!(u8).range(0..=2))]
    qos: u8,
    /// Bytes of a payload; 16 at least, for each has a time and a number
    #[arg(help_heading = "Load", short, long, value_name = "BYTES", default_value_t = 64, value_parser = value_parser!(u32).range(STAMP_BYTES as i64..=16 << 20))]
    size: u32,
    /// Topic; %i is the number of the publisher, and a + for subscribers of many [default: one of its own for each run]
    #[arg(help_heading = "Load", short, long)]
    topic: Option<String>,
    /// Filter of the subscribers; of pairs, %i is the number of the pair [default: the topic, with a + for each level with %i]
    #[arg(help_heading = "Load", long)]
    filter: Option<String>,
    /// Subscriptions besides, which no message matches, shared out among the subscribers or, of connections, among the clients
    #[arg(help_heading = "Load", long, value_name = "N", default_value_t = 0, value_parser = value_parser!(u32).range(0..=10_000_000))]
    subscriptions: u32,

    /// Messages to send in all; of retained: messages to store [default: 10000 of retained, otherwise as --duration allows]
    #[arg(help_heading = "Load", short = 'L', long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// How long to measure, such as 30, 500ms or 5m; of connections: how long they stay [default: 10, or until --limit is reached]
    #[arg(help_heading = "Load", long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// How long to send before anything is measured [default: 1, or 0 with --limit]
    #[arg(help_heading = "Load", long, value_name = "TIME", value_parser = duration)]
    warm_up: Option<Duration>,
    /// How long to wait for a message before it counts as lost
    #[arg(help_heading = "Load", long, value_name = "TIME", default_value = "3", value_parser = duration)]
    drain: Duration,

    /// Messages per second of all publishers together, by the clock
    #[arg(help_heading = "Load", long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// Milliseconds from one message of a publisher to its next, by the clock
    #[arg(help_heading = "Load", short = 'I', long, value_name = "MS", conflicts_with = "rate", value_parser = value_parser!(u32).range(1..=86_400_000))]
    interval: Option<u32>,
    /// Without a clock: messages under way to one subscriber
    #[arg(help_heading = "Load", long, value_name = "N", default_value_t = 512, value_parser = value_parser!(u32).range(1..=1_000_000))]
    window: u32,
    /// Unacknowledged QoS 1 and 2 messages of one publisher; the broker's Receive Maximum bounds it, too
    #[arg(help_heading = "Load", short = 'F', long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u16).range(1..=20_000))]
    inflight: u16,

    /// Clients that connect per second [default: as fast as they are answered]
    #[arg(help_heading = "Clients", short = 'R', long, value_name = "N", value_parser = rate)]
    connect_rate: Option<f64>,
    /// Clients that may wait for an answer to their CONNECT at a time
    #[arg(help_heading = "Clients", long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u32).range(1..=100_000))]
    concurrency: u32,
    /// Threads that make the load [default: a quarter of the cores, 1 to 8]
    #[arg(help_heading = "Clients", long, value_name = "N", value_parser = value_parser!(u16).range(1..=256))]
    threads: Option<u16>,

    /// Process of the broker, if it runs here: its CPU time and memory are measured
    #[arg(help_heading = "Report", long, value_name = "PID")]
    pid: Option<u32>,
    /// Print the report as JSON
    #[arg(help_heading = "Report", long)]
    json: bool,
    /// Write the report as a web page with plots, too
    #[arg(help_heading = "Report", long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print nothing but the report
    #[arg(help_heading = "Report", long)]
    quiet: bool,
}

/// A run, as it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) scenario: Scenario,
    pub(crate) broker: Address,
    pub(crate) tls: Tls,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Vec<u8>>,
    pub(crate) version: Version,
    pub(crate) keep_alive: u16,
    /// What tells the messages and clients of this run from those of others.
    pub(crate) tag: u16,
    pub(crate) prefix: String,
    pub(crate) publishers: u32,
    pub(crate) subscribers: u32,
    pub(crate) qos: QoS,
    pub(crate) payload_bytes: usize,
    pub(crate) topic: String,
    /// Of the subscribers; without it, it follows from the topic.
    pub(crate) filter: Option<String>,
    /// Subscriptions that no message matches.
    pub(crate) subscriptions: u32,
    pub(crate) limit: Option<u64>,
    pub(crate) duration: Duration,
    pub(crate) warm_up: Duration,
    pub(crate) drain: Duration,
    /// Messages a second of all publishers together; without it, the loop is closed.
    pub(crate) rate: Option<f64>,
    pub(crate) window: u32,
    pub(crate) inflight: u16,
    pub(crate) connect_rate: Option<f64>,
    pub(crate) concurrency: usize,
    pub(crate) threads: usize,
    pub(crate) pid: Option<u32>,
    pub(crate) json: bool,
    pub(crate) html: Option<PathBuf>,
    pub(crate) quiet: bool,
}

impl Arguments {
    /// What follows from the arguments. `tag` is a random number.
    ///
    /// # Errors
    /// One line that says what does not fit together.
    pub(crate) fn resolve(self, tag: u16) -> Result<Options, String> {
        self.check()?;
        let (publishers, subscribers) = self.sides();
        let (broker, tls) = (self.broker()?, self.security()?);
        let scenario = self.scenario;
        let topic = self.topic.clone().unwrap_or_else(|| {
            let own = matches!(scenario, Scenario::Pairs | Scenario::Retained);
            let number = if own { "/%i" } else { "" };
            format!("bench/{tag:04x}/{}{number}", scenario.name())
        });
        let limited = self.limit.is_some();
        let or = |given: Option<Duration>, limited_to, other| {
            given.unwrap_or(if limited { limited_to } else { other })
        };
        let per_ms = |ms: u32| f64::from(publishers) * 1000.0 / f64::from(ms);
        Ok(Options {
            scenario,
            username: self
                .username
                .or_else(|| broker.user_name().map(str::to_owned))
                .or_else(|| variable("MQTT_USERNAME")),
            password: match (self.password, self.password_file) {
                (Some(password), _) => Some(password.into_bytes()),
                (None, Some(file)) => Some(first_line(&file)?.into_bytes()),
                (None, None) => {
                    let given = broker.password().map(<[u8]>::to_vec);
                    given.or_else(|| variable("MQTT_PASSWORD").map(String::into_bytes))
                }
            },
            broker,
            tls,
            version: self.protocol_version,
            keep_alive: self.keepalive,
            tag,
            prefix: self.prefix.unwrap_or_else(|| format!("bench-{tag:04x}-")),
            publishers,
            subscribers,
            qos: QoS::from_number(self.qos).unwrap_or_default(),
            payload_bytes: self.size as usize,
            topic,
            filter: self.filter,
            subscriptions: self.subscriptions,
            limit: self
                .limit
                .or((scenario == Scenario::Retained).then_some(RETAINED)),
            duration: or(self.duration, LONGEST, DURATION),
            warm_up: or(self.warm_up, Duration::ZERO, WARM_UP),
            drain: self.drain,
            rate: self.rate.or(self.interval.map(per_ms)),
            window: self.window,
            inflight: self.inflight,
            connect_rate: self.connect_rate,
            concurrency: self.concurrency as usize,
            threads: self.threads.map_or_else(threads, usize::from),
            pid: self.pid,
            json: self.json,
            html: self.html,
            quiet: self.quiet,
        })
    }

    fn check(&self) -> Result<(), String> {
        let name = self.scenario.name();
        let clocked = self.rate.is_some() || self.interval.is_some();
        match self.scenario {
            Scenario::Connections | Scenario::Retained if clocked => {
                return Err(format!("--rate and --interval are not for {name}"));
            }
            Scenario::Retained if self.subscriptions > 0 => {
                return Err("--subscriptions is not for retained".to_owned());
            }
            Scenario::Connections | Scenario::Retained if self.filter.is_some() => {
                return Err(format!("--filter is not for {name}"));
            }
            Scenario::Retained if self.publishers.is_some() => {
                return Err("retained has one publisher".to_owned());
            }
            Scenario::Connections if self.limit.is_some() => {
                return Err("connections send no messages: use --clients and --duration".to_owned());
            }
            Scenario::Connections if self.publishers.is_some() || self.subscribers.is_some() => {
                return Err("connections neither publish nor subscribe: use --clients".to_owned());
            }
            Scenario::Pairs if self.publishers.is_some() || self.subscribers.is_some() => {
                return Err(
                    "pairs have a publisher and a subscriber each: use --clients".to_owned(),
                );
            }
            Scenario::Connections
            | Scenario::FanIn
            | Scenario::FanOut
            | Scenario::Pairs
            | Scenario::Shared
            | Scenario::Retained => {}
        }
        if let Some(filter) = &self.filter {
            self.check_filter(filter)?;
        }
        let Some(topic) = &self.topic else {
            return Ok(());
        };
        mqtt_codec::TopicName::new(topic.as_bytes())
            .map_err(|problem| format!("--topic {topic}: {problem}"))?;
        if matches!(self.scenario, Scenario::Pairs | Scenario::Retained) && !topic.contains("%i") {
            return Err(format!(
                "--topic {topic}: {name} needs %i in it, for topics of their own"
            ));
        }
        Ok(())
    }

    /// Says so where messages would not come, as far as that can be known before there are numbers in the topic.
    fn check_filter(&self, filter: &str) -> Result<(), String> {
        let pattern = mqtt_codec::TopicFilter::new(filter.as_bytes())
            .map_err(|problem| format!("--filter {filter}: {problem}"))?;
        let Some(topic) = &self.topic else {
            return Err("--filter needs --topic".to_owned());
        };
        if pattern.share_name().is_some() {
            return Err(format!(
                "--filter {filter}: the scenario shared makes its own group"
            ));
        }
        if self.scenario != Scenario::Pairs && filter.contains("%i") {
            return Err(format!("--filter {filter}: %i is for pairs"));
        }
        match mqtt_codec::TopicName::new(topic.as_bytes()) {
            Ok(name) if !pattern.matches(&name) => {
                Err(format!("--filter {filter} does not match --topic {topic}"))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Publishers and subscribers.
    fn sides(&self) -> (u32, u32) {
        let many = |default| self.clients.unwrap_or(default);
        let (publishers, subscribers) = match self.scenario {
            Scenario::Connections => (many(1000), 0),
            Scenario::FanIn => (many(20), 1),
            Scenario::FanOut => (1, many(50)),
            Scenario::Pairs => (many(20), many(20)),
            Scenario::Shared => (4, many(8)),
            Scenario::Retained => (1, many(1)),
        };
        (
            self.publishers.unwrap_or(publishers),
            self.subscribers.unwrap_or(subscribers),
        )
    }

    fn broker(&self) -> Result<Address, String> {
        let wrong = |problem: &dyn std::fmt::Display| problem.to_string();
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        match (&self.url, &self.unix) {
            (Some(url), _) if !url.options().is_empty() => {
                Err("bench takes no options in the URL".to_owned())
            }
            (Some(url), _) => Ok(url.clone()),
            (None, Some(path)) => Ok(Address::unix(path.clone())),
            (None, None) if self.wants_tls() => {
                Address::tls(host, self.port.unwrap_or(8883)).map_err(|problem| wrong(&problem))
            }
            (None, None) => {
                Address::tcp(host, self.port.unwrap_or(1883)).map_err(|problem| wrong(&problem))
            }
        }
    }

    const fn wants_tls(&self) -> bool {
        self.tls || self.cafile.is_some() || self.cert.is_some() || self.insecure
    }

    fn security(&self) -> Result<Tls, String> {
        let mut tls = match &self.cafile {
            None => Ok(Tls::native_roots()),
            Some(file) => Tls::no_roots().roots_file(file),
        };
        if let (Some(certificate), Some(key)) = (&self.cert, &self.key) {
            tls = tls.and_then(|tls| tls.identity_files(certificate, key));
        }
        if self.insecure {
            tls = tls.map(Tls::danger_accept_any_certificate);
        }
        tls.map_err(|problem| problem.to_string())
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn first_line(file: &PathBuf) -> Result<String, String> {
    let text =
        std::fs::read_to_string(file).map_err(|cause| format!("{}: {cause}", file.display()))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (cores / 4).clamp(1, THREADS_MAX)
}

fn version(text: &str) -> Result<Version, String> {
    match text.strip_prefix("mqttv").unwrap_or(text) {
        "5" | "5.0" => Ok(Version::V5),
        "311" | "3.1.1" | "4" => Ok(Version::V3_1_1),
        _ => Err("expected 5 or 311".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.001..=10e6).contains(&rate) => Ok(rate),
        Ok(_) | Err(_) => Err("expected a number from 0.001 to 10000000".to_owned()),
    }
}

/// Seconds, or a number with `ms`, `s`, `m` or `h` behind it.
fn duration(text: &str) -> Result<Duration, String> {
    let end = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit_s = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("expected a time such as 30, 500ms, 5m or 1h".to_owned()),
    };
    let seconds = number
        .parse::<f64>()
        .map_err(|_| "expected a time such as 30, 500ms, 5m or 1h")?
        * unit_s;
    if (0.0..=LONGEST.as_secs_f64()).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("expected 0 to 24 hours".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    #[command(disable_help_flag = true)]
    struct Program {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn options(line: &str) -> Result<Options, String> {
        let line = std::iter::once("bench").chain(line.split_whitespace());
        let program = Program::try_parse_from(line).map_err(|error| error.to_string())?;
        program.arguments.resolve(0xAB)
    }

    #[test]
    fn each_scenario_has_its_sides() {
        let sides = |line| options(line).map(|options| (options.publishers, options.subscribers));
        assert_eq!(sides("fan-in -c 7"), Ok((7, 1)));
        assert_eq!(sides("fan-in -c 7 --subscribers 3"), Ok((7, 3)));
        assert_eq!(sides("fan-out -c 7"), Ok((1, 7)));
        assert_eq!(sides("pairs -c 7"), Ok((7, 7)));
        assert_eq!(sides("shared"), Ok((4, 8)));
        assert_eq!(sides("connections"), Ok((1000, 0)));
    }

    #[test]
    fn an_interval_is_a_rate_of_each_publisher() {
        assert_eq!(options("fan-in -c 50 -I 100").unwrap().rate, Some(500.0));
        assert!(options("fan-in -I 100 --rate 5").is_err());
        assert!(options("retained --rate 5").is_err());
    }

    #[test]
    fn what_does_not_fit_the_scenario_is_refused() {
        for line in [
            "retained --publishers 2",
            "connections --publishers 2",
            "connections -L 5",
            "pairs --subscribers 2",
            "retained --subscriptions 2",
            "retained --filter a/# -t a/%i",
            "connections --filter #",
            "fan-in --filter a/#",
            "fan-in --filter a/%i -t a/%i",
            "fan-in --filter a/# -t b/c",
            "fan-in --filter a/#/b -t a/c",
            "pairs --filter $share/g/a/%i -t a/%i",
        ] {
            assert!(options(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_limit_replaces_the_duration_and_the_warm_up() {
        let limited = options("pairs -L 5").unwrap();
        assert_eq!(
            (limited.warm_up, limited.duration),
            (Duration::ZERO, LONGEST)
        );
        let free = options("pairs").unwrap();
        assert_eq!((free.warm_up, free.duration), (WARM_UP, DURATION));
    }

    #[test]
    fn brokers_are_named_in_several_ways() {
        let broker = |line| options(line).map(|options| options.broker.to_string());
        for (line, expected) in [
            ("pairs", "mqtt://localhost:1883"),
            ("pairs -h b -p 7", "mqtt://b:7"),
            ("pairs -h ::1 -p 7", "mqtt://[::1]:7"),
            ("pairs -h b --tls", "mqtts://b:8883"),
            ("pairs -h b --insecure -p 7", "mqtts://b:7"),
            ("pairs mqtt://b:7", "mqtt://b:7"),
            ("pairs wss://b/x", "wss://b:443/x"),
            ("pairs unix:///run/x", "unix:///run/x"),
            ("pairs --unix /run/x", "unix:///run/x"),
        ] {
            assert_eq!(broker(line).as_deref(), Ok(expected), "{line}");
        }
        for wrong in [
            "pairs http://b",
            "pairs mqtt://b:x",
            "pairs mqtt://b -p 7",
            "pairs --unix x --tls",
        ] {
            assert!(broker(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_url_may_say_who_connects() {
        let given = options("pairs mqtt://anna:secret@b").unwrap();
        assert_eq!(
            (given.username.as_deref(), given.password.as_deref()),
            (Some("anna"), Some(&b"secret"[..]))
        );
        let given = options("pairs mqtt://anna:secret@b -u bert -P other").unwrap();
        assert_eq!(
            (given.username.as_deref(), given.password.as_deref()),
            (Some("bert"), Some(&b"other"[..]))
        );
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "s", "-1", "5 days", "25h", "1e3s", "NaN"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn topics_of_their_own_need_a_number() {
        assert!(options("pairs -t a/b").unwrap_err().contains("%i"));
        assert!(options("fan-in -t a/b").is_ok());
        assert!(options("fan-in -t a/+").is_err());
        assert_eq!(options("pairs").unwrap().topic, "bench/00ab/pairs/%i");
    }

    #[test]
    fn a_payload_has_room_for_its_stamp() {
        assert!(options("pairs -s 15").is_err());
        assert!(options("pairs -s 16").is_ok());
    }
}
