//! A client that ends its session now and then.

use std::time::Duration;

use fastrand::Rng;
use mqtt_codec::{Ack, Packet, PublishQoS, QoS, ReasonCode, Version};

use crate::client::{Client, Life, Presence, Session};
use crate::findings::Kind;
use crate::server::{Got, SOON, post, subscribe};

/// A client whose sessions end, and which checks each time whether there is one, and whether its
/// subscription is there, too.
pub(crate) struct Mortal {
    pub(crate) client: Client,
    /// True if the session certainly has the subscription.
    subscribed: bool,
    probes: usize,
    random: Rng,
}

impl Mortal {
    pub(crate) fn new(version: Version, number: usize, random: Rng) -> Self {
        Self {
            client: Client::new(version, &format!("mortal-{number}")),
            subscribed: false,
            probes: 0,
            random,
        }
    }

    /// Comes and goes until the server is gone.
    pub(crate) fn live(&mut self, life: &Life<'_>) {
        while self.visit(life).is_some() {
            self.client.vanish();
            std::thread::sleep(Duration::from_millis(self.random.u64(2..40)));
        }
    }

    fn visit(&mut self, life: &Life<'_>) -> Option<()> {
        self.client.hello.clean_start = self.random.bool();
        if self.client.hello.clean_start {
            self.subscribed = false;
        }
        let session = self.client.connect(life)?;
        let topic = self.client.name().to_owned();
        if session == Session::New || !self.subscribed {
            self.client.send(&subscribe(&[&topic], QoS::AtLeastOnce));
            // A session that ends with its connection has what it is told, but not for long.
            self.await_packet(|packet| matches!(packet, Packet::SubAck(_)))?;
            self.subscribed = self.client.presence == Presence::Present;
        }
        self.probes += 1;
        let probe = format!("probe {}", self.probes);
        self.client.send(&post(&topic, probe.as_str(), Some(1)));
        let (mut acknowledged, mut came) = (false, false);
        while !(acknowledged && came) {
            let packet = self.await_packet(|_| true)?;
            match packet {
                Packet::PubAck(_) => acknowledged = true,
                Packet::Publish(publish) => came |= publish.payload == probe.as_bytes(),
                other => panic!("{topic} gets {other:?}"),
            }
        }
        Some(())
    }

    /// The next packet of this form; messages are acknowledged meanwhile.
    fn await_packet(&mut self, wanted: impl Fn(&Packet) -> bool) -> Option<Packet> {
        loop {
            let packet = match self.client.next(SOON) {
                Got::Packet(packet) => packet,
                Got::Closed => return None,
                Got::Nothing => {
                    let text = format!("{} gets nothing of its own", self.client.name());
                    self.client.findings.add(Kind::Subscription, text);
                    self.subscribed = false;
                    return None;
                }
            };
            if let Packet::Publish(publish) = &packet
                && let PublishQoS::AtLeastOnce(id) = publish.qos
            {
                let ack = Ack::new(id, ReasonCode::Success);
                self.client.send(&Packet::PubAck(ack));
            }
            if wanted(&packet) {
                return Some(packet);
            }
        }
    }
}
