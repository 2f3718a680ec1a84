//! A port that stays ours while nobody listens on it.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// A port of the loopback interface, chosen by the system.
///
/// The socket that holds it never listens: whoever connects is refused, until a [`listener`] is made
/// or a child listens there, and again when that has gone. Meanwhile the system gives it to nobody.
///
/// [`listener`]: Port::listener
pub(crate) struct Port {
    _reservation: Socket,
    address: SocketAddr,
}

impl Port {
    pub(crate) fn new() -> Self {
        let reservation = bind((Ipv4Addr::LOCALHOST, 0).into());
        let address = reservation.local_addr().unwrap().as_socket().unwrap();
        Self {
            _reservation: reservation,
            address,
        }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens until it is dropped.
    pub(crate) fn listener(&self) -> tokio::net::TcpListener {
        let socket = bind(self.address);
        socket.listen(128).unwrap();
        tokio::net::TcpListener::from_std(socket.into()).unwrap()
    }
}

fn bind(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn connections_are_refused_while_nobody_listens() {
        let port = Port::new();
        for _ in 0..3 {
            let refused = TcpStream::connect(port.address()).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            let listener = port.listener();
            let connected = TcpStream::connect(port.address()).await.unwrap();
            let (_, peer) = listener.accept().await.unwrap();
            assert_eq!(peer, connected.local_addr().unwrap());
        }
    }
}
