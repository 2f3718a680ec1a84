//! `mqtt` by its own name: what Mosquitto's programs have not, and what must not go wrong with either.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::broker::{Broker, Kind, SOON};
use crate::files::{self, Files};
use crate::terminal::Terminal;

/// A broker, and `mqtt` to go with it.
struct World {
    broker: Broker,
    files: Files,
    port: String,
}

/// A world, or nothing where Mosquitto is not installed.
fn world() -> Option<World> {
    if ["mosquitto", "mosquitto_pub", "mosquitto_sub"]
        .into_iter()
        .any(|name| files::program(name).is_none())
    {
        eprintln!("LEFT OUT: Mosquitto is not installed");
        return None;
    }
    let files = Files::new();
    let broker = Broker::start(&Kind::Mosquitto, &files);
    let port = broker.fill("{port}");
    Some(World {
        broker,
        files,
        port,
    })
}

fn mqtt(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqtt"));
    command.args(arguments).env("XDG_CONFIG_HOME", "/nowhere");
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
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

impl World {
    fn url(&self, topic: &str) -> String {
        format!("mqtt://127.0.0.1:{}/{topic}", self.port)
    }

    fn place(&self, place: &str) -> Vec<String> {
        crate::case::words(&self.broker.fill(place))
    }

    /// Publishes with Mosquitto's program.
    fn publish(&self, arguments: &[&str]) {
        let program = files::program("mosquitto_pub").unwrap();
        let status = Command::new(program)
            .args(["-h", "127.0.0.1", "-p", &self.port, "-V", "5"])
            .args(arguments)
            .status()
            .unwrap();
        assert!(status.success(), "{arguments:?}");
    }

    /// Runs a subscriber, publishes once it has subscribed, and gives what has come of it.
    fn subscribed(&self, mut command: Command, topic: &str, messages: &[&[&str]]) -> Output {
        let process = command.spawn().unwrap();
        assert!(self.broker.wait_for_subscription(topic, 1), "{topic}");
        messages.iter().for_each(|message| self.publish(message));
        end(process)
    }
}

/// Waits for the end, which must come soon.
fn end(mut process: Child) -> Output {
    let until = Instant::now() + SOON;
    while process.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            process.kill().unwrap();
            panic!("it does not end: {:?}", process.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    process.wait_with_output().unwrap()
}

fn interrupt(process: &Child) {
    let id = rustix::process::Pid::from_child(process);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_url_says_where_and_what() {
    let Some(world) = world() else { return };
    let subscriber = mqtt(&["sub", &world.url("url/#"), "-v", "-C", "1"]);
    let process = {
        let mut subscriber = subscriber;
        subscriber.spawn().unwrap()
    };
    assert!(world.broker.wait_for_subscription("url/#", 1));
    let published = end(mqtt(&["pub", &world.url("url/a"), "-m", "hello"])
        .spawn()
        .unwrap());
    assert_eq!(
        (published.status.code(), text(&published.stderr)),
        (Some(0), "")
    );
    let output = end(process);
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(0), "url/a hello\n")
    );
    assert_eq!(text(&output.stderr), "");
    // 5.0 is what is spoken first, and this broker has it.
    assert!(world.broker.log_has("(p5, "));
}

#[test]
fn json_lines_have_everything() {
    let Some(world) = world() else { return };
    let subscriber = mqtt(&["sub", &world.url("json/#"), "--json", "-q", "1", "-C", "2"]);
    let output = world.subscribed(
        subscriber,
        "json/#",
        &[
            &[
                "-t",
                "json/a",
                "-m",
                "é\n",
                "-q",
                "1",
                "-D",
                "publish",
                "user-property",
                "k",
                "v",
            ],
            &[
                "-t",
                "json/b",
                "-f",
                world.files.path("message").to_str().unwrap(),
            ],
        ],
    );
    let lines: Vec<serde_json::Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["topic"], "json/a");
    assert_eq!(lines[0]["payload"], "é\n");
    assert_eq!(
        (&lines[0]["qos"], &lines[0]["retain"], &lines[0]["dup"]),
        (&1.into(), &false.into(), &false.into())
    );
    // What the library needs to find the stream of a message is not shown.
    assert_eq!(
        lines[0]["properties"],
        serde_json::json!({ "user_properties": [["k", "v"]] })
    );
    assert_eq!(lines[1]["payload"], serde_json::Value::Null);
    assert!(
        lines[1]["payload_base64"]
            .as_str()
            .unwrap()
            .starts_with("bGluZSBvbmUK")
    );
    assert_eq!(lines[1].get("properties"), None);
}

#[test]
fn the_environment_says_where_and_who() {
    let Some(world) = world() else { return };
    let place = world.place("{auth}");
    let file = world.files.write("password", "secret\nand more\n");
    let publish = |variables: &[(&str, &str)], more: &[&str]| {
        let mut command = mqtt(&["pub", "-t", "allowed/a", "-m", "x", "-q", "1"]);
        command
            .env("MQTT_HOST", &place[1])
            .env("MQTT_PORT", &place[3])
            .args(more);
        command.envs(variables.iter().copied());
        end(command.spawn().unwrap())
    };
    let refused = publish(&[], &[]);
    assert_eq!(refused.status.code(), Some(135));
    assert_eq!(
        text(&refused.stderr),
        "Error: the server refused the connection: Not authorized (0x87).\n"
    );
    let code = |variables: &[(&str, &str)], more: &[&str]| publish(variables, more).status.code();
    assert_eq!(
        code(
            &[("MQTT_USERNAME", "joe"), ("MQTT_PASSWORD", "secret")],
            &[]
        ),
        Some(0)
    );
    assert_eq!(
        code(
            &[("MQTT_USERNAME", "joe"), ("MQTT_PASSWORD", "wrong")],
            &["-P", "secret"]
        ),
        Some(0)
    );
    assert_eq!(
        code(
            &[("MQTT_USERNAME", "joe")],
            &["--password-file", file.to_str().unwrap()]
        ),
        Some(0)
    );
    // Without a terminal there is nobody to ask.
    assert_eq!(code(&[("MQTT_USERNAME", "joe")], &[]), Some(135));
    let url = format!("mqtt://joe:secret@{}:{}", place[1], place[3]);
    assert_eq!(
        code(
            &[("MQTT_URL", &url), ("MQTT_HOST", ""), ("MQTT_PORT", "")],
            &[]
        ),
        Some(0)
    );
    let wrong = publish(&[("MQTT_PORT", "http")], &[]);
    assert_eq!(
        text(&wrong.stderr).lines().next(),
        Some("Error: Invalid port given: http (from MQTT_PORT)")
    );
}

/// The command line overrides the file, and the file the environment.
#[test]
fn options_stand_in_a_file() {
    let Some(world) = world() else { return };
    world.publish(&["-t", "file/a", "-m", "x", "-r"]);
    let directory = world.files.directory();
    std::fs::create_dir(directory.join("mqtt")).unwrap();
    let options = format!("# always\n-p {}\n-t file/#\n-F <%t>\n", world.port);
    std::fs::write(directory.join("mqtt/sub"), &options).unwrap();
    let other = directory.join("other");
    std::fs::write(&other, options.replace('<', "[").replace('>', "]")).unwrap();
    let printed = |arguments: &[&str]| {
        let mut command = mqtt(&["sub", "-C", "1", "-W", "5"]);
        command
            .args(arguments)
            .env("XDG_CONFIG_HOME", &directory)
            .env("MQTT_PORT", "1");
        text(&end(command.spawn().unwrap()).stdout).to_owned()
    };
    assert_eq!(printed(&[]), "<file/a>\n");
    assert_eq!(printed(&["-F", "%p"]), "x\n");
    assert_eq!(printed(&["-o", other.to_str().unwrap()]), "[file/a]\n");
}

#[test]
fn a_password_is_asked_for_and_not_shown() {
    let Some(world) = world() else { return };
    let place = world.place("{auth}");
    let ask = |password: &str| {
        let mut command = mqtt(&["pub", "-t", "allowed/a", "-m", "x", "-u", "joe"]);
        command.args(&place);
        let mut terminal = Terminal::run(command);
        terminal.expect_hidden("Password of joe: ");
        terminal.type_line(password);
        let (status, screen) = terminal.end();
        assert!(!screen.contains("ecret"), "{screen}");
        status.code()
    };
    assert_eq!(ask("secret"), Some(0));
    assert_eq!(ask("not the secret"), Some(135));

    let mut command = mqtt(&["sub", "-t", "allowed/a", "-u", "joe"]);
    command.args(&place);
    let terminal = Terminal::run(command);
    terminal.expect_hidden("Password of joe: ");
    interrupt(&terminal.child);
    // That the terminal is not left silent is looked at there.
    assert_eq!(terminal.end().0.code(), Some(130));
}

/// What is verbose is coloured for a person, and plain for a program, and for who says so.
#[test]
fn colour_is_for_terminals() {
    let Some(world) = world() else { return };
    world.publish(&["-t", "colour/a", "-m", "x", "-r"]);
    let screen = |no_color: &str| {
        let mut command = mqtt(&["sub", &world.url("colour/#"), "-v", "-C", "1"]);
        command.env("NO_COLOR", no_color);
        Terminal::run(command).end().1
    };
    assert_eq!(screen(""), "\u{1b}[36mcolour/a\u{1b}[0m x\r\n");
    assert_eq!(screen("1"), "colour/a x\r\n");
}

#[test]
fn a_refused_message_is_a_failure() {
    let Some(world) = world() else { return };
    let place = world.place("{auth}");
    let mut command = mqtt(&[
        "pub",
        "-t",
        "forbidden",
        "-m",
        "x",
        "-q",
        "1",
        "-u",
        "joe",
        "-P",
        "secret",
    ]);
    let output = end(command.args(&place).spawn().unwrap());
    assert_eq!(output.status.code(), Some(135));
    assert_eq!(
        text(&output.stderr),
        "Warning: Publish 1 failed: Not authorized.\n"
    );
}

#[test]
fn an_interrupt_ends_with_a_disconnect() {
    let Some(world) = world() else { return };
    let process = mqtt(&["sub", &world.url("interrupt/#"), "-i", "interrupted"])
        .spawn()
        .unwrap();
    assert!(world.broker.wait_for_subscription("interrupt/#", 1));
    interrupt(&process);
    let output = end(process);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    assert!(world.broker.log_has("Received DISCONNECT from interrupted"));

    let mut publisher = mqtt(&["pub", &world.url("interrupt/a"), "-l", "-i", "half-way"]);
    let mut process = publisher.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = process.stdin.take().unwrap();
    input.write_all(b"one\n").unwrap();
    assert!(world.broker.log_has("Received PUBLISH from half-way"));
    interrupt(&process);
    assert_eq!(end(process).status.code(), Some(130));
    assert!(world.broker.log_has("Received DISCONNECT from half-way"));
}

#[test]
fn whoever_stops_reading_ends_it_quietly() {
    let Some(world) = world() else { return };
    let mut process = mqtt(&["sub", &world.url("closed/#"), "-i", "closed"])
        .spawn()
        .unwrap();
    assert!(world.broker.wait_for_subscription("closed/#", 1));
    drop(process.stdout.take());
    world.publish(&["-t", "closed/a", "-m", "x"]);
    let output = end(process);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    assert!(world.broker.log_has("Received DISCONNECT from closed"));
}

/// 20,000 messages of QoS 0, of which the broker drops none, to a pipe that is not read for a while: more than the pipe, the stream, and both sockets hold.
#[test]
fn a_slow_pipe_loses_nothing() {
    let Some(world) = world() else { return };
    const COUNT: usize = 20_000;
    let pad = "x".repeat(300);
    let mut process = mqtt(&[
        "sub",
        &world.url("slow"),
        "-q",
        "0",
        "-C",
        &COUNT.to_string(),
        "-W",
        "20",
    ])
    .spawn()
    .unwrap();
    assert!(world.broker.wait_for_subscription("slow", 1));
    let mut publisher = mqtt(&["pub", &world.url("slow"), "-l"]);
    let mut sender = publisher.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = sender.stdin.take().unwrap();
    for number in 0..COUNT {
        writeln!(input, "{number} {pad}").unwrap();
    }
    drop(input);
    assert_eq!(end(sender).status.code(), Some(0));
    std::thread::sleep(Duration::from_secs(1));
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut expected = 0;
    for line in lines.map(Result::unwrap) {
        assert_eq!(line, format!("{expected} {pad}"));
        expected += 1;
    }
    assert_eq!(expected, COUNT);
    assert_eq!(end(process).status.code(), Some(0));
}

/// A subscriber that always has more to print still looks at the clock.
#[test]
fn the_time_is_over_also_in_a_flood() {
    let Some(world) = world() else { return };
    // It takes longer to print a message than to send one.
    let format = "%j%j%j%j%j%j%j%j%j%j%j%j%j%j%j%j";
    let mut flooded = mqtt(&["sub", &world.url("flood"), "-W", "1", "-F", format]);
    let flooded = flooded.stdout(Stdio::null()).spawn().unwrap();
    assert!(world.broker.wait_for_subscription("flood", 1));
    let mut publisher = mqtt(&["pub", &world.url("flood"), "-l", "--quiet"]);
    let mut sender = publisher.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = sender.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        let lines = "a line of no importance\n".repeat(1000);
        // Until the sender is gone.
        while input.write_all(lines.as_bytes()).is_ok() {}
    });
    let output = end(flooded);
    sender.kill().unwrap();
    sender.wait().unwrap();
    writer.join().unwrap();
    assert_eq!(
        (output.status.code(), text(&output.stderr)),
        (Some(27), "Timed out\n")
    );
}

fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().to_string()
}

/// Starts a broker on a port of our choice.
fn broker_at(port: &str) -> Child {
    let mut command = Command::new(files::program("mosquitto").unwrap());
    command
        .args(["-p", port])
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut log = BufReader::new(process.stderr.take().unwrap());
    let mut line = String::new();
    while !line.ends_with(" running\n") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "the broker has ended");
    }
    // It goes on logging, and is not to be stopped by it.
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    process
}

#[test]
fn a_subscriber_outlives_the_broker_and_a_publisher_does_not() {
    if files::program("mosquitto").is_none() {
        eprintln!("LEFT OUT: Mosquitto is not installed");
        return;
    }
    let files = Files::new();
    let bin = files.called_like_mosquitto(env!("CARGO_BIN_EXE_mqtt").as_ref());
    let port = free_port();
    let mut broker = broker_at(&port);
    let url = format!("mqtt://127.0.0.1:{port}/again");
    let mut ours = mqtt(&["sub", &url, "-C", "1"]).spawn().unwrap();
    let quiet = mqtt(&["sub", &url, "-C", "1", "--quiet"]).spawn().unwrap();
    let mut theirs = Command::new(bin.join("mosquitto_sub"));
    theirs
        .args(["-L", &url, "-C", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let theirs = theirs.spawn().unwrap();
    let elsewhere = format!("mqtt://127.0.0.1:{port}/request");
    let mut request = mqtt(&["rr", &elsewhere, "-m", "x", "-e", "never"]);
    let request = request.spawn().unwrap();
    // All four are connected, as far as that can be known from outside.
    std::thread::sleep(Duration::from_millis(700));
    broker.kill().unwrap();
    broker.wait().unwrap();

    let request = end(request);
    assert_eq!(request.status.code(), Some(7));
    assert_eq!(
        text(&request.stderr),
        "Error: The connection was lost: the server closed the connection.\n"
    );

    let mut said = BufReader::new(ours.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.starts_with("Connection lost: "), "{line}");
    let mut broker = broker_at(&port);
    let mut all = line;
    while !all.ends_with("Connected again.\n") {
        assert_ne!(said.read_line(&mut all).unwrap(), 0, "{all}");
    }
    // The others try again within two seconds, too, for the broker was gone for less than that.
    for _ in 0..50 {
        let published = end(mqtt(&["pub", &url, "-m", "x", "-r"]).spawn().unwrap());
        assert_eq!(published.status.code(), Some(0));
        std::thread::sleep(Duration::from_millis(20));
    }
    said.read_to_string(&mut all).unwrap();
    for (process, what) in [(ours, "ours"), (quiet, "quiet"), (theirs, "Mosquitto's")] {
        let output = end(process);
        assert_eq!(
            (output.status.code(), text(&output.stdout)),
            (Some(0), "x\n"),
            "{what}"
        );
        assert_eq!(text(&output.stderr), "", "{what}");
    }
    broker.kill().unwrap();
    broker.wait().unwrap();
}

/// Lines that are read while there is no connection arrive when there is one again, at each QoS.
#[test]
fn lines_wait_for_the_broker_to_come_back() {
    if files::program("mosquitto").is_none() {
        eprintln!("LEFT OUT: Mosquitto is not installed");
        return;
    }
    for qos in ["0", "1", "2"] {
        let port = free_port();
        let mut broker = broker_at(&port);
        let url = format!("mqtt://127.0.0.1:{port}/lines");
        let mut sender = mqtt(&["pub", &url, "-l", "-r", "-q", qos]);
        let mut sender = sender.stdin(Stdio::piped()).spawn().unwrap();
        let mut input = sender.stdin.take().unwrap();
        input.write_all(b"before\n").unwrap();
        let last = || {
            let output = end(mqtt(&["sub", &url, "-C", "1", "-W", "8"]).spawn().unwrap());
            (output.status.code(), text(&output.stdout).to_owned())
        };
        assert_eq!(last(), (Some(0), "before\n".to_owned()));
        broker.kill().unwrap();
        broker.wait().unwrap();
        std::thread::sleep(Duration::from_millis(200));
        input.write_all(b"meanwhile\n").unwrap();
        std::thread::sleep(Duration::from_millis(200));
        let mut broker = broker_at(&port);
        drop(input);
        let output = end(sender);
        assert_eq!(
            (output.status.code(), text(&output.stderr)),
            (Some(0), ""),
            "QoS {qos}"
        );
        assert_eq!(last(), (Some(0), "meanwhile\n".to_owned()), "QoS {qos}");
        broker.kill().unwrap();
        broker.wait().unwrap();
    }
}

/// The examples of the man page that Mosquitto's own 2.0.11 does not end with.
#[test]
fn retained_messages_are_removed_and_that_is_all() {
    let Some(world) = world() else { return };
    let bin = world
        .files
        .called_like_mosquitto(env!("CARGO_BIN_EXE_mqtt").as_ref());
    world.publish(&["-t", "old/a", "-m", "1", "-r"]);
    world.publish(&["-t", "old/b", "-m", "2", "-r"]);
    let place = world.place("{here}");
    let mut command = Command::new(bin.join("mosquitto_sub"));
    command
        .args(&place)
        .args(["-t", "#", "--remove-retained", "--retained-only"]);
    let output = end(command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap());
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(0), "1\n2\n")
    );
    let left = end(mqtt(&["sub", &world.url("old/#"), "-v", "-W", "1"])
        .spawn()
        .unwrap());
    assert_eq!((left.status.code(), text(&left.stdout)), (Some(27), ""));
}

#[test]
fn a_session_can_be_told_to_forget_a_filter() {
    let Some(world) = world() else { return };
    let session = ["-c", "-i", "forgetful", "-q", "1"];
    let subscribe = |more: &[&str]| {
        let mut command = mqtt(&["sub", "-p", &world.port]);
        let output = end(command.args(session).args(more).spawn().unwrap());
        (output.status.code(), text(&output.stdout).to_owned())
    };
    assert_eq!(
        subscribe(&["-t", "kept", "-t", "forgotten", "-E"]),
        (Some(0), String::new())
    );
    assert_eq!(subscribe(&["-U", "forgotten"]), (Some(0), String::new()));
    world.publish(&["-t", "forgotten", "-m", "no", "-q", "1"]);
    world.publish(&["-t", "kept", "-m", "yes", "-q", "1"]);
    assert_eq!(
        subscribe(&["-t", "kept", "-C", "1"]),
        (Some(0), "yes\n".to_owned())
    );
}

#[test]
fn a_request_without_a_response_topic_gets_its_own_response() {
    let Some(world) = world() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let client = runtime
        .block_on(mqtt_client::Client::connect(&world.url("")))
        .unwrap();
    let mut requests = runtime
        .block_on(client.serve("echo").into_future())
        .unwrap();
    runtime.spawn(async move {
        while let Some(request) = requests.next().await {
            let answer = format!("{}!", request.text().unwrap());
            request.reply(answer).await.unwrap();
        }
    });
    let output = end(mqtt(&["rr", &world.url("echo"), "-m", "hello", "-W", "5"])
        .spawn()
        .unwrap());
    assert_eq!(
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr)
        ),
        (Some(0), "hello!\n", "")
    );
    let nobody = end(
        mqtt(&["rr", &world.url("nobody"), "-m", "hello", "-W", "1"])
            .spawn()
            .unwrap(),
    );
    assert_eq!(
        (nobody.status.code(), text(&nobody.stderr)),
        (Some(27), "Timed out\n")
    );
}

#[test]
fn wrong_usage_is_told_in_time() {
    for (arguments, line) in [
        (
            &["pub"][..],
            "Error: Both topic and message must be supplied.",
        ),
        (
            &["pub", "-t", "a#", "-m", "x"],
            "Error: Invalid publish topic 'a#', does it contain '+' or '#'?",
        ),
        (&["pub", "-t", "", "-m", "x"], "Error: Invalid topic '': "),
        (&["sub"], "Error: You must specify a topic to subscribe to."),
        (
            &["sub", "somewhere", "-t", "a"],
            "Error: 'somewhere' is no URL; a filter is -t FILTER.",
        ),
        (
            &["sub", "-t", "a", "--tpoic", "b"],
            "error: unexpected argument '--tpoic' found",
        ),
        (
            &["sub", "-t", "a", "--psk", "1234"],
            "Error: --psk: pre-shared keys are not supported: rustls has none. Use certificates (--cafile, --cert, --key).",
        ),
        (
            &["sub", "-t", "a", "-q", "9"],
            "Error: Invalid QoS given: 9",
        ),
        (
            &["rr", "-m", "x"],
            "Error: Both topic and message must be supplied.",
        ),
        (
            &["pub", "-t", "a", "-m", "x", "-o", "/nowhere/file"],
            "Error: Unable to read the options file /nowhere/file: No such file or directory (os error 2).",
        ),
        (
            &["pub", "-t", "a", "-m", "x", "-p", "1"],
            "Error: cannot connect to mqtt://localhost:1: ",
        ),
    ] {
        let output = end(mqtt(arguments).spawn().unwrap());
        let first = text(&output.stderr).lines().next().unwrap_or_default();
        assert!(first.starts_with(line), "{arguments:?}: {first}");
        assert_eq!(
            (output.status.code(), text(&output.stdout)),
            (Some(1), ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn help_is_help_and_h_is_the_host() {
    for command in ["pub", "sub", "rr"] {
        let output = end(mqtt(&[command, "--help"]).spawn().unwrap());
        assert_eq!(output.status.code(), Some(0));
        for word in [
            "-h, --host <HOST>",
            "-t, --topic <TOPIC>",
            "--will-topic <TOPIC>",
            "--help",
        ] {
            assert!(text(&output.stdout).contains(word), "{command}: {word}");
        }
        // What is refused with a reason needs no place in the help.
        assert!(!text(&output.stdout).contains("--psk"), "{command}");
    }
}
