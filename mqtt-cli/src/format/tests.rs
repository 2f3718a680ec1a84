use jiff::civil::date;
use jiff::tz::TimeZone;
use mqtt_codec::{Property, Text, TopicName, UserProperty};

use super::*;

fn time() -> Zoned {
    date(2026, 11, 25)
        .at(15, 21, 44, 300_304_562)
        .to_zoned(TimeZone::UTC)
        .unwrap()
}

fn render(format: &str, payload: &[u8], properties: &Properties) -> String {
    let mut out = Vec::new();
    let time = time();
    let arrival = Arrival {
        topic: "t/1",
        payload,
        qos: 0,
        retain: false,
        dup: false,
        packet_id: 0,
        properties,
        time: &time,
    };
    let format = Format::parse(format.as_bytes()).unwrap();
    format
        .write(&arrival, JsonLayout::Compact, &mut out)
        .unwrap();
    String::from_utf8(out).unwrap()
}

/// All of these were printed by `mosquitto_sub` 2.0.11 for `hello` on `t/1`.
#[test]
fn fields_are_laid_out_as_by_mosquitto() {
    for (format, expected) in [
        ("%-p|", "hello     |"),
        (
            "%10p|%-10p|%010p|%3p|%-3p|%.2p|%10.2p|",
            "     hello|hello     |00000hello|hel|hel|hello|     hello|",
        ),
        (
            "%10x|%-10X|%012x|%3x|%-3x|%4x|",
            "      6865|6865      |000000006865| 68|68 |6865|",
        ),
        (
            "%10t|%-10t|%010t|%.2t|%5.2t|%-5.2t|%.t|",
            "       t/1|t/1       |       t/1|t/|   t/|t/   ||",
        ),
        (
            "%10l|%-10l|%010l|%m|%5m|%q|%r|%-010l",
            "         5|5         |0000000005|0|    0|0|0|5         ",
        ),
        (
            "%5A|%05A|%-5A|%5C|%05C|%5E|%05E|%5F|%5R|%5S|%05S|",
            "     |00000|     |     |     |     |00000|     ||     |00000|",
        ),
        (
            "%I|%U|%30I|%-30I|%.4I",
            "2026-11-25T15:21:44+0000|1795620104.300304562|      2026-11-25T15:21:44+0000|2026-11-25T15:21:44+0000      |2026",
        ),
        (
            "\\\\|\\0|\\a|\\e|\\n|\\r|\\t|\\v|",
            "\\|\0|\x07|\x1b|\n|\r|\t|\x0b|",
        ),
        ("%5%|%05q|%x %X", "%|0|68656c6c6f 68656C6C6F"),
        ("@@ @Y @N %%", "@ 2026 300304562 %"),
    ] {
        assert_eq!(
            render(format, b"hello", &Properties::default()),
            expected,
            "{format}"
        );
    }
}

#[test]
fn properties_are_printed_as_by_mosquitto() {
    let text = |text: &'static str| Text::new(text.as_bytes()).unwrap();
    let user = |name, value| {
        Property::UserProperty(UserProperty {
            name: text(name),
            value: text(value),
        })
    };
    let properties = Properties::new([
        user("a", "b"),
        user("a", "c"),
        Property::ContentType(text("x\"y")),
        Property::PayloadFormatIndicator(true),
        Property::ResponseTopic(TopicName::new(&b"r"[..]).unwrap()),
        Property::CorrelationData(b"corr"),
        Property::MessageExpiryInterval(50),
    ])
    .unwrap();
    assert_eq!(
        render("%A|%C|%D|%E|%F|%P|%R|%S", b"", &properties),
        "|x\"y|corr|50|1|a:b a:c|r|"
    );
    assert_eq!(
        render("%05E|%-5F|%5C|%.1C|%4R", b"", &properties),
        "00050|1    |  x\"y|x|   r"
    );
}

#[test]
fn wrong_formats_are_named_as_by_mosquitto() {
    for (format, message) in [
        ("%", "Incomplete format specifier."),
        ("%0", "Incomplete format specifier."),
        ("%10", "Incomplete format specifier."),
        ("%.", "Incomplete format specifier."),
        ("%.3", "Incomplete format specifier."),
        ("x@", "Incomplete format specifier."),
        ("%y", "Invalid format specifier 'y'."),
        ("%0-5l", "Invalid format specifier '-'."),
        ("\\", "Incomplete escape specifier."),
        ("\\q", "Invalid escape specifier 'q'."),
    ] {
        assert_eq!(
            Format::parse(format.as_bytes()).unwrap_err().to_string(),
            message,
            "{format}"
        );
    }
}

#[test]
fn a_width_cannot_ask_for_all_memory() {
    assert_eq!(
        render("%99999999999999999999t", b"", &Properties::default()).len(),
        WIDTH_MAX
    );
}

#[test]
fn a_payload_that_is_not_json_leaves_the_rest_of_the_line() {
    let (time, properties) = (time(), Properties::default());
    let arrival = Arrival {
        topic: "t",
        payload: b"no",
        qos: 0,
        retain: false,
        dup: false,
        packet_id: 0,
        properties: &properties,
        time: &time,
    };
    let mut out = Vec::new();
    let result = Format::parse(b"<%J>")
        .unwrap()
        .write(&arrival, JsonLayout::Compact, &mut out);
    assert_eq!((result, out.as_slice()), (Err(PayloadNotJson), &b"<>"[..]));
}
