//! What other shards have for this one.

use super::Engine;
use super::outcome::Outcome;
use super::output::Output;
use crate::Instant;
use crate::state::{Arrival, Target};

impl Engine {
    /// True if other shards have something for this one: it is to [receive](Engine::receive) it.
    #[must_use]
    pub fn has_arrivals(&self) -> bool {
        let inbox = self.seat.exchange.inbox(self.seat.shard);
        inbox.is_some_and(|inbox| !inbox.is_empty())
    }

    /// Handles what other shards have for this one.
    ///
    /// Whoever drives several engines calls this before each [`Engine::handle`], and for those that
    /// [`Output::take_reached`] names.
    pub fn receive(&mut self, now: Instant, out: &mut Output) {
        let seat = self.seat.clone();
        let Some(inbox) = seat.exchange.inbox(seat.shard) else {
            return;
        };
        let mut mail = inbox.take(std::mem::take(&mut self.spare_mail));
        for arrival in mail.arrivals() {
            match arrival {
                Arrival::Change(change) => out.change(change.clone()),
                Arrival::Run(route, target, mut publication) => {
                    self.variants.clear();
                    let mut outcome = Outcome::default();
                    match target {
                        Target::Receivers => {
                            let all = 0..publication.len();
                            for receiver in route.receivers(seat.shard) {
                                let run = &mut publication;
                                self.deliver(now, run, all.clone(), receiver, &mut outcome, out);
                            }
                        }
                        Target::Member { group, at } => {
                            let members = route.groups.get(group);
                            if let Some(member) = members.and_then(|members| members.receiver(at)) {
                                let run = &mut publication;
                                self.deliver(now, run, 0..1, &member, &mut outcome, out);
                            }
                        }
                    }
                }
            }
        }
        mail.clear();
        self.spare_mail = mail;
    }
}
