//! PUBACK, PUBREC, PUBREL and PUBCOMP from a client, of messages in both directions.

use mqtt_codec::{Ack, Packet, QoS, ReasonCode};

use super::output::{Output, Release};
use super::{Engine, send};
use crate::state::{ConnectionId, SessionId, Stage};
use crate::store::Change;
use crate::{Instant, Violation};

impl Engine {
    /// A QoS 1 message has been taken by the client.
    pub(super) fn handle_puback(
        &mut self,
        now: Instant,
        id: ConnectionId,
        ack: &Ack<&[u8]>,
        out: &mut Output,
    ) -> Result<(), Violation> {
        let Some(session_id) = self.connection_session(id) else {
            return Ok(());
        };
        let Some(session) = self.sessions.get_mut(session_id) else {
            return Ok(());
        };
        // Whatever its reason code: the message is not sent again. [MQTT-4.4.0-2]
        if let Some((seq, slot)) = session.outbound.find(ack.packet_id)
            && slot.stage == Stage::Sent
            && slot.qos == QoS::AtLeastOnce
        {
            self.complete(now, session_id, seq, out);
        }
        Ok(())
    }

    /// A QoS 2 message has been taken by the client, or refused.
    ///
    /// `[MQTT-4.8.2-6]`
    pub(super) fn handle_pubrec(
        &mut self,
        now: Instant,
        id: ConnectionId,
        ack: &Ack<&[u8]>,
        out: &mut Output,
    ) -> Result<(), Violation> {
        let Some(session_id) = self.connection_session(id) else {
            return Ok(());
        };
        let Some(session) = self.sessions.get_mut(session_id) else {
            return Ok(());
        };
        let found = session
            .outbound
            .find(ack.packet_id)
            .filter(|(_, slot)| slot.qos == QoS::ExactlyOnce);
        let (reason, release) = match found.map(|(seq, slot)| (seq, slot.stage)) {
            Some((seq, Stage::Sent)) if ack.reason.is_failure() => {
                // It counts as acknowledged, and no PUBREL follows. [MQTT-4.4.0-2]
                self.complete(now, session_id, seq, out);
                return Ok(());
            }
            Some((seq, Stage::Sent)) => {
                session.outbound.release(seq);
                if session.stored {
                    out.change(Change::ReleaseDelivery {
                        client: session.client.clone(),
                        seq,
                    });
                }
                // Once PUBREL is out, a crash must not bring the PUBLISH back. [MQTT-4.3.3-6]
                (
                    ReasonCode::Success,
                    if session.stored {
                        Release::AfterCommit
                    } else {
                        Release::Now
                    },
                )
            }
            Some((_, Stage::Released)) if ack.reason.is_failure() => return Ok(()),
            Some((_, Stage::Released)) => (ReasonCode::Success, Release::AfterCommit),
            Some((_, Stage::Waiting | Stage::Done)) | None if ack.reason.is_failure() => {
                return Ok(());
            }
            Some((_, Stage::Waiting | Stage::Done)) | None => {
                (ReasonCode::PacketIdentifierNotFound, Release::Now)
            }
        };
        if let Some(connection) = self.connection_mut(id) {
            // [MQTT-4.3.3-4]
            send(
                connection,
                &Packet::<&[u8]>::PubRel(Ack::new(ack.packet_id, reason)),
                release,
                out,
            );
        }
        Ok(())
    }

    /// The client has let go of the packet identifier of a QoS 2 message that it has sent.
    ///
    /// `[MQTT-4.3.3-13]` `[MQTT-2.3.1-3]` of 3.1.1
    pub(super) fn handle_pubrel(
        &mut self,
        id: ConnectionId,
        ack: &Ack<&[u8]>,
        out: &mut Output,
    ) -> Result<(), Violation> {
        let Some(session_id) = self.connection_session(id) else {
            return Ok(());
        };
        let Some(session) = self.sessions.get_mut(session_id) else {
            return Ok(());
        };
        let known = session.release(ack.packet_id);
        if known && session.stored {
            out.change(Change::DeleteReceived {
                client: session.client.clone(),
                packet_id: ack.packet_id,
            });
        }
        let reason = if known {
            ReasonCode::Success
        } else {
            ReasonCode::PacketIdentifierNotFound
        };
        // Else, after a crash, the next message with this identifier would be taken for a repetition.
        let release = if session.stored {
            Release::AfterCommit
        } else {
            Release::Now
        };
        if let Some(connection) = self.connection_mut(id) {
            // As the client counts: what came on an earlier connection makes room, too.
            connection.unreleased = connection.unreleased.saturating_sub(known.into());
            // [MQTT-4.3.3-11]
            send(
                connection,
                &Packet::<&[u8]>::PubComp(Ack::new(ack.packet_id, reason)),
                release,
                out,
            );
        }
        Ok(())
    }

    /// A QoS 2 message is complete.
    pub(super) fn handle_pubcomp(
        &mut self,
        now: Instant,
        id: ConnectionId,
        ack: &Ack<&[u8]>,
        out: &mut Output,
    ) -> Result<(), Violation> {
        let Some(session_id) = self.connection_session(id) else {
            return Ok(());
        };
        let Some(session) = self.sessions.get_mut(session_id) else {
            return Ok(());
        };
        if let Some((seq, slot)) = session.outbound.find(ack.packet_id)
            && slot.stage == Stage::Released
        {
            self.complete(now, session_id, seq, out);
        }
        Ok(())
    }

    /// Ends a delivery, and sends what may be sent in its place.
    fn complete(&mut self, now: Instant, session_id: SessionId, seq: u64, out: &mut Output) {
        let Some(session) = self.sessions.get_mut(session_id) else {
            return;
        };
        session.outbound.complete(seq);
        if session.stored {
            out.change(Change::DeleteDelivery {
                client: session.client.clone(),
                seq,
            });
        }
        if !session.outbound.is_clear() || session.has_replays() {
            self.pump(now, session_id, out);
        } else {
            self.show(session_id);
        }
    }

    pub(super) fn connection_session(&mut self, id: ConnectionId) -> Option<SessionId> {
        self.connection_mut(id)?.session()
    }
}
