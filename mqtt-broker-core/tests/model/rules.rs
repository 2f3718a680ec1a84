//! The delivery rules of the standard, as short as they can be written: lists, and no time lost on speed.

mod session;

use std::collections::{BTreeMap, VecDeque};

use mqtt_codec::{QoS, RetainHandling, SubscriptionOptions, Version};

use super::world::{Hello, Post};

/// A message as a session gets it.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    topic: String,
    payload: String,
    qos: QoS,
    retain: bool,
    expires: Option<u64>,
    identifiers: Vec<u32>,
    id: u64,
    state: State,
    /// True once it was sent on an earlier connection.
    dup: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Sent,
    Released,
}

/// An acknowledgement that the client has not sent.
#[derive(Clone, Copy, Debug)]
enum Ack {
    /// PUBACK, or PUBREC.
    Publish(u64),
    PubComp(u64),
    /// Of what it has published itself.
    PubRel,
}

#[derive(Debug, Default)]
struct Session {
    version: Option<Version>,
    expiry: u32,
    lost: u64,
    will: Option<Post>,
    subscriptions: BTreeMap<String, (SubscriptionOptions, Option<u32>)>,
    queue: VecDeque<Item>,
    last_id: u64,
    /// Filters whose retained messages are still to be sent, and the last topic that was.
    replays: VecDeque<(String, Option<String>)>,
    connection: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    receive_maximum: usize,
    aliases_max: usize,
    aliases: Vec<String>,
    acknowledges: bool,
    kept: VecDeque<Ack>,
    /// How many of the queue were sent on this connection.
    sent: usize,
    log: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) now: u64,
    sessions: BTreeMap<String, Session>,
    retained: BTreeMap<String, Item>,
    /// Members of each shared subscription, in order, and whose turn it is.
    groups: BTreeMap<String, (Vec<String>, usize)>,
    /// What those who have lost their connection got on it.
    pub(crate) logs: BTreeMap<String, Vec<String>>,
}

/// [MQTT-4.7.1-2], [MQTT-4.7.1-3] of 3.1.1, [MQTT-4.7.2-1]
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    fn levels(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) | ([], []) => true,
            ([first, filter @ ..], [level, topic @ ..]) => {
                (first == level || *first == "+") && levels(filter, topic)
            }
            _ => false,
        }
    }
    let split = |text: &'_ str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
    let (own, other) = (split(filter), split(topic));
    let own: Vec<_> = own.iter().map(String::as_str).collect();
    let other: Vec<_> = other.iter().map(String::as_str).collect();
    !(topic.starts_with('$') && filter.starts_with(['+', '#'])) && levels(&own, &other)
}

/// The filter of a shared subscription.
fn shared(filter: &str) -> Option<&str> {
    filter
        .strip_prefix("$share/")?
        .split_once('/')
        .map(|(_, filter)| filter)
}

impl Rules {
    pub(crate) fn is_connected(&self, who: &str) -> bool {
        self.sessions
            .get(who)
            .is_some_and(|session| session.connection.is_some())
    }

    pub(crate) fn session_expiry(&self, who: &str) -> u32 {
        self.sessions[who].expiry
    }

    /// What a client has got since the last look.
    pub(crate) fn log(&mut self, who: &str) -> Vec<String> {
        let mut log = self.logs.remove(who).unwrap_or_default();
        if let Some(connection) = self
            .sessions
            .get_mut(who)
            .and_then(|session| session.connection.as_mut())
        {
            log.append(&mut connection.log);
        }
        log
    }

    pub(crate) fn connect(&mut self, who: &str, hello: &Hello) {
        let v5 = hello.version == Version::V5;
        if self.is_connected(who) {
            // [MQTT-3.1.4-3]
            let session = self.sessions.get_mut(who).unwrap();
            let log = &mut session.connection.as_mut().unwrap().log;
            if session.version == Some(Version::V5) {
                log.push("DISCONNECT SessionTakenOver".to_owned());
            }
            log.push("CLOSED".to_owned());
            // A delayed will is not published if the session goes on. [MQTT-3.1.3-9]
            if !hello.clean_start && session.will_delay() > 0 {
                session.will = None;
            }
            self.detach(who, hello.clean_start);
        }
        // [MQTT-3.1.2-4]
        if hello.clean_start {
            self.end(who);
        }
        let present = if self.sessions.contains_key(who) {
            " present"
        } else {
            ""
        };
        let session = self.sessions.entry(who.to_owned()).or_default();
        session.version = Some(hello.version);
        session.expiry = match hello.session_expiry {
            expiry if v5 => expiry.unwrap_or(0),
            _ if hello.clean_start => 0,
            _ => u32::MAX,
        };
        session.will = hello.will.clone();
        session.connection = Some(Connection {
            receive_maximum: hello.receive_maximum.unwrap_or(1024).into(),
            aliases_max: hello.topic_alias_maximum.unwrap_or(0).into(),
            aliases: Vec::new(),
            acknowledges: true,
            kept: VecDeque::new(),
            sent: 0,
            log: vec![format!("CONNACK Success{present}")],
        });
        self.settle(who);
    }

    /// The client's connection ends: by DISCONNECT, or without it.
    pub(crate) fn leave(&mut self, who: &str, goodbye: bool, expiry: Option<u32>) {
        let session = self.sessions.get_mut(who).unwrap();
        session.expiry = expiry.unwrap_or(session.expiry);
        // [MQTT-3.14.4-3]
        if goodbye {
            session.will = None;
        }
        self.detach(who, false);
    }

    fn detach(&mut self, who: &str, discarded: bool) {
        let session = self.sessions.get_mut(who).unwrap();
        let connection = session.connection.take().unwrap();
        session.lost = self.now;
        for item in session.queue.iter_mut().take(connection.sent) {
            item.dup = true;
        }
        session.queue.retain(|item| item.qos > QoS::AtMostOnce);
        self.logs
            .entry(who.to_owned())
            .or_default()
            .extend(connection.log);
        if session.expiry == 0 || discarded {
            self.end(who);
        } else if session.will_delay() == 0 {
            self.publish_will(who);
        }
    }

    /// The session ends, and its will is not delayed any longer.
    fn end(&mut self, who: &str) {
        let Some(mut session) = self.sessions.remove(who) else {
            return;
        };
        for filter in session.subscriptions.keys() {
            self.leave_group(who, filter);
        }
        if let Some(will) = session.will.take() {
            self.publish(who, &will);
        }
    }

    fn publish_will(&mut self, who: &str) {
        if let Some(will) = self
            .sessions
            .get_mut(who)
            .and_then(|session| session.will.take())
        {
            self.publish(who, &will);
        }
    }

    /// Time passes, second by second.
    pub(crate) fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now += 1;
            for who in self.sessions.keys().cloned().collect::<Vec<_>>() {
                let session = &self.sessions[&who];
                let away = self.now - session.lost;
                if session.connection.is_some() {
                    continue;
                }
                if away >= session.will_delay().into() {
                    self.publish_will(&who);
                }
                if self.sessions[&who].expiry != u32::MAX
                    && away >= self.sessions[&who].expiry.into()
                {
                    self.end(&who);
                }
            }
        }
    }

    pub(crate) fn subscribe(
        &mut self,
        who: &str,
        filter: &str,
        options: SubscriptionOptions,
        identifier: Option<u32>,
    ) {
        let session = self.sessions.get_mut(who).unwrap();
        let new = session
            .subscriptions
            .insert(filter.to_owned(), (options, identifier))
            .is_none();
        if shared(filter).is_some() {
            let (members, _) = self.groups.entry(filter.to_owned()).or_default();
            if !members.iter().any(|member| member == who) {
                members.push(who.to_owned());
            }
            return;
        }
        let wanted = match options.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => new,
            RetainHandling::DoNotSend => false,
        };
        if wanted && !self.retained.is_empty() {
            session.replays.retain(|(other, _)| other != filter);
            session.replays.push_back((filter.to_owned(), None));
        }
        self.settle(who);
    }

    pub(crate) fn unsubscribe(&mut self, who: &str, filter: &str) {
        let session = self.sessions.get_mut(who).unwrap();
        session.subscriptions.remove(filter);
        session.replays.retain(|(other, _)| other != filter);
        self.leave_group(who, filter);
    }

    fn leave_group(&mut self, who: &str, filter: &str) {
        if let Some((members, _)) = self.groups.get_mut(filter) {
            members.retain(|member| member != who);
            if members.is_empty() {
                self.groups.remove(filter);
            }
        }
    }

    /// A message is published, by a client or as a will.
    pub(crate) fn publish(&mut self, publisher: &str, post: &Post) {
        let item = Item {
            topic: post.topic.clone(),
            payload: String::from_utf8(post.payload.clone()).unwrap(),
            qos: post.qos,
            retain: post.retain,
            expires: post.expiry.map(|seconds| self.now + u64::from(seconds)),
            identifiers: Vec::new(),
            id: 0,
            state: State::Waiting,
            dup: false,
        };
        // [MQTT-3.3.1-5] [MQTT-3.3.1-6]
        if post.retain && post.payload.is_empty() {
            self.retained.remove(&post.topic);
        } else if post.retain {
            self.retained.insert(post.topic.clone(), item.clone());
        }
        for who in self.sessions.keys().cloned().collect::<Vec<_>>() {
            // [MQTT-3.8.3-3]
            let wanted = |filter: &str, options: &SubscriptionOptions| {
                matches(filter, &post.topic) && !(options.no_local && publisher == who)
            };
            let matching = self.sessions[&who].subscriptions.iter();
            let matching = matching.filter(|(filter, (options, _))| {
                shared(filter).is_none() && wanted(filter, options)
            });
            let matching: Vec<_> = matching.map(|(_, granted)| *granted).collect();
            self.deliver(&who, &item, &matching);
        }
        for filter in self.groups.keys().cloned().collect::<Vec<_>>() {
            if shared(&filter).is_some_and(|filter| matches(filter, &post.topic))
                && let Some(who) = self.choose(&filter, post.qos)
            {
                let granted = self.sessions[&who].subscriptions[&filter];
                self.deliver(&who, &item, &[granted]);
            }
        }
        if let Some(session) = self.sessions.get_mut(publisher)
            && let Some(connection) = &mut session.connection
            && post.qos == QoS::ExactlyOnce
        {
            connection.kept.push_back(Ack::PubRel);
        }
        // Acknowledgements come when all have got it.
        for who in self.sessions.keys().cloned().collect::<Vec<_>>() {
            self.settle(&who);
        }
    }

    /// One message for a session, however many of its subscriptions match. [MQTT-3.3.4-2]
    fn deliver(&mut self, who: &str, item: &Item, granted: &[(SubscriptionOptions, Option<u32>)]) {
        let Some(qos) = granted.iter().map(|(options, _)| options.qos).max() else {
            return;
        };
        let mut item = item.clone();
        item.qos = item.qos.min(qos);
        // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
        item.retain &= granted
            .iter()
            .any(|(options, _)| options.retain_as_published);
        // [MQTT-3.3.4-4]
        item.identifiers = granted
            .iter()
            .filter_map(|(_, identifier)| *identifier)
            .collect();
        item.identifiers.sort_unstable();
        self.enqueue(who, item);
        let session = self.sessions.get_mut(who).unwrap();
        while session.send_next(self.now) {}
    }

    fn enqueue(&mut self, who: &str, mut item: Item) {
        let session = self.sessions.get_mut(who).unwrap();
        if item.qos > QoS::AtMostOnce {
            session.last_id += 1;
            item.id = session.last_id;
        } else if session.connection.is_none() {
            return;
        }
        session.queue.push_back(item);
    }

    /// One member of a group: who can take it now, else who is there, else who comes back.
    fn choose(&mut self, filter: &str, qos: QoS) -> Option<String> {
        let (members, turn) = self.groups.get_mut(filter)?;
        let rank = |who: &String| {
            let session = &self.sessions[who];
            match &session.connection {
                Some(connection) => Some(u8::from(!session.is_free(connection))),
                None => {
                    (qos.min(session.subscriptions[filter].0.qos) > QoS::AtMostOnce).then_some(2)
                }
            }
        };
        let count = members.len();
        let turns = (0..count).map(|step| (*turn + step) % count);
        let (_, at) = turns
            .filter_map(|at| Some((rank(&members[at])?, at)))
            .min_by_key(|(rank, _)| *rank)?;
        *turn = at + 1;
        Some(members[at].clone())
    }

    /// From now on the client acknowledges everything, or nothing.
    pub(crate) fn acknowledges(&mut self, who: &str, acknowledges: bool) {
        self.sessions
            .get_mut(who)
            .unwrap()
            .connection
            .as_mut()
            .unwrap()
            .acknowledges = acknowledges;
        self.settle(who);
    }

    /// The client sends one acknowledgement that it kept.
    pub(crate) fn acknowledge(&mut self, who: &str) -> bool {
        let session = self.sessions.get_mut(who).unwrap();
        let some = session.acknowledge();
        self.settle(who);
        some
    }

    /// All that can be sent is sent, and acknowledged if the client does that at once.
    fn settle(&mut self, who: &str) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(who) else {
            return;
        };
        loop {
            while session.send_next(now) {}
            let Some(connection) = &session.connection else {
                return;
            };
            if session.is_free(connection)
                && let Some(item) = session.next_retained(&self.retained, now)
            {
                let Some(item) = item else { continue };
                let mut item = item;
                if item.qos > QoS::AtMostOnce {
                    session.last_id += 1;
                    item.id = session.last_id;
                }
                session.queue.push_back(item);
                continue;
            }
            let acknowledges = session
                .connection
                .as_ref()
                .is_some_and(|connection| connection.acknowledges);
            if !acknowledges || !session.acknowledge() {
                return;
            }
        }
    }
}
