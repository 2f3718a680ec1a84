//! Servers of the tests' own, and what a test does with a connection.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mqtt_client::transport::{self, Connection, TransportOptions};
use mqtt_client::{Address, ConnectError};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) type Open = Box<dyn Connection>;

/// A server that does the same with each connection. It ends with the runtime of the test.
pub(crate) async fn serve<F, Served>(each: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Served + Send + 'static,
    Served: Future<Output = ()> + Send + 'static,
{
    serve_at("127.0.0.1:0", each).await
}

/// The same, at an address.
pub(crate) async fn serve_at<F, Served>(address: &str, each: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Served + Send + 'static,
    Served: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(each(stream));
        }
    });
    address
}

/// Sends back whatever comes.
pub(crate) async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut bytes = vec![0; 8192];
    while let Ok(count @ 1..) = stream.read(&mut bytes).await {
        if stream.write_all(&bytes[..count]).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

/// Takes a connection, and says nothing for as long as it is there.
pub(crate) async fn silent(mut stream: TcpStream) {
    let mut sink = [0; 1024];
    while let Ok(1..) = stream.read(&mut sink).await {}
}

/// An address where nobody listens.
pub(crate) async fn refusing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// An address where connections are never taken, as long as this is kept.
pub(crate) struct Hanging {
    pub(crate) address: SocketAddr,
    listener: socket2::Socket,
    queued: Vec<TcpStream>,
}

impl Hanging {
    /// Takes those that wait already.
    pub(crate) fn make_room(&self) {
        for _ in &self.queued {
            self.listener.accept().unwrap();
        }
    }
}

pub(crate) async fn hanging() -> Hanging {
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut queued = Vec::new();
    // The queue of those that wait for `accept` is full when one is left without an answer.
    while let Ok(stream) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
        assert!(queued.len() < 10, "the queue does not fill up");
    }
    Hanging {
        address,
        listener,
        queued,
    }
}

pub(crate) async fn try_open(url: &str, options: &TransportOptions) -> Result<Open, ConnectError> {
    let address: Address = url.parse().unwrap();
    within(transport::open(&address, options)).await
}

pub(crate) async fn open(url: &str, options: &TransportOptions) -> Open {
    match try_open(url, options).await {
        Ok(connection) => connection,
        Err(error) => panic!("{error}"),
    }
}

/// Opens what cannot be opened.
pub(crate) async fn fail(url: &str, options: &TransportOptions) -> ConnectError {
    match try_open(url, options).await {
        Ok(_) => panic!("{url} is connected"),
        Err(error) => error,
    }
}

/// A server that echoes is at the other end.
pub(crate) async fn check_echo(connection: &mut Open) {
    send(connection, b"hello").await;
    assert_eq!(receive(connection, 5).await, b"hello");
}

pub(crate) async fn send(connection: &mut Open, bytes: &[u8]) {
    within(async {
        connection.write_all(bytes).await?;
        connection.flush().await
    })
    .await
    .unwrap();
}

pub(crate) async fn receive(connection: &mut Open, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    within(connection.read_exact(&mut bytes)).await.unwrap();
    bytes
}

/// One read, which ends somehow.
pub(crate) async fn read(connection: &mut Open) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 8192];
    let count = within(connection.read(&mut bytes)).await?;
    bytes.truncate(count);
    Ok(bytes)
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .expect("it takes longer than patience lasts")
}

#[track_caller]
pub(crate) fn assert_contains(text: &impl ToString, part: &str) {
    let text = text.to_string();
    assert!(text.contains(part), "{part:?} is not in {text:?}");
    assert!(!text.contains('\n'), "{text:?} is more than a line");
}

#[track_caller]
pub(crate) fn assert_hidden(shown: &impl Debug, secret: &str) {
    let text = format!("{shown:?}");
    assert!(!text.contains(secret), "{secret:?} is in {text:?}");
}
