//! AUTH and the authority's decisions: a client is let in or not, and may have to prove again who
//! it is.

use bytes::Bytes;
use mqtt_codec::{Auth, Packet, Properties, Property, ReasonCode, Text};

use super::disconnect::Cause;
use super::output::{Output, Release};
use super::{Engine, send};
use crate::authority::{Credentials, Decision, Question};
use crate::state::{Connecting, ConnectionId, Phase};
use crate::{Instant, Violation};

impl Engine {
    /// AUTH: the next step of the authentication, or the first of another one.
    pub(super) fn handle_auth(
        &mut self,
        id: ConnectionId,
        auth: &Auth<&[u8]>,
        out: &mut Output,
    ) -> Result<(), Violation> {
        let Some(connection) = self.connection_mut(id) else {
            return Ok(());
        };
        let again = connection.session().is_some();
        let credentials = match &connection.phase {
            Phase::Exchanging(connecting) => Some(connecting.credentials.clone()),
            Phase::Opened | Phase::Asking(_) | Phase::Connected(_) => {
                connection.credentials.clone()
            }
        };
        // [MQTT-4.12.0-7]
        let credentials = credentials
            .filter(|known| known.method.is_some())
            .ok_or(Violation::AuthUnexpected)?;
        // [MQTT-4.12.0-5] [MQTT-4.12.1-1]
        if auth
            .properties
            .authentication_method()
            .map(|method| method.to_string())
            != credentials.method
        {
            return Err(Violation::AuthMethodChanged);
        }
        // [MQTT-4.12.0-3] [MQTT-4.12.1-1]
        if auth.reason != connection.auth_expected {
            return Err(Violation::AuthReason);
        }
        let data = auth
            .properties
            .authentication_data()
            .map(Bytes::copy_from_slice);
        connection.phase = match std::mem::replace(&mut connection.phase, Phase::Opened) {
            Phase::Exchanging(connecting) => Phase::Asking(connecting),
            other @ (Phase::Opened | Phase::Asking(_) | Phase::Connected(_)) => other,
        };
        out.ask(
            id,
            Question::Authenticate {
                credentials,
                data,
                again,
            },
        );
        Ok(())
    }

    pub(super) fn handle_decided(
        &mut self,
        now: Instant,
        id: ConnectionId,
        decision: Decision,
        out: &mut Output,
    ) {
        let Some(connection) = self.connection_mut(id) else {
            return;
        };
        match std::mem::replace(&mut connection.phase, Phase::Opened) {
            Phase::Asking(connecting) => self.connect_decided(now, id, connecting, decision, out),
            Phase::Connected(session) => {
                connection.phase = Phase::Connected(session);
                self.authenticated_again(now, id, decision, out);
            }
            // Nobody was asked.
            other @ (Phase::Opened | Phase::Exchanging(_)) => connection.phase = other,
        }
    }

    fn connect_decided(
        &mut self,
        now: Instant,
        id: ConnectionId,
        connecting: Box<Connecting>,
        decision: Decision,
        out: &mut Output,
    ) {
        match decision {
            Decision::Accept(grant) => self.admit(now, id, &connecting, &grant, out),
            Decision::Refuse(reason) => self.refuse(id, reason, out),
            // [MQTT-4.12.0-6] An authority that wants this has not decided: that is a refusal.
            Decision::Continue(_) if connecting.credentials.method.is_none() => {
                self.refuse(id, ReasonCode::NotAuthorized, out);
            }
            Decision::Continue(data) => {
                let Some(connection) = self.connection_mut(id) else {
                    return;
                };
                let packet = auth(
                    ReasonCode::ContinueAuthentication,
                    &connecting.credentials,
                    data.as_deref(),
                );
                connection.phase = Phase::Exchanging(connecting);
                send(connection, &packet, Release::Now, out);
            }
        }
    }

    fn authenticated_again(
        &mut self,
        now: Instant,
        id: ConnectionId,
        decision: Decision,
        out: &mut Output,
    ) {
        let Some(connection) = self.connection_mut(id) else {
            return;
        };
        let Some(credentials) = connection.credentials.clone() else {
            return;
        };
        match decision {
            Decision::Accept(grant) => {
                connection.permissions = Some(grant.permissions);
                connection.auth_expected = ReasonCode::ReAuthenticate;
                let packet = auth(ReasonCode::Success, &credentials, grant.data.as_deref());
                send(connection, &packet, Release::Now, out);
            }
            Decision::Continue(data) => {
                connection.auth_expected = ReasonCode::ContinueAuthentication;
                let packet = auth(
                    ReasonCode::ContinueAuthentication,
                    &credentials,
                    data.as_deref(),
                );
                send(connection, &packet, Release::Now, out);
            }
            // [MQTT-4.12.1-2]
            Decision::Refuse(reason) => self.close(now, id, Cause::Refused(reason), out),
        }
    }
}

/// An AUTH with the method of the CONNECT. `[MQTT-4.12.0-5]`
fn auth(reason: ReasonCode, credentials: &Credentials, data: Option<&[u8]>) -> Packet {
    let method = credentials.method.as_deref().unwrap_or_default();
    // It came in a CONNECT, so it can be sent.
    let method = Text::new(method.as_bytes()).ok();
    let properties = [
        method.map(Property::AuthenticationMethod),
        data.map(Property::AuthenticationData),
    ];
    let properties = Properties::new(properties.into_iter().flatten()).unwrap_or_default();
    Packet::Auth(Auth { reason, properties })
}
