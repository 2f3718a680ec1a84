//! Random stores, written and read.

use std::num::NonZeroU32;

use fastrand::Rng;

use super::*;

const SEEDS: u64 = 100;
const FILTERS: [&str; 6] = ["t", "t/#", "+/é", "#", "$share/g/t", "\u{1}\"\\\u{7F}"];
const TOPICS: [&str; 5] = ["t", "t/a", "\u{1}\"\\\u{7F}", "é/😀", "/"];
const TEXTS: [&str; 6] = ["", "a", "\u{1}\t\r\n\u{7F}", "\"\\/", "é😀\u{FFFD}", "{}"];

#[tokio::test(flavor = "current_thread")]
async fn random_stores_stay_what_they_are() {
    for seed in 0..SEEDS {
        let mut script = Script(Rng::with_seed(seed));
        let store = store_of(script.store()).await;
        let text = text_of(&store).await;
        let read = MemoryStore::default();
        if let Err(error) = import(text.as_bytes(), &read).await {
            panic!("seed {seed}: {error} in\n{text}");
        }
        assert_eq!(contents(&read).await, contents(&store).await, "seed {seed}");
        // The order of the sessions is the store's own.
        let again = text_of(&read).await;
        assert_eq!(sorted(&again), sorted(&text), "seed {seed}");
    }
}

/// From memory to a directory and back.
#[cfg(feature = "rocksdb")]
#[tokio::test(flavor = "current_thread")]
async fn random_stores_are_the_same_on_disk() {
    use mqtt_store_rocksdb::{Options, RocksStore};

    for seed in SEEDS..SEEDS + 8 {
        let name = format!("mqttd-store-file-{}-{seed}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let store = store_of(Script(Rng::with_seed(seed)).store()).await;
        let text = text_of(&store).await;
        let on_disk = RocksStore::open(&directory, &Options::default()).unwrap();
        import(text.as_bytes(), &on_disk).await.unwrap();
        assert_eq!(
            contents(&on_disk).await,
            contents(&store).await,
            "seed {seed}"
        );
        drop(on_disk);
        // What is there survives, and is not filled again.
        let on_disk = RocksStore::open(&directory, &Options::default()).unwrap();
        let again = text_of(&on_disk).await;
        assert_eq!(sorted(&again), sorted(&text), "seed {seed}");
        drop(on_disk);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

struct Script(Rng);

impl Script {
    fn store(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        // Now and then more than a page of them.
        let sessions = [0, 1, 5, 70][self.0.usize(0..4)];
        for number in 0..sessions {
            let client = ClientId::new(&format!("{}{number}", self.text()));
            self.session(&client, &mut changes);
        }
        for topic in TOPICS {
            if self.0.bool() {
                let message = self.message(topic);
                changes.push(Change::PutRetained { message });
            }
        }
        changes
    }

    fn session(&mut self, client: &ClientId, changes: &mut Vec<Change>) {
        let client = client.clone();
        let mut seq = self.0.u64(1..1 << 62);
        changes.push(Change::PutSession {
            client: client.clone(),
            record: self.record(seq),
        });
        for filter in FILTERS {
            if self.0.bool() {
                changes.push(Change::PutSubscription {
                    client: client.clone(),
                    filter: TopicFilter::from_text(filter).unwrap(),
                    subscription: self.subscription(),
                });
            }
        }
        for _ in 0..self.0.usize(0..4) {
            changes.push(Change::PutReceived {
                client: client.clone(),
                packet_id: PacketId::new(self.0.u16(1..)).unwrap(),
            });
        }
        let deliveries = [0, 0, 1, 1, 2, 2, 3, 150][self.0.usize(0..8)];
        for _ in 0..deliveries {
            seq += self.0.u64(1..1000);
            changes.push(Change::PutDelivery {
                client: client.clone(),
                seq,
                delivery: self.delivery(),
            });
        }
    }

    fn record(&mut self, seq: u64) -> SessionRecord {
        SessionRecord {
            expiry_interval: self.0.u32(..),
            disconnected: self.moment(),
            sent_before: self.0.u64(seq.saturating_sub(1000)..seq + 1000),
            will: self.0.bool().then(|| WillRecord {
                message: self.message("will"),
                delay_interval: self.0.u32(..),
                message_expiry_interval: self.0.bool().then(|| self.0.u32(..)),
            }),
            identity: self.0.bool().then(|| self.text().into()),
        }
    }

    fn subscription(&mut self) -> SubscriptionRecord {
        let handlings = [
            RetainHandling::Send,
            RetainHandling::SendIfNew,
            RetainHandling::DoNotSend,
        ];
        SubscriptionRecord {
            options: SubscriptionOptions {
                qos: self.qos(0),
                no_local: self.0.bool(),
                retain_as_published: self.0.bool(),
                retain_handling: handlings[self.0.usize(0..3)],
            },
            identifier: NonZeroU32::new(self.0.u32(0..=268_435_455)).filter(|_| self.0.bool()),
        }
    }

    fn delivery(&mut self) -> Delivery {
        let topic = TOPICS[self.0.usize(0..TOPICS.len())];
        Delivery {
            message: self.message(topic),
            qos: self.qos(1),
            retain: self.0.bool(),
            subscription_identifiers: (0..self.0.usize(0..3))
                .map(|_| self.0.u32(1..=268_435_455))
                .collect(),
            released: self.0.bool(),
        }
    }

    fn message(&mut self, topic: &str) -> Arc<Message> {
        let (one, two) = (self.text(), self.text());
        let text = |text: &'static str| Text::new(text.as_bytes()).unwrap();
        let correlation = self.bytes();
        let mut properties = vec![
            Property::PayloadFormatIndicator(self.0.bool()),
            Property::ContentType(text(one)),
            Property::ResponseTopic(TopicName::new(&b"r"[..]).unwrap()),
            Property::CorrelationData(&correlation),
        ];
        for (name, value) in [(one, two), (two, one), (one, two)] {
            let (name, value) = (text(name), text(value));
            properties.push(Property::UserProperty(UserProperty { name, value }));
        }
        self.0.shuffle(&mut properties);
        properties.truncate(self.0.usize(0..=properties.len()));
        let (payload, qos, retain) = (self.bytes(), self.qos(0), self.0.bool());
        let message = message(topic, properties, &payload, qos, retain);
        let mut message = Message::clone(&message);
        message.expires = self.moment();
        Arc::new(message)
    }

    fn bytes(&mut self) -> Vec<u8> {
        if self.0.bool() {
            return self.text().into();
        }
        (0..self.0.usize(0..10)).map(|_| self.0.u8(..)).collect()
    }

    fn text(&mut self) -> &'static str {
        TEXTS[self.0.usize(0..TEXTS.len())]
    }

    fn moment(&mut self) -> Option<Instant> {
        let millis = self.0.u64(..);
        self.0.bool().then(|| Instant::from_millis(millis))
    }

    fn qos(&mut self, least: u8) -> QoS {
        QoS::from_number(self.0.u8(least..3)).unwrap()
    }
}
