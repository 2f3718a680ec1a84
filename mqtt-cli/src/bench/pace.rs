//! The open loop: messages are due at fixed times, whatever the broker does meanwhile.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::clock::now_ns;
use super::flow::Lane;

/// The shortest time between two looks at the clock.
const TICK_NS: u64 = 50_000;

/// Messages that are given leave to go before others of the thread get a turn.
const BURST: u32 = 1024;

/// When each message of a run is due.
#[derive(Debug)]
pub(crate) struct Schedule {
    start_ns: u64,
    gap_ns: f64,
}

impl Schedule {
    /// `rate` messages a second, from `start_ns` on.
    pub(crate) fn new(start_ns: u64, rate: f64) -> Self {
        Self {
            start_ns,
            gap_ns: 1e9 / rate,
        }
    }

    /// When a message is due.
    #[inline]
    pub(crate) fn due_ns(&self, message: u64) -> u64 {
        self.start_ns + (message as f64 * self.gap_ns) as u64
    }
}

/// A publisher whose messages are due by the clock.
pub(crate) struct Paced {
    pub(crate) lane: Arc<Lane>,
    /// Its place among all publishers of the run, which take turns.
    pub(crate) turn: u64,
}

/// Lets the publishers of one worker send what is due before `until_ns`; they are in the order of their turns, of `turns` in all.
///
/// # Errors
/// That there is no timer.
pub(crate) async fn pace(
    schedule: Arc<Schedule>,
    publishers: Vec<Paced>,
    turns: u64,
    until_ns: u64,
) -> io::Result<()> {
    let timer = Timer::new()?;
    let (mut round, mut index, mut burst) = (0, 0, 0_u32);
    while let Some(paced) = publishers.get(index) {
        let due = schedule.due_ns(round * turns + paced.turn);
        if due >= until_ns {
            return Ok(());
        }
        let now = now_ns();
        if due > now {
            timer
                .sleep(Duration::from_nanos((due - now).max(TICK_NS)))
                .await?;
            continue;
        }
        paced.lane.grant(1);
        burst = burst.wrapping_add(1);
        if burst % BURST == 0 {
            tokio::task::yield_now().await;
        }
        index += 1;
        if index == publishers.len() {
            (round, index) = (round + 1, 0);
        }
    }
    Ok(())
}

/// A timer that is exact to some microseconds, as the one of the runtime is not.
#[cfg(target_os = "linux")]
struct Timer {
    timer: tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>,
}

#[cfg(target_os = "linux")]
impl Timer {
    fn new() -> io::Result<Self> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[allow(
            deprecated,
            reason = "unsound only for what gives out another descriptor each time; an OwnedFd is one descriptor"
        )]
        let timer = tokio::io::unix::AsyncFd::new(timer)?;
        Ok(Self { timer })
    }

    async fn sleep(&self, duration: Duration) -> io::Result<()> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
        let once = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
        let time = Itimerspec {
            it_interval: once(0, 0),
            it_value: once(
                duration.as_secs().try_into().unwrap_or(i64::MAX),
                duration.subsec_nanos().into(),
            ),
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &time)?;
        loop {
            let mut ready = self.timer.readable().await?;
            let mut expirations = [0; 8];
            match rustix::io::read(&self.timer, &mut expirations) {
                Err(cause) if cause == rustix::io::Errno::AGAIN => ready.clear_ready(),
                read => {
                    read?;
                    ready.clear_ready();
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
struct Timer;

#[cfg(not(target_os = "linux"))]
impl Timer {
    #[allow(clippy::unnecessary_wraps, reason = "the other one may fail")]
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn sleep(&self, duration: Duration) -> io::Result<()> {
        tokio::time::sleep(duration).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_at_equal_distances_and_do_not_drift() {
        let schedule = Schedule::new(5, 3.0);
        assert_eq!(schedule.due_ns(0), 5);
        assert_eq!(schedule.due_ns(1), 333_333_338);
        assert_eq!(schedule.due_ns(3_000_000), 1_000_000_000_000_005);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn each_gets_what_is_due_before_the_end_in_turn() {
        // Publishers 0 and 2 of three: of messages 0 to 9, at 1 ms each, they have 0, 3, 6, 9 and 2, 5, 8.
        let lanes: [Arc<Lane>; 2] = Default::default();
        let paced = |(lane, turn): (&Arc<Lane>, u64)| Paced {
            lane: lane.clone(),
            turn,
        };
        let publishers = lanes.iter().zip([0, 2]).map(paced).collect();
        let start = now_ns();
        let schedule = Arc::new(Schedule::new(start, 1000.0));
        let until = schedule.due_ns(10);
        pace(schedule, publishers, 3, until).await.unwrap();
        assert_eq!(lanes.map(|lane| lane.granted()), [4, 3]);
        assert!(now_ns() - start >= 9_000_000);
    }
}
