//! CONNECT: a client is let in, and its session made or resumed.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU16;
use std::sync::Arc;

use bytes::Bytes;
use mqtt_codec::{
    ConnAck, Connect, Packet, PacketType, Properties, Property, ReasonCode, Text, Version, levels,
};

use super::disconnect::Cause;
use super::output::{Output, Release};
use super::{Engine, put_session, send};
use crate::authority::{Credentials, Grant, Question};
use crate::budget::SESSION_BYTES;
use crate::state::{AliasesOut, Connecting, ConnectionId, Outbound, Phase, SessionId};
use crate::store::WillRecord;
use crate::{ClientId, Instant, Message, Violation};

impl Engine {
    // [MQTT-3.1.3-9] of 3.1.1
    pub(super) fn handle_connect(
        &mut self,
        id: ConnectionId,
        connect: &Connect<&[u8]>,
        out: &mut Output,
    ) -> Result<(), Violation> {
        let crowded = self.seat.exchange.connections() > self.limits().connections_max;
        let levels_max = self.limits().topic_levels_max;
        let shutting_down = self.shutting_down;
        let Some(connection) = self.connection_mut(id) else {
            return Ok(());
        };
        connection.version = connect.version;
        connection.bridge = connect.bridge;
        connection.problem_information = connect
            .properties
            .request_problem_information()
            .unwrap_or(true);
        connection.packet_bytes_max = connect.properties.maximum_packet_size().unwrap_or(u32::MAX);
        // Without a client identifier there is no session to come back to. [MQTT-3.1.3-7] of 3.1.1,
        // [MQTT-3.1.3-8] of 3.1.1
        let nameless = connect.client_id.as_bytes().is_empty() && !connect.clean_start;
        let too_deep = connect
            .will
            .as_ref()
            .is_some_and(|will| levels(will.topic.as_bytes()).count() > levels_max);
        let refusal = if shutting_down {
            // It was opened in another shard, which had not heard of that yet.
            Some(ReasonCode::ServerUnavailable)
        } else if crowded {
            Some(ReasonCode::QuotaExceeded)
        } else if nameless && connect.version != Version::V5 {
            Some(ReasonCode::ClientIdentifierNotValid)
        } else {
            too_deep.then_some(ReasonCode::TopicNameInvalid)
        };
        if let Some(reason) = refusal {
            self.refuse(id, reason, out);
            return Ok(());
        }
        let credentials = Arc::new(credentials(connect));
        let packet = Packet::Connect(connect.clone()).to_bytes();
        out.ask(id, Question::Connect((*credentials).clone()));
        connection.phase = Phase::Asking(Box::new(Connecting {
            packet,
            credentials,
        }));
        Ok(())
    }

    /// Answers a CONNECT with a failure, if there is a way to say it, and closes. `[MQTT-3.2.2-7]`
    ///
    /// `[MQTT-3.1.3-8]` `[MQTT-3.1.4-2]` `[MQTT-4.12.0-4]` `[MQTT-4.13.2-1]` `[MQTT-3.2.2-6]`
    pub(super) fn refuse(&mut self, id: ConnectionId, reason: ReasonCode, out: &mut Output) {
        let Some(connection) = self.connection_mut(id) else {
            return;
        };
        // [MQTT-3.2.2-8] An authority may have thought of another one.
        let fit = reason.is_failure() && reason.allowed_in(PacketType::ConnAck);
        let reason = if fit {
            reason
        } else {
            ReasonCode::UnspecifiedError
        };
        // [MQTT-3.2.2-6] of 3.1.1
        if connection.version == Version::V5 || reason.return_code().is_some() {
            let packet = ConnAck {
                session_present: false,
                reason,
                properties: Properties::<&[u8]>::default(),
            };
            send(connection, &Packet::ConnAck(packet), Release::Now, out);
        }
        self.forget(id, out);
    }

    // [MQTT-3.1.3-2] [MQTT-3.1.3-5] [MQTT-3.1.3-7] [MQTT-3.1.4-5] [MQTT-3.2.0-2] [MQTT-3.1.2-6]
    pub(super) fn admit(
        &mut self,
        now: Instant,
        id: ConnectionId,
        connecting: &Connecting,
        grant: &Grant,
        out: &mut Output,
    ) {
        let Packet::Connect(connect) = &connecting.packet else {
            return;
        };
        let assigned = connect
            .client_id
            .as_bytes()
            .is_empty()
            .then(|| self.assign_client_id());
        let client = assigned
            .clone()
            .unwrap_or_else(|| ClientId::new(connect.client_id.as_str()));
        let existing = self.sessions.find(client.as_str());
        // Who has a session may come back to it: that is how its queue gets shorter.
        if existing.is_none() && self.has_no_room(out) {
            return self.refuse(id, ReasonCode::QuotaExceeded, out);
        }
        let foreign = existing
            .and_then(|session| self.sessions.get(session))
            .is_some_and(|session| session.identity != grant.identity);
        // A will is published with the rights of who leaves it.
        let forbidden = connect
            .will
            .as_ref()
            .is_some_and(|will| !grant.permissions.may_publish(will.topic.as_view()));
        if foreign || forbidden {
            return self.refuse(id, ReasonCode::NotAuthorized, out);
        }
        let mut connack = self.connack(connect, &client, assigned.as_ref(), grant);
        let fits = self
            .connection_mut(id)
            .is_some_and(|connection| super::fits(connection, &Packet::ConnAck(connack.clone())));
        if !fits {
            return self.refuse(id, ReasonCode::PacketTooLarge, out);
        }
        let stored = existing
            .and_then(|session| self.sessions.get(session))
            .is_some_and(|session| session.stored);
        let resumed =
            existing.and_then(|session| self.take_over(now, session, connect.clean_start, out));
        let session = resumed.unwrap_or_else(|| self.new_session(client, Outbound::new()));
        self.begin(id, session, connect, grant, out);
        self.set_up_connection(now, id, session, connect, connecting, grant);
        connack.session_present = resumed.is_some();
        // A session that was discarded must not come back, either.
        let release = if stored {
            Release::AfterCommit
        } else {
            self.release_for(session)
        };
        if let Some(connection) = self.connection_mut(id) {
            send(connection, &Packet::ConnAck(connack), release, out);
        }
        self.pump(now, session, out);
    }

    /// True if there cannot be another session.
    fn has_no_room(&self, out: &mut Output) -> bool {
        let short = self.is_memory_short();
        out.counters.refused_memory += u64::from(short);
        let limit = self.limits().sessions_max;
        short || self.sessions.is_full() || self.seat.exchange.sessions() >= limit
    }

    /// A session of a client that has none.
    pub(super) fn new_session(&mut self, client: ClientId, outbound: Outbound) -> SessionId {
        self.seat.exchange.count_session();
        self.budget.take(SESSION_BYTES);
        self.sessions.insert(client, outbound)
    }

    /// Ends the connection that a session has. Returns the session if it goes on.
    ///
    /// `[MQTT-3.1.2-4]` `[MQTT-3.1.2-5]` `[MQTT-3.1.4-3]` `[MQTT-3.1.4-4]` `[MQTT-3.2.2-2]`
    /// `[MQTT-3.2.2-3]`
    fn take_over(
        &mut self,
        now: Instant,
        id: SessionId,
        clean_start: bool,
        out: &mut Output,
    ) -> Option<SessionId> {
        self.session_due(now, id, out);
        if let Some(old) = self.sessions.get(id)?.connection {
            self.close(
                now,
                old,
                Cause::TakenOver {
                    resumed: !clean_start,
                },
                out,
            );
        }
        // A session without expiry has ended with its connection just now.
        if clean_start && self.sessions.get(id).is_some() {
            self.end_session(now, id, out);
        }
        self.sessions.get(id).map(|_| id)
    }

    /// Puts what the CONNECT says into the session.
    fn begin(
        &mut self,
        id: ConnectionId,
        session_id: SessionId,
        connect: &Connect,
        grant: &Grant,
        out: &mut Output,
    ) {
        let expiry_interval = expiry_interval(connect).min(self.limits().session_expiry_max_s);
        let Some(session) = self.sessions.get_mut(session_id) else {
            return;
        };
        session.connection = Some(id);
        session.disconnected = None;
        session.expiry_interval = expiry_interval;
        session.identity = grant.identity.clone();
        session.will = connect
            .will
            .as_ref()
            .map(|will| Box::new(will_record(will)));
        session.stored |= expiry_interval > 0;
        if session.stored {
            put_session(session, out);
        }
    }

    fn set_up_connection(
        &mut self,
        now: Instant,
        id: ConnectionId,
        session: SessionId,
        connect: &Connect,
        connecting: &Connecting,
        grant: &Grant,
    ) {
        let keep_alive = self.keep_alive(connect);
        let in_flight_max = self.limits().in_flight_max;
        let aliases_max = self.limits().topic_aliases_out_max;
        let Some(connection) = self.connection_mut(id) else {
            return;
        };
        connection.phase = Phase::Connected(session);
        connection.permissions = Some(grant.permissions.clone());
        connection.keep_alive = keep_alive;
        connection.receive_maximum = connect
            .properties
            .receive_maximum()
            .unwrap_or(in_flight_max);
        let aliases = connect
            .properties
            .topic_alias_maximum()
            .unwrap_or(0)
            .min(aliases_max);
        connection.aliases_out = (aliases > 0).then(|| Box::new(AliasesOut::new(aliases)));
        connection.credentials = connecting
            .credentials
            .method
            .is_some()
            .then(|| connecting.credentials.clone());
        connection.auth_expected = ReasonCode::ReAuthenticate;
        let silence = (keep_alive > 0).then(|| super::expire::keep_alive_time(keep_alive));
        self.watch_connection(id, silence.map(|silence| now + silence));
        self.watch_session(session);
    }

    /// The answer to a CONNECT that is accepted, for a new session.
    ///
    /// `[MQTT-3.1.2-28]` `[MQTT-3.2.2-9]` `[MQTT-3.2.2-12]` `[MQTT-3.2.2-13]` `[MQTT-3.2.2-19]`
    /// `[MQTT-3.2.2-20]`
    fn connack(
        &self,
        connect: &Connect,
        client: &ClientId,
        assigned: Option<&ClientId>,
        grant: &Grant,
    ) -> ConnAck {
        let asked_expiry = expiry_interval(connect);
        let expiry = asked_expiry.min(self.limits().session_expiry_max_s);
        let information = self.settings.response_information.as_ref();
        let response = information
            .filter(|_| connect.properties.request_response_information() == Some(true))
            .and_then(|start| Text::from_string(format!("{start}{client}")).ok());
        let assigned = assigned.and_then(|client| Text::from_string(client.as_str()).ok());
        let limits = &self.settings.limits;
        let keep_alive = self.keep_alive(connect);
        let properties = [
            (expiry != asked_expiry).then_some(Property::SessionExpiryInterval(expiry)),
            NonZeroU16::new(limits.receive_maximum)
                .filter(|maximum| *maximum != NonZeroU16::MAX)
                .map(|maximum| Property::ReceiveMaximum(maximum.get())),
            (limits.packet_bytes_max < mqtt_codec::PACKET_BYTES_MAX as u32)
                .then_some(Property::MaximumPacketSize(limits.packet_bytes_max)),
            assigned
                .as_ref()
                .map(|client| Property::AssignedClientIdentifier(client.as_view())),
            (limits.topic_alias_maximum > 0)
                .then_some(Property::TopicAliasMaximum(limits.topic_alias_maximum)),
            (keep_alive != connect.keep_alive).then_some(Property::ServerKeepAlive(keep_alive)),
            response
                .as_ref()
                .map(|response| Property::ResponseInformation(response.as_view())),
            connect
                .properties
                .authentication_method()
                .map(Property::AuthenticationMethod),
            grant.data.as_deref().map(Property::AuthenticationData),
        ];
        let properties = Properties::new(properties.into_iter().flatten()).unwrap_or_default();
        ConnAck {
            session_present: false,
            reason: ReasonCode::Success,
            properties,
        }
    }

    /// The keep alive in force: what the client asks for, or the longest allowed. `[MQTT-3.2.2-22]`
    ///
    /// `[MQTT-3.1.2-21]`
    fn keep_alive(&self, connect: &Connect) -> u16 {
        match self.limits().keep_alive_max_s {
            0 => connect.keep_alive,
            // Only MQTT 5.0 clients can be told.
            max if connect.version == Version::V5
                && (connect.keep_alive == 0 || connect.keep_alive > max) =>
            {
                max
            }
            _ => connect.keep_alive,
        }
    }

    /// A client identifier that nobody has and nobody guesses. `[MQTT-3.1.3-6]` `[MQTT-3.2.2-16]`
    fn assign_client_id(&mut self) -> ClientId {
        loop {
            let client = format!("auto-{:016x}{:016x}", self.roll(), self.roll());
            // The connection is here, and so is its session to be.
            let here = self.shard_of(&client) == self.seat.shard;
            if here && self.sessions.find(&client).is_none() {
                return ClientId::new(&client);
            }
        }
    }

    /// The next number of the generator: a hash (SipHash) of the seed and a counter, which tells nothing about
    /// either.
    fn roll(&mut self) -> u64 {
        self.rolls += 1;
        let mut hasher = DefaultHasher::new();
        (self.settings.seed, self.seat.shard, self.rolls).hash(&mut hasher);
        hasher.finish()
    }
}

/// Seconds that the session is to outlive its connection. Before 5.0, one without clean session
/// stays for ever.
fn expiry_interval(connect: &Connect) -> u32 {
    match connect.version {
        Version::V5 => connect.properties.session_expiry_interval().unwrap_or(0),
        Version::V3_1 | Version::V3_1_1 if connect.clean_start => 0,
        Version::V3_1 | Version::V3_1_1 => u32::MAX,
    }
}

fn credentials<B: AsRef<[u8]>>(connect: &Connect<B>) -> Credentials {
    Credentials {
        client_id: connect.client_id.to_string(),
        user_name: connect.user_name.as_ref().map(ToString::to_string),
        password: connect
            .password
            .as_ref()
            .map(|password| Bytes::copy_from_slice(password.as_ref())),
        method: connect
            .properties
            .authentication_method()
            .map(|method| method.to_string()),
        data: connect
            .properties
            .authentication_data()
            .map(Bytes::copy_from_slice),
    }
}

// [MQTT-3.1.2-7] [MQTT-3.1.3-10]
fn will_record(will: &mqtt_codec::Will) -> WillRecord {
    let own = |property: &Property<'_>| {
        matches!(
            property,
            Property::WillDelayInterval(_) | Property::MessageExpiryInterval(_)
        )
    };
    let properties = will.properties.without(own);
    let mut message = Message::new(will.topic.as_view(), properties.as_view(), &will.payload);
    message.qos = will.qos;
    message.retain = will.retain;
    WillRecord {
        message: Arc::new(message),
        delay_interval: will.properties.will_delay_interval().unwrap_or(0),
        message_expiry_interval: will.properties.message_expiry_interval(),
    }
}
