//! TLS: who is trusted, as whom the client is trusted, and what is said when not.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mqtt_client::Tls;
use mqtt_client::transport::{Step, TlsError, TlsVersion, TransportOptions};
use rcgen::{BasicConstraints, CertificateParams, IsCa};
use rustls::pki_types::CertificateDer;
use rustls::version::TLS12;
use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::certificates::{
    Authority, Certified, Clients, Directory, ders, expired, of_the_future, params, self_signed,
    server_config, server_config_with,
};
use crate::peer::{
    assert_contains, assert_hidden, check_echo, echo, fail, open, read, receive, refusing, send,
    serve, silent, within,
};

const NAME: &str = "broker.test";

async fn serve_tls<F, Served>(config: ServerConfig, each: F) -> SocketAddr
where
    F: Fn(TlsStream<TcpStream>) -> Served + Clone + Send + Sync + 'static,
    Served: Future<Output = ()> + Send + 'static,
{
    let acceptor = TlsAcceptor::from(Arc::new(config));
    serve(move |stream| {
        let (acceptor, each) = (acceptor.clone(), each.clone());
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                each(stream).await;
            }
        }
    })
    .await
}

async fn serve_echo(own: &Certified) -> SocketAddr {
    serve_tls(server_config(own, Clients::Anyone), echo).await
}

fn trusting(authority: &Authority) -> Tls {
    Tls::no_roots().roots_pem(&authority.certificate).unwrap()
}

fn with(tls: Tls, server: SocketAddr) -> TransportOptions {
    let options = TransportOptions::default().tls(tls);
    options.resolve(NAME, [server])
}

fn url() -> String {
    format!("mqtts://{NAME}")
}

#[tokio::test]
async fn a_server_with_a_good_certificate_is_trusted() {
    let authority = Authority::new("Test");
    let server = serve_echo(&authority.server(NAME)).await;
    let directory = Directory::new();
    let file = directory.write("ca.pem", &authority.certificate);
    let tls = [
        trusting(&authority),
        Tls::no_roots().roots_file(file).unwrap(),
        Tls::no_roots().roots_directory(directory.path()).unwrap(),
        Tls::native_roots()
            .roots_pem(&authority.certificate)
            .unwrap(),
    ];
    for tls in tls {
        check_echo(&mut open(&url(), &with(tls, server)).await).await;
    }
}

#[tokio::test]
async fn a_certificate_may_be_for_an_ip_address() {
    let authority = Authority::new("Test");
    let server = serve_echo(&authority.server("127.0.0.1")).await;
    let options = TransportOptions::default().tls(trusting(&authority));
    check_echo(&mut open(&format!("mqtts://{server}"), &options).await).await;
}

#[tokio::test]
async fn a_server_that_signed_itself_can_be_trusted() {
    let own = self_signed(&params(NAME));
    let server = serve_echo(&own).await;
    let tls = Tls::no_roots().roots_pem(&own.certificate).unwrap();
    check_echo(&mut open(&url(), &with(tls, server)).await).await;
}

/// What is wrong with a certificate is said, and an expired one is not the client's fault.
#[tokio::test]
async fn a_bad_certificate_is_explained() {
    let authority = Authority::new("Test");
    let stranger = Authority::new("Stranger");
    let cases = [
        (
            authority.certify(&expired(NAME)),
            "the server's certificate expired ",
        ),
        (
            authority.certify(&of_the_future(NAME)),
            "the server's certificate becomes valid in ",
        ),
        (
            authority.server("other.test"),
            "the server's certificate is for other.test, and not for broker.test",
        ),
        (
            authority.server("192.0.2.1"),
            "the server's certificate is for 192.0.2.1, and not for broker.test",
        ),
        (
            authority.certify(&CertificateParams::new([]).unwrap()),
            "the server's certificate is for no name, and not for broker.test",
        ),
        (
            stranger.server(NAME),
            "the server's certificate is by nobody who is trusted",
        ),
        (
            self_signed(&params(NAME)),
            "the server's certificate is by nobody who is trusted",
        ),
    ];
    for (own, expected) in cases {
        let server = serve_echo(&own).await;
        let error = fail(&url(), &with(trusting(&authority), server)).await;
        let expected = format!("TLS with {server}: {expected}");
        assert_contains(
            &error,
            &format!("cannot connect to mqtts://broker.test:8883: {expected}"),
        );
        assert_eq!(error.step(), Step::Tls);
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(!error.is_permanent(), "{error}");
    }
}

#[tokio::test]
async fn days_since_the_end_of_a_certificate_are_told() {
    let authority = Authority::new("Test");
    let server = serve_echo(&authority.certify(&expired(NAME))).await;
    let error = fail(&url(), &with(trusting(&authority), server)).await;
    assert_contains(&error, " days ago (or the clock of this machine is wrong)");
}

#[tokio::test]
async fn the_certificate_of_an_authority_is_none_of_a_server() {
    let mut params = params(NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = self_signed(&params);
    let server = serve_echo(&own).await;
    let tls = Tls::no_roots().roots_pem(&own.certificate).unwrap();
    let error = fail(&url(), &with(tls, server)).await;
    assert_contains(
        &error,
        "the server shows the certificate of an authority as its own",
    );
}

/// The names are the server's, and so is how many there are.
#[tokio::test]
async fn a_certificate_with_many_names_is_told_in_a_line() {
    let authority = Authority::new("Test");
    let names: Vec<String> = (0..200)
        .map(|index| format!("{index}.other.test"))
        .collect();
    let own = authority.certify(&CertificateParams::new(names).unwrap());
    let server = serve_echo(&own).await;
    let error = fail(&url(), &with(trusting(&authority), server)).await;
    assert_contains(&error, "0.other.test, 1.other.test");
    assert!(error.to_string().len() < 400, "{error}");
}

#[tokio::test]
async fn the_system_trusts_nobody_of_the_tests() {
    let authority = Authority::new("Test");
    let server = serve_echo(&authority.server(NAME)).await;
    let error = fail(&url(), &with(Tls::default(), server)).await;
    match error.step() {
        Step::Configure => {
            eprintln!("This machine has no roots: {error}");
            assert_contains(&error, "nobody is trusted");
        }
        _ => assert_contains(&error, "by nobody who is trusted"),
    }
}

#[tokio::test]
async fn the_name_can_be_another_than_the_host() {
    let authority = Authority::new("Test");
    let server = serve_echo(&authority.server("other.test")).await;
    let tls = trusting(&authority).server_name("other.test").unwrap();
    check_echo(&mut open(&url(), &with(tls, server)).await).await;
    let error = Tls::no_roots().server_name("a b").unwrap_err();
    assert_eq!(error, TlsError::ServerName);
}

#[tokio::test]
async fn danger_is_as_large_as_asked_for() {
    let authority = Authority::new("Test");
    let stranger = Authority::new("Stranger");
    let misnamed = serve_echo(&authority.server("other.test")).await;
    let strange = serve_echo(&stranger.server(NAME)).await;
    let expired = serve_echo(&authority.certify(&expired("other.test"))).await;

    let any_name = trusting(&authority).danger_accept_any_name();
    check_echo(&mut open(&url(), &with(any_name.clone(), misnamed)).await).await;
    let error = fail(&url(), &with(any_name.clone(), strange)).await;
    assert_contains(&error, "by nobody who is trusted");
    let error = fail(&url(), &with(any_name, expired)).await;
    assert_contains(&error, "expired");

    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let anyone = Tls::no_roots()
            .version_min(version)
            .danger_accept_any_certificate();
        for server in [misnamed, strange, expired] {
            check_echo(&mut open(&url(), &with(anyone.clone(), server)).await).await;
        }
    }
    let old = server_config_with(&stranger.server(NAME), Clients::Anyone, &[&TLS12]);
    let old = serve_tls(old, echo).await;
    let anyone = Tls::no_roots().danger_accept_any_certificate();
    check_echo(&mut open(&url(), &with(anyone, old)).await).await;
}

#[tokio::test]
async fn without_roots_nobody_is_bothered() {
    let error = fail(&url(), &with(Tls::no_roots(), refusing().await)).await;
    assert_eq!(error.step(), Step::Configure);
    assert!(error.is_permanent());
    assert_contains(&error, "nobody is trusted");
}

/// Sends to each client how it is certified.
async fn serve_certified(config: ServerConfig) -> (SocketAddr, mpsc::UnboundedReceiver<Vec<u8>>) {
    let (sender, shown) = mpsc::unbounded_channel();
    let server = serve_tls(config, move |stream: TlsStream<TcpStream>| {
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let own = certificates
            .first()
            .map(|own: &CertificateDer<'_>| own.to_vec());
        sender.send(own.unwrap_or_default()).unwrap();
        echo(stream)
    })
    .await;
    (server, shown)
}

#[tokio::test]
async fn a_client_shows_its_certificate() {
    let authority = Authority::new("Test");
    let client = authority.client("press-17");
    let clients = Clients::CertifiedBy(&authority);
    let config = server_config(&authority.server(NAME), clients);
    let (server, mut shown) = serve_certified(config).await;
    let tls = trusting(&authority)
        .identity_pem(&client.certificate, &client.key)
        .unwrap();
    check_echo(&mut open(&url(), &with(tls, server)).await).await;
    let expected = ders(&client.certificate)[0].to_vec();
    assert_eq!(within(shown.recv()).await, Some(expected));
}

/// With TLS 1.3 the client is done before the server has seen its certificate, so the refusal comes with
/// the first read.
#[tokio::test]
async fn a_server_that_wants_a_certificate_is_understood() {
    let authority = Authority::new("Test");
    let stranger = Authority::new("Stranger");
    let server = authority.server(NAME);
    let strange = stranger.client("press-17");
    let none = trusting(&authority);
    let wrong = none
        .clone()
        .identity_pem(&strange.certificate, &strange.key)
        .unwrap();
    let cases = [
        (&none, "TLS: the server asks for a client certificate"),
        (
            &wrong,
            "TLS: the server does not trust the authority of the client certificate",
        ),
    ];
    let modern = server_config(&server, Clients::CertifiedBy(&authority));
    let modern = serve_tls(modern, echo).await;
    for (tls, expected) in cases {
        let mut connection = open(&url(), &with(tls.clone(), modern)).await;
        let error = read(&mut connection).await.unwrap_err();
        assert_contains(&error, expected);
    }
    let old = server_config_with(&server, Clients::CertifiedBy(&authority), &[&TLS12]);
    let old = serve_tls(old, echo).await;
    let error = fail(&url(), &with(none, old)).await;
    assert_contains(&error, "client certificate");
    let error = fail(&url(), &with(wrong, old)).await;
    assert_contains(
        &error,
        "does not trust the authority of the client certificate",
    );
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_from_then_on() {
    let authority = Authority::new("Test");
    let clients = Clients::CertifiedBy(&authority);
    let config = server_config(&authority.server(NAME), clients);
    let (server, mut shown) = serve_certified(config).await;
    let directory = Directory::new();
    let first = authority.client("press-17");
    let certificate = directory.write("client.pem", &first.certificate);
    let key = directory.write("client.key", &first.key);
    let tls = trusting(&authority)
        .identity_files(&certificate, &key)
        .unwrap();
    let options = with(tls, server);

    let mut expect = async |options: &TransportOptions, expected: &Certified| {
        check_echo(&mut open(&url(), options).await).await;
        let expected = ders(&expected.certificate)[0].to_vec();
        assert_eq!(within(shown.recv()).await, Some(expected));
    };
    expect(&options, &first).await;

    // Half of a renewal is none: the certificate does not fit the key.
    let second = authority.client("press-17 and its longer name");
    directory.write("client.pem", &second.certificate);
    expect(&options, &first).await;
    directory.write("client.key", &second.key);
    expect(&options.clone(), &second).await;

    std::fs::remove_file(&key).unwrap();
    expect(&options, &second).await;
}

#[test]
fn a_bad_identity_is_told_at_once() {
    let authority = Authority::new("Test");
    let (one, other) = (authority.client("one"), authority.client("other"));
    let identity = |certificate: &str, key: &str| {
        let error = Tls::no_roots().identity_pem(certificate, key).unwrap_err();
        error.to_string()
    };
    let text = identity(&one.certificate, &other.key);
    assert_contains(&text, "the key is that of another certificate");
    assert_contains(&identity("", &one.key), "has no certificate");
    assert_contains(&identity(&one.key, &one.key), "has no certificate");
    assert_contains(&identity(&one.certificate, ""), "has no private key");
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert_contains(&identity(&one.certificate, encrypted), "is encrypted");
    let encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    assert_contains(&identity(&one.certificate, encrypted), "is encrypted");
    let damaged = one.certificate.replace("-----END CERTIFICATE-----", "");
    assert_contains(&identity(&damaged, &one.key), "is damaged");
    let damaged = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert_contains(&identity(&one.certificate, damaged), "do not work");
}

#[test]
fn bad_roots_are_told_at_once() {
    let tls = Tls::no_roots;
    let error = tls().roots_file("/nonexistent/ca.pem").unwrap_err();
    let expected = "/nonexistent/ca.pem cannot be read: No such file or directory";
    assert_eq!(error.to_string(), expected);
    let error = tls().roots_directory("/nonexistent").unwrap_err();
    assert_contains(&error, "/nonexistent cannot be read");
    assert_contains(&tls().roots_pem("").unwrap_err(), "has no certificate");
    let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let error = tls().roots_pem(damaged).unwrap_err();
    assert_contains(&error, "none of its certificates can be understood");
    let directory = Directory::new();
    let error = tls().roots_directory(directory.path()).unwrap_err();
    assert_contains(&error, "has no certificate");
}

#[tokio::test]
async fn what_is_not_tls_is_told() {
    let authority = Authority::new("Test");
    let options = |server| with(trusting(&authority), server);
    let plain = serve(|mut stream: TcpStream| async move {
        // A CONNACK, and then it hangs up.
        let _ = stream.write_all(&[0x20, 2, 0, 0]).await;
        silent(stream).await;
    })
    .await;
    let error = fail(&url(), &options(plain)).await;
    assert_contains(&error, "the server does not answer in TLS");
    let closing = serve(|mut stream: TcpStream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
    })
    .await;
    let error = fail(&url(), &options(closing)).await;
    assert_contains(
        &error,
        "the server closed the connection during the handshake",
    );
}

#[tokio::test]
async fn a_handshake_that_hangs_is_given_up() {
    let authority = Authority::new("Test");
    let server = serve(silent).await;
    let options = with(trusting(&authority), server).connect_timeout(Duration::from_millis(300));
    let error = fail(&url(), &options).await;
    assert!(error.is_timeout());
    assert_eq!(error.step(), Step::Tls);
    assert_contains(
        &error,
        &format!("TLS with {server}: the handshake is not complete after 300ms"),
    );
}

/// A machine behind a name that takes connections and is dead nevertheless is not the end.
#[tokio::test]
async fn the_next_address_is_tried_when_a_handshake_fails_or_hangs() {
    let authority = Authority::new("Test");
    let good = serve_echo(&authority.server(NAME)).await;
    let misnamed = serve_echo(&authority.server("other.test")).await;
    let dead = serve(silent).await;
    let options = TransportOptions::default()
        .tls(trusting(&authority))
        .connect_timeout(Duration::from_secs(2));
    let on = |addresses: &[SocketAddr]| options.clone().resolve(NAME, addresses);
    check_echo(&mut open(&url(), &on(&[misnamed, good])).await).await;
    check_echo(&mut open(&url(), &on(&[dead, good])).await).await;
    let error = fail(&url(), &on(&[dead, misnamed])).await;
    assert_contains(&error, "the server's certificate is for other.test");
    assert_contains(&error, "before that, TLS with");
    assert_contains(&error, "the handshake is not complete after 1s");
}

#[tokio::test]
async fn protocols_are_offered() {
    let authority = Authority::new("Test");
    let mut config = server_config(&authority.server(NAME), Clients::Anyone);
    config.alpn_protocols = vec![b"mqtt".to_vec()];
    let server = serve_tls(config, |mut stream| async move {
        let chosen = stream
            .get_ref()
            .1
            .alpn_protocol()
            .unwrap_or(b"none")
            .to_vec();
        stream.write_all(&chosen).await.unwrap();
        echo(stream).await;
    })
    .await;
    let tls = trusting(&authority).alpn(["x-other", "mqtt"]);
    let mut connection = open(&url(), &with(tls, server)).await;
    assert_eq!(receive(&mut connection, 4).await, b"mqtt");
    let tls = trusting(&authority).alpn(["x-other"]);
    let error = fail(&url(), &with(tls, server)).await;
    assert_contains(
        &error,
        "the server speaks none of the protocols offered by ALPN",
    );
}

#[tokio::test]
async fn old_versions_can_be_refused() {
    let authority = Authority::new("Test");
    let config = server_config_with(&authority.server(NAME), Clients::Anyone, &[&TLS12]);
    let server = serve_tls(config, echo).await;
    let tls = trusting(&authority);
    check_echo(&mut open(&url(), &with(tls.clone(), server)).await).await;
    let tls = tls.version_min(TlsVersion::V1_3);
    let error = fail(&url(), &with(tls, server)).await;
    assert_contains(&error, "versions of TLS");
}

/// A client that comes back is not checked in full again: options keep the sessions, clones too.
#[tokio::test]
async fn a_session_is_resumed() {
    let authority = Authority::new("Test");
    let (sender, mut kinds) = mpsc::unbounded_channel();
    let config = server_config(&authority.server(NAME), Clients::Anyone);
    let server = serve_tls(config, move |stream: TlsStream<TcpStream>| {
        sender.send(stream.get_ref().1.handshake_kind()).unwrap();
        echo(stream)
    })
    .await;
    let options = with(trusting(&authority), server);
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        check_echo(&mut open(&url(), &options.clone()).await).await;
        assert_eq!(within(kinds.recv()).await, Some(Some(expected)));
    }
    let others = with(trusting(&authority), server);
    check_echo(&mut open(&url(), &others).await).await;
    assert_eq!(within(kinds.recv()).await, Some(Some(HandshakeKind::Full)));
}

#[tokio::test]
async fn the_end_is_the_end_with_and_without_farewell() {
    let authority = Authority::new("Test");
    let config = server_config(&authority.server(NAME), Clients::Anyone);
    let server = serve_tls(config, |mut stream| async move {
        let mut word = [0; 5];
        stream.read_exact(&mut word).await.unwrap();
        if &word == b"adieu" {
            stream.shutdown().await.unwrap();
        }
    })
    .await;
    for word in [b"adieu", b"abort"] {
        let options = with(trusting(&authority), server);
        let mut connection = open(&url(), &options).await;
        send(&mut connection, word).await;
        assert_eq!(read(&mut connection).await.unwrap(), b"");
    }
}

#[tokio::test]
async fn a_shutdown_says_farewell() {
    let authority = Authority::new("Test");
    let (sender, mut ends) = mpsc::unbounded_channel();
    let config = server_config(&authority.server(NAME), Clients::Anyone);
    let server = serve_tls(config, move |mut stream: TlsStream<TcpStream>| {
        let sender = sender.clone();
        async move {
            let end = stream.read(&mut [0; 16]).await;
            sender.send(end.map_err(|error| error.kind())).unwrap();
        }
    })
    .await;
    let mut connection = open(&url(), &with(trusting(&authority), server)).await;
    within(connection.shutdown()).await.unwrap();
    assert_eq!(within(ends.recv()).await, Some(Ok(0)));
    let connection = open(&url(), &with(trusting(&authority), server)).await;
    drop(connection);
    let abrupt = Some(Err(io::ErrorKind::UnexpectedEof));
    assert_eq!(within(ends.recv()).await, abrupt);
}

#[test]
fn no_key_is_shown() {
    let own = Authority::new("Test").client("press-17");
    let tls = Tls::no_roots()
        .identity_pem(&own.certificate, &own.key)
        .unwrap();
    let line = own.key.lines().nth(1).unwrap();
    assert_hidden(&TransportOptions::default().tls(tls), line);
}
