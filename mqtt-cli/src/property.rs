//! `-D packet property value`: properties by name, as sections to be sent.
//!
//! A section is encoded while it is read and then decoded by the codec, so that what is sent is what a peer would take.

use mqtt_codec::{DecodeError, Properties, PropertyOwner};

/// How many arguments follow `-D` for the packet, the property, and its values.
pub(crate) fn arguments_wanted(property: Option<&str>) -> usize {
    match property {
        Some(name) if name.eq_ignore_ascii_case("user-property") => 4,
        Some(_) | None => 3,
    }
}

/// Sections in the making, of all packets that take properties from the command line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sections {
    connect: Vec<u8>,
    publish: Vec<u8>,
    subscribe: Vec<u8>,
    unsubscribe: Vec<u8>,
    disconnect: Vec<u8>,
    will: Vec<u8>,
}

/// Sections whose properties are allowed, each once, with values that are allowed.
#[derive(Clone, Debug, Default)]
pub(crate) struct PacketProperties {
    pub(crate) connect: Properties,
    pub(crate) publish: Properties,
    pub(crate) subscribe: Properties,
    pub(crate) disconnect: Properties,
    pub(crate) will: Properties,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    One,
    Two,
    Four,
    Variable,
    Text,
    Binary,
    Pair,
}

/// Every property of MQTT 5.0 by its name, with its identifier.
const NAMES: [(&str, u8, Kind); 27] = [
    ("payload-format-indicator", 0x01, Kind::One),
    ("message-expiry-interval", 0x02, Kind::Four),
    ("content-type", 0x03, Kind::Text),
    ("response-topic", 0x08, Kind::Text),
    ("correlation-data", 0x09, Kind::Binary),
    ("subscription-identifier", 0x0B, Kind::Variable),
    ("session-expiry-interval", 0x11, Kind::Four),
    ("assigned-client-identifier", 0x12, Kind::Text),
    ("server-keep-alive", 0x13, Kind::Two),
    ("authentication-method", 0x15, Kind::Text),
    ("authentication-data", 0x16, Kind::Binary),
    ("request-problem-information", 0x17, Kind::One),
    ("will-delay-interval", 0x18, Kind::Four),
    ("request-response-information", 0x19, Kind::One),
    ("response-information", 0x1A, Kind::Text),
    ("server-reference", 0x1C, Kind::Text),
    ("reason-string", 0x1F, Kind::Text),
    ("receive-maximum", 0x21, Kind::Two),
    ("topic-alias-maximum", 0x22, Kind::Two),
    ("topic-alias", 0x23, Kind::Two),
    ("maximum-qos", 0x24, Kind::One),
    ("retain-available", 0x25, Kind::One),
    ("user-property", 0x26, Kind::Pair),
    ("maximum-packet-size", 0x27, Kind::Four),
    ("wildcard-subscription-available", 0x28, Kind::One),
    ("subscription-identifier-available", 0x29, Kind::One),
    ("shared-subscription-available", 0x2A, Kind::One),
];

const OWNERS: [(&str, PropertyOwner); 14] = [
    ("connect", PropertyOwner::Connect),
    ("connack", PropertyOwner::ConnAck),
    ("publish", PropertyOwner::Publish),
    ("puback", PropertyOwner::PubAck),
    ("pubrec", PropertyOwner::PubRec),
    ("pubrel", PropertyOwner::PubRel),
    ("pubcomp", PropertyOwner::PubComp),
    ("subscribe", PropertyOwner::Subscribe),
    ("suback", PropertyOwner::SubAck),
    ("unsubscribe", PropertyOwner::Unsubscribe),
    ("unsuback", PropertyOwner::UnsubAck),
    ("disconnect", PropertyOwner::Disconnect),
    ("auth", PropertyOwner::Auth),
    ("will", PropertyOwner::Will),
];

const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;

impl Sections {
    /// Adds the property that the arguments after `-D` name. An error is what Mosquitto says of it.
    pub(crate) fn add(&mut self, arguments: &[&[u8]]) -> Result<(), String> {
        let text = |index: usize| {
            arguments
                .get(index)
                .map(|argument| String::from_utf8_lossy(argument))
                .unwrap_or_default()
        };
        let few = || "--property argument given but not enough arguments specified.".to_owned();
        if arguments.len() < 3 {
            return Err(few());
        }
        let (packet, name) = (text(0), text(1));
        let owner = named(&OWNERS.map(|(name, owner)| (name, owner)), &packet)
            .ok_or("Invalid command given in --property argument.")?;
        let (id, kind) = named(&NAMES.map(|(name, id, kind)| (name, (id, kind))), &name)
            .ok_or("Invalid property name given in --property argument.")?;
        let unsupported =
            || format!("{name} property not supported for {packet} in --property argument.");
        if !may_have(owner, id, kind) {
            return Err(format!(
                "{name} property not allowed for {packet} in --property argument."
            ));
        }
        if arguments.len() < arguments_wanted(Some(&name)) {
            return Err(few());
        }
        let section = match owner {
            PropertyOwner::Connect => &mut self.connect,
            PropertyOwner::Publish if id == SUBSCRIPTION_IDENTIFIER => return Err(unsupported()),
            PropertyOwner::Publish => &mut self.publish,
            PropertyOwner::Subscribe => &mut self.subscribe,
            PropertyOwner::Unsubscribe => &mut self.unsubscribe,
            PropertyOwner::Disconnect => &mut self.disconnect,
            PropertyOwner::Will => &mut self.will,
            PropertyOwner::ConnAck
            | PropertyOwner::PubAck
            | PropertyOwner::PubRec
            | PropertyOwner::PubRel
            | PropertyOwner::PubComp
            | PropertyOwner::SubAck
            | PropertyOwner::UnsubAck
            | PropertyOwner::Auth => return Err(unsupported()),
        };
        encode(
            id,
            kind,
            &name,
            arguments.get(2..).unwrap_or_default(),
            section,
        )
    }

    /// Adds a property of a PUBLISH by its name.
    pub(crate) fn publish(&mut self, name: &str, values: &[&[u8]]) -> Result<(), String> {
        let arguments: Vec<&[u8]> = [b"publish", name.as_bytes()]
            .into_iter()
            .chain(values.iter().copied())
            .collect();
        self.add(&arguments)
    }

    /// Checks each section as a whole. An error is what Mosquitto says of it.
    pub(crate) fn check(&self) -> Result<PacketProperties, String> {
        // The library has no properties in its UNSUBSCRIBE: these go no further.
        checked("UNSUBSCRIBE", &self.unsubscribe, PropertyOwner::Unsubscribe)?;
        Ok(PacketProperties {
            connect: checked("CONNECT", &self.connect, PropertyOwner::Connect)?,
            publish: checked("PUBLISH", &self.publish, PropertyOwner::Publish)?,
            subscribe: checked("SUBSCRIBE", &self.subscribe, PropertyOwner::Subscribe)?,
            disconnect: checked("DISCONNECT", &self.disconnect, PropertyOwner::Disconnect)?,
            will: checked("Will", &self.will, PropertyOwner::Will)?,
        })
    }
}

fn named<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    table
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| *value)
}

/// Asks the codec, with a value that is right for every property of the kind.
fn may_have(owner: PropertyOwner, id: u8, kind: Kind) -> bool {
    let value: &[u8] = match kind {
        Kind::One | Kind::Variable => &[1],
        Kind::Two => &[0, 1],
        Kind::Four => &[0, 0, 0, 1],
        Kind::Text | Kind::Binary => &[0, 1, b'a'],
        Kind::Pair => &[0, 1, b'a', 0, 1, b'a'],
    };
    let section = [&[id], value].concat();
    !matches!(
        Properties::decode(&section, owner),
        Err(DecodeError::PropertyNotAllowed)
    )
}

fn encode(
    id: u8,
    kind: Kind,
    name: &str,
    values: &[&[u8]],
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let first = values.first().copied().unwrap_or_default();
    let number = |maximum: u32| {
        let value = integer(first);
        u32::try_from(value)
            .ok()
            .filter(|value| *value <= maximum)
            .ok_or_else(|| format!("Property value ({value}) out of range for property {name}."))
    };
    let too_long = || format!("Property value too long for property {name}.");
    out.push(id);
    match kind {
        Kind::One => out.extend(number(u8::MAX.into())?.to_be_bytes().last()),
        Kind::Two => {
            let [_, _, high, low] = number(u16::MAX.into())?.to_be_bytes();
            out.extend_from_slice(&[high, low]);
        }
        Kind::Four => out.extend_from_slice(&number(u32::MAX)?.to_be_bytes()),
        Kind::Variable => variable(number(268_435_455)?, out),
        Kind::Text | Kind::Binary | Kind::Pair => {
            for value in values.iter().take(if kind == Kind::Pair { 2 } else { 1 }) {
                let length = u16::try_from(value.len()).map_err(|_| too_long())?;
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(value);
            }
        }
    }
    Ok(())
}

fn variable(mut value: u32, out: &mut Vec<u8>) {
    loop {
        let [.., low] = (value & 0x7F).to_be_bytes();
        value >>= 7;
        if value == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

/// A number as C's `atol` reads it: what begins with no digit is zero, and what follows the digits is ignored.
pub(crate) fn integer(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        Some(_) | None => (false, text),
    };
    let value =
        digits
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .fold(0_i64, |value, digit| {
                value
                    .saturating_mul(10)
                    .saturating_add(i64::from(*digit - b'0'))
            });
    if negative { -value } else { value }
}

fn checked(packet: &str, section: &[u8], owner: PropertyOwner) -> Result<Properties, String> {
    let error = |what: &str| format!("Error in {packet} properties: {what}");
    match Properties::decode(section, owner) {
        Ok(properties) => {
            Properties::new(properties.iter()).map_err(|wrong| error(&wrong.to_string()))
        }
        Err(DecodeError::PropertyTwice) => Err(error("Duplicate property in property list")),
        Err(DecodeError::PropertyValue | DecodeError::TopicAliasZero) => Err(error(
            "A network protocol error occurred when communicating with the broker.",
        )),
        Err(wrong) => Err(error(&wrong.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(arguments: &str) -> Result<PacketProperties, String> {
        let mut sections = Sections::default();
        for arguments in arguments.split(" -D ") {
            let arguments: Vec<&[u8]> = arguments.split(' ').map(str::as_bytes).collect();
            sections.add(&arguments)?;
        }
        sections.check()
    }

    #[test]
    fn each_kind_is_encoded() {
        let properties = add(
            "publish payload-format-indicator 1 -D publish MESSAGE-EXPIRY-INTERVAL 50 -D PUBLISH content-type text \
             -D publish correlation-data corr -D publish user-property a b -D publish topic-alias 300 \
             -D subscribe subscription-identifier 70000 -D connect receive-maximum 7 -D will will-delay-interval 3 \
             -D disconnect session-expiry-interval 5",
        )
        .unwrap();
        let publish = &properties.publish;
        assert_eq!(publish.payload_format_indicator(), Some(true));
        assert_eq!(publish.message_expiry_interval(), Some(50));
        assert_eq!(publish.content_type().unwrap().as_str(), "text");
        assert_eq!(publish.correlation_data(), Some(&b"corr"[..]));
        assert_eq!(publish.topic_alias(), Some(300));
        assert_eq!(
            publish.user_properties().next().unwrap().value.as_str(),
            "b"
        );
        assert_eq!(
            properties.subscribe.subscription_identifiers().next(),
            Some(70_000)
        );
        assert_eq!(properties.connect.receive_maximum(), Some(7));
        assert_eq!(properties.will.will_delay_interval(), Some(3));
        assert_eq!(properties.disconnect.session_expiry_interval(), Some(5));
    }

    /// Right: what `mosquitto_pub` 2.0.11 says after `Error: `.
    #[test]
    fn what_is_wrong_is_named_as_by_mosquitto() {
        let few = "--property argument given but not enough arguments specified.";
        let protocol =
            "properties: A network protocol error occurred when communicating with the broker.";
        for (arguments, message) in [
            ("publish content-type", few),
            ("publish user-property a", few),
            (
                "foo content-type x",
                "Invalid command given in --property argument.",
            ),
            (
                "publish foo x",
                "Invalid property name given in --property argument.",
            ),
            (
                "publish will-delay-interval 3",
                "will-delay-interval property not allowed for publish in --property argument.",
            ),
            (
                "publish subscription-identifier 3",
                "subscription-identifier property not supported for publish in --property argument.",
            ),
            (
                "auth user-property a b",
                "user-property property not supported for auth in --property argument.",
            ),
            (
                "puback user-property a b",
                "user-property property not supported for puback in --property argument.",
            ),
            (
                "publish message-expiry-interval 99999999999",
                "Property value (99999999999) out of range for property message-expiry-interval.",
            ),
            (
                "connect receive-maximum -1",
                "Property value (-1) out of range for property receive-maximum.",
            ),
            (
                "connect receive-maximum 0",
                &format!("Error in CONNECT {protocol}"),
            ),
            (
                "publish topic-alias 0",
                &format!("Error in PUBLISH {protocol}"),
            ),
            (
                "publish content-type a -D publish content-type b",
                "Error in PUBLISH properties: Duplicate property in property list",
            ),
        ] {
            assert_eq!(add(arguments).unwrap_err(), message, "{arguments}");
        }
    }

    /// The table agrees with the codec on what there is: each identifier is known, and in some packet.
    #[test]
    fn every_property_is_of_some_packet() {
        for (name, id, kind) in NAMES {
            assert!(
                OWNERS.iter().any(|(_, owner)| may_have(*owner, id, kind)),
                "{name}"
            );
        }
    }

    #[test]
    fn numbers_are_read_as_by_c() {
        for (text, value) in [
            ("12x", 12),
            (" -5", -5),
            ("+7", 7),
            ("abc", 0),
            ("", 0),
            ("99999999999999999999", i64::MAX),
        ] {
            assert_eq!(integer(text.as_bytes()), value, "{text}");
        }
    }
}
