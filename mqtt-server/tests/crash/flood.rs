//! A publisher that goes on until the server takes no more.

use std::collections::VecDeque;

use fastrand::Rng;
use mqtt_codec::{Packet, QoS, Version};

use crate::client::{Client, Clock, Life};
use crate::server::{Got, Peer, SOON, Server, post};
use crate::subscriber::{Habit, Subscriber};

/// Where the messages go.
pub(crate) const TOPIC: &str = "flood";

/// Publishes at QoS 1 with so many messages under way, until the server closes the connection.
/// Returns the payloads that were acknowledged.
pub(crate) fn publish(
    server: &Server,
    window: usize,
    mut payload: impl FnMut(usize) -> String,
) -> Vec<String> {
    let mut peer = Peer::connect(server.address(), Version::V5, "flood");
    let mut waiting = VecDeque::new();
    let mut acknowledged = Vec::new();
    for number in 0.. {
        let text = payload(number);
        let id = (number % 1000) as u16 + 1;
        // Whether the server is still there shows when something is read.
        let _ = peer.try_send(&post(TOPIC, text.as_str(), Some(id)));
        waiting.push_back((id, text));
        if waiting.len() < window {
            continue;
        }
        match peer.next(SOON) {
            Got::Packet(Packet::PubAck(ack)) if !ack.reason.is_failure() => {
                let (id, text) = waiting.pop_front().expect("the window is not 0");
                assert_eq!(ack.packet_id.get(), id);
                acknowledged.push(text);
            }
            Got::Closed => break,
            other => panic!("{other:?} after {} messages", acknowledged.len()),
        }
    }
    acknowledged
}

/// A subscriber that is away while messages come.
pub(crate) struct Away {
    subscriber: Subscriber,
    clock: Clock,
}

impl Away {
    /// Subscribes, and goes.
    pub(crate) fn new(server: &Server) -> Self {
        let client = Client::new(Version::V5, "away");
        let (qos, random) = (QoS::AtLeastOnce, Rng::with_seed(1));
        let mut away = Self {
            subscriber: Subscriber::new(client, Habit::Never, TOPIC, qos, random),
            clock: Clock::default(),
        };
        away.subscriber.begin(&life(server, &away.clock));
        away
    }

    /// Comes back for all that was acknowledged, in its order.
    pub(crate) fn check(mut self, server: &Server, acknowledged: Vec<String>) {
        let wanted: Vec<_> = acknowledged
            .into_iter()
            .map(|payload| (TOPIC.to_owned(), payload))
            .collect();
        let life = life(server, &self.clock);
        self.subscriber.finish(&life, &wanted);
        let findings = &self.subscriber.client.findings;
        assert!(findings.is_empty(), "{findings:?}");
        let sightings = self.subscriber.sightings.iter();
        let came = sightings
            .map(|sighting| &sighting.payload)
            .take(wanted.len());
        assert!(came.eq(wanted.iter().map(|(_, payload)| payload)), "order");
    }
}

fn life<'a>(server: &Server, clock: &'a Clock) -> Life<'a> {
    Life {
        round: 0,
        address: server.address(),
        clock,
    }
}

/// The server ends since its disk has failed, and says why in one line.
pub(crate) fn ends_with(server: &mut Server, why: &str) {
    let status = server.wait(SOON);
    assert!(status.code().is_some_and(|code| code != 0), "{status}");
    let errors: Vec<_> = server
        .lines
        .iter()
        .filter(|line| line.contains("ERROR"))
        .collect();
    let [line] = errors[..] else {
        panic!("{:#?}", server.lines);
    };
    println!("{line}");
    assert!(line.contains(why), "{line}");
}
