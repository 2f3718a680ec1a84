//! `mqtt retained`, against our broker and against Mosquitto.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may stop at what it did not expect"
)]

#[path = "retained/server.rs"]
mod server;
#[expect(dead_code, reason = "no password is asked for here")]
mod terminal;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use mqtt_client::{Client, Message, QoS};

use self::server::{Forbidden, Server};
use self::terminal::Terminal;

/// Exit code, standard output and standard error.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    code: i32,
    out: String,
    err: String,
}

impl Outcome {
    fn lines(&self) -> Vec<&str> {
        assert_eq!((self.code, &*self.err), (0, ""), "{self:?}");
        self.out.lines().collect()
    }
}

fn command(server: &Server, arguments: &[&str]) -> Command {
    command_at(server.port(), arguments)
}

fn command_at(port: u16, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqtt"));
    command.arg("retained").args(arguments);
    command.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
    // Nobody's settings.
    command.env_clear();
    command
}

fn run_with(server: &Server, arguments: &[&str], input: &str) -> Outcome {
    let mut command = command(server, arguments);
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may end before it has read all.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Outcome {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn run(server: &Server, arguments: &[&str]) -> Outcome {
    run_with(server, arguments, "")
}

fn topics(server: &Server) -> Vec<String> {
    let outcome = run(server, &["ls"]);
    outcome.lines().into_iter().map(str::to_owned).collect()
}

/// Publishes with a client of our own: `retained import` is what is tested.
fn publish(server: &Server, messages: impl IntoIterator<Item = Message>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let url = format!("mqtt://root@127.0.0.1:{}", server.port());
        let client = Client::connect(&url).await.unwrap();
        for message in messages {
            drop(client.publish_message(message).enqueue().await.unwrap());
        }
        let report = client.disconnect().drain(Duration::from_secs(30)).await;
        assert_eq!(report.unwrap().undelivered, []);
    });
}

fn retained(topic: &str, payload: &str, qos: QoS) -> Message {
    let mut message = Message::new(topic, payload.to_owned()).unwrap();
    message.qos = qos;
    message.retain = true;
    message
}

/// Ours, and Mosquitto where there is one.
fn servers() -> Vec<Server> {
    let ours = Server::ours(Forbidden::default());
    [ours].into_iter().chain(Server::mosquitto()).collect()
}

#[test]
fn topics_are_listed_in_order_and_once() {
    for server in servers() {
        assert_eq!(topics(&server), [""; 0]);
        let mut live = retained("a/live", "x", QoS::AtLeastOnce);
        live.retain = false;
        publish(
            &server,
            [
                retained("b/2", "four", QoS::ExactlyOnce),
                retained("a/1", "", QoS::AtLeastOnce),
                retained("b/ä 1", "x", QoS::AtMostOnce),
                retained("c", "gone", QoS::AtLeastOnce),
                retained("c", "", QoS::AtLeastOnce),
                retained("a", "twelve bytes", QoS::AtLeastOnce),
                live,
            ],
        );
        assert_eq!(topics(&server), ["a", "b/2", "b/ä 1"]);
        for version in ["5", "311"] {
            let list = |arguments: &[&str]| {
                let arguments = [&["ls", "-V", version], arguments].concat();
                let outcome = run(&server, &arguments);
                outcome.lines().join("\n")
            };
            assert_eq!(list(&["-t", "a"]), "a");
            assert_eq!(list(&["-t", "b/+", "-t", "b/#", "-t", "b/2"]), "b/2\nb/ä 1");
            assert_eq!(list(&["-t", "nothing"]), "");
            let long = "       12 1          - a\n        4 2          - b/2\n        1 0          - b/ä 1";
            assert_eq!(list(&["-v"]), long);
            let json = "{\"topic\":\"b/2\",\"qos\":2,\"bytes\":4}\n{\"topic\":\"b/ä 1\",\"qos\":0,\"bytes\":1}";
            assert_eq!(list(&["--json", "-t", "b/#"]), json);
        }
        let url = format!("mqtt://127.0.0.1:{}/b/#", server.port());
        assert_eq!(run(&server, &["ls", &url]).lines(), ["b/2", "b/ä 1"]);
    }
}

#[test]
fn a_lifetime_is_shown_and_survives_export_and_import() {
    for server in servers() {
        let mut mortal = retained("mortal", "x", QoS::AtLeastOnce);
        let lifetime = mqtt_client::Property::MessageExpiryInterval(1000);
        mortal.properties = mqtt_client::Properties::new([lifetime]).unwrap();
        publish(&server, [mortal]);
        let left = |server: &Server| {
            let outcome = run(server, &["ls", "-v"]);
            let fields: Vec<_> = outcome.lines()[0].split_whitespace().collect();
            assert_eq!((fields[0], fields[1], fields[3]), ("1", "1", "mortal"));
            fields[2].parse::<u32>().unwrap()
        };
        let before = left(&server);
        assert!((900..=1000).contains(&before), "{before}");
        let export = run(&server, &["export"]);
        assert!(export.lines()[1].contains("\"expires_ms\":1"), "{export:?}");
        let other = Server::ours(Forbidden::default());
        assert_eq!(run_with(&other, &["import"], &export.out).code, 0);
        let after = left(&other);
        assert!((900..=before).contains(&after), "{before} {after}");
        // What is over is not brought back to life.
        let (start, rest) = export.out.split_once("\"expires_ms\":").unwrap();
        let old = format!("{start}\"expires_ms\":{}", &rest["1".len()..]);
        let outcome = run_with(&server, &["import"], &old);
        let said = "Retained messages published: 0, 1 expired.\n";
        assert_eq!((outcome.code, &*outcome.err), (0, said));
    }
}

/// More than Mosquitto queues for a client, which is 1,000 messages and those in flight.
#[test]
fn of_very_many_none_is_missing() {
    let topic = |qos: QoS, number: u32| format!("q{}/{number:04}", qos as u8);
    for server in servers() {
        let qualities = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
        let all: Vec<_> = qualities
            .into_iter()
            .flat_map(|qos| (0..1500).map(move |number| (qos, number)))
            .collect();
        publish(
            &server,
            all.iter()
                .map(|(qos, number)| retained(&topic(*qos, *number), "x", *qos)),
        );
        let expected: Vec<_> = all
            .iter()
            .map(|(qos, number)| topic(*qos, *number))
            .collect();
        assert_eq!(topics(&server), expected);
        let long = run(&server, &["ls", "-v"]);
        let long: Vec<_> = long
            .lines()
            .into_iter()
            .map(|line| line.trim_start().to_owned())
            .collect();
        let expected: Vec<_> = all
            .iter()
            .map(|(qos, number)| format!("1 {}          - {}", *qos as u8, topic(*qos, *number)))
            .collect();
        assert_eq!(long, expected);
        // Before 5.0 a client cannot say how much it takes at once, so Mosquitto drops some of QoS 1 and 2: those come
        // at QoS 0, and are owned up to.
        let old = run(&server, &["ls", "-v", "-V", "311"]);
        assert_eq!(
            (old.code, old.out.lines().count()),
            (0, expected.len()),
            "{}",
            old.err
        );
        let is_mosquitto = matches!(server, Server::Mosquitto { .. });
        assert_eq!(
            old.err.contains("taken for QoS 1"),
            is_mosquitto,
            "{}",
            old.err
        );
    }
}

#[test]
fn only_what_matches_is_removed_and_only_if_that_is_wanted() {
    for server in servers() {
        let names = ["a/1", "a/2", "b/1", "a"];
        publish(
            &server,
            names.map(|name| retained(name, "x", QoS::AtLeastOnce)),
        );
        let all = ["a", "a/1", "a/2", "b/1"];

        let outcome = run(&server, &["clear", "--yes"]);
        assert_eq!(outcome.code, 1);
        assert!(
            outcome
                .err
                .starts_with("Error: Say what to remove: -t FILTER"),
            "{outcome:?}"
        );
        let outcome = run_with(&server, &["clear", "-t", "a/+"], "y\n");
        assert_eq!(outcome.code, 1);
        assert!(
            outcome.err.contains("no terminal to ask on: give --yes"),
            "{outcome:?}"
        );
        let outcome = run(&server, &["clear", "-t", "a/+", "--dry-run", "--yes"]);
        assert_eq!((outcome.code, &*outcome.out), (0, "a/1\na/2\n"));
        assert_eq!(outcome.err, "2 retained messages would be removed.\n");
        assert_eq!(topics(&server), all);

        let outcome = run(&server, &["clear", "-t", "a/+", "--yes"]);
        assert_eq!((outcome.code, &*outcome.out), (0, ""));
        assert_eq!(outcome.err, "2 retained messages removed.\n");
        assert_eq!(topics(&server), ["a", "b/1"]);
        let outcome = run(&server, &["clear", "-t", "a/+", "--yes"]);
        assert_eq!(
            (outcome.code, &*outcome.err),
            (0, "Nothing is retained there.\n")
        );
    }
}

#[test]
fn on_a_terminal_it_is_asked_first() {
    let server = Server::ours(Forbidden::default());
    let names = (10..22).map(|number| format!("t/{number}"));
    publish(
        &server,
        names.map(|name| retained(&name, "x", QoS::AtLeastOnce)),
    );
    for (answer, code, left, said) in [
        ("", 1, 12, "Nothing was removed.\r\n"),
        ("n", 1, 12, "Nothing was removed.\r\n"),
        ("all", 1, 12, "Nothing was removed.\r\n"),
        ("Yes", 0, 0, "12 retained messages removed.\r\n"),
    ] {
        let mut terminal = Terminal::run(command(&server, &["clear", "-t", "t/#"]));
        terminal.expect("Remove 12 retained messages? [y/N] ");
        terminal.type_line(answer);
        let (status, screen) = terminal.end();
        assert_eq!(status.code(), Some(code), "{screen}");
        assert!(screen.starts_with("  t/10\r\n  t/11\r\n"), "{screen}");
        assert!(
            screen.contains("  t/19\r\n  and 2 more\r\nRemove"),
            "{screen}"
        );
        assert!(screen.ends_with(said), "{screen}");
        assert_eq!(topics(&server).len(), left, "{answer:?}");
    }
}

/// Everything that a message can have, in the format that `mqttd store export` writes.
const ALL_KINDS: &str = concat!(
    "{\"format\":\"mqtt-store\",\"version\":1}\n",
    "{\"retained\":{\"topic\":\"a\",\"qos\":2,\"retain\":true,\"properties\":",
    "[{\"payload_format_indicator\":true},{\"content_type\":\"text/plain\"},{\"response_topic\":\"r\"},",
    "{\"correlation_data_base64\":\"/w==\"},{\"user_property\":[\"b\",\"2\"]},{\"user_property\":[\"a\",\"1\"]}],",
    "\"payload\":\"ä\\n\\u0000\"}}\n",
    "{\"retained\":{\"topic\":\"b/c d\",\"qos\":1,\"retain\":true,\"payload_base64\":\"AP8=\"}}\n",
    "{\"end\":{\"sessions\":0,\"subscriptions\":0,\"received\":0,\"deliveries\":0,\"retained\":2}}\n",
);

fn sorted(export: &str) -> Vec<&str> {
    let mut lines: Vec<_> = export.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn what_is_exported_can_be_imported_elsewhere() {
    for server in servers() {
        let outcome = run_with(&server, &["import"], ALL_KINDS);
        assert_eq!(
            (outcome.code, &*outcome.err),
            (0, "Retained messages published: 2.\n")
        );
        let export = run(&server, &["export"]);
        assert_eq!((export.code, &*export.err), (0, ""));
        if matches!(server, Server::Ours { .. }) {
            assert_eq!(sorted(&export.out), sorted(ALL_KINDS));
        }
        // The first and the last line are where they belong.
        let first = export.out.lines().next().unwrap();
        assert_eq!(first, ALL_KINDS.lines().next().unwrap());
        let last = export.out.lines().last().unwrap();
        assert_eq!(last, ALL_KINDS.lines().last().unwrap());

        for other in servers() {
            assert_eq!(run_with(&other, &["import"], &export.out).code, 0);
            let again = run(&other, &["export"]);
            assert_eq!(sorted(&again.out), sorted(&export.out));
        }
        let part = run(&server, &["export", "-t", "b/#"]);
        assert_eq!(part.lines().len(), 3);
    }
}

#[test]
fn what_cannot_be_imported_is_told_by_its_line() {
    let server = Server::ours(Forbidden {
        publish: Some("secret"),
        subscribe: None,
    });
    let file = |topics: &[&str]| {
        let line = |topic: &&str| {
            format!(
                "{{\"retained\":{{\"topic\":\"{topic}\",\"qos\":0,\"retain\":true,\"payload\":\"x\"}}}}\n"
            )
        };
        topics.iter().map(line).collect::<String>()
    };
    let text = file(&["a", "secret/1", "b/#", "c"]) + "nonsense\n" + &file(&["d"]);
    let checked = run_with(&server, &["import", "--dry-run"], &text);
    assert_eq!((checked.code, &*checked.out), (1, ""));
    let lines: Vec<_> = checked.err.lines().collect();
    assert!(lines[0].starts_with("line 3: topic: "), "{checked:?}");
    assert!(lines[1].starts_with("line 5: "), "{checked:?}");
    assert_eq!(lines[2], "Retained messages to be published: 4.");
    assert_eq!(lines[3], "Error: 2 lines were not imported.");
    assert_eq!(topics(&server), [""; 0]);

    let outcome = run_with(&server, &["import"], &text);
    assert_eq!(outcome.code, 1);
    for line in [
        "line 2: the server refused it: Not authorized",
        "line 3: topic: ",
        "line 5: ",
    ] {
        assert!(outcome.err.contains(line), "{outcome:?}");
    }
    assert!(
        outcome
            .err
            .ends_with("Retained messages published: 3.\nError: 3 lines were not imported.\n")
    );
    assert_eq!(topics(&server), ["a", "c", "d"]);

    // A file that was cut off is told, whatever it has.
    let cut = ALL_KINDS.split_once("{\"end\"").unwrap().0;
    for arguments in [&["import", "-n"][..], &["import"]] {
        let outcome = run_with(&server, arguments, cut);
        assert_eq!(outcome.code, 1);
        let said = "Error: the file is cut off: its last line is missing.\n";
        assert!(outcome.err.ends_with(said), "{outcome:?}");
    }
    let outcome = run_with(&server, &["import", "-t", "a"], "");
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.err.contains("All of the file is imported"),
        "{outcome:?}"
    );
}

#[test]
fn what_cannot_be_removed_is_told_by_its_topic() {
    let server = Server::ours(Forbidden {
        publish: Some("a/"),
        subscribe: None,
    });
    let names = ["a/1", "a/\u{1b}", "b"];
    publish(
        &server,
        names.map(|name| retained(name, "x", QoS::AtLeastOnce)),
    );
    let outcome = run(&server, &["clear", "-t", "#", "--yes"]);
    assert_eq!(outcome.code, 1);
    assert_eq!(
        outcome.err,
        concat!(
            "a/\\u{1b}: the server refused it: Not authorized (0x87)\n",
            "a/1: the server refused it: Not authorized (0x87)\n",
            "1 retained message removed.\n",
            "Error: 2 retained messages not removed.\n",
        )
    );
    assert_eq!(topics(&server), ["a/\u{1b}", "a/1"]);
}

/// Who may not publish or subscribe to the marker still gets the list, and is told that it is not certain.
#[test]
fn without_a_marker_silence_ends_it() {
    let marker = Some("mqtt-retained/");
    for (publish_forbidden, subscribe_forbidden) in [(marker, None), (None, marker)] {
        let server = Server::ours(Forbidden {
            publish: publish_forbidden,
            subscribe: subscribe_forbidden,
        });
        let names = ["a", "b"];
        publish(
            &server,
            names.map(|name| retained(name, "x", QoS::AtLeastOnce)),
        );
        let outcome = run(&server, &["ls", "--wait", "0.3"]);
        assert_eq!((outcome.code, &*outcome.out), (0, "a\nb\n"));
        assert_eq!(
            outcome.err,
            "Warning: the server let no marker through, so this ended after 0.3 s of silence: there may be more (--wait).\n"
        );
    }
}

#[test]
fn a_refused_filter_and_a_refused_connection_are_told() {
    let server = Server::ours(Forbidden {
        publish: None,
        subscribe: Some("secret"),
    });
    for arguments in [&["ls"][..], &["ls", "-v"], &["export"], &["clear", "--yes"]] {
        let arguments = [arguments, &["-t", "a", "-t", "secret/#"]].concat();
        let outcome = run(&server, &arguments);
        assert_eq!(outcome.code, 1);
        let said = "Error: the server refuses the filter secret/#: Not authorized.\n";
        assert_eq!(outcome.err, said, "{arguments:?}");
    }
    let outcome = run(&server, &["ls", "-t", "a/#/b"]);
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.err.contains("Use 'mqtt retained ls --help'"),
        "{outcome:?}"
    );

    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    let output = command_at(port, &["ls"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(
        err.starts_with("Error: ") && err.contains("refused"),
        "{err}"
    );
}

/// What is missing then, nobody knows: so it is no list, and no export that has an end.
#[test]
fn a_connection_that_is_lost_is_a_failure() {
    for arguments in [["ls", "-i", "x"], ["export", "-i", "x"]] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = [0; 1024];
            assert!(stream.read(&mut bytes).unwrap() > 0);
            // A CONNACK of 5.0.
            stream.write_all(&[0x20, 3, 0, 0, 0]).unwrap();
            let length = stream.read(&mut bytes).unwrap();
            assert_eq!((length > 4, bytes[0]), (true, 0x82));
            // The SUBACK for two filters, and a retained message of QoS 0.
            stream
                .write_all(&[0x90, 5, bytes[2], bytes[3], 0, 0, 0])
                .unwrap();
            stream.write_all(&[0x31, 5, 0, 1, b't', 0, b'x']).unwrap();
            // The marker, or the beginning of it; then the connection ends.
            assert!(stream.read(&mut bytes).unwrap() > 0);
        });
        let output = command_at(port, &arguments).output().unwrap();
        server.join().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(err.starts_with("Error: The connection was lost"), "{err}");
        assert_eq!(output.status.code(), Some(7));
        let out = String::from_utf8(output.stdout).unwrap();
        assert!(arguments[0] == "export" || out.is_empty(), "{out}");
        assert!(!out.contains("\"end\""), "{out}");
    }
}

/// `mqtt retained export | head -1` is no error.
#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let server = Server::ours(Forbidden::default());
    let big = "x".repeat(1000);
    let names = (0..2000).map(|number| format!("t/{number}"));
    publish(
        &server,
        names.map(|name| retained(&name, &big, QoS::AtLeastOnce)),
    );
    for arguments in [&["export"][..], &["ls", "--json"]] {
        let mut command = command(&server, arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(line.starts_with('{'), "{line}");
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), &*err), (Some(0), ""));
    }
}
