//! From options to a client: which server, by which transport, as whom, with which session.

mod failure;
mod password;
mod run;

use std::net::{IpAddr, ToSocketAddrs as _};
use std::time::Duration;

use bytes::Bytes;
use mqtt_client::session::{Credentials, Offline};
use mqtt_client::transport::{Proxy, Tls, TlsError, TlsVersion, TransportOptions};
use mqtt_client::{Address, Builder, Message, Properties, Property, QoS, TopicName, Version, Will};

pub(crate) use self::failure::{Failure, reason_words};
pub(crate) use self::run::{Interrupts, WillAtEnd, connect, disconnect, lost, run};
use crate::configuration::{ClientId, Complaint, Configuration, Content, Dialect, Versions, error};
use crate::option::Setting;

/// How many topic aliases are used towards the server, if it takes so many.
const OWN_TOPIC_ALIASES: u16 = 64;
/// The path that a WebSocket is opened with.
const WEBSOCKET_PATH: &str = "/mqtt";

/// A client that is about to connect as the options say.
pub(crate) fn builder(configuration: &Configuration) -> Result<Builder, Complaint> {
    let mut builder = Builder::new()
        .address(address(configuration)?)
        .transport_options(transport(configuration)?)
        .client_id(&client_id(configuration)?)
        .keep_alive(Duration::from_secs(configuration.keep_alive.into()));
    if let Some(messages) = configuration.maximum_in_flight {
        builder = builder.in_flight_max(messages);
    }
    if let Versions::Only(version) = configuration.versions {
        builder = builder.version(version);
    }
    if let Some(will) = will(configuration) {
        builder = builder.will(will);
    }
    if configuration.content == Some(Content::Lines) {
        // Where lines go on after a loss, none may be missing, whatever their QoS.
        builder = builder.offline_qos0(Offline::Queue);
    }
    builder = session(configuration, builder);
    authenticated(configuration, builder)
}

fn address(configuration: &Configuration) -> Result<Address, Complaint> {
    let server = &configuration.server;
    if let Some(path) = &server.unix {
        return Ok(Address::unix(path));
    }
    let host = server.host.as_deref().unwrap_or("localhost");
    let tls = wants_tls(configuration);
    let websocket = configuration.has(Setting::WebSocket);
    let port = server
        .port
        .unwrap_or_else(|| default_port(configuration, tls));
    let address = match (websocket, tls) {
        (false, false) => Address::tcp(host, port),
        (false, true) => Address::tls(host, port),
        (true, false) => Address::websocket(host, port, WEBSOCKET_PATH),
        (true, true) => Address::secure_websocket(host, port, WEBSOCKET_PATH),
    };
    address.map_err(error)
}

/// Mosquitto's programs stay with port 1883 if the system's certificates are asked for.
fn default_port(configuration: &Configuration, tls: bool) -> u16 {
    let files = configuration.tls.ca_file.is_some() || configuration.tls.ca_path.is_some();
    match configuration.dialect {
        Dialect::Native if tls => 8883,
        Dialect::Mosquitto if files => 8883,
        Dialect::Native | Dialect::Mosquitto => 1883,
    }
}

fn wants_tls(configuration: &Configuration) -> bool {
    let tls = &configuration.tls;
    let asked = tls.ca_file.is_some()
        || tls.ca_path.is_some()
        || configuration.has(Setting::OsCertificates)
        || configuration.server.port == Some(8883);
    // What only makes sense with TLS asks for it, but not where Mosquitto does not think so.
    let meant = configuration.dialect == Dialect::Native
        && (configuration.has(Setting::Insecure) || tls.certificate.is_some());
    asked || meant
}

fn transport(configuration: &Configuration) -> Result<TransportOptions, Complaint> {
    let mut options = TransportOptions::default();
    if let Some(url) = &configuration.server.proxy {
        options = options.proxy(url.parse::<Proxy>().map_err(error)?);
    }
    if let Some(host) = &configuration.server.bind {
        options = options.bind(local_address(host)?);
    }
    if wants_tls(configuration) {
        options = options.tls(tls(configuration)?);
    } else if configuration.tls.version.is_some() {
        tls_version(configuration)?;
    }
    Ok(options)
}

fn local_address(host: &str) -> Result<IpAddr, Complaint> {
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    let found = (host, 0)
        .to_socket_addrs()
        .ok()
        .and_then(|mut all| all.next());
    found
        .map(|address| address.ip())
        .ok_or_else(|| Complaint("Unable to connect (Lookup error.).".to_owned()))
}

fn tls(configuration: &Configuration) -> Result<Tls, Complaint> {
    let files = &configuration.tls;
    let named = files.ca_file.is_some() || files.ca_path.is_some();
    let mut tls = match named && !configuration.has(Setting::OsCertificates) {
        true => Tls::no_roots(),
        false => Tls::native_roots(),
    };
    let wrong = |cause: TlsError| tls_problem(configuration.dialect, &cause);
    if let Some(path) = &files.ca_file {
        tls = tls.roots_file(path).map_err(wrong)?;
    }
    if let Some(path) = &files.ca_path {
        tls = tls.roots_directory(path).map_err(wrong)?;
    }
    if let (Some(certificate), Some(key)) = (&files.certificate, &files.key) {
        tls = tls.identity_files(certificate, key).map_err(wrong)?;
    }
    if let Some(protocol) = &files.alpn {
        tls = tls.alpn([protocol.as_str()]);
    }
    tls = tls.version_min(tls_version(configuration)?);
    if configuration.has(Setting::Insecure) {
        // Mosquitto's programs still want to know the authority, only not the name.
        tls = match configuration.dialect {
            Dialect::Mosquitto => tls.danger_accept_any_name(),
            Dialect::Native => tls.danger_accept_any_certificate(),
        };
    }
    Ok(tls)
}

/// Mosquitto begins the line in its own way; what is wrong with which file follows on another.
fn tls_problem(dialect: Dialect, cause: &TlsError) -> Complaint {
    match (dialect, cause) {
        (Dialect::Mosquitto, TlsError::File { .. }) => error(format_args!(
            "Problem setting TLS options: File not found.\n{cause}."
        )),
        (Dialect::Mosquitto, _) => error(format_args!("Problem setting TLS options: {cause}.")),
        (Dialect::Native, _) => error(format_args!("{cause}.")),
    }
}

fn tls_version(configuration: &Configuration) -> Result<TlsVersion, Complaint> {
    match configuration.tls.version.as_deref() {
        None | Some("tlsv1.2") => Ok(TlsVersion::V1_2),
        Some("tlsv1.3") => Ok(TlsVersion::V1_3),
        Some("tlsv1.1" | "tlsv1") => Err(error("TLS before 1.2 is not safe, and not supported.")),
        Some(_) => Err(error(
            "Problem setting TLS options, check the options are valid.",
        )),
    }
}

fn client_id(configuration: &Configuration) -> Result<String, Complaint> {
    match &configuration.client_id {
        Some(ClientId::Whole(id))
            if id.is_empty() && configuration.dialect == Dialect::Mosquitto =>
        {
            Err(error("Invalid id."))
        }
        Some(ClientId::Whole(id)) => Ok(id.clone()),
        Some(ClientId::Prefix(prefix)) => Ok(format!("{prefix}{}", std::process::id())),
        None => Ok(String::new()),
    }
}

fn will(configuration: &Configuration) -> Option<Will> {
    let options = &configuration.will;
    let properties = &configuration.properties.will;
    let delay = properties.will_delay_interval().unwrap_or_default();
    let topic: TopicName = options.topic.clone()?;
    Some(Will {
        message: Message {
            topic,
            payload: options.payload.clone().unwrap_or_default().into(),
            qos: options.qos.unwrap_or(QoS::AtMostOnce),
            retain: configuration.has(Setting::WillRetain),
            dup: false,
            properties: properties
                .without(|property| matches!(property, Property::WillDelayInterval(_))),
        },
        delay: Duration::from_secs(delay.into()),
    })
}

fn session(configuration: &Configuration, builder: Builder) -> Builder {
    let properties = &configuration.properties.connect;
    let persistent = configuration.has(Setting::Persistent);
    let expiry = match (properties.session_expiry_interval(), persistent) {
        (Some(u32::MAX), _) | (None, true) => Some(Duration::MAX),
        (Some(seconds), _) => Some(Duration::from_secs(seconds.into())),
        (None, false) => None,
    };
    let mut builder = builder
        .clean_start(!persistent)
        .connect_properties(others(properties));
    match (expiry, configuration.dialect) {
        (Some(expiry), _) => builder = builder.session_expiry(expiry),
        // Mosquitto's programs have a session for no longer than a connection.
        (None, Dialect::Mosquitto) => builder = builder.session_expiry(Duration::ZERO),
        // The library's default outlasts a short loss of the network.
        (None, Dialect::Native) => {}
    }
    if let Some(maximum) = properties.receive_maximum() {
        builder = builder.receive_maximum(maximum);
    }
    if let Some(bytes) = properties.maximum_packet_size() {
        builder = builder.packet_bytes_max(usize::try_from(bytes).unwrap_or(usize::MAX));
    }
    if let Some(maximum) = properties.topic_alias_maximum() {
        builder = builder.topic_aliases(maximum, OWN_TOPIC_ALIASES);
    }
    builder
}

/// The properties of a CONNECT that the builder does not set by another name.
fn others(properties: &Properties) -> Properties {
    properties.without(|property| {
        matches!(
            property,
            Property::SessionExpiryInterval(_)
                | Property::ReceiveMaximum(_)
                | Property::MaximumPacketSize(_)
                | Property::TopicAliasMaximum(_)
        )
    })
}

fn authenticated(configuration: &Configuration, builder: Builder) -> Result<Builder, Complaint> {
    let typed = configuration.typed_password.get();
    let password = configuration.password.as_ref().or(typed).cloned();
    match (&configuration.user_name, password) {
        (None, None) => Ok(builder),
        // Before 5.0 a password belongs to a user.
        (None, Some(_)) if !configuration.versions.has_properties() => {
            Err(error("Problem setting username and/or password."))
        }
        (user, password) => {
            let credentials = Credentials {
                user_name: user.clone(),
                password: password.map(Bytes::from),
                ..Credentials::default()
            };
            Ok(builder.credentials_from(move || std::future::ready(Ok(credentials.clone()))))
        }
    }
}

/// The version that is spoken, as far as the options say.
fn version(configuration: &Configuration) -> Version {
    match configuration.versions {
        Versions::Only(version) => version,
        Versions::Any => Version::V5,
    }
}
