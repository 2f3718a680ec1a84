//! What a client sends: read here, by rules of its own, so that no mistake of a codec is looked over.
//!
//! Every packet that any test receives is checked: its flags, its length, its reason codes, its
//! properties.

use std::fmt;

use mqtt_conformance::Version;
pub(crate) use mqtt_conformance::fields::whole_packet;
use mqtt_conformance::fields::{Fields, Property, hex};
use mqtt_conformance::notation::{read_variable_byte_integer, variable_byte_integer};

/// A packet that a client has sent. Fields that its type does not have are empty.
pub(crate) struct Packet {
    pub(crate) kind: Kind,
    /// All its bytes.
    pub(crate) bytes: Vec<u8>,
    pub(crate) topic: String,
    packet_id: Option<u16>,
    /// 0 where it was left out.
    pub(crate) reason: u8,
    pub(crate) properties: Vec<Property>,
    pub(crate) payload: Vec<u8>,
    /// The topic filters of a SUBSCRIBE or UNSUBSCRIBE.
    pub(crate) filters: Vec<String>,
    /// Of a CONNECT.
    pub(crate) client_id: String,
    version: Version,
}

/// The types of packets that a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are MQTT's names")]
pub(crate) enum Kind {
    Connect,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    Unsubscribe,
    PingReq,
    Disconnect,
    Auth,
}

impl Packet {
    /// Reads a whole packet.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub(crate) fn read(bytes: &[u8], version: Version) -> Result<Self, String> {
        let (length, head) =
            read_variable_byte_integer(&bytes[1..]).ok_or("a bad remaining length")?;
        let mut shortest = Vec::new();
        variable_byte_integer(length, &mut shortest);
        if shortest.len() != head {
            return Err("a remaining length longer than need be".to_owned());
        }
        let kind = Kind::of(bytes[0], version)?;
        let mut packet = Self {
            kind,
            bytes: bytes.to_vec(),
            topic: String::new(),
            packet_id: None,
            reason: 0,
            properties: Vec::new(),
            payload: Vec::new(),
            filters: Vec::new(),
            client_id: String::new(),
            version,
        };
        packet
            .fill(Fields::new(&bytes[1 + head..]))
            .map_err(|error| format!("{error} in {kind:?} {}", hex(bytes)))?;
        Ok(packet)
    }

    /// # Panics
    /// If the type of packet has none.
    #[track_caller]
    pub(crate) fn id(&self) -> u16 {
        self.packet_id.expect("a packet with a packet identifier")
    }

    pub(crate) fn qos(&self) -> u8 {
        self.bytes[0] >> 1 & 3
    }

    pub(crate) fn dup(&self) -> bool {
        self.bytes[0] & 8 != 0
    }

    /// The first property with this identifier.
    pub(crate) fn property(&self, identifier: u8) -> Option<&Property> {
        self.properties
            .iter()
            .find(|property| property.identifier == identifier)
    }

    /// The number in the first property with this identifier.
    pub(crate) fn number(&self, identifier: u8) -> Option<u32> {
        self.property(identifier).map(Property::number)
    }

    fn fill(&mut self, mut fields: Fields<'_>) -> Result<(), String> {
        match self.kind {
            Kind::Connect => self.connect(&mut fields)?,
            Kind::Publish => {
                if self.qos() == 3 || (self.qos() == 0 && self.dup()) {
                    return Err("bad flags".to_owned());
                }
                self.topic = fields.string()?;
                if self.qos() > 0 {
                    self.packet_id = Some(fields.packet_id()?);
                }
                self.properties = self.section(&mut fields, self.kind.properties())?;
                if self.topic.contains(['+', '#']) {
                    return Err("a wildcard in the topic name".to_owned());
                }
                if self.topic.is_empty() && self.property(0x23).is_none() {
                    return Err("no topic name".to_owned());
                }
                self.payload = fields.rest().to_vec();
            }
            Kind::PubAck | Kind::PubRec | Kind::PubRel | Kind::PubComp => {
                self.packet_id = Some(fields.packet_id()?);
                self.reason_and_properties(&mut fields)?;
            }
            Kind::Subscribe | Kind::Unsubscribe => self.subscriptions(&mut fields)?,
            Kind::Disconnect | Kind::Auth => self.reason_and_properties(&mut fields)?,
            Kind::PingReq => {}
        }
        if !fields.is_empty() {
            return Err("bytes after the end".to_owned());
        }
        Ok(())
    }

    fn connect(&mut self, fields: &mut Fields<'_>) -> Result<(), String> {
        let (name, level) = (fields.string()?, fields.byte()?);
        let right = match self.version {
            Version::V3_1 => ("MQIsdp", 3),
            Version::V3_1_1 => ("MQTT", 4),
            Version::V5 => ("MQTT", 5),
        };
        if (name.as_str(), level) != right {
            return Err(format!("the protocol {name} {level}"));
        }
        let flags = fields.byte()?;
        let (has_will, has_user_name, has_password) =
            (flags & 4 != 0, flags & 0x80 != 0, flags & 0x40 != 0);
        let will_qos = flags >> 3 & 3;
        if flags & 1 != 0 || will_qos == 3 || (!has_will && flags & 0x38 != 0) {
            return Err(format!("the connect flags {flags:02x}"));
        }
        if has_password && !has_user_name && self.version != Version::V5 {
            return Err("a password without a user name".to_owned());
        }
        fields.two_bytes()?;
        self.properties = self.section(fields, self.kind.properties())?;
        self.client_id = fields.string()?;
        if has_will {
            self.section(fields, &[0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26])?;
            self.topic = fields.string()?;
            self.payload = fields.binary()?.to_vec();
        }
        if has_user_name {
            fields.string()?;
        }
        if has_password {
            fields.binary()?;
        }
        Ok(())
    }

    fn subscriptions(&mut self, fields: &mut Fields<'_>) -> Result<(), String> {
        self.packet_id = Some(fields.packet_id()?);
        self.properties = self.section(fields, self.kind.properties())?;
        while !fields.is_empty() {
            let filter = fields.string()?;
            if self.kind == Kind::Subscribe {
                let options = fields.byte()?;
                let reserved = if self.version == Version::V5 {
                    0xC0
                } else {
                    0xFC
                };
                if options & reserved != 0 || options & 3 == 3 || options & 0x30 == 0x30 {
                    return Err(format!("the subscription options {options:02x}"));
                }
                if options & 4 != 0 && filter.starts_with("$share/") {
                    return Err("No Local on a shared subscription".to_owned());
                }
            }
            self.filters.push(filter);
        }
        if self.filters.is_empty() {
            return Err("no topic filter".to_owned());
        }
        Ok(())
    }

    /// In 5.0, both may be left out; in 3.x there is neither.
    fn reason_and_properties(&mut self, fields: &mut Fields<'_>) -> Result<(), String> {
        if self.version == Version::V5 && !fields.is_empty() {
            self.reason = fields.byte()?;
        }
        if !self.kind.reasons().contains(&self.reason) {
            return Err(format!("the reason code {:02x}", self.reason));
        }
        if !fields.is_empty() {
            self.properties = self.section(fields, self.kind.properties())?;
        }
        if self.kind == Kind::Auth && self.property(0x15).is_none() {
            return Err("no authentication method".to_owned());
        }
        Ok(())
    }

    /// A section of properties, of which these may be there.
    fn section(&self, fields: &mut Fields<'_>, may: &[u8]) -> Result<Vec<Property>, String> {
        if self.version != Version::V5 {
            return Ok(Vec::new());
        }
        let properties = fields.properties()?;
        let other = properties
            .iter()
            .find(|property| !may.contains(&property.identifier));
        if let Some(Property { identifier, .. }) = other {
            return Err(format!("a property {identifier:02x} of other packets"));
        }
        let is_identifier = |property: &&Property| property.identifier == 0x0B;
        if properties.iter().filter(is_identifier).count() > 1 {
            return Err("two subscription identifiers".to_owned());
        }
        if properties
            .iter()
            .any(|one| one.identifier == 0x23 && one.number() == 0)
        {
            return Err("the topic alias 0".to_owned());
        }
        Ok(properties)
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
            1 => (Self::Connect, 0),
            3 => return Ok(Self::Publish),
            4 => (Self::PubAck, 0),
            5 => (Self::PubRec, 0),
            6 => (Self::PubRel, 2),
            7 => (Self::PubComp, 0),
            8 => (Self::Subscribe, 2),
            10 => (Self::Unsubscribe, 2),
            12 => (Self::PingReq, 0),
            14 => (Self::Disconnect, 0),
            15 if version == Version::V5 => (Self::Auth, 0),
            _ => return Err(format!("no packet of a client begins with {first:02x}")),
        };
        if first & 15 != flags {
            return Err(format!("{kind:?} with the flags {:x}", first & 15));
        }
        Ok(kind)
    }

    /// The reason codes that a client may send in it.
    const fn reasons(self) -> &'static [u8] {
        match self {
            Self::PubAck | Self::PubRec => &[0x00, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
            Self::PubRel | Self::PubComp => &[0x00, 0x92],
            Self::Disconnect => &[
                0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
            ],
            Self::Auth => &[0x18, 0x19],
            Self::Connect | Self::Publish | Self::Subscribe | Self::Unsubscribe | Self::PingReq => {
                &[]
            }
        }
    }

    /// The properties that a client may send in it.
    const fn properties(self) -> &'static [u8] {
        match self {
            Self::Connect => &[0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27],
            Self::Publish => &[0x01, 0x02, 0x03, 0x08, 0x09, 0x23, 0x26],
            Self::PubAck | Self::PubRec | Self::PubRel | Self::PubComp => &[0x1F, 0x26],
            Self::Subscribe => &[0x0B, 0x26],
            Self::Unsubscribe => &[0x26],
            Self::Disconnect => &[0x11, 0x1F, 0x26],
            Self::Auth => &[0x15, 0x16, 0x1F, 0x26],
            Self::PingReq => &[],
        }
    }
}
