//! PUBLISH from a client: checked, retained, routed, acknowledged.

use std::sync::Arc;

use mqtt_codec::{
    Ack, Packet, PacketId, Properties, Property, Publish, PublishQoS, QoS, ReasonCode, TopicName,
    Version, levels,
};

use super::outcome::{Outcome, RUN_MAX};
use super::output::{Output, Release};
use super::{Engine, send_all};
use crate::state::{
    ConnectionId, KEEPER, Payloads, Publication, Retained, Route, SessionId, ShardSet, Target,
};
use crate::store::{Change, WillRecord};
use crate::{Instant, Violation};

/// The most bytes of payload in a run that has several messages. An outbox that had room may get so many
/// more than it is to hold.
const RUN_BYTES_MAX: usize = 16 * 1024;

impl Publication<'_> {
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
    /// Handles packets that came one behind the other, those of one topic together.
    pub(super) fn handle_publishes(
        &mut self,
        now: Instant,
        id: ConnectionId,
        publishes: &[Publish<&[u8]>],
        out: &mut Output,
    ) -> Result<(), Violation> {
        let mut rest = publishes;
        while let Some((run, behind)) = rest.split_at_checked(run_len(rest))
            && let Some(first) = run.first()
        {
            rest = behind;
            out.counters.messages_received += run.len() as u64;
            if !first.properties.is_empty() {
                self.publish_with_properties(now, id, first, out)?;
            } else if let Some(topic) = first.topic {
                self.accept(now, id, topic, run, Properties::default(), out)?;
            } else {
                return Err(Violation::TopicAliasUnknown);
            }
        }
        Ok(())
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
        let properties = &publish.properties;
        // [MQTT-3.3.4-6]
        if properties.subscription_identifiers().next().is_some() {
            return Err(Violation::SubscriptionIdentifierSent);
        }
        let alias_max = self.limits().topic_alias_maximum;
        let Some(connection) = self.connection_mut(id) else {
            return Ok(());
        };
        let mut aliased = Vec::new();
        if let Some(alias) = properties.topic_alias() {
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
        let alone = std::slice::from_ref(publish);
        if properties.iter().any(|property| own(&property)) {
            let forwarded = properties.without(own);
            self.accept(now, id, topic, alone, forwarded.as_view(), out)
        } else {
            self.accept(now, id, topic, alone, *properties, out)
        }
    }

    /// Publishes what the client may publish, and acknowledges it. One of QoS 2 comes alone.
    ///
    /// `[MQTT-4.3.2-4]` `[MQTT-4.3.2-5]` `[MQTT-4.3.3-8]` `[MQTT-4.3.3-12]`
    fn accept(
        &mut self,
        now: Instant,
        id: ConnectionId,
        topic: TopicName<&[u8]>,
        run: &[Publish<&[u8]>],
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
        let (Some(session), Some(first)) = (connection.session(), run.first()) else {
            return Ok(());
        };
        let full = connection.unreleased >= receive_maximum;
        if levels(topic.bytes()).count() > levels_max {
            return Err(Violation::TopicTooDeep);
        }
        let permitted = connection.may_publish(topic);
        if let PublishQoS::ExactlyOnce(packet_id) = first.qos {
            // [MQTT-4.3.3-10]
            if self.is_received(session, packet_id) {
                let again = |_| ReasonCode::Success;
                self.acknowledge(id, run, again, Release::AfterCommit, out);
                return Ok(());
            }
            // [MQTT-3.3.4-7]
            if full {
                return Err(Violation::ReceiveMaximumExceeded);
            }
        }
        if !permitted {
            out.counters.refused += run.len() as u64;
            self.acknowledge(id, run, |_| ReasonCode::NotAuthorized, Release::Now, out);
            return Ok(());
        }
        let expires = first
            .properties
            .message_expiry_interval()
            .map(|seconds| now.after_secs(seconds));
        let mut publication = Publication {
            topic: topic.bytes(),
            properties: properties.raw(),
            payloads: Payloads::Of(run),
            qos: first.qos.level(),
            retain: first.retain,
            expires,
            publisher: Some(session),
            kept: Vec::new(),
        };
        let outcome = self.publish(now, &mut publication, out);
        self.acknowledge_published(id, session, run, &outcome, out);
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
        run: &[Publish<&[u8]>],
        outcome: &Outcome,
        out: &mut Output,
    ) {
        // Before 5.0 there is no way to say so: the exchange goes on as if nothing had happened.
        let Some(connection) = self.connections.get_mut(id.index as usize) else {
            return;
        };
        let v5 = connection.version == Version::V5;
        let reason = |index| {
            if outcome.has_overflowed(index) && v5 {
                ReasonCode::QuotaExceeded
            } else if outcome.matched {
                ReasonCode::Success
            } else {
                ReasonCode::NoMatchingSubscribers
            }
        };
        let mut release = if outcome.stored {
            Release::AfterCommit
        } else {
            Release::Now
        };
        // After a failure, the packet identifier is free again. [MQTT-4.3.3-9]
        if let Some(PublishQoS::ExactlyOnce(packet_id)) = run.first().map(|publish| publish.qos)
            && !reason(0).is_failure()
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
        self.acknowledge(id, run, reason, release, out);
    }

    /// Sends PUBACK or PUBREC for each message of a run. `[MQTT-3.3.4-1]`
    fn acknowledge(
        &mut self,
        id: ConnectionId,
        run: &[Publish<&[u8]>],
        reason: impl Fn(usize) -> ReasonCode,
        release: Release,
        out: &mut Output,
    ) {
        let asked = run
            .first()
            .is_some_and(|first| first.qos != PublishQoS::AtMostOnce);
        let Some(connection) = self.connection_mut(id).filter(|_| asked) else {
            return;
        };
        let packets = run.iter().enumerate().filter_map(|(index, publish)| {
            let packet: Packet<&[u8]> = match publish.qos {
                PublishQoS::AtMostOnce => return None,
                PublishQoS::AtLeastOnce(id) => Packet::PubAck(Ack::new(id, reason(index))),
                PublishQoS::ExactlyOnce(id) => Packet::PubRec(Ack::new(id, reason(index))),
            };
            Some(packet)
        });
        send_all(connection, packets, release, out);
    }

    /// Publishes the will of a session: a message like any other that its client publishes.
    pub(super) fn publish_will(
        &mut self,
        now: Instant,
        publisher: SessionId,
        will: &WillRecord,
        out: &mut Output,
    ) {
        // It keeps its retain flag. [MQTT-3.1.2-14] [MQTT-3.1.2-15]
        let mut publication = Publication::of_kept(&will.message);
        publication.publisher = Some(publisher);
        if let Some(seconds) = will.message_expiry_interval {
            // The message to keep is another one: its lifetime begins now.
            publication.expires = Some(now.after_secs(seconds));
            publication.payloads = Payloads::One(will.message.payload());
        }
        self.publish(now, &mut publication, out);
    }

    /// Retains the message if it is to be, and delivers the run to all who subscribed to its topic.
    ///
    /// Each run is handled wholly before the next: so all subscribers of a topic see its messages in
    /// one order, whoever publishes them.
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
            self.retain_and_publish(now, publication, &mut outcome, out);
            return outcome;
        }
        let route = self.routes.route(&self.seat.exchange, publication.topic);
        if route.is_within(self.seat.shard) {
            self.deliver_run(now, &route, publication, &mut outcome, out);
            return outcome;
        }
        // Held until each shard has the run in its inbox, and this one has delivered it: so all shards
        // see one order.
        let seat = self.seat.clone();
        let _order = seat.exchange.order(publication.topic);
        // What has its place before this.
        self.receive(now, out);
        // Who has subscribed meanwhile may get what has its place behind this, and so gets this, too.
        let route = self.routes.route(&seat.exchange, publication.topic);
        self.post(&route, publication, &mut outcome, out);
        self.deliver_run(now, &route, publication, &mut outcome, out);
        outcome
    }

    /// Retains the message, and delivers it.
    ///
    /// Whoever looks at the retained messages meanwhile finds that it is retained and on its way, or
    /// neither.
    fn retain_and_publish(
        &mut self,
        now: Instant,
        publication: &mut Publication<'_>,
        outcome: &mut Outcome,
        out: &mut Output,
    ) {
        let seat = self.seat.clone();
        let _order = seat.exchange.order(publication.topic);
        self.receive(now, out);
        let mut retained = seat.exchange.retained_mut();
        self.retain(&mut retained, publication, outcome, out);
        seat.exchange.count_retained(&retained);
        // Not before: a subscription made since must not miss the message.
        let route = self.routes.route(&seat.exchange, publication.topic);
        self.post(&route, publication, outcome, out);
        drop(retained);
        self.deliver_run(now, &route, publication, outcome, out);
    }

    /// Puts a run into the inboxes of the other shards that have receivers.
    fn post(
        &self,
        route: &Arc<Route>,
        publication: &mut Publication<'_>,
        outcome: &mut Outcome,
        out: &mut Output,
    ) {
        let exchange = &self.seat.exchange;
        let others = route.shards().without(ShardSet::of(self.seat.shard));
        outcome.matched |= !others.is_empty();
        let stored = publication.qos > QoS::AtMostOnce
            && !route
                .storing()
                .without(ShardSet::of(self.seat.shard))
                .is_empty();
        if stored {
            out.await_others();
            outcome.stored = true;
        }
        if publication.qos > QoS::AtMostOnce {
            self.look_ahead(route, others, publication, outcome);
        }
        for shard in others {
            if let Some(inbox) = exchange.inbox(shard) {
                let all = 0..publication.len();
                let (target, budget) = (Target::Receivers, &self.budget);
                let taken = inbox.post(route, target, publication, all, stored, budget);
                if !taken {
                    outcome.overflow_all(publication, out);
                }
                out.reach(shard);
            }
        }
    }

    /// Notes what will not be queued in other shards, as far as can be seen from here.
    fn look_ahead(
        &self,
        route: &Route,
        others: ShardSet,
        publication: &Publication<'_>,
        outcome: &mut Outcome,
    ) {
        let receivers = others.flat_map(|shard| route.receivers(shard));
        let mut queued = receivers.filter(|one| one.queues()).peekable();
        if queued.peek().is_none() {
            return;
        }
        let full = self.seat.exchange.any_full(queued.map(|one| one.session));
        for index in 0..publication.len() {
            if full || !self.budget.fits(0, publication.bytes(index)) {
                outcome.overflow(index);
            }
        }
    }

    /// Delivers a run to the receivers of this shard, and to one member of each shared subscription.
    fn deliver_run(
        &mut self,
        now: Instant,
        route: &Arc<Route>,
        publication: &mut Publication<'_>,
        outcome: &mut Outcome,
        out: &mut Output,
    ) {
        self.variants.clear();
        let all = 0..publication.len();
        for receiver in route.receivers(self.seat.shard) {
            self.deliver(now, publication, all.clone(), receiver, outcome, out);
        }
        for group in 0..route.groups.len() {
            self.share(now, route, group, publication, outcome, out);
        }
    }

    // [MQTT-3.3.1-8]
    fn retain(
        &self,
        retained: &mut Retained,
        publication: &mut Publication<'_>,
        outcome: &mut Outcome,
        out: &mut Output,
    ) {
        let (exchange, topic) = (&self.seat.exchange, publication.topic);
        let change = if publication.payloads.get(0).is_empty() {
            // [MQTT-3.3.1-6] [MQTT-3.3.1-7]
            if !retained.remove(topic) {
                return;
            }
            Change::DeleteRetained {
                topic: publication.message(0, &self.budget).topic(),
            }
        } else {
            let full = exchange.retained_len() >= self.settings.limits.retained_max;
            let bytes = publication.bytes(0);
            let short = bytes > self.budget.share() || !self.budget.may_stay();
            if short || (full && retained.get(topic).is_none()) {
                out.counters.not_retained += 1;
                outcome.overflow(0);
                return;
            }
            let message = publication.message(0, &self.budget);
            retained.put(message.clone());
            Change::PutRetained { message }
        };
        outcome.stored = true;
        match exchange.inbox(KEEPER) {
            Some(inbox) if self.seat.shard != KEEPER => {
                inbox.post_change(change);
                out.await_others();
                out.reach(KEEPER);
            }
            _ => out.change(change),
        }
    }
}

/// How many packets at the front are handled together: those that differ in nothing but payload and
/// packet identifier. What is retained, and what is of QoS 2, is handled alone.
fn run_len(publishes: &[Publish<&[u8]>]) -> usize {
    let Some(first) = publishes.first() else {
        return 0;
    };
    let level = first.qos.level();
    if first.retain || level == QoS::ExactlyOnce || !first.properties.is_empty() {
        return 1;
    }
    let topic = first.topic.map(TopicName::bytes);
    let mut bytes = 0;
    let alike = publishes.iter().take(RUN_MAX).take_while(|next| {
        bytes += next.payload.len();
        bytes <= RUN_BYTES_MAX
            && next.qos.level() == level
            && !next.retain
            && next.properties.is_empty()
            && next.topic.map(TopicName::bytes) == topic
    });
    alike.count().max(1)
}
