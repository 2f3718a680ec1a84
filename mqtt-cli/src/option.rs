//! The options of `pub`, `sub` and `rr`: one table, from which both the reader of Mosquitto's command lines and clap's are made.

use std::fmt;

/// The three programs that share the options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Publish,
    Subscribe,
    Request,
    /// Has no options of its own here, only those about the connection; and no counterpart among Mosquitto's programs.
    Retained,
}

impl Program {
    /// The name that Mosquitto's program has.
    pub(crate) const fn mosquitto_name(self) -> &'static str {
        match self {
            Self::Publish => "mosquitto_pub",
            Self::Subscribe => "mosquitto_sub",
            Self::Request => "mosquitto_rr",
            Self::Retained => "mqtt retained",
        }
    }

    /// The name of the subcommand.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Publish => "pub",
            Self::Subscribe => "sub",
            Self::Request => "rr",
            Self::Retained => "retained",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Publish => 0b001,
            Self::Subscribe => 0b010,
            Self::Request => 0b100,
            Self::Retained => 0,
        }
    }
}

/// An option, as one row of the table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) setting: Setting,
    pub(crate) letter: Option<char>,
    pub(crate) long: Option<&'static str>,
    pub(crate) takes: Takes,
    programs: u8,
    pub(crate) known_to: KnownTo,
    pub(crate) heading: &'static str,
    pub(crate) help: &'static str,
}

/// What follows an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    Nothing,
    Value {
        /// The name of the value in the help.
        name: &'static str,
        /// What Mosquitto says after `Error: ` where it is missing.
        missing: &'static str,
    },
    /// A command, a property, and as many values as the property has.
    Property,
}

/// Whose option it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KnownTo {
    /// Mosquitto's and ours.
    Both,
    /// Ours alone: unknown where we are called by a name of Mosquitto's.
    Mqtt,
    /// Taken by Mosquitto, and refused with the reason.
    Refused(&'static str),
}

macro_rules! settings {
    ($($name:ident)+) => {
        /// What an option sets.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Setting { $($name,)+ }

        impl Setting {
            /// A name that no other has, for clap.
            pub(crate) const fn id(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }
        }
    };
}

settings! {
    BindAddress CaFile CaPath Certificate Ciphers ClientId ClientIdPrefix ContentType Count Debug
    ExitAfterSubscribe Expiry File FilterOut Format Help Host Insecure Json KeepAlive Key KeyForm Lines
    MaximumInFlight Message NoDelay NoEndOfLine NoLocal NoRetained NullMessage OptionsFile OsCertificates
    Password PasswordFile Persistent Port Pretty ProgramVersion Property ProtocolVersion Proxy Psk PskIdentity
    QoS Quiet RandomFilter RemoveRetained Repeat RepeatDelay ResponseTopic Retain RetainAsPublished
    RetainHandling RetainedOnly SessionExpiry Share Srv Stdin Timeout TlsAlpn TlsEngine TlsEnginePassword
    TlsVersion Topic Unix Unsubscribe Url UserName UserProperty Verbose WebSocket WillPayload WillQoS
    WillRetain WillTopic
}

impl Row {
    /// True if `program` has the option.
    pub(crate) const fn is_of(&self, program: Program) -> bool {
        match program {
            Program::Publish | Program::Subscribe | Program::Request => {
                self.programs & program.bit() != 0
            }
            Program::Retained => self.is_about_the_connection(),
        }
    }

    const fn is_about_the_connection(&self) -> bool {
        matches!(
            self.setting,
            Setting::Host
                | Setting::Port
                | Setting::Url
                | Setting::UserName
                | Setting::Password
                | Setting::PasswordFile
                | Setting::Unix
                | Setting::WebSocket
                | Setting::Proxy
                | Setting::BindAddress
                | Setting::ClientId
                | Setting::ProtocolVersion
                | Setting::KeepAlive
                | Setting::OptionsFile
                | Setting::Topic
                | Setting::CaFile
                | Setting::CaPath
                | Setting::OsCertificates
                | Setting::Certificate
                | Setting::Key
                | Setting::Insecure
                | Setting::TlsVersion
                | Setting::TlsAlpn
        )
    }

    /// True if `argument` is the option, whole.
    pub(crate) fn is(&self, argument: &str) -> bool {
        let Some(name) = argument.strip_prefix('-') else {
            return false;
        };
        match name.strip_prefix('-') {
            Some(long) => self.long == Some(long),
            None => self.letter.is_some_and(|letter| name.chars().eq([letter])),
        }
    }
}

/// The option as people write it: by its letter where it has one.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.letter, self.long) {
            (Some(letter), _) => write!(f, "-{letter}"),
            (None, long) => write!(f, "--{}", long.unwrap_or_default()),
        }
    }
}

/// The options that `program` has.
pub(crate) fn rows(program: Program) -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(move |row| row.is_of(program))
}

/// The option of `program` that `argument` is.
pub(crate) fn find(program: Program, argument: &str) -> Option<&'static Row> {
    rows(program).find(|row| row.is(argument))
}

const PUB: u8 = Program::Publish.bit();
const SUB: u8 = Program::Subscribe.bit();
const RR: u8 = Program::Request.bit();
const ALL: u8 = PUB | SUB | RR;

const CONNECTION: &str = "Connection";
const SESSION: &str = "Session";
const MESSAGE: &str = "Message";
const SUBSCRIPTION: &str = "Subscription";
const OUTPUT: &str = "Output";
const WILL: &str = "Will";
const TLS: &str = "TLS";
const NO_PSK: &str = "pre-shared keys are not supported: rustls has none. Use certificates (--cafile, --cert, --key)";
const NO_ENGINE: &str =
    "OpenSSL engines are not supported: TLS is rustls here. Use a key file (--key)";
const NO_SRV: &str =
    "SRV look-ups are not supported. Look the name up yourself, and give the host and the port";
const NO_CIPHERS: &str =
    "a list of ciphers is OpenSSL's: TLS is rustls here, and has none but safe ones";

/// Makes a row out of what is written in the table.
macro_rules! table {
    (@letter -) => { None };
    (@letter $letter:literal) => { Some($letter) };
    (@long -) => { None };
    (@long $long:literal) => { Some($long) };
    (@takes flag) => { Takes::Nothing };
    (@takes property) => { Takes::Property };
    (@takes ($name:literal, $missing:literal)) => { Takes::Value { name: $name, missing: $missing } };
    (@known both) => { KnownTo::Both };
    (@known ours) => { KnownTo::Mqtt };
    (@known ($why:ident)) => { KnownTo::Refused($why) };
    ($($setting:ident $letter:tt $long:tt $takes:tt $programs:ident $known:tt $heading:ident $help:literal;)+) => {
        &[$(Row {
            setting: Setting::$setting,
            letter: table!(@letter $letter),
            long: table!(@long $long),
            takes: table!(@takes $takes),
            programs: $programs,
            known_to: table!(@known $known),
            heading: $heading,
            help: $help,
        },)+]
    };
}

const PUB_RR: u8 = PUB | RR;
const SUB_RR: u8 = SUB | RR;

#[rustfmt::skip]
static ROWS: &[Row] = table! {
    Host 'h' "host" ("HOST", "-h argument given but no host specified.") ALL both CONNECTION "Host to connect to [default: localhost] [env: MQTT_HOST]";
    Port 'p' "port" ("PORT", "-p argument given but no port specified.") ALL both CONNECTION "Port to connect to [default: 1883, with TLS 8883] [env: MQTT_PORT]";
    Url 'L' "url" ("URL", "-L argument given but no URL specified.") ALL both CONNECTION "Everything in one: mqtt(s)|ws(s)://[user[:password]@]host[:port]/topic [env: MQTT_URL]";
    UserName 'u' "username" ("NAME", "-u argument given but no username specified.") ALL both CONNECTION "User name [env: MQTT_USERNAME]";
    Password 'P' "pw" ("PASSWORD", "-P argument given but no password specified.") ALL both CONNECTION "Password, which others see in the list of processes [safer: --password-file, or to be asked] [env: MQTT_PASSWORD]";
    PasswordFile - "password-file" ("FILE", "--password-file argument given but no file specified.") ALL ours CONNECTION "File whose first line is the password";
    Unix - "unix" ("PATH", "--unix argument given but no socket path specified.") ALL both CONNECTION "Connect to a Unix socket";
    WebSocket - "ws" flag ALL ours CONNECTION "Connect with WebSocket";
    Proxy - "proxy" ("URL", "--proxy argument given but no proxy url specified.") ALL both CONNECTION "Connect through a proxy: socks5h://[user[:password]@]host[:port], also socks5:// and http://";
    BindAddress 'A' - ("ADDRESS", "-A argument given but no address specified.") ALL both CONNECTION "Local address to connect from";
    NoDelay - "nodelay" flag ALL both CONNECTION "Send small packets at once; it is always so here";
    Srv 'S' - flag ALL (NO_SRV) CONNECTION "Not supported: look the server up by DNS SRV";

    ClientId 'i' "id" ("ID", "-i argument given but no id specified.") ALL both SESSION "Client identifier [default: a new one]";
    ClientIdPrefix 'I' "id-prefix" ("PREFIX", "-I argument given but no id prefix specified.") ALL both SESSION "Client identifier is this and the process id";
    ProtocolVersion 'V' "protocol-version" ("VERSION", "--protocol-version argument given but no version specified.") ALL both SESSION "Version of MQTT: 5, 311 or 31, also as mqttv5 [default: 5, or 3.1.1 where the server has no 5]";
    Persistent 'c' "disable-clean-session" flag ALL both SESSION "Keep the session after the end; needs -i";
    SessionExpiry 'x' - ("SECONDS", "-x argument given but no session expiry interval specified.") ALL both SESSION "Seconds that the session is kept without a connection, -1 or ∞ for ever [default: with -c for ever]";
    KeepAlive 'k' "keepalive" ("SECONDS", "-k argument given but no keepalive specified.") ALL both SESSION "Seconds of silence before a PINGREQ [default: 60]";
    MaximumInFlight 'M' - ("COUNT", "-M argument given but max_inflight not specified.") ALL both SESSION "QoS 1 and 2 messages on their way at once [default: 1000, or 20 before MQTT 5]";
    Property 'D' "property" property ALL both SESSION "A property of MQTT 5.0: -D PACKET NAME VALUE, or -D PACKET user-property NAME VALUE";
    OptionsFile 'o' - ("FILE", "-o argument given but no options file specified.") ALL both SESSION "File with an option on each line";

    Topic 't' "topic" ("TOPIC", "-t argument given but no topic specified.") ALL both MESSAGE "Topic to publish to, or filter to subscribe to; `sub` takes many";
    ResponseTopic 'e' - ("TOPIC", "-e argument given but no response topic specified.") RR both MESSAGE "Topic that the response is published to";
    Message 'm' "message" ("TEXT", "-m argument given but no message specified.") PUB_RR both MESSAGE "Send this";
    File 'f' "file" ("FILE", "-f argument given but no file specified.") PUB_RR both MESSAGE "Send the contents of a file";
    Lines 'l' "stdin-line" flag PUB both MESSAGE "Send each line of standard input as a message";
    Stdin 's' "stdin-file" flag PUB_RR both MESSAGE "Send all of standard input as a message";
    NullMessage 'n' "null-message" flag PUB_RR both MESSAGE "Send a message without payload";
    QoS 'q' "qos" ("QOS", "-q argument given but no QoS specified.") ALL both MESSAGE "Quality of service: 0, 1 or 2 [default: 0]";
    Retain 'r' "retain" flag PUB both MESSAGE "Have the message retained";
    Repeat - "repeat" ("COUNT", "--repeat argument given but no count specified.") PUB both MESSAGE "Send the message so many times";
    RepeatDelay - "repeat-delay" ("SECONDS", "--repeat-delay argument given but no time specified.") PUB both MESSAGE "Seconds from the end of one to the next [default: 0]";
    UserProperty - "user-property" ("NAME=VALUE", "--user-property argument given but no property specified.") PUB_RR ours MESSAGE "A user property of the message; may be given many times";
    ContentType - "content-type" ("TYPE", "--content-type argument given but no type specified.") PUB_RR ours MESSAGE "What the payload is, such as application/json";
    Expiry - "expiry" ("SECONDS", "--expiry argument given but no time specified.") PUB_RR ours MESSAGE "Seconds after which the message is not delivered any more";
    ResponseTopic - "response-topic" ("TOPIC", "--response-topic argument given but no topic specified.") PUB ours MESSAGE "Where a response is wanted";

    Unsubscribe 'U' "unsubscribe" ("FILTER", "-U argument given but no unsubscribe topic specified.") SUB both SUBSCRIPTION "Filter to unsubscribe from; may be given many times";
    FilterOut 'T' "filter-out" ("FILTER", "-T argument given but no topic filter specified.") SUB both SUBSCRIPTION "Do not print what matches; may be given many times";
    Count 'C' - ("COUNT", "-C argument given but no count specified.") SUB both SUBSCRIPTION "End after so many messages";
    Timeout 'W' - ("SECONDS", "-W argument given but no timeout specified.") SUB_RR both SUBSCRIPTION "End after so many seconds, with exit code 27";
    ExitAfterSubscribe 'E' - flag SUB both SUBSCRIPTION "End when the subscriptions are made";
    NoRetained 'R' - flag SUB_RR both SUBSCRIPTION "Leave out messages that were retained";
    RetainedOnly - "retained-only" flag SUB both SUBSCRIPTION "End at the first message that was not retained";
    RemoveRetained - "remove-retained" flag SUB both SUBSCRIPTION "Clear the retained messages that arrive";
    RetainAsPublished - "retain-as-published" flag SUB_RR both SUBSCRIPTION "Show the retain flag as the publisher had it";
    RetainHandling - "retain-handling" ("WHEN", "--retain-handling argument given but no value specified.") SUB ours SUBSCRIPTION "Retained messages at the start: 0 all, 1 if the subscription is new, 2 none";
    NoLocal - "no-local" flag SUB ours SUBSCRIPTION "Leave out what this client has published itself";
    Share - "share" ("GROUP", "--share argument given but no group specified.") SUB ours SUBSCRIPTION "Share the messages with the others of a group";

    Verbose 'v' "verbose" flag SUB_RR both OUTPUT "Print the topic before the payload";
    Format 'F' - ("FORMAT", "-F argument given but no format specified.") SUB_RR both OUTPUT "Print like this, such as '%I %t %p'; %j is JSON, @ begins a conversion of strftime";
    Json - "json" flag SUB_RR ours OUTPUT "Print a line of JSON for each message";
    Pretty - "pretty" flag SUB_RR both OUTPUT "Print JSON for people";
    NoEndOfLine 'N' - flag SUB_RR both OUTPUT "Print no line end after a message";
    RandomFilter - "random-filter" ("PERCENT", "--random-filter argument given but no chance specified.") SUB both OUTPUT "Print so many percent of the messages";
    Debug 'd' "debug" flag ALL both OUTPUT "Tell what is sent and received";
    Quiet - "quiet" flag ALL both OUTPUT "Tell of no errors";

    WillTopic - "will-topic" ("TOPIC", "--will-topic argument given but no will topic specified.") ALL both WILL "Topic of the message that the server publishes if the connection is lost";
    WillPayload - "will-payload" ("TEXT", "--will-payload argument given but no will payload specified.") ALL both WILL "Payload of the will";
    WillQoS - "will-qos" ("QOS", "--will-qos argument given but no will QoS specified.") ALL both WILL "Quality of service of the will [default: 0]";
    WillRetain - "will-retain" flag ALL both WILL "Have the will retained";

    CaFile - "cafile" ("FILE", "--cafile argument given but no file specified.") ALL both TLS "Connect with TLS, and trust the certificates in this PEM file [env: MQTT_CAFILE]";
    CaPath - "capath" ("DIRECTORY", "--capath argument given but no directory specified.") ALL both TLS "Connect with TLS, and trust the certificates in the PEM files of this directory";
    OsCertificates - "tls-use-os-certs" flag ALL both TLS "Connect with TLS, and trust what the system trusts";
    Certificate - "cert" ("FILE", "--cert argument given but no file specified.") ALL both TLS "PEM file with the client's certificate; needs --key";
    Key - "key" ("FILE", "--key argument given but no file specified.") ALL both TLS "PEM file with the client's private key";
    Insecure - "insecure" flag ALL both TLS "Connect with TLS to a server that cannot prove who it is; for tests only";
    TlsVersion - "tls-version" ("VERSION", "--tls-version argument given but no version specified.") ALL both TLS "Lowest version of TLS: tlsv1.3 or tlsv1.2 [default: tlsv1.2]";
    TlsAlpn - "tls-alpn" ("PROTOCOL", "--tls-alpn argument given but no protocol specified.") ALL both TLS "Protocol to ask for in the TLS handshake";
    Ciphers - "ciphers" ("LIST", "--ciphers argument given but no ciphers specified.") ALL (NO_CIPHERS) TLS "Not supported: OpenSSL's ciphers";
    KeyForm - "keyform" ("FORM", "--keyform argument given but no keyform specified.") ALL both TLS "Form of the key: pem";
    TlsEngine - "tls-engine" ("ENGINE", "--tls-engine argument given but no engine_id specified.") ALL (NO_ENGINE) TLS "Not supported: OpenSSL's engines";
    TlsEnginePassword - "tls-engine-kpass-sha1" ("HASH", "--tls-engine-kpass-sha1 argument given but no kpass sha1 specified.") ALL (NO_ENGINE) TLS "Not supported: OpenSSL's engines";
    Psk - "psk" ("KEY", "--psk argument given but no key specified.") ALL (NO_PSK) TLS "Not supported: pre-shared keys";
    PskIdentity - "psk-identity" ("IDENTITY", "--psk-identity argument given but no identity specified.") ALL (NO_PSK) TLS "Not supported: pre-shared keys";

    Help - "help" flag ALL both OUTPUT "Print help";
    ProgramVersion - "version" flag ALL both OUTPUT "Print the version";
};

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_name_means_two_options_of_a_program() {
        for program in [Program::Publish, Program::Subscribe, Program::Request] {
            let mut names = HashSet::new();
            for row in rows(program) {
                assert!(row.letter.is_some() || row.long.is_some(), "{row:?}");
                for name in row
                    .letter
                    .map(String::from)
                    .into_iter()
                    .chain(row.long.map(String::from))
                {
                    assert!(names.insert(name), "{row:?}");
                }
            }
        }
    }

    #[test]
    fn an_option_is_found_by_its_whole_name() {
        let found = |argument| find(Program::Publish, argument).map(|row| row.setting);
        assert_eq!(found("-p"), Some(Setting::Port));
        assert_eq!(found("--port"), Some(Setting::Port));
        for unknown in ["-p1", "--por", "-port", "p", "-", "--", "-C", "", "--p"] {
            assert_eq!(found(unknown), None, "{unknown}");
        }
    }
}
