//! One order for all subscribers of a topic: what several publishers send, each subscriber has to see in the same order.
//!
//! The subscriber that is furthest ahead says what the order is. A message that it has not got and another has is put between
//! those that the other has it between, so that a loss is not taken for a violation.

use std::collections::{HashMap, VecDeque};

/// Messages that are remembered for subscribers that are behind. One that is behind by more is not compared meanwhile.
const LOG_MAX: usize = 1 << 18;
/// Messages put between others that are remembered.
const BETWEEN_MAX: usize = 1 << 14;
/// Messages that all have passed and that are yet remembered where one has left messages out, for they may come late.
const SKIPPED_KEPT: u64 = 1024;
/// Messages between two looks for what all subscribers have passed.
const PRUNE_EVERY: u32 = 256;
/// Bits of a place for what is put behind one message of the log.
const BETWEEN_BITS: u32 = 16;

/// A message: its stream and number.
type Message = (u32, u32);

/// The order of the messages of one topic, and how far each subscriber is with it.
#[derive(Debug)]
pub(crate) struct Order {
    log: VecDeque<Message>,
    /// The index of the first message in `log`.
    base: u64,
    seats: Vec<Seat>,
    between: HashMap<Message, u64>,
    violations: u64,
    until_prune: u32,
}

/// One subscriber.
#[derive(Clone, Debug, Default)]
struct Seat {
    /// The place of its last message: the index behind it in the upper bits, below them how many were put behind that.
    place: u64,
    /// True once it has left messages of the log out: they may yet come.
    skipped: bool,
    /// True once its connection has ended.
    gone: bool,
}

impl Order {
    pub(crate) fn new(subscribers: usize) -> Self {
        Self {
            log: VecDeque::new(),
            base: 0,
            seats: vec![Seat::default(); subscribers],
            between: HashMap::new(),
            violations: 0,
            until_prune: PRUNE_EVERY,
        }
    }

    /// Messages that came to a subscriber behind one that others saw later.
    pub(crate) const fn violations(&self) -> u64 {
        self.violations
    }

    /// Notes a message that came to a subscriber for the first time.
    #[inline]
    pub(crate) fn note(&mut self, seat: usize, stream: u32, number: u32) {
        let message = (stream, number);
        self.until_prune -= 1;
        if self.until_prune == 0 {
            self.prune();
        }
        let Some(subscriber) = self.seats.get_mut(seat) else {
            return;
        };
        let next = subscriber.place >> BETWEEN_BITS;
        let at = next.checked_sub(self.base).map(|at| at as usize);
        if at.and_then(|at| self.log.get(at)) == Some(&message) {
            subscriber.place = (next + 1) << BETWEEN_BITS;
        } else {
            self.note_out_of_line(seat, message);
        }
    }

    /// No longer waits for a subscriber.
    pub(crate) fn leave(&mut self, seat: usize) {
        if let Some(seat) = self.seats.get_mut(seat) {
            seat.gone = true;
        }
    }

    fn note_out_of_line(&mut self, seat: usize, message: Message) {
        let end = self.base + self.log.len() as u64;
        let Some(subscriber) = self.seats.get_mut(seat) else {
            return;
        };
        let next = subscriber.place >> BETWEEN_BITS;
        let from = next.saturating_sub(self.base) as usize;
        let ahead = self
            .log
            .iter()
            .skip(from)
            .position(|other| *other == message);
        if let Some(distance) = ahead {
            subscriber.skipped |= distance > 0 || next < self.base;
            subscriber.place = (self.base + (from + distance) as u64 + 1) << BETWEEN_BITS;
        } else if let Some(place) = self.between.get(&message) {
            if *place < subscriber.place {
                self.violations += 1;
            } else {
                subscriber.place = *place;
            }
        } else if subscriber.skipped && self.log.iter().take(from).any(|other| *other == message) {
            self.violations += 1;
        } else if next == end {
            self.log.push_back(message);
            subscriber.place = (end + 1) << BETWEEN_BITS;
            if self.log.len() > LOG_MAX {
                self.log.pop_front();
                self.base += 1;
            }
        } else if self.between.len() < BETWEEN_MAX {
            let room = subscriber.place & ((1 << BETWEEN_BITS) - 1) < (1 << BETWEEN_BITS) - 1;
            subscriber.place += u64::from(room);
            self.between.insert(message, subscriber.place);
        }
    }

    /// Forgets what every subscriber has passed.
    fn prune(&mut self) {
        self.until_prune = PRUNE_EVERY;
        let present = self.seats.iter().filter(|seat| !seat.gone);
        let passed = present.map(|seat| seat.place >> BETWEEN_BITS).min();
        // One that skips messages may yet get them: they stay for a while.
        let keep = if self.seats.iter().any(|seat| seat.skipped) {
            SKIPPED_KEPT
        } else {
            0
        };
        let passed = passed.unwrap_or(u64::MAX).saturating_sub(keep);
        let count = passed.saturating_sub(self.base).min(self.log.len() as u64);
        self.log.drain(..count as usize);
        self.base += count;
        if !self.between.is_empty() {
            let first = self.base << BETWEEN_BITS;
            self.between.retain(|_, place| *place >= first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each pair: a subscriber, and the message it gets. Messages are letters.
    fn violations(arrivals: &[(usize, char)]) -> u64 {
        let mut order = Order::new(3);
        for (seat, letter) in arrivals {
            order.note(*seat, *letter as u32, 0);
        }
        order.violations()
    }

    fn each(sequences: [&str; 3]) -> Vec<(usize, char)> {
        let of = |(seat, letters): (usize, &'static str)| letters.chars().map(move |l| (seat, l));
        let sequences: [&'static str; 3] = sequences.map(|s| &*s.to_owned().leak());
        sequences.into_iter().enumerate().flat_map(of).collect()
    }

    #[test]
    fn equal_orders_agree_whoever_is_ahead() {
        let mut arrivals = each(["abcdef", "abcdef", "abcdef"]);
        assert_eq!(violations(&arrivals), 0);
        arrivals.sort_by_key(|(_, letter)| *letter);
        assert_eq!(violations(&arrivals), 0);
    }

    #[test]
    fn a_swap_is_one_violation() {
        assert_eq!(violations(&each(["abcd", "acbd", "abcd"])), 1);
        assert_eq!(violations(&each(["abcd", "bacd", "abdc"])), 2);
        // The one that is ahead is the one that differs.
        assert_eq!(violations(&each(["bacd", "abcd", "abcd"])), 2);
    }

    #[test]
    fn a_loss_is_none() {
        assert_eq!(violations(&each(["abcdef", "adef", "bcf"])), 0);
        assert_eq!(violations(&each(["adf", "abcdef", "abcdef"])), 0);
        assert_eq!(violations(&each(["f", "abcdef", "ef"])), 0);
        assert_eq!(violations(&each(["", "ab", "abc"])), 0);
    }

    #[test]
    fn a_swap_of_what_the_first_has_lost_is_found() {
        assert_eq!(violations(&each(["ad", "abcd", "acbd"])), 1);
        assert_eq!(violations(&each(["ad", "abd", "adb"])), 1);
    }

    #[test]
    fn what_all_have_passed_is_forgotten_and_a_straggler_bounds_nothing() {
        let mut order = Order::new(2);
        for number in 0..100_000 {
            order.note(0, 0, number);
            order.note(1, 0, number);
        }
        assert!(order.log.len() <= PRUNE_EVERY as usize);
        for number in 100_000..1_000_000 {
            order.note(0, 0, number);
        }
        assert!(order.log.len() <= LOG_MAX);
        order.note(1, 0, 999_998);
        order.note(1, 0, 999_999);
        assert_eq!(order.violations(), 0);
        order.leave(1);
        for number in 1_000_000..1_001_000 {
            order.note(0, 0, number);
        }
        assert!(order.log.len() <= SKIPPED_KEPT as usize + PRUNE_EVERY as usize);
    }
}
