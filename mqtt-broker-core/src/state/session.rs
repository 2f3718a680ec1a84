//! Sessions: what the broker remembers of a client, connected or not.

use hashbrown::{HashSet, HashTable};
use mqtt_codec::{PacketId, TopicFilter};
use slab::Slab;
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::Arc;

use super::deadlines::Second;
use super::route::{Readiness, ReadinessCell};
use super::{Connection, ConnectionId, Cursor, FilterSet, Granted, Outbound};
use crate::store::{SessionRecord, WillRecord};
use crate::{ClientId, Instant, Limits};

/// Names a session of a broker; never used again for another one. The order is by shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId {
    /// The shard in the highest bits, and the place there.
    number: u32,
    pub(crate) epoch: u32,
}

/// Bits of a session's number that say where it is in its shard: 67 million have room there.
const INDEX_BITS: u32 = 26;

impl SessionId {
    pub(crate) const fn new(shard: usize, index: usize, epoch: u32) -> Self {
        let number = (shard as u32) << INDEX_BITS | index as u32;
        Self { number, epoch }
    }

    /// The shard that the session is in, counted from 0.
    #[must_use]
    pub const fn shard(self) -> usize {
        (self.number >> INDEX_BITS) as usize
    }

    /// Its place there.
    pub(crate) const fn index(self) -> usize {
        (self.number & ((1 << INDEX_BITS) - 1)) as usize
    }
}

/// A session.
pub(crate) struct Session {
    pub(crate) client: ClientId,
    pub(crate) epoch: u32,
    /// True if the store knows it: it was made to outlive its connection.
    pub(crate) stored: bool,
    /// True if the store still takes it for connected, since it was restored after a crash.
    pub(crate) unrecorded: bool,
    /// True while other shards are told that its queue has no room.
    pub(crate) shown_full: bool,
    /// Seconds that it outlives its connection; `u32::MAX`: for ever.
    pub(crate) expiry_interval: u32,
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) disconnected: Option<Instant>,
    /// Where its deadline is.
    pub(crate) due: Option<Second>,
    pub(crate) subscriptions: FilterSet,
    pub(crate) outbound: Outbound,
    /// QoS 2 messages taken from the client and not yet released, once there has been one.
    received: Option<Box<Received>>,
    pub(crate) will: Option<Box<WillRecord>>,
    /// Retained messages that are still to be sent for new subscriptions, oldest first, once there has
    /// been one.
    #[allow(
        clippy::box_collection,
        reason = "nearly no session has any, and there may be millions of sessions"
    )]
    replays: Option<Box<VecDeque<Replay>>>,
    pub(crate) identity: Option<Arc<str>>,
    /// How ready it is to get messages of shared subscriptions, if other shards are to know.
    pub(crate) readiness: Option<Arc<ReadinessCell>>,
}

type Received = HashSet<PacketId, foldhash::fast::RandomState>;

/// Retained messages that are being sent for a new subscription.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) filter: TopicFilter,
    pub(crate) granted: Granted,
    pub(crate) cursor: Cursor,
}

impl Session {
    /// True if one more message may wait for it.
    pub(crate) fn has_queue_room(&self, limits: &Limits) -> bool {
        self.outbound.waiting() < limits.queue_messages_max
            && self.outbound.waiting_bytes() < limits.queue_bytes_max
    }

    /// How ready it is to get a message of a shared subscription.
    pub(crate) fn how_ready(&self, connection: Option<&Connection>) -> Readiness {
        match connection {
            Some(connection)
                if self.outbound.is_clear()
                    && self.outbound.may_send(connection.receive_maximum) =>
            {
                Readiness::Ready
            }
            Some(_) => Readiness::Connected,
            None => Readiness::Away,
        }
    }

    /// Lets other shards know how ready it is, if they want to.
    pub(crate) fn show_readiness(&self, connection: Option<&Connection>) {
        if let Some(cell) = &self.readiness {
            cell.set(Some(self.how_ready(connection)));
        }
    }

    /// True if a QoS 2 message with this packet identifier was taken and is not yet released.
    pub(crate) fn is_received(&self, id: PacketId) -> bool {
        self.received.as_ref().is_some_and(|ids| ids.contains(&id))
    }

    pub(crate) fn receive(&mut self, id: PacketId) {
        self.received.get_or_insert_default().insert(id);
    }

    /// Releases a packet identifier; false if there is no message for it.
    pub(crate) fn release(&mut self, id: PacketId) -> bool {
        self.received.as_mut().is_some_and(|ids| ids.remove(&id))
    }

    /// Retained messages that are still to be sent for new subscriptions, oldest first.
    pub(crate) fn replays(&mut self) -> &mut VecDeque<Replay> {
        self.replays.get_or_insert_default()
    }

    /// Takes out all that is still to be sent for subscriptions.
    pub(crate) fn take_replays(&mut self) -> VecDeque<Replay> {
        self.replays
            .take()
            .map_or_else(VecDeque::new, |replays| *replays)
    }

    /// Puts these back before those that have come since.
    pub(crate) fn put_replays_first(&mut self, mut earlier: VecDeque<Replay>) {
        if !earlier.is_empty() {
            earlier.append(self.replays());
            *self.replays() = earlier;
        }
    }

    /// True if there are retained messages to be sent.
    pub(crate) fn has_replays(&self) -> bool {
        self.replays
            .as_ref()
            .is_some_and(|replays| !replays.is_empty())
    }

    /// Seconds between the loss of the connection and the will; the end of the session comes first.
    pub(crate) fn will_delay(&self) -> u32 {
        self.will
            .as_ref()
            .map_or(0, |will| will.delay_interval.min(self.expiry_interval))
    }

    /// When its will is to be published, or when it ends, if it is without a connection.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let lost = self.disconnected.filter(|_| self.connection.is_none())?;
        let will = self.will.as_ref().map(|_| self.will_delay());
        let end = Some(self.expiry_interval).filter(|seconds| *seconds < u32::MAX);
        let seconds = will.into_iter().chain(end).min()?;
        Some(lost.after_secs(seconds))
    }

    /// Sends no more retained messages for a subscription.
    pub(crate) fn forget_replay(&mut self, filter: TopicFilter<&[u8]>) {
        if let Some(replays) = &mut self.replays {
            replays.retain(|replay| replay.filter.as_bytes() != filter.as_bytes());
        }
    }

    pub(crate) fn record(&self) -> SessionRecord {
        SessionRecord {
            expiry_interval: self.expiry_interval,
            disconnected: self.disconnected,
            sent_before: self.outbound.sent_before(),
            will: self.will.as_deref().cloned(),
            identity: self.identity.clone(),
        }
    }
}

/// All sessions of a shard, by number and by client identifier.
pub(crate) struct Sessions {
    shard: usize,
    slab: Slab<Session>,
    by_client: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    next_epoch: u32,
}

impl Sessions {
    pub(crate) fn new(shard: usize) -> Self {
        Self {
            shard,
            slab: Slab::new(),
            by_client: HashTable::new(),
            hasher: foldhash::fast::RandomState::default(),
            next_epoch: 0,
        }
    }

    /// True if there is no number left for a further session.
    pub(crate) fn is_full(&self) -> bool {
        self.slab.len() >= 1 << INDEX_BITS
    }

    pub(crate) fn find(&self, client: &str) -> Option<SessionId> {
        let hash = self.hasher.hash_one(client);
        let index = *self.by_client.find(hash, |index| {
            self.slab
                .get(*index as usize)
                .is_some_and(|session| session.client.as_str() == client)
        })?;
        let epoch = self.slab.get(index as usize)?.epoch;
        Some(SessionId::new(self.shard, index as usize, epoch))
    }

    pub(crate) fn get(&self, id: SessionId) -> Option<&Session> {
        self.slab
            .get(id.index())
            .filter(|session| session.epoch == id.epoch)
    }

    pub(crate) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.slab
            .get_mut(id.index())
            .filter(|session| session.epoch == id.epoch)
    }

    /// A new session of a client that has none.
    pub(crate) fn insert(&mut self, client: ClientId, outbound: Outbound) -> SessionId {
        self.next_epoch = self.next_epoch.wrapping_add(1);
        let epoch = self.next_epoch;
        let hash = self.hasher.hash_one(client.as_str());
        let index = self.slab.insert(Session {
            client,
            epoch,
            stored: false,
            unrecorded: false,
            shown_full: false,
            expiry_interval: 0,
            connection: None,
            disconnected: None,
            due: None,
            subscriptions: FilterSet::None,
            outbound,
            received: None,
            will: None,
            replays: None,
            identity: None,
            readiness: None,
        });
        let id = SessionId::new(self.shard, index, epoch);
        self.by_client.insert_unique(hash, index as u32, |index| {
            self.slab
                .get(*index as usize)
                .map_or(0, |session| self.hasher.hash_one(session.client.as_str()))
        });
        id
    }

    pub(crate) fn remove(&mut self, id: SessionId) -> Option<Session> {
        self.get(id)?;
        let session = self.slab.remove(id.index());
        let hash = self.hasher.hash_one(session.client.as_str());
        if let Ok(entry) = self
            .by_client
            .find_entry(hash, |index| *index as usize == id.index())
        {
            entry.remove();
        }
        Some(session)
    }

    /// The epoch of the session that was made last.
    pub(crate) const fn last_epoch(&self) -> u32 {
        self.next_epoch
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There may be millions that are away.
    #[test]
    fn a_session_is_small() {
        let bytes = size_of::<Session>();
        assert!(bytes <= 176, "{bytes} bytes");
    }
}
