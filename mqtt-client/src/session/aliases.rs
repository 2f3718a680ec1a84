//! Topic aliases, both ways. They live as long as a connection. `[MQTT-3.3.2-7]`

use std::num::NonZeroU16;

use mqtt_codec::{Publish, TopicName};

use super::Map;
use crate::Violation;

/// A topic of so many bytes or fewer is not worth an alias: its property takes three.
const TOPIC_BYTES_WORTH: usize = 6;

/// Aliases that we have told the server.
#[derive(Debug)]
pub(super) struct AliasesSent {
    aliases: Map<TopicName, usize>,
    slots: Vec<Slot>,
    slots_max: usize,
    hand: usize,
    /// The topic that last had to do without: one that comes again at once gets an alias.
    missed: Option<TopicName>,
}

#[derive(Debug)]
struct Slot {
    topic: TopicName,
    used: Used,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Used {
    Recently,
    NotRecently,
}

/// How to write the topic of a PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Topic,
    TopicAndAlias(u16),
    Alias(u16),
}

impl AliasesSent {
    /// At most so many, from 1 on. `[MQTT-3.2.2-17]` `[MQTT-3.2.2-18]`
    pub(super) fn new(maximum: u16) -> Self {
        Self {
            aliases: Map::default(),
            slots: Vec::new(),
            slots_max: maximum.into(),
            hand: 0,
            missed: None,
        }
    }

    /// How to write this topic in the packet that is written next.
    pub(super) fn choose(&mut self, topic: &TopicName) -> Written {
        if self.slots_max == 0 || topic.as_bytes().len() <= TOPIC_BYTES_WORTH {
            return Written::Topic;
        }
        if let Some(at) = self.aliases.get(topic).copied() {
            if let Some(slot) = self.slots.get_mut(at) {
                slot.used = Used::Recently;
            }
            return Written::Alias(number(at));
        }
        if self.slots.len() < self.slots_max {
            self.slots.push(Slot {
                topic: topic.clone(),
                used: Used::Recently,
            });
            let at = self.slots.len() - 1;
            self.aliases.insert(topic.clone(), at);
            return Written::TopicAndAlias(number(at));
        }
        // Topics that come once each would only push others out.
        if self.missed.as_ref() != Some(topic) {
            self.missed = Some(topic.clone());
            return Written::Topic;
        }
        self.replace(topic)
    }

    /// Gives `topic` the alias of one that was not used lately.
    fn replace(&mut self, topic: &TopicName) -> Written {
        // Two rounds at the most: the first takes all marks away.
        for _ in 0..2 * self.slots_max {
            let at = self.hand;
            self.hand = (self.hand + 1) % self.slots_max;
            let Some(slot) = self.slots.get_mut(at) else {
                continue;
            };
            match slot.used {
                Used::Recently => slot.used = Used::NotRecently,
                Used::NotRecently => {
                    let old = std::mem::replace(&mut slot.topic, topic.clone());
                    slot.used = Used::Recently;
                    self.aliases.remove(&old);
                    self.aliases.insert(topic.clone(), at);
                    return Written::TopicAndAlias(number(at));
                }
            }
        }
        Written::Topic
    }
}

/// The alias of a slot. There are no more slots than the 65,535 aliases.
fn number(at: usize) -> u16 {
    u16::try_from(at + 1).unwrap_or(u16::MAX)
}

/// Aliases that the server has told us.
#[derive(Debug)]
pub(super) struct AliasesReceived {
    topics: Map<NonZeroU16, TopicName>,
    maximum: u16,
}

impl AliasesReceived {
    pub(super) fn new(maximum: u16) -> Self {
        Self {
            topics: Map::default(),
            maximum,
        }
    }

    /// The topic of a PUBLISH, whether it says it or means one said before.
    ///
    /// `[MQTT-3.1.2-26]` `[MQTT-3.1.2-27]` `[MQTT-3.3.2-8]` `[MQTT-3.3.2-10]` `[MQTT-3.3.2-11]`
    pub(super) fn resolve(&mut self, publish: &Publish) -> Result<TopicName, Violation> {
        let alias = publish.properties.topic_alias();
        let Some(alias) = alias else {
            return publish.topic.clone().ok_or(Violation::TopicAliasInvalid);
        };
        let alias = NonZeroU16::new(alias)
            .filter(|alias| alias.get() <= self.maximum)
            .ok_or(Violation::TopicAliasInvalid)?;
        match &publish.topic {
            Some(topic) => {
                // It outlives the buffer that it came in.
                let copy = bytes::Bytes::copy_from_slice(topic.as_bytes());
                let kept = TopicName::new(copy).map_err(|_| Violation::Content)?;
                self.topics.insert(alias, kept.clone());
                Ok(kept)
            }
            None => {
                let topic = self.topics.get(&alias).cloned();
                topic.ok_or(Violation::TopicAliasUnknown)
            }
        }
    }
}
