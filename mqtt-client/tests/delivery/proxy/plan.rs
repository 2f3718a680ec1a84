//! What a proxy does to its connections: all of it follows from a seed, and can be printed.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;

/// What becomes of each connection, by its number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    /// The fates of the first connections. All later ones are left alone, so that a test ends.
    pub(crate) fates: Vec<Fate>,
}

/// What becomes of one connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fate {
    pub(crate) to_broker: Lane,
    pub(crate) to_client: Lane,
    /// `None`: it lasts until one of the two closes it.
    pub(crate) cut: Option<Cut>,
}

/// How bytes travel in one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lane {
    /// The most bytes that are forwarded at once.
    pub(crate) chunk_bytes_max: usize,
    /// How long each chunk waits.
    pub(crate) delay: Duration,
    /// Where, and for how long, nothing is forwarded.
    pub(crate) stall: Option<Stall>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stall {
    pub(crate) after_bytes: usize,
    pub(crate) lasts: Duration,
}

/// The end of a connection, in the middle of a packet or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cut {
    pub(crate) way: Way,
    /// Bytes that are forwarded that way, exactly.
    pub(crate) after_bytes: usize,
    pub(crate) manner: Manner,
    /// How long new connections are refused then.
    pub(crate) then_refuse: Duration,
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    ToBroker,
    ToClient,
}

/// How a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As when the other end has closed it.
    Close,
    /// As when the other end has crashed: what was on its way may be lost.
    Reset,
    /// Nothing is forwarded any more for this long, as when a cable is cut, then it is reset.
    Silence(Duration),
}

impl Plan {
    /// Forwards everything.
    pub(crate) const fn calm() -> Self {
        Self { fates: Vec::new() }
    }

    /// Trouble for the first `connections` of them.
    pub(crate) fn random(seed: u64, connections: usize) -> Self {
        // The fate of a connection does not depend on how many there are.
        let fate = |number| Fate::random(&mut Rng::with_seed(mix(seed, number)));
        Self {
            fates: (0..connections).map(fate).collect(),
        }
    }

    /// The same, but with so many bytes more before anything happens to a connection.
    pub(crate) fn after(mut self, bytes: usize) -> Self {
        for fate in &mut self.fates {
            fate.delay_by(bytes);
        }
        self
    }

    /// The fate of the connection with this number, which counts from 0.
    pub(crate) fn fate(&self, number: usize) -> Fate {
        self.fates.get(number).cloned().unwrap_or_default()
    }
}

/// Seeds that differ in one bit give unlike fates.
fn mix(seed: u64, number: usize) -> u64 {
    let number = u64::try_from(number).unwrap();
    Rng::with_seed(seed).u64(..) ^ Rng::with_seed(number.wrapping_add(1)).u64(..)
}

impl Fate {
    fn random(random: &mut Rng) -> Self {
        Self {
            to_broker: Lane::random(random),
            to_client: Lane::random(random),
            cut: Some(Cut::random(random)),
        }
    }

    fn delay_by(&mut self, bytes: usize) {
        if let Some(cut) = &mut self.cut {
            cut.after_bytes += bytes;
        }
        for lane in [&mut self.to_broker, &mut self.to_client] {
            if let Some(stall) = &mut lane.stall {
                stall.after_bytes += bytes;
            }
        }
    }

    /// The end that comes after so many bytes this way.
    pub(crate) fn cut_after(&self, way: Way) -> Option<usize> {
        let cut = self.cut.filter(|cut| cut.way == way)?;
        Some(cut.after_bytes)
    }

    pub(crate) fn lane(&self, way: Way) -> Lane {
        match way {
            Way::ToBroker => self.to_broker,
            Way::ToClient => self.to_client,
        }
    }
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            chunk_bytes_max: usize::MAX,
            delay: Duration::ZERO,
            stall: None,
        }
    }
}

impl Lane {
    fn random(random: &mut Rng) -> Self {
        let chunk_bytes_max = match random.u8(..4) {
            0 => random.usize(1..8),
            1 => random.usize(8..200),
            _ => usize::MAX,
        };
        let delay = match random.u8(..4) {
            // Small chunks that are late, too, would take minutes.
            0 if chunk_bytes_max == usize::MAX => millis(random, 0..15),
            _ => Duration::ZERO,
        };
        let stall = (random.u8(..4) == 0).then(|| Stall {
            after_bytes: position(random),
            lasts: millis(random, 1..120),
        });
        Self {
            chunk_bytes_max,
            delay,
            stall,
        }
    }
}

impl Cut {
    fn random(random: &mut Rng) -> Self {
        let way = random.choice([Way::ToBroker, Way::ToClient]).unwrap();
        let manner = match random.u8(..8) {
            0..4 => Manner::Close,
            4..7 => Manner::Reset,
            _ => Manner::Silence(millis(random, 1..150)),
        };
        let then_refuse = match random.u8(..3) {
            0 => millis(random, 1..60),
            _ => Duration::ZERO,
        };
        Self {
            way,
            after_bytes: position(random),
            manner,
            then_refuse,
        }
    }
}

/// Somewhere in a stream: in the first packets, among the next ones, or far behind.
fn position(random: &mut Rng) -> usize {
    match random.u8(..8) {
        0 => random.usize(..40),
        1..5 => random.usize(..400),
        5..7 => random.usize(..2_000),
        _ => random.usize(..10_000),
    }
}

fn millis(random: &mut Rng, range: Range<u64>) -> Duration {
    Duration::from_millis(random.u64(range))
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fate) in self.fates.iter().enumerate() {
            writeln!(f, "connection {number}: {fate}")?;
        }
        write!(f, "all later connections: {}", Fate::default())
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cut {
            None => f.write_str("lasts")?,
            Some(cut) => write!(f, "{cut}")?,
        }
        for (name, lane) in [("broker", self.to_broker), ("client", self.to_client)] {
            if lane != Lane::default() {
                write!(f, "; to the {name} {lane}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if self.chunk_bytes_max < usize::MAX {
            write!(f, "{} bytes at once", self.chunk_bytes_max)?;
            separator = ", ";
        }
        if !self.delay.is_zero() {
            write!(f, "{separator}{:?} late", self.delay)?;
            separator = ", ";
        }
        if let Some(stall) = self.stall {
            let Stall { after_bytes, lasts } = stall;
            write!(
                f,
                "{separator}stalled for {lasts:?} after {after_bytes} bytes"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.manner {
            Manner::Close => f.write_str("closed")?,
            Manner::Reset => f.write_str("reset")?,
            Manner::Silence(lasts) => write!(f, "silent for {lasts:?} and reset")?,
        }
        let way = match self.way {
            Way::ToBroker => "broker",
            Way::ToClient => "client",
        };
        write!(f, " after {} bytes to the {way}", self.after_bytes)?;
        if !self.then_refuse.is_zero() {
            write!(f, ", none accepted for {:?}", self.then_refuse)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_follows_from_its_seed() {
        assert_eq!(Plan::random(7, 20), Plan::random(7, 20));
        assert_ne!(Plan::random(7, 20), Plan::random(8, 20));
        // What happens to a connection stays when there are more of them.
        assert_eq!(Plan::random(7, 3).fates, Plan::random(7, 20).fates[..3]);
    }

    #[test]
    fn after_the_plan_connections_last() {
        let plan = Plan::random(7, 3);
        assert_eq!(plan.fate(2), plan.fates[2]);
        assert_eq!(plan.fate(3), Fate::default());
        assert_eq!(Plan::calm().fate(0), Fate::default());
    }

    #[test]
    fn the_beginning_can_be_left_alone() {
        let (plan, later) = (Plan::random(7, 20), Plan::random(7, 20).after(100));
        for (fate, later) in plan.fates.iter().zip(&later.fates) {
            let (cut, later_cut) = (fate.cut.unwrap(), later.cut.unwrap());
            assert_eq!(cut.after_bytes + 100, later_cut.after_bytes);
            let after = |fate: &Fate| fate.to_client.stall.map(|stall| stall.after_bytes);
            assert_eq!(after(fate).map(|bytes| bytes + 100), after(later));
        }
    }

    #[test]
    fn all_kinds_of_trouble_are_planned() {
        let fates: Vec<_> = (0..20)
            .flat_map(|seed| Plan::random(seed, 20).fates)
            .collect();
        let has = |what: &dyn Fn(&Fate) -> bool| fates.iter().filter(|fate| what(fate)).count() > 4;
        let cut =
            |what: &'static dyn Fn(Cut) -> bool| move |fate: &Fate| fate.cut.is_some_and(what);
        assert!(has(&cut(&|cut| cut.way == Way::ToBroker)));
        assert!(has(&cut(&|cut| cut.way == Way::ToClient)));
        assert!(has(&cut(&|cut| cut.manner == Manner::Close)));
        assert!(has(&cut(&|cut| cut.manner == Manner::Reset)));
        assert!(has(&cut(&|cut| matches!(cut.manner, Manner::Silence(_)))));
        assert!(has(&cut(&|cut| !cut.then_refuse.is_zero())));
        assert!(has(&cut(&|cut| cut.after_bytes < 30)));
        assert!(has(&cut(&|cut| cut.after_bytes > 1_000)));
        for way in [Way::ToBroker, Way::ToClient] {
            assert!(has(&|fate| fate.lane(way).stall.is_some()));
            assert!(has(&|fate| fate.lane(way).chunk_bytes_max < 8));
            assert!(has(&|fate| !fate.lane(way).delay.is_zero()));
        }
    }

    #[test]
    fn a_plan_can_be_read() {
        let fate = Fate {
            to_broker: Lane::default(),
            to_client: Lane {
                chunk_bytes_max: 3,
                delay: Duration::from_millis(4),
                stall: Some(Stall {
                    after_bytes: 5,
                    lasts: Duration::from_millis(6),
                }),
            },
            cut: Some(Cut {
                way: Way::ToBroker,
                after_bytes: 7,
                manner: Manner::Silence(Duration::from_millis(8)),
                then_refuse: Duration::from_millis(9),
            }),
        };
        let plan = Plan { fates: vec![fate] };
        assert_eq!(
            plan.to_string(),
            "connection 0: silent for 8ms and reset after 7 bytes to the broker, none accepted for \
             9ms; to the client 3 bytes at once, 4ms late, stalled for 6ms after 5 bytes\n\
             all later connections: lasts"
        );
    }
}
