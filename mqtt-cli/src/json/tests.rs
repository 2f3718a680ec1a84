use jiff::Zoned;
use jiff::civil::date;
use jiff::tz::{self, TimeZone};
use mqtt_codec::{Text, TopicName, UserProperty};
use proptest::prelude::*;

use super::*;

fn at_eleven() -> Zoned {
    let zone = TimeZone::fixed(tz::offset(1));
    date(2026, 11, 25)
        .at(15, 21, 41, 63_013_999)
        .to_zoned(zone)
        .unwrap()
}

fn written(payload: &[u8], how: Payload, layout: Layout) -> Option<String> {
    let (time, properties) = (at_eleven(), Properties::default());
    let arrival = Arrival {
        topic: "t/1",
        payload,
        qos: 0,
        retain: false,
        dup: false,
        packet_id: 0,
        properties: &properties,
        time: &time,
    };
    let mut out = Vec::new();
    write_arrival(&arrival, how, layout, &mut out)
        .then(|| String::from_utf8_lossy(&out).into_owned())
}

fn payload_of(payload: &[u8], how: Payload) -> Option<String> {
    let line = written(payload, how, Layout::Compact)?;
    let (_, payload) = line.split_once("\"payload\":")?;
    Some(payload.strip_suffix('}')?.to_owned())
}

#[test]
fn a_line_is_that_of_mosquitto() {
    assert_eq!(
        written(b"hello", Payload::Quoted, Layout::Compact).unwrap(),
        r#"{"tst":"2026-11-25T15:21:41.063013Z+0100","topic":"t/1","qos":0,"retain":0,"payloadlen":5,"payload":"hello"}"#
    );
}

/// Right: what `mosquitto_sub -F %j` and `%J` have printed.
#[test]
fn payloads_are_quoted_and_parsed_as_by_mosquitto() {
    for (payload, expected) in [
        ("", "null"),
        ("a\tb\"c\\d/\x7f é", "\"a\\tb\\\"c\\\\d/\x7f é\""),
        ("a\0b", "\"a\""),
        ("\x01\x08\x0c\r\n", "\"\\u0001\\b\\f\\r\\n\""),
    ] {
        assert_eq!(
            payload_of(payload.as_bytes(), Payload::Quoted).as_deref(),
            Some(expected)
        );
    }
    assert_eq!(
        payload_of(
            br#"{"a":27.0,"b":[1,2.5,1e30,12345678901234567890,0.1,1e-7],"c":{},"d":[],"e":"\u00e9\n\/","f":null,"a":true}"#,
            Payload::Parsed
        )
        .unwrap(),
        "{\"a\":27,\"b\":[1,2.5,1e+30,1.2345678901234567e+19,0.1,1e-07],\"c\":{},\"d\":[],\"e\":\"é\\n/\",\"f\":null,\"a\":true}"
    );
    assert_eq!(payload_of(b" 1 ", Payload::Parsed).as_deref(), Some("1"));
    assert_eq!(payload_of(b"nojson", Payload::Parsed), None);
    assert_eq!(payload_of(b"1 2", Payload::Parsed), None);
    assert_eq!(
        payload_of("[".repeat(100_000).as_bytes(), Payload::Parsed),
        None
    );
}

#[test]
fn pretty_is_indented_as_by_mosquitto() {
    let line = written(
        br#"{"a":27.0,"b":[1,{"q":[]},2.5],"c":{},"d":[],"f":null}"#,
        Payload::Parsed,
        Layout::Pretty,
    )
    .unwrap();
    assert_eq!(
        line,
        "{\n\t\"tst\":\t\"2026-11-25T15:21:41.063013Z+0100\",\n\t\"topic\":\t\"t/1\",\n\t\"qos\":\t0,\n\t\"retain\":\t0,\n\
         \t\"payloadlen\":\t54,\n\t\"payload\":\t{\n\t\t\"a\":\t27,\n\t\t\"b\":\t[1, {\n\t\t\t\t\"q\":\t[]\n\t\t\t}, 2.5],\n\
         \t\t\"c\":\t{\n\t\t},\n\t\t\"d\":\t[],\n\t\t\"f\":\tnull\n\t}\n}"
    );
}

fn everything() -> Properties {
    let text = |text: &'static str| Text::new(text.as_bytes()).unwrap();
    let user = |name, value| {
        Property::UserProperty(UserProperty {
            name: text(name),
            value: text(value),
        })
    };
    Properties::new([
        user("a", "b"),
        Property::ContentType(text("x\"y")),
        user("a", "c"),
        Property::PayloadFormatIndicator(true),
        Property::ResponseTopic(TopicName::new(&b"r"[..]).unwrap()),
        Property::CorrelationData(b"corr"),
        Property::MessageExpiryInterval(50),
    ])
    .unwrap()
}

#[test]
fn properties_stand_where_mosquitto_puts_them() {
    let mut out = Vec::new();
    properties(&everything()).write(Layout::Compact, 1, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"user-properties":{"a":"b","a":"c"},"content-type":"x\"y","payload-format-indicator":1,"response-topic":"r","correlation-data":"corr","message-expiry-interval":50}"#
    );
}

fn line(payload: &[u8], properties: &Properties) -> String {
    let time = at_eleven();
    let arrival = Arrival {
        topic: "t",
        payload,
        qos: 2,
        retain: true,
        dup: true,
        packet_id: 7,
        properties,
        time: &time,
    };
    let mut out = Vec::new();
    write_line(&arrival, Layout::Compact, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_line_of_json_says_which_payload_is_not_text() {
    assert_eq!(
        line(b"\xff", &Properties::default()),
        r#"{"timestamp":"2026-11-25T15:21:41.063013+01:00","topic":"t","payload_base64":"/w==","qos":2,"retain":true,"dup":true}"#
    );
    assert_eq!(
        line(b"x", &everything()),
        r#"{"timestamp":"2026-11-25T15:21:41.063013+01:00","topic":"t","payload":"x","qos":2,"retain":true,"dup":true,"properties":{"payload_format_indicator":1,"message_expiry_interval":50,"content_type":"x\"y","response_topic":"r","correlation_data":"corr","user_properties":[["a","b"],["a","c"]]}}"#
    );
}

proptest! {
    /// Fifteen or seventeen digits read back as the same number, but for what cJSON holds for equal.
    #[test]
    fn numbers_read_back(value in any::<f64>()) {
        prop_assume!(value.is_finite());
        let mut out = Vec::new();
        number(value, &mut out);
        let read: f64 = String::from_utf8(out).unwrap().parse().unwrap();
        prop_assert!((read - value).abs() <= read.abs().max(value.abs()) * f64::EPSILON);
    }
}
