//! The QoS 1 and 2 messages of one publisher that the broker has not acknowledged.

use std::collections::VecDeque;

use mqtt_codec::PacketId;

/// Packet identifiers that may be in a row from the oldest to the newest one in use: an acknowledgement that never comes must not
/// let them come round.
const SPAN_MAX: usize = 32_768;
/// Packet identifiers there are.
const IDENTIFIERS: u32 = 65_535;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A PUBACK is waited for.
    AtLeastOnce,
    /// A PUBREC is waited for.
    ExactlyOnce,
    /// A PUBCOMP is waited for.
    Release,
    Done,
}

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A PUBACK.
    Acknowledged,
    /// A PUBREC.
    Received,
    /// A PUBREC that says that the message was not taken.
    Refused,
    /// A PUBCOMP.
    Complete,
}

/// An acknowledgement that nothing waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unexpected;

/// The window of a publisher.
#[derive(Debug)]
pub(crate) struct Unacknowledged {
    states: VecDeque<State>,
    /// The packet identifier of the first of `states`.
    first: u16,
    waiting: usize,
    limit: usize,
}

impl Unacknowledged {
    /// With room for `limit` messages.
    pub(crate) fn new(limit: u16) -> Self {
        Self {
            states: VecDeque::new(),
            first: 1,
            waiting: 0,
            limit: usize::from(limit),
        }
    }

    /// Messages that are not acknowledged.
    pub(crate) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Messages that may be sent now.
    pub(crate) fn room(&self) -> usize {
        (self.limit.saturating_sub(self.waiting)).min(SPAN_MAX.saturating_sub(self.states.len()))
    }

    /// Counts a message at QoS 1 or, if `exactly_once`, 2, and gives it its packet identifier.
    pub(crate) fn send(&mut self, exactly_once: bool) -> Option<PacketId> {
        let id = (u32::from(self.first) - 1 + self.states.len() as u32) % IDENTIFIERS + 1;
        let state = if exactly_once {
            State::ExactlyOnce
        } else {
            State::AtLeastOnce
        };
        self.states.push_back(state);
        self.waiting += 1;
        PacketId::new(id as u16)
    }

    /// Notes an answer.
    pub(crate) fn answer(&mut self, id: PacketId, answer: Answer) -> Result<(), Unexpected> {
        let index = (u32::from(id.get()) + IDENTIFIERS - u32::from(self.first)) % IDENTIFIERS;
        let state = self.states.get_mut(index as usize).ok_or(Unexpected)?;
        *state = match (*state, answer) {
            (State::AtLeastOnce, Answer::Acknowledged)
            | (State::ExactlyOnce, Answer::Refused)
            | (State::Release, Answer::Complete) => State::Done,
            (State::ExactlyOnce, Answer::Received) => State::Release,
            (State::AtLeastOnce | State::ExactlyOnce | State::Release | State::Done, _) => {
                return Err(Unexpected);
            }
        };
        if *state == State::Done {
            self.waiting -= 1;
            while self.states.front() == Some(&State::Done) {
                self.states.pop_front();
                self.first = (u32::from(self.first) % IDENTIFIERS + 1) as u16;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u16) -> PacketId {
        PacketId::new(number).unwrap()
    }

    #[test]
    fn identifiers_go_round_and_are_free_again_once_acknowledged() {
        let mut window = Unacknowledged::new(2);
        for turn in 0..140_000_u32 {
            let expected = id((turn % 65_535 + 1) as u16);
            assert_eq!(window.send(false), Some(expected));
            assert_eq!(window.room(), 1);
            assert_eq!(window.answer(expected, Answer::Acknowledged), Ok(()));
            assert_eq!(
                window.answer(expected, Answer::Acknowledged),
                Err(Unexpected)
            );
            assert_eq!((window.room(), window.waiting()), (2, 0));
        }
    }

    #[test]
    fn answers_may_come_in_any_order_and_none_twice() {
        let mut window = Unacknowledged::new(10);
        let ids: Vec<PacketId> = (0..3).filter_map(|_| window.send(true)).collect();
        assert_eq!(window.answer(ids[1], Answer::Complete), Err(Unexpected));
        assert_eq!(window.answer(ids[1], Answer::Acknowledged), Err(Unexpected));
        assert_eq!(window.answer(ids[1], Answer::Received), Ok(()));
        assert_eq!(window.answer(ids[1], Answer::Received), Err(Unexpected));
        assert_eq!(window.answer(ids[1], Answer::Complete), Ok(()));
        assert_eq!(window.waiting(), 2);
        assert_eq!(window.answer(ids[0], Answer::Refused), Ok(()));
        assert_eq!(window.answer(ids[0], Answer::Complete), Err(Unexpected));
        assert_eq!(window.answer(id(400), Answer::Received), Err(Unexpected));
        assert_eq!(window.send(true), Some(id(4)));
        assert_eq!((window.waiting(), window.room()), (2, 8));
    }

    #[test]
    fn one_that_is_never_acknowledged_keeps_its_identifier() {
        let mut window = Unacknowledged::new(100);
        let first = window.send(false);
        while window.room() > 0 {
            let next = window.send(false).unwrap();
            assert_ne!(Some(next), first);
            window.answer(next, Answer::Acknowledged).unwrap();
        }
        assert_eq!(window.waiting(), 1);
    }
}
