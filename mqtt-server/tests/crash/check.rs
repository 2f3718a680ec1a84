//! What the messages that a subscriber has seen say about the server.

use std::collections::{HashMap, HashSet};

use mqtt_codec::QoS;

use crate::findings::{Findings, Kind};
use crate::publisher::{Published, Publisher};
use crate::subscriber::{Sighting, Subscriber};

/// Checks all sightings of a subscriber: exactly once, in order, and sent again as the same.
pub(crate) fn check(subscriber: &Subscriber, publishers: &[Publisher], findings: &mut Findings) {
    let mut first = HashMap::new();
    let mut last_of = HashMap::new();
    for sighting in &subscriber.sightings {
        let Some(source) = Source::of(sighting, publishers) else {
            let text = format!("{} gets {:?}", subscriber.client.name(), sighting.payload);
            findings.add(Kind::Protocol, text);
            continue;
        };
        let text = || {
            let Sighting {
                payload,
                topic,
                qos,
                dup,
                ..
            } = sighting;
            let name = subscriber.client.name();
            format!("{payload:?} to {topic} at {name} with {qos:?}, dup {dup}")
        };
        let Some(earlier) = first.insert((source.publisher, source.number), sighting) else {
            let last = last_of.insert((source.publisher, &sighting.topic), source.number);
            if last.is_some_and(|last| last > source.number) {
                findings.add(Kind::Order, format!("{}, behind {last:?}", text()));
            }
            continue;
        };
        if sighting.is_new && sighting.qos.level() == QoS::ExactlyOnce {
            findings.add(Kind::Duplicate, text());
        }
        let same = earlier.qos == sighting.qos && sighting.dup;
        if source.delivered_once(subscriber.qos) && !same {
            findings.add(
                Kind::Resend,
                format!("{}, earlier {:?}", text(), earlier.qos),
            );
        }
    }
}

/// Checks that two subscribers have seen the messages of each topic in one order.
pub(crate) fn compare(
    one: &Subscriber,
    other: &Subscriber,
    publishers: &[Publisher],
    findings: &mut Findings,
) {
    let places: HashMap<_, _> = one
        .sightings
        .iter()
        .enumerate()
        .rev()
        .map(|(place, sighting)| ((&sighting.topic, &sighting.payload), place))
        .collect();
    let mut last: HashMap<&String, usize> = HashMap::new();
    let mut seen = HashSet::new();
    for sighting in &other.sightings {
        let message = (&sighting.topic, &sighting.payload);
        let source = Source::of(sighting, publishers);
        let once = source.is_some_and(|source| {
            source.delivered_once(one.qos) && source.delivered_once(other.qos)
        });
        let Some(place) = places
            .get(&message)
            .filter(|_| once && seen.insert(message))
        else {
            continue;
        };
        if last
            .insert(&sighting.topic, *place)
            .is_some_and(|last| last > *place)
        {
            let text = format!(
                "{:?} to {}: {} and {} do not agree",
                sighting.payload,
                sighting.topic,
                one.client.name(),
                other.client.name()
            );
            findings.add(Kind::Order, text);
        }
    }
}

/// Where a message comes from.
struct Source<'a> {
    publisher: usize,
    number: usize,
    qos: QoS,
    published: &'a Published,
}

impl<'a> Source<'a> {
    fn of(sighting: &Sighting, publishers: &'a [Publisher]) -> Option<Self> {
        let (publisher, number) = sighting.payload.split_once(' ')?;
        let (publisher, number) = (publisher.parse().ok()?, number.parse::<usize>().ok()?);
        let source = publishers.iter().find(|one| one.number == publisher)?;
        let published = source.published.get(number)?;
        (published.topic == sighting.topic).then_some(Self {
            publisher,
            number,
            qos: source.qos,
            published,
        })
    }

    /// True if a session has had one delivery of it and no other.
    ///
    /// At QoS 1 a message that was published again after a crash is another one to the server. The
    /// first may have been seen, too, although it was not durable: nobody was promised anything.
    fn delivered_once(&self, subscription: QoS) -> bool {
        let acknowledged = self.published.acknowledged;
        (self.qos == QoS::ExactlyOnce && subscription == QoS::ExactlyOnce)
            || acknowledged.is_some_and(|moment| moment.round == self.published.sent.round)
    }
}
