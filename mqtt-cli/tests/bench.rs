//! `mqtt bench` from end to end: against a sound broker in this process, and against one that is wrong in one way at a time.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at what it did not expect"
)]

#[path = "bench/fake.rs"]
mod fake;

use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fake::Fault;
use mqtt_broker_core::{Broker, Listener, Stream, Transport};
use mqtt_store_memory::MemoryStore;
use serde_json::Value;
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::{TlsAcceptor, rustls};

struct Tcp(TcpListener);

#[async_trait]
impl Listener for Tcp {
    async fn accept(&mut self) -> io::Result<Box<dyn Transport>> {
        let (stream, peer) = self.0.accept().await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(Stream::new(stream, peer)))
    }
}

struct Unix(UnixListener);

#[async_trait]
impl Listener for Unix {
    async fn accept(&mut self) -> io::Result<Box<dyn Transport>> {
        let (stream, _) = self.0.accept().await?;
        Ok(Box::new(Stream::new(stream, "unix")))
    }
}

struct Tls(TcpListener, TlsAcceptor);

#[async_trait]
impl Listener for Tls {
    async fn accept(&mut self) -> io::Result<Box<dyn Transport>> {
        loop {
            let (stream, peer) = self.0.accept().await?;
            if let Ok(stream) = self.1.accept(stream).await {
                return Ok(Box::new(Stream::new(stream, peer)));
            }
        }
    }
}

/// A sound broker, and its port.
async fn sound() -> (Broker, u16) {
    let broker = Broker::builder(Arc::new(MemoryStore::default()))
        .build()
        .await
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(broker.serve(Tcp(listener)));
    (broker, port)
}

/// A directory for one test.
fn scratch(name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("mqtt-bench-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

fn command(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqtt"));
    command.arg("bench").args(arguments.split_whitespace());
    command
        .env_remove("MQTT_USERNAME")
        .env_remove("MQTT_PASSWORD");
    command
}

async fn output(arguments: &str) -> Output {
    let mut command = command(arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

/// The exit code and the document of a run.
async fn json(port: u16, arguments: &str) -> (i32, Value) {
    let output = output(&format!(
        "{arguments} -h 127.0.0.1 -p {port} --json --quiet"
    ))
    .await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(errors, "", "nothing but the report is printed: {arguments}");
    let document = serde_json::from_slice(&output.stdout).unwrap();
    (output.status.code().unwrap(), document)
}

fn problems(report: &Value) -> String {
    let list = report["problems"].as_array().unwrap();
    list.iter()
        .map(|problem| problem.as_str().unwrap())
        .collect::<Vec<_>>()
        .join("\n")
}

fn number(report: &Value, path: &str) -> u64 {
    report
        .pointer(path)
        .and_then(Value::as_u64)
        .unwrap_or_else(|| panic!("{path} in {report:#}"))
}

#[tokio::test]
async fn each_scenario_at_each_quality_of_service_counts_every_message() {
    let (broker, port) = sound().await;
    // Per message, how many deliveries there are.
    let scenarios = [
        ("fan-in -c 3", 1),
        ("fan-in -c 3 --subscribers 2", 2),
        ("fan-in -c 3 -t a/%i/b", 1),
        ("fan-in -c 3 -t a/%i/b --filter +/+/b", 1),
        ("pairs -c 3 -t a/%i/b --filter +/%i/#", 1),
        ("pairs -c 3 --subscriptions 250", 1),
        ("fan-out -c 5", 5),
        ("pairs -c 4", 1),
        ("pairs -c 3 --threads 3", 1),
        ("fan-out -c 5 --threads 2", 5),
        ("shared -c 3", 1),
        ("shared -c 3 --threads 2", 1),
        ("pairs -c 2 --rate 2000", 1),
        ("fan-in -c 2 -I 1", 1),
        ("fan-out -c 2 -s 70000 --window 1 -F 1", 2),
    ];
    for (scenario, copies) in scenarios {
        for qos in 0..=2 {
            for version in ["5", "311"] {
                let arguments = format!("{scenario} -q {qos} -V {version} -L 203");
                let (code, report) = json(port, &arguments).await;
                assert_eq!((code, problems(&report)), (0, String::new()), "{arguments}");
                assert_eq!(report["ok"], true);
                assert_eq!(number(&report, "/messages/sent"), 203, "{arguments}");
                assert_eq!(
                    number(&report, "/messages/received"),
                    203 * copies,
                    "{arguments}"
                );
                assert_eq!(
                    number(&report, "/measured/received"),
                    203 * copies,
                    "{arguments}"
                );
                assert_eq!(
                    number(&report, "/latency_us/count"),
                    203 * copies,
                    "{arguments}"
                );
                for fault in [
                    "lost",
                    "duplicated",
                    "out_of_order",
                    "unexpected",
                    "unacknowledged",
                ] {
                    assert_eq!(
                        number(&report, &format!("/messages/{fault}")),
                        0,
                        "{arguments}"
                    );
                }
                let compared = scenario.contains("--subscribers 2");
                assert_eq!(report["messages"]["order_violations"].is_null(), !compared);
            }
        }
    }
    broker.shutdown(Duration::from_secs(5)).await.unwrap();
    assert_eq!(broker.connections(), 0);
}

#[tokio::test]
async fn retained_messages_come_to_each_subscriber_and_are_deleted() {
    let (broker, port) = sound().await;
    for qos in 0..=2 {
        for version in ["5", "311"] {
            let (code, report) =
                json(port, &format!("retained -c 3 -L 150 -q {qos} -V {version}")).await;
            assert_eq!((code, problems(&report)), (0, String::new()));
            assert_eq!(number(&report, "/retained/stored"), 150);
            assert_eq!(number(&report, "/messages/received"), 450);
            assert_eq!(number(&report, "/retained/complete_us/count"), 3);
            assert_eq!(number(&report, "/messages/duplicated"), 0);
            assert_eq!(broker.retained(), 0, "nothing is left behind");
        }
    }
}

#[tokio::test]
async fn connections_are_counted_and_weighed() {
    let (broker, port) = sound().await;
    let pid = std::process::id();
    let (code, report) = json(
        port,
        &format!("connections -c 60 --duration 300ms --pid {pid}"),
    )
    .await;
    assert_eq!((code, problems(&report)), (0, String::new()));
    assert_eq!(number(&report, "/connections/established"), 60);
    assert_eq!(number(&report, "/connections/latency_us/count"), 60);
    assert!(report["connections"]["resident_bytes_each"].is_number());
    assert!(report["connections"]["idle_broker_cores"].is_number());
    assert!(report["messages"].is_null());

    let (code, report) = json(port, "connections -c 20 -R 100 --duration 0").await;
    assert_eq!(code, 0);
    assert!(
        report["connections"]["seconds"].as_f64().unwrap() >= 0.19,
        "20 at 100 a second"
    );
    broker.shutdown(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn a_unix_socket_will_do() {
    let directory = scratch("unix");
    let path = directory.join("socket");
    let broker = Broker::builder(Arc::new(MemoryStore::default()))
        .build()
        .await
        .unwrap();
    tokio::spawn(broker.serve(Unix(UnixListener::bind(&path).unwrap())));
    for place in [
        format!("--unix {}", path.display()),
        format!("unix://{}", path.display()),
    ] {
        let output = output(&format!("pairs -c 2 -q 1 -L 100 --quiet {place}")).await;
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            text.contains("sent 100  received 100 of 100  lost 0"),
            "{text}"
        );
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

#[tokio::test]
async fn tls_is_checked_and_carries_all() {
    let directory = scratch("tls");
    let signed = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(directory.join("ca.pem"), signed.cert.pem()).unwrap();
    let key =
        rustls::pki_types::PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
    let configuration = rustls::ServerConfig::builder().with_no_client_auth();
    let configuration = configuration
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .unwrap();
    let broker = Broker::builder(Arc::new(MemoryStore::default()))
        .build()
        .await
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(broker.serve(Tls(listener, TlsAcceptor::from(Arc::new(configuration)))));

    let certificate = directory.join("ca.pem");
    let trusting = [
        format!("-h localhost -p {port} --cafile {}", certificate.display()),
        format!("-h 127.0.0.1 -p {port} --insecure"),
    ];
    for arguments in trusting {
        for run in ["pairs -c 2 -q 2 -L 300", "fan-out -c 3 -q 1 -L 40 -s 50000"] {
            let output = output(&format!("{run} --quiet {arguments}")).await;
            let text = String::from_utf8(output.stdout).unwrap()
                + &String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success() && text.contains("lost 0"), "{text}");
        }
    }
    let output = output(&format!("pairs --quiet mqtts://localhost:{port}")).await;
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        error.contains("cannot connect") && error.contains("certificate"),
        "{error}"
    );
    std::fs::remove_dir_all(&directory).unwrap();
}

/// Runs against a broker with a fault; the exit code and the document.
async fn wrong(fault: Fault, arguments: &str) -> (i32, Value) {
    json(
        fake::start(fault).await,
        &format!("{arguments} --drain 300ms"),
    )
    .await
}

#[tokio::test]
async fn a_broker_without_a_fault_has_none() {
    for arguments in [
        "fan-in -c 2 -q 1 -L 400",
        "pairs -c 2 -q 2 -L 400",
        "fan-in -c 2 --subscribers 2 -q 1 -L 400",
    ] {
        let (code, report) = wrong(Fault::None, arguments).await;
        assert_eq!((code, problems(&report)), (0, String::new()), "{arguments}");
    }
}

#[tokio::test]
async fn what_is_lost_doubled_or_out_of_order_is_counted() {
    for (fault, name) in [
        (Fault::Loses(10), "lost"),
        (Fault::Doubles(10), "duplicated"),
        (Fault::Swaps(10), "out_of_order"),
        (Fault::Alters(10), "unexpected"),
    ] {
        for (qos, subscribers) in [(0, 1), (1, 1), (1, 3), (2, 1)] {
            let arguments = format!("fan-out -c {subscribers} -q {qos} -L 1000");
            let (code, report) = wrong(fault, &arguments).await;
            for other in ["lost", "duplicated", "out_of_order", "unexpected"] {
                // What comes altered has not come as it was sent.
                let counts = other == name || (fault == Fault::Alters(10) && other == "lost");
                let expected = if counts { 100 * subscribers } else { 0 };
                assert_eq!(
                    number(&report, &format!("/messages/{other}")),
                    expected,
                    "{fault:?} {arguments} {other}"
                );
            }
            // QoS 0 promises nothing of the first three.
            let problem = qos > 0 || name == "unexpected";
            assert_eq!(code, i32::from(problem), "{fault:?} {arguments}");
            assert_eq!(problems(&report).is_empty(), !problem);
            let warned = report["warnings"].to_string().contains("100 messages");
            assert_eq!(warned, qos == 0, "{fault:?} {arguments}");
        }
    }
}

#[tokio::test]
async fn two_orders_of_one_topic_are_noticed() {
    let (code, report) = wrong(Fault::Disagrees, "fan-in -c 2 --subscribers 2 -q 1 -L 600").await;
    assert_eq!(code, 1);
    assert_eq!(number(&report, "/messages/order_violations"), 300);
    assert_eq!(
        number(&report, "/messages/out_of_order"),
        0,
        "each publisher's own order is right"
    );
    assert_eq!(number(&report, "/messages/lost"), 0);
}

#[tokio::test]
async fn what_comes_to_the_wrong_one_is_unexpected() {
    let (code, report) = wrong(Fault::Misroutes, "pairs -c 2 -q 1 -L 100").await;
    assert_eq!(code, 1);
    assert_eq!(number(&report, "/messages/unexpected"), 100);
    assert_eq!(number(&report, "/messages/lost"), 100);
    assert_eq!(number(&report, "/messages/received"), 0);
}

#[tokio::test]
async fn acknowledgements_are_checked() {
    for qos in [1, 2] {
        let arguments = format!("fan-in -c 1 -q {qos} -L 1000");
        let (code, report) = wrong(Fault::AcknowledgesNot(100), &arguments).await;
        assert_eq!(
            (code, number(&report, "/messages/unacknowledged")),
            (1, 10),
            "{arguments}"
        );
        let (code, report) = wrong(Fault::AcknowledgesTwice(100), &arguments).await;
        assert_eq!(code, 1);
        // At QoS 2 the second PUBREC is answered, too, and so comes a second PUBCOMP.
        let unexpected = number(&report, "/messages/unexpected_acknowledgements");
        assert_eq!(unexpected, if qos == 1 { 10 } else { 20 }, "{arguments}");
        let (code, report) = wrong(Fault::RefusesMessages(100), &arguments).await;
        assert_eq!(
            (code, number(&report, "/messages/refused")),
            (1, 10),
            "{arguments}"
        );
        assert!(problems(&report).contains("10 messages refused by the broker: Quota exceeded"));
    }
}

#[tokio::test]
async fn refused_clients_are_told_why() {
    for (version, arguments) in [("5", "pairs"), ("311", "fan-in")] {
        let port = fake::start(Fault::RefusesConnections).await;
        let output = output(&format!(
            "{arguments} -c 3 -V {version} -L 5 -h 127.0.0.1 -p {port} --quiet"
        ))
        .await;
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(
            error.contains("subscriber: connection refused: Not authorized (0x87)"),
            "{error}"
        );
    }
    let port = fake::start(Fault::RefusesSubscriptions).await;
    let output = output(&format!("pairs -c 1 -L 5 -h 127.0.0.1 -p {port} --quiet")).await;
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        error.contains("1 × subscriber: subscription refused: Unspecified error (0x80)"),
        "{error}"
    );

    let (code, report) = wrong(Fault::RefusesConnections, "connections -c 3 --duration 0").await;
    assert_eq!((code, number(&report, "/connections/failed")), (1, 3));
    assert_eq!(
        problems(&report),
        "3 × client: connection refused: Not authorized (0x87)"
    );
}

#[tokio::test]
async fn a_subscription_that_was_granted_less_is_mentioned() {
    for qos in [1, 2] {
        let (_, report) = wrong(Fault::GrantsLess, &format!("pairs -c 2 -q {qos} -L 20")).await;
        let warned = report["warnings"].to_string();
        let warning = "the broker granted only QoS 1 of 2 to subscriptions";
        assert_eq!(warned.contains(warning), qos == 2, "{warned}");
    }
}

#[tokio::test]
async fn more_clients_than_there_may_be_files_are_refused_at_once() {
    let mut shell = Command::new("sh");
    let mqtt = env!("CARGO_BIN_EXE_mqtt");
    shell.args([
        "-c",
        &format!("ulimit -n 200 && exec {mqtt} bench connections -c 150"),
    ]);
    let output = shell.output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        error,
        "mqtt bench: 150 clients need more files than the 200 that may be open here: see ulimit -Hn\n"
    );
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_one_line() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let output = output(&format!("pairs -h 127.0.0.1 -p {port}")).await;
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        error.contains(&format!("cannot connect: 127.0.0.1:{port}: ")),
        "{error}"
    );
    assert_eq!((error.lines().count(), output.stdout.len()), (1, 0));
}

#[tokio::test]
async fn disconnects_are_reported_and_end_the_run() {
    let arguments = "pairs -c 2 -q 1 --duration 60";
    let (code, report) = wrong(Fault::Disconnects(500), arguments).await;
    assert_eq!((code, number(&report, "/connections/disconnected")), (1, 4));
    assert!(
        problems(&report)
            .contains("2 × publisher: disconnected by the broker: Server shutting down (0x8B)"),
        "{report:#}"
    );
    assert!(report["measured"]["seconds"].as_f64().unwrap() < 30.0);
    let (code, report) = wrong(Fault::Closes(500), arguments).await;
    assert_eq!((code, number(&report, "/connections/disconnected")), (1, 4));
    assert!(
        problems(&report).contains("2 × subscriber: connection "),
        "{report:#}"
    );
}

#[tokio::test]
async fn at_a_fixed_rate_a_stall_is_in_the_latencies_of_all_that_it_held_up() {
    // Half a second of nothing at 1,000 messages a second: 500 of 1,500 are late, by up to half a second. Only ten of them are
    // under way meanwhile, and the others wait to be sent.
    let run = "fan-in -c 1 -q 1 -F 10 --rate 1000 -L 1500";
    let (code, report) = wrong(Fault::Stalls(500), run).await;
    assert_eq!((code, number(&report, "/messages/received")), (0, 1500));
    for part in ["latency_us", "send_lag_us"] {
        let latency = |name: &str| report[part][name].as_f64().unwrap();
        assert_eq!(latency("count"), 1500.0);
        assert!(latency("max") >= 450_000.0, "{part}: {}", report[part]);
        assert!(latency("p90") >= 250_000.0, "{part}: {}", report[part]);
    }
}

#[tokio::test]
async fn a_window_that_is_lost_does_not_stop_a_closed_loop() {
    // To the fake broker a group is like any subscriber, so it has one member.
    for (scenario, received) in [
        ("fan-in -c 1 --window 4", 92),
        ("fan-out -c 2 --window 4", 184),
        ("shared -c 1 --publishers 1 --window 4", 92),
    ] {
        let (code, report) = wrong(
            Fault::LosesAll(10, 18),
            &format!("{scenario} -L 100 --duration 30"),
        )
        .await;
        assert_eq!(code, 0, "QoS 0 promises nothing: {report:#}");
        assert_eq!(number(&report, "/messages/sent"), 100, "{scenario}");
        assert_eq!(
            number(&report, "/messages/received"),
            received,
            "{scenario}"
        );
        assert!(
            (1..=4).contains(&number(&report, "/messages/stalls")),
            "{scenario}"
        );
    }
}

#[tokio::test]
async fn those_that_have_nothing_to_say_say_that_they_live() {
    let (broker, port) = sound().await;
    // The broker waits for 1.5 seconds.
    for run in [
        "fan-out -c 2 --threads 2 -I 500 --warm-up 0 --duration 2500ms -k 1",
        "connections -c 2 --duration 2500ms -k 1",
    ] {
        let (code, report) = json(port, run).await;
        assert_eq!((code, problems(&report)), (0, String::new()), "{run}");
    }
    broker.shutdown(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn an_interrupt_ends_the_measurement_and_still_reports() {
    let (_broker, port) = sound().await;
    let mut command = command(&format!(
        "pairs -c 2 -q 1 --duration 300 --warm-up 0 --json -h 127.0.0.1 -p {port}"
    ));
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let ended = tokio::task::spawn_blocking(move || {
        let mut child = child.unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        // A line for each second says that it runs.
        let first = lines.next().unwrap().unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        lines.for_each(drop);
        let mut text = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        (first, text, child.wait().unwrap().code())
    });
    let (first, text, code) = ended.await.unwrap();
    assert!(
        first.contains("received") && first.contains("p99"),
        "{first}"
    );
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, problems(&report)), (Some(0), String::new()));
    assert_eq!(report["interrupted"], true);
    assert!(number(&report, "/measured/received") > 0);
    assert_eq!(number(&report, "/messages/lost"), 0);
}

#[tokio::test]
async fn the_page_is_whole_and_needs_nothing_else() {
    let (_broker, port) = sound().await;
    let file = std::env::temp_dir().join(format!("mqtt-bench-{}.html", std::process::id()));
    let (pid, path) = (std::process::id(), file.display());
    let (code, _) = json(
        port,
        &format!("fan-in -c 2 -q 1 --duration 1200ms --warm-up 0 --pid {pid} --html {path}"),
    )
    .await;
    assert_eq!(code, 0);
    let page = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(page.matches("<svg").count(), 5);
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    for foreign in [
        "<script", "http:", "https:", "src=", "@import", "url(", "NaN", "inf,",
    ] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(page.contains("prefers-color-scheme:dark"));
}

/// All names in a document, as paths; what is in a list is named once.
fn names(value: &Value, path: &str, found: &mut std::collections::BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                names(value, &path, found);
            }
        }
        Value::Array(items) if items.first().is_some_and(Value::is_object) => {
            items
                .iter()
                .for_each(|item| names(item, &format!("{path}[]"), found));
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[tokio::test]
async fn the_fields_of_the_document_are_those_that_are_documented() {
    let (_broker, port) = sound().await;
    let pid = std::process::id();
    let mut found = std::collections::BTreeSet::new();
    for scenario in [
        "fan-in -c 2 -L 500 --rate 400",
        "shared -L 100",
        "retained -L 10",
        "pairs -L 10 --subscriptions 7 -t a/%i --filter a/%i/#",
        "connections -c 5 --duration 200ms",
    ] {
        let (_, report) = json(port, &format!("{scenario} --pid {pid}")).await;
        names(&report, "", &mut found);
    }
    // A part that is null in one scenario is an object in another.
    let is_part = |name: &&String| {
        let inner = |other: &String| {
            other
                .strip_prefix(name.as_str())
                .is_some_and(|rest| rest.starts_with(['.', '[']))
        };
        found.iter().any(inner)
    };
    let objects: Vec<String> = found.iter().filter(is_part).cloned().collect();
    found.retain(|name| !objects.contains(name));
    let readme = include_str!("../README.md");
    let (_, list) = readme.split_once("<!-- fields -->").unwrap();
    let (list, _) = list.split_once("<!-- end of fields -->").unwrap();
    let mut documented = std::collections::BTreeSet::new();
    for line in list.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = line.split('|').skip(1);
        let (object, fields) = (
            cells.next().unwrap().trim().trim_matches('`'),
            cells.next().unwrap(),
        );
        for field in fields.split('`').skip(1).step_by(2) {
            documented.insert(if object == "." {
                field.to_owned()
            } else {
                format!("{object}.{field}")
            });
        }
    }
    assert_eq!(found, documented);
}
