//! Subscriptions that no message matches: what each costs the broker, and what they cost messages.

use serde::Serialize;

use super::Bench;
use super::clock::seconds;
use super::meter::{Course, Readings, per};
use super::report::grown;
use super::target::Connected;

/// Filters in one SUBSCRIBE.
const FILTERS: u32 = 100;

/// What was made, and the readings around it.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) count: u32,
    pub(crate) before: Readings,
    pub(crate) after: Readings,
}

impl Made {
    pub(crate) fn seconds(&self) -> f64 {
        seconds(self.after.at_ns.saturating_sub(self.before.at_ns))
    }
}

/// What subscriptions have cost that no message matches.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Subscriptions {
    pub(crate) made: u32,
    pub(crate) per_s: f64,
    /// Of the broker's memory.
    pub(crate) resident_bytes_each: Option<f64>,
}

impl Subscriptions {
    pub(crate) fn of(made: &Made) -> Self {
        let count = f64::from(made.count);
        Self {
            made: made.count,
            per_s: per(count, made.seconds()),
            resident_bytes_each: grown(&made.before, &made.after).map(|bytes| per(bytes, count)),
        }
    }
}

/// Makes the subscriptions that were asked for, shared out among these clients; `None` if there are to be none.
///
/// # Errors
/// Why one could not be made, in one line.
pub(crate) async fn make<'a>(
    bench: &Bench,
    course: &Course,
    clients: impl ExactSizeIterator<Item = &'a mut Connected>,
) -> Result<Option<Made>, String> {
    let options = &bench.options;
    let clients_count = clients.len() as u64;
    let total = u64::from(options.subscriptions);
    if total == 0 || clients_count == 0 {
        return Ok(None);
    }
    let before = course.moment().readings;
    for (index, client) in clients.enumerate() {
        let index = index as u64;
        let share = total / clients_count + u64::from(index < total % clients_count);
        let mut filters = (0..share)
            .map(|number| format!("bench-other/{:04x}/{index}/{number}", options.tag))
            .peekable();
        while filters.peek().is_some() {
            let some: Vec<String> = filters.by_ref().take(FILTERS as usize).collect();
            let made = bench
                .target
                .subscribe_all(&mut client.wire, &some, options.qos);
            made.await
                .map_err(|fault| format!("subscribing: {fault}"))?;
            if bench.interrupt.is_set() {
                return Err("interrupted".to_owned());
            }
        }
    }
    Ok(Some(Made {
        count: options.subscriptions,
        before,
        after: course.moment().readings,
    }))
}
