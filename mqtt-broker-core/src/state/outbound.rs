//! The QoS 1 and 2 deliveries of one session: what is under way, and what waits.
//!
//! Every delivery has a sequence number, dense and rising, and its packet identifier is a function
//! of that number. So there is no allocator of identifiers, sending writes nothing, and a delivery
//! that is sent again, even after a crash, has the identifier it had.
//!
//! ```text
//!   base            base + sent          base + window.len()          next_seq
//!    | under way ....... | waits in memory .......... | waits in the store |
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use mqtt_codec::{PacketId, QoS};

use crate::Message;
use crate::store::Delivery;

/// Packet identifiers there are.
const PACKET_IDS: u64 = u16::MAX as u64;

/// A delivery in memory.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) stage: Stage,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) subscription_identifiers: Box<[u32]>,
    /// Not kept once it is sent: what is sent again, on another connection, comes from the store.
    pub(crate) message: Option<Arc<Message>>,
}

/// How far a delivery has come.
///
/// ```text
///   Waiting --PUBLISH--> Sent --PUBACK--------------------> Done
///                         '-----PUBREC--> Released --PUBCOMP--^
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not sent on this connection.
    Waiting,
    /// PUBLISH has been sent.
    Sent,
    /// PUBREC has come: only PUBREL is sent, ever again.
    Released,
    /// Complete; behind one that is not.
    Done,
}

/// A QoS 0 message that waits behind deliveries, so as not to overtake them.
#[derive(Debug)]
pub(crate) struct Trailing {
    /// It is sent once all deliveries below this sequence number have been.
    pub(crate) behind: u64,
    pub(crate) message: Arc<Message>,
    pub(crate) retain: bool,
    pub(crate) subscription_identifiers: Box<[u32]>,
}

/// The outbound side of a session.
///
/// A session that is away is three numbers: what is needed for sending is elsewhere, and is not there
/// before there is something to send.
#[derive(Debug)]
pub(crate) struct Outbound {
    /// Sequence number of the first slot of the window.
    base: u64,
    next_seq: u64,
    /// Deliveries below this sequence number may have been sent on an earlier connection.
    sent_earlier: u64,
    /// Deliveries that the store held and has no more, as far as is known: they take up numbers.
    gone: u64,
    here: Option<Box<Here>>,
}

/// What is in memory of the outbound side, while there is a connection.
#[derive(Debug, Default)]
struct Here {
    window: VecDeque<Slot>,
    /// How many slots at the front of the window have been sent on this connection, or are done.
    sent: usize,
    /// How many of those are not done.
    in_flight: usize,
    /// Bytes of the messages that wait in memory.
    waiting_bytes: usize,
    trailing: VecDeque<Trailing>,
    /// The next delivery in the store, if there are more numbers before it than there are packet
    /// identifiers: it waits for all that is in memory.
    far: Option<u64>,
    /// While more is being read from the store: the sequence numbers below this are asked for.
    loading: Option<u64>,
}

impl Outbound {
    /// The outbound side of a new session.
    pub(crate) const fn new() -> Self {
        Self::resumed(1, 1, 1)
    }

    /// That of a session whose deliveries are in the store.
    pub(crate) const fn resumed(base: u64, next_seq: u64, sent_earlier: u64) -> Self {
        Self {
            base,
            next_seq,
            sent_earlier,
            gone: 0,
            here: None,
        }
    }

    /// Forgets what is in memory, since the connection is gone: it comes from the store again.
    pub(crate) fn disconnect(&mut self) {
        *self = Self::resumed(self.base, self.next_seq, self.sent_before());
    }

    fn here(&mut self) -> &mut Here {
        self.here.get_or_insert_default()
    }

    /// How many slots at the front of the window have been sent on this connection, or are done.
    fn sent(&self) -> usize {
        self.here.as_ref().map_or(0, |here| here.sent)
    }

    /// How many deliveries are in memory.
    fn window_len(&self) -> usize {
        self.here.as_ref().map_or(0, |here| here.window.len())
    }

    /// Deliveries below this sequence number have been sent.
    pub(crate) fn sent_before(&self) -> u64 {
        self.sent_earlier.max(self.base + self.sent() as u64)
    }

    pub(crate) const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// How many deliveries have not been sent.
    pub(crate) fn waiting(&self) -> u64 {
        (self.next_seq - self.base - self.sent() as u64).saturating_sub(self.gone)
    }

    /// Bytes of messages that wait in memory.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.here.as_ref().map_or(0, |here| here.waiting_bytes)
    }

    /// How many deliveries wait in memory.
    pub(crate) fn waiting_here(&self) -> usize {
        self.window_len() - self.sent()
    }

    /// True if the store has deliveries that memory has not.
    pub(crate) fn has_more_stored(&self) -> bool {
        self.base + (self.window_len() as u64) < self.next_seq
    }

    /// The last sequence number in memory: what is loaded next comes after it.
    pub(crate) fn last_here(&self) -> u64 {
        self.base + self.window_len() as u64 - 1
    }

    /// True if nothing waits, so that a new message can be sent at once.
    pub(crate) fn is_clear(&self) -> bool {
        self.sent() == self.window_len() && !self.has_more_stored() && self.trailing_len() == 0
    }

    /// True if one more delivery may be under way.
    pub(crate) fn may_send(&self, receive_maximum: u16) -> bool {
        self.room(receive_maximum) > 0
    }

    /// How many more deliveries may be under way. The window never spans more deliveries than there
    /// are packet identifiers.
    ///
    /// `[MQTT-3.3.4-9]` `[MQTT-4.9.0-1]` `[MQTT-4.9.0-2]`
    pub(crate) fn room(&self, receive_maximum: u16) -> usize {
        let in_flight = self.here.as_ref().map_or(0, |here| here.in_flight);
        let unspanned = (PACKET_IDS as usize).saturating_sub(self.sent());
        usize::from(receive_maximum)
            .saturating_sub(in_flight)
            .min(unspanned)
    }

    /// Takes the next sequence number for a delivery that only the store holds.
    pub(crate) fn push_stored(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq - 1
    }

    /// Takes the next sequence number for a delivery that waits in memory.
    pub(crate) fn push_waiting(&mut self, slot: Slot) -> u64 {
        debug_assert!(
            !self.has_more_stored(),
            "memory holds an unbroken part of the queue"
        );
        let here = self.here();
        here.waiting_bytes += slot.bytes();
        here.window.push_back(slot);
        self.push_stored()
    }

    /// Takes the next sequence number for a delivery that is sent at once.
    pub(crate) fn push_sent(&mut self, slot: Slot) -> u64 {
        debug_assert!(self.is_clear(), "nothing overtakes what waits");
        let here = self.here();
        here.window.push_back(slot);
        here.sent += 1;
        here.in_flight += 1;
        self.push_stored()
    }

    /// Lets a QoS 0 message wait behind the deliveries there are.
    pub(crate) fn push_trailing(
        &mut self,
        message: Arc<Message>,
        retain: bool,
        subscription_identifiers: Box<[u32]>,
    ) {
        let behind = self.next_seq;
        let here = self.here();
        here.waiting_bytes += message.len();
        here.trailing.push_back(Trailing {
            behind,
            message,
            retain,
            subscription_identifiers,
        });
    }

    /// How many QoS 0 messages wait.
    pub(crate) fn trailing_len(&self) -> usize {
        self.here.as_ref().map_or(0, |here| here.trailing.len())
    }

    /// The QoS 0 message whose turn it is.
    pub(crate) fn pop_trailing(&mut self) -> Option<Trailing> {
        let next = self.base + self.sent() as u64;
        let here = self.here.as_mut()?;
        let trailing = here
            .trailing
            .pop_front_if(|trailing| trailing.behind <= next)?;
        here.waiting_bytes -= trailing.message.len();
        Some(trailing)
    }

    /// The next delivery to send, with its sequence number.
    pub(crate) fn next_waiting(&mut self) -> Option<(u64, &mut Slot)> {
        let here = self.here.as_mut()?;
        let seq = self.base + here.sent as u64;
        here.window.get_mut(here.sent).map(|slot| (seq, slot))
    }

    /// Bytes of the message that is sent next; 0 if none waits in memory.
    pub(crate) fn next_bytes(&self) -> usize {
        let Some(here) = &self.here else { return 0 };
        let next = here.window.get(here.sent).map(Slot::bytes);
        let trailing = here.trailing.front().map(|trailing| trailing.message.len());
        next.unwrap_or(0).max(trailing.unwrap_or(0))
    }

    /// True if a delivery may have been sent on an earlier connection.
    pub(crate) const fn was_sent_earlier(&self, seq: u64) -> bool {
        seq < self.sent_earlier
    }

    /// Moves on behind the next delivery, which is now in this stage.
    pub(crate) fn advance(&mut self, stage: Stage) {
        let Some(here) = &mut self.here else { return };
        if let Some(slot) = here.window.get_mut(here.sent) {
            if slot.stage != Stage::Done {
                here.waiting_bytes -= slot.bytes();
            }
            slot.stage = stage;
            slot.message = None;
            here.sent += 1;
            if stage != Stage::Done {
                here.in_flight += 1;
            }
            self.trim();
        }
    }

    /// Notes that what comes after [`Outbound::last_here`] is being read; false if it already is, or
    /// has to wait.
    pub(crate) fn start_loading(&mut self) -> bool {
        let next_seq = self.next_seq;
        let here = self.here();
        let idle = here.loading.is_none() && here.far.is_none();
        if idle {
            here.loading = Some(next_seq);
        }
        idle
    }

    /// Adds deliveries that were read from the store, those after [`Outbound::last_here`]. Gaps are
    /// deliveries that are done. None at all: there were no more when they were asked for.
    pub(crate) fn loaded(&mut self, deliveries: Vec<(u64, Delivery)>) {
        let Some(requested) = self.here().loading.take() else {
            return;
        };
        let complete = deliveries.is_empty();
        for (seq, delivery) in deliveries {
            if !self.reach(seq) {
                break;
            }
            let stage = if delivery.released {
                Stage::Released
            } else {
                Stage::Waiting
            };
            let slot = Slot {
                stage,
                qos: delivery.qos,
                retain: delivery.retain,
                subscription_identifiers: delivery.subscription_identifiers,
                message: Some(delivery.message),
            };
            let here = self.here();
            here.waiting_bytes += slot.bytes();
            here.window.push_back(slot);
        }
        if complete {
            self.reach(requested);
        }
        self.trim();
    }

    /// Lets the window end where `seq` comes next; false if that is too far away. The numbers between
    /// are of deliveries that are done.
    fn reach(&mut self, seq: u64) -> bool {
        if self.window_len() == 0 {
            self.pass(seq);
        } else if seq - self.last_here() > PACKET_IDS {
            self.here().far = Some(seq);
            return false;
        } else {
            let gap = seq - self.last_here() - 1;
            self.gone = self.gone.saturating_sub(gap);
            let done = std::iter::repeat_with(Slot::done);
            self.here().window.extend(done.take(gap as usize));
        }
        true
    }

    /// Goes on with `seq`, with nothing in memory.
    fn pass(&mut self, seq: u64) {
        self.gone = self.gone.saturating_sub(seq - self.base);
        self.base = seq;
    }

    /// True if the store holds a delivery with this number and memory does not, unless it is gone.
    pub(crate) fn holds_stored(&self, seq: u64) -> bool {
        (self.last_here() + 1..self.next_seq).contains(&seq)
    }

    /// A delivery that only the store holds is no more.
    pub(crate) fn remove_stored(&mut self, seq: u64) {
        debug_assert!(self.holds_stored(seq), "memory holds no gaps");
        self.gone += 1;
        // Most queues expire from the front on.
        if seq == self.base && self.window_len() == 0 {
            self.pass(seq + 1);
        }
        if self.gone == self.next_seq - self.base {
            self.pass(self.next_seq);
        }
    }

    /// The slot of a packet identifier that is under way, with its sequence number.
    pub(crate) fn find(&self, id: PacketId) -> Option<(u64, &Slot)> {
        let offset =
            (u64::from(id.get()) + PACKET_IDS - u64::from(packet_id(self.base).get())) % PACKET_IDS;
        let here = self.here.as_ref()?;
        let slot = here
            .window
            .get(offset as usize)
            .filter(|_| (offset as usize) < here.sent)?;
        Some((self.base + offset, slot))
    }

    /// Puts the delivery into the stage after PUBREC.
    pub(crate) fn release(&mut self, seq: u64) {
        let at = (seq - self.base) as usize;
        if let Some(slot) = self.here().window.get_mut(at) {
            slot.stage = Stage::Released;
            slot.message = None;
        }
    }

    /// Completes a delivery that is under way.
    ///
    /// `[MQTT-4.3.2-3]` `[MQTT-4.3.3-3]` `[MQTT-4.3.3-5]`
    pub(crate) fn complete(&mut self, seq: u64) {
        let at = (seq - self.base) as usize;
        let here = self.here();
        if let Some(slot) = here.window.get_mut(at) {
            slot.stage = Stage::Done;
            slot.message = None;
            here.in_flight -= 1;
            self.trim();
        }
    }

    /// Drops what is done from the front. What is done but not passed yet, as a gap that was
    /// loaded, is passed here.
    fn trim(&mut self) {
        let Some(here) = &mut self.here else { return };
        while here
            .window
            .pop_front_if(|slot| slot.stage == Stage::Done)
            .is_some()
        {
            self.base += 1;
            here.sent = here.sent.saturating_sub(1);
        }
        if here.window.is_empty() {
            if here.window.capacity() > 128 {
                here.window = VecDeque::new();
            }
            if let Some(far) = here.far.take() {
                self.pass(far);
            }
        }
    }
}

/// The packet identifier of a sequence number.
///
/// `[MQTT-2.2.1-4]` `[MQTT-4.3.2-1]` `[MQTT-4.3.3-1]`
pub(crate) fn packet_id(seq: u64) -> PacketId {
    let number = 1 + seq.wrapping_sub(1) % PACKET_IDS;
    // From 1 to 65,535 by the line above.
    PacketId::new(number as u16).unwrap_or_else(|| unreachable!())
}

impl Slot {
    fn done() -> Self {
        Self {
            stage: Stage::Done,
            qos: QoS::AtLeastOnce,
            retain: false,
            subscription_identifiers: Box::default(),
            message: None,
        }
    }

    fn bytes(&self) -> usize {
        self.message.as_ref().map_or(0, |message| message.len())
    }
}
