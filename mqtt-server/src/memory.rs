//! The memory budget: what the command line says, or a share of what the machine has, and a word in the log
//! when it binds.

use std::fs;
use std::time::Duration;

use mqtt_broker_core::{Broker, Counters};
use tracing::{info, warn};

/// The part of the machine's memory that is taken by default, in quarters: the rest is for what is not
/// counted, and for others.
const QUARTERS: u64 = 3;
/// How often it is looked whether something has been dropped.
const LOOK: Duration = Duration::from_secs(10);
const MEBI: u64 = 1024 * 1024;

/// The budget in bytes: what was asked for, or three quarters of what there is, or none if that is not known.
pub(crate) fn budget(asked: Option<u64>) -> usize {
    let bytes = asked.or_else(|| there_is().map(|bytes| bytes / 4 * QUARTERS));
    let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
    if let Some(bytes) = bytes {
        info!("memory for what waits: {} MiB", bytes as u64 / MEBI);
    }
    bytes.unwrap_or(usize::MAX)
}

/// Bytes of memory that this machine, or the group of processes that this one is in, has.
fn there_is() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| total(&text));
    // A group without a limit has "max" there, or a number beyond all memory.
    let groups = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ];
    let groups = groups.iter().filter_map(|file| {
        let text = fs::read_to_string(file).ok()?;
        text.trim().parse().ok()
    });
    groups.chain(machine).min()
}

/// The total in the text of `/proc/meminfo`, in bytes.
fn total(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibi: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibi * 1024)
}

/// Bytes as people write them: a number, and K, M or G for powers of 1,024.
///
/// # Errors
/// What was expected.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let form = "expected bytes, such as 512M or 2G, and 1M at least";
    let (number, factor) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (text.get(..at), 1024),
        Some((at, 'm' | 'M')) => (text.get(..at), MEBI),
        Some((at, 'g' | 'G')) => (text.get(..at), 1024 * MEBI),
        _ => (Some(text), 1),
    };
    let bytes = number
        .and_then(|number| number.parse::<u64>().ok())
        .and_then(|number| number.checked_mul(factor));
    bytes
        .filter(|bytes| *bytes >= MEBI)
        .ok_or_else(|| form.to_owned())
}

/// Says so when something has been dropped or refused for lack of memory, and when that is over.
pub(crate) async fn watch(broker: Broker) {
    let lacked = |counters: &Counters| counters.dropped_memory + counters.refused_memory;
    let mut before = broker.counters();
    let mut short = false;
    loop {
        tokio::time::sleep(LOOK).await;
        let now = broker.counters();
        let more = lacked(&now) > lacked(&before);
        if more && !short {
            warn!(
                "memory is short: {} messages dropped, {} requests refused so far, {} MiB in use",
                now.dropped_memory,
                now.refused_memory,
                broker.memory_bytes() as u64 / MEBI,
            );
        } else if short && !more {
            info!("memory is no longer short");
        }
        (before, short) = (now, more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_with_a_letter() {
        assert_eq!(parse("1048576"), Ok(MEBI));
        assert_eq!(parse("2048k"), Ok(2 * MEBI));
        assert_eq!(parse("512M"), Ok(512 * MEBI));
        assert_eq!(parse("3g"), Ok(3 * 1024 * MEBI));
        for wrong in [
            "",
            "M",
            "-1M",
            "1.5G",
            "10",
            "1T",
            "99999999999999999999",
            "18014398509481984K",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_machine_s_memory_is_read() {
        let text = "MemTotal:       24588068 kB\nMemFree:        12294034 kB\n";
        assert_eq!(total(text), Some(24_588_068 * 1024));
        assert_eq!(total("MemFree: 1 kB\n"), None);
    }
}
