//! What the options ask for, and what is wrong with them in Mosquitto's words.
//!
//! Options are applied one by one, in their order, whether they come from a file, from clap, or from a command line as Mosquitto
//! reads it. A later one overrides; [`Configuration::finish`] checks what can only be seen at the end.

mod url;
mod value;

use std::fmt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use mqtt_codec::{QoS, RetainHandling, TopicFilter, TopicName, Version};

use crate::format::Format;
use crate::option::{KnownTo, Program, Row, Setting};
use crate::property::{PacketProperties, Sections};

/// Whose manners apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Those of Mosquitto's programs, with their defaults and messages.
    Mosquitto,
    /// Ours.
    Native,
}

/// Why the program does not start; one line, which ends up on standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Complaint(pub(crate) String);

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A complaint that begins as all of Mosquitto's do but a few.
pub(crate) fn error(text: impl fmt::Display) -> Complaint {
    Complaint(format!("Error: {text}"))
}

/// All that the options have set.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    pub(crate) program: Program,
    pub(crate) dialect: Dialect,
    flags: Vec<Setting>,
    pub(crate) server: Server,
    pub(crate) tls: TlsFiles,
    pub(crate) client_id: Option<ClientId>,
    pub(crate) user_name: Option<String>,
    pub(crate) password: Option<Vec<u8>>,
    /// What somebody has typed when there was no password.
    pub(crate) typed_password: OnceLock<Vec<u8>>,
    pub(crate) versions: Versions,
    session_expiry: Option<u32>,
    /// Seconds.
    pub(crate) keep_alive: u16,
    pub(crate) maximum_in_flight: Option<u16>,
    pub(crate) will: WillOptions,
    /// In order; a publisher takes the last.
    pub(crate) topics: Vec<String>,
    pub(crate) response_topic: Option<TopicName>,
    pub(crate) content: Option<Content>,
    pub(crate) qos: QoS,
    pub(crate) repeat: u32,
    pub(crate) repeat_delay: Duration,
    pub(crate) unsubscribe: Vec<TopicFilter>,
    pub(crate) filter_out: Vec<TopicFilter>,
    pub(crate) count: Option<u32>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) format: Option<Format>,
    /// Of a thousand messages, how many are printed.
    pub(crate) random_filter: Option<u16>,
    pub(crate) retain_handling: RetainHandling,
    share: Option<String>,
    sections: Sections,
    /// Empty until [`Configuration::finish`].
    pub(crate) properties: PacketProperties,
}

/// Where the server is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server {
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) unix: Option<PathBuf>,
    pub(crate) bind: Option<String>,
    pub(crate) proxy: Option<String>,
}

/// What TLS is to use.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsFiles {
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) ca_path: Option<PathBuf>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) alpn: Option<String>,
    pub(crate) version: Option<String>,
    key_form: bool,
}

/// The client identifier, or what it begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClientId {
    Whole(String),
    Prefix(String),
}

/// The versions of MQTT to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Versions {
    Only(Version),
    /// 5.0, and where the server has it not, 3.1.1.
    Any,
}

impl Versions {
    /// True if 5.0 is asked for, at least at first.
    pub(crate) fn has_properties(self) -> bool {
        match self {
            Self::Only(version) => version.has_properties(),
            Self::Any => true,
        }
    }
}

/// What the options say of the will.
#[derive(Clone, Debug, Default)]
pub(crate) struct WillOptions {
    pub(crate) topic: Option<TopicName>,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) qos: Option<QoS>,
}

/// Where the payload comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Text(Vec<u8>),
    File(PathBuf),
    Lines,
    Stdin,
    Null,
}

impl Configuration {
    /// What holds where no option says otherwise.
    pub(crate) fn new(program: Program, dialect: Dialect) -> Self {
        Self {
            program,
            dialect,
            flags: Vec::new(),
            server: Server::default(),
            tls: TlsFiles::default(),
            client_id: None,
            user_name: None,
            password: None,
            typed_password: OnceLock::new(),
            versions: match (dialect, program) {
                (Dialect::Native, _) => Versions::Any,
                (Dialect::Mosquitto, Program::Request) => Versions::Only(Version::V5),
                (Dialect::Mosquitto, Program::Publish | Program::Subscribe | Program::Retained) => {
                    Versions::Only(Version::V3_1_1)
                }
            },
            session_expiry: None,
            keep_alive: 60,
            maximum_in_flight: match dialect {
                Dialect::Mosquitto => Some(20),
                Dialect::Native => None,
            },
            will: WillOptions::default(),
            topics: Vec::new(),
            response_topic: None,
            content: None,
            qos: QoS::AtMostOnce,
            repeat: 1,
            repeat_delay: Duration::ZERO,
            unsubscribe: Vec::new(),
            filter_out: Vec::new(),
            count: None,
            timeout: None,
            format: None,
            random_filter: None,
            retain_handling: RetainHandling::Send,
            share: None,
            sections: Sections::default(),
            properties: PacketProperties::default(),
        }
    }

    /// What the program is called by.
    pub(crate) fn called(&self) -> String {
        match self.dialect {
            Dialect::Mosquitto => self.program.mosquitto_name().to_owned(),
            Dialect::Native => format!("mqtt {}", self.program.name()),
        }
    }

    /// True if the option was there.
    pub(crate) fn has(&self, flag: Setting) -> bool {
        self.flags.contains(&flag)
    }

    /// Complains of an option before its value is looked for.
    pub(crate) fn admit(&self, row: &Row) -> Result<(), Complaint> {
        if let KnownTo::Refused(why) = row.known_to {
            return Err(error(format_args!("{row}: {why}.")));
        }
        match (row.setting, &self.client_id, &self.content) {
            (Setting::ClientId, Some(ClientId::Prefix(_)), _)
            | (Setting::ClientIdPrefix, Some(ClientId::Whole(_)), _) => {
                Err(error("-i and -I argument cannot be used together."))
            }
            (
                Setting::Message
                | Setting::File
                | Setting::Lines
                | Setting::Stdin
                | Setting::NullMessage,
                _,
                Some(_),
            ) => Err(error("Only one type of message can be sent at once.")),
            _ => Ok(()),
        }
    }

    /// Applies an option that stands alone.
    pub(crate) fn flag(&mut self, setting: Setting) {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "all others are only looked up"
        )]
        match setting {
            Setting::Lines => self.content = Some(Content::Lines),
            Setting::Stdin => self.content = Some(Content::Stdin),
            Setting::NullMessage => self.content = Some(Content::Null),
            other => self.flags.push(other),
        }
    }

    /// Applies `-D` with what follows it.
    pub(crate) fn property(&mut self, arguments: &[&[u8]]) -> Result<(), Complaint> {
        self.sections.add(arguments).map_err(error)?;
        self.versions = Versions::Only(Version::V5);
        Ok(())
    }
}

impl Configuration {
    /// Checks what the options are together, and makes the properties.
    pub(crate) fn finish(mut self) -> Result<Self, Complaint> {
        self.check_will_and_tls()?;
        self.check_session()?;
        // Natively it is enough to unsubscribe.
        let has_filter = !self.topics.is_empty()
            || (self.dialect == Dialect::Native && !self.unsubscribe.is_empty());
        if self.program == Program::Subscribe && !has_filter {
            return Err(error("You must specify a topic to subscribe to."));
        }
        if let Some(share) = self.share.take() {
            self.share(&share)?;
        }
        if let (Program::Publish, Some(topic)) = (self.program, self.response_topic.clone()) {
            self.sections
                .publish("response-topic", &[topic.as_bytes()])
                .map_err(error)?;
        }
        self.properties = self.sections.check().map_err(Complaint)?;
        Ok(self)
    }

    fn share(&mut self, group: &str) -> Result<(), Complaint> {
        for topic in &mut self.topics {
            *topic = format!("$share/{group}/{topic}");
            let shared = TopicFilter::from_text(topic);
            // A slash would end the group, and make the rest of it part of the filter.
            shared
                .ok()
                .filter(|_| !group.contains('/'))
                .ok_or_else(|| {
                    error(format_args!(
                        "Invalid group '{group}', does it contain '/', '+' or '#'?"
                    ))
                })?;
        }
        Ok(())
    }

    fn check_will_and_tls(&self) -> Result<(), Complaint> {
        let tls = &self.tls;
        let wrong = if self.will.topic.is_none() && self.will.payload.is_some() {
            "Will payload given, but no will topic given."
        } else if self.will.topic.is_none() && self.has(Setting::WillRetain) {
            "Will retain given, but no will topic given."
        } else if tls.certificate.is_some() != tls.key.is_some() {
            "Both certfile and keyfile must be provided if one of them is set."
        } else if tls.key_form && tls.key.is_none() {
            "If keyform is set, keyfile must be also specified."
        } else {
            return Ok(());
        };
        Err(error(wrong))
    }

    fn check_session(&mut self) -> Result<(), Complaint> {
        let persistent = self.has(Setting::Persistent);
        let named = matches!(self.client_id, Some(ClientId::Whole(_)));
        if !self.versions.has_properties() {
            if persistent && !named {
                return Err(error(
                    "You must provide a client id if you are using the -c option.",
                ));
            }
            return Ok(());
        }
        let expiry = self
            .session_expiry
            .or(persistent.then_some(u32::MAX))
            .unwrap_or(0);
        if expiry == u32::MAX && !named {
            return Err(error(
                "You must provide a client id if you are using an infinite session expiry interval.",
            ));
        }
        if expiry > 0 {
            let value = expiry.to_string();
            let arguments: [&[u8]; 3] = [b"connect", b"session-expiry-interval", value.as_bytes()];
            self.sections.add(&arguments).map_err(error)?;
        }
        Ok(())
    }
}
