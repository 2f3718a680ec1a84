//! A port that stays ours while nobody listens on it.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;

use socket2::{Domain, Protocol, Socket, Type};

/// A port of the loopback interface.
///
/// The socket that holds it never listens: whoever connects is refused, until a [`listener`] is made
/// or a child listens there, and again when that has gone. Meanwhile nobody else gets it.
///
/// [`listener`]: Port::listener
pub(crate) struct Port {
    _reservation: Socket,
    address: SocketAddr,
}

/// None of those that the system chooses by itself: it would give one that nobody listens on to another
/// program that may share its address.
const PORTS: Range<u16> = 20_000..32_000;

impl Port {
    pub(crate) fn new() -> Self {
        for _ in 0..1000 {
            let address = (Ipv4Addr::LOCALHOST, fastrand::u16(PORTS)).into();
            // It does not share its address until it has it.
            let reservation = socket();
            if reservation.bind(&SocketAddr::into(address)).is_ok() {
                reservation.set_reuse_address(true).unwrap();
                return Self {
                    _reservation: reservation,
                    address,
                };
            }
        }
        panic!("no port is free");
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens until it is dropped.
    pub(crate) fn listener(&self) -> tokio::net::TcpListener {
        let socket = socket();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&self.address.into()).unwrap();
        socket.listen(128).unwrap();
        tokio::net::TcpListener::from_std(socket.into()).unwrap()
    }
}

fn socket() -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
    socket.set_nonblocking(true).unwrap();
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

    #[test]
    fn nobody_else_gets_it() {
        let ports: Vec<_> = (0..200).map(|_| Port::new()).collect();
        for (number, port) in ports.iter().enumerate() {
            assert!(
                ports[..number]
                    .iter()
                    .all(|other| other.address() != port.address())
            );
        }
    }
}
