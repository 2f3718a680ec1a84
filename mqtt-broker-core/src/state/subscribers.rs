//! The subscribers of one filter: a list, which finds a session quickly also when it is long.

use hashbrown::HashMap;

use super::route::Granted;
use super::session::SessionId;

/// A list up to this length is looked through: mostly there is one subscriber.
const SHORT: usize = 32;

/// One subscriber of a filter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscriber {
    pub(crate) session: SessionId,
    pub(crate) granted: Granted,
}

/// All subscribers of a filter, each session once. One alone, as most are, takes no more room than
/// itself.
#[derive(Debug, Default)]
pub(super) enum Subscribers {
    #[default]
    None,
    One(Subscriber),
    Many(Box<Many>),
}

/// Several subscribers of a filter.
#[derive(Debug, Default)]
pub(super) struct Many {
    list: Vec<Subscriber>,
    /// Where each session is in a long list: when a fleet that has a filter in common comes or goes,
    /// nobody looks through it for each of its clients.
    places: Option<Places>,
}

type Places = HashMap<SessionId, u32, foldhash::fast::RandomState>;

impl Subscribers {
    pub(super) fn as_slice(&self) -> &[Subscriber] {
        match self {
            Self::None => &[],
            Self::One(subscriber) => std::slice::from_ref(subscriber),
            Self::Many(many) => &many.list,
        }
    }

    /// Adds a session, or replaces what it was granted.
    pub(super) fn put(&mut self, subscriber: Subscriber) {
        match self {
            Self::None => *self = Self::One(subscriber),
            Self::One(one) if one.session == subscriber.session => *one = subscriber,
            Self::One(one) => {
                let list = vec![*one, subscriber];
                let places = None;
                *self = Self::Many(Box::new(Many { list, places }));
            }
            Self::Many(many) => many.put(subscriber),
        }
    }

    /// Removes a session; false if it is not there.
    pub(super) fn remove(&mut self, session: SessionId) -> bool {
        match self {
            Self::None => false,
            Self::One(one) => {
                let there = one.session == session;
                if there {
                    *self = Self::None;
                }
                there
            }
            Self::Many(many) => {
                let there = many.remove(session);
                if let [one] = many.list[..] {
                    *self = Self::One(one);
                }
                there
            }
        }
    }
}

impl Many {
    fn put(&mut self, subscriber: Subscriber) {
        let place = self.place(subscriber.session);
        if let Some(there) = place.and_then(|at| self.list.get_mut(at)) {
            *there = subscriber;
            return;
        }
        // More subscribers than fit a u32 do not fit memory either.
        let at = self.list.len() as u32;
        self.list.push(subscriber);
        if let Some(places) = &mut self.places {
            places.insert(subscriber.session, at);
        } else if self.list.len() > SHORT {
            let sessions = self.list.iter().map(|subscriber| subscriber.session);
            self.places = Some(sessions.zip(0..).collect());
        }
    }

    fn remove(&mut self, session: SessionId) -> bool {
        let Some(at) = self.place(session) else {
            return false;
        };
        let Some(places) = &mut self.places else {
            // In order, so that the turns of a shared subscription stay fair.
            self.list.remove(at);
            return true;
        };
        places.remove(&session);
        self.list.swap_remove(at);
        if let Some(moved) = self.list.get(at) {
            places.insert(moved.session, at as u32);
        }
        if self.list.len() <= SHORT / 2 {
            self.places = None;
            self.list.shrink_to_fit();
        }
        true
    }

    fn place(&self, session: SessionId) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(&session).map(|at| *at as usize),
            None => self
                .list
                .iter()
                .position(|subscriber| subscriber.session == session),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mqtt_codec::QoS;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn subscriber(index: u32, qos: QoS) -> Subscriber {
        Subscriber {
            session: SessionId::new(0, index as usize, 1),
            granted: Granted {
                qos,
                no_local: false,
                retain_as_published: false,
                stored: false,
                identifier: None,
            },
        }
    }

    proptest! {
        /// Long or short, growing or shrinking: it is a map.
        #[test]
        fn each_session_is_there_once(
            steps in vec((any::<bool>(), 0..3 * SHORT as u32, any::<bool>()), 0..600),
        ) {
            let (mut subscribers, mut expected) = (Subscribers::default(), BTreeMap::new());
            for (put, index, better) in steps {
                let qos = if better { QoS::AtLeastOnce } else { QoS::AtMostOnce };
                let subscriber = subscriber(index, qos);
                if put {
                    subscribers.put(subscriber);
                    expected.insert(index, qos);
                } else {
                    let there = subscribers.remove(subscriber.session);
                    prop_assert_eq!(there, expected.remove(&index).is_some());
                }
                let list = subscribers.as_slice().iter();
                let found: BTreeMap<_, _> = list
                    .map(|subscriber| (subscriber.session.index() as u32, subscriber.granted.qos))
                    .collect();
                prop_assert_eq!(&found, &expected);
                prop_assert_eq!(subscribers.as_slice().len(), expected.len());
            }
        }
    }
}
