//! What was accepted for delivery, what became of it, and what came: the promises, as checks.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::ops::RangeFrom;

use mqtt_codec::QoS;

/// All messages of a test, each with a number of its own. On each topic the numbers rise.
#[derive(Debug)]
pub(crate) struct Ledger {
    accepted: Vec<Entry>,
    received: Vec<Received>,
    /// The QoS of the subscription: none comes with a higher one.
    subscribed: QoS,
    order: Order,
}

/// Whether messages are noted in the order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    OfArrival,
    Any,
}

/// A message that the publisher has accepted.
#[derive(Clone, Debug)]
struct Entry {
    topic: String,
    number: u64,
    qos: QoS,
    outcome: Outcome,
}

/// What the publisher said of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing, when the test ended.
    Pending,
    /// It died in the middle: the message may have been accepted, or not.
    Offered,
    /// The broker has it; or, at QoS 0, the transport has.
    Delivered,
    /// A QoS 2 message that was on its way when the session was lost.
    Unknown,
    /// The connection broke each time it was sent, so the publisher has given it up.
    Poison,
    /// Any other error.
    Failed(String),
}

#[derive(Clone, Debug)]
struct Received {
    topic: String,
    number: u64,
}

/// What was done to the connections and the broker, and so what can be promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// The broker has kept its sessions, and each CONNECT was answered: everything arrives.
    Exact,
    /// The broker has kept its sessions, but there were CONNECTs without an answer: the publisher has to reckon with a
    /// loss, and with QoS 2 messages of which nobody knows.
    Kept,
    /// The broker has lost its sessions, with all that it had acknowledged: what is missing may be its fault,
    /// but the publisher must have known that the broker had it, or that nobody knows.
    Lost,
}

impl Ledger {
    pub(crate) const fn new(subscribed: QoS) -> Self {
        Self {
            accepted: Vec::new(),
            received: Vec::new(),
            subscribed,
            order: Order::OfArrival,
        }
    }

    /// Messages will be noted in another order than they came.
    pub(crate) const fn ignore_order(&mut self) {
        self.order = Order::Any;
    }

    /// Notes a message when it is accepted, and gives its index.
    pub(crate) fn accept(&mut self, topic: &str, number: u64, qos: QoS) -> usize {
        self.accepted.push(Entry {
            topic: topic.to_owned(),
            number,
            qos,
            outcome: Outcome::Pending,
        });
        self.accepted.len() - 1
    }

    pub(crate) fn settle(&mut self, index: usize, outcome: Outcome) {
        self.accepted[index].outcome = outcome;
    }

    pub(crate) fn receive(&mut self, topic: &str, number: u64) {
        self.received.push(Received {
            topic: topic.to_owned(),
            number,
        });
    }

    /// Accepted messages of QoS 1 and 2 that have not come.
    pub(crate) fn missing(&self) -> usize {
        let came = self.came();
        let waited_for = self.accepted.iter().filter(|entry| {
            entry.qos != QoS::AtMostOnce
                && !matches!(
                    entry.outcome,
                    Outcome::Poison | Outcome::Offered | Outcome::Unknown
                )
                && !came.contains(&(entry.topic.as_str(), entry.number))
        });
        waited_for.count()
    }

    /// How many messages were given up because the connection broke each time they were sent.
    pub(crate) fn poisoned(&self) -> usize {
        let poisoned = |entry: &&Entry| entry.outcome == Outcome::Poison;
        self.accepted.iter().filter(poisoned).count()
    }

    /// True if one with such a number has come.
    pub(crate) fn has_received(&self, topic: &str, numbers: RangeFrom<u64>) -> bool {
        let wanted = |one: &Received| one.topic == topic && numbers.contains(&one.number);
        self.received.iter().any(wanted)
    }

    /// How many messages came more than once.
    pub(crate) fn duplicates(&self) -> usize {
        self.received.len() - self.came().len()
    }

    fn came(&self) -> HashSet<(&str, u64)> {
        let received = self.received.iter();
        received
            .map(|received| (received.topic.as_str(), received.number))
            .collect()
    }

    /// Everything that is not as promised, a line each; empty if all is well.
    pub(crate) fn broken(&self, promise: Promise) -> String {
        let mut lines = String::new();
        let mut counts: HashMap<(&str, u64), usize> = HashMap::new();
        for received in &self.received {
            *counts
                .entry((&received.topic, received.number))
                .or_default() += 1;
        }
        for entry in &self.accepted {
            let count = counts
                .remove(&(entry.topic.as_str(), entry.number))
                .unwrap_or(0);
            if let Some(fault) = self.fault(entry, count, promise) {
                let Entry {
                    topic,
                    number,
                    qos,
                    outcome,
                } = entry;
                let _ = writeln!(lines, "{topic} {number} {qos:?} {outcome:?}: {fault}");
            }
        }
        for ((topic, number), _) in counts {
            let _ = writeln!(lines, "{topic} {number}: was never accepted, but came");
        }
        if self.order == Order::OfArrival {
            self.check_order(&mut lines);
        }
        lines
    }

    /// On each topic, the first appearances come in the order of acceptance.
    fn check_order(&self, lines: &mut String) {
        let mut seen = HashSet::new();
        let mut newest: HashMap<&str, u64> = HashMap::new();
        for received in &self.received {
            let (topic, number) = (received.topic.as_str(), received.number);
            if !seen.insert((topic, number)) {
                continue;
            }
            let newest = newest.entry(topic).or_insert(number);
            if number < *newest {
                let _ = writeln!(lines, "{topic} {number}: came after {newest}");
            }
            *newest = number.max(*newest);
        }
    }

    /// What is wrong with a message that came so many times.
    fn fault(&self, entry: &Entry, count: usize, promise: Promise) -> Option<&'static str> {
        if count > 1 && entry.qos.min(self.subscribed) != QoS::AtLeastOnce {
            return Some("came more than once");
        }
        if entry.qos == QoS::AtMostOnce {
            return None;
        }
        match (&entry.outcome, promise) {
            // All are waited for.
            (Outcome::Pending, _) => Some("nothing became of it"),
            (Outcome::Failed(_), _) => Some("must not fail"),
            // Where connections are cut, the innocent are suspected, too: but see `poisoned`.
            (Outcome::Poison | Outcome::Offered, _) => None,
            (Outcome::Unknown, Promise::Exact) => Some("no session was lost"),
            (Outcome::Unknown, _) if entry.qos == QoS::AtLeastOnce => {
                Some("could have been sent again")
            }
            (Outcome::Delivered, Promise::Exact | Promise::Kept) if count == 0 => {
                Some("is missing")
            }
            (Outcome::Delivered | Outcome::Unknown, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

    /// What is wrong if one message has this outcome and comes so often.
    fn verdict(qos: QoS, outcome: Outcome, count: usize, promise: Promise) -> bool {
        let mut ledger = Ledger::new(QoS::ExactlyOnce);
        let index = ledger.accept("t", 1, qos);
        ledger.settle(index, outcome);
        for _ in 0..count {
            ledger.receive("t", 1);
        }
        ledger.broken(promise).is_empty()
    }

    #[test]
    fn each_level_promises_a_number_of_times() {
        for promise in [Promise::Exact, Promise::Kept, Promise::Lost] {
            let fine = |qos, count| verdict(qos, Outcome::Delivered, count, promise);
            let lost = promise == Promise::Lost;
            assert_eq!(QOS.map(|qos| fine(qos, 0)), [true, lost, lost]);
            assert_eq!(QOS.map(|qos| fine(qos, 1)), [true, true, true]);
            assert_eq!(QOS.map(|qos| fine(qos, 2)), [false, true, false]);
        }
    }

    #[test]
    fn a_subscription_promises_no_more_than_its_own_level() {
        let mut ledger = Ledger::new(QoS::AtLeastOnce);
        let index = ledger.accept("t", 1, QoS::ExactlyOnce);
        ledger.settle(index, Outcome::Delivered);
        assert!(!ledger.broken(Promise::Exact).is_empty());
        ledger.receive("t", 1);
        ledger.receive("t", 1);
        assert!(ledger.broken(Promise::Exact).is_empty());
    }

    #[test]
    fn an_outcome_is_owed() {
        let failed = Outcome::Failed("x".to_owned());
        for promise in [Promise::Exact, Promise::Kept, Promise::Lost] {
            assert!(!verdict(QoS::AtLeastOnce, Outcome::Pending, 1, promise));
            assert!(!verdict(QoS::ExactlyOnce, failed.clone(), 1, promise));
            assert!(!verdict(QoS::AtLeastOnce, Outcome::Unknown, 1, promise));
        }
        // Nobody knows only where a session may have been lost; and then it may have come, or not.
        let unknown = |count, promise| verdict(QoS::ExactlyOnce, Outcome::Unknown, count, promise);
        assert!(!unknown(1, Promise::Exact));
        for promise in [Promise::Kept, Promise::Lost] {
            assert!(unknown(0, promise));
            assert!(unknown(1, promise));
            assert!(!unknown(2, promise));
        }
    }

    #[test]
    fn order_is_that_of_first_appearances_on_a_topic() {
        let order = |received: &[(&str, u64)]| {
            let mut ledger = Ledger::new(QoS::ExactlyOnce);
            for number in 1..=3 {
                for topic in ["a", "b"] {
                    let index = ledger.accept(topic, number, QoS::AtMostOnce);
                    ledger.accepted[index].qos = QoS::AtLeastOnce;
                    ledger.settle(index, Outcome::Delivered);
                }
            }
            for (topic, number) in received {
                ledger.receive(topic, *number);
            }
            ledger.broken(Promise::Lost)
        };
        assert_eq!(
            order(&[("a", 1), ("b", 3), ("a", 2), ("a", 1), ("a", 3)]),
            ""
        );
        assert_eq!(
            order(&[("a", 1), ("a", 3), ("a", 2)]),
            "a 2: came after 3\n"
        );
        assert_eq!(order(&[("a", 4)]), "a 4: was never accepted, but came\n");
    }

    #[test]
    fn it_counts() {
        let mut ledger = Ledger::new(QoS::ExactlyOnce);
        for (number, qos) in [(1, QOS[0]), (2, QOS[1]), (3, QOS[2])] {
            ledger.accept("t", number, qos);
        }
        ledger.receive("t", 2);
        ledger.receive("t", 2);
        assert_eq!((ledger.missing(), ledger.duplicates()), (1, 1));
    }
}
