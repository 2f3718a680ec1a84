//! Standard output: messages as the options want them printed, gathered while more are waiting, and written when none is.

use std::io::{self, IsTerminal as _, Write as _};

use jiff::Zoned;
use mqtt_client::{Message, Properties, Property};
use mqtt_codec::PacketId;

use crate::configuration::{Configuration, Dialect};
use crate::format::{Arrival, Format};
use crate::json;
use crate::option::Setting;
use crate::say;

/// What is gathered before it is written in any case, in bytes.
const GATHERED_BYTES_MAX: usize = 64 * 1024;

/// Prints messages.
#[derive(Debug)]
pub(crate) struct Output {
    how: How,
    json: json::Layout,
    end: &'static [u8],
    quiet: bool,
    /// The subscription identifier that was asked for.
    identifier: Option<u32>,
    gathered: Vec<u8>,
}

#[derive(Debug)]
enum How {
    Payload,
    Verbose(Topic),
    Format(Format),
    Json,
}

/// How a topic stands before its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Topic {
    Plain,
    Coloured,
}

impl Output {
    /// Prints as the options say.
    pub(crate) fn new(configuration: &Configuration) -> Self {
        let how = if configuration.has(Setting::Json) {
            How::Json
        } else if let Some(format) = &configuration.format {
            How::Format(format.clone())
        } else if configuration.has(Setting::Verbose) {
            How::Verbose(topic_style(configuration.dialect))
        } else {
            How::Payload
        };
        Self {
            how,
            json: match configuration.has(Setting::Pretty) {
                true => json::Layout::Pretty,
                false => json::Layout::Compact,
            },
            end: match configuration.has(Setting::NoEndOfLine) {
                true => b"",
                false => b"\n",
            },
            quiet: configuration.has(Setting::Quiet),
            identifier: configuration
                .properties
                .subscribe
                .subscription_identifiers()
                .next(),
            gathered: Vec::new(),
        }
    }

    /// Adds a message to what is gathered; fails only where it writes.
    pub(crate) fn print(
        &mut self,
        message: &Message,
        packet_id: Option<PacketId>,
    ) -> io::Result<()> {
        let payload: &[u8] = &message.payload;
        match &self.how {
            How::Payload => {
                if !payload.is_empty() {
                    self.gathered.extend_from_slice(payload);
                    self.gathered.extend_from_slice(self.end);
                }
            }
            How::Verbose(style) => {
                let topic = message.topic.as_bytes();
                if !payload.is_empty() {
                    verbose(*style, topic, payload, &mut self.gathered);
                    self.gathered.extend_from_slice(self.end);
                } else if !self.end.is_empty() {
                    verbose(*style, topic, b"(null)", &mut self.gathered);
                    self.gathered.extend_from_slice(self.end);
                }
            }
            How::Format(_) | How::Json => self.print_with_time(message, packet_id),
        }
        if self.gathered.len() >= GATHERED_BYTES_MAX {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn print_with_time(&mut self, message: &Message, packet_id: Option<PacketId>) {
        let time = Zoned::now();
        let properties = self.shown(&message.properties);
        let arrival = Arrival {
            topic: message.topic(),
            payload: &message.payload,
            qos: message.qos as u8,
            retain: message.retain,
            dup: message.dup,
            packet_id: packet_id.map_or(0, PacketId::get),
            properties: &properties,
            time: &time,
        };
        match &self.how {
            How::Format(format) => {
                let written = format.write(&arrival, self.json, &mut self.gathered);
                if written.is_err() && !self.quiet {
                    say::error(format_args!(
                        "Error: Message payload is not valid JSON on topic {}.",
                        arrival.topic
                    ));
                }
            }
            How::Json => json::write_line(&arrival, self.json, &mut self.gathered),
            How::Payload | How::Verbose(_) => {}
        }
        self.gathered.extend_from_slice(self.end);
    }

    /// The properties without the library's own: it finds the stream of a message by an identifier, and has the server use aliases.
    fn shown(&self, properties: &Properties) -> Properties {
        if properties.is_empty() {
            return Properties::default();
        }
        let others = properties.iter().filter(|property| {
            !matches!(
                property,
                Property::SubscriptionIdentifier(_) | Property::TopicAlias(_)
            )
        });
        let identifier = self.identifier.map(Property::SubscriptionIdentifier);
        // They were in one packet, and fit into one again.
        Properties::new(identifier.into_iter().chain(others)).unwrap_or_default()
    }

    /// Writes what is gathered. Blocks as long as nobody reads it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        let written = stdout
            .write_all(&self.gathered)
            .and_then(|()| stdout.flush());
        self.gathered.clear();
        written
    }
}

/// Colour is for people: on a terminal, unless they have said that they want none (<https://no-color.org>).
fn topic_style(dialect: Dialect) -> Topic {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if dialect == Dialect::Native && !unwanted && io::stdout().is_terminal() {
        Topic::Coloured
    } else {
        Topic::Plain
    }
}

fn verbose(style: Topic, topic: &[u8], payload: &[u8], out: &mut Vec<u8>) {
    let parts: [&[u8]; 4] = match style {
        Topic::Plain => [topic, b" ", b"", payload],
        Topic::Coloured => [b"\x1b[36m", topic, b"\x1b[0m ", payload],
    };
    for part in parts {
        out.extend_from_slice(part);
    }
}
