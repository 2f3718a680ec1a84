//! One session: what is sent to its client, and when.

use std::collections::BTreeMap;

use mqtt_codec::{QoS, Version};

use super::{Ack, Connection, Item, Session, State, matches};

impl Session {
    pub(super) fn will_delay(&self) -> u32 {
        self.will
            .as_ref()
            .map_or(0, |will| will.delay.unwrap_or(0).min(self.expiry))
    }

    /// True if nothing waits and one more may be under way.
    pub(super) fn is_free(&self, connection: &Connection) -> bool {
        self.queue.len() == connection.sent && connection.sent < connection.receive_maximum
    }

    /// Sends what is next in the queue; false if nothing may be sent.
    pub(super) fn send_next(&mut self, now: u64) -> bool {
        let Some(connection) = &mut self.connection else {
            return false;
        };
        let Some(item) = self.queue.get_mut(connection.sent) else {
            return false;
        };
        if item.state == State::Released {
            // [MQTT-4.4.0-1]
            connection.kept.push_back(Ack::PubComp(item.id));
            connection.sent += 1;
            return true;
        }
        let waits = item.qos > QoS::AtMostOnce && connection.sent >= connection.receive_maximum;
        // [MQTT-3.3.4-9]
        if waits {
            return false;
        }
        // [MQTT-3.3.2-5]
        if !item.dup && item.expires.is_some_and(|expires| expires <= now) {
            self.queue.remove(connection.sent);
            return true;
        }
        let line = item.line(connection, now, self.version == Some(Version::V5));
        connection.log.push(line);
        if item.qos == QoS::AtMostOnce {
            self.queue.remove(connection.sent);
        } else {
            item.state = State::Sent;
            connection.kept.push_back(Ack::Publish(item.id));
            connection.sent += 1;
        }
        true
    }

    pub(super) fn acknowledge(&mut self) -> bool {
        let Some(connection) = &mut self.connection else {
            return false;
        };
        let Some(ack) = connection.kept.pop_front() else {
            return false;
        };
        let at = |id| self.queue.iter().position(|item| item.id == id).unwrap();
        match ack {
            Ack::PubRel => {}
            Ack::Publish(id) if self.queue[at(id)].qos == QoS::ExactlyOnce => {
                let at = at(id);
                self.queue[at].state = State::Released;
                connection.kept.push_back(Ack::PubComp(id));
            }
            Ack::Publish(id) | Ack::PubComp(id) => {
                self.queue.remove(at(id));
                connection.sent -= 1;
            }
        }
        true
    }

    /// The next retained message of a new subscription; `Some(None)`: it has no more.
    pub(super) fn next_retained(
        &mut self,
        retained: &BTreeMap<String, Item>,
        now: u64,
    ) -> Option<Option<Item>> {
        let (filter, after) = self.replays.front_mut()?;
        let next = retained.iter().find(|(topic, item)| {
            after.as_ref().is_none_or(|after| after < *topic)
                && matches(filter, topic)
                && item.expires.is_none_or(|expires| expires > now)
        });
        let Some((topic, item)) = next else {
            self.replays.pop_front();
            return Some(None);
        };
        *after = Some(topic.clone());
        let (options, identifier) = self.subscriptions[filter];
        // [MQTT-3.3.1-8]
        Some(Some(Item {
            qos: item.qos.min(options.qos),
            retain: true,
            identifiers: identifier.into_iter().collect(),
            ..item.clone()
        }))
    }
}

impl Item {
    /// As the client logs it.
    fn line(&self, connection: &mut Connection, now: u64, v5: bool) -> String {
        let payload = if self.payload.is_empty() {
            "(empty)"
        } else {
            &self.payload
        };
        let mut line = format!("PUBLISH {} {payload} q{}", self.topic, self.qos as u8);
        if self.qos > QoS::AtMostOnce {
            line += &format!(" id{}", self.id);
        }
        if self.dup {
            line += " dup";
        }
        if self.retain {
            line += " retain";
        }
        if !v5 {
            return line;
        }
        let aliases = &mut connection.aliases;
        if !aliases.contains(&self.topic) && aliases.len() < connection.aliases_max {
            aliases.push(self.topic.clone());
        }
        if let Some(at) = aliases.iter().position(|topic| *topic == self.topic) {
            line += &format!(" alias={}", at + 1);
        }
        if let Some(expires) = self.expires {
            line += &format!(" expiry={}", expires.saturating_sub(now));
        }
        for identifier in &self.identifiers {
            line += &format!(" sub={identifier}");
        }
        line
    }
}
