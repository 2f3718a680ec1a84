//! The messages of one stream that nobody has taken yet.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use mqtt_codec::{QoS, ReasonCode};

use super::StreamFull;
use crate::session::DeliveryId;
use crate::shared::{Wakes, remember};
use crate::{Error, Message, Metrics};

/// What the server said to each filter of a subscription: the QoS that it grants, or why it refuses.
pub(crate) type Granted = Vec<Result<QoS, ReasonCode>>;

/// A message as it came for this stream.
pub(crate) struct Received {
    /// What to acknowledge; nothing at QoS 0.
    pub(crate) delivery: Option<DeliveryId>,
    pub(crate) message: Message,
}

/// The queue, and who waits for it.
pub(crate) struct Queue {
    messages: VecDeque<Received>,
    qos0: usize,
    qos0_bytes: usize,
    capacity: usize,
    bytes_max: usize,
    when_full: StreamFull,
    stalls: Stalls,
    answer: Option<Result<Granted, Error>>,
    course: Course,
    reader: Option<Waker>,
    ready: Option<Waker>,
}

/// Whether this queue is why nothing is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stalls {
    No,
    Yes,
}

/// Whether more messages may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Open,
    /// No filter is subscribed to, or the client has ended.
    Over,
}

impl Queue {
    pub(crate) const fn new(capacity: usize, bytes_max: usize, when_full: StreamFull) -> Self {
        Self {
            messages: VecDeque::new(),
            qos0: 0,
            qos0_bytes: 0,
            capacity,
            bytes_max,
            when_full,
            stalls: Stalls::No,
            answer: None,
            course: Course::Open,
            reader: None,
            ready: None,
        }
    }

    /// A message has come. `full` counts the queues that want nothing to be read.
    pub(crate) fn push(
        &mut self,
        received: Received,
        full: &mut usize,
        metrics: &mut Metrics,
        wakes: &mut Wakes,
    ) {
        if received.delivery.is_none() {
            if self.is_full() && self.when_full == StreamFull::DropNewest {
                metrics.qos0_dropped += 1;
                return;
            }
            self.qos0 += 1;
            self.qos0_bytes += bytes_of(&received.message);
            let is_why = self.is_full() && self.when_full == StreamFull::Wait;
            if is_why && self.stalls == Stalls::No {
                self.stalls = Stalls::Yes;
                *full += 1;
            }
        }
        self.messages.push_back(received);
        wakes.push(self.reader.take());
    }

    /// One that was taken is wanted by nobody: it is the next again.
    pub(crate) fn put_back(&mut self, received: Received, wakes: &mut Wakes) {
        self.messages.push_front(received);
        wakes.push(self.reader.take());
    }

    /// The next message. `full` as in [`push`](Self::push).
    pub(crate) fn pop(&mut self, full: &mut usize) -> Option<Received> {
        let received = self.messages.pop_front()?;
        if received.delivery.is_none() {
            self.qos0 -= 1;
            self.qos0_bytes -= bytes_of(&received.message);
            if !self.is_full() {
                self.let_read(full);
            }
        }
        Some(received)
    }

    fn is_full(&self) -> bool {
        self.qos0 >= self.capacity || self.qos0_bytes >= self.bytes_max
    }

    /// This queue is no reason not to read.
    pub(crate) fn let_read(&mut self, full: &mut usize) {
        if self.stalls == Stalls::Yes {
            self.stalls = Stalls::No;
            *full -= 1;
        }
    }

    /// True if no message will come any more.
    pub(crate) fn is_over(&self) -> bool {
        self.course == Course::Over
    }

    /// The server's answer; a later one is a refusal when it was asked again.
    pub(crate) fn answered(&mut self, result: Result<Granted, Error>, wakes: &mut Wakes) {
        let is_over = match &result {
            Ok(granted) => granted.iter().all(Result::is_err),
            Err(_) => true,
        };
        if is_over {
            self.course = Course::Over;
            wakes.push(self.reader.take());
        }
        self.answer = Some(result);
        wakes.push(self.ready.take());
    }

    /// What the server said; nothing before its answer.
    pub(crate) const fn answer(&self) -> Option<&Result<Granted, Error>> {
        self.answer.as_ref()
    }

    /// The client has ended. A QoS 2 message that was not taken is not acknowledged, so a session that stays has
    /// it again: it must not be taken twice.
    pub(crate) fn end(&mut self, wakes: &mut Wakes) {
        let is_sent_again =
            |one: &Received| one.delivery.is_some() && one.message.qos == QoS::ExactlyOnce;
        self.messages.retain(|received| !is_sent_again(received));
        self.course = Course::Over;
        wakes.push(self.reader.take());
        wakes.push(self.ready.take());
    }

    /// Wakes this task for the next message.
    pub(crate) fn wait(&mut self, cx: &Context<'_>) {
        remember(&mut self.reader, cx);
    }

    /// Wakes this task for the server's answer.
    pub(crate) fn wait_for_answer(&mut self, cx: &Context<'_>) {
        remember(&mut self.ready, cx);
    }
}

fn bytes_of(message: &Message) -> usize {
    message.topic.as_bytes().len() + message.payload.len()
}
