//! `-d`: what is sent and received, in Mosquitto's words.
//!
//! It is told from what the library reports: that a QoS 2 message is complete says that its PUBREC, PUBREL and PUBCOMP have been
//! on their way. Messages are numbered as they come, which is what Mosquitto's packet identifiers are.

use std::cell::{Cell, RefCell};

use mqtt_client::{Client, Message, QoS, ReasonCode, SubscriptionOptions, TopicFilter};
use mqtt_codec::PacketId;

use crate::configuration::{ClientId, Configuration, Dialect};
use crate::option::Setting;
use crate::say;

/// Tells what happens, if it is to be told.
#[derive(Debug)]
pub(crate) struct Trace {
    to: To,
    client_id: RefCell<Option<String>>,
    last_number: Cell<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Nowhere,
    /// Where Mosquitto's programs tell it.
    StandardOutput,
    /// Where it does not come between the payloads.
    StandardError,
}

impl Trace {
    /// Tells it if the options ask for it.
    pub(crate) fn new(configuration: &Configuration) -> Self {
        let to = match (configuration.has(Setting::Debug), configuration.dialect) {
            (false, _) => To::Nowhere,
            (true, Dialect::Mosquitto) => To::StandardOutput,
            (true, Dialect::Native) => To::StandardError,
        };
        let client_id = match &configuration.client_id {
            Some(ClientId::Whole(id)) => Some(id.clone()),
            Some(ClientId::Prefix(prefix)) => Some(format!("{prefix}{}", std::process::id())),
            None => None,
        };
        Self {
            to,
            client_id: RefCell::new(client_id),
            last_number: Cell::new(0),
        }
    }

    /// True if anything is told at all.
    pub(crate) fn tells(&self) -> bool {
        self.to != To::Nowhere
    }

    /// The number of the next packet that has one.
    pub(crate) fn next_number(&self) -> u64 {
        self.last_number.set(self.last_number.get() + 1);
        self.last_number.get()
    }

    fn tell(&self, what: std::fmt::Arguments<'_>) {
        if self.tells() {
            let id = self.client_id.borrow();
            let id = id.as_deref().unwrap_or("(null)");
            self.line(format_args!("Client {id} {what}"));
        }
    }

    fn line(&self, line: std::fmt::Arguments<'_>) {
        match self.to {
            To::Nowhere => {}
            To::StandardOutput => say::out(line),
            To::StandardError => say::error(line),
        }
    }

    pub(crate) fn connect(&self) {
        self.tell(format_args!("sending CONNECT"));
    }

    pub(crate) fn connected(&self, client: &Client) {
        if let Some(agreed) = client.connected() {
            let id = &*agreed.client_id;
            if !id.is_empty() {
                self.client_id.replace(Some(id.to_owned()));
            }
        }
        self.tell(format_args!("received CONNACK (0)"));
    }

    pub(crate) fn disconnect(&self) {
        self.tell(format_args!("sending DISCONNECT"));
    }

    pub(crate) fn publish(&self, number: u64, message: &Message) {
        self.tell(format_args!(
            "sending PUBLISH {}",
            described(message, number)
        ));
    }

    /// The server has taken it.
    pub(crate) fn published(&self, number: u64, qos: QoS) {
        match qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => self.tell(format_args!("received PUBACK (Mid: {number}, RC:0)")),
            QoS::ExactlyOnce => {
                self.tell(format_args!("received PUBREC (Mid: {number})"));
                self.tell(format_args!("sending PUBREL (m{number})"));
                self.tell(format_args!("received PUBCOMP (Mid: {number}, RC:0)"));
            }
        }
    }

    pub(crate) fn subscribe(
        &self,
        number: u64,
        filters: &[TopicFilter],
        options: SubscriptionOptions,
    ) {
        let (qos, bits) = (options.qos as u8, bits(options));
        for filter in filters {
            self.tell(format_args!(
                "sending SUBSCRIBE (Mid: {number}, Topic: {filter}, QoS: {qos}, Options: 0x{bits:02x})"
            ));
        }
    }

    pub(crate) fn subscribed(&self, number: u64, granted: &[Result<QoS, ReasonCode>]) {
        self.tell(format_args!("received SUBACK"));
        let codes: Vec<String> = granted
            .iter()
            .map(|answer| match answer {
                Ok(qos) => (*qos as u8).to_string(),
                Err(reason) => (*reason as u8).to_string(),
            })
            .collect();
        self.line(format_args!(
            "Subscribed (mid: {number}): {}",
            codes.join(", ")
        ));
    }

    pub(crate) fn unsubscribe(&self, number: u64, filter: &TopicFilter) {
        self.tell(format_args!(
            "sending UNSUBSCRIBE (Mid: {number}, Topic: {filter})"
        ));
    }

    pub(crate) fn unsubscribed(&self) {
        self.tell(format_args!("received UNSUBACK"));
    }

    /// A message has come, and been printed.
    pub(crate) fn received(&self, message: &Message, packet_id: Option<PacketId>) {
        let number = packet_id.map_or(0, PacketId::get);
        self.tell(format_args!(
            "received PUBLISH {}",
            described(message, number.into())
        ));
    }

    /// A message is acknowledged.
    pub(crate) fn acknowledged(&self, qos: QoS, packet_id: Option<PacketId>) {
        let packet_id = packet_id.map_or(0, PacketId::get);
        match qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => self.tell(format_args!("sending PUBACK (m{packet_id}, rc0)")),
            QoS::ExactlyOnce => self.tell(format_args!("sending PUBREC (m{packet_id}, rc0)")),
        }
    }
}

fn described(message: &Message, number: u64) -> String {
    format!(
        "(d{}, q{}, r{}, m{number}, '{}', ... ({} bytes))",
        u8::from(message.dup),
        message.qos as u8,
        u8::from(message.retain),
        message.topic,
        message.payload.len()
    )
}

/// The options as they stand in a SUBSCRIBE, but for the QoS.
fn bits(options: SubscriptionOptions) -> u8 {
    u8::from(options.no_local) << 2
        | u8::from(options.retain_as_published) << 3
        | (options.retain_handling as u8) << 4
}
