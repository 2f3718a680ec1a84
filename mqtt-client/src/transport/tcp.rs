//! TCP sockets: the addresses of a name, and the first of them that is connected.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::sleep;

use super::{ConnectError, Progress, Step, TransportOptions};

/// What an address has before the next one is tried, too: the "Connection Attempt Delay" of RFC 8305.
const HEAD_START: Duration = Duration::from_millis(250);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 32;

/// A socket that is connected.
pub(super) struct Connected {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
}

/// A socket that is about to be connected.
struct Attempt {
    peer: SocketAddr,
    outcome: Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>,
}

/// The addresses of a name, one at least.
pub(super) async fn resolve(
    host: &str,
    port: u16,
    options: &TransportOptions,
    progress: &mut Progress,
) -> Result<Vec<SocketAddr>, ConnectError> {
    progress.at(Step::Resolve, host);
    let found = look_up(host, port, options).await.map_err(|error| {
        let tried = format!("the name {host} cannot be resolved");
        ConnectError::io(Step::Resolve, tried, &error)
    })?;
    if found.is_empty() {
        let detail = format!("the name {host} has no addresses");
        let kind = io::ErrorKind::NotFound;
        return Err(ConnectError::new(Step::Resolve, kind, detail));
    }
    Ok(found)
}

/// The addresses of a name that can be connected to from here, in the order in which to try them, one
/// at least.
pub(super) async fn resolve_near(
    host: &str,
    port: u16,
    options: &TransportOptions,
    progress: &mut Progress,
) -> Result<Vec<SocketAddr>, ConnectError> {
    let mut found = resolve(host, port, options, progress).await?;
    if let Some(bind) = options.bind {
        found.retain(|address| address.is_ipv4() == bind.is_ipv4());
        if found.is_empty() {
            let detail = format!("{host} has no address that can be reached from {bind}");
            let kind = io::ErrorKind::AddrNotAvailable;
            return Err(ConnectError::new(Step::Resolve, kind, detail));
        }
    }
    Ok(interleaved(found))
}

async fn look_up(host: &str, port: u16, options: &TransportOptions) -> io::Result<Vec<SocketAddr>> {
    if let Some(known) = options.resolved.get(host) {
        return Ok(known.iter().map(|known| with_port(*known, port)).collect());
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    Ok(lookup_host((host, port)).await?.collect())
}

fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    if address.port() == 0 {
        address.set_port(port);
    }
    address
}

/// IPv6 and IPv4 in turns, beginning with what the resolver prefers, and nothing twice.
pub(super) fn interleaved(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let preferred = found.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|address| address.is_ipv6() == preferred);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut order = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            order.truncate(ADDRESSES_MAX);
            return order;
        }
        for address in pair.into_iter().flatten() {
            if !order.contains(&address) {
                order.push(address);
            }
        }
    }
}

/// Connects to the first address that answers, of one at least. The addresses that have failed are taken away, and so is
/// the one that is connected. Dropping the future closes all that it had begun.
pub(super) async fn first(
    addresses: &mut Vec<SocketAddr>,
    options: &TransportOptions,
    progress: &mut Progress,
) -> Result<Connected, ConnectError> {
    let untried = addresses.clone();
    let mut untried = untried.into_iter().peekable();
    let mut attempts: Vec<Attempt> = Vec::new();
    loop {
        attempts.extend(untried.next().map(|peer| begin(peer, options)));
        progress.at(Step::Connect, peers(&attempts));
        let ended = next_end(&mut attempts, untried.peek().is_some()).await;
        let Some((peer, outcome)) = ended else {
            continue;
        };
        addresses.retain(|address| *address != peer);
        match outcome {
            Ok(stream) => return Ok(Connected { stream, peer }),
            Err(error) => {
                let error = ConnectError::io(Step::Connect, peer, &error);
                if attempts.is_empty() && untried.peek().is_none() {
                    return Err(error);
                }
                progress.failed.push(error.detail().to_owned());
            }
        }
    }
}

/// The next attempt that ends, which is then gone; `None` when another should begin.
async fn next_end(
    attempts: &mut Vec<Attempt>,
    is_hurried: bool,
) -> Option<(SocketAddr, io::Result<TcpStream>)> {
    let mut head_start = pin!(sleep(HEAD_START));
    poll_fn(|cx| {
        for (index, attempt) in attempts.iter_mut().enumerate() {
            if let Poll::Ready(outcome) = attempt.outcome.as_mut().poll(cx) {
                let attempt = attempts.remove(index);
                return Poll::Ready(Some((attempt.peer, outcome)));
            }
        }
        if is_hurried {
            head_start.as_mut().poll(cx).map(|()| None)
        } else {
            Poll::Pending
        }
    })
    .await
}

fn begin(peer: SocketAddr, options: &TransportOptions) -> Attempt {
    let (bind, keep_alive) = (options.bind, options.tcp_keep_alive);
    let outcome = async move {
        let socket = if peer.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        if let Some(bind) = bind {
            socket.bind(SocketAddr::new(bind, 0))?;
        }
        let stream = socket.connect(peer).await?;
        stream.set_nodelay(true)?;
        if let Some(idle) = keep_alive {
            let keep_alive = TcpKeepalive::new().with_time(idle);
            SockRef::from(&stream).set_tcp_keepalive(&keep_alive)?;
        }
        Ok(stream)
    };
    Attempt {
        peer,
        outcome: Box::pin(outcome),
    }
}

fn peers(attempts: &[Attempt]) -> String {
    let peers: Vec<String> = attempts
        .iter()
        .map(|attempt| attempt.peer.to_string())
        .collect();
    peers.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let order = |addresses: &[&str]| {
            let found = addresses.iter().map(|text| text.parse().unwrap()).collect();
            let order = interleaved(found);
            order.iter().map(SocketAddr::to_string).collect::<Vec<_>>()
        };
        let found = ["[::1]:1", "[::2]:1", "[::3]:1", "1.0.0.1:1", "1.0.0.2:1"];
        let expected = ["[::1]:1", "1.0.0.1:1", "[::2]:1", "1.0.0.2:1", "[::3]:1"];
        assert_eq!(order(&found), expected);
        let found = ["1.0.0.1:1", "1.0.0.1:1", "[::1]:1", "1.0.0.2:1"];
        assert_eq!(order(&found), ["1.0.0.1:1", "[::1]:1", "1.0.0.2:1"]);
    }

    #[test]
    fn no_more_addresses_are_tried_than_that() {
        let found = (0..=255)
            .map(|last| SocketAddr::from(([127, 0, 0, last], 1)))
            .collect();
        assert_eq!(interleaved(found).len(), ADDRESSES_MAX);
    }
}
