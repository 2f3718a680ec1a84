//! Makes the same what the standard lets brokers do differently, and what Mosquitto is known to do
//! against it. Each with its reason: what is not here has to be equal.

use super::play::{Event, Message, Seen};
use crate::Version;

/// The property that is a Subscription Identifier.
const IDENTIFIER: u8 = 0x0B;

/// Prepares what was seen on two brokers for a comparison.
pub(super) fn settle(ours: &mut [Seen], theirs: &mut [Seen]) {
    for seen in ours.iter_mut().chain(theirs.iter_mut()) {
        for events in seen.0.values_mut() {
            for event in events.iter_mut() {
                forget_choices(event);
            }
            // Only messages of one topic have an order [MQTT-4.6.0-6], and answers have none among
            // messages.
            events.sort_by(|one, other| topic(one).cmp(&topic(other)));
            forget_copies(events);
        }
        share(seen);
        seen.0.retain(|_, events| !events.is_empty());
    }
}

fn topic(event: &Event) -> (Option<&str>, Option<&str>) {
    match event {
        Event::Message(message) => (Some(&message.topic), None),
        Event::Other(text) => (None, Some(text)),
    }
}

fn forget_choices(event: &mut Event) {
    match event {
        Event::Message(message) => message.forget_choices(),
        // A server need not say that nobody is subscribed: the reason code 0x10 is one that it
        // MAY use instead of 0x00. [MQTT-3.4.2-1] [MQTT-3.5.2-1]
        Event::Other(text) => {
            if text.starts_with("PubAck") || text.starts_with("PubRec") {
                *text = text.replace("[10]", "[00]");
            }
        }
    }
}

impl Message {
    /// Takes in a copy of the same message, for another subscription: the highest QoS, all identifiers.
    fn absorb(&mut self, copy: &Self) -> bool {
        let bare = |message: &Self| Self {
            qos: 0,
            properties: message
                .properties
                .iter()
                .filter(|(kind, _)| *kind != IDENTIFIER)
                .cloned()
                .collect(),
            ..message.clone()
        };
        if copy.matching < 2 || bare(self) != bare(copy) {
            return false;
        }
        self.qos = self.qos.max(copy.qos);
        let identifiers = copy
            .properties
            .iter()
            .filter(|(kind, _)| *kind == IDENTIFIER);
        self.properties.extend(identifiers.cloned());
        self.sort_properties();
        true
    }

    fn forget_choices(&mut self) {
        // Its value is what is left of it, in seconds. [MQTT-3.3.2-6]
        for (identifier, value) in &mut self.properties {
            if *identifier == 0x02 {
                value.clear();
            }
        }
        self.sort_properties();
    }

    /// Properties have no order but for user properties. [MQTT-3.3.2-18] [MQTT-3.3.4-4]
    fn sort_properties(&mut self) {
        self.properties.sort_by_key(|(identifier, value)| {
            let numbered = (*identifier == IDENTIFIER).then(|| value.clone());
            (*identifier, numbered)
        });
    }
}

/// Where subscriptions overlap, a server of 5.0 may send a copy for each, or one for all with the highest QoS
/// and all identifiers: one is made of the copies. [MQTT-3.3.4-2] to [MQTT-3.3.4-5]
///
/// Their retain flags are those of the subscriptions, so that of one copy is anybody's guess, and which
/// copies are sent again depends on how they were told apart. Copies at QoS 0 need not wait for a client that
/// is away (4.1), and their identifiers are lost with them. In 3.x, Mosquitto 2.0.11 sends one copy with
/// the QoS of any of the subscriptions, against [MQTT-3.3.5-1] of 3.1.1.
fn forget_copies(events: &mut Vec<Event>) {
    for event in events.iter_mut() {
        if let Event::Message(message) = event
            && message.matching > 1
        {
            (message.retain, message.dup) = (false, false);
            if message.version != Version::V5 {
                message.qos = 0;
            }
            if message.waited {
                message.properties.retain(|(kind, _)| *kind != IDENTIFIER);
            }
        }
    }
    events.dedup_by(|copy, kept| match (copy, kept) {
        (Event::Message(copy), Event::Message(kept)) => kept.absorb(copy),
        _ => false,
    });
    for event in events.iter_mut() {
        // Subscriptions may share an identifier, which then comes once or twice.
        if let Event::Message(message) = event
            && message.matching > 1
        {
            message
                .properties
                .dedup_by(|one, other| one == other && one.0 == IDENTIFIER);
        }
    }
}

/// Which member of a group gets a message is the server's choice (4.8.2): they are looked at together.
fn share(seen: &mut Seen) {
    let mut group: Vec<Event> = Vec::new();
    for events in seen.0.values_mut() {
        events.retain(|event| match event {
            Event::Message(message) if message.topic == "~/s/1" => {
                group.push(Event::Message(Message {
                    qos: 0,
                    properties: Vec::new(),
                    ..message.clone()
                }));
                false
            }
            Event::Message(_) | Event::Other(_) => true,
        });
    }
    group.sort();
    seen.0.insert("group".to_owned(), group);
}
