//! Subscribing and unsubscribing, also while there is no connection.

use mqtt_codec::{
    Packet, PacketId, Properties, Property, PropertyOwner, QoS, ReasonCode, RetainHandling, SubAck,
    Subscribe, Subscription, SubscriptionOptions, Subscriptions as Payload, TopicFilter,
    TopicFilters, UnsubAck, Unsubscribe,
};

use super::control::ControlPacket;
use super::event::{Availability, Event};
use super::phase::Phase;
use super::subscriptions::{Asked, Leaving, Pending, SubscriptionState, Told};
use super::{Session, SubscriptionId};
use crate::error::Refusal;
use crate::{Error, Instant, Violation};

/// SUBSCRIBE packets are filled up to about so many bytes, where several subscriptions share one.
const SUBSCRIBE_BYTES: usize = 16 << 10;

/// Fixed header, packet identifier and subscription identifier take no more bytes.
const AROUND_FILTERS: usize = 16;

/// A SUBSCRIBE or UNSUBSCRIBE more than this waits for an answer to one before.
const PENDING_MAX: usize = 1000;

/// Filters whose packet is being filled.
#[derive(Default)]
struct Batch {
    asked: Vec<Asked>,
    filters: Vec<(TopicFilter, SubscriptionOptions)>,
    bytes: usize,
}

impl Session {
    /// Subscribes to topic filters that have one reader. [`Event::Subscribed`] brings the server's answer,
    /// at the next connection if there is none now; and once more if a server refuses a filter when it is
    /// subscribed to again.
    ///
    /// The options of each filter are those that were given last, if several subscriptions have it.
    ///
    /// # Errors
    /// [`Error::Encode`] without a filter, for a shared one with No Local, or for properties that are none
    /// of a SUBSCRIBE; [`Error::Ended`].
    pub fn subscribe(
        &mut self,
        now: Instant,
        filters: Vec<(TopicFilter, SubscriptionOptions)>,
        properties: &Properties,
    ) -> Result<SubscriptionId, Error> {
        self.takes_calls()?;
        payload(&filters)?;
        let is_ours =
            |property: &Property<'_>| matches!(property, Property::SubscriptionIdentifier(_));
        let properties = properties.without(is_ours);
        Properties::decode(properties.as_view().raw(), PropertyOwner::Subscribe)
            .map_err(Error::Invalid)?;
        let wanted: Vec<TopicFilter> = filters.iter().map(|(filter, _)| filter.clone()).collect();
        let id = self.subscriptions.add(filters, properties);
        let wants =
            |message: &crate::Message| wanted.iter().any(|filter| filter.matches(&message.topic));
        for (delivery, message) in self.incoming.claim(id, wants) {
            self.events.push_back(Event::Message {
                subscription: id,
                delivery: Some(delivery),
                message,
            });
        }
        self.subscribe_what_changed(now);
        Ok(id)
    }

    /// Ends a subscription: [`Event::Unsubscribed`] brings the server's answer. What its reader has not
    /// acknowledged counts as acknowledged. After the end there is nothing to do, and no event.
    pub fn unsubscribe(&mut self, now: Instant, id: SubscriptionId) {
        if self.ended().is_some() {
            return;
        }
        let Some((_, leaving)) = self.subscriptions.remove(id) else {
            self.events
                .push_back(Event::Unsubscribed { id, result: Ok(()) });
            return;
        };
        self.incoming.give_up(id);
        self.acknowledge_in_turn(now);
        self.subscriptions.leave(leaving);
        self.subscribe_what_changed(now);
    }

    /// The reader of a subscription is gone. In a session that ends with the client, it is unsubscribed;
    /// in one that stays, so does the subscription, and its messages are held, un-acknowledged, for
    /// whoever subscribes next.
    pub fn detach(&mut self, now: Instant, id: SubscriptionId) {
        if self.session_stays() {
            self.incoming.abandon(id);
            self.subscriptions.remove(id);
        } else {
            self.unsubscribe(now, id);
        }
    }

    /// Asks a server that has begun a new session for everything.
    pub(super) fn subscribe_to_all(&mut self, now: Instant) {
        for leaving in self.subscriptions.take_leaving() {
            let id = leaving.id;
            self.events
                .push_back(Event::Unsubscribed { id, result: Ok(()) });
        }
        self.subscriptions.all_wanted();
        self.subscribe_what_changed(now);
    }

    /// Asks the server for what it was not asked for yet.
    pub(super) fn subscribe_what_changed(&mut self, _: Instant) {
        if !matches!(self.phase, Phase::Connected(_)) {
            return;
        }
        for leaving in self.subscriptions.take_leaving() {
            self.send_unsubscribe(leaving);
        }
        let mut batch = Batch::default();
        for id in self.subscriptions.wanted() {
            if self.subscriptions.pending_len() >= PENDING_MAX {
                break;
            }
            self.add_to_batch(id, &mut batch);
        }
        self.send_subscribe(batch);
    }

    /// With subscription identifiers, and with properties, each subscription has a packet of its own.
    fn add_to_batch(&mut self, id: SubscriptionId, batch: &mut Batch) {
        if let Err(error) = self.check_subscription(id) {
            self.subscribed(id, Err(error));
            self.subscriptions.remove(id);
            return;
        }
        let Some(subscription) = self.subscriptions.get_mut(id) else {
            return;
        };
        let mut filters = subscription.filters.clone();
        if subscription.state == SubscriptionState::Uncertain {
            filters
                .iter_mut()
                .for_each(|(_, options)| only_if_new(options));
        }
        subscription.state = SubscriptionState::Asked;
        let is_alone = !subscription.properties.is_empty() || self.has_identifiers();
        let bytes = bytes_of(&filters);
        if is_alone || batch.bytes + bytes > self.subscribe_bytes() {
            self.send_subscribe(std::mem::take(batch));
        }
        batch.asked.push(Asked {
            id,
            filters: filters.iter().map(|(filter, _)| filter.clone()).collect(),
        });
        batch.filters.extend(filters);
        batch.bytes += bytes;
        if is_alone {
            self.send_subscribe(std::mem::take(batch));
        }
    }

    /// How many bytes of filters a SUBSCRIBE may have. `[MQTT-3.2.2-15]`
    fn subscribe_bytes(&self) -> usize {
        let agreed = self.connected();
        agreed.map_or(SUBSCRIBE_BYTES, |agreed| {
            let room = agreed.packet_bytes_max.saturating_sub(AROUND_FILTERS);
            room.min(SUBSCRIBE_BYTES)
        })
    }

    fn has_identifiers(&self) -> bool {
        let agreed = self.connected();
        agreed.is_some_and(|agreed| agreed.identifiers_available == Availability::Available)
    }

    /// What the server has said not to have is not asked for.
    fn check_subscription(&mut self, id: SubscriptionId) -> Result<(), Error> {
        let agreed = self.connected().cloned();
        let (Some(agreed), Some(subscription)) = (agreed, self.subscriptions.get_mut(id)) else {
            return Ok(());
        };
        let bytes = bytes_of(&subscription.filters)
            + subscription.properties.as_view().raw().len()
            + AROUND_FILTERS;
        if bytes > agreed.packet_bytes_max {
            return Err(Error::TooLarge {
                bytes,
                bytes_max: agreed.packet_bytes_max,
            });
        }
        let mut filters = subscription.filters.iter().map(|(filter, _)| filter);
        let has = |availability| availability == Availability::Available;
        let lacking = filters.find_map(|filter| {
            if filter.has_wildcard() && !has(agreed.wildcard_available) {
                return Some("wildcard subscriptions");
            }
            let is_5 = agreed.version.has_properties();
            let is_shared = filter.share_name().is_some();
            (is_5 && is_shared && !has(agreed.shared_available)).then_some("shared subscriptions")
        });
        lacking.map_or(Ok(()), |what| Err(Error::Unsupported(what)))
    }

    fn send_subscribe(&mut self, batch: Batch) {
        let Some(first) = batch.asked.first().map(|asked| asked.id) else {
            return;
        };
        let packet_id = self.free_packet_id();
        let identifier = self
            .has_identifiers()
            .then_some(Property::SubscriptionIdentifier(first.0));
        let Some(subscription) = self.subscriptions.get_mut(first) else {
            return;
        };
        // Both were checked when the subscription was made.
        let properties =
            Properties::new(identifier.into_iter().chain(subscription.properties.iter()));
        if let (Ok(subscriptions), Ok(properties)) = (payload(&batch.filters), properties) {
            self.subscriptions
                .expect(packet_id, Pending::Subscribe(batch.asked));
            let packet = Packet::Subscribe(Subscribe {
                packet_id,
                properties,
                subscriptions,
            });
            self.control
                .push_after(ControlPacket::Other(Box::new(packet)), self.begun);
        }
    }

    /// `[MQTT-3.10.3-1]` `[MQTT-3.10.3-2]`
    fn send_unsubscribe(&mut self, leaving: Leaving) {
        let id = leaving.id;
        let Ok(filters) = TopicFilters::new(leaving.filters.iter().map(TopicFilter::as_view))
        else {
            // Others still read all of them.
            self.events
                .push_back(Event::Unsubscribed { id, result: Ok(()) });
            return;
        };
        if let Err(error) = self.check_unsubscription(&leaving.filters) {
            let result = Err(error);
            self.events.push_back(Event::Unsubscribed { id, result });
            return;
        }
        let packet_id = self.free_packet_id();
        self.subscriptions
            .expect(packet_id, Pending::Unsubscribe(leaving));
        self.control.push(Packet::Unsubscribe(Unsubscribe {
            packet_id,
            properties: Properties::default(),
            filters,
        }));
    }

    /// The server may take less than the one that was subscribed with. `[MQTT-3.2.2-15]`
    fn check_unsubscription(&self, filters: &[TopicFilter]) -> Result<(), Error> {
        let bytes_max = self
            .connected()
            .map_or(usize::MAX, |agreed| agreed.packet_bytes_max);
        let lengths = filters.iter().map(|filter| filter.as_bytes().len() + 2);
        let bytes = lengths.sum::<usize>() + AROUND_FILTERS;
        if bytes > bytes_max {
            return Err(Error::TooLarge { bytes, bytes_max });
        }
        Ok(())
    }

    /// A packet identifier that no packet of ours uses, and no message soon will. `[MQTT-2.2.1-3]`
    /// `[MQTT-2.3.1-2] of 3.1.1`
    fn free_packet_id(&self) -> PacketId {
        let free = (0..65_535)
            .map(|step| self.outgoing.far_packet_id(step))
            .find(|id| !self.subscriptions.is_in_use(*id));
        free.unwrap_or_else(|| self.outgoing.far_packet_id(0))
    }

    /// SUBACK. `[MQTT-2.2.1-6]` `[MQTT-3.8.4-6]`
    pub(super) fn handle_suback(&mut self, now: Instant, suback: &SubAck) -> Result<(), Violation> {
        let Some(Pending::Subscribe(asked)) = self.subscriptions.answered(suback.packet_id) else {
            return Err(Violation::UnexpectedAcknowledgement);
        };
        let expected: usize = asked.iter().map(|asked| asked.filters.len()).sum();
        if suback.reasons.iter().count() != expected {
            return Err(Violation::ReasonCodeCount);
        }
        let mut reasons = suback.reasons.iter();
        for Asked { id, filters } in asked {
            let answers: Vec<ReasonCode> = reasons.by_ref().take(filters.len()).collect();
            self.answered(id, &filters, &answers, suback);
        }
        self.subscribe_what_changed(now);
        Ok(())
    }

    fn answered(
        &mut self,
        id: SubscriptionId,
        filters: &[TopicFilter],
        answers: &[ReasonCode],
        suback: &SubAck,
    ) {
        let result: Vec<Result<QoS, ReasonCode>> =
            answers.iter().map(|reason| granted(*reason)).collect();
        let refused: Vec<TopicFilter> = filters
            .iter()
            .zip(answers)
            .filter(|(_, reason)| reason.is_failure())
            .map(|(filter, _)| filter.clone())
            .collect();
        let is_news = !refused.is_empty();
        // One that was unsubscribed from meanwhile has nobody to hear it.
        let Some(subscription) = self.subscriptions.get_mut(id) else {
            return;
        };
        subscription.state = SubscriptionState::Made;
        let told = std::mem::replace(&mut subscription.told, Told::Told);
        if is_news || told == Told::NotYet {
            let all = refused.len() == filters.len();
            let first = answers.first().copied().filter(|_| all);
            let result = match first {
                Some(reason) if filters.len() == 1 => {
                    Err(Error::Refused(Refusal::new(reason, &suback.properties)))
                }
                Some(_) | None => Ok(result),
            };
            self.subscribed(id, result);
        }
        self.subscriptions.refuse(id, &refused);
    }

    fn subscribed(
        &mut self,
        id: SubscriptionId,
        result: Result<Vec<Result<QoS, ReasonCode>>, Error>,
    ) {
        self.events.push_back(Event::Subscribed { id, result });
    }

    /// UNSUBACK. `[MQTT-2.2.1-6]` `[MQTT-3.11.3-2]`
    pub(super) fn handle_unsuback(
        &mut self,
        now: Instant,
        unsuback: &UnsubAck,
    ) -> Result<(), Violation> {
        let Some(Pending::Unsubscribe(leaving)) = self.subscriptions.answered(unsuback.packet_id)
        else {
            return Err(Violation::UnexpectedAcknowledgement);
        };
        let has_reasons = self.protocol.version.has_properties();
        if has_reasons && unsuback.reasons.iter().count() != leaving.filters.len() {
            return Err(Violation::ReasonCodeCount);
        }
        let failure = unsuback.reasons.iter().find(|reason| reason.is_failure());
        let result = failure.map_or(Ok(()), |reason| {
            Err(Error::Refused(Refusal::new(reason, &unsuback.properties)))
        });
        let id = leaving.id;
        self.events.push_back(Event::Unsubscribed { id, result });
        self.subscribe_what_changed(now);
        Ok(())
    }
}

/// Topic filters are UTF-8 by their type. `[MQTT-3.8.3-1]` `[MQTT-3.8.3-2]` `[MQTT-3.8.3-4]`
fn payload(filters: &[(TopicFilter, SubscriptionOptions)]) -> Result<Payload, Error> {
    let subscriptions = filters.iter().map(|(filter, options)| Subscription {
        filter: filter.as_view(),
        options: *options,
    });
    Payload::new(subscriptions).map_err(Error::Encode)
}

/// What is retained has been sent already, if the subscription exists.
fn only_if_new(options: &mut SubscriptionOptions) {
    if options.retain_handling == RetainHandling::Send {
        options.retain_handling = RetainHandling::SendIfNew;
    }
}

fn bytes_of(filters: &[(TopicFilter, SubscriptionOptions)]) -> usize {
    filters
        .iter()
        .map(|(filter, _)| filter.as_bytes().len() + 3)
        .sum()
}

fn granted(reason: ReasonCode) -> Result<QoS, ReasonCode> {
    if reason.is_failure() {
        return Err(reason);
    }
    Ok(QoS::from_number(reason as u8).unwrap_or_default())
}
