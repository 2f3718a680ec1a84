//! What a test lets a client do. Each act is followed by all that comes of it.

use mqtt_codec::{Disconnect, Packet, Properties, Property, QoS, ReasonCode, SubscriptionOptions};

use super::{Client, Post, World};

/// A client and the world it is in.
pub(crate) struct Actor<'w> {
    world: &'w mut World,
    index: usize,
}

impl<'w> Actor<'w> {
    pub(super) fn new(world: &'w mut World, index: usize) -> Self {
        Self { world, index }
    }

    pub(crate) fn state(&mut self) -> &mut Client {
        &mut self.world.clients[self.index]
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.world.is_connected(self.index)
    }

    pub(crate) fn publish(mut self, post: Post) -> Self {
        self.state().publish(post);
        self.run()
    }

    pub(crate) fn subscribe(self, filter: &str, qos: QoS) -> Self {
        self.subscribe_all(&[(filter, SubscriptionOptions::of_qos(qos))], None)
    }

    /// Subscribes with all that can be said.
    pub(crate) fn subscribe_all(
        mut self,
        subscriptions: &[(&str, SubscriptionOptions)],
        identifier: Option<u32>,
    ) -> Self {
        self.state().subscribe(subscriptions, identifier);
        self.run()
    }

    pub(crate) fn unsubscribe(self, filter: &str) -> Self {
        self.unsubscribe_all(&[filter])
    }

    pub(crate) fn unsubscribe_all(mut self, filters: &[&str]) -> Self {
        self.state().unsubscribe(filters);
        self.run()
    }

    pub(crate) fn ping(self) -> Self {
        self.send(&Packet::<&[u8]>::PingReq)
    }

    /// Sends AUTH with the method of the CONNECT.
    pub(crate) fn authenticate(mut self, reason: ReasonCode, data: &[u8]) -> Self {
        self.state().authenticate(reason, data);
        self.run()
    }

    pub(crate) fn disconnect(self) -> Self {
        self.send(&Packet::Disconnect(Disconnect::new(ReasonCode::Success)))
    }

    pub(crate) fn disconnect_with(self, reason: ReasonCode, session_expiry: Option<u32>) -> Self {
        let properties =
            Properties::new(session_expiry.map(Property::SessionExpiryInterval)).unwrap();
        self.send(&Packet::Disconnect(Disconnect { reason, properties }))
    }

    /// The transport is gone.
    pub(crate) fn lose(self) -> Self {
        self.world.lose(self.index);
        self.run()
    }

    /// Sends a packet of the test's own making.
    pub(crate) fn send<B: AsRef<[u8]>>(mut self, packet: &Packet<B>) -> Self {
        self.state().improvises = true;
        self.state().send(packet);
        self.run()
    }

    pub(crate) fn send_bytes(mut self, bytes: &[u8]) -> Self {
        self.state().improvises = true;
        self.state().sending.extend_from_slice(bytes);
        self.run()
    }

    /// From now on nothing is acknowledged but by [`Actor::acknowledge`].
    pub(crate) fn keeps_acks(mut self) -> Self {
        self.state().acknowledges = false;
        self
    }

    /// From now on everything is acknowledged, what was kept included.
    pub(crate) fn acknowledges(mut self) -> Self {
        self.state().acknowledges = true;
        while self.state().acknowledge_next() {}
        self.run()
    }

    /// Sends the next `count` acknowledgements that were kept.
    pub(crate) fn acknowledge(mut self, count: usize) -> Self {
        for _ in 0..count {
            assert!(self.state().acknowledge_next(), "nothing was kept");
        }
        self.run()
    }

    /// Refuses a QoS 2 message by a PUBREC with a failure.
    pub(crate) fn refuse(mut self, id: u16, reason: ReasonCode) -> Self {
        self.state().refuse(id, reason);
        self.run()
    }

    /// From now on the client does not read.
    pub(crate) fn stops_reading(self) -> Self {
        self.world.set_reads(self.index, false);
        self
    }

    pub(crate) fn reads(self) -> Self {
        self.world.set_reads(self.index, true);
        self.run()
    }

    fn run(self) -> Self {
        self.world.run();
        self
    }
}
