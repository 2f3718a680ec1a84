//! Two clients of ours, one on each side of a broker, and what they tell the ledger.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use fastrand::Rng;
use mqtt_client::{Builder, Client, Error, QoS, State, Version};
use tokio::task::{JoinHandle, JoinSet};

use crate::ledger::{Ledger, Outcome, Promise};
use crate::soon;

/// Topics at each QoS: order is promised for each.
const TOPICS: u64 = 2;
/// How long all messages may take in the end, when nothing is cut any more.
const CALM: Duration = Duration::from_secs(40);

/// A ledger that tasks share.
#[derive(Clone)]
pub(crate) struct Book {
    ledger: Arc<Mutex<Ledger>>,
    subscribed: QoS,
}

impl Book {
    /// For a subscription of this level.
    pub(crate) fn new(subscribed: QoS) -> Self {
        Self {
            ledger: Arc::new(Mutex::new(Ledger::new(subscribed))),
            subscribed,
        }
    }

    pub(crate) fn open(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }
}

/// A client whose session stays, and which is soon back.
pub(crate) fn builder(address: SocketAddr, version: Version, client_id: &str) -> Builder {
    builder_of(&format!("mqtt://{address}"), version, client_id)
}

/// The same with any URL.
pub(crate) fn builder_of(url: &str, version: Version, client_id: &str) -> Builder {
    Client::builder(url)
        .client_id(client_id)
        .version(version)
        .session_expiry(Duration::from_secs(3600))
        .backoff(Duration::from_millis(1)..=Duration::from_millis(20))
        .connect_timeout(Duration::from_millis(500))
}

/// Prints what becomes of the connections of a client: a test that fails shows what it has printed.
pub(crate) fn tell_states(name: &'static str, client: &Client) {
    let mut state = client.state();
    tokio::spawn(async move {
        let start = Instant::now();
        loop {
            let now = state.changed().await;
            let millis = start.elapsed().as_millis();
            match &now {
                State::Connected(agreed) if agreed.session_present => {
                    println!("{name}, {millis} ms: connected, with its session");
                }
                State::Connected(_) => println!("{name}, {millis} ms: connected"),
                State::Connecting {
                    last_error: Some(error),
                    ..
                } => {
                    println!("{name}, {millis} ms: {error}");
                }
                State::Connecting { .. } => {}
                State::Ended(ended) => println!("{name}, {millis} ms: {ended}"),
            }
            if now.is_ended() {
                return;
            }
        }
    });
}

/// What is published.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) messages: u64,
    /// Between two messages, now and then.
    pub(crate) pause: Duration,
    pub(crate) payload_bytes_max: usize,
}

/// Publishes messages of all QoS, and waits until it knows what became of each.
pub(crate) async fn publish_all(client: Client, book: Book, load: Load, mut random: Rng) {
    let mut settling = JoinSet::new();
    for number in 1..=load.messages {
        let qos = random
            .choice([QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
            .unwrap();
        let topic = format!("t/{}/{}", qos as u8, random.u64(..TOPICS));
        let mut payload = format!("{number} ");
        payload.extend(std::iter::repeat_n(
            'x',
            random.usize(..=load.payload_bytes_max),
        ));
        // Whether it is accepted at QoS 0 depends on the connection.
        let index = book.open().accept(&topic, number, qos);
        let publish = client.publish(topic.as_str(), payload).qos(qos).enqueue();
        let receipt = tokio::time::timeout(CALM, publish).await;
        match receipt.expect("there is room again") {
            Ok(receipt) => {
                let book = book.clone();
                settling.spawn(async move {
                    let outcome = outcome(receipt.await);
                    book.open().settle(index, outcome);
                });
            }
            Err(error) => book.open().settle(index, outcome::<()>(Err(error))),
        }
        if random.u8(..4) == 0 {
            tokio::time::sleep(load.pause).await;
        }
    }
    let settled = async {
        while let Some(done) = settling.join_next().await {
            done.unwrap()
        }
    };
    // What has no outcome by then, the ledger tells.
    let _ = tokio::time::timeout(CALM, settled).await;
}

pub(crate) fn outcome<T>(result: Result<T, Error>) -> Outcome {
    match result {
        Ok(_) => Outcome::Delivered,
        Err(Error::DeliveryUnknown) => Outcome::Unknown,
        Err(Error::Poison) => Outcome::Poison,
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

/// Writes all that comes into the book.
pub(crate) struct Reader {
    task: JoinHandle<()>,
}

impl Reader {
    pub(crate) async fn start(client: &Client, book: Book) -> Self {
        let subscribe = client.subscribe("t/#").qos(book.subscribed);
        let mut stream = soon("the SUBACK", subscribe.into_future()).await.unwrap();
        let task = tokio::spawn(async move {
            while let Some(message) = stream.next().await {
                let text = message.text().unwrap();
                let (number, _) = text.split_once(' ').expect(text);
                let number = number.parse().expect(text);
                book.open().receive(message.topic(), number);
            }
        });
        Self { task }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits until all has come that will.
pub(crate) async fn settle(book: &Book, promise: Promise) {
    if promise != Promise::Lost {
        let all = async {
            while book.open().missing() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        // What is missing, the ledger tells.
        let _ = tokio::time::timeout(Duration::from_secs(20), all).await;
    }
    // What must not come, comes soon.
    tokio::time::sleep(Duration::from_millis(100)).await;
}
