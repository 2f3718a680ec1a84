//! What one shard has for another: messages for its sessions, and changes that it stores.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mqtt_codec::QoS;

use super::SessionId;
use super::publication::{Payloads, Publication};
use super::route::Route;
use crate::budget::Budget;
use crate::store::Change;
use crate::{Instant, Message};

/// From so many bytes of payload on, messages are shared and not copied.
const SHARED_BYTES_MIN: usize = 4 * 1024;
/// Bytes of copies, and of the topics of messages, that may have come before no more is taken. What clients have
/// sent themselves does not come near that: whoever brings it sees to it after each read. Long topics that stand
/// behind aliases do.
const COPIED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes, and items, whose memory a taken mail keeps for the next one.
const KEPT_BYTES_MAX: usize = 256 * 1024;
const KEPT_ITEMS_MAX: usize = 1024;

/// What has come for a shard, in the order in which it is to be handled.
#[derive(Debug, Default)]
pub(crate) struct Inbox(Mutex<Mail>);

/// What has come, with one memory for all its small messages.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    items: Vec<Item>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    messages: Vec<Arc<Message>>,
    /// Bytes of the payloads of messages, and of all else.
    payload_bytes: usize,
    copied_bytes: usize,
}

#[derive(Debug)]
enum Item {
    Run(Run),
    Change(Change),
}

/// Something that has come.
pub(crate) enum Arrival<'a> {
    /// Messages for the shard's sessions.
    Run(&'a Arc<Route>, Target, Publication<'a>),
    /// A change of a retained message that the shard stores.
    Change(&'a Change),
}

/// Who gets a run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// All receivers of the route that are in the shard.
    Receivers,
    /// One member of a shared subscription.
    Member {
        /// Which group of the route.
        group: usize,
        /// Which member of the group.
        at: usize,
    },
}

#[derive(Debug)]
struct Run {
    route: Arc<Route>,
    target: Target,
    publisher: Option<SessionId>,
    qos: QoS,
    retain: bool,
    expires: Option<Instant>,
    /// Where its topic is, its properties, and where its payloads begin.
    topic: Range<usize>,
    properties: Range<usize>,
    payloads: usize,
    /// Which ends, or messages, are its own.
    parts: Range<usize>,
    /// True if they are messages.
    shared: bool,
}

impl Inbox {
    /// True if nothing has come.
    pub(crate) fn is_empty(&self) -> bool {
        self.mail().items.is_empty()
    }

    /// Bytes that what has come takes up.
    pub(crate) fn bytes(&self) -> usize {
        let mail = self.mail();
        mail.payload_bytes + mail.copied_bytes
    }

    /// Puts messages in, those with these indexes. False if too much has come already: a client that makes up
    /// long topics by aliases sends far less than that.
    pub(crate) fn post(
        &self,
        route: &Arc<Route>,
        target: Target,
        publication: &mut Publication<'_>,
        indexes: Range<usize>,
        share: bool,
        budget: &Budget,
    ) -> bool {
        let payload_bytes = |index| publication.payloads.get(index).len();
        let shared = share || indexes.clone().map(payload_bytes).sum::<usize>() >= SHARED_BYTES_MIN;
        let mut mail = self.mail();
        let mail = &mut *mail;
        if mail.copied_bytes > COPIED_BYTES_MAX {
            return false;
        }
        let before = mail.bytes.len();
        let topic = mail.put_topic(publication.topic);
        let properties = mail.bytes.len();
        mail.bytes.extend_from_slice(publication.properties);
        let payloads = mail.bytes.len();
        let parts = if shared {
            let start = mail.messages.len();
            for index in indexes {
                let message = publication.message(index, budget);
                mail.payload_bytes += message.payload().len();
                mail.copied_bytes += message.len() - message.payload().len();
                mail.messages.push(message);
            }
            start..mail.messages.len()
        } else {
            let start = mail.ends.len();
            for index in indexes {
                mail.bytes
                    .extend_from_slice(publication.payloads.get(index));
                mail.ends.push(mail.bytes.len());
            }
            start..mail.ends.len()
        };
        mail.copied_bytes += size_of::<Item>() + mail.bytes.len() - before;
        mail.items.push(Item::Run(Run {
            route: route.clone(),
            target,
            publisher: publication.publisher,
            qos: publication.qos,
            retain: publication.retain,
            expires: publication.expires,
            topic,
            properties: properties..payloads,
            payloads,
            parts,
            shared,
        }));
        true
    }

    /// Puts a change in.
    pub(crate) fn post_change(&self, change: Change) {
        let mut mail = self.mail();
        mail.payload_bytes +=
            size_of::<Item>() + change.message().map_or(0, |message| message.len());
        mail.items.push(Item::Change(change));
    }

    /// Takes all that has come, and leaves `empty`.
    pub(crate) fn take(&self, empty: Mail) -> Mail {
        std::mem::replace(&mut *self.mail(), empty)
    }

    fn mail(&self) -> MutexGuard<'_, Mail> {
        // What panicked while it had this lock has left a broker that handles nothing more.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mail {
    /// What has come, in order.
    pub(crate) fn arrivals(&self) -> impl Iterator<Item = Arrival<'_>> {
        self.items.iter().map(|item| match item {
            Item::Change(change) => Arrival::Change(change),
            Item::Run(run) => Arrival::Run(&run.route, run.target, self.publication(run)),
        })
    }

    fn publication(&self, run: &Run) -> Publication<'_> {
        let bytes = |range: Range<usize>| self.bytes.get(range).unwrap_or_default();
        let payloads = if run.shared {
            Payloads::Kept(self.messages.get(run.parts.clone()).unwrap_or_default())
        } else {
            Payloads::Joined {
                bytes: &self.bytes,
                start: run.payloads,
                ends: self.ends.get(run.parts.clone()).unwrap_or_default(),
            }
        };
        Publication {
            topic: bytes(run.topic.clone()),
            properties: bytes(run.properties.clone()),
            payloads,
            qos: run.qos,
            retain: run.retain,
            expires: run.expires,
            publisher: run.publisher,
            kept: Vec::new(),
        }
    }

    /// Puts a topic among the bytes, if it is not that of the run before.
    fn put_topic(&mut self, topic: &[u8]) -> Range<usize> {
        if let Some(Item::Run(last)) = self.items.last()
            && self.bytes.get(last.topic.clone()) == Some(topic)
        {
            return last.topic.clone();
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(topic);
        start..self.bytes.len()
    }

    /// Forgets all; keeps some memory for the next time.
    pub(crate) fn clear(&mut self) {
        self.items.clear();
        self.ends.clear();
        self.messages.clear();
        self.bytes.clear();
        (self.payload_bytes, self.copied_bytes) = (0, 0);
        self.items.shrink_to(KEPT_ITEMS_MAX);
        self.ends.shrink_to(KEPT_ITEMS_MAX);
        self.messages.shrink_to(KEPT_ITEMS_MAX);
        self.bytes.shrink_to(KEPT_BYTES_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Total;

    fn publication<'a>(topic: &'a [u8], payload: &'a [u8]) -> Publication<'a> {
        Publication {
            topic,
            properties: &[],
            payloads: Payloads::One(payload),
            qos: QoS::AtMostOnce,
            retain: false,
            expires: None,
            publisher: None,
            kept: Vec::new(),
        }
    }

    #[test]
    fn what_is_put_in_is_taken_out_in_order() {
        let (inbox, route) = (Inbox::default(), Arc::new(Route::default()));
        let budget = Budget::of(&Total::new(usize::MAX));
        let large = [b'x'; SHARED_BYTES_MIN];
        let sent: [(&[u8], &[u8]); 5] = [
            (b"a", b"1"),
            (b"a", b"2"),
            (b"bc", b""),
            (b"a", &large),
            (b"a", b"3"),
        ];
        for (topic, payload) in sent {
            let mut run = publication(topic, payload);
            assert!(inbox.post(&route, Target::Receivers, &mut run, 0..1, false, &budget));
        }
        let mut mail = inbox.take(Mail::default());
        assert!(inbox.is_empty());
        let taken = mail.arrivals().map(|arrival| match arrival {
            Arrival::Run(_, _, run) => (run.topic.to_vec(), run.payloads.get(0).to_vec()),
            Arrival::Change(_) => unreachable!("none was put in"),
        });
        let sent = sent.map(|(topic, payload)| (topic.to_vec(), payload.to_vec()));
        assert_eq!(taken.collect::<Vec<_>>(), sent);
        mail.clear();
        assert_eq!((mail.copied_bytes, mail.arrivals().count()), (0, 0));
    }

    /// Long topics that a client does not send again, since it has aliases for them.
    #[test]
    fn an_inbox_does_not_grow_without_bound() {
        let (inbox, route) = (Inbox::default(), Arc::new(Route::default()));
        let budget = Budget::of(&Total::new(usize::MAX));
        let topics = [[b'a'; 60_000], [b'b'; 60_000]];
        let put_in = (0..10_000).take_while(|number| {
            let mut run = publication(&topics[number % 2], b"");
            inbox.post(&route, Target::Receivers, &mut run, 0..1, false, &budget)
        });
        let count = put_in.count();
        assert!(count < 1000, "{count}");
        assert!(inbox.bytes() < COPIED_BYTES_MAX + 100_000);
    }
}
