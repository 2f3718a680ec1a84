//! TCP, and the addresses of a name.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mqtt_client::transport::{Step, TransportOptions};
use tokio::sync::mpsc;

use crate::peer::{
    assert_contains, check_echo, echo, fail, hanging, open, refusing, serve, serve_at, within,
};

fn at(addresses: &[SocketAddr]) -> TransportOptions {
    TransportOptions::default().resolve("Broker.test", addresses)
}

#[tokio::test]
async fn a_server_is_reached_by_address_and_by_name() {
    let server = serve(echo).await;
    let options = TransportOptions::default();
    check_echo(&mut open(&format!("mqtt://{server}"), &options).await).await;
    let named = format!("tcp://localhost:{}", server.port());
    check_echo(&mut open(&named, &options).await).await;
    // The port is that of the URL where none comes with the addresses.
    let options = at(&[SocketAddr::new(server.ip(), 0)]);
    let named = format!("mqtt://Broker.Test:{}", server.port());
    check_echo(&mut open(&named, &options).await).await;
}

#[tokio::test]
async fn ipv6_is_reached() {
    if tokio::net::TcpListener::bind("[::1]:0").await.is_err() {
        eprintln!("Skipped: this machine has no IPv6.");
        return;
    }
    let server = serve_at("[::1]:0", echo).await;
    let options = TransportOptions::default();
    check_echo(&mut open(&format!("mqtt://{server}"), &options).await).await;
}

#[tokio::test]
async fn a_refusal_says_who_refused() {
    let nobody = refusing().await;
    let error = fail(
        &format!("mqtt://u:secret@{nobody}"),
        &TransportOptions::default(),
    )
    .await;
    let expected = format!("cannot connect to mqtt://u@{nobody}: {nobody}: Connection refused");
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.step(), Step::Connect);
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert!(!error.is_permanent());
    assert!(!error.is_timeout());
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_refuses() {
    let server = serve(echo).await;
    let options = at(&[refusing().await, refusing().await, server]);
    check_echo(&mut open("mqtt://broker.test", &options).await).await;
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_hangs() {
    let server = serve(echo).await;
    let hanging = hanging().await;
    let start = Instant::now();
    let options = at(&[hanging.address, server]);
    check_echo(&mut open("mqtt://broker.test", &options).await).await;
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(250), "{took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

/// The one that was asked first answers late, when the next has been asked, too. It is the second packet
/// of the handshake that comes through, which the system sends a second later.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_address_is_still_good_when_the_next_is_asked() {
    let (first, second) = (hanging().await, hanging().await);
    let options = at(&[first.address, second.address]);
    let late = async {
        tokio::time::sleep(Duration::from_millis(600)).await;
        first.make_room();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _connection = open("mqtt://broker.test", &options) => {}
        () = late => {}
    }
}

#[tokio::test]
async fn each_address_has_a_head_start() {
    let server = serve(echo).await;
    let (first, second) = (hanging().await, hanging().await);
    let start = Instant::now();
    let options = at(&[first.address, second.address, server]);
    check_echo(&mut open("mqtt://broker.test", &options).await).await;
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(500), "{took:?}");
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test]
async fn all_addresses_that_failed_are_named() {
    let addresses = [refusing().await, refusing().await];
    let error = fail("mqtt://broker.test", &at(&addresses)).await;
    for address in addresses {
        assert_contains(&error, &format!("{address}: Connection refused"));
    }
    let many: Vec<SocketAddr> = (1..=20).map(|last| ([127, 0, 0, last], 1).into()).collect();
    assert_contains(&fail("mqtt://broker.test", &at(&many)).await, "and 15 more");
}

#[tokio::test]
async fn time_is_limited() {
    let hanging = hanging().await;
    let nobody = refusing().await;
    let options = at(&[nobody, hanging.address]).connect_timeout(Duration::from_millis(400));
    let error = fail("mqtt://broker.test", &options).await;
    assert!(error.is_timeout());
    assert_eq!(error.step(), Step::Connect);
    assert_contains(
        &error,
        &format!("no answer from {} after 400ms", hanging.address),
    );
    assert_contains(&error, &format!("{nobody}: Connection refused"));
}

#[tokio::test]
async fn a_name_without_addresses_is_told() {
    let error = fail("mqtt://broker.test", &at(&[])).await;
    assert_eq!(error.step(), Step::Resolve);
    assert!(!error.is_permanent());
    assert_contains(&error, "the name broker.test has no addresses");
}

/// `.invalid` is reserved for names that do not exist. What the system says of it is its own affair, and
/// without a network it may say nothing.
#[tokio::test]
async fn an_unknown_name_is_told() {
    let options = TransportOptions::default().connect_timeout(Duration::from_secs(5));
    let error = fail("mqtt://broker.invalid", &options).await;
    assert_eq!(error.step(), Step::Resolve);
    assert_contains(&error, "name broker.invalid");
}

#[tokio::test]
async fn the_own_address_can_be_chosen() {
    let (sender, mut peers) = mpsc::unbounded_channel();
    let server = serve(move |stream| {
        sender.send(stream.peer_addr().unwrap().ip()).unwrap();
        echo(stream)
    })
    .await;
    let own: IpAddr = "127.0.0.3".parse().unwrap();
    let options = TransportOptions::default().bind(own);
    let connection = open(&format!("mqtt://{server}"), &options).await;
    assert_eq!(within(peers.recv()).await, Some(own));
    drop(connection);
    let options = options.bind("::1".parse().unwrap());
    let error = fail(&format!("mqtt://{server}"), &options).await;
    assert_contains(
        &error,
        "127.0.0.1 has no address that can be reached from ::1",
    );
    // One of the right family is enough.
    let options = at(&["[::1]:1".parse().unwrap(), server]).bind(own);
    check_echo(&mut open("mqtt://broker.test", &options).await).await;
}

#[tokio::test]
async fn an_attempt_that_is_dropped_leaves_nothing_open() {
    let (sender, mut ended) = mpsc::unbounded_channel();
    let server = serve(move |stream| {
        let sender = sender.clone();
        async move {
            crate::peer::silent(stream).await;
            sender.send(()).unwrap();
        }
    })
    .await;
    let address = format!("mqtts://{server}").parse().unwrap();
    let options = TransportOptions::default();
    let attempt = mqtt_client::transport::open(&address, &options);
    let attempt = tokio::time::timeout(Duration::from_secs(1), attempt).await;
    assert!(attempt.is_err(), "it is not in its handshake");
    assert_eq!(within(ended.recv()).await, Some(()));
}

/// The timer of a socket, and the seconds until it fires. [proc_pid_net(5)]
#[cfg(target_os = "linux")]
fn timer(local: SocketAddr, remote: SocketAddr) -> (u8, u64) {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let [local, remote] = [local, remote].map(|end| format!(":{:04X}", end.port()));
    let row = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|row| row[1].ends_with(&local) && row[2].ends_with(&remote))
        .expect("the socket is not in the table");
    let (timer, ticks) = row[5].split_once(':').unwrap();
    let ticks = u64::from_str_radix(ticks, 16).unwrap();
    (u8::from_str_radix(timer, 16).unwrap(), ticks / 100)
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn tcp_itself_asks_for_silent_peers() {
    const NONE: u8 = 0;
    const KEEP_ALIVE: u8 = 2;
    let (sender, mut peers) = mpsc::unbounded_channel();
    let server = serve(move |stream| {
        sender.send(stream.peer_addr().unwrap()).unwrap();
        echo(stream)
    })
    .await;
    let url = format!("mqtt://{server}");
    let default = TransportOptions::default();
    let seconds = default
        .clone()
        .tcp_keep_alive(Some(Duration::from_secs(300)));
    let off = default.clone().tcp_keep_alive(None);
    for (options, expected, range) in [
        (default, KEEP_ALIVE, 30..=60),
        (seconds, KEEP_ALIVE, 270..=300),
        (off, NONE, 0..=0),
    ] {
        let _connection = open(&url, &options).await;
        let local = within(peers.recv()).await.unwrap();
        let (timer, seconds) = timer(local, server);
        assert_eq!(timer, expected);
        assert!(range.contains(&seconds), "{seconds} seconds");
    }
}
