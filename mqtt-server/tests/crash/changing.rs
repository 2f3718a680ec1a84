//! A client that changes its subscriptions all the time.

use std::time::Duration;

use fastrand::Rng;
use mqtt_codec::{
    Packet, PacketId, Properties, QoS, TopicFilter, TopicFilters, Unsubscribe, Version,
};

use crate::client::{Client, Life};
use crate::findings::{Findings, Kind};
use crate::publisher::Publisher;
use crate::server::subscribe;
use crate::subscriber::{Habit, Subscriber};

/// A client that subscribes to topics, and unsubscribes again.
pub(crate) struct Changing {
    pub(crate) subscriber: Subscriber,
    topics: Vec<Topic>,
    random: Rng,
}

/// A topic, and the times in which it was subscribed to or not.
struct Topic {
    name: String,
    spans: Vec<Span>,
}

/// From an acknowledgement until the next change is asked for.
struct Span {
    subscribed: bool,
    from: u64,
    until: u64,
}

impl Changing {
    pub(crate) fn new(version: Version, qos: QoS, topics: &[String], random: &mut Rng) -> Self {
        let client = Client::new(version, &format!("changing-{version:?}"));
        let subscriber = Subscriber::new(client, Habit::Always, "", qos, random.fork());
        let topics = topics.iter().map(|name| Topic {
            name: name.clone(),
            spans: Vec::new(),
        });
        Self {
            subscriber,
            topics: topics.collect(),
            random: random.fork(),
        }
    }

    /// Changes subscriptions until the server is gone.
    pub(crate) fn live(&mut self, life: &Life<'_>) {
        let mut connected = self.subscriber.connect(life);
        while connected.is_some() {
            let dwell = Duration::from_millis(self.random.u64(2..40));
            self.subscriber.listen(Some(dwell));
            connected = self.change(life);
        }
    }

    fn change(&mut self, life: &Life<'_>) -> Option<()> {
        let at = self.random.usize(..self.topics.len());
        let topic = &mut self.topics[at];
        let subscribed = match topic.spans.last_mut() {
            // What was asked for before a crash is asked for again: it may not have happened.
            Some(span) if span.until != u64::MAX => !span.subscribed,
            Some(span) => {
                span.until = life.now().tick;
                !span.subscribed
            }
            None => true,
        };
        let packet = if subscribed {
            subscribe(&[&topic.name], self.subscriber.qos)
        } else {
            unsubscribe(&topic.name)
        };
        self.subscriber.request(&packet)?;
        topic.spans.push(Span {
            subscribed,
            from: life.now().tick,
            until: u64::MAX,
        });
        Some(())
    }

    /// What must have come: all that was published and acknowledged while there certainly was a
    /// subscription. As topic and payload.
    pub(crate) fn wanted(&self, publishers: &[Publisher]) -> Vec<(String, String)> {
        self.during(publishers, true)
    }

    /// Checks that nothing has come for which there certainly was no subscription.
    pub(crate) fn check(&self, publishers: &[Publisher], findings: &mut Findings) {
        for message in self.during(publishers, false) {
            if self.subscriber.seen.contains(&message) {
                let text = format!("{message:?} at {}", self.subscriber.client.name());
                findings.add(Kind::Subscription, text);
            }
        }
    }

    fn during(&self, publishers: &[Publisher], subscribed: bool) -> Vec<(String, String)> {
        let mut messages = Vec::new();
        for topic in &self.topics {
            for publisher in publishers {
                for published in publisher.published_to(&topic.name) {
                    let Some(acknowledged) = published.acknowledged else {
                        continue;
                    };
                    let (sent, acknowledged) = (published.sent.tick, acknowledged.tick);
                    let certain = topic.spans.iter().any(|span| {
                        span.subscribed == subscribed
                            && span.from < sent
                            && acknowledged < span.until
                    });
                    if certain {
                        messages.push((topic.name.clone(), published.payload.clone()));
                    }
                }
            }
        }
        messages
    }
}

fn unsubscribe(filter: &str) -> Packet {
    let filter = TopicFilter::from_text(filter).expect("it is valid");
    Packet::Unsubscribe(Unsubscribe {
        packet_id: PacketId::new(1).expect("not 0"),
        properties: Properties::default(),
        filters: TopicFilters::new([filter.as_view()]).expect("it is short"),
    })
}
