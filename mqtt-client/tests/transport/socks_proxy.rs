//! SOCKS5 proxies.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mqtt_client::transport::{Step, TransportOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::peer::{
    assert_contains, assert_hidden, check_echo, echo, fail, open, serve, silent, within,
};

/// Whom a proxy lets in.
#[derive(Clone, Copy)]
enum Users {
    Anyone,
    Named(&'static str, &'static str),
}

/// A proxy that leads to one server, whatever it is asked for, and tells what that was.
struct SocksProxy {
    address: SocketAddr,
    targets: mpsc::UnboundedReceiver<String>,
}

async fn proxy_to(server: SocketAddr, users: Users) -> SocksProxy {
    let (sender, targets) = mpsc::unbounded_channel();
    let address = serve(move |mut stream: TcpStream| {
        let sender = sender.clone();
        async move {
            // Who is not let in goes away.
            if let Ok(target) = negotiate(&mut stream, users).await {
                let is_refused = target.starts_with("192.0.2.");
                // Not every test wants to know.
                let _ = sender.send(target);
                if is_refused {
                    let _ = stream.write_all(&[5, 4, 0, 1, 0, 0, 0, 0, 0, 0]).await;
                    return;
                }
                let mut onward = TcpStream::connect(server).await.unwrap();
                // What it is bound to has a name here, and comes byte by byte.
                for byte in [5, 0, 0, 3, 5, b'p', b'r', b'o', b'x', b'y', 4, 56] {
                    stream.write_all(&[byte]).await.unwrap();
                }
                let _ = copy_bidirectional(&mut stream, &mut onward).await;
            }
        }
    })
    .await;
    SocksProxy { address, targets }
}

/// The server's side of RFC 1928 and RFC 1929, up to the request.
async fn negotiate(stream: &mut TcpStream, users: Users) -> io::Result<String> {
    assert_eq!(stream.read_u8().await?, 5);
    let methods = read_counted(stream).await?;
    match users {
        Users::Anyone => stream.write_all(&[5, 0]).await?,
        Users::Named(..) if !methods.contains(&2) => {
            stream.write_all(&[5, 0xff]).await?;
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Users::Named(name, password) => {
            stream.write_all(&[5, 2]).await?;
            assert_eq!(stream.read_u8().await?, 1);
            let given = [read_counted(stream).await?, read_counted(stream).await?];
            let is_known = given == [name.as_bytes(), password.as_bytes()];
            stream.write_all(&[1, u8::from(!is_known)]).await?;
        }
    }
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    assert_eq!(head[..3], [5, 1, 0]);
    let host = match head[3] {
        1 => {
            let mut address = [0; 4];
            stream.read_exact(&mut address).await?;
            std::net::Ipv4Addr::from(address).to_string()
        }
        3 => String::from_utf8(read_counted(stream).await?).unwrap(),
        4 => {
            let mut address = [0; 16];
            stream.read_exact(&mut address).await?;
            std::net::Ipv6Addr::from(address).to_string()
        }
        other => panic!("address of type {other}"),
    };
    Ok(format!("{host} {}", stream.read_u16().await?))
}

async fn read_counted(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; stream.read_u8().await?.into()];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// A proxy that answers the greeting and what follows with these bytes, and then waits.
async fn proxy_saying(answers: &'static [&'static [u8]]) -> SocketAddr {
    serve(move |mut stream: TcpStream| async move {
        for answer in answers {
            let _ = stream.read(&mut [0; 1024]).await;
            stream.write_all(answer).await.unwrap();
        }
        silent(stream).await;
    })
    .await
}

fn through(url: &str) -> TransportOptions {
    TransportOptions::default().proxy(url.parse().unwrap())
}

#[tokio::test]
async fn a_proxy_is_asked_for_the_name_or_for_the_address() {
    let mut proxy = proxy_to(serve(echo).await, Users::Anyone).await;
    let address = proxy.address;
    let remote = through(&format!("socks5h://{address}"));
    let local = through(&format!("socks5://{address}"))
        .resolve("broker.test", ["[2001:db8::1]:0".parse().unwrap()]);
    let cases = [
        (&remote, "mqtt://broker.test", "broker.test 1883"),
        (&remote, "mqtt://198.51.100.1:99", "198.51.100.1 99"),
        (&local, "mqtt://broker.test", "2001:db8::1 1883"),
        (&local, "mqtt://198.51.100.1", "198.51.100.1 1883"),
    ];
    for (options, url, expected) in cases {
        check_echo(&mut open(url, options).await).await;
        assert_eq!(within(proxy.targets.recv()).await.unwrap(), expected);
    }
}

/// Where names are resolved here, a proxy that cannot reach one address is asked for the next.
#[tokio::test]
async fn a_proxy_is_asked_for_one_address_after_the_other() {
    let mut proxy = proxy_to(serve(echo).await, Users::Anyone).await;
    let addresses = ["192.0.2.1:1", "192.0.2.2:1", "198.51.100.1:1"];
    let addresses = addresses.map(|text| text.parse().unwrap());
    let options = through(&format!("socks5://{}", proxy.address));
    let options = options.resolve("broker.test", addresses);
    check_echo(&mut open("mqtt://broker.test", &options).await).await;
    for expected in ["192.0.2.1 1", "192.0.2.2 1", "198.51.100.1 1"] {
        assert_eq!(within(proxy.targets.recv()).await.unwrap(), expected);
    }
    let options = options.resolve("broker.test", &addresses[..2]);
    let error = fail("mqtt://broker.test", &options).await;
    assert_contains(
        &error,
        "refuses: the host is unreachable; before that, the proxy",
    );
}

#[tokio::test]
async fn user_name_and_password_open_a_proxy() {
    let server = serve(echo).await;
    let proxy = proxy_to(server, Users::Named("u", "secret")).await;
    let address = proxy.address;
    let options = through(&format!("socks5h://u:secret@{address}"));
    assert_hidden(&options, "secret");
    check_echo(&mut open("mqtt://broker.test", &options).await).await;

    let wrong = through(&format!("socks5h://u:public@{address}"));
    let error = fail("mqtt://broker.test", &wrong).await;
    let expected =
        format!("the proxy socks5h://u@{address} does not accept the user name and password");
    assert_contains(&error, &expected);
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    let none = through(&format!("socks5h://{address}"));
    let error = fail("mqtt://broker.test", &none).await;
    assert_contains(&error, "asks for a user name and password");

    // One that asks nobody takes whoever has a name, too.
    let open_to_all = proxy_to(server, Users::Anyone).await.address;
    let options = through(&format!("socks5h://u:secret@{open_to_all}"));
    check_echo(&mut open("mqtt://broker.test", &options).await).await;
}

#[tokio::test]
async fn a_refusal_is_told() {
    const HELLO: &[u8] = &[5, 0];
    let cases: [(&'static [&'static [u8]], &str, io::ErrorKind); 5] = [
        (
            &[HELLO, &[5, 1, 0, 1, 0, 0, 0, 0, 0, 0]],
            "refuses: general failure",
            io::ErrorKind::Other,
        ),
        (
            &[HELLO, &[5, 2, 0, 1, 0, 0, 0, 0, 0, 0]],
            "refuses: its rules do not allow the connection",
            io::ErrorKind::PermissionDenied,
        ),
        // Some send nothing more.
        (
            &[HELLO, &[5, 5, 0, 1]],
            "refuses: the server refused the connection",
            io::ErrorKind::ConnectionRefused,
        ),
        (
            &[HELLO, &[5, 77, 0, 1]],
            "refuses with the unknown code 77",
            io::ErrorKind::Other,
        ),
        (
            &[&[5, 0xff]],
            "asks for a user name and password",
            io::ErrorKind::PermissionDenied,
        ),
    ];
    for (answers, expected, kind) in cases {
        let proxy = proxy_saying(answers).await;
        let url = format!("socks5h://{proxy}");
        let error = fail("mqtt://broker.test", &through(&url)).await;
        assert_contains(&error, &format!("the proxy {url} {expected}"));
        assert_eq!(error.step(), Step::Proxy);
        assert_eq!(error.kind(), kind);
        assert!(!error.is_permanent());
    }
}

#[tokio::test]
async fn nonsense_is_told() {
    let cases: [(&'static [&'static [u8]], &str); 6] = [
        (&[b"HTTP/1.1 400 Bad Request\r\n\r\n"], "answers in HTTP"),
        (&[&[4, 0]], "does not answer in SOCKS5"),
        (&[&[5, 9]], "chose authentication 9, which was not offered"),
        (&[&[5, 2]], "chose authentication 2, which was not offered"),
        (&[&[5, 0], &[4, 0, 0, 1]], "does not answer in SOCKS5"),
        (&[&[5, 0], &[5, 0, 0, 2]], "does not answer in SOCKS5"),
    ];
    for (answers, expected) in cases {
        let proxy = proxy_saying(answers).await;
        let error = fail(
            "mqtt://broker.test",
            &through(&format!("socks5h://{proxy}")),
        )
        .await;
        assert_contains(&error, expected);
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
    let closing = serve(|mut stream: TcpStream| async move {
        let _ = stream.read(&mut [0; 16]).await;
        stream.write_all(&[5]).await.unwrap();
    })
    .await;
    let error = fail(
        "mqtt://broker.test",
        &through(&format!("socks5h://{closing}")),
    )
    .await;
    assert_contains(&error, "closed the connection instead of answering");
}

#[tokio::test]
async fn an_answer_that_is_cut_short_is_told() {
    const ANSWER: &[u8] = &[5, 0, 5, 0, 0, 3, 2, b'a', b'b', 1, 2];
    for end in 0..ANSWER.len() {
        let proxy = serve(move |mut stream: TcpStream| async move {
            stream.write_all(&ANSWER[..end]).await.unwrap();
            // What came is read, or the system would reset the connection.
            stream.shutdown().await.unwrap();
            silent(stream).await;
        })
        .await;
        let error = fail(
            "mqtt://broker.test",
            &through(&format!("socks5h://{proxy}")),
        )
        .await;
        assert_contains(&error, "closed the connection instead of answering");
    }
}

#[tokio::test]
async fn a_proxy_that_does_not_answer_is_given_up() {
    const SILENT: &[&[u8]] = &[];
    const GREETED: &[&[u8]] = &[&[5, 0]];
    for answers in [SILENT, GREETED] {
        let proxy = proxy_saying(answers).await;
        let options = through(&format!("socks5h://{proxy}"));
        let options = options.connect_timeout(Duration::from_millis(300));
        let error = fail("mqtt://broker.test", &options).await;
        assert!(error.is_timeout());
        assert_eq!(error.step(), Step::Proxy);
        assert_contains(
            &error,
            &format!("no answer from the proxy socks5h://{proxy}"),
        );
    }
}
