//! The clients that load the server, and what they have to say in the end.

use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use mqtt_codec::{QoS, Version};

use crate::changing::Changing;
use crate::check;
use crate::client::{Client, Life};
use crate::findings::Findings;
use crate::mortal::Mortal;
use crate::publisher::Publisher;
use crate::retained;
use crate::subscriber::{Habit, Subscriber, to_load};
use crate::wills::{self, Wills};

/// The longest that the server lives with clients; the shortest is less than half of it.
pub(crate) const LIFE_MAX: Duration = Duration::from_millis(800);
/// Clients whose sessions end: several, as each has a moment only in which a crash can hurt it.
const MORTALS: usize = 8;

/// All clients of a run.
pub(crate) struct Clients {
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    changing: Vec<Changing>,
    mortals: Vec<Mortal>,
    watchers: Vec<Subscriber>,
    wills: Wills,
    findings: Findings,
}

impl Clients {
    pub(crate) fn new(random: &mut Rng, rounds: usize) -> Self {
        use Habit::{Always, Never, Sometimes};
        use QoS::{AtLeastOnce, ExactlyOnce};
        use Version::{V3_1_1, V5};
        let load: Vec<_> = (0..4).map(|topic| format!("load/{topic}")).collect();
        // A queue has room for 100,000 messages, and some subscribers are away until the end.
        let per_life = (16_000 / rounds).clamp(1, 400);
        let pace = LIFE_MAX / per_life as u32;
        let mut publishers = Vec::new();
        for (version, qos) in [
            (V3_1_1, AtLeastOnce),
            (V5, AtLeastOnce),
            (V3_1_1, ExactlyOnce),
            (V5, ExactlyOnce),
        ] {
            let number = publishers.len();
            let topics = load.clone();
            let random = random.fork();
            publishers.push(Publisher::new(version, number, qos, topics, pace, random));
        }
        for (version, qos) in [(V5, AtLeastOnce), (V3_1_1, ExactlyOnce)] {
            let number = publishers.len();
            let topics = retained::topics(number);
            let random = random.fork();
            let mut publisher = Publisher::new(version, number, qos, topics, pace, random);
            publisher.retain = true;
            publishers.push(publisher);
        }
        let subscribers = vec![
            to_load(V5, AtLeastOnce, Always, random.fork()),
            to_load(V3_1_1, ExactlyOnce, Always, random.fork()),
            to_load(V3_1_1, AtLeastOnce, Sometimes, random.fork()),
            to_load(V5, ExactlyOnce, Sometimes, random.fork()),
            to_load(V5, AtLeastOnce, Never, random.fork()),
            to_load(V3_1_1, ExactlyOnce, Never, random.fork()),
        ];
        let watchers = [(V5, Always), (V3_1_1, Never)].map(|(version, habit)| {
            let client = Client::new(version, &format!("watcher-{habit:?}"));
            Subscriber::new(client, habit, wills::TOPIC, ExactlyOnce, random.fork())
        });
        let mut fork = random.fork();
        Self {
            publishers,
            subscribers,
            changing: [(V3_1_1, ExactlyOnce), (V5, AtLeastOnce)]
                .map(|(version, qos)| Changing::new(version, qos, &load, &mut fork))
                .into(),
            mortals: (0..MORTALS)
                .map(|number| Mortal::new([V3_1_1, V5][number % 2], number, random.fork()))
                .collect(),
            watchers: watchers.into(),
            wills: Wills::default(),
            findings: Findings::default(),
        }
    }

    /// What has to be there before the load is, and what is checked before it changes.
    pub(crate) fn begin(&mut self, life: &Life<'_>) {
        if life.round == 0 {
            let all = self.subscribers.iter_mut().chain(&mut self.watchers);
            all.for_each(|subscriber| subscriber.begin(life));
        }
        self.wills.begin(life);
        retained::check(&self.publishers, life, &mut self.findings);
    }

    /// Lets all clients loose until the server is gone, which `end` sees to, and says when.
    pub(crate) fn live(&mut self, life: &Life<'_>, end: impl FnOnce() -> Instant) {
        let killed = thread::scope(|scope| {
            for subscriber in self.subscribers.iter_mut().chain(&mut self.watchers) {
                scope.spawn(|| subscriber.live(life));
            }
            for publisher in &mut self.publishers {
                scope.spawn(|| publisher.live(life));
            }
            for changing in &mut self.changing {
                scope.spawn(|| changing.live(life));
            }
            for mortal in &mut self.mortals {
                scope.spawn(|| mortal.live(life));
            }
            end()
        });
        self.wills.lost(killed);
    }

    /// Lets all clients take what is theirs.
    pub(crate) fn finish(&mut self, life: &Life<'_>) {
        for publisher in &mut self.publishers {
            publisher.finish(life);
        }
        retained::check(&self.publishers, life, &mut self.findings);
        let load: Vec<_> = self
            .publishers
            .iter()
            .filter(|publisher| !publisher.retain)
            .flat_map(|publisher| &publisher.published)
            .map(|published| (published.topic.clone(), published.payload.clone()))
            .collect();
        // Those of this life end with their connections, too.
        self.wills.lost(Instant::now());
        let wills = self.wills.wanted();
        thread::scope(|scope| {
            for subscriber in &mut self.subscribers {
                scope.spawn(|| subscriber.finish(life, &load));
            }
            for watcher in &mut self.watchers {
                scope.spawn(|| watcher.finish(life, &wills));
            }
            for changing in &mut self.changing {
                let wanted = changing.wanted(&self.publishers);
                scope.spawn(move || changing.subscriber.finish(life, &wanted));
            }
        });
    }

    /// Checks what all have seen.
    pub(crate) fn check(&mut self) -> Findings {
        let mut findings = std::mem::take(&mut self.findings);
        let reference = self.subscribers.last().expect("there are some");
        let changing = self.changing.iter().map(|changing| &changing.subscriber);
        for subscriber in self.subscribers.iter().chain(changing) {
            check::check(subscriber, &self.publishers, &mut findings);
            check::compare(reference, subscriber, &self.publishers, &mut findings);
        }
        for changing in &self.changing {
            changing.check(&self.publishers, &mut findings);
        }
        for watcher in &self.watchers {
            self.wills.check(watcher, &mut findings);
        }
        let clients = self
            .publishers
            .iter_mut()
            .map(|publisher| &mut publisher.client)
            .chain(self.mortals.iter_mut().map(|mortal| &mut mortal.client));
        let subscribers = self.subscribers.iter_mut().chain(&mut self.watchers).chain(
            self.changing
                .iter_mut()
                .map(|changing| &mut changing.subscriber),
        );
        for client in clients.chain(subscribers.map(|subscriber| &mut subscriber.client)) {
            findings.take(&mut client.findings);
        }
        findings
    }

    pub(crate) fn summary(&self) -> String {
        let published: usize = self
            .publishers
            .iter()
            .map(|publisher| publisher.published.len())
            .sum();
        let sightings = || {
            let changing = self.changing.iter().map(|changing| &changing.subscriber);
            let subscribers = self.subscribers.iter().chain(&self.watchers);
            subscribers
                .chain(changing)
                .flat_map(|subscriber| &subscriber.sightings)
        };
        format!(
            "{published} messages published, {} received, {} of them again",
            sightings().count(),
            sightings().filter(|sighting| sighting.dup).count()
        )
    }
}
