//! The ways to a server: its IP addresses, or what a proxy is asked for.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use tokio::net::TcpStream;

use super::proxy::{Proxy, Target};
use super::{ConnectError, Progress, Step, TransportOptions, tcp};
use crate::address::Network;

/// What is left to try.
pub(super) enum Route {
    Direct(Vec<SocketAddr>),
    Proxied(Proxied),
}

/// What is left to ask a proxy for.
pub(super) struct Proxied {
    proxy: Proxy,
    addresses: Vec<SocketAddr>,
    targets: VecDeque<Target>,
}

/// A socket that leads to the server, or to the proxy that is to lead there.
pub(super) struct Reached {
    pub(super) stream: TcpStream,
    /// Who is at the other end, for messages.
    pub(super) peer: String,
    /// What the proxy is to be asked for.
    target: Option<Target>,
}

impl Route {
    /// Finds the ways to a server, one at least.
    pub(super) async fn find(
        network: &Network,
        options: &TransportOptions,
        progress: &mut Progress,
    ) -> Result<Self, ConnectError> {
        let (host, port) = (&network.host, network.port);
        let Some(proxy) = &options.proxy else {
            let addresses = tcp::resolve_near(host, port, options, progress).await?;
            return Ok(Self::Direct(addresses));
        };
        let targets = match host.parse::<IpAddr>() {
            Ok(address) => VecDeque::from([Target::Address(SocketAddr::new(address, port))]),
            Err(_) if proxy.resolves_names() => VecDeque::from([Target::Name(network.clone())]),
            Err(_) => {
                let found = tcp::resolve(host, port, options, progress).await?;
                tcp::interleaved(found)
                    .into_iter()
                    .map(Target::Address)
                    .collect()
            }
        };
        let addresses = tcp::resolve_near(proxy.host(), proxy.port(), options, progress).await?;
        Ok(Self::Proxied(Proxied {
            proxy: proxy.clone(),
            addresses,
            targets,
        }))
    }

    /// Whether nothing is left to try.
    pub(super) fn is_exhausted(&self) -> bool {
        match self {
            Self::Direct(addresses) => addresses.is_empty(),
            Self::Proxied(proxied) => proxied.targets.is_empty(),
        }
    }

    /// Connects to the next thing that can be connected to. Something must be left.
    pub(super) async fn next(
        &mut self,
        options: &TransportOptions,
        progress: &mut Progress,
    ) -> Result<Reached, ConnectError> {
        let (connected, target) = match self {
            Self::Direct(addresses) => (tcp::first(addresses, options, progress).await?, None),
            Self::Proxied(proxied) => {
                let mut addresses = proxied.addresses.clone();
                let connected = tcp::first(&mut addresses, options, progress).await?;
                (connected, proxied.targets.pop_front())
            }
        };
        Ok(Reached {
            stream: connected.stream,
            peer: connected.peer.to_string(),
            target,
        })
    }

    /// Has the proxy, if there is one, lead to the server.
    pub(super) async fn pass_proxy(
        &self,
        reached: Reached,
        progress: &mut Progress,
    ) -> Result<Reached, ConnectError> {
        let (Self::Proxied(proxied), Some(target)) = (self, &reached.target) else {
            return Ok(reached);
        };
        let proxy = &proxied.proxy;
        progress.at(Step::Proxy, proxy);
        let peer = format!("{target} through {proxy}");
        let stream = proxy.lead(reached.stream, target).await?;
        Ok(Reached {
            stream,
            peer,
            target: None,
        })
    }
}
