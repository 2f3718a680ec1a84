//! Makes the same what the standard lets brokers do differently, and what Mosquitto is known to do
//! against it. Each with its reason: what is not here has to be equal.

use super::play::{Event, Message, Seen};

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
    fn forget_choices(&mut self) {
        // Its value is what is left of it, in seconds. [MQTT-3.3.2-6]
        for (identifier, value) in &mut self.properties {
            if *identifier == 0x02 {
                value.clear();
            }
        }
        // Properties have no order but for user properties. [MQTT-3.3.2-18] [MQTT-3.3.4-4]
        self.properties.sort_by_key(|(identifier, value)| {
            let numbered = (*identifier == 0x0B).then(|| value.clone());
            (*identifier, numbered)
        });
    }
}

/// Where subscriptions overlap, a server may send a copy for each or one for all, with the QoS,
/// the flags and the identifiers of one or of all. [MQTT-3.3.4-2] to [MQTT-3.3.4-5]
fn forget_copies(events: &mut Vec<Event>) {
    for event in events.iter_mut() {
        if let Event::Message(message) = event
            && message.matching > 1
        {
            message
                .properties
                .retain(|(identifier, _)| *identifier != 0x0B);
            (message.qos, message.retain, message.dup) = (0, false, false);
        }
    }
    events.dedup_by(|one, other| {
        one == other && matches!(one, Event::Message(message) if message.matching > 1)
    });
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
