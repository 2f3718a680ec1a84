//! The closed loop: how many messages may be on their way between the publishers and the subscribers of one flow.
//!
//! The window of a flow is cut into chunks. A publisher takes a chunk, sends it, and the chunk comes back once every subscriber
//! has got past its end; then it goes to the publisher that has waited longest. So the lock is taken once a chunk, not once a
//! message, and a publisher that gets a turn has enough to write at once.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use super::lock;

/// Chunks that a window is cut into, unless that makes them larger than [`CHUNK_MAX`].
const CHUNKS: u32 = 16;
/// Messages in a chunk at most: more in one write saves nothing.
const CHUNK_MAX: u32 = 32;

/// What a publisher shares with whoever gives it leave to send.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// Messages that it may have sent in all.
    granted: AtomicU64,
    /// Messages that it has sent.
    sent: AtomicU64,
    /// Messages that it has sent and that are not acknowledged.
    waiting: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

impl Lane {
    /// Lets it send `messages` more, and wakes it.
    pub(crate) fn grant(&self, messages: u64) {
        self.granted.fetch_add(messages, Ordering::Relaxed);
        self.wake();
    }

    pub(crate) fn granted(&self) -> u64 {
        self.granted.load(Ordering::Relaxed)
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(crate) fn set_sent(&self, sent: u64) {
        self.sent.store(sent, Ordering::Relaxed);
    }

    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(crate) fn set_waiting(&self, waiting: u64) {
        self.waiting.store(waiting, Ordering::Relaxed);
    }

    /// Wakes its task.
    pub(crate) fn wake(&self) {
        let waker = lock(&self.waker).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Has this waker woken at the next grant.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut held = lock(&self.waker);
        if !held.as_ref().is_some_and(|held| held.will_wake(waker)) {
            *held = Some(waker.clone());
        }
    }
}

/// The ends of chunks that a subscriber has got past, of one stream: chunks `from` to `to - 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) stream: u32,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// A set of publishers and the subscribers that get all their messages, or as a group each of them once.
#[derive(Debug)]
pub(crate) struct Flow {
    /// The chunk's size is two to the power of this.
    chunk_bits: u32,
    first_stream: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Chunks that nobody has.
    free: u32,
    /// Publishers that wait for one, by their index.
    waiting: VecDeque<usize>,
    publishers: Vec<Outstanding>,
    subscribers: u32,
}

/// The chunks that a publisher has and has had, and that have not come back.
#[derive(Debug)]
struct Outstanding {
    lane: Arc<Lane>,
    /// The number of the first of them.
    first: u64,
    /// How many subscribers have got past each.
    passed: VecDeque<u32>,
}

impl Flow {
    /// A flow of these publishers, whose streams follow one another from `first_stream` on. A group is one subscriber.
    pub(crate) fn new(
        window: u32,
        first_stream: u32,
        lanes: Vec<Arc<Lane>>,
        subscribers: u32,
    ) -> Self {
        let chunk = (window / CHUNKS).clamp(1, CHUNK_MAX);
        let chunk_bits = chunk.ilog2();
        let outstanding = |lane| Outstanding {
            lane,
            first: 0,
            passed: VecDeque::new(),
        };
        Self {
            chunk_bits,
            first_stream,
            state: Mutex::new(State {
                free: (window >> chunk_bits).max(1),
                waiting: VecDeque::new(),
                publishers: lanes.into_iter().map(outstanding).collect(),
                subscribers,
            }),
        }
    }

    /// The chunks that the first `messages` of a stream fill.
    #[inline]
    pub(crate) const fn chunks(&self, messages: u64) -> u64 {
        messages >> self.chunk_bits
    }

    /// Gives the publisher of a stream its next chunk, now or once there is one.
    pub(crate) fn take(&self, stream: u32) {
        let mut state = lock(&self.state);
        let index = (stream - self.first_stream) as usize;
        state.waiting.push_back(index);
        state.hand_out(self.chunk_bits);
    }

    /// Gives back the chunk that a publisher will not fill, as it has sent all of its `messages`.
    pub(crate) fn finish(&self, messages: u64) {
        if self.chunks(messages) << self.chunk_bits < messages {
            let mut state = lock(&self.state);
            state.free += 1;
            state.hand_out(self.chunk_bits);
        }
    }

    /// Notes how far a subscriber has come.
    pub(crate) fn pass(&self, passed: &[Passed]) {
        let mut state = lock(&self.state);
        for Passed { stream, from, to } in passed {
            state.pass((stream - self.first_stream) as usize, *from, *to);
        }
        state.hand_out(self.chunk_bits);
    }

    /// No longer waits for a subscriber that has passed so many chunks of each stream of the flow.
    pub(crate) fn leave(&self, passed: &[u64]) {
        let mut state = lock(&self.state);
        state.subscribers = state.subscribers.saturating_sub(1);
        for (publisher, passed) in state.publishers.iter_mut().zip(passed) {
            let count = passed.saturating_sub(publisher.first) as usize;
            for others in publisher.passed.iter_mut().take(count) {
                *others = others.saturating_sub(1);
            }
        }
        for index in 0..state.publishers.len() {
            state.settle(index);
        }
        state.hand_out(self.chunk_bits);
    }

    /// No longer gives chunks to a publisher whose connection has ended, and takes back those that it has.
    pub(crate) fn retire(&self, stream: u32) {
        let mut state = lock(&self.state);
        let index = (stream - self.first_stream) as usize;
        state.waiting.retain(|waiting| *waiting != index);
        if let Some(publisher) = state.publishers.get_mut(index) {
            let count = publisher.passed.drain(..).len();
            publisher.first += count as u64;
            state.free += count as u32;
        }
        state.hand_out(self.chunk_bits);
    }

    /// No longer waits for what has been sent and has not come. True if anything was waited for.
    ///
    /// `forgive` is told how many messages of which stream are meant.
    pub(crate) fn forgive(&self, mut forgive: impl FnMut(u32, u64)) -> bool {
        let mut state = lock(&self.state);
        let (mut returned, chunk_bits) = (0, self.chunk_bits);
        for (stream, publisher) in (self.first_stream..).zip(&mut state.publishers) {
            let sent = publisher.lane.sent();
            let full = (sent >> chunk_bits).saturating_sub(publisher.first);
            let full = publisher
                .passed
                .drain(..(full as usize).min(publisher.passed.len()))
                .len();
            publisher.first += full as u64;
            returned += full as u32;
            forgive(stream, sent);
        }
        state.free += returned;
        state.hand_out(self.chunk_bits);
        returned > 0
    }
}

impl State {
    fn pass(&mut self, index: usize, from: u64, to: u64) {
        let Some(publisher) = self.publishers.get_mut(index) else {
            return;
        };
        let from = from.saturating_sub(publisher.first) as usize;
        let to = to.saturating_sub(publisher.first) as usize;
        for passed in publisher.passed.iter_mut().take(to).skip(from) {
            *passed += 1;
        }
        self.settle(index);
    }

    /// Takes the chunks back that every subscriber has passed.
    fn settle(&mut self, index: usize) {
        let Some(publisher) = self.publishers.get_mut(index) else {
            return;
        };
        while publisher
            .passed
            .front()
            .is_some_and(|passed| *passed >= self.subscribers)
        {
            publisher.passed.pop_front();
            publisher.first += 1;
            self.free += 1;
        }
    }

    fn hand_out(&mut self, chunk_bits: u32) {
        while self.free > 0
            && let Some(index) = self.waiting.pop_front()
        {
            let Some(publisher) = self.publishers.get_mut(index) else {
                continue;
            };
            self.free -= 1;
            publisher.passed.push_back(0);
            publisher.lane.grant(1 << chunk_bits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(window: u32, publishers: usize, subscribers: u32) -> (Flow, Vec<Arc<Lane>>) {
        let lanes: Vec<Arc<Lane>> = (0..publishers).map(|_| Arc::default()).collect();
        (Flow::new(window, 10, lanes.clone(), subscribers), lanes)
    }

    fn pass(flow: &Flow, stream: u32, from: u64, to: u64) {
        flow.pass(&[Passed { stream, from, to }]);
    }

    #[test]
    fn a_window_is_handed_out_and_comes_back_when_all_have_passed() {
        let (flow, lanes) = flow(64, 1, 2);
        for _ in 0..17 {
            flow.take(10);
        }
        assert_eq!(lanes[0].granted(), 64, "16 chunks of 4");
        pass(&flow, 10, 0, 2);
        assert_eq!(lanes[0].granted(), 64, "the other is not there yet");
        pass(&flow, 10, 0, 1);
        assert_eq!(lanes[0].granted(), 68);
        flow.take(10);
        pass(&flow, 10, 1, 2);
        assert_eq!(lanes[0].granted(), 72);
    }

    #[test]
    fn the_longest_waiting_is_first() {
        let (flow, lanes) = flow(2, 3, 1);
        for stream in [10, 11, 12, 10] {
            flow.take(stream);
        }
        let granted = || lanes.iter().map(|lane| lane.granted()).collect::<Vec<_>>();
        assert_eq!(granted(), [1, 1, 0]);
        pass(&flow, 11, 0, 1);
        assert_eq!(granted(), [1, 1, 1]);
        pass(&flow, 12, 0, 1);
        assert_eq!(granted(), [2, 1, 1]);
        flow.take(12);
        assert_eq!(granted(), [2, 1, 1]);
    }

    #[test]
    fn a_chunk_that_will_not_be_filled_goes_to_the_next() {
        let (flow, lanes) = flow(64, 2, 1);
        for _ in 0..17 {
            flow.take(10);
        }
        flow.take(11);
        flow.finish(64);
        assert_eq!((lanes[0].granted(), lanes[1].granted()), (64, 0));
        flow.finish(61);
        flow.finish(62);
        assert_eq!((lanes[0].granted(), lanes[1].granted()), (68, 4));
    }

    #[test]
    fn one_that_leaves_is_no_longer_waited_for() {
        let (flow, lanes) = flow(2, 1, 2);
        for _ in 0..4 {
            flow.take(10);
        }
        pass(&flow, 10, 0, 2);
        assert_eq!(lanes[0].granted(), 2);
        flow.leave(&[0]);
        assert_eq!(lanes[0].granted(), 4);

        // One that was ahead takes its passes along.
        pass(&flow, 10, 2, 3);
        flow.take(10);
        assert_eq!(lanes[0].granted(), 5);
    }

    #[test]
    fn a_publisher_that_has_gone_leaves_its_chunks_to_the_others() {
        let (flow, lanes) = flow(2, 2, 1);
        for stream in [10, 10, 10, 11] {
            flow.take(stream);
        }
        assert_eq!((lanes[0].granted(), lanes[1].granted()), (2, 0));
        flow.retire(10);
        assert_eq!((lanes[0].granted(), lanes[1].granted()), (2, 1));
        pass(&flow, 10, 0, 2);
        flow.take(11);
        flow.take(11);
        assert_eq!(
            lanes[1].granted(),
            2,
            "what had been given back does not come twice"
        );
    }

    #[test]
    fn what_was_lost_is_forgiven_once() {
        let (flow, lanes) = flow(2, 1, 1);
        for _ in 0..4 {
            flow.take(10);
        }
        lanes[0].set_sent(2);
        let mut told = Vec::new();
        assert!(flow.forgive(|stream, sent| told.push((stream, sent))));
        assert_eq!((told, lanes[0].granted()), (vec![(10, 2)], 4));
        // A late one of what was forgiven counts no more; what follows does.
        pass(&flow, 10, 0, 2);
        flow.take(10);
        assert_eq!(lanes[0].granted(), 4);
        pass(&flow, 10, 2, 3);
        assert_eq!(lanes[0].granted(), 5);
        assert!(!flow.forgive(|_, _| ()), "nothing is sent and missing");
    }
}
