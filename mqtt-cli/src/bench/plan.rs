//! Who publishes what, and who is to get it.

use std::ops::Range;

use super::options::{Options, Scenario};
use super::target::numbered;

/// Publishers times subscribers of one flow: each subscriber keeps 56 bytes for each publisher.
const POSITIONS_MAX: u64 = 5_000_000;

/// The parts that the clients of a run have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The publishers; the index of one is its stream.
    pub(crate) publishers: Vec<Publishes>,
    pub(crate) subscribers: Vec<Subscribes>,
    pub(crate) flows: Vec<Flows>,
}

/// One publisher.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Publishes {
    pub(crate) topic: String,
    pub(crate) flow: usize,
}

/// One subscriber, which gets the messages of its flow.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Subscribes {
    pub(crate) filter: String,
    pub(crate) flow: usize,
}

/// Publishers and the subscribers that they reach.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Flows {
    pub(crate) streams: Range<u32>,
    pub(crate) subscribers: u32,
    pub(crate) delivery: Delivery,
}

/// Who gets a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Every subscriber.
    All,
    /// Every subscriber, all in the same order: it is one topic of several publishers.
    AllInOneOrder,
    /// One of the subscribers.
    Shared,
}

impl Plan {
    /// The plan of a scenario with messages under way.
    ///
    /// # Errors
    /// That it would take too much memory.
    pub(crate) fn new(options: &Options) -> Result<Self, String> {
        let (publishers, subscribers) = (options.publishers, options.subscribers);
        if options.scenario == Scenario::Pairs {
            let filter = options.filter.as_ref().unwrap_or(&options.topic);
            return Ok(Self::pairs(&options.topic, filter, publishers));
        }
        if u64::from(publishers) * u64::from(subscribers) > POSITIONS_MAX {
            return Err(format!(
                "{publishers} publishers to {subscribers} subscribers are too many"
            ));
        }
        let shared = options.scenario == Scenario::Shared;
        let filter = options.filter.clone();
        let filter = match (filter.unwrap_or_else(|| filter_of(&options.topic)), shared) {
            (filter, true) => format!("$share/bench-{:04x}/{filter}", options.tag),
            (filter, false) => filter,
        };
        let one_topic = !options.topic.contains("%i");
        let publisher = |number: u32| Publishes {
            topic: numbered(&options.topic, number as usize),
            flow: 0,
        };
        Ok(Self {
            publishers: (0..publishers).map(publisher).collect(),
            subscribers: (0..subscribers)
                .map(|_| Subscribes {
                    filter: filter.clone(),
                    flow: 0,
                })
                .collect(),
            flows: vec![Flows {
                streams: 0..publishers,
                subscribers,
                delivery: if shared {
                    Delivery::Shared
                } else if one_topic && publishers > 1 && subscribers > 1 {
                    Delivery::AllInOneOrder
                } else {
                    Delivery::All
                },
            }],
        })
    }

    fn pairs(topic: &str, filter: &str, pairs: u32) -> Self {
        let topic = |number: u32| numbered(topic, number as usize);
        let publisher = |number| Publishes {
            topic: topic(number),
            flow: number as usize,
        };
        let subscriber = |number| Subscribes {
            filter: numbered(filter, number as usize),
            flow: number as usize,
        };
        let flow = |number| Flows {
            streams: number..number + 1,
            subscribers: 1,
            delivery: Delivery::All,
        };
        Self {
            publishers: (0..pairs).map(publisher).collect(),
            subscribers: (0..pairs).map(subscriber).collect(),
            flows: (0..pairs).map(flow).collect(),
        }
    }
}

impl Flows {
    /// How many deliveries each message calls for.
    pub(crate) const fn copies(&self) -> u64 {
        match self.delivery {
            Delivery::All | Delivery::AllInOneOrder => self.subscribers as u64,
            Delivery::Shared => 1,
        }
    }
}

/// The topic filter for all publishers: each level with a number in it may be anything.
pub(crate) fn filter_of(topic: &str) -> String {
    let levels = topic
        .split('/')
        .map(|level| if level.contains("%i") { "+" } else { level });
    levels.collect::<Vec<_>>().join("/")
}

/// The messages that each of `publishers` has to send for `messages` in all.
pub(crate) fn shares(messages: u64, publishers: usize) -> impl Iterator<Item = u32> {
    let (each, more) = (
        messages / publishers.max(1) as u64,
        messages % publishers.max(1) as u64,
    );
    let share = move |index| u32::try_from(each + u64::from(index < more)).unwrap_or(u32::MAX);
    (0..publishers as u64).map(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_topics_become_wildcards() {
        assert_eq!(filter_of("a/%i/b"), "a/+/b");
        assert_eq!(filter_of("a/x%iy"), "a/+");
        assert_eq!(filter_of("a/b"), "a/b");
    }

    #[test]
    fn the_messages_are_shared_out_to_the_last() {
        assert_eq!(shares(10, 4).collect::<Vec<_>>(), [3, 3, 2, 2]);
        assert_eq!(shares(2, 4).collect::<Vec<_>>(), [1, 1, 0, 0]);
        assert_eq!(shares(u64::MAX, 1).collect::<Vec<_>>(), [u32::MAX]);
        assert_eq!(shares(5, 0).count(), 0);
    }
}
