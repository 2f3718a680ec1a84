//! What every outbox is asked: a test for one of your own.

use fastrand::Rng;
use mqtt_codec::{PacketId, Properties, Property, QoS, Text, UserProperty};

use super::{Outbox, OutboxChange, Outgoing, Stored, StoredMessage};
use crate::{Instant, Message};

/// Batches of changes in a run.
const BATCHES: u64 = 300;

/// Commits random changes, and compares what is kept with what [`Stored::apply`] makes of them: while the
/// outbox is open, and when it was opened again.
///
/// `open` opens the same outbox each time, which is empty at first. The one before is dropped by then. What was
/// committed must survive that; whether it survives a crash is not asked here.
///
/// # Errors
/// What differs, and the number of the batch after which it does. The changes are the same in every run.
///
/// ```
/// # fn main() -> Result<(), String> {
/// # let directory = std::env::temp_dir().join(format!("testkit-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory).unwrap();
/// # let path = directory.join("outbox");
/// use mqtt_client::{RedbOutbox, outbox::testkit};
///
/// testkit::check(|| RedbOutbox::open(&path).unwrap())?;
/// # std::fs::remove_dir_all(directory).unwrap();
/// # Ok(())
/// # }
/// ```
pub fn check<O: Outbox>(mut open: impl FnMut() -> O) -> Result<(), String> {
    let mut expected = Stored::default();
    let mut outbox = open();
    compare(&mut outbox, &expected, "a new outbox")?;
    for number in 0..BATCHES {
        let batch = batch(number)?;
        outbox
            .commit(&batch)
            .map_err(|error| format!("batch {number} was not taken: {error}"))?;
        expected.apply(&batch);
        if number % 5 == 0 {
            compare(&mut outbox, &expected, &format!("after batch {number}"))?;
        }
        if number % 20 == 0 {
            drop(outbox);
            outbox = open();
            let when = format!("after batch {number}, opened again,");
            compare(&mut outbox, &expected, &when)?;
        }
    }
    Ok(())
}

fn compare(outbox: &mut impl Outbox, expected: &Stored, when: &str) -> Result<(), String> {
    let found = outbox
        .load()
        .map_err(|error| format!("{when} cannot be read: {error}"))?;
    match difference(&found, expected) {
        None => Ok(()),
        Some(difference) => Err(format!("{when} {difference}")),
    }
}

/// What is wrong with what was found, in words. Payloads are too long to show.
fn difference(found: &Stored, expected: &Stored) -> Option<String> {
    if found.client_id != expected.client_id {
        let (found, expected) = (&found.client_id, &expected.client_id);
        return Some(format!(
            "has the client identifier {found:?}, not {expected:?}"
        ));
    }
    if found.sending_below != expected.sending_below {
        let (found, expected) = (found.sending_below, expected.sending_below);
        return Some(format!(
            "may have sent what is below {found}, not {expected}"
        ));
    }
    if found.connecting != expected.connecting {
        let name = |stored: &Stored| if stored.connecting { "a" } else { "no" };
        let (found, expected) = (name(found), name(expected));
        return Some(format!(
            "has {found} CONNECT without an answer, not {expected}"
        ));
    }
    if found.received != expected.received {
        let (found, expected) = (&found.received, &expected.received);
        return Some(format!("has received {found:?}, not {expected:?}"));
    }
    let mut sequences = found.outgoing.keys().chain(expected.outgoing.keys());
    let sequence = sequences
        .find(|sequence| found.outgoing.get(sequence) != expected.outgoing.get(sequence))?;
    let name = |stored: &Stored| match stored.outgoing.get(sequence) {
        None => "nothing",
        Some(Outgoing::Message(_)) => "a message",
        Some(Outgoing::Released) => "a release",
    };
    let (found, expected) = (name(found), name(expected));
    Some(format!(
        "has {found} of number {sequence}, not {expected}, or not the same"
    ))
}

/// The changes of this number: always the same, never none.
///
/// Each puts a message with the number as its sequence, and changes only earlier ones beside it. So there is no
/// batch after which the outbox is as it was before.
///
/// # Errors
/// If a message of its own making is none.
pub fn batch(number: u64) -> Result<Vec<OutboxChange>, String> {
    let random = &mut Rng::with_seed(number);
    let mut changes = vec![put(number, random)?];
    // Before the first message there is none to change.
    let more = if number == 0 { 0 } else { random.usize(..8) };
    for _ in 0..more {
        changes.push(change(number, random)?);
    }
    Ok(changes)
}

/// One about a message of late, or about what was received.
fn change(number: u64, random: &mut Rng) -> Result<OutboxChange, String> {
    let sequence = number.saturating_sub(random.u64(1..40));
    let packet_id = PacketId::new(random.u16(1..30)).ok_or("a packet identifier is 0")?;
    Ok(match random.u8(..22) {
        0..8 => OutboxChange::Remove { sequence },
        8..12 => OutboxChange::Release { sequence },
        12..16 => OutboxChange::Received { packet_id },
        16..18 => OutboxChange::Completed { packet_id },
        18 => put(sequence, random)?,
        19 => OutboxChange::Connecting,
        20 => OutboxChange::Sending {
            below: random.choice([sequence, u64::MAX]).unwrap_or_default(),
        },
        _ => OutboxChange::NewSession {
            client_id: format!("client-{number}").into(),
        },
    })
}

fn put(sequence: u64, random: &mut Rng) -> Result<OutboxChange, String> {
    let message = message(random).map_err(|error| error.to_string())?;
    Ok(OutboxChange::Put { sequence, message })
}

fn message(random: &mut Rng) -> Result<StoredMessage, Box<dyn std::error::Error>> {
    let payload_bytes = random.choice([0, 3, 64, 1000, 9000]).unwrap_or_default();
    let payload: Vec<u8> = (0..payload_bytes).map(|_| random.u8(..)).collect();
    let level = random.u8(..3);
    let user_property = UserProperty {
        name: Text::new(b"number".as_slice())?,
        value: Text::new(b"of many".as_slice())?,
    };
    let message = Message {
        qos: QoS::from_number(level).unwrap_or_default(),
        retain: random.bool(),
        properties: Properties::new([
            Property::UserProperty(user_property),
            Property::MessageExpiryInterval(random.u32(..)),
        ])?,
        ..Message::new(&format!("site/{level}/temperature"), payload)?
    };
    let lifetime = random.bool().then(|| random.u64(..));
    Ok(StoredMessage {
        message,
        expires: lifetime.map(Instant::from_millis),
    })
}
