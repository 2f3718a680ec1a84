//! Getting all the retained messages that match, and knowing when that is all.
//!
//! A server sends the retained messages behind its SUBACK, and says nothing when it has sent the last one. So with the
//! filters a topic is subscribed to that nobody else has, and when the SUBACK has come, a message is published to it, the
//! *marker*. Messages of one connection come in the order in which the server has queued them: what is retained is before
//! the marker, and when that is back, all is there. It is at QoS 1, since it must not overtake what waits for an
//! acknowledgement. A server whose queue is full drops it, so it is published again until it comes back.
//!
//! Servers that fetch what is retained from another process may let the marker overtake it. A tenth of a second of silence
//! behind the marker is waited for, which is no burden elsewhere. Where the marker may not be subscribed to or published, a
//! longer silence has to do, and the caller is told.

use std::collections::HashSet;
use std::io;
use std::pin::pin;
use std::time::Duration;

use mqtt_client::{
    Client, Error, Message, QoS, ReasonCode, StreamFull, Subscription, TopicFilter, TopicName,
};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// The silence behind the marker.
const SETTLE: Duration = Duration::from_millis(100);
/// How long the marker is waited for before another one is published.
const MARKER_INTERVAL: Duration = Duration::from_millis(500);

/// What is collected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Collection<'a> {
    pub(super) client: &'a Client,
    pub(super) filters: &'a [TopicFilter],
    /// The silence that ends it where there is no marker.
    pub(super) silence: Duration,
}

/// How it is known that all messages are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Marker,
    /// It is not known: nothing came for a while.
    Silence,
}

/// What a collection was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) end: End,
    /// How many messages the server gave only at QoS 0, so that their own is not known.
    pub(super) qos_unknown: u64,
}

/// Why there is no collection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("the server refuses the filter {filter}: {}", .reason.text())]
    Refused { filter: String, reason: ReasonCode },
    #[error("{0}")]
    Client(#[from] Error),
    /// What was collected cannot be written.
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

impl Collection<'_> {
    /// Gives each message to `each` as soon as it comes, once for each topic, at QoS 0.
    ///
    /// Never ends if the connection is lost: the caller watches it.
    ///
    /// # Errors
    /// [`Problem`], also what `each` gives.
    pub(super) async fn at_qos_0(
        self,
        mut each: impl FnMut(Message) -> io::Result<()>,
    ) -> Result<Summary, Problem> {
        let mut seen = HashSet::new();
        let first_time = |message: Message| match seen.insert(message.topic.clone()) {
            true => each(message),
            false => Ok(()),
        };
        let end = self.pass(QoS::AtMostOnce, first_time).await?;
        let qos_unknown = 0;
        Ok(Summary { end, qos_unknown })
    }

    /// As [`at_qos_0`](Self::at_qos_0), but with the QoS that each message was published with.
    ///
    /// Servers limit how much they queue for a client, and drop more messages of QoS 1 and 2 without a word; Mosquitto does
    /// it at 1,020 of them, unless the client's Receive Maximum is higher. At QoS 0 they do not. So there are two passes,
    /// and what comes in the second one alone was dropped in the first: it is taken for QoS 1.
    ///
    /// # Errors
    /// As there.
    pub(super) async fn at_own_qos(
        self,
        mut each: impl FnMut(Message) -> io::Result<()>,
    ) -> Result<Summary, Problem> {
        let mut seen = HashSet::new();
        let first_time = |message: Message| match seen.insert(message.topic.clone()) {
            true => each(message),
            false => Ok(()),
        };
        self.pass(QoS::ExactlyOnce, first_time).await?;
        let mut qos_unknown = 0;
        let dropped_before = |mut message: Message| match seen.insert(message.topic.clone()) {
            true => {
                qos_unknown += 1;
                message.qos = QoS::AtLeastOnce;
                each(message)
            }
            false => Ok(()),
        };
        let end = self.pass(QoS::AtMostOnce, dropped_before).await?;
        Ok(Summary { end, qos_unknown })
    }

    /// Subscribes, and gives what is retained to `each` until all is there.
    async fn pass(
        self,
        qos: QoS,
        mut each: impl FnMut(Message) -> io::Result<()>,
    ) -> Result<End, Problem> {
        let marker = marker()?;
        let (mut messages, may_mark) = self.subscribe(qos, &marker).await?;
        let mut is_marked = false;
        let mut silence = pin!(sleep(self.silence));
        let mut repeat = interval(MARKER_INTERVAL);
        repeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(message) if message.topic == marker => {
                        if !is_marked {
                            is_marked = true;
                            silence.set(sleep(SETTLE));
                        }
                    }
                    Some(message) if message.retain => {
                        each(message)?;
                        silence.set(sleep(if is_marked { SETTLE } else { self.silence }));
                    }
                    // It was published now.
                    Some(_) => {}
                    // The client has ended, which the caller knows more about.
                    None => std::future::pending().await,
                },
                () = &mut silence => {
                    return Ok(if is_marked { End::Marker } else { End::Silence });
                }
                _ = repeat.tick(), if may_mark && !is_marked => {
                    // It is answered by coming back. A full queue has room at the next time.
                    drop(self.client.publish(&marker, "").try_enqueue());
                }
            }
        }
    }

    /// The stream of the filters and the marker, and whether the server takes the latter.
    async fn subscribe(
        self,
        qos: QoS,
        marker: &TopicName,
    ) -> Result<(Subscription, bool), Problem> {
        let marker = TopicFilter::from_text(marker.as_str()).map_err(Error::Invalid)?;
        let filters: Vec<_> = self.filters.iter().cloned().chain([marker]).collect();
        let subscribe = self.client.subscribe(filters).qos(qos);
        let messages = subscribe.when_full(StreamFull::Wait).start()?;
        let granted = messages.ready().await?;
        for (filter, answer) in self.filters.iter().zip(&granted) {
            if let Err(reason) = *answer {
                let filter = filter.as_str().to_owned();
                return Err(Problem::Refused { filter, reason });
            }
        }
        let may_mark = granted.last().is_some_and(Result::is_ok);
        Ok((messages, may_mark))
    }
}

/// A topic that nobody else has.
fn marker() -> Result<TopicName, Problem> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    let name = format!("mqtt-retained/{:032x}", u128::from_ne_bytes(random));
    Ok(TopicName::from_text(&name).map_err(Error::Invalid)?)
}
