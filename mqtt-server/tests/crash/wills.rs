//! Clients that are connected, with a will, when the server dies.

use std::time::{Duration, Instant};

use mqtt_codec::{
    Disconnect, Packet, Properties, Property, QoS, ReasonCode, TopicName, Version, Will,
};

use crate::client::{Client, Life};
use crate::findings::{Findings, Kind};
use crate::server::{Got, SOON};
use crate::subscriber::{Sighting, Subscriber};

/// Where all wills go.
pub(crate) const TOPIC: &str = "will";
/// The will delay of some who do not come back, in seconds.
const DELAY_S: u32 = 1;
/// The will delay of those who do.
const LONG_DELAY_S: u32 = 600;

/// What is to become of each will.
#[derive(Default)]
pub(crate) struct Wills {
    /// Clients that are connected now, and never again.
    leaving: Vec<Client>,
    /// Clients that come back in the next life, before their wills are published.
    returning: Vec<Client>,
    promised: Vec<Promise>,
    /// Names of those whose will must never be published.
    withdrawn: Vec<String>,
    findings: Findings,
}

/// A will that must be published once.
struct Promise {
    name: String,
    delay: Duration,
    /// When its client was lost.
    lost: Option<Instant>,
}

impl Wills {
    /// Lets clients come back, and others connect for their first time.
    pub(crate) fn begin(&mut self, life: &Life<'_>) {
        // [MQTT-3.1.3-9]
        for mut client in std::mem::take(&mut self.returning) {
            client.vanish();
            self.withdraw(&mut client, life);
        }
        for (version, delay_s) in [
            (Version::V3_1_1, 0),
            (Version::V5, 0),
            (Version::V5, DELAY_S),
        ] {
            let name = format!("leaving-{version:?}-{delay_s}-{}", life.round);
            let client = connect(version, &name, delay_s, life);
            self.leaving.push(client);
            self.promised.push(Promise {
                name,
                delay: Duration::from_secs(delay_s.into()),
                lost: None,
            });
        }
        let name = format!("returning-{}", life.round);
        let client = connect(Version::V5, &name, LONG_DELAY_S, life);
        self.returning.push(client);
        // [MQTT-3.1.2-10]
        let name = format!("goodbye-{}", life.round);
        let mut client = connect(Version::V5, &name, 0, life);
        client.send(&Packet::Disconnect(Disconnect::new(ReasonCode::Success)));
        assert!(matches!(client.next(SOON), Got::Closed));
        self.withdraw(&mut client, life);
    }

    /// Connects without the will. It is certainly gone once this has been acknowledged.
    fn withdraw(&mut self, client: &mut Client, life: &Life<'_>) {
        client.hello.will = None;
        client.connect(life).expect("the server is there");
        self.withdrawn.push(client.name().to_owned());
        self.findings.take(&mut client.findings);
        client.vanish();
    }

    /// The server was killed at this time.
    pub(crate) fn lost(&mut self, at: Instant) {
        for mut client in self.leaving.drain(..) {
            self.findings.take(&mut client.findings);
        }
        for promise in &mut self.promised {
            promise.lost.get_or_insert(at);
        }
    }

    /// All that have to be published, as topic and payload.
    pub(crate) fn wanted(&self) -> Vec<(String, String)> {
        let names = self.promised.iter().map(|promise| promise.name.clone());
        names.map(|name| (TOPIC.to_owned(), name)).collect()
    }

    /// Checks what a subscriber to the wills has seen. What is missing, it has noted itself.
    pub(crate) fn check(&mut self, watcher: &Subscriber, findings: &mut Findings) {
        findings.take(&mut self.findings);
        for sighting in &watcher.sightings {
            let Sighting {
                payload,
                is_new,
                at,
                ..
            } = sighting;
            if self.withdrawn.contains(payload) {
                findings.add(Kind::Will, format!("{payload} was withdrawn"));
            }
            let promise = self
                .promised
                .iter()
                .find(|promise| promise.name == *payload);
            if let Some(Promise { lost, delay, .. }) = promise
                && lost.is_none_or(|lost| *at < lost + *delay)
            {
                findings.add(Kind::Will, format!("{payload} comes too early"));
            }
            let times = watcher
                .sightings
                .iter()
                .filter(|other| other.is_new && other.payload == *payload)
                .count();
            if *is_new && times > 1 {
                findings.add(Kind::Duplicate, format!("{payload} comes {times} times"));
            }
        }
    }
}

/// Connects a client with a will. Before 5.0 there is no delay.
fn connect(version: Version, name: &str, delay_s: u32, life: &Life<'_>) -> Client {
    let mut client = Client::new(version, name);
    let delay = (delay_s > 0).then_some(Property::WillDelayInterval(delay_s));
    client.hello.will = Some(Will {
        qos: QoS::ExactlyOnce,
        retain: false,
        properties: Properties::new(delay).expect("it is short"),
        topic: TopicName::from_text(TOPIC).expect("it is valid"),
        payload: name.to_owned().into(),
    });
    client.connect(life).expect("the server is there");
    client
}
