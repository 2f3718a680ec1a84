//! What a test is, how it is written down, and what it is given.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use mqtt_client::session::{SessionOptions, Versions};
use mqtt_conformance::Version;
use mqtt_conformance::report::{Outcome, Report, Result};

use crate::server::Server;

/// A test, as `tests!` has registered it.
pub(crate) struct Registered {
    /// `conformance::file::name`.
    pub(crate) name: &'static str,
    /// What it is about, in one sentence.
    pub(crate) says: &'static str,
    /// The versions that it runs in, and which statements of their standards it proves.
    pub(crate) claims: &'static [Claim],
    pub(crate) run: fn(&Test),
}

/// A version, and the statements of its standard that a test proves, such as `3.1.2-24`.
pub(crate) struct Claim {
    pub(crate) version: Version,
    pub(crate) statements: &'static [&'static str],
}

/// Registers the tests of a file, as `TESTS`, each of which is a `#[test]`, too:
///
/// ```ignore
/// tests! {
///     /// The first packet is a CONNECT.
///     [v5 "3.1.0-1", v311 "3.1.0-1"]
///     fn connect_is_first(t) { ... }
/// }
/// ```
///
/// A version may have several statements or none.
macro_rules! tests {
    ($(
        $(#[doc = $says:literal])+
        [$($version:ident $($statement:literal)*),+]
        fn $name:ident($t:ident) $body:block
    )+) => {
        /// The tests of this file.
        pub(crate) const TESTS: &[crate::test::Registered] = &[$(
            crate::test::Registered {
                name: concat!(module_path!(), "::", stringify!($name)),
                says: concat!($($says),+),
                claims: &[$(crate::test::Claim {
                    version: crate::test::$version,
                    statements: &[$($statement),*],
                }),+],
                run: {
                    fn run($t: &crate::test::Test) $body
                    run
                },
            },
        )+];
        $(
            $(#[doc = $says])+
            #[test]
            fn $name() {
                crate::test::run(TESTS, concat!(module_path!(), "::", stringify!($name)));
            }
        )+
    };
}
pub(crate) use tests;

// What the versions are called in the list of a test.
#[allow(non_upper_case_globals, reason = "short names for a long list")]
pub(crate) const v5: Version = Version::V5;
#[allow(non_upper_case_globals, reason = "short names for a long list")]
pub(crate) const v311: Version = Version::V3_1_1;

/// Runs a test in each of its versions.
pub(crate) fn run(tests: &[Registered], name: &str) {
    let test = tests.iter().find(|test| test.name == name);
    let test = test.expect("a registered test");
    for claim in test.claims {
        (test.run)(&Test {
            version: claim.version,
        });
    }
}

/// Runs all tests, one after the other.
pub(crate) fn report(tests: &[&Registered]) -> Report {
    static STOPPED: Mutex<String> = Mutex::new(String::new());
    std::panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("it stopped");
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        *STOPPED.lock().expect("nobody panics with it") = format!("{message} ({place})");
    }));
    let mut outcomes = Vec::new();
    for test in tests {
        for claim in test.claims {
            let version = claim.version;
            let start = Instant::now();
            let result = match catch_unwind(AssertUnwindSafe(|| (test.run)(&Test { version }))) {
                Ok(()) => Result::Passed,
                Err(_) => Result::Failed(STOPPED.lock().expect("nobody panics with it").clone()),
            };
            let name = test
                .name
                .split_once("::")
                .map_or(test.name, |(_, name)| name);
            outcomes.push(Outcome {
                test: name.to_owned(),
                says: test.says.trim().to_owned(),
                version,
                statements: claim.statements.iter().map(ToString::to_string).collect(),
                result,
                milliseconds: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
            });
        }
    }
    let _ = std::panic::take_hook();
    Report {
        broker: "mqtt-client".to_owned(),
        outcomes,
        known: Vec::new(),
    }
}

/// What a running test has: a version to speak.
pub(crate) struct Test {
    pub(crate) version: Version,
}

impl Test {
    pub(crate) fn is_v5(&self) -> bool {
        self.version == Version::V5
    }

    /// A client `c` that speaks this version alone and connects again at once; what is not said here is
    /// as by default.
    pub(crate) fn options(&self) -> SessionOptions {
        let mut options = SessionOptions::default();
        options.client_id = "c".to_owned();
        options.versions = Versions::Only(self.codec_version());
        options.backoff = Duration::ZERO..=Duration::ZERO;
        options.in_flight_max = Some(1000);
        options
    }

    /// The same, with a session that stays for 1000 seconds (before 5.0: for ever).
    pub(crate) fn staying(&self) -> SessionOptions {
        let mut options = self.options();
        options.session_expiry = Some(Duration::from_secs(1000));
        options
    }

    pub(crate) fn codec_version(&self) -> mqtt_client::Version {
        match self.version {
            Version::V3_1 => mqtt_client::Version::V3_1,
            Version::V3_1_1 => mqtt_client::Version::V3_1_1,
            Version::V5 => mqtt_client::Version::V5,
        }
    }

    /// A server that a client is about to connect to.
    pub(crate) fn open(&self, options: SessionOptions) -> Server {
        Server::new(self.version, options)
    }

    /// A server that has let a client in, into a new session.
    #[track_caller]
    pub(crate) fn connected(&self) -> Server {
        self.connected_with(self.options(), "")
    }

    /// The same with these options, and these properties in the CONNACK.
    #[track_caller]
    pub(crate) fn connected_with(&self, options: SessionOptions, properties: &str) -> Server {
        let mut server = self.open(options);
        server.accept("00", properties);
        server
    }
}
