//! The fields of a packet, read by rules of their own, so that no mistake of a codec is looked over.

use crate::notation::{read_variable_byte_integer, variable_byte_integer};

/// What is left of a packet.
pub struct Fields<'a> {
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    /// All of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(length)
            .ok_or("an end too early")?;
        self.bytes = rest;
        Ok(taken)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    /// A byte.
    ///
    /// # Errors
    /// What is wrong, as a noun.
    pub fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    /// A two byte integer.
    ///
    /// # Errors
    /// What is wrong, as a noun.
    pub fn two_bytes(&mut self) -> Result<u16, String> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A packet identifier.
    ///
    /// # Errors
    /// What is wrong, as a noun.
    pub fn packet_id(&mut self) -> Result<u16, String> {
        match self.two_bytes()? {
            0 => Err("the packet identifier 0".to_owned()),
            id => Ok(id),
        }
    }

    /// A variable byte integer, in the fewest bytes.
    ///
    /// # Errors
    /// What is wrong, as a noun.
    pub fn variable_byte_integer(&mut self) -> Result<usize, String> {
        let (value, length) =
            read_variable_byte_integer(self.bytes).ok_or("a bad variable byte integer")?;
        let mut shortest = Vec::new();
        variable_byte_integer(value, &mut shortest);
        if self.take(length)? != shortest {
            return Err("a variable byte integer longer than need be".to_owned());
        }
        Ok(value)
    }

    /// Binary data.
    ///
    /// # Errors
    /// What is wrong, as a noun.
    pub fn binary(&mut self) -> Result<&'a [u8], String> {
        let length = self.two_bytes()?;
        self.take(length.into())
    }

    /// A UTF-8 encoded string.
    ///
    /// # Errors
    /// What is wrong, as a noun.
    pub fn string(&mut self) -> Result<String, String> {
        let text = std::str::from_utf8(self.binary()?).map_err(|_| "a string that is not UTF-8")?;
        if text.contains('\0') {
            return Err("a string with U+0000".to_owned());
        }
        Ok(text.to_owned())
    }

    /// A section of properties. Those that may be there several times are; which packets may have which
    /// is not looked at.
    ///
    /// # Errors
    /// What is wrong, as a noun.
    pub fn properties(&mut self) -> Result<Vec<Property>, String> {
        let length = self.variable_byte_integer()?;
        let mut section = Fields::new(self.take(length)?);
        let mut properties: Vec<Property> = Vec::new();
        while !section.is_empty() {
            let identifier = section.byte()?;
            let form = Form::of(identifier)
                .ok_or_else(|| format!("an unknown property {identifier:02x}"))?;
            let mut same = properties
                .iter()
                .filter(|other| other.identifier == identifier);
            let repeats = identifier == 0x26 || identifier == 0x0B;
            if !repeats && same.next().is_some() {
                return Err(format!("a property {identifier:02x} twice"));
            }
            let value = section.value(form)?;
            properties.push(Property { identifier, value });
        }
        Ok(properties)
    }

    fn value(&mut self, form: Form) -> Result<Vec<u8>, String> {
        Ok(match form {
            Form::Number(length) => self.take(length)?.to_vec(),
            Form::VariableByteIntegerAboveZero => match self.variable_byte_integer()? {
                0 => return Err("the subscription identifier 0".to_owned()),
                value => (value as u32).to_be_bytes().to_vec(),
            },
            Form::Binary => self.binary()?.to_vec(),
            Form::Text => self.string()?.into_bytes(),
            Form::TextPair => {
                let start = self.bytes;
                self.string()?;
                self.string()?;
                start[..start.len() - self.bytes.len()].to_vec()
            }
        })
    }
}

/// A property: its identifier, and its value as bytes without a length. A string pair keeps its lengths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// Such as 0x26, a user property.
    pub identifier: u8,
    /// Its bytes.
    pub value: Vec<u8>,
}

impl Property {
    /// The value of a property that is a number.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.value
            .iter()
            .fold(0, |number, byte| number << 8 | u32::from(*byte))
    }
}

#[derive(Clone, Copy)]
enum Form {
    Number(usize),
    VariableByteIntegerAboveZero,
    Binary,
    Text,
    TextPair,
}

impl Form {
    const fn of(identifier: u8) -> Option<Self> {
        Some(match identifier {
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2A => Self::Number(1),
            0x13 | 0x21 | 0x22 | 0x23 => Self::Number(2),
            0x02 | 0x11 | 0x18 | 0x27 => Self::Number(4),
            0x0B => Self::VariableByteIntegerAboveZero,
            0x09 | 0x16 => Self::Binary,
            0x03 | 0x08 | 0x12 | 0x15 | 0x1A | 0x1C | 0x1F => Self::Text,
            0x26 => Self::TextPair,
            _ => return None,
        })
    }
}

/// Bytes to show to people: the first 64, in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(64)];
    let mut text: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
    if shown.len() < bytes.len() {
        text += &format!("... ({} bytes)", bytes.len());
    }
    text
}

/// The length of the packet at the start of `bytes`, if all of it is there.
#[must_use]
pub fn whole_packet(bytes: &[u8]) -> Option<usize> {
    let (length, head) = read_variable_byte_integer(bytes.get(1..)?)?;
    let whole = 1 + head + length;
    (bytes.len() >= whole).then_some(whole)
}
