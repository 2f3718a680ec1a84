//! Properties of MQTT 5.0: one table says which there are, of what type, and in which packets.
//!
//! A property section is scanned once, when it is decoded, and then stays the bytes it is: looking
//! one up walks over them, forwarding them is a copy.

mod kind;

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::primitive::{Parsed, fail, failure, put_variable, variable, variable_len, whole};
use crate::{DecodeError, EncodeError, QoS, Text, TopicName, Version};

/// What a property section belongs to: a packet, or the will in a CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the packet of its name")]
pub enum PropertyOwner {
    Connect,
    Will,
    ConnAck,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    SubAck,
    Unsubscribe,
    UnsubAck,
    Disconnect,
    Auth,
}

impl PropertyOwner {
    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// A name and a value that MQTT carries and does not interpret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserProperty<'a> {
    /// The name; the same one may come again.
    pub name: Text<&'a [u8]>,
    /// The value.
    pub value: Text<&'a [u8]>,
}

macro_rules! value {
    (flag) => { bool };
    (two) => { u16 };
    (two_not_zero) => { u16 };
    (alias) => { u16 };
    (four) => { u32 };
    (four_not_zero) => { u32 };
    (variable_not_zero) => { u32 };
    (qos) => { QoS };
    (text) => { Text<&'a [u8]> };
    (topic) => { TopicName<&'a [u8]> };
    (binary) => { &'a [u8] };
    (pair) => { UserProperty<'a> };
}

macro_rules! properties {
    ($( $name:ident = $id:literal, $kind:ident, $accessor:ident, [$($owner:ident)+], $doc:literal; )+) => {
        /// One property.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Property<'a> {
            $( #[doc = $doc] $name(value!($kind)), )+
        }

        /// The properties by their identifiers' order in the table, for the bits of [`Present`].
        #[derive(Clone, Copy)]
        enum Index { $( $name, )+ }

        /// Identifier, bit in [`Present`], and the owners that may have it, of an identifier byte.
        const fn row(id: u8) -> Option<(Index, u16)> {
            match id {
                $( $id => Some((Index::$name, 0 $( | PropertyOwner::$owner.bit() )+)), )+
                _ => None,
            }
        }

        impl<'a> Property<'a> {
            // Inlined, the value is not built where only its length is of use: 4 ns a property.
            #[inline(always)]
            fn parse(index: Index, input: &'a [u8]) -> Parsed<'a, Self> {
                match index {
                    $( Index::$name => kind::$kind(input).map(|(rest, value)| (rest, Self::$name(value))), )+
                }
            }

            const fn index(&self) -> Index {
                match self { $( Self::$name(_) => Index::$name, )+ }
            }

            // [MQTT-2.2.2-1]
            fn put(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                match self { $( Self::$name(value) => { out.push($id); kind::put::$kind(*value, out) } )+ }
            }
        }

        impl<B: AsRef<[u8]>> Properties<B> {
            $( accessor! { $kind, $name, $accessor, $doc } )+
        }
    };
}

/// Accessors of the properties that are there once at the most; the others have iterators.
macro_rules! accessor {
    (pair, $name:ident, $accessor:ident, $doc:literal) => {
        #[doc = concat!($doc, " In the order in which they came.")]
        pub fn $accessor(&self) -> impl Iterator<Item = UserProperty<'_>> {
            self.all(Index::$name)
                .filter_map(|property| match property {
                    Property::$name(value) => Some(value),
                    #[allow(
                        clippy::wildcard_enum_match_arm,
                        reason = "all others are not asked for"
                    )]
                    _ => None,
                })
        }
    };
    (variable_not_zero, $name:ident, $accessor:ident, $doc:literal) => {
        #[doc = $doc]
        pub fn $accessor(&self) -> impl Iterator<Item = u32> {
            self.all(Index::$name)
                .filter_map(|property| match property {
                    Property::$name(value) => Some(value),
                    #[allow(
                        clippy::wildcard_enum_match_arm,
                        reason = "all others are not asked for"
                    )]
                    _ => None,
                })
        }
    };
    ($kind:ident, $name:ident, $accessor:ident, $doc:literal) => {
        #[doc = $doc]
        #[must_use]
        #[allow(clippy::needless_lifetimes, reason = "value! needs the name")]
        pub fn $accessor<'a>(&'a self) -> Option<value!($kind)> {
            self.all(Index::$name).find_map(|property| match property {
                Property::$name(value) => Some(value),
                #[allow(
                    clippy::wildcard_enum_match_arm,
                    reason = "all others are not asked for"
                )]
                _ => None,
            })
        }
    };
}

properties! {
    PayloadFormatIndicator = 0x01, flag, payload_format_indicator, [Publish Will], "True: the payload is UTF-8 text.";
    MessageExpiryInterval = 0x02, four, message_expiry_interval, [Publish Will], "Lifetime of the message in seconds.";
    ContentType = 0x03, text, content_type, [Publish Will], "Describes the content of the payload.";
    ResponseTopic = 0x08, topic, response_topic, [Publish Will], "Where a response is to be published.";
    CorrelationData = 0x09, binary, correlation_data, [Publish Will], "Says which request a response is for.";
    SubscriptionIdentifier = 0x0B, variable_not_zero, subscription_identifiers, [Publish Subscribe], "Identifiers of the subscriptions that the message is sent for, or of the subscription to make.";
    SessionExpiryInterval = 0x11, four, session_expiry_interval, [Connect ConnAck Disconnect], "Seconds that the session outlives its connection; 0xFFFF_FFFF: for ever.";
    AssignedClientIdentifier = 0x12, text, assigned_client_identifier, [ConnAck], "The client identifier that the server has chosen.";
    ServerKeepAlive = 0x13, two, server_keep_alive, [ConnAck], "Keep alive in seconds that the server demands.";
    AuthenticationMethod = 0x15, text, authentication_method, [Connect ConnAck Auth], "Name of the authentication method.";
    AuthenticationData = 0x16, binary, authentication_data, [Connect ConnAck Auth], "Data of the authentication method.";
    RequestProblemInformation = 0x17, flag, request_problem_information, [Connect], "False: no reason strings and user properties, but in PUBLISH, CONNACK and DISCONNECT.";
    WillDelayInterval = 0x18, four, will_delay_interval, [Will], "Seconds between the loss of the connection and the will.";
    RequestResponseInformation = 0x19, flag, request_response_information, [Connect], "True: response information is wanted.";
    ResponseInformation = 0x1A, text, response_information, [ConnAck], "Base of response topics.";
    ServerReference = 0x1C, text, server_reference, [ConnAck Disconnect], "Another server to use.";
    ReasonString = 0x1F, text, reason_string, [ConnAck PubAck PubRec PubRel PubComp SubAck UnsubAck Disconnect Auth], "A reason for people to read.";
    ReceiveMaximum = 0x21, two_not_zero, receive_maximum, [Connect ConnAck], "How many QoS 1 and QoS 2 messages the sender of it takes at once.";
    TopicAliasMaximum = 0x22, two, topic_alias_maximum, [Connect ConnAck], "The largest topic alias that the sender of it takes.";
    TopicAlias = 0x23, alias, topic_alias, [Publish], "A number to use in place of the topic name.";
    MaximumQoS = 0x24, qos, maximum_qos, [ConnAck], "The highest QoS that the server supports.";
    RetainAvailable = 0x25, flag, retain_available, [ConnAck], "False: the server has no retained messages.";
    UserProperty = 0x26, pair, user_properties, [Connect Will ConnAck Publish PubAck PubRec PubRel PubComp Subscribe SubAck Unsubscribe UnsubAck Disconnect Auth], "Names and values for the application.";
    MaximumPacketSize = 0x27, four_not_zero, maximum_packet_size, [Connect ConnAck], "The largest packet in bytes that the sender of it takes.";
    WildcardSubscriptionAvailable = 0x28, flag, wildcard_subscription_available, [ConnAck], "False: the server has no wildcard subscriptions.";
    SubscriptionIdentifierAvailable = 0x29, flag, subscription_identifier_available, [ConnAck], "False: the server has no subscription identifiers.";
    SharedSubscriptionAvailable = 0x2A, flag, shared_subscription_available, [ConnAck], "False: the server has no shared subscriptions.";
}

/// Which properties are there: a bit each.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Present(u32);

impl Present {
    const fn has(self, index: Index) -> bool {
        self.0 & (1 << index as u32) != 0
    }

    fn insert(&mut self, index: Index) {
        self.0 |= 1 << index as u32;
    }
}

/// A property section: checked once, then bytes to look into or to forward as they are.
///
/// It is made from a packet by decoding, or from [`Property`] values:
///
/// ```
/// use mqtt_codec::{Properties, Property};
///
/// let properties = Properties::new([Property::ReceiveMaximum(10), Property::TopicAliasMaximum(5)])?;
/// assert_eq!(properties.receive_maximum(), Some(10));
/// # Ok::<(), mqtt_codec::EncodeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Properties<B: AsRef<[u8]> = Bytes> {
    raw: B,
    present: Present,
}

impl Properties {
    /// The properties given, in their order.
    ///
    /// # Errors
    /// [`EncodeError::FieldTooLong`] for binary data of more than 65,535 bytes.
    pub fn new<'a>(
        properties: impl IntoIterator<Item = Property<'a>>,
    ) -> Result<Self, EncodeError> {
        let (mut raw, mut present) = (Vec::new(), Present::default());
        for property in properties {
            present.insert(property.index());
            property.put(&mut raw)?;
        }
        Ok(Self {
            raw: raw.into(),
            present,
        })
    }
}

impl Default for Properties<Bytes> {
    fn default() -> Self {
        Self {
            raw: Bytes::new(),
            present: Present::default(),
        }
    }
}

impl Default for Properties<&[u8]> {
    fn default() -> Self {
        Self {
            raw: &[],
            present: Present::default(),
        }
    }
}

impl<'a> Properties<&'a [u8]> {
    /// Checks the content of a property section, without its length.
    ///
    /// # Errors
    /// An unknown property, one that `owner` may not have, one that is there twice, or a value that
    /// is malformed or forbidden.
    pub fn decode(raw: &'a [u8], owner: PropertyOwner) -> Result<Self, DecodeError> {
        whole(scan(raw, owner)).map(|present| Self { raw, present })
    }

    /// A section with its length in front; nothing, for versions that have no properties.
    pub(crate) fn parse(
        input: &'a [u8],
        version: Version,
        owner: PropertyOwner,
    ) -> Parsed<'a, Self> {
        if !version.has_properties() {
            return Ok((input, Self::default()));
        }
        // Nearly all sections are empty.
        if let Some((0, rest)) = input.split_first() {
            return Ok((rest, Self::default()));
        }
        let (rest, length) = variable(input)?;
        let (raw, rest) = rest
            .split_at_checked(length as usize)
            .ok_or(failure(DecodeError::Truncated))?;
        Ok((rest, Self::decode(raw, owner).map_err(failure)?))
    }

    /// The section as it is in the packet, without its length.
    #[must_use]
    pub const fn raw(self) -> &'a [u8] {
        self.raw
    }
}

// [MQTT-1.5.7-1] [MQTT-3.3.2-13] [MQTT-3.3.2-19]
fn scan(raw: &[u8], owner: PropertyOwner) -> Parsed<'_, Present> {
    let mut present = Present::default();
    let mut rest = raw;
    while let Some((id, input)) = rest.split_first() {
        // Identifiers are variable byte integers, but all that exist are below 0x80.
        let Some((index, owners)) = row(*id) else {
            return fail(DecodeError::PropertyUnknown);
        };
        if owners & owner.bit() == 0 {
            return fail(DecodeError::PropertyNotAllowed);
        }
        // A message may be sent for several subscriptions; a SUBSCRIBE sets one identifier.
        let repeats = matches!(
            (index, owner),
            (Index::UserProperty, _) | (Index::SubscriptionIdentifier, PropertyOwner::Publish)
        );
        if present.has(index) && !repeats {
            return fail(DecodeError::PropertyTwice);
        }
        present.insert(index);
        rest = Property::parse(index, input)?.0;
    }
    if present.has(Index::AuthenticationData) && !present.has(Index::AuthenticationMethod) {
        return fail(DecodeError::AuthenticationDataAlone);
    }
    Ok((rest, present))
}

impl<B: AsRef<[u8]>> Properties<B> {
    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.present == Present::default()
    }

    /// All properties in their order.
    pub fn iter(&self) -> impl Iterator<Item = Property<'_>> {
        let mut rest = self.raw.as_ref();
        core::iter::from_fn(move || {
            let (id, input) = rest.split_first()?;
            // The section has been checked: neither can fail.
            let (next, property) = Property::parse(row(*id)?.0, input).ok()?;
            rest = next;
            Some(property)
        })
    }

    /// The properties with one index; costs nothing where there are none.
    fn all(&self, index: Index) -> impl Iterator<Item = Property<'_>> {
        let wanted = self.present.has(index).then(|| self.iter());
        wanted
            .into_iter()
            .flatten()
            .filter(move |property| property.index() as u32 == index as u32)
    }

    /// The same properties without those for which `drop` is true; copies what stays.
    #[must_use]
    pub fn without(&self, drop: impl Fn(&Property<'_>) -> bool) -> Properties {
        // What was decoded is short enough to be encoded again.
        Properties::new(self.iter().filter(|property| !drop(property))).unwrap_or_default()
    }

    /// The same section, borrowed.
    #[must_use]
    pub fn as_view(&self) -> Properties<&[u8]> {
        Properties {
            raw: self.raw.as_ref(),
            present: self.present,
        }
    }

    pub(crate) fn map<C: AsRef<[u8]>>(self, f: &mut impl FnMut(B) -> C) -> Properties<C> {
        Properties {
            raw: f(self.raw),
            present: self.present,
        }
    }

    /// Length of the section with its length in front.
    pub(crate) fn encoded_len(&self) -> usize {
        let len = self.raw.as_ref().len();
        variable_len(len) + len
    }

    pub(crate) fn check_owner(&self, owner: PropertyOwner) -> Result<(), EncodeError> {
        match Properties::decode(self.raw.as_ref(), owner) {
            Ok(_) => Ok(()),
            Err(_) => Err(EncodeError::PropertyNotAllowed),
        }
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_variable(self.raw.as_ref().len(), out);
        out.extend_from_slice(self.raw.as_ref());
    }
}

impl<B: AsRef<[u8]>> fmt::Debug for Properties<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
