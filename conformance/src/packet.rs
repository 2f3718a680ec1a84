//! What a broker sends: read here, by rules of its own, so that no mistake of a codec is looked over.
//!
//! Every packet that any test receives is checked: its flags, its length, its reason codes, its
//! properties. So a broker that sends malformed packets fails whatever the test is about.

use std::fmt;

use crate::Version;
use crate::fields::{Fields, Property, hex};
use crate::notation::{Notation, read_variable_byte_integer};

/// A packet that a broker has sent. Fields that its type does not have are empty.
pub(crate) struct Packet {
    pub(crate) kind: Kind,
    /// All its bytes.
    pub(crate) bytes: Vec<u8>,
    pub(crate) session_present: bool,
    pub(crate) topic: String,
    packet_id: Option<u16>,
    /// One for all that have a reason code, 0 where it was left out. In 3.x, the return codes.
    pub(crate) reasons: Vec<u8>,
    pub(crate) properties: Vec<Property>,
    pub(crate) payload: Vec<u8>,
    version: Version,
}

/// The types of packets that a server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are MQTT's names")]
pub(crate) enum Kind {
    ConnAck,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    SubAck,
    UnsubAck,
    PingResp,
    Disconnect,
    Auth,
}

impl Packet {
    /// Reads a whole packet.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub(crate) fn read(bytes: &[u8], version: Version) -> Result<Self, String> {
        let first = *bytes.first().ok_or("no byte at all")?;
        let (_, head) = read_variable_byte_integer(&bytes[1..]).ok_or("a bad remaining length")?;
        let kind = Kind::of(first, version)?;
        let mut packet = Self {
            kind,
            bytes: bytes.to_vec(),
            session_present: false,
            topic: String::new(),
            packet_id: None,
            reasons: Vec::new(),
            properties: Vec::new(),
            payload: Vec::new(),
            version,
        };
        let body = &bytes[1 + head..];
        packet
            .fill(Fields::new(body))
            .map_err(|error| format!("{error} in {kind:?} {}", hex(bytes)))?;
        Ok(packet)
    }

    /// Whether the bytes are as described.
    #[track_caller]
    pub(crate) fn is(&self, notation: &str, name: &str) -> bool {
        Notation::read(notation, self.version, name).matches(&self.bytes)
    }

    /// # Panics
    /// If the type of packet has none.
    #[track_caller]
    pub(crate) fn id(&self) -> u16 {
        self.packet_id.expect("a packet with a packet identifier")
    }

    /// The first reason code.
    ///
    /// # Panics
    /// If the type of packet has none.
    #[track_caller]
    pub(crate) fn reason(&self) -> u8 {
        *self.reasons.first().expect("a packet with a reason code")
    }

    pub(crate) const fn version(&self) -> Version {
        self.version
    }

    pub(crate) fn qos(&self) -> u8 {
        self.bytes[0] >> 1 & 3
    }

    pub(crate) fn dup(&self) -> bool {
        self.bytes[0] & 8 != 0
    }

    pub(crate) fn retain(&self) -> bool {
        self.bytes[0] & 1 != 0
    }

    /// The first property with this identifier.
    pub(crate) fn property(&self, identifier: u8) -> Option<&Property> {
        self.all(identifier).next()
    }

    /// The number in the first property with this identifier.
    pub(crate) fn number(&self, identifier: u8) -> Option<u32> {
        self.property(identifier).map(Property::number)
    }

    /// All properties with this identifier, in their order.
    pub(crate) fn all(&self, identifier: u8) -> impl Iterator<Item = &Property> {
        self.properties
            .iter()
            .filter(move |property| property.identifier == identifier)
    }

    fn fill(&mut self, mut fields: Fields<'_>) -> Result<(), String> {
        let v5 = self.version == Version::V5;
        match self.kind {
            Kind::ConnAck => {
                let flags = fields.byte()?;
                if flags > 1 {
                    return Err("reserved flags".to_owned());
                }
                self.session_present = flags == 1;
                self.reasons.push(fields.byte()?);
                self.properties(&mut fields)?;
                if self.session_present && self.reasons != [0] {
                    return Err("session present, though refused,".to_owned());
                }
            }
            Kind::Publish => {
                if self.qos() == 3 || (self.qos() == 0 && self.dup()) {
                    return Err("bad flags".to_owned());
                }
                self.topic = fields.string()?;
                if self.qos() > 0 {
                    self.packet_id = Some(fields.packet_id()?);
                }
                self.properties(&mut fields)?;
                self.topic_is_there()?;
                self.payload = fields.rest().to_vec();
            }
            Kind::PubAck | Kind::PubRec | Kind::PubRel | Kind::PubComp => {
                self.packet_id = Some(fields.packet_id()?);
                self.reason_and_properties(&mut fields)?;
            }
            Kind::SubAck | Kind::UnsubAck => {
                self.packet_id = Some(fields.packet_id()?);
                self.properties(&mut fields)?;
                self.reasons = fields.rest().to_vec();
                if self.reasons.is_empty() != (self.kind == Kind::UnsubAck && !v5) {
                    return Err("a wrong number of reason codes".to_owned());
                }
            }
            Kind::Disconnect | Kind::Auth => self.reason_and_properties(&mut fields)?,
            Kind::PingResp => {}
        }
        if !fields.is_empty() {
            return Err("bytes after the end".to_owned());
        }
        let reasons = self.kind.reasons(self.version);
        match self.reasons.iter().find(|code| !reasons.contains(code)) {
            Some(code) => Err(format!("the reason code {code:02x}")),
            None => Ok(()),
        }
    }

    fn topic_is_there(&self) -> Result<(), String> {
        if self.topic.contains(['+', '#']) {
            return Err("a wildcard in the topic name".to_owned());
        }
        if self.topic.is_empty() && self.property(0x23).is_none() {
            return Err("no topic name".to_owned());
        }
        Ok(())
    }

    /// In 5.0, both may be left out; in 3.x there is neither.
    fn reason_and_properties(&mut self, fields: &mut Fields<'_>) -> Result<(), String> {
        let given = self.version == Version::V5 && !fields.is_empty();
        self.reasons.push(if given { fields.byte()? } else { 0 });
        if !fields.is_empty() {
            self.properties(fields)?;
        }
        Ok(())
    }

    fn properties(&mut self, fields: &mut Fields<'_>) -> Result<(), String> {
        if self.version != Version::V5 {
            return Ok(());
        }
        self.properties = fields.properties()?;
        for Property { identifier, .. } in &self.properties {
            if !property_kinds(*identifier).contains(&self.kind) {
                return Err(format!("a property {identifier:02x} of other packets"));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.kind, hex(&self.bytes))
    }
}

impl Kind {
    fn of(first: u8, version: Version) -> Result<Self, String> {
        let (kind, flags) = match first >> 4 {
            2 => (Self::ConnAck, 0),
            3 => return Ok(Self::Publish),
            4 => (Self::PubAck, 0),
            5 => (Self::PubRec, 0),
            6 => (Self::PubRel, 2),
            7 => (Self::PubComp, 0),
            9 => (Self::SubAck, 0),
            11 => (Self::UnsubAck, 0),
            13 => (Self::PingResp, 0),
            14 if version == Version::V5 => (Self::Disconnect, 0),
            15 if version == Version::V5 => (Self::Auth, 0),
            _ => return Err(format!("no packet of a server begins with {first:02x}")),
        };
        // 3.1 has other flags in the header of a PUBREL that is sent again.
        if first & 15 != flags && !(version == Version::V3_1 && kind == Self::PubRel) {
            return Err(format!("{kind:?} with the flags {:x}", first & 15));
        }
        Ok(kind)
    }

    /// The reason codes that a server may send in it.
    const fn reasons(self, version: Version) -> &'static [u8] {
        match (version, self) {
            (Version::V3_1 | Version::V3_1_1, Self::ConnAck) => &[0, 1, 2, 3, 4, 5],
            (Version::V3_1, Self::SubAck) => &[0, 1, 2],
            (Version::V3_1_1, Self::SubAck) => &[0, 1, 2, 0x80],
            (Version::V3_1 | Version::V3_1_1, _) => &[0],
            (Version::V5, Self::ConnAck) => &[
                0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90,
                0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
            ],
            (Version::V5, Self::PubAck | Self::PubRec) => {
                &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]
            }
            (Version::V5, Self::PubRel | Self::PubComp) => &[0x00, 0x92],
            (Version::V5, Self::SubAck) => &[
                0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2,
            ],
            (Version::V5, Self::UnsubAck) => &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91],
            // Without those that only a client may send.
            (Version::V5, Self::Disconnect) => &[
                0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94,
                0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
            ],
            (Version::V5, Self::Auth) => &[0x00, 0x18],
            (Version::V5, Self::Publish | Self::PingResp) => &[],
        }
    }
}

/// Which packets of a server may have a property.
const fn property_kinds(identifier: u8) -> &'static [Kind] {
    use Kind::{
        Auth, ConnAck, Disconnect, PubAck, PubComp, PubRec, PubRel, Publish, SubAck, UnsubAck,
    };
    match identifier {
        0x01 | 0x02 | 0x03 | 0x08 | 0x09 | 0x0B | 0x23 => &[Publish],
        0x11 | 0x12 | 0x13 | 0x1A | 0x21 | 0x22 | 0x24 | 0x25 | 0x27 | 0x28 | 0x29 | 0x2A => {
            &[ConnAck]
        }
        0x15 | 0x16 => &[ConnAck, Auth],
        0x1C => &[ConnAck, Disconnect],
        0x1F => &[
            ConnAck, PubAck, PubRec, PubRel, PubComp, SubAck, UnsubAck, Disconnect, Auth,
        ],
        0x26 => &[
            ConnAck, Publish, PubAck, PubRec, PubRel, PubComp, SubAck, UnsubAck, Disconnect, Auth,
        ],
        _ => &[],
    }
}
