//! PUBLISH from a client: checked, retained, routed, acknowledged.

use std::sync::Arc;

use mqtt_codec::{
    Ack, Packet, PacketId, Properties, Property, Publish, PublishQoS, QoS, ReasonCode, TopicName,
    Version, levels,
};

use super::output::{Output, Release};
use super::{Engine, send};
use crate::state::{ConnectionId, FilterId, Receiver, SessionId};
use crate::store::{Change, WillRecord};
use crate::{Instant, Message, Violation};

/// A message being published: the parts of a packet, or of a message that was kept.
pub(super) struct Publication<'a> {
    pub(super) topic: TopicName<&'a [u8]>,
    pub(super) properties: Properties<&'a [u8]>,
    pub(super) payload: &'a [u8],
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) expires: Option<Instant>,
    /// Who publishes, for No Local.
    pub(super) publisher: Option<SessionId>,
    /// The message to keep, made when the first receiver needs it.
    message: Option<Arc<Message>>,
}

/// What became of a message.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// True if there was anybody to get it.
    pub(super) matched: bool,
    /// True if it must be committed before it is acknowledged.
    pub(super) stored: bool,
    /// True if some queue was full.
    pub(super) overflowed: bool,
}

impl<'a> Publication<'a> {
    /// A message that was kept, with its topic.
    pub(super) fn kept(topic: TopicName<&'a [u8]>, message: &'a Arc<Message>) -> Self {
        Self {
            topic,
            properties: message.properties(),
            payload: message.payload(),
            qos: message.qos,
            retain: message.retain,
            expires: message.expires,
            publisher: None,
            message: Some(message.clone()),
        }
    }

    /// The message to keep; the same one for all who keep it.
    pub(super) fn message(&mut self) -> Arc<Message> {
        let made = self.message.get_or_insert_with(|| {
            let mut message = Message::new(self.topic, self.properties, self.payload);
            (message.qos, message.retain, message.expires) = (self.qos, self.retain, self.expires);
            Arc::new(message)
        });
        made.clone()
    }

    /// What is left of its lifetime, in seconds. `[MQTT-3.3.2-6]`
    pub(super) fn expiry_left(&self, now: Instant) -> Option<u32> {
        self.expires.map(|expires| seconds_left(expires, now))
    }
}

/// Seconds until `expires`, rounded up: what has waited for less than a second has not waited.
pub(super) fn seconds_left(expires: Instant, now: Instant) -> u32 {
    u32::try_from(expires.since(now).as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
}

impl Engine {
    pub(super) fn handle_publish(
        &mut self,
        now: Instant,
        id: ConnectionId,
        publish: &Publish<&[u8]>,
        out: &mut Output,
    ) -> Result<(), Violation> {
        out.counters.messages_received += 1;
        // [MQTT-3.3.4-6]
        if publish
            .properties
            .subscription_identifiers()
            .next()
            .is_some()
        {
            return Err(Violation::SubscriptionIdentifierSent);
        }
        if !publish.properties.is_empty() {
            return self.publish_with_properties(now, id, publish, out);
        }
        match publish.topic {
            Some(topic) => self.accept(now, id, topic, publish, Properties::default(), out),
            None => Err(Violation::TopicAliasUnknown),
        }
    }

    /// Resolves the topic alias, and takes out what is not forwarded as it came.
    #[inline(never)]
    fn publish_with_properties(
        &mut self,
        now: Instant,
        id: ConnectionId,
        publish: &Publish<&[u8]>,
        out: &mut Output,
    ) -> Result<(), Violation> {
        let alias_max = self.limits().topic_alias_maximum;
        let Some(connection) = self.connection_mut(id) else {
            return Ok(());
        };
        let mut aliased = Vec::new();
        if let Some(alias) = publish.properties.topic_alias() {
            // [MQTT-3.3.2-9]
            if alias > alias_max {
                return Err(Violation::TopicAliasTooLarge);
            }
            match publish.topic {
                Some(topic) => connection.aliases_in.set(alias, topic.bytes()),
                None => aliased.extend(
                    connection
                        .aliases_in
                        .topic(alias)
                        .ok_or(Violation::TopicAliasUnknown)?,
                ),
            }
        }
        let topic = match publish.topic {
            Some(topic) => topic,
            None => TopicName::new(aliased.as_slice()).map_err(Violation::Malformed)?,
        };
        let own = |property: &Property<'_>| {
            matches!(
                property,
                Property::TopicAlias(_) | Property::MessageExpiryInterval(_)
            )
        };
        if publish.properties.iter().any(|property| own(&property)) {
            let forwarded = publish.properties.without(own);
            self.accept(now, id, topic, publish, forwarded.as_view(), out)
        } else {
            self.accept(now, id, topic, publish, publish.properties, out)
        }
    }

    /// Publishes what the client may publish, and acknowledges it.
    ///
    /// `[MQTT-4.3.2-4]` `[MQTT-4.3.2-5]` `[MQTT-4.3.3-8]` `[MQTT-4.3.3-12]`
    fn accept(
        &mut self,
        now: Instant,
        id: ConnectionId,
        topic: TopicName<&[u8]>,
        publish: &Publish<&[u8]>,
        properties: Properties<&[u8]>,
        out: &mut Output,
    ) -> Result<(), Violation> {
        let (levels_max, receive_maximum) = (
            self.limits().topic_levels_max,
            self.limits().receive_maximum,
        );
        let Some(connection) = self.connection_mut(id) else {
            return Ok(());
        };
        let Some(session) = connection.session() else {
            return Ok(());
        };
        let full = connection.unreleased >= receive_maximum;
        if levels(topic.bytes()).count() > levels_max {
            return Err(Violation::TopicTooDeep);
        }
        let permitted = connection.may_publish(topic);
        if let PublishQoS::ExactlyOnce(packet_id) = publish.qos {
            // [MQTT-4.3.3-10]
            if self.is_received(session, packet_id) {
                self.acknowledge(
                    id,
                    publish.qos,
                    ReasonCode::Success,
                    Release::AfterCommit,
                    out,
                );
                return Ok(());
            }
            // [MQTT-3.3.4-7]
            if full {
                return Err(Violation::ReceiveMaximumExceeded);
            }
        }
        if !permitted {
            out.counters.refused += 1;
            self.acknowledge(
                id,
                publish.qos,
                ReasonCode::NotAuthorized,
                Release::Now,
                out,
            );
            return Ok(());
        }
        let expires = publish
            .properties
            .message_expiry_interval()
            .map(|seconds| now.after_secs(seconds));
        let mut publication = Publication {
            topic,
            properties,
            payload: publish.payload,
            qos: publish.qos.level(),
            retain: publish.retain,
            expires,
            publisher: Some(session),
            message: None,
        };
        let outcome = self.publish(now, &mut publication, out);
        self.acknowledge_published(id, session, publish.qos, &outcome, out);
        Ok(())
    }

    /// True if this QoS 2 message was taken before.
    fn is_received(&self, session: SessionId, packet_id: PacketId) -> bool {
        let session = self.sessions.get(session);
        session.is_some_and(|session| session.is_received(packet_id))
    }

    // [MQTT-3.3.5-2] of 3.1.1
    fn acknowledge_published(
        &mut self,
        id: ConnectionId,
        session_id: SessionId,
        qos: PublishQoS,
        outcome: &Outcome,
        out: &mut Output,
    ) {
        // Before 5.0 there is no way to say so: the exchange goes on as if nothing had happened.
        let Some(connection) = self.connections.get_mut(id.index as usize) else {
            return;
        };
        let v5 = connection.version == Version::V5;
        let reason = if outcome.overflowed && v5 {
            ReasonCode::QuotaExceeded
        } else if outcome.matched {
            ReasonCode::Success
        } else {
            ReasonCode::NoMatchingSubscribers
        };
        let mut release = if outcome.stored {
            Release::AfterCommit
        } else {
            Release::Now
        };
        // After a failure, the packet identifier is free again. [MQTT-4.3.3-9]
        if let PublishQoS::ExactlyOnce(packet_id) = qos
            && !reason.is_failure()
            && let Some(session) = self.sessions.get_mut(session_id)
        {
            session.receive(packet_id);
            connection.unreleased += 1;
            if session.stored {
                out.change(Change::PutReceived {
                    client: session.client.clone(),
                    packet_id,
                });
                release = Release::AfterCommit;
            }
        }
        self.acknowledge(id, qos, reason, release, out);
    }

    /// Sends PUBACK or PUBREC. `[MQTT-3.3.4-1]`
    fn acknowledge(
        &mut self,
        id: ConnectionId,
        qos: PublishQoS,
        reason: ReasonCode,
        release: Release,
        out: &mut Output,
    ) {
        let Some(connection) = self.connection_mut(id) else {
            return;
        };
        let packet: Packet<&[u8]> = match qos {
            PublishQoS::AtMostOnce => return,
            PublishQoS::AtLeastOnce(packet_id) => Packet::PubAck(Ack::new(packet_id, reason)),
            PublishQoS::ExactlyOnce(packet_id) => Packet::PubRec(Ack::new(packet_id, reason)),
        };
        send(connection, &packet, release, out);
    }

    /// Publishes the will of a session: a message like any other that its client publishes.
    pub(super) fn publish_will(
        &mut self,
        now: Instant,
        publisher: SessionId,
        will: &WillRecord,
        out: &mut Output,
    ) {
        let topic = will.message.topic();
        // It keeps its retain flag. [MQTT-3.1.2-14] [MQTT-3.1.2-15]
        let mut publication = Publication::kept(topic.as_view(), &will.message);
        publication.publisher = Some(publisher);
        if let Some(seconds) = will.message_expiry_interval {
            publication.expires = Some(now.after_secs(seconds));
            // The message to keep is another one: its lifetime begins now.
            publication.message = None;
        }
        self.publish(now, &mut publication, out);
    }

    /// Retains the message if it is to be, and delivers it to all who subscribed to its topic.
    ///
    /// Each message is handled wholly before the next: so all subscribers of a topic see its
    /// messages in one order, whoever publishes them.
    ///
    /// `[MQTT-4.5.0-1]` `[MQTT-4.6.0-5]` `[MQTT-4.6.0-6]`
    fn publish(
        &mut self,
        now: Instant,
        publication: &mut Publication<'_>,
        out: &mut Output,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        if publication.retain {
            self.retain(publication, &mut outcome, out);
        }
        let route = self.routes.route(publication.topic.bytes());
        self.variants.clear();
        for receiver in &route.receivers {
            self.deliver(now, publication, receiver, &mut outcome, out);
        }
        for filter in &route.shared {
            if let Some(receiver) = self.choose_member(*filter, publication.qos) {
                self.deliver(now, publication, &receiver, &mut outcome, out);
            }
        }
        outcome
    }

    /// The member of a shared subscription that gets a message: one that can take it now, else one
    /// that is connected, else one that comes back.
    ///
    /// `[MQTT-4.8.2-5]`
    fn choose_member(&mut self, filter: FilterId, qos: QoS) -> Option<Receiver> {
        let (sessions, connections) = (&self.sessions, &self.connections);
        self.routes.choose(filter, |id, granted| {
            let session = sessions.get(id)?;
            match session
                .connection
                .and_then(|connection| connections.get(connection.index as usize))
            {
                Some(connection)
                    if session.outbound.is_clear()
                        && session.outbound.may_send(connection.receive_maximum) =>
                {
                    Some(0)
                }
                Some(_) => Some(1),
                // QoS 0 does not wait.
                None => (qos.min(granted.qos) > QoS::AtMostOnce).then_some(2),
            }
        })
    }

    // [MQTT-3.3.1-8]
    fn retain(
        &mut self,
        publication: &mut Publication<'_>,
        outcome: &mut Outcome,
        out: &mut Output,
    ) {
        let topic = publication.topic;
        if publication.payload.is_empty() {
            // [MQTT-3.3.1-6] [MQTT-3.3.1-7]
            if self.retained.remove(topic.bytes()) {
                out.change(Change::DeleteRetained {
                    topic: publication.message().topic(),
                });
                outcome.stored = true;
            }
            return;
        }
        let full = self.retained.len() >= self.limits().retained_max;
        if full && self.retained.get(topic.bytes()).is_none() {
            out.counters.not_retained += 1;
            outcome.overflowed = true;
            return;
        }
        let message = publication.message();
        self.retained.put(message.clone());
        out.change(Change::PutRetained { message });
        outcome.stored = true;
    }
}
