//! The threads that make the load: each has a runtime, its connections and its counters of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::clock::now_ns;
use super::lock;
use super::process::thread_id;
use super::tally::Tally;

/// Tasks that run before the runtime looks for what has come: with many connections, one look then finds many of them ready.
const EVENT_INTERVAL: u32 = 256;

/// One thread.
pub(crate) struct Worker {
    pub(crate) handle: Handle,
    pub(crate) tally: Arc<Tally>,
    pub(crate) gathering: Arc<Gathering>,
    /// The thread, for its CPU time.
    pub(crate) thread_id: Option<u32>,
    /// Ends the thread when it is dropped.
    _stop: oneshot::Sender<()>,
    _thread: JoinHandle<()>,
}

impl Worker {
    /// Starts a thread.
    ///
    /// # Errors
    /// One line that says why there is none.
    pub(crate) fn start(index: usize) -> Result<Self, String> {
        let tally = Arc::new(Tally::new());
        let gathering = Arc::new(Gathering::new(tally.clone()));
        let (stop, stopped) = oneshot::channel::<()>();
        let (started, start) = mpsc::channel();
        let before_waiting = gathering.clone();
        let run = move || {
            sleep_exactly();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .event_interval(EVENT_INTERVAL)
                .on_thread_park(move || before_waiting.wait())
                .build();
            match runtime {
                Ok(runtime) => {
                    let _ = started.send(Ok((runtime.handle().clone(), thread_id())));
                    // Ends once the sender is dropped.
                    let _ = runtime.block_on(stopped);
                }
                Err(cause) => {
                    let _ = started.send(Err(cause));
                }
            }
        };
        let failed = |cause: &dyn std::fmt::Display| format!("cannot start a thread: {cause}");
        let builder = std::thread::Builder::new().name(format!("load-{index}"));
        let thread = builder.spawn(run).map_err(|cause| failed(&cause))?;
        let (handle, thread_id) = match start.recv() {
            Ok(Ok(started)) => started,
            Ok(Err(cause)) => return Err(failed(&cause)),
            Err(cause) => return Err(failed(&cause)),
        };
        Ok(Self {
            handle,
            tally,
            gathering,
            thread_id,
            _stop: stop,
            _thread: thread,
        })
    }
}

/// The kernel makes sleeps up to 50 microseconds longer than was asked for, unless it is told not to: more than a pause may take.
fn sleep_exactly() {
    // A thread that cannot have it is only slower.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZero::new(1));
}

/// The shortest and the longest time to let messages gather.
const GATHER_NS: (f64, f64) = (20_000.0, 4_000_000.0);
/// Bytes that may gather for one connection: well below what its socket takes.
const GATHER_BYTES: u64 = 32 * 1024;
/// Messages that any broker may have under way to a subscriber at QoS 1 and 2, as far as is known before more have come at once.
const IN_FLIGHT: u64 = 20;
/// The part of the window that gathers before it is read.
const PART: f64 = 8.0;

/// In a closed loop, a pause before each look for what has come, so that one read takes many messages.
///
/// It is as long as the broker takes for an eighth of what may be under way: short enough that the broker never runs dry.
#[derive(Debug)]
pub(crate) struct Gathering {
    tally: Arc<Tally>,
    /// Messages that may be under way to each subscriber; 0: no pauses.
    window: AtomicU64,
    pace: Mutex<Pace>,
}

#[derive(Debug)]
struct Pace {
    subscribers: u64,
    bounded: bool,
    payload_bytes: u64,
    per_ns: f64,
    last_ns: u64,
    last_received: u64,
}

/// What is under way to the subscribers of a thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnderWay {
    pub(crate) subscribers: u64,
    /// Messages to each.
    pub(crate) messages: u64,
    /// True if the broker bounds it, too, as at QoS 1 and 2.
    pub(crate) bounded: bool,
    pub(crate) payload_bytes: u64,
}

impl Gathering {
    fn new(tally: Arc<Tally>) -> Self {
        let pace = Pace {
            subscribers: 0,
            bounded: false,
            payload_bytes: 1,
            per_ns: 0.0,
            last_ns: 0,
            last_received: 0,
        };
        Self {
            tally,
            window: AtomicU64::new(0),
            pace: Mutex::new(pace),
        }
    }

    /// Lets messages gather from now on.
    pub(crate) fn start(&self, under_way: UnderWay) {
        *lock(&self.pace) = Pace {
            subscribers: under_way.subscribers,
            bounded: under_way.bounded,
            payload_bytes: under_way.payload_bytes.max(1),
            per_ns: 0.0,
            last_ns: now_ns(),
            last_received: self.tally.lock().received.messages,
        };
        let window = if under_way.subscribers > 0 {
            under_way.messages
        } else {
            0
        };
        self.window.store(window, Ordering::Relaxed);
    }

    /// No more pauses.
    pub(crate) fn stop(&self) {
        self.window.store(0, Ordering::Relaxed);
    }

    /// The pause. The thread has nothing else to do then.
    fn wait(&self) {
        let window = self.window.load(Ordering::Relaxed);
        if window > 0 {
            let (received, largest_read) = {
                let counts = self.tally.lock();
                (counts.received.messages, counts.largest_read)
            };
            let pause = lock(&self.pace).pause(window, received, largest_read, now_ns());
            std::thread::sleep(pause);
        }
    }
}

impl Pace {
    fn pause(&mut self, window: u64, received: u64, largest_read: u64, now_ns: u64) -> Duration {
        let elapsed = now_ns.saturating_sub(self.last_ns).max(1) as f64;
        let rate = received.saturating_sub(self.last_received) as f64 / elapsed;
        self.per_ns += (rate - self.per_ns) * 0.1;
        (self.last_ns, self.last_received) = (now_ns, received);
        let each = if self.bounded {
            window.min(largest_read.max(IN_FLIGHT))
        } else {
            window
        };
        let fitting = (GATHER_BYTES / self.payload_bytes).max(1) as f64;
        let target = (each as f64 / PART).min(fitting) * self.subscribers as f64;
        let pause = (target / self.per_ns.max(1e-9)).clamp(GATHER_NS.0, GATHER_NS.1);
        Duration::from_nanos(pause as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_is_an_eighth_of_the_window_at_the_rate_that_there_is() {
        let mut pace = Pace {
            subscribers: 1,
            bounded: false,
            payload_bytes: 64,
            per_ns: 0.0,
            last_ns: 0,
            last_received: 0,
        };
        let mut pause = Duration::ZERO;
        // 100,000 a second: 64 messages take 640 us.
        for turn in 1..=200 {
            pause = pace.pause(512, turn * 100, 100, turn * 1_000_000);
        }
        assert!((630..650).contains(&pause.as_micros()), "{pause:?}");
        pace.bounded = true;
        let bounded = pace.pause(512, 201 * 100, 0, 201 * 1_000_000);
        assert!(bounded < Duration::from_micros(30), "{bounded:?}");
        let idle = pace.pause(512, 201 * 100, 0, 10_000_000_000);
        assert!(idle <= Duration::from_millis(4), "{idle:?}");
    }
}
