//! What one shard has for another: messages for its sessions, and changes that it stores.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mqtt_codec::QoS;

use super::SessionId;
use super::publication::{Payloads, Publication};
use super::route::Route;
use crate::store::Change;
use crate::{Instant, Message};

/// From so many bytes of payload on, messages are shared and not copied.
const SHARED_BYTES_MIN: usize = 4 * 1024;
/// Bytes of memory that a taken mail keeps for the next one.
const KEPT_BYTES_MAX: usize = 256 * 1024;

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
    /// Where its topic begins, its properties, and its payloads.
    topic: usize,
    properties: usize,
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

    /// Bytes that have come.
    pub(crate) fn bytes(&self) -> usize {
        let mail = self.mail();
        let shared = mail.messages.iter().map(|message| message.len());
        mail.bytes.len() + shared.sum::<usize>()
    }

    /// Puts messages in, those with these indexes.
    pub(crate) fn post(
        &self,
        route: &Arc<Route>,
        target: Target,
        publication: &mut Publication<'_>,
        indexes: Range<usize>,
        share: bool,
    ) {
        let payload_bytes = |index| publication.payloads.get(index).len();
        let shared = share || indexes.clone().map(payload_bytes).sum::<usize>() >= SHARED_BYTES_MIN;
        let mut mail = self.mail();
        let mail = &mut *mail;
        let topic = mail.bytes.len();
        mail.bytes.extend_from_slice(publication.topic);
        let properties = mail.bytes.len();
        mail.bytes.extend_from_slice(publication.properties);
        let payloads = mail.bytes.len();
        let parts = if shared {
            let start = mail.messages.len();
            mail.messages
                .extend(indexes.map(|index| publication.message(index)));
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
        mail.items.push(Item::Run(Run {
            route: route.clone(),
            target,
            publisher: publication.publisher,
            qos: publication.qos,
            retain: publication.retain,
            expires: publication.expires,
            topic,
            properties,
            payloads,
            parts,
            shared,
        }));
    }

    /// Puts a change in.
    pub(crate) fn post_change(&self, change: Change) {
        self.mail().items.push(Item::Change(change));
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
            topic: bytes(run.topic..run.properties),
            properties: bytes(run.properties..run.payloads),
            payloads,
            qos: run.qos,
            retain: run.retain,
            expires: run.expires,
            publisher: run.publisher,
            kept: Vec::new(),
            budget: None,
        }
    }

    /// Forgets all; keeps some memory for the next time.
    pub(crate) fn clear(&mut self) {
        self.items.clear();
        self.ends.clear();
        self.messages.clear();
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES_MAX);
    }
}
