//! Enhanced authentication: AUTH, at the beginning and again later (5.0).

use bytes::Bytes;
use mqtt_codec::{Auth, ConnAck, Packet, Properties, Property, ReasonCode, Text};

use super::Session;
use super::event::{AuthenticationStep, Event};
use super::link::Reauthentication;
use super::phase::{After, Phase};
use crate::{AuthenticationError, ConnectionError, Ended, Error, Instant, Violation};

/// What an answer of the authenticator is for.
enum Awaiting {
    Challenge,
    ConnAck(Box<ConnAck>),
    Finish,
    Nothing,
}

impl Session {
    /// The answer to [`Event::Authentication`]: data for a challenge, nothing for the end. An error ends
    /// the client: the server is not the one that knows our secret, or we do not know it.
    pub fn handle_authentication(
        &mut self,
        now: Instant,
        answer: Result<Option<Vec<u8>>, AuthenticationError>,
    ) {
        let awaiting = self.awaiting();
        let data = match answer {
            Ok(data) => data,
            Err(error) => return self.fail_authentication(now, &awaiting, error),
        };
        match awaiting {
            Awaiting::Challenge => {
                let sent = self.send_auth(ReasonCode::ContinueAuthentication, data.as_deref());
                if let Err(error) = sent {
                    let error = AuthenticationError::failed(error);
                    self.fail_authentication(now, &Awaiting::Challenge, error);
                }
            }
            Awaiting::ConnAck(connack) => {
                if let Err(violation) = self.enter(now, &connack) {
                    self.lose(now, ConnectionError::Violation(violation));
                }
            }
            Awaiting::Finish => {
                if let Phase::Connected(link) = &mut self.phase {
                    link.reauthentication = Reauthentication::None;
                }
                self.events.push_back(Event::Reauthenticated(Ok(())));
            }
            Awaiting::Nothing => {}
        }
    }

    fn awaiting(&mut self) -> Awaiting {
        match &mut self.phase {
            Phase::Connecting(connecting) if connecting.method.is_some() => {
                match connecting.connack.take() {
                    Some(connack) => Awaiting::ConnAck(connack),
                    None => Awaiting::Challenge,
                }
            }
            Phase::Connected(link) => match link.reauthentication {
                Reauthentication::UnderWay => Awaiting::Challenge,
                Reauthentication::Finishing => Awaiting::Finish,
                Reauthentication::None => Awaiting::Nothing,
            },
            Phase::Connecting(_)
            | Phase::Waiting { .. }
            | Phase::Opening
            | Phase::Closing(_)
            | Phase::Ended(_) => Awaiting::Nothing,
        }
    }

    /// `[MQTT-4.12.1-2]`
    fn fail_authentication(
        &mut self,
        now: Instant,
        awaiting: &Awaiting,
        error: AuthenticationError,
    ) {
        let ended = Ended::Connection(ConnectionError::Authentication(error));
        match awaiting {
            Awaiting::Nothing => {}
            Awaiting::ConnAck(_) => self.end(now, ended),
            Awaiting::Challenge | Awaiting::Finish => {
                if matches!(self.phase, Phase::Connected(_)) {
                    self.close(ReasonCode::UnspecifiedError, After::End(ended));
                } else {
                    self.end(now, ended);
                }
            }
        }
    }

    /// Begins a new authentication on a connection that has one, with the same method. The answer is
    /// [`Event::Reauthenticated`].
    ///
    /// # Errors
    /// [`Error::Offline`]; [`Error::Unsupported`] where the connection was made without a method, or another
    /// re-authentication is under way; [`Error::TooLarge`]. `[MQTT-4.12.1-1]`
    pub fn reauthenticate(&mut self, _: Instant, data: Option<&[u8]>) -> Result<(), Error> {
        self.takes_calls()?;
        let Phase::Connected(link) = &self.phase else {
            return Err(Error::Offline);
        };
        if link.method.is_none() || link.reauthentication != Reauthentication::None {
            return Err(Error::Unsupported("a new authentication now"));
        }
        self.send_auth(ReasonCode::ReAuthenticate, data)?;
        if let Phase::Connected(link) = &mut self.phase {
            link.reauthentication = Reauthentication::UnderWay;
        }
        Ok(())
    }

    /// Nothing without a method, and nothing that the server does not take: neither has it a reason string.
    /// `[MQTT-3.2.2-15]` `[MQTT-3.15.2-2]` `[MQTT-3.15.2-3]` `[MQTT-4.12.0-3]` `[MQTT-4.12.0-5]`
    /// `[MQTT-4.12.0-7]`
    fn send_auth(&mut self, reason: ReasonCode, data: Option<&[u8]>) -> Result<(), Error> {
        let (method, bytes_max) = match &self.phase {
            Phase::Connecting(connecting) => (&connecting.method, usize::MAX),
            Phase::Connected(link) => (&link.method, link.agreed.packet_bytes_max),
            Phase::Waiting { .. } | Phase::Opening | Phase::Closing(_) | Phase::Ended(_) => {
                return Ok(());
            }
        };
        let Some(method) = method else {
            return Ok(());
        };
        let method = Text::from_string(&**method).map_err(Error::Encode)?;
        let method = Property::AuthenticationMethod(method.as_view());
        let data = data.map(Property::AuthenticationData);
        let properties =
            Properties::new(std::iter::once(method).chain(data)).map_err(Error::Encode)?;
        let packet = Packet::Auth(Auth { reason, properties });
        let mut encoded = Vec::new();
        packet
            .encode(self.protocol.version, &mut encoded)
            .map_err(Error::Encode)?;
        let bytes = encoded.len();
        if bytes > bytes_max {
            return Err(Error::TooLarge { bytes, bytes_max });
        }
        self.control.push(packet);
        Ok(())
    }

    /// The server is content: the authenticator has the last word.
    pub(super) fn finish_authentication(&mut self, connack: ConnAck) {
        let data = connack
            .properties
            .authentication_data()
            .map(Bytes::copy_from_slice);
        if let Phase::Connecting(connecting) = &mut self.phase {
            connecting.connack = Some(Box::new(connack));
        }
        let finish = AuthenticationStep::Finish(data);
        self.events.push_back(Event::Authentication(finish));
    }

    /// AUTH from the server: only within an exchange, and of its method. `[MQTT-4.12.0-5]`
    /// `[MQTT-4.12.0-6]`
    pub(super) fn handle_auth(&mut self, auth: &Auth) -> Result<(), Violation> {
        let (method, is_again) = match &self.phase {
            Phase::Connecting(connecting) if connecting.connack.is_none() => {
                (&connecting.method, false)
            }
            Phase::Connected(link) if link.reauthentication == Reauthentication::UnderWay => {
                (&link.method, true)
            }
            Phase::Connecting(_)
            | Phase::Connected(_)
            | Phase::Waiting { .. }
            | Phase::Opening
            | Phase::Closing(_)
            | Phase::Ended(_) => return Err(Violation::UnexpectedPacket),
        };
        let Some(method) = method else {
            return Err(Violation::UnexpectedPacket);
        };
        let theirs = auth.properties.authentication_method().map(Text::to_str);
        if theirs != Some(method) {
            return Err(Violation::AuthenticationMethod);
        }
        let data = auth
            .properties
            .authentication_data()
            .map(Bytes::copy_from_slice);
        // [MQTT-4.12.0-2]
        let is_challenge = auth.reason == ReasonCode::ContinueAuthentication;
        let step = match (is_challenge, is_again) {
            (true, _) => AuthenticationStep::Challenge(data.unwrap_or_default()),
            (false, true) if auth.reason == ReasonCode::Success => {
                if let Phase::Connected(link) = &mut self.phase {
                    link.reauthentication = Reauthentication::Finishing;
                }
                AuthenticationStep::Finish(data)
            }
            (false, _) => return Err(Violation::UnexpectedPacket),
        };
        self.events.push_back(Event::Authentication(step));
        Ok(())
    }
}
