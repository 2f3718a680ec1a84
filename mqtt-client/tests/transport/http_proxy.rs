//! Proxies that are asked with HTTP's CONNECT.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mqtt_client::transport::{Step, TransportOptions};
use mqtt_client::{Proxy, Tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::certificates::{Authority, Clients, server_config};
use crate::peer::{
    assert_contains, assert_hidden, check_echo, echo, fail, open, refusing, serve, silent, within,
};

const ESTABLISHED: &str = "HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n";

/// A proxy that leads to one server, whatever it is asked for.
struct HttpProxy {
    address: SocketAddr,
    requests: mpsc::UnboundedReceiver<String>,
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(request).unwrap()
}

async fn proxy_to(server: SocketAddr) -> HttpProxy {
    let (sender, requests) = mpsc::unbounded_channel();
    let address = serve(move |mut stream: TcpStream| {
        let sender = sender.clone();
        async move {
            sender.send(read_request(&mut stream).await).unwrap();
            let mut onward = TcpStream::connect(server).await.unwrap();
            stream.write_all(ESTABLISHED.as_bytes()).await.unwrap();
            let _ = copy_bidirectional(&mut stream, &mut onward).await;
        }
    })
    .await;
    HttpProxy { address, requests }
}

/// A proxy that answers with these bytes, and waits.
async fn proxy_saying(answer: &'static str) -> SocketAddr {
    serve(move |mut stream: TcpStream| async move {
        read_request(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        silent(stream).await;
    })
    .await
}

fn through(proxy: SocketAddr) -> TransportOptions {
    let proxy = Proxy::http(&proxy.ip().to_string(), proxy.port()).unwrap();
    TransportOptions::default().proxy(proxy)
}

/// The name is the proxy's to resolve: there is nobody here who knows it.
#[tokio::test]
async fn a_proxy_is_asked_for_the_name() {
    let mut proxy = proxy_to(serve(echo).await).await;
    let mut connection = open("mqtt://broker.test", &through(proxy.address)).await;
    check_echo(&mut connection).await;
    let expected = "CONNECT broker.test:1883 HTTP/1.1\r\nHost: broker.test:1883\r\n\r\n";
    assert_eq!(within(proxy.requests.recv()).await.unwrap(), expected);
    let connection = open("mqtt://[2001:db8::1]:99", &through(proxy.address)).await;
    let request = within(proxy.requests.recv()).await.unwrap();
    assert!(request.starts_with("CONNECT [2001:db8::1]:99 HTTP/1.1\r\n"));
    drop(connection);
}

#[tokio::test]
async fn a_proxy_hears_user_name_and_password() {
    let mut proxy = proxy_to(serve(echo).await).await;
    let url = format!("http://Aladdin:open%20sesame@{}", proxy.address);
    let options = TransportOptions::default().proxy(url.parse().unwrap());
    assert_hidden(&options, "sesame");
    check_echo(&mut open("mqtt://broker.test", &options).await).await;
    let request = within(proxy.requests.recv()).await.unwrap();
    let basic = "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n";
    assert!(request.contains(basic), "{request}");
}

#[tokio::test]
async fn tls_goes_through_a_proxy() {
    let authority = Authority::new("Test");
    let config = server_config(&authority.server("broker.test"), Clients::Anyone);
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let server = serve(move |stream| {
        let acceptor = acceptor.clone();
        async move { echo(acceptor.accept(stream).await.unwrap()).await }
    })
    .await;
    let mut proxy = proxy_to(server).await;
    let tls = Tls::no_roots().roots_pem(&authority.certificate).unwrap();
    let options = through(proxy.address).tls(tls);
    check_echo(&mut open("mqtts://broker.test", &options).await).await;
    let request = within(proxy.requests.recv()).await.unwrap();
    assert!(request.starts_with("CONNECT broker.test:8883 "));
    // An error names both ends.
    let options = through(proxy.address);
    let error = fail("mqtts://broker.test", &options).await;
    assert_contains(
        &error,
        &format!("broker.test:8883 through http://{}", proxy.address),
    );
}

#[tokio::test]
async fn a_refusal_is_told() {
    let cases = [
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "refuses: 403 Forbidden"),
        (
            "HTTP/1.1 407 Authenticate\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n",
            "asks for a user name and password",
        ),
        (
            "HTTP/1.1 407 Authenticate\r\nProxy-Authenticate: Negotiate\r\n\r\n",
            "asks for an authentication that this client does not know",
        ),
    ];
    for (answer, expected) in cases {
        let proxy = proxy_saying(answer).await;
        let error = fail("mqtt://broker.test", &through(proxy)).await;
        let expected = format!(
            "cannot connect to mqtt://broker.test:1883: the proxy http://{proxy} {expected}"
        );
        assert_contains(&error, &expected);
        assert_eq!(error.step(), Step::Proxy);
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(!error.is_permanent());
    }
    let proxy = proxy_saying("HTTP/1.1 407 No\r\n\r\n").await;
    let url = format!("http://u:p@{proxy}");
    let options = TransportOptions::default().proxy(url.parse().unwrap());
    let error = fail("mqtt://broker.test", &options).await;
    assert_contains(&error, "does not accept the user name and password");
}

#[tokio::test]
async fn nonsense_is_told() {
    let cases = [
        ("\x05\x00", "does not answer in HTTP"),
        ("220 mail.example ESMTP\r\n", "does not answer in HTTP"),
        ("HTTP/1.1 all is well\r\n\r\n", "does not answer in HTTP"),
        (
            "HTTP/1.1 200 OK\r\n\r\n\x20\x02\x00\x00",
            "sends more than its answer",
        ),
    ];
    for (answer, expected) in cases {
        let proxy = proxy_saying(answer).await;
        let error = fail("mqtt://broker.test", &through(proxy)).await;
        assert_contains(&error, &format!("the proxy http://{proxy} {expected}"));
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
    let closing = serve(|mut stream: TcpStream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200").await.unwrap();
    })
    .await;
    let error = fail("mqtt://broker.test", &through(closing)).await;
    assert_contains(&error, "closed the connection instead of answering");
}

#[tokio::test]
async fn an_answer_that_is_cut_short_is_told() {
    for end in 0..ESTABLISHED.len() {
        let proxy = serve(move |mut stream: TcpStream| async move {
            read_request(&mut stream).await;
            stream
                .write_all(&ESTABLISHED.as_bytes()[..end])
                .await
                .unwrap();
        })
        .await;
        let error = fail("mqtt://broker.test", &through(proxy)).await;
        assert_contains(&error, "closed the connection instead of answering");
    }
}

#[tokio::test]
async fn endless_headers_are_not_read_to_their_end() {
    let (sender, mut counts) = mpsc::unbounded_channel();
    let proxy = serve(move |mut stream: TcpStream| {
        let sender = sender.clone();
        async move {
            read_request(&mut stream).await;
            let mut written = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await;
            let mut count = 0;
            while written.is_ok() {
                written = stream.write_all(&[b'x'; 1024]).await;
                count += 1;
            }
            sender.send(count).unwrap();
        }
    })
    .await;
    let error = fail("mqtt://broker.test", &through(proxy)).await;
    assert_contains(&error, "sends an answer of more than 16384 bytes");
    // What had room in the buffers of the sockets, and no more.
    let kibibytes = within(counts.recv()).await.unwrap();
    assert!(kibibytes < 12 * 1024, "{kibibytes} KiB were sent");
}

#[tokio::test]
async fn a_proxy_that_does_not_answer_is_given_up() {
    let proxy = serve(silent).await;
    let options = through(proxy).connect_timeout(Duration::from_millis(300));
    let error = fail("mqtt://broker.test", &options).await;
    assert!(error.is_timeout());
    assert_eq!(error.step(), Step::Proxy);
    let expected = format!("no answer from the proxy http://{proxy} after 300ms");
    assert_contains(&error, &expected);
}

#[tokio::test]
async fn all_addresses_of_a_proxy_are_tried() {
    let proxy = proxy_to(serve(echo).await).await;
    let options = TransportOptions::default()
        .proxy(Proxy::http("proxy.test", 3128).unwrap())
        .resolve("proxy.test", [refusing().await, proxy.address]);
    check_echo(&mut open("mqtt://broker.test", &options).await).await;
    let nobody = refusing().await;
    let error = fail("mqtt://broker.test", &through(nobody)).await;
    assert_eq!(error.step(), Step::Connect);
    assert_contains(&error, &format!("{nobody}: Connection refused"));
}
