//! SUBSCRIBE and UNSUBSCRIBE, and the retained messages that a new subscription brings.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use mqtt_codec::{
    Packet, Properties, QoS, ReasonCode, ReasonCodes, RetainHandling, SubAck, Subscribe,
    Subscription, SubscriptionOptions, UnsubAck, Unsubscribe, levels,
};

use super::output::{Output, Release};
use super::{Engine, send};
use crate::budget::SUBSCRIPTION_BYTES;
use crate::state::{Connection, ConnectionId, Cursor, Granted, Replay, Session, SessionId};
use crate::store::{Change, SubscriptionRecord};
use crate::{Instant, Violation};

impl Engine {
    // [MQTT-2.2.1-6] [MQTT-3.8.4-1] [MQTT-3.8.4-7] [MQTT-3.2.2-10]
    pub(super) fn handle_subscribe(
        &mut self,
        now: Instant,
        id: ConnectionId,
        subscribe: &Subscribe<&[u8]>,
        out: &mut Output,
    ) -> Result<(), Violation> {
        let Some(session) = self.connection_session(id) else {
            return Ok(());
        };
        let identifier = subscribe
            .properties
            .subscription_identifiers()
            .next()
            .and_then(NonZeroU32::new);
        // As if each came in a packet of its own. [MQTT-3.8.4-5] [MQTT-3.9.3-1]
        let of_session = self.sessions.get_mut(session);
        let mut earlier = of_session.map_or_else(VecDeque::new, Session::take_replays);
        let reasons: ReasonCodes = subscribe
            .subscriptions
            .iter()
            .map(|subscription| {
                self.subscribe(id, session, subscription, identifier, &mut earlier, out)
            })
            .collect();
        if let Some(session) = self.sessions.get_mut(session) {
            session.put_replays_first(earlier);
        }
        self.show(session);
        let packet = SubAck {
            packet_id: subscribe.packet_id,
            properties: Properties::default(),
            reasons,
        };
        let release = self.release_for(session);
        if let Some(connection) = self.connection_mut(id) {
            send(connection, &Packet::SubAck(packet), release, out);
        }
        self.replay(now, session, out);
        Ok(())
    }

    /// Makes one subscription. `earlier`: what is still to be sent for those of earlier packets.
    ///
    /// `[MQTT-3.8.4-4]`
    fn subscribe(
        &mut self,
        id: ConnectionId,
        session_id: SessionId,
        subscription: Subscription<'_>,
        identifier: Option<NonZeroU32>,
        earlier: &mut VecDeque<Replay>,
        out: &mut Output,
    ) -> ReasonCode {
        let Subscription { filter, .. } = subscription;
        let (levels_max, subscriptions_max) = (
            self.limits().topic_levels_max,
            self.limits().subscriptions_max,
        );
        if levels(filter.filter()).count() > levels_max {
            return ReasonCode::TopicFilterInvalid;
        }
        let short = self.is_memory_short();
        let connection = self.connection_mut(id);
        let Some(connection) = connection.filter(|one| one.may_subscribe(filter)) else {
            return ReasonCode::NotAuthorized;
        };
        let options = options(connection, subscription);
        let Some(session) = self.sessions.get_mut(session_id) else {
            return ReasonCode::UnspecifiedError;
        };
        let replaces = || {
            let there = self.seat.exchange.find(filter);
            there.is_some_and(|there| session.subscriptions.contains(there))
        };
        let full = short || session.subscriptions.len() >= subscriptions_max;
        if full && !replaces() {
            out.counters.refused_memory += u64::from(short);
            return ReasonCode::QuotaExceeded;
        }
        let record = SubscriptionRecord {
            options,
            identifier,
        };
        if filter.share_name().is_some() && session.readiness.is_none() {
            session.readiness = self.seat.exchange.readiness(session_id);
        }
        let granted = Granted::new(record, session.stored);
        let filter_id = self.seat.exchange.subscribe(session_id, filter, granted);
        let new = session.subscriptions.insert(filter_id);
        self.budget.take(if new { SUBSCRIPTION_BYTES } else { 0 });
        if session.stored {
            let (client, filter) = (session.client.clone(), filter.to_bytes());
            out.change(Change::PutSubscription {
                client,
                filter,
                subscription: record,
            });
        }
        let wanted = match options.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => new,
            RetainHandling::DoNotSend => false,
        };
        // Shared subscriptions get no retained messages.
        if wanted && filter.share_name().is_none() && self.seat.exchange.may_have_retained() {
            // One that is under way for the same filter begins anew. In one packet, each of the same
            // filter brings its own, as long as there are not too many.
            earlier.retain(|replay| replay.filter.as_bytes() != filter.as_bytes());
            if session.replays().len() >= subscriptions_max {
                session.forget_replay(filter);
            }
            session.replays().push_back(Replay {
                filter: filter.to_bytes(),
                granted,
                cursor: Cursor::default(),
            });
        }
        match options.qos {
            QoS::AtMostOnce => ReasonCode::Success,
            QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
            QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
        }
    }

    // [MQTT-3.10.4-2] [MQTT-3.10.4-3] [MQTT-3.10.4-4] [MQTT-3.10.4-6]
    pub(super) fn handle_unsubscribe(
        &mut self,
        id: ConnectionId,
        unsubscribe: &Unsubscribe<&[u8]>,
        out: &mut Output,
    ) -> Result<(), Violation> {
        let Some(session_id) = self.connection_session(id) else {
            return Ok(());
        };
        let mut reasons = Vec::new();
        for filter in unsubscribe.filters.iter() {
            let Some(session) = self.sessions.get_mut(session_id) else {
                return Ok(());
            };
            // [MQTT-3.10.4-1]
            let ended = self.seat.exchange.unsubscribe(session_id, filter);
            if let Some(filter_id) = ended {
                session.subscriptions.remove(filter_id);
                self.budget.give(SUBSCRIPTION_BYTES);
                session.forget_replay(filter);
                if session.stored {
                    let (client, filter) = (session.client.clone(), filter.to_bytes());
                    out.change(Change::DeleteSubscription { client, filter });
                }
            }
            reasons.push(if ended.is_some() {
                ReasonCode::Success
            } else {
                ReasonCode::NoSubscriptionExisted
            });
        }
        let reasons = reasons.into_iter().collect();
        let packet = UnsubAck {
            packet_id: unsubscribe.packet_id,
            properties: Properties::default(),
            reasons,
        };
        let release = self.release_for(session_id);
        if let Some(connection) = self.connection_mut(id) {
            // [MQTT-3.10.4-5]
            send(connection, &Packet::UnsubAck(packet), release, out);
        }
        Ok(())
    }

    /// When an answer about the state of a session may leave.
    pub(super) fn release_for(&self, session: SessionId) -> Release {
        let stored = self
            .sessions
            .get(session)
            .is_some_and(|session| session.stored);
        if stored {
            Release::AfterCommit
        } else {
            Release::Now
        }
    }
}

/// What is asked for. A bridge cannot ask, before 5.0, for what its other side needs: that a message
/// is not there twice, and is retained on both sides.
fn options(connection: &Connection, subscription: Subscription<'_>) -> SubscriptionOptions {
    let Subscription { filter, options } = subscription;
    if !connection.bridge {
        return options;
    }
    SubscriptionOptions {
        // A shared subscription has no such option. [MQTT-3.8.3-4]
        no_local: filter.share_name().is_none(),
        retain_as_published: true,
        ..options
    }
}
