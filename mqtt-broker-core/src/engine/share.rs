//! Shared subscriptions: one member gets each message, in whichever shard it is.

use std::sync::Arc;

use mqtt_codec::QoS;

use super::Engine;
use super::outcome::Outcome;
use super::output::Output;
use crate::Instant;
use crate::state::{Member, Publication, Readiness, Route, Target};

impl Engine {
    /// Gives each message of a run to the member of a shared subscription whose turn it is: the first that
    /// can take it now, else one that is connected, else one that comes back.
    ///
    /// `[MQTT-4.8.2-5]`
    pub(super) fn share(
        &mut self,
        now: Instant,
        route: &Arc<Route>,
        group: usize,
        publication: &mut Publication<'_>,
        outcome: &mut Outcome,
        out: &mut Output,
    ) {
        let Some(members) = route.groups.get(group) else {
            return;
        };
        for index in 0..publication.len() {
            let chosen = members.choose(|member| self.how_ready(member, publication.qos));
            let Some((at, receiver)) = chosen.and_then(|at| Some((at, members.receiver(at)?)))
            else {
                continue;
            };
            let (shard, only) = (receiver.session.shard(), index..index + 1);
            if shard == self.seat.shard {
                self.deliver(now, publication, only, &receiver, outcome, out);
            } else if let Some(inbox) = self.seat.exchange.inbox(shard) {
                outcome.matched = true;
                let target = Target::Member { group, at };
                if !inbox.post(route, target, publication, only, false, &self.budget) {
                    out.counters.dropped_memory += 1;
                    outcome.overflow(index);
                }
                out.reach(shard);
            }
        }
    }

    /// How ready a member is; `None`: it takes nothing.
    fn how_ready(&self, member: &Member, qos: QoS) -> Option<Readiness> {
        let readiness = match &member.readiness {
            Some(cell) => cell.get()?,
            None => {
                let session = self.sessions.get(member.session)?;
                let connection = session.connection;
                let connection = connection.and_then(|id| self.connections.get(id.index as usize));
                session.how_ready(connection)
            }
        };
        // QoS 0 does not wait.
        let waits = qos.min(member.granted.qos) > QoS::AtMostOnce;
        (waits || readiness < Readiness::Away).then_some(readiness)
    }
}
