//! What was accepted for delivery, what became of it, and what came: the promises, as checks.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use mqtt_codec::QoS;

/// All messages of a test, each with a number of its own. On each topic the numbers rise.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    accepted: Vec<Entry>,
    received: Vec<Received>,
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
    /// The broker has it; or, at QoS 0, the transport has.
    Delivered,
    /// A QoS 2 message that was on its way when the session was lost.
    Unknown,
    /// Any other error.
    Failed(String),
}

#[derive(Clone, Debug)]
struct Received {
    topic: String,
    number: u64,
}

/// What a broker did, and so what can be promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// Its sessions were kept: everything arrives.
    Kept,
    /// It has lost its sessions, with all that it had acknowledged: what is missing may be its fault,
    /// but the publisher must have known that the broker had it, or that nobody knows.
    Lost,
}

impl Ledger {
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
            entry.qos != QoS::AtMostOnce && !came.contains(&(entry.topic.as_str(), entry.number))
        });
        waited_for.count()
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
            if let Some(fault) = fault(entry, count, promise) {
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
        self.check_order(&mut lines);
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
}

/// What is wrong with a message that came so many times.
fn fault(entry: &Entry, count: usize, promise: Promise) -> Option<&'static str> {
    if count > 1 && entry.qos != QoS::AtLeastOnce {
        return Some("came more than once");
    }
    if entry.qos == QoS::AtMostOnce {
        return None;
    }
    match (&entry.outcome, promise) {
        // All are waited for.
        (Outcome::Pending, _) => Some("nothing became of it"),
        (Outcome::Failed(_), _) => Some("must not fail"),
        (Outcome::Unknown, Promise::Kept) => Some("the session was not lost"),
        (Outcome::Unknown, Promise::Lost) if entry.qos == QoS::AtLeastOnce => {
            Some("could have been sent again")
        }
        (Outcome::Delivered, Promise::Kept) if count == 0 => Some("is missing"),
        (Outcome::Delivered | Outcome::Unknown, Promise::Kept | Promise::Lost) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

    /// What is wrong if one message has this outcome and comes so often.
    fn verdict(qos: QoS, outcome: Outcome, count: usize, promise: Promise) -> bool {
        let mut ledger = Ledger::default();
        let index = ledger.accept("t", 1, qos);
        ledger.settle(index, outcome);
        for _ in 0..count {
            ledger.receive("t", 1);
        }
        ledger.broken(promise).is_empty()
    }

    #[test]
    fn each_level_promises_a_number_of_times() {
        for promise in [Promise::Kept, Promise::Lost] {
            let fine = |qos, count| verdict(qos, Outcome::Delivered, count, promise);
            let lost = promise == Promise::Lost;
            assert_eq!(QOS.map(|qos| fine(qos, 0)), [true, lost, lost]);
            assert_eq!(QOS.map(|qos| fine(qos, 1)), [true, true, true]);
            assert_eq!(QOS.map(|qos| fine(qos, 2)), [false, true, false]);
        }
    }

    #[test]
    fn an_outcome_is_owed() {
        let failed = Outcome::Failed("x".to_owned());
        for promise in [Promise::Kept, Promise::Lost] {
            assert!(!verdict(QoS::AtLeastOnce, Outcome::Pending, 1, promise));
            assert!(!verdict(QoS::ExactlyOnce, failed.clone(), 1, promise));
            assert!(!verdict(QoS::AtLeastOnce, Outcome::Unknown, 1, promise));
        }
        // Nobody knows only where a session was lost; and then it may have come, or not.
        assert!(!verdict(
            QoS::ExactlyOnce,
            Outcome::Unknown,
            1,
            Promise::Kept
        ));
        assert!(verdict(
            QoS::ExactlyOnce,
            Outcome::Unknown,
            1,
            Promise::Lost
        ));
        assert!(verdict(
            QoS::ExactlyOnce,
            Outcome::Unknown,
            0,
            Promise::Lost
        ));
        assert!(!verdict(
            QoS::ExactlyOnce,
            Outcome::Unknown,
            2,
            Promise::Lost
        ));
    }

    #[test]
    fn order_is_that_of_first_appearances_on_a_topic() {
        let order = |received: &[(&str, u64)]| {
            let mut ledger = Ledger::default();
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
        let mut ledger = Ledger::default();
        for (number, qos) in [(1, QOS[0]), (2, QOS[1]), (3, QOS[2])] {
            ledger.accept("t", number, qos);
        }
        ledger.receive("t", 2);
        ledger.receive("t", 2);
        assert_eq!((ledger.missing(), ledger.duplicates()), (1, 1));
    }
}
