use mqtt_codec::{QoS, Version};

use super::*;
use crate::configuration::{ClientId, Content, Versions};

fn words(text: &str) -> Vec<OsString> {
    text.split(' ')
        .filter(|word| !word.is_empty())
        .map(OsString::from)
        .collect()
}

/// Reads as Mosquitto's program would, without files.
fn mosquitto(program: Program, text: &str) -> Result<Configuration, Stop> {
    let mut configuration = Configuration::new(program, Dialect::Mosquitto);
    read_words(&mut configuration, &words(text))?;
    Ok(configuration.finish()?)
}

/// Reads as `mqtt` would, without files and the environment.
fn native(program: Program, text: &str) -> Result<Configuration, String> {
    let arguments = join_properties(program, &words(text));
    let command = augment(
        program,
        clap::Command::new("mqtt")
            .no_binary_name(true)
            .disable_help_flag(true),
    );
    let matches = command
        .try_get_matches_from(arguments)
        .map_err(|error| error.to_string())?;
    let found = Found::take(program, &matches);
    let mut configuration = Configuration::new(program, Dialect::Native);
    found
        .apply(&mut configuration)
        .map_err(|stop| format!("{stop:?}"))?;
    configuration
        .finish()
        .map_err(|complaint| complaint.to_string())
}

fn complaint(program: Program, text: &str) -> String {
    match mosquitto(program, text) {
        Err(Stop::Wrong(complaint)) => complaint.to_string(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn options_are_applied_in_their_order() {
    let read = mosquitto(
        Program::Publish,
        "-h one -p 1 -t a -t b -m x -q 1 -q 2 -h two -D publish content-type y -V 311",
    )
    .unwrap();
    assert_eq!(read.server.host.as_deref(), Some("two"));
    assert_eq!(read.server.port, Some(1));
    assert_eq!(read.topics, ["a", "b"]);
    assert_eq!(read.qos, QoS::ExactlyOnce);
    assert_eq!(read.content, Some(Content::Text(b"x".to_vec())));
    assert_eq!(read.versions, Versions::Only(Version::V3_1_1));
    assert_eq!(
        read.properties.publish.content_type().unwrap().as_str(),
        "y"
    );
}

#[test]
fn a_property_takes_as_many_arguments_as_it_has() {
    for read in [
        mosquitto(
            Program::Publish,
            "-D publish user-property a b -D connect receive-maximum 3 -t t -n",
        )
        .unwrap(),
        native(
            Program::Publish,
            "-D publish user-property a b --property connect receive-maximum 3 -t t -n",
        )
        .unwrap(),
    ] {
        assert_eq!(read.properties.publish.user_properties().count(), 1);
        assert_eq!(read.properties.connect.receive_maximum(), Some(3));
        assert_eq!(
            (read.topics, read.content),
            (vec!["t".to_owned()], Some(Content::Null))
        );
        assert_eq!(read.versions, Versions::Only(Version::V5));
    }
}

#[test]
fn what_looks_like_an_option_may_be_a_value() {
    for read in [
        mosquitto(Program::Publish, "-t t -m -D").unwrap(),
        native(Program::Publish, "-t t -m -D").unwrap(),
    ] {
        assert_eq!(read.content, Some(Content::Text(b"-D".to_vec())));
    }
}

/// The messages are those of `mosquitto_pub`, `mosquitto_sub` and `mosquitto_rr` 2.0.11.
#[test]
fn wrong_usage_is_named_as_by_mosquitto() {
    for (text, message) in [
        ("-z", "Error: Unknown option '-z'."),
        ("--port=1", "Error: Unknown option '--port=1'."),
        ("-p1", "Error: Unknown option '-p1'."),
        ("-C 1", "Error: Unknown option '-C'."),
        ("--json", "Error: Unknown option '--json'."),
        ("-h", "Error: -h argument given but no host specified."),
        ("--host", "Error: -h argument given but no host specified."),
        (
            "-m x -m",
            "Error: Only one type of message can be sent at once.",
        ),
        (
            "-i a -I b",
            "Error: -i and -I argument cannot be used together.",
        ),
        ("-p 70000", "Error: Invalid port given: 70000"),
        ("-q 3", "Error: Invalid QoS given: 3"),
        (
            "-k 4",
            "Error: Invalid keepalive given, it must be between 5 and 65535 inclusive.",
        ),
        (
            "-t a+",
            "Error: Invalid publish topic 'a+', does it contain '+' or '#'?",
        ),
        ("-V 4", "Error: Invalid protocol version argument given."),
        ("-x 5x", "Error: session-expiry-interval not a number."),
        ("-x -2", "Error: session-expiry-interval out of range."),
        (
            "-V 5 -x ∞",
            "Error: You must provide a client id if you are using an infinite session expiry interval.",
        ),
        (
            "-c",
            "Error: You must provide a client id if you are using the -c option.",
        ),
        (
            "--will-payload x",
            "Error: Will payload given, but no will topic given.",
        ),
        (
            "-L mqtt://x -m x",
            "Error: Invalid URL for -L argument specified - topic missing.",
        ),
        ("-L foo://x/y", "Error: unsupported URL scheme."),
        (
            "--proxy http://x",
            "Error: Unsupported proxy protocol: http://x",
        ),
        (
            "--proxy socks5h://h:99999",
            "Error: Invalid proxy port 99999",
        ),
        (
            "-D connect receive-maximum 0",
            "Error in CONNECT properties: A network protocol error occurred when communicating with the broker.",
        ),
    ] {
        assert_eq!(complaint(Program::Publish, text), message, "{text}");
    }
}

#[test]
fn wrong_usage_of_the_others_is_named_as_by_mosquitto() {
    assert_eq!(
        complaint(Program::Subscribe, "-v"),
        "Error: You must specify a topic to subscribe to."
    );
    assert_eq!(
        complaint(Program::Subscribe, "-t a -F %y"),
        "Error: Invalid format specifier 'y'."
    );
    assert_eq!(
        complaint(Program::Request, "-l"),
        "Error: Unknown option '-l'."
    );
}

#[test]
fn numbers_are_lenient_only_where_mosquitto_is_called() {
    assert_eq!(
        mosquitto(Program::Publish, "-t t -n -q abc").unwrap().qos,
        QoS::AtMostOnce
    );
    assert_eq!(
        native(Program::Publish, "-t t -n -q abc").unwrap_err(),
        r#"Wrong(Complaint("Error: Invalid QoS given: abc"))"#
    );
}

#[test]
fn defaults_are_those_of_the_name() {
    let versions = |program, text| mosquitto(program, text).unwrap().versions;
    assert_eq!(
        versions(Program::Publish, "-t t -n"),
        Versions::Only(Version::V3_1_1)
    );
    assert_eq!(
        versions(Program::Subscribe, "-t t"),
        Versions::Only(Version::V3_1_1)
    );
    assert_eq!(
        versions(Program::Request, "-t t -e r -n"),
        Versions::Only(Version::V5)
    );
    assert_eq!(
        native(Program::Subscribe, "-t t").unwrap().versions,
        Versions::Any
    );
}

#[test]
fn a_url_is_all_that_is_needed() {
    let read = native(Program::Subscribe, "mqtt://joe:a%20b@example.org/a/b -q 1").unwrap();
    assert_eq!(read.server.host.as_deref(), Some("example.org"));
    assert_eq!(read.server.port, Some(1883));
    assert_eq!(read.user_name.as_deref(), Some("joe"));
    assert_eq!(read.password.as_deref(), Some(&b"a b"[..]));
    assert_eq!(read.topics, ["a/b"]);
    let read = mosquitto(Program::Subscribe, "-L mqtts://joe:a%20b@[::1]:1/a").unwrap();
    assert_eq!(read.server.host.as_deref(), Some("::1"));
    assert_eq!(read.server.port, Some(1));
    assert_eq!(read.password.as_deref(), Some(&b"a%20b"[..]));
    assert!(read.has(Setting::OsCertificates));
}

#[test]
fn our_own_options_are_properties_and_filters() {
    let read = native(
        Program::Publish,
        "-t t -n --user-property a=b=c --content-type text/plain --expiry 5 --response-topic r",
    )
    .unwrap();
    let properties = &read.properties.publish;
    assert_eq!(
        properties.user_properties().next().unwrap().value.as_str(),
        "b=c"
    );
    assert_eq!(properties.content_type().unwrap().as_str(), "text/plain");
    assert_eq!(properties.message_expiry_interval(), Some(5));
    assert_eq!(properties.response_topic().unwrap().as_str(), "r");
    assert_eq!(read.versions, Versions::Any);
    let read = native(Program::Subscribe, "-t a/# -t b --share group").unwrap();
    assert_eq!(read.topics, ["$share/group/a/#", "$share/group/b"]);
    assert!(
        native(Program::Subscribe, "-t a --share g/h")
            .unwrap_err()
            .contains("Invalid group 'g/h'")
    );
}

#[test]
fn a_file_has_an_option_on_each_line() {
    let mut configuration = Configuration::new(Program::Subscribe, Dialect::Mosquitto);
    let file = b"# comment\n-h host\r\n\n--will-topic w\n--will-payload with a space\n-v\n-D connect user-property a b\n-i id";
    read_lines(&mut configuration, file).unwrap();
    read_words(&mut configuration, &words("-t t -h other")).unwrap();
    let read = configuration.finish().unwrap();
    assert_eq!(read.server.host.as_deref(), Some("other"));
    assert_eq!(read.will.payload.as_deref(), Some(&b"with a space"[..]));
    assert!(read.has(Setting::Verbose));
    assert_eq!(read.client_id, Some(ClientId::Whole("id".to_owned())));
    assert_eq!(read.properties.connect.user_properties().count(), 1);
}

#[test]
fn a_session_that_never_ends_has_that_property() {
    let read = mosquitto(Program::Subscribe, "-t t -c -i me -V 5").unwrap();
    assert_eq!(
        read.properties.connect.session_expiry_interval(),
        Some(u32::MAX)
    );
    let read = mosquitto(Program::Subscribe, "-t t -x 30 -V 5").unwrap();
    assert_eq!(read.properties.connect.session_expiry_interval(), Some(30));
}

#[test]
fn what_is_refused_is_refused_with_the_reason() {
    assert!(complaint(Program::Publish, "-t t -n --psk 1234").contains("rustls"));
    assert!(complaint(Program::Publish, "-t t -n -S").contains("SRV"));
}
