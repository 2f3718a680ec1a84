//! Whether the retained messages are those that were acknowledged.

use std::collections::HashMap;
use std::time::Duration;

use mqtt_codec::{Packet, QoS, Version};

use crate::client::Life;
use crate::findings::{Findings, Kind};
use crate::publisher::Publisher;
use crate::server::{Got, Peer, SOON, subscribe};

/// The topics of the publisher of this number that have retained messages.
pub(crate) fn topics(publisher: usize) -> Vec<String> {
    let topics = (0..4).map(|topic| format!("kept/{publisher}/{topic}"));
    topics.collect()
}

/// Checks what a new subscriber gets: for each topic the last message that was acknowledged, or one
/// that was under way behind it.
pub(crate) fn check(publishers: &[Publisher], life: &Life<'_>, findings: &mut Findings) {
    let kept = retained(life);
    for publisher in publishers.iter().filter(|publisher| publisher.retain) {
        for topic in topics(publisher.number) {
            let value = kept.get(&topic).map_or("", String::as_str);
            let messages: Vec<_> = publisher.published_to(&topic).collect();
            let last = messages
                .iter()
                .rposition(|published| published.acknowledged.is_some());
            let possible = &messages[last.unwrap_or(0)..];
            let nothing_yet = last.is_none() && value.is_empty();
            if !nothing_yet && possible.iter().all(|message| message.payload != value) {
                let expected: Vec<_> = possible.iter().map(|message| &message.payload).collect();
                let text = format!(
                    "{value:?} in {topic} in life {}, none of {expected:?}",
                    life.round
                );
                findings.add(Kind::Retained, text);
            }
        }
    }
}

/// All that the server retains below `kept`.
fn retained(life: &Life<'_>) -> HashMap<String, String> {
    let mut peer = Peer::connect(life.address, Version::V5, "retained");
    peer.send(&subscribe(&["kept/#"], QoS::AtMostOnce));
    peer.send(&Packet::<&[u8]>::PingReq);
    let mut kept = HashMap::new();
    let mut patience = SOON;
    loop {
        match peer.next(patience) {
            Got::Packet(Packet::Publish(publish)) => {
                assert!(publish.retain, "{publish:?}");
                let topic = publish.topic.expect("no alias was allowed").to_string();
                let payload = String::from_utf8(publish.payload.to_vec()).expect("it is text");
                kept.insert(topic, payload);
            }
            // Whatever is still on its way is not far behind.
            Got::Packet(Packet::PingResp) => patience = Duration::from_millis(30),
            Got::Packet(_) => {}
            Got::Nothing => return kept,
            Got::Closed => panic!("the server closes"),
        }
    }
}
