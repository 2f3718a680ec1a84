//! One client process: a session, its outbox, and an application that reads and acknowledges.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::BytesMut;
use fastrand::Rng;
use mqtt_client::outbox::{OutboxChange, Stored};
use mqtt_client::session::{
    Credentials, DeliveryId, Event, PublishId, Session, SessionOptions, SubscriptionId, Wanted,
};
use mqtt_client::{
    ConnectionError, Error, Instant, Message, Properties, QoS, SubscriptionOptions, TopicFilter,
};

/// A message that the application has published.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    pub(crate) text: String,
    pub(crate) qos: QoS,
    /// True once it is in the outbox, where there is one.
    pub(crate) is_stored: bool,
    /// `None`: nothing was said yet.
    pub(crate) result: Option<Result<(), Error>>,
}

/// A message in the hands of the application.
pub(crate) struct Delivered {
    pub(crate) subscription: SubscriptionId,
    pub(crate) delivery: Option<DeliveryId>,
    pub(crate) text: String,
    pub(crate) qos: QoS,
}

pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) session: Session,
    options: SessionOptions,
    /// What the outbox holds, where there is one.
    pub(crate) outbox: Option<Stored>,
    committing: Option<Vec<OutboxChange>>,
    pub(crate) inbox: BytesMut,
    pub(crate) accepted: Vec<Accepted>,
    by_id: BTreeMap<PublishId, usize>,
    numbers: BTreeMap<String, u64>,
    /// In the queues of streams.
    pub(crate) queue: VecDeque<Delivered>,
    /// Taken, and not acknowledged yet.
    pub(crate) held: Vec<Delivered>,
    /// What the application has taken, and how often, for each subscription.
    pub(crate) taken: BTreeMap<(SubscriptionId, String), u32>,
    pub(crate) seen: BTreeSet<String>,
    pub(crate) subscriptions: Vec<SubscriptionId>,
    /// True once a subscription was given up: what it had counts as acknowledged.
    pub(crate) has_given_up: bool,
    pub(crate) restarts: u32,
    pub(crate) has_ended: bool,
    /// True if a message of an earlier process was given up, one of those that have no result here.
    pub(crate) has_failed_kept: bool,
}

impl Client {
    pub(crate) fn new(
        name: String,
        options: SessionOptions,
        outbox: bool,
        now: u64,
        seed: u64,
    ) -> Self {
        let mut session = Session::new(options.clone(), seed, Instant::from_millis(now));
        let outbox = outbox.then(Stored::default);
        if let Some(stored) = &outbox {
            session.restore(stored.clone());
        }
        Self {
            name,
            session,
            options,
            outbox,
            committing: None,
            inbox: BytesMut::new(),
            accepted: Vec::new(),
            by_id: BTreeMap::new(),
            numbers: BTreeMap::new(),
            queue: VecDeque::new(),
            held: Vec::new(),
            taken: BTreeMap::new(),
            seen: BTreeSet::new(),
            subscriptions: Vec::new(),
            has_given_up: false,
            restarts: 0,
            has_ended: false,
            has_failed_kept: false,
        }
    }

    pub(crate) fn publish(&mut self, now: u64, topic: &str, qos: QoS) {
        let number = self.numbers.entry(topic.to_owned()).or_default();
        *number += 1;
        let text = format!("{} {topic} {number}", self.name);
        let mut message = Message::new(topic, text.clone()).unwrap();
        message.qos = qos;
        match self.session.publish(Instant::from_millis(now), message) {
            Ok(id) => {
                self.by_id.insert(id, self.accepted.len());
                self.accepted.push(Accepted {
                    text,
                    qos,
                    is_stored: false,
                    result: None,
                });
            }
            Err(Error::QueueFull | Error::Offline | Error::Ended(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn subscribe(&mut self, now: u64, filter: &str, qos: QoS) {
        let filter = TopicFilter::from_text(filter).unwrap();
        let filters = vec![(filter, SubscriptionOptions::of_qos(qos))];
        let id = self
            .session
            .subscribe(Instant::from_millis(now), filters, &Properties::default());
        self.subscriptions.extend(id);
    }

    pub(crate) fn unsubscribe(&mut self, now: u64, dice: &mut Rng) {
        if self.subscriptions.is_empty() {
            return;
        }
        let id = self
            .subscriptions
            .swap_remove(dice.usize(..self.subscriptions.len()));
        self.has_given_up = true;
        self.queue.retain(|delivered| delivered.subscription != id);
        self.held.retain(|delivered| delivered.subscription != id);
        self.session.unsubscribe(Instant::from_millis(now), id);
    }

    /// The application takes the next message; it acknowledges it at once, or later.
    pub(crate) fn take(&mut self, now: u64, at_once: bool) {
        let Some(delivered) = self.queue.pop_front() else {
            return;
        };
        self.seen.insert(delivered.text.clone());
        let key = (delivered.subscription, delivered.text.clone());
        let times = self.taken.entry(key).or_default();
        *times += 1;
        if delivered.qos == QoS::ExactlyOnce && self.restarts == 0 {
            assert_eq!(*times, 1, "{} got {} twice", self.name, delivered.text);
        }
        if delivered.delivery.is_none() {
            return;
        }
        if at_once {
            self.acknowledge(now, &delivered);
        } else {
            self.held.push(delivered);
        }
    }

    pub(crate) fn acknowledge_one(&mut self, now: u64, dice: &mut Rng) {
        if !self.held.is_empty() {
            let delivered = self.held.swap_remove(dice.usize(..self.held.len()));
            self.acknowledge(now, &delivered);
        }
    }

    fn acknowledge(&mut self, now: u64, delivered: &Delivered) {
        let now = Instant::from_millis(now);
        if let Some(delivery) = delivered.delivery {
            self.session
                .acknowledge(now, delivered.subscription, delivery);
        }
    }

    /// A commit begins, or the one that has begun is done.
    pub(crate) fn commit(&mut self, now: u64) {
        let Some(stored) = &mut self.outbox else {
            return;
        };
        match self.committing.take() {
            Some(changes) => {
                stored.apply(&changes);
                self.session
                    .handle_committed(Instant::from_millis(now), Ok(()));
            }
            None => {
                let changes = self.session.take_changes();
                self.committing = (!changes.is_empty()).then_some(changes);
            }
        }
        self.events();
    }

    /// The process is killed; another one begins with what the outbox holds.
    pub(crate) fn restart(&mut self, now: u64, seed: u64) {
        let Some(stored) = self.outbox.clone() else {
            return;
        };
        self.committing = None;
        self.session = Session::new(self.options.clone(), seed, Instant::from_millis(now));
        self.session.restore(stored);
        self.by_id.clear();
        self.queue.clear();
        self.held.clear();
        self.subscriptions.clear();
        self.inbox.clear();
        self.restarts += 1;
    }

    pub(crate) fn wants_transport(&self) -> bool {
        matches!(self.session.wanted(), Wanted::Open(_))
    }

    pub(crate) fn opened(&mut self, now: u64) {
        self.inbox.clear();
        self.session
            .handle_opened(Instant::from_millis(now), Credentials::default());
    }

    pub(crate) fn closed(&mut self, now: u64) {
        self.inbox.clear();
        self.session
            .handle_closed(Instant::from_millis(now), ConnectionError::ClosedByServer);
        self.events();
    }

    pub(crate) fn pass(&mut self, now: u64) {
        for _ in 0..1000 {
            let due = self.session.deadline();
            if due.is_none_or(|due| due > Instant::from_millis(now)) {
                return;
            }
            self.session.handle_deadline(Instant::from_millis(now));
            self.events();
            // A deadline that stays is only that of a PINGREQ that was not written yet.
            let mut ignored = Vec::new();
            if self.session.deadline() == due {
                self.session.write(Instant::from_millis(now), &mut ignored);
                assert!(
                    self.session.deadline() != due,
                    "the session's deadline stays: {due:?}"
                );
            }
        }
        panic!("the session's deadline stays");
    }

    pub(crate) fn events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Published { id, result } => {
                    if let Some(at) = self.by_id.remove(&id) {
                        let accepted = &mut self.accepted[at];
                        assert!(accepted.result.is_none(), "two results");
                        accepted.result = Some(result.map(|_| ()));
                    } else if result.is_err() {
                        self.has_failed_kept = true;
                    }
                }
                Event::Stored { id } => {
                    if let Some(at) = self.by_id.get(&id) {
                        self.accepted[*at].is_stored = true;
                    }
                }
                Event::Message {
                    subscription,
                    delivery,
                    message,
                } => {
                    if self.subscriptions.contains(&subscription) {
                        self.queue.push_back(Delivered {
                            subscription,
                            delivery,
                            text: message.text().unwrap().to_owned(),
                            qos: message.qos,
                        });
                    }
                }
                Event::Ended(_) => self.has_ended = true,
                Event::Subscribed { result, .. } => {
                    assert!(self.has_ended || result.is_ok(), "{result:?}");
                }
                Event::Disconnected { error, .. } => {
                    let is_violation = matches!(
                        error,
                        ConnectionError::Violation(_)
                            | ConnectionError::Malformed(_)
                            | ConnectionError::Encode(_)
                    );
                    assert!(!is_violation, "{}: {error}", self.name);
                }
                Event::Connected(_)
                | Event::SessionLost
                | Event::Room
                | Event::Unclaimed { .. }
                | Event::Unsubscribed { .. }
                | Event::Authentication(_)
                | Event::Reauthenticated(_) => {}
            }
        }
    }

    /// True if nothing is left to do.
    pub(crate) fn is_at_rest(&self) -> bool {
        let counters = self.session.counters();
        counters.queued == 0
            && counters.in_flight == 0
            && self.queue.is_empty()
            && self.held.is_empty()
            && self.committing.is_none()
            && !self.session.has_urgent_changes()
            && self.session.connected().is_some()
    }
}
