//! What is published at once.

use std::sync::Arc;

use mqtt_codec::{Publish, QoS};

use super::SessionId;
use crate::budget::Budget;
use crate::{Instant, Message};

/// A run of messages that came one behind the other and have all but their payloads in common. Most
/// runs have one message.
pub(crate) struct Publication<'a> {
    pub(crate) topic: &'a [u8],
    /// The property section to forward.
    pub(crate) properties: &'a [u8],
    pub(crate) payloads: Payloads<'a>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) expires: Option<Instant>,
    /// Who publishes, for No Local.
    pub(crate) publisher: Option<SessionId>,
    /// The messages to keep, made when the first receiver needs them: mostly nobody does.
    pub(crate) kept: Vec<Option<Arc<Message>>>,
}

/// The payloads of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Payloads<'a> {
    One(&'a [u8]),
    /// Those of packets.
    Of(&'a [Publish<&'a [u8]>]),
    /// One behind the other: the first one begins at `start`, each ends at its place in `ends`.
    Joined {
        bytes: &'a [u8],
        start: usize,
        ends: &'a [usize],
    },
    /// Those of messages that are kept already.
    Kept(&'a [Arc<Message>]),
}

impl<'a> Payloads<'a> {
    pub(crate) const fn len(self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Of(publishes) => publishes.len(),
            Self::Joined { ends, .. } => ends.len(),
            Self::Kept(messages) => messages.len(),
        }
    }

    pub(crate) fn get(self, index: usize) -> &'a [u8] {
        let found = match self {
            Self::One(payload) => Some(payload),
            Self::Of(publishes) => publishes.get(index).map(|publish| publish.payload),
            Self::Kept(messages) => messages.get(index).map(|message| message.payload()),
            Self::Joined { bytes, start, ends } => {
                let before = index.checked_sub(1).map_or(Some(&start), |at| ends.get(at));
                let range = before.copied().zip(ends.get(index).copied());
                range.and_then(|(from, to)| bytes.get(from..to))
            }
        };
        found.unwrap_or_default()
    }
}

impl<'a> Publication<'a> {
    /// A message that was kept.
    pub(crate) fn of_kept(message: &'a Arc<Message>) -> Self {
        Self {
            topic: message.topic_bytes(),
            properties: message.properties_bytes(),
            payloads: Payloads::Kept(std::slice::from_ref(message)),
            qos: message.qos,
            retain: message.retain,
            expires: message.expires,
            publisher: None,
            kept: Vec::new(),
        }
    }

    /// How many messages there are.
    pub(crate) const fn len(&self) -> usize {
        self.payloads.len()
    }

    /// Bytes of topic and payload of one of them.
    pub(crate) fn bytes(&self, index: usize) -> usize {
        self.topic.len() + self.payloads.get(index).len()
    }

    /// The message to keep, which is counted in `budget`; the same one for all who keep it.
    pub(crate) fn message(&mut self, index: usize, budget: &Budget) -> Arc<Message> {
        if let Payloads::Kept(messages) = self.payloads
            && let Some(message) = messages.get(index)
        {
            return message.clone();
        }
        if self.kept.is_empty() {
            self.kept.resize(self.len(), None);
        }
        let made = || {
            let payload = self.payloads.get(index);
            let mut message = Message::of_parts(self.topic, self.properties, payload);
            (message.qos, message.retain, message.expires) = (self.qos, self.retain, self.expires);
            message.charge = budget.charge(message.len());
            Arc::new(message)
        };
        match self.kept.get_mut(index) {
            Some(kept) => kept.get_or_insert_with(made).clone(),
            None => made(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_payloads_are_taken_apart() {
        let joined = Payloads::Joined {
            bytes: b"topicabcde",
            start: 5,
            ends: &[6, 6, 10],
        };
        let payloads: Vec<_> = (0..joined.len()).map(|index| joined.get(index)).collect();
        assert_eq!(payloads, [&b"a"[..], b"", b"bcde"]);
        assert!(joined.get(3).is_empty());
    }
}
