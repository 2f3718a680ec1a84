//! Which numbers of a stream have come: tells a message that is new from one that comes again, and one that comes late from
//! both. Memory is bounded however much is missing.

use std::collections::VecDeque;

/// What the arrival of a message was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Seen for the first time, and nothing behind it had come.
    New,
    /// Seen for the first time, but a later one had come before it.
    Late,
    /// Seen before.
    Duplicate,
}

/// Words of 64 numbers that are remembered behind the first missing one, for a subscriber of its own: 4,096 messages. What
/// comes later than that counts as a duplicate.
const OWN_WORDS: usize = 64;
/// The same for a group, whose members are not equally fast: 65,536 messages.
const GROUP_WORDS: usize = 1024;

/// The numbers of one stream that have come.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    /// All below it have come, or are given up.
    next: u32,
    /// A bit for each number from `base` on; empty while nothing behind `next` has come.
    words: VecDeque<u64>,
    base: u32,
    words_max: usize,
}

impl Sequence {
    /// Of a stream that comes to one subscriber.
    pub(crate) fn of_subscriber() -> Self {
        Self::new(OWN_WORDS)
    }

    /// Of a stream that several share.
    pub(crate) fn of_group() -> Self {
        Self::new(GROUP_WORDS)
    }

    /// Of so many messages that may come in any order.
    pub(crate) fn of_any_order(messages: usize) -> Self {
        Self::new(messages / 64 + 1)
    }

    fn new(words_max: usize) -> Self {
        Self {
            next: 0,
            words: VecDeque::new(),
            base: 0,
            words_max,
        }
    }

    /// Notes that a number has come; false if it had before.
    #[inline]
    pub(crate) fn note(&mut self, number: u32) -> bool {
        if number == self.next && self.words.is_empty() {
            self.next += 1;
            return true;
        }
        self.note_out_of_line(number)
    }

    fn note_out_of_line(&mut self, number: u32) -> bool {
        if number < self.next {
            return false;
        }
        if self.words.is_empty() {
            self.base = self.next & !63;
            self.words.push_back((1 << (self.next - self.base)) - 1);
        }
        self.make_room(number);
        let index = ((number - self.base) / 64) as usize;
        let Some(word) = self.words.get_mut(index) else {
            return false;
        };
        let bit = 1 << (number % 64);
        if *word & bit != 0 {
            return false;
        }
        *word |= bit;
        self.advance();
        true
    }

    /// Extends the words to `number`, and gives up what is then too long ago.
    fn make_room(&mut self, number: u32) {
        let wanted = ((number - self.base) / 64) as usize + 1;
        let Some(given_up) = wanted
            .checked_sub(self.words_max)
            .filter(|words| *words > 0)
        else {
            if wanted > self.words.len() {
                self.words.resize(wanted, 0);
            }
            return;
        };
        self.words.drain(..given_up.min(self.words.len()));
        self.words.resize(self.words_max, 0);
        self.base += given_up as u32 * 64;
        self.next = self.next.max(self.base);
    }

    fn advance(&mut self) {
        while self.words.front() == Some(&u64::MAX) {
            self.words.pop_front();
            self.base = self.base.saturating_add(64);
        }
        let Some(front) = self.words.front() else {
            self.next = self.base;
            return;
        };
        self.next = self.next.max(self.base + front.trailing_ones());
        if self.words.len() == 1 && front.trailing_ones() == front.count_ones() {
            self.words.clear();
        }
    }
}

/// What one subscriber has seen of one stream.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    sequence: Sequence,
    /// The number behind the highest that has come.
    reached: u32,
}

impl Seen {
    pub(crate) fn new() -> Self {
        Self {
            sequence: Sequence::of_subscriber(),
            reached: 0,
        }
    }

    /// The number behind the highest that has come: how far the subscriber is, missing ones included.
    pub(crate) const fn reached(&self) -> u32 {
        self.reached
    }

    /// Notes a message.
    #[inline]
    pub(crate) fn note(&mut self, number: u32) -> Arrival {
        if !self.sequence.note(number) {
            return Arrival::Duplicate;
        }
        if number < self.reached {
            return Arrival::Late;
        }
        self.reached = number.saturating_add(1);
        Arrival::New
    }
}

/// What the members of a shared subscription have seen together: each message comes to one of them.
#[derive(Debug)]
pub(crate) struct Group {
    streams: Vec<Shared>,
}

#[derive(Clone, Debug)]
struct Shared {
    sequence: Sequence,
    /// Messages that have come.
    fresh: u64,
    /// Messages that are no longer waited for.
    forgiven: u64,
}

impl Group {
    pub(crate) fn new(streams: usize) -> Self {
        let shared = Shared {
            sequence: Sequence::of_group(),
            fresh: 0,
            forgiven: 0,
        };
        Self {
            streams: vec![shared; streams],
        }
    }

    /// Notes a message of a stream at a member that has reached `reached` of it; `None` for a stream that there is not.
    pub(crate) fn note(&mut self, stream: u32, number: u32, reached: &mut u32) -> Option<Arrival> {
        let shared = self.streams.get_mut(stream as usize)?;
        if !shared.sequence.note(number) {
            return Some(Arrival::Duplicate);
        }
        shared.fresh += 1;
        if number < *reached {
            return Some(Arrival::Late);
        }
        *reached = number.saturating_add(1);
        Some(Arrival::New)
    }

    /// How far the group is with a stream: what has come and what is no longer waited for.
    pub(crate) fn progress(&self, stream: u32) -> u64 {
        self.streams
            .get(stream as usize)
            .map_or(0, |shared| shared.fresh + shared.forgiven)
    }

    /// Stops waiting for what is missing of the first `sent` messages of a stream.
    pub(crate) fn forgive(&mut self, stream: u32, sent: u64) {
        if let Some(shared) = self.streams.get_mut(stream as usize) {
            shared.forgiven = sent.saturating_sub(shared.fresh);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_is_new_late_and_doubled_is_told_apart() {
        let mut seen = Seen::new();
        let arrivals = [0, 1, 1, 5, 3, 3, 6, 0, 2, 4, 7, 7].map(|number| seen.note(number));
        use Arrival::{Duplicate, Late, New};
        assert_eq!(
            arrivals,
            [
                New, New, Duplicate, New, Late, Duplicate, New, Duplicate, Late, Late, New,
                Duplicate
            ]
        );
        assert_eq!(seen.reached(), 8);
        assert!(
            seen.sequence.words.is_empty(),
            "nothing is missing any more"
        );
    }

    #[test]
    fn it_agrees_with_a_set_of_all_numbers() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut sequence, mut set) = (Sequence::of_subscriber(), BTreeSet::new());
            let mut at = 0_u32;
            for _ in 0..2000 {
                let number = (at + random.u32(0..200)).saturating_sub(100);
                at += random.u32(0..3);
                assert_eq!(sequence.note(number), set.insert(number), "seed {seed}");
            }
        }
    }

    #[test]
    fn memory_is_bounded_whatever_is_missing() {
        let mut sequence = Sequence::of_subscriber();
        for number in (1..1_000_000).step_by(2) {
            assert!(sequence.note(number));
            assert!(sequence.words.len() <= OWN_WORDS);
        }
        assert!(sequence.note(u32::MAX - 1));
        assert!(!sequence.note(u32::MAX - 1));
        assert!(!sequence.note(999_999), "long given up");
        assert!(sequence.note(u32::MAX - 1000));
        for number in u32::MAX - 63..=u32::MAX {
            sequence.note(number);
        }
        assert!(sequence.words.len() <= OWN_WORDS);
    }

    #[test]
    fn a_group_sees_each_message_once() {
        let mut group = Group::new(1);
        let (mut first, mut second) = (0, 0);
        assert_eq!(group.note(0, 0, &mut first), Some(Arrival::New));
        assert_eq!(group.note(0, 2, &mut first), Some(Arrival::New));
        assert_eq!(group.note(0, 1, &mut second), Some(Arrival::New));
        assert_eq!(group.note(0, 2, &mut second), Some(Arrival::Duplicate));
        assert_eq!(group.note(0, 4, &mut first), Some(Arrival::New));
        assert_eq!(group.note(0, 3, &mut first), Some(Arrival::Late));
        assert_eq!(group.note(1, 0, &mut first), None);
        assert_eq!(group.progress(0), 5);
        group.forgive(0, 9);
        assert_eq!(group.progress(0), 9);
        assert_eq!(group.note(0, 9, &mut second), Some(Arrival::New));
        assert_eq!(group.progress(0), 10);
    }
}
