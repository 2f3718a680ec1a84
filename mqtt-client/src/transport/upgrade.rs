//! What becomes of a socket: TLS around it, a WebSocket in that, as the scheme of the address says.

use super::route::Reached;
#[cfg(feature = "tls")]
use super::tls;
#[cfg(feature = "websocket")]
use super::websocket;
use super::{ConnectError, Connection, Progress, TransportOptions};
use crate::address::Network;

/// All that the handshakes need, made before the first byte is sent.
pub(super) struct Upgrade {
    #[cfg(feature = "tls")]
    tls: Option<tls::Handshake>,
    #[cfg(feature = "websocket")]
    websocket: Option<websocket::Handshake>,
}

impl Upgrade {
    #[cfg_attr(
        not(any(feature = "tls", feature = "websocket")),
        allow(unused_variables, reason = "there is nothing to prepare")
    )]
    pub(super) async fn prepare(
        network: &Network,
        options: &TransportOptions,
    ) -> Result<Self, ConnectError> {
        check_features(network)?;
        Ok(Self {
            #[cfg(feature = "tls")]
            tls: if network.scheme.is_secure() {
                Some(options.tls.handshake(&network.host).await?)
            } else {
                None
            },
            #[cfg(feature = "websocket")]
            websocket: if network.scheme.is_websocket() {
                Some(websocket::Handshake::prepare(network, options)?)
            } else {
                None
            },
        })
    }

    #[cfg_attr(
        not(any(feature = "tls", feature = "websocket")),
        allow(
            unused_variables,
            clippy::needless_pass_by_ref_mut,
            reason = "there is nothing to apply"
        )
    )]
    pub(super) async fn apply(
        &self,
        reached: Reached,
        progress: &mut Progress,
    ) -> Result<Box<dyn Connection>, ConnectError> {
        let Reached { stream, peer, .. } = reached;
        #[cfg(feature = "tls")]
        let stream: Box<dyn Connection> = match &self.tls {
            Some(tls) => {
                progress.at(super::Step::Tls, &peer);
                Box::new(tls.shake(stream, &peer).await?)
            }
            None => Box::new(stream),
        };
        #[cfg(not(feature = "tls"))]
        let stream: Box<dyn Connection> = Box::new(stream);
        #[cfg(feature = "websocket")]
        if let Some(websocket) = &self.websocket {
            progress.at(super::Step::WebSocket, &peer);
            return Ok(Box::new(websocket.shake(stream, &peer).await?));
        }
        Ok(stream)
    }
}

fn check_features(network: &Network) -> Result<(), ConnectError> {
    let missing = if network.scheme.is_secure() && !cfg!(feature = "tls") {
        "TLS: it was built without the feature `tls`"
    } else if network.scheme.is_websocket() && !cfg!(feature = "websocket") {
        "WebSockets: it was built without the feature `websocket`"
    } else {
        return Ok(());
    };
    let detail = format!("this client has no {missing}");
    Err(ConnectError::unsupported(detail))
}
