//! Files that are damaged, cut off, or none.

use super::*;

#[tokio::test(flavor = "current_thread")]
async fn a_file_that_was_cut_off_is_noticed() {
    let whole = EVERYTHING.trim_end();
    for len in 0..whole.len() {
        let text = &EVERYTHING.as_bytes()[..len];
        let (line, problem) = refusal(text).await;
        // Where only a line feed is missing, it is the next line that is.
        let before = &EVERYTHING.as_bytes()[..=len];
        let lines = before.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(line, lines as u64 + 1, "cut at {len}: {problem}");
    }
    // The last line feed alone is no loss.
    let store = MemoryStore::default();
    import(whole.as_bytes(), &store).await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn no_damage_makes_it_panic() {
    let mut refused = 0;
    for at in 0..EVERYTHING.len() {
        for flip in [0x01, 0x20, 0x80, 0xFF] {
            let mut text = EVERYTHING.as_bytes().to_vec();
            text[at] ^= flip;
            let before = EVERYTHING.as_bytes()[..at].iter();
            let damaged = before.filter(|byte| **byte == b'\n').count() as u64 + 1;
            match import(&text[..], &MemoryStore::default()).await {
                // Another letter in a payload, for example.
                Ok(_) => {}
                // At the end, it may be the counts that show it.
                Err(ImportError::Line { line, problem }) => {
                    assert!(line >= damaged, "{at}: line {line}: {problem}");
                    refused += 1;
                }
                Err(error) => panic!("{at}: {error}"),
            }
        }
    }
    assert!(refused > EVERYTHING.len() * 2, "{refused}");
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_no_such_file_is_refused() {
    let cases = [
        (
            "",
            "the file is empty, expected {\"format\":\"mqtt-store\",\"version\":1}",
        ),
        ("\n", "EOF while parsing a value (column 0), expected {"),
        (
            "persistence\n",
            "expected value (column 1), expected {\"format\"",
        ),
        ("{}", "missing field `format` (column 2), expected {"),
        (
            r#"{"format":"other","version":1}"#,
            r#"format: "other", expected "mqtt-store""#,
        ),
        (r#"{"format":"mqtt-store"}"#, "missing field `version`"),
        (
            r#"{"format":"mqtt-store","version":2,"compressed":true}"#,
            "version: 2, expected 1, the only one known here",
        ),
        (
            r#"{"format":"mqtt-store","version":1,"compressed":true}"#,
            "compressed: unknown field `compressed`, expected `format` or `version`",
        ),
    ];
    for (text, expected) in cases {
        let (line, problem) = refusal(text).await;
        assert_eq!(line, 1, "{text}");
        assert!(problem.contains(expected), "{text}: {problem}");
    }
    // It is not read to its end.
    let (_, problem) = refusal(vec![0; 100_000]).await;
    assert_eq!(
        problem,
        "too long, expected {\"format\":\"mqtt-store\",\"version\":1}"
    );
}

/// Replaces a part of a line that is right, and looks at what is said about it.
#[tokio::test(flavor = "current_thread")]
#[allow(clippy::too_many_lines, reason = "it is a list")]
async fn a_wrong_value_is_explained() {
    let cases = [
        // A key that is wrong, missing, or there twice.
        (
            2,
            "\"identity\"",
            "\"colour\"",
            "session.colour: unknown field `colour`, expected one of `client`, `expiry_interval`",
        ),
        (
            2,
            "\"sent_before\":9223372036854775807,",
            "",
            "session: missing field `sent_before`",
        ),
        (
            2,
            "\"sent_before\":9223372036854775807",
            "\"sent_before\":9223372036854775807,\"sent_before\":3",
            "session: duplicate field `sent_before`",
        ),
        (
            3,
            "\"subscription\"",
            "\"subscriber\"",
            "unknown variant `subscriber`, expected one of `session`",
        ),
        // A value of the wrong kind, or out of its range.
        (
            2,
            "4294967295",
            "4294967296",
            "session.expiry_interval: invalid value: integer `4294967296`, expected u32",
        ),
        (
            2,
            "4294967295",
            "\"never\"",
            "session.expiry_interval: invalid type: string \"never\", expected u32",
        ),
        (
            2,
            ":9223372036854775807,",
            ":-1,",
            "session.sent_before: invalid value: integer `-1`, expected u64",
        ),
        (
            2,
            ":9223372036854775807,",
            ":9223372036854775808,",
            "session.sent_before: 9223372036854775808, expected a number up to 9223372036854775807",
        ),
        (
            2,
            "\"gone\"",
            "\"#\"",
            "session.will.message.topic: a topic name contains a wildcard",
        ),
        (2, "\"a\"", "\"a\\u0000\"", "session.client: "),
        (
            3,
            "\"qos\":2",
            "\"qos\":3",
            "subscription.qos: 3, expected QoS 0, 1 or 2",
        ),
        (3, "t/+", "t+", "expected a topic filter"),
        (
            3,
            "do_not_send",
            "never",
            "subscription.retain_handling: unknown variant `never`, expected one of `send`, `send_if_new`, `do_not_send`",
        ),
        (
            3,
            "268435455",
            "268435456",
            "subscription.identifier: 268435456, expected a number from 1 to 268435455",
        ),
        (
            3,
            "false",
            "0",
            "subscription.no_local: invalid type: integer `0`, expected a boolean",
        ),
        (
            5,
            ":1}",
            ":0}",
            "received.packet_id: 0, expected a number from 1 to 65535",
        ),
        (5, ":1}", ":65536}", "received.packet_id: 65536, expected"),
        (
            7,
            "\"seq\":9223372036854775806",
            "\"seq\":0",
            "delivery.seq: 0, expected a number from 1 to",
        ),
        (
            7,
            "\"qos\":1",
            "\"qos\":0",
            "delivery.qos: 0, expected QoS 1 or 2",
        ),
        (
            7,
            "[1,2]",
            "[1,0]",
            "delivery.subscription_identifiers[1]: 0, expected a number from 1",
        ),
        (
            7,
            "\"payload\":\"hi\\u0000\"",
            "\"payload_base64\":\"aGk\"",
            "delivery.message.payload_base64: ",
        ),
        (
            7,
            "\"payload\":",
            "\"payload_base64\":\"\",\"payload\":",
            "delivery.message: expected either `payload` or `payload_base64`",
        ),
        (
            7,
            ",\"payload\":\"hi\\u0000\"",
            "",
            "delivery.message: expected either `payload` or `payload_base64`",
        ),
        // Properties.
        (
            7,
            "content_type",
            "topic_alias",
            "delivery.message.properties[2]: unknown variant `topic_alias`, expected one of `payload_format_indicator`",
        ),
        (
            7,
            "r/s",
            "r/#",
            "delivery.message.properties[4].response_topic: ",
        ),
        (
            7,
            "[\"a\",\"1\"]",
            "[\"a\"]",
            "delivery.message.properties[1].user_property: invalid length 1",
        ),
        (
            7,
            "{\"correlation_data\":\"7\"}",
            "{\"content_type\":\"7\"}",
            "delivery.message: properties: ",
        ),
        // What is right by itself, and not here.
        (
            4,
            "\"t/#\"",
            "\"$share/g/t/+\"",
            "subscription.filter: \"$share/g/t/+\" again, expected once in a session",
        ),
        (
            5,
            "\"a\"",
            "\"b\"",
            "received.client: \"b\", expected \"a\", whose session the file is at",
        ),
        (
            6,
            "65535",
            "1",
            "received.packet_id: 1, expected more than 1",
        ),
        (
            8,
            "9223372036854775807",
            "2",
            "delivery.seq: 2, expected more than 9223372036854775806",
        ),
        (
            7,
            "9223372036854775806",
            "1",
            "delivery.seq: 1, expected nearer to the session's sent_before, 9223372036854775807",
        ),
        (
            10,
            "\"retained\":1",
            "\"retained\":2",
            "end.retained: expected 2, there are 1",
        ),
        (10, "}}", "}}{}", "trailing characters"),
        (
            10,
            "}}",
            "}}\n{}",
            "line 11: expected nothing behind the `end` record",
        ),
    ];
    for (number, right, wrong, expected) in cases {
        let lines = EVERYTHING.lines().enumerate().map(|(index, line)| {
            if index + 1 != number {
                return format!("{line}\n");
            }
            assert!(line.contains(right), "{number}: {right}");
            format!("{}\n", line.replacen(right, wrong, 1))
        });
        let text: String = lines.collect();
        let (line, problem) = refusal(text).await;
        let found = format!("line {line}: {problem}");
        // What is added behind the end is on a line of its own.
        let named = expected.starts_with("line ") || line == number as u64;
        assert!(named && found.contains(expected), "{wrong}: {found}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_session_comes_before_what_it_has_and_once() {
    let lines: Vec<_> = EVERYTHING.lines().collect();
    let (line, problem) = refusal([lines[0], lines[2]].join("\n")).await;
    assert_eq!(line, 2);
    let expected = "subscription.client: \"a\", expected behind the record of its session";
    assert_eq!(problem, expected);

    let session = r#"{"session":{"client":"a","expiry_interval":1,"sent_before":1}}"#;
    let far = lines[6].replace("9223372036854775806", "1");
    let further = lines[6].replace("9223372036854775806", "10000002");
    let (line, problem) = refusal([lines[0], session, &far, &further].join("\n")).await;
    let expected = "delivery.seq: 10000002, expected 10000001 at most";
    assert_eq!((line, problem.as_str()), (4, expected));

    let other = session.replace("\"a\"", "\"b\"");
    let end =
        r#"{"end":{"sessions":3,"subscriptions":0,"received":0,"deliveries":0,"retained":0}}"#;
    let twice = [lines[0], session, &other, session, end].join("\n");
    let (line, problem) = refusal(twice).await;
    assert_eq!(line, 5);
    let expected = "end.sessions: expected 3, without repetitions there are 2";
    assert_eq!(problem, expected);
}

#[tokio::test(flavor = "current_thread")]
async fn a_long_value_is_not_quoted_whole() {
    let value = "x".repeat(1_000_000);
    let session = format!(r#"{{"session":{{"client":"a","expiry_interval":"{value}"}}}}"#);
    let header = EVERYTHING.lines().next().unwrap();
    let (line, problem) = refusal([header, &session].join("\n")).await;
    assert_eq!(line, 2);
    assert!(problem.len() < 400, "{}", problem.len());
    assert!(
        problem.starts_with("session.expiry_interval: "),
        "{problem}"
    );
    assert!(problem.contains("expected u32"), "{problem}");
}
