//! What a test is, how it is written down, and what it is given.

use std::net::SocketAddr;

use crate::Version;
use crate::client::{Client, Reasons};
use crate::packet::Packet;
use crate::websocket::WebSocket;

/// A test, as `tests!` has registered it.
pub(crate) struct Registered {
    /// `file::name`.
    pub(crate) name: &'static str,
    /// What it is about, in one sentence.
    pub(crate) says: &'static str,
    /// The versions that it runs in, and which statements of their standards it proves.
    pub(crate) claims: &'static [Claim],
    pub(crate) needs: &'static [Need],
    pub(crate) run: fn(&Test),
}

/// A version, and the statements of its standard that a test proves, such as `3.1.2-24`.
pub(crate) struct Claim {
    pub(crate) version: Version,
    pub(crate) statements: &'static [&'static str],
}

/// What not every broker has, or not every run has the patience for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// The users, permissions and authentication methods of the embedded broker.
    Authority,
    /// Some ten seconds.
    Patience,
    /// A listener for WebSockets.
    WebSocket,
}

/// Registers the tests of a file, as `TESTS`:
///
/// ```ignore
/// tests! {
///     /// A SUBSCRIBE whose reserved flags are not 0010 is malformed.
///     [v5 "3.8.1-1", v311 "3.8.1-1"; Patience]
///     fn reserved_flags(t) { ... }
/// }
/// ```
///
/// A version may have several statements or none, and the needs may be left out.
macro_rules! tests {
    ($(
        $(#[doc = $says:literal])+
        [$($version:ident $($statement:literal)*),+ $(; $($need:ident)+)?]
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
                needs: &[$($(crate::test::Need::$need),+)?],
                run: $name,
            },
        )+];
        $(
            $(#[doc = $says])+
            fn $name($t: &crate::test::Test) $body
        )+
    };
}
pub(crate) use tests;

// What the versions are called in the list of a test.
#[allow(non_upper_case_globals, reason = "short names for a long list")]
pub(crate) const v5: Version = Version::V5;
#[allow(non_upper_case_globals, reason = "short names for a long list")]
pub(crate) const v311: Version = Version::V3_1_1;
#[allow(non_upper_case_globals, reason = "short names for a long list")]
pub(crate) const v31: Version = Version::V3_1;

/// What a running test has: a broker, a version to speak, and a name that no other test uses.
pub(crate) struct Test {
    pub(crate) address: SocketAddr,
    /// Where it listens for WebSockets. Tests that need none never ask.
    pub(crate) websocket: Option<SocketAddr>,
    pub(crate) version: Version,
    pub(crate) reasons: Reasons,
    /// What stands for `~` in the [notation](crate::notation). Letters and digits, ten at most.
    pub(crate) name: String,
}

impl Test {
    pub(crate) fn is_v5(&self) -> bool {
        self.version == Version::V5
    }

    /// A connection on which nothing has been said.
    pub(crate) fn open(&self) -> Client {
        self.open_as(self.version)
    }

    /// The same in another version.
    pub(crate) fn open_as(&self, version: Version) -> Client {
        Client::open(self.address, version, &self.name, self.reasons)
    }

    /// A WebSocket, with these subprotocols on offer.
    pub(crate) fn websocket(&self, subprotocols: &str) -> WebSocket {
        let address = self.websocket.expect("the test needs a WebSocket");
        WebSocket::open(address, self.version, &self.name, subprotocols)
    }

    /// A client that has been let in, with a session that begins and ends with its connection, and
    /// a client identifier that ends in `id`: the same `id` is the same client.
    #[track_caller]
    pub(crate) fn client(&self, id: &str) -> Client {
        self.client_with(id, "02", "", "")
    }

    /// A client in another version.
    #[track_caller]
    pub(crate) fn client_as(&self, version: Version, id: &str) -> Client {
        let mut client = self.open_as(version);
        client.send(&connect(version, id, "02", "", ""));
        client.expect("20 <00 00 {..}>");
        client
    }

    /// A client with these connect flags, properties, and fields after its client identifier, all
    /// in the notation. There must have been no session.
    #[track_caller]
    pub(crate) fn client_with(
        &self,
        id: &str,
        flags: &str,
        properties: &str,
        fields: &str,
    ) -> Client {
        let (client, connack) = self.admitted(id, flags, properties, fields);
        assert!(!connack.session_present, "{connack:?} of a new session");
        client
    }

    /// The same, there may have been a session, and the CONNACK is given, too.
    #[track_caller]
    pub(crate) fn admitted(
        &self,
        id: &str,
        flags: &str,
        properties: &str,
        fields: &str,
    ) -> (Client, Packet) {
        let mut client = self.open();
        client.send(&connect(self.version, id, flags, properties, fields));
        let connack = client.expect("20 <?? 00 {..}>");
        (client, connack)
    }

    /// A client whose session outlives its connection (in 5.0, for 1000 seconds), and is new.
    #[track_caller]
    pub(crate) fn stays(&self, id: &str) -> Client {
        self.client_with(id, "00", "11 000003e8", "")
    }

    /// The same client again: its session has to be there.
    #[track_caller]
    pub(crate) fn returns(&self, id: &str) -> Client {
        self.returns_for(id, 1000)
    }

    /// The same, and in 5.0 the session lasts so many seconds from now on.
    #[track_caller]
    pub(crate) fn returns_for(&self, id: &str, seconds: u32) -> Client {
        let mut client = self.open();
        let properties = format!("11 {seconds:08x}");
        client.send(&connect(self.version, id, "00", &properties, ""));
        // In 3.1, that it is there cannot be said.
        let present = match self.version {
            Version::V3_1 => "??",
            Version::V3_1_1 | Version::V5 => "01",
        };
        client.expect(&format!("20 <{present} 00 {{..}}>"));
        client
    }
}

/// A CONNECT in the notation, with a keep alive of a minute.
pub(crate) fn connect(
    version: Version,
    id: &str,
    flags: &str,
    properties: &str,
    fields: &str,
) -> String {
    let protocol = match version {
        Version::V3_1 => r#""MQIsdp" 03"#,
        Version::V3_1_1 => r#""MQTT" 04"#,
        Version::V5 => r#""MQTT" 05"#,
    };
    format!(r#"10 <{protocol} {flags} 003c {{{properties}}} "~{id}" {fields}>"#)
}
