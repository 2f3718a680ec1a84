//! Topic aliases of one connection, in both directions. They end with it. `[MQTT-3.3.2-7]`

use hashbrown::HashMap;

/// The topics that a client has given numbers.
#[derive(Debug, Default)]
pub(crate) struct AliasesIn(Vec<Box<[u8]>>);

impl AliasesIn {
    /// The topic of an alias.
    pub(crate) fn topic(&self, alias: u16) -> Option<&[u8]> {
        let topic = self.0.get(usize::from(alias).checked_sub(1)?)?;
        (!topic.is_empty()).then_some(topic)
    }

    /// Gives `topic` the number `alias`, which the caller has checked to be from 1 to the maximum.
    ///
    /// `[MQTT-3.3.2-12]`
    pub(crate) fn set(&mut self, alias: u16, topic: &[u8]) {
        let index = usize::from(alias).saturating_sub(1);
        if self.0.len() <= index {
            self.0.resize_with(index + 1, Box::default);
        }
        if let Some(place) = self.0.get_mut(index) {
            *place = topic.into();
        }
    }
}

/// The numbers that the broker has given topics: first come, first served, until they are used up.
#[derive(Debug)]
pub(crate) struct AliasesOut {
    numbers: HashMap<Box<[u8]>, u16, foldhash::fast::RandomState>,
    maximum: u16,
}

/// How a topic is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alias {
    /// By this number alone.
    Known(u16),
    /// By name, and with this number, which stands for it from then on.
    New(u16),
    /// By name.
    None,
}

impl AliasesOut {
    pub(crate) fn new(maximum: u16) -> Self {
        Self {
            numbers: HashMap::default(),
            maximum,
        }
    }

    /// How `topic` would be sent now.
    ///
    /// `[MQTT-3.1.2-26]` `[MQTT-3.1.2-27]` `[MQTT-3.3.2-11]`
    pub(crate) fn alias(&self, topic: &[u8]) -> Alias {
        match self.numbers.get(topic) {
            Some(number) => Alias::Known(*number),
            None if self.numbers.len() < usize::from(self.maximum) => {
                Alias::New(self.numbers.len() as u16 + 1)
            }
            None => Alias::None,
        }
    }

    /// Notes that `topic` has been sent with a new number.
    pub(crate) fn sent(&mut self, topic: &[u8], number: u16) {
        self.numbers.insert(topic.into(), number);
    }
}
