//! Options with values: what each value must be, and what it sets.

use std::ffi::OsStr;
use std::time::Duration;

use mqtt_codec::{DecodeError, QoS, RetainHandling, TopicFilter, TopicName, Version};

use super::{ClientId, Complaint, Configuration, Content, Dialect, Versions, error};
use crate::format::Format;
use crate::option::{Program, Row, Setting};
use crate::property::integer;

impl Configuration {
    /// Applies an option with its value.
    pub(crate) fn value(&mut self, row: &Row, value: &OsStr) -> Result<(), Complaint> {
        match row.heading_of() {
            Part::Server => self.server_value(row, value),
            Part::Session => self.session_value(row, value),
            Part::Message => self.message_value(row, value),
            Part::Subscription => self.subscription_value(row, value),
            Part::Tls => self.tls_value(row, value),
        }
    }
}

/// Which of the functions below knows the setting.
enum Part {
    Server,
    Session,
    Message,
    Subscription,
    Tls,
}

impl Row {
    fn heading_of(&self) -> Part {
        #[expect(clippy::wildcard_enum_match_arm, reason = "flags have no value")]
        match self.setting {
            Setting::Host
            | Setting::Port
            | Setting::Url
            | Setting::Unix
            | Setting::Proxy
            | Setting::BindAddress
            | Setting::UserName
            | Setting::Password
            | Setting::PasswordFile => Part::Server,
            Setting::CaFile
            | Setting::CaPath
            | Setting::Certificate
            | Setting::Key
            | Setting::KeyForm
            | Setting::TlsVersion
            | Setting::TlsAlpn => Part::Tls,
            Setting::ClientId
            | Setting::ClientIdPrefix
            | Setting::ProtocolVersion
            | Setting::SessionExpiry
            | Setting::KeepAlive
            | Setting::MaximumInFlight
            | Setting::WillTopic
            | Setting::WillPayload
            | Setting::WillQoS => Part::Session,
            Setting::Topic
            | Setting::ResponseTopic
            | Setting::Message
            | Setting::File
            | Setting::QoS
            | Setting::Repeat
            | Setting::RepeatDelay
            | Setting::UserProperty
            | Setting::ContentType
            | Setting::Expiry => Part::Message,
            _ => Part::Subscription,
        }
    }
}

impl Configuration {
    fn server_value(&mut self, row: &Row, value: &OsStr) -> Result<(), Complaint> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the others are of other parts"
        )]
        match row.setting {
            Setting::Host => self.server.host = Some(text(row, value)?),
            Setting::Port => {
                let port = self.number(value);
                self.server.port = Some(u16::try_from(port.unwrap_or(-1)).map_err(|_| {
                    error(format_args!("Invalid port given: {}", shown(port, value)))
                })?);
            }
            Setting::Url => self.url(value)?,
            Setting::Unix => self.server.unix = Some(value.into()),
            Setting::Proxy => self.server.proxy = Some(self.proxy(&text(row, value)?)?),
            Setting::BindAddress => self.server.bind = Some(text(row, value)?),
            Setting::UserName => self.user_name = Some(text(row, value)?),
            Setting::Password => self.password = Some(value.as_encoded_bytes().to_vec()),
            Setting::PasswordFile => self.password = Some(first_line(value)?),
            _ => {}
        }
        Ok(())
    }

    fn tls_value(&mut self, row: &Row, value: &OsStr) -> Result<(), Complaint> {
        let tls = &mut self.tls;
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the others are of other parts"
        )]
        match row.setting {
            Setting::CaFile => tls.ca_file = Some(value.into()),
            Setting::CaPath => tls.ca_path = Some(value.into()),
            Setting::Certificate => tls.certificate = Some(value.into()),
            Setting::Key => tls.key = Some(value.into()),
            Setting::KeyForm => {
                if value != "pem" {
                    return Err(error("Problem setting key form, it must be 'pem'."));
                }
                tls.key_form = true;
            }
            Setting::TlsVersion => tls.version = Some(text(row, value)?),
            Setting::TlsAlpn => tls.alpn = Some(text(row, value)?),
            _ => {}
        }
        Ok(())
    }

    fn session_value(&mut self, row: &Row, value: &OsStr) -> Result<(), Complaint> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the others are of other parts"
        )]
        match row.setting {
            Setting::ClientId => self.client_id = Some(ClientId::Whole(text(row, value)?)),
            Setting::ClientIdPrefix => self.client_id = Some(ClientId::Prefix(text(row, value)?)),
            Setting::ProtocolVersion => {
                self.versions = Versions::Only(match value.to_str() {
                    Some("mqttv5" | "5") => Version::V5,
                    Some("mqttv311" | "311") => Version::V3_1_1,
                    Some("mqttv31" | "31") => Version::V3_1,
                    Some("4" | "3.1.1") if self.dialect == Dialect::Native => Version::V3_1_1,
                    Some("3" | "3.1") if self.dialect == Dialect::Native => Version::V3_1,
                    Some("5.0") if self.dialect == Dialect::Native => Version::V5,
                    Some(_) | None => {
                        return Err(error("Invalid protocol version argument given."));
                    }
                });
            }
            Setting::SessionExpiry => self.session_expiry = Some(session_expiry(value)?),
            Setting::KeepAlive => self.keep_alive = self.keep_alive(value)?,
            Setting::MaximumInFlight => {
                let count = self.number(value).filter(|count| *count >= 1);
                let count =
                    count.ok_or(error("Maximum inflight messages must be greater than 0."))?;
                self.maximum_in_flight = Some(u16::try_from(count).unwrap_or(u16::MAX));
            }
            Setting::WillTopic => {
                let topic = utf8(value, "--will-topic")?;
                self.will.topic = Some(TopicName::from_text(topic).map_err(|_| {
                    error(format_args!(
                        "Invalid will topic '{topic}', does it contain '+' or '#'?"
                    ))
                })?);
            }
            Setting::WillPayload => self.will.payload = Some(value.as_encoded_bytes().to_vec()),
            Setting::WillQoS => {
                let number = self.number(value);
                let wrong = || error(format_args!("Invalid will QoS {}.", shown(number, value)));
                self.will.qos = Some(quality(number).ok_or_else(wrong)?);
            }
            _ => {}
        }
        Ok(())
    }

    fn message_value(&mut self, row: &Row, value: &OsStr) -> Result<(), Complaint> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the others are of other parts"
        )]
        match row.setting {
            Setting::Topic => self.topic(utf8(value, "-t")?)?,
            Setting::ResponseTopic => {
                let topic = utf8(value, &row.to_string())?;
                self.response_topic = Some(TopicName::from_text(topic).map_err(|_| {
                    error(format_args!(
                        "Invalid response topic '{topic}', does it contain '+' or '#'?"
                    ))
                })?);
            }
            Setting::Message => {
                self.content = Some(Content::Text(value.as_encoded_bytes().to_vec()))
            }
            Setting::File => self.content = Some(Content::File(value.into())),
            Setting::QoS => {
                let number = self.number(value);
                let wrong = || error(format_args!("Invalid QoS given: {}", shown(number, value)));
                self.qos = quality(number).ok_or_else(wrong)?;
            }
            Setting::Repeat => {
                let count = self.number(value).filter(|count| *count >= 1);
                let count = count.ok_or(error("--repeat argument must be >0."))?;
                self.repeat = u32::try_from(count).unwrap_or(u32::MAX);
            }
            Setting::RepeatDelay => {
                let seconds = seconds(value).filter(|seconds| *seconds >= 0.0);
                let seconds = seconds.ok_or(error("--repeat-delay argument must be >=0.0."))?;
                self.repeat_delay = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
            }
            Setting::UserProperty => {
                let (name, property) = utf8(value, "--user-property")?
                    .split_once('=')
                    .ok_or(error("--user-property wants NAME=VALUE."))?;
                self.sections
                    .publish("user-property", &[name.as_bytes(), property.as_bytes()])
                    .map_err(error)?;
            }
            Setting::ContentType => {
                self.sections
                    .publish("content-type", &[value.as_encoded_bytes()])
                    .map_err(error)?;
            }
            Setting::Expiry => {
                if self.number(value).is_none() {
                    return Err(error("--expiry wants a number of seconds."));
                }
                self.sections
                    .publish("message-expiry-interval", &[value.as_encoded_bytes()])
                    .map_err(error)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn subscription_value(&mut self, row: &Row, value: &OsStr) -> Result<(), Complaint> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the others are of other parts"
        )]
        match row.setting {
            Setting::Unsubscribe => self.unsubscribe.push(filter(value, "-U", "unsubscribe")?),
            Setting::FilterOut => self.filter_out.push(filter(value, "-T", "filter")?),
            Setting::Count => {
                let number = self.number(value);
                let wrong = || {
                    error(format_args!(
                        "Invalid message count \"{}\".",
                        shown(number, value)
                    ))
                };
                let count = number.filter(|count| *count >= 1).ok_or_else(wrong)?;
                self.count = Some(u32::try_from(count).unwrap_or(u32::MAX));
            }
            Setting::Timeout => {
                let number = self.number(value);
                let wrong = || {
                    error(format_args!(
                        "Invalid timeout \"{}\".",
                        shown(number, value)
                    ))
                };
                let seconds = number.filter(|seconds| *seconds >= 1).ok_or_else(wrong)?;
                self.timeout = Some(Duration::from_secs(seconds.unsigned_abs()));
            }
            Setting::RandomFilter => {
                let chance = seconds(value).filter(|chance| (0.1..=100.0).contains(chance));
                let chance =
                    chance.ok_or(error("--random-filter chance must be between 0.1-100.0"))?;
                // Between 1 and 1000.
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "checked above"
                )]
                {
                    self.random_filter = Some((chance * 10.0).round() as u16);
                }
            }
            Setting::RetainHandling => {
                self.retain_handling = match value.to_str() {
                    Some("0") => RetainHandling::Send,
                    Some("1") => RetainHandling::SendIfNew,
                    Some("2") => RetainHandling::DoNotSend,
                    Some(_) | None => return Err(error("--retain-handling wants 0, 1 or 2.")),
                };
            }
            Setting::Share => self.share = Some(utf8(value, "--share")?.to_owned()),
            Setting::Format => {
                let format = Format::parse(value.as_encoded_bytes()).map_err(error)?;
                self.format = Some(format);
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn topic(&mut self, topic: &str) -> Result<(), Complaint> {
        // An empty one is refused later, and differently: Mosquitto's library finds it, not its program.
        match self.program {
            Program::Publish | Program::Request => match TopicName::from_text(topic) {
                Ok(_) | Err(DecodeError::TopicEmpty) => {}
                Err(_) => {
                    return Err(error(format_args!(
                        "Invalid publish topic '{topic}', does it contain '+' or '#'?"
                    )));
                }
            },
            Program::Subscribe | Program::Retained => match TopicFilter::from_text(topic) {
                Ok(_) => {}
                Err(_) => {
                    return Err(error(format_args!(
                        "Invalid subscription topic '{topic}', are all '+' and '#' wildcards correct?"
                    )));
                }
            },
        }
        self.topics.push(topic.to_owned());
        Ok(())
    }

    /// A number as C reads it, or natively one that is a number as a whole.
    fn number(&self, value: &OsStr) -> Option<i64> {
        match self.dialect {
            Dialect::Mosquitto => Some(integer(value.as_encoded_bytes())),
            Dialect::Native => value.to_str()?.parse().ok(),
        }
    }

    fn keep_alive(&self, value: &OsStr) -> Result<u16, Complaint> {
        let seconds = self
            .number(value)
            .and_then(|seconds| u16::try_from(seconds).ok());
        match self.dialect {
            Dialect::Mosquitto => seconds.filter(|seconds| *seconds >= 5).ok_or(error(
                "Invalid keepalive given, it must be between 5 and 65535 inclusive.",
            )),
            Dialect::Native => seconds.ok_or(error(
                "Invalid keepalive given, it must be between 0 and 65535.",
            )),
        }
    }
}

fn shown(number: Option<i64>, value: &OsStr) -> String {
    number.map_or_else(
        || value.to_string_lossy().into_owned(),
        |number| number.to_string(),
    )
}

fn quality(number: Option<i64>) -> Option<QoS> {
    match number {
        Some(0) => Some(QoS::AtMostOnce),
        Some(1) => Some(QoS::AtLeastOnce),
        Some(2) => Some(QoS::ExactlyOnce),
        Some(_) | None => None,
    }
}

fn seconds(value: &OsStr) -> Option<f64> {
    value.to_str()?.trim().parse().ok()
}

fn session_expiry(value: &OsStr) -> Result<u32, Complaint> {
    let not_a_number = error("session-expiry-interval not a number.");
    let text = value.to_str().ok_or(not_a_number.clone())?;
    if text == "∞" {
        return Ok(u32::MAX);
    }
    match text.parse::<i64>().map_err(|_| not_a_number)? {
        // A convenient way to say for ever.
        -1 => Ok(u32::MAX),
        number => u32::try_from(number).map_err(|_| error("session-expiry-interval out of range.")),
    }
}

fn text(row: &Row, value: &OsStr) -> Result<String, Complaint> {
    utf8(value, &row.to_string()).map(str::to_owned)
}

fn utf8<'a>(value: &'a OsStr, option: &str) -> Result<&'a str, Complaint> {
    value
        .to_str()
        .ok_or_else(|| error(format_args!("Malformed UTF-8 in {option} argument.")))
}

fn filter(value: &OsStr, option: &str, what: &str) -> Result<TopicFilter, Complaint> {
    let text = utf8(value, option)?;
    TopicFilter::from_text(text).map_err(|_| {
        error(format_args!(
            "Invalid {what} topic '{text}', are all '+' and '#' wildcards correct?"
        ))
    })
}

fn first_line(path: &OsStr) -> Result<Vec<u8>, Complaint> {
    let content = std::fs::read(path).map_err(|cause| {
        error(format_args!(
            "Unable to read the password file {}: {cause}.",
            path.display()
        ))
    })?;
    let line = content
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    Ok(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
}
