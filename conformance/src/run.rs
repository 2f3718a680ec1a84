//! Runs tests against a broker, many at once, and notes what came of each.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::client::Reasons;
use crate::report::{Outcome, Result};
use crate::test::{Claim, Need, Registered, Test};

/// So many tests run at once: they mostly wait.
const THREADS: usize = 32;

/// What is run, and on whom.
pub(crate) struct Run<'a> {
    pub(crate) address: SocketAddr,
    /// Where the broker listens for WebSockets, if it does.
    pub(crate) websocket: Option<SocketAddr>,
    pub(crate) reasons: Reasons,
    /// What this broker and this run have. Other tests are skipped.
    pub(crate) has: &'a [Need],
    /// Only tests with this in their names run.
    pub(crate) filter: &'a str,
}

thread_local! {
    /// Why the test of this thread stopped.
    static STOPPED: RefCell<String> = const { RefCell::new(String::new()) };
}

impl Run<'_> {
    /// Runs all tests that the filter lets through. The outcomes are in the order of the tests.
    pub(crate) fn all(&self, tests: &[&'static Registered]) -> Vec<Outcome> {
        // A test that fails says so in its outcome, not on the terminal.
        std::panic::set_hook(Box::new(|info| {
            let message = info.payload_as_str().unwrap_or("it stopped");
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            STOPPED.set(format!("{message} ({place})"));
        }));
        let jobs: Vec<(&Registered, &Claim)> = tests
            .iter()
            .filter(|test| test.name.contains(self.filter))
            .flat_map(|test| test.claims.iter().map(move |claim| (*test, claim)))
            .collect();
        let next = AtomicUsize::new(0);
        let outcomes = Mutex::new(Vec::new());
        // Names that are new, also to a broker that an earlier run has left sessions with.
        let start = fastrand::u32(36 * 36 * 36..36 * 36 * 36 * 36);
        let work = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some((test, claim)) = jobs.get(number) else {
                    return;
                };
                let name = format!("{}{}", base36(start), base36(number as u32 + 36 * 36 * 36));
                let outcome = self.one(test, claim, name);
                let mut outcomes = outcomes.lock().expect("no thread panics with it");
                outcomes.push((number, outcome));
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(work);
            }
        });
        let _ = std::panic::take_hook();
        let mut outcomes = outcomes.into_inner().expect("no thread panics with it");
        outcomes.sort_by_key(|(number, _)| *number);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    fn meets(&self, need: Need) -> bool {
        match need {
            Need::WebSocket => self.websocket.is_some(),
            Need::Authority | Need::Patience => self.has.contains(&need),
        }
    }

    fn one(&self, test: &Registered, claim: &Claim, name: String) -> Outcome {
        let start = Instant::now();
        let result = match test.needs.iter().find(|need| !self.meets(**need)) {
            Some(need) => Result::Skipped(need.lack().to_owned()),
            None => {
                let context = Test {
                    address: self.address,
                    websocket: self.websocket,
                    version: claim.version,
                    reasons: self.reasons,
                    name,
                };
                match catch_unwind(AssertUnwindSafe(|| (test.run)(&context))) {
                    Ok(()) => Result::Passed,
                    Err(_) => Result::Failed(STOPPED.take()),
                }
            }
        };
        Outcome {
            test: test.short_name().to_owned(),
            says: test.says.trim().to_owned(),
            version: claim.version,
            statements: claim.statements.iter().map(ToString::to_string).collect(),
            result,
            milliseconds: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl Registered {
    /// The name without that of the crate.
    pub(crate) fn short_name(&self) -> &'static str {
        self.name
            .split_once("::tests::")
            .map_or(self.name, |(_, name)| name)
    }
}

impl Need {
    const fn lack(self) -> &'static str {
        match self {
            Self::Authority => "it needs the users of the embedded broker",
            Self::Patience => "it takes long",
            Self::WebSocket => "it needs a listener for WebSockets",
        }
    }
}

fn base36(mut number: u32) -> String {
    let mut digits = String::new();
    while number > 0 {
        digits.extend(char::from_digit(number % 36, 36));
        number /= 36;
    }
    digits
}
