//! Lets all in, but nobody where the bystanders are. Who names an authentication method is let in,
//! refused or asked again, by the first byte of the data.

use std::sync::Arc;

use async_trait::async_trait;
use mqtt_broker_core::Peer;
use mqtt_broker_core::authority::{Authority, Decision, Grant, Permissions, Question};
use mqtt_codec::{ReasonCode, TopicFilter, TopicName};

/// The address of bystanders.
pub(super) const BYSTANDER: &str = "bystander";
/// What the topics of bystanders begin with: nobody else may publish there.
pub(super) const RESERVED: &[u8] = b"bystander/";

pub(super) struct Gate;

struct Elsewhere;

impl Permissions for Elsewhere {
    fn may_publish(&self, topic: TopicName<&[u8]>) -> bool {
        !topic.bytes().starts_with(RESERVED)
    }

    fn may_subscribe(&self, _: TopicFilter<&[u8]>) -> bool {
        true
    }
}

#[async_trait]
impl Authority for Gate {
    async fn decide(&self, peer: &Peer, question: Question) -> Decision {
        if &*peer.address == BYSTANDER {
            return Decision::Accept(Grant {
                identity: Some(BYSTANDER.into()),
                ..Grant::all()
            });
        }
        let (method, data) = match &question {
            Question::Connect(credentials) => {
                (credentials.method.is_some(), credentials.data.clone())
            }
            Question::Authenticate { data, .. } => (true, data.clone()),
        };
        let first = data.as_ref().and_then(|data| data.first().copied());
        match first.filter(|_| method).unwrap_or(0) % 4 {
            1 => Decision::Refuse(ReasonCode::NotAuthorized),
            3 => Decision::Continue(data),
            _ => Decision::Accept(Grant {
                identity: None,
                permissions: Arc::new(Elsewhere),
                data: None,
            }),
        }
    }
}
