//! TCP listeners.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use async_trait::async_trait;
use mqtt_broker_core::{Listener, Stream, Transport};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tracing::warn;

/// Connections that may wait to be accepted: a fleet that comes back at once.
const BACKLOG: i32 = 4096;
/// How long accepting pauses when it has failed.
const PAUSE: Duration = Duration::from_millis(100);

/// A TCP socket that listens.
pub(crate) struct TcpListener {
    listener: tokio::net::TcpListener,
    address: SocketAddr,
}

/// A socket with an address, which nobody can connect to yet.
pub(crate) struct Bound {
    socket: Socket,
    address: SocketAddr,
}

/// Binds all addresses that the texts stand for, or none.
///
/// # Errors
/// One line that names the address and what is wrong.
pub(crate) fn bind_all(texts: &[String]) -> Result<Vec<Bound>, String> {
    let mut all = Vec::new();
    for text in texts {
        let addresses = text
            .to_socket_addrs()
            .map_err(|cause| format!("cannot listen on {text}: {cause}"))?;
        for address in addresses {
            let socket = bind(address).map_err(|cause| explain(address, &cause))?;
            all.push(Bound { socket, address });
        }
    }
    Ok(all)
}

/// Listens on all of them.
///
/// # Errors
/// One line that names the address and what is wrong.
pub(crate) fn listen_all(bound: Vec<Bound>) -> Result<Vec<TcpListener>, String> {
    bound
        .into_iter()
        .map(|bound| listen(bound.socket).map_err(|cause| explain(bound.address, &cause)))
        .collect()
}

fn listen(socket: Socket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG)?;
    let listener = tokio::net::TcpListener::from_std(socket.into())?;
    let address = listener.local_addr()?;
    Ok(TcpListener { listener, address })
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // 0.0.0.0 can be listened on beside [::].
        socket.set_only_v6(true)?;
    }
    // Connections inherit both: small packets leave at once, and peers that have vanished are found
    // even without a keep alive of MQTT.
    socket.set_tcp_nodelay(true)?;
    socket.set_keepalive(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn explain(address: SocketAddr, cause: &io::Error) -> String {
    if cause.kind() == io::ErrorKind::AddrInUse {
        format!("cannot listen on {address}: another program listens there")
    } else {
        format!("cannot listen on {address}: {cause}")
    }
}

impl TcpListener {
    /// The address that is listened on.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection. Cancel-safe.
    pub(crate) async fn accept_stream(&self) -> (TcpStream, SocketAddr) {
        let mut warned = false;
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                // That client has gone again.
                Err(cause) if cause.kind() == io::ErrorKind::ConnectionAborted => {}
                // A lack of files or memory passes, and so do errors of the network, which Linux
                // reports here. The socket goes on listening.
                Err(cause) => {
                    if !warned {
                        warn!("cannot accept a connection: {cause}");
                        warned = true;
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

#[async_trait]
impl Listener for TcpListener {
    async fn accept(&mut self) -> io::Result<Box<dyn Transport>> {
        let (stream, peer) = self.accept_stream().await;
        Ok(Box::new(Stream::new(stream, peer)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn connections_send_at_once_and_are_probed() {
        let bound = bind_all(&["127.0.0.1:0".to_owned()]).unwrap();
        let mut listener = listen_all(bound).unwrap().remove(0);
        let _client = TcpStream::connect(listener.address()).await.unwrap();
        let (stream, _) = listener.listener.accept().await.unwrap();
        assert!(stream.nodelay().unwrap());
        assert!(socket2::SockRef::from(&stream).keepalive().unwrap());
        drop(listener.accept());
    }
}
