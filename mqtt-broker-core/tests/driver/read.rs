//! What is read: packets cut anywhere, many at once, and of every size around the sizes of buffers.

use mqtt_codec::Packet;

use crate::net::{Client, Net, rest};
use crate::script::{Hello, post, v5, v311};
use crate::{Q0, Q1, Q2};

/// Bytes that a connection reads at a time.
const BUFFER: usize = 64 * 1024;
/// Bytes of the largest start of a packet that what follows is read behind, in the same buffer.
const SMALL: usize = BUFFER / 2;

#[tokio::test]
async fn packets_may_be_cut_anywhere() {
    for hello in [v5(), v311()] {
        let bytes = conversation(&hello).await;
        let expected = [
            "CONNACK Success",
            "SUBACK id1 GrantedQoS1",
            "PUBLISH t/1 one q1 id1",
            "PUBREC id2",
            "PUBLISH t/2 (200 bytes) q0",
            "PUBLISH t/3 (empty) q0",
            "PINGRESP",
        ];
        let whole = answers(&hello, &[&bytes]).await;
        assert_eq!(whole, expected, "in one piece");
        let bytewise: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(answers(&hello, &bytewise).await, expected, "byte by byte");
        for at in 1..bytes.len() {
            let (front, behind) = bytes.split_at(at);
            let lines = answers(&hello, &[front, behind]).await;
            assert_eq!(lines, expected, "cut behind byte {at}");
        }
    }
}

/// What is behind a packet that ends the connection is not handled, wherever it is cut.
#[tokio::test]
async fn nothing_is_handled_behind_the_end() {
    let hello = v5();
    let net = Net::new().await;
    let mut watcher = net.connect("watcher", v5()).await;
    watcher.subscribe("#", Q0).await;
    let mut client = net.open("a");
    let mut bytes = Vec::new();
    let packets = [
        Packet::Connect(hello.packet("a")),
        client.post(post("t", "before")),
    ];
    for packet in packets {
        packet.encode(hello.version, &mut bytes).unwrap();
    }
    // A packet of the reserved type 0.
    bytes.extend([0, 0]);
    let behind = client.post(post("t", "behind"));
    behind.encode(hello.version, &mut bytes).unwrap();
    client.write(&bytes).await;
    let expected = ["CONNACK Success", "DISCONNECT MalformedPacket", "CLOSED"];
    assert_eq!(client.lines().await, expected);
    assert_eq!(watcher.lines().await, ["PUBLISH t before q0"]);
}

/// A client that sends no more is lost, even if it still reads: its will is published.
#[tokio::test]
async fn a_half_closed_transport_is_lost() {
    let net = Net::new().await;
    let mut watcher = net.connect("watcher", v5()).await;
    watcher.subscribe("#", Q0).await;
    let mut client = net.connect("a", v5().will(post("will", "x"))).await;
    client.publish(post("t", "last")).await;
    client.finish().await;
    client.expect("CLOSED").await;
    let expected = ["PUBLISH t last q0", "PUBLISH will x q0"];
    assert_eq!(watcher.lines().await, expected);
}

#[tokio::test]
async fn ten_thousand_packets_may_come_at_once() {
    let net = Net::new().await;
    let mut client = net.connect("a", v5().receive_maximum(u16::MAX)).await;
    client.subscribe("t", Q1).await;
    let expected: Vec<_> = (0..10_000).map(|number| number.to_string()).collect();
    let mut bytes = Vec::new();
    for number in &expected {
        let packet = client.post(post("t", number));
        packet.encode(v5().version, &mut bytes).unwrap();
    }
    client.write(&bytes).await;
    for number in expected {
        client.expect(&format!("PUBLISH t {number} q0")).await;
    }
}

#[tokio::test]
async fn packets_of_all_sizes_around_those_of_buffers_arrive_whole() {
    let net = Net::new().await;
    let mut client = net.connect("a", v5()).await;
    client.subscribe("t", Q1).await;
    for size in [SMALL, BUFFER, 2 * BUFFER, 1024 * 1024] {
        for len in size - 8..=size + 8 {
            // The payload of a packet of this length.
            let overhead = 10 + usize::from(len > 16_384);
            exchange(&mut client, len - overhead, len).await;
        }
    }
}

/// The pieces are of the sizes at which another way of reading begins, and of odd ones.
#[tokio::test]
async fn large_packets_may_come_in_pieces_of_any_size() {
    let net = Net::new().await;
    let mut client = net.connect("a", v5()).await;
    client.subscribe("t", Q1).await;
    for len in [100_000, 1024 * 1024] {
        for piece in [
            997,
            SMALL - 1,
            SMALL,
            SMALL + 1,
            BUFFER - 1,
            BUFFER,
            BUFFER + 1,
        ] {
            exchange(&mut client, len, piece).await;
        }
    }
}

/// Small packets before and behind a large one are handled in their order.
#[tokio::test]
async fn small_packets_around_a_large_one_keep_their_order() {
    let net = Net::new().await;
    let mut client = net.connect("a", v5()).await;
    client.subscribe("t", Q0).await;
    let posts = [
        post("t", "1"),
        post("t", "2".repeat(200_000)),
        post("t", "3"),
        post("t", "4".repeat(70_000)),
        post("t", "5"),
    ];
    let mut bytes = Vec::new();
    for packet in posts.map(|post| client.post(post)) {
        packet.encode(v5().version, &mut bytes).unwrap();
    }
    for piece in [bytes.len(), BUFFER, 10_000, 333] {
        for piece in bytes.chunks(piece) {
            client.write(piece).await;
            rest().await;
        }
        let expected = [
            "PUBLISH t 1 q0",
            "PUBLISH t (200000 bytes) q0",
            "PUBLISH t 3 q0",
            "PUBLISH t (70000 bytes) q0",
            "PUBLISH t 5 q0",
        ];
        assert_eq!(client.lines().await, expected, "pieces of {piece:?}");
    }
}

/// What a client says from CONNECT on, as bytes.
async fn conversation(hello: &Hello) -> Vec<u8> {
    let mut client = Net::new().await.open("a");
    let packets = [
        Packet::Connect(hello.packet("a")),
        client.subscribe_packet("t/+", Q1),
        client.post(post("t/1", "one").qos(Q2)),
        client.post(post("t/2", "x".repeat(200))),
        client.post(post("t/3", "")),
        Packet::PingReq,
    ];
    let mut bytes = Vec::new();
    for packet in packets {
        packet.encode(hello.version, &mut bytes).unwrap();
    }
    bytes
}

/// What a new broker answers to bytes that come in these pieces.
async fn answers(hello: &Hello, pieces: &[&[u8]]) -> Vec<String> {
    let net = Net::new().await;
    let mut client = net.open("a");
    client.speak(hello.version);
    for piece in pieces {
        client.write(piece).await;
        rest().await;
    }
    client.lines().await
}

/// Sends a message to itself, in pieces of so many bytes.
async fn exchange(client: &mut Client, payload_len: usize, piece: usize) {
    // A pattern that does not repeat with any power of two.
    let payload: Vec<u8> = (0..payload_len).map(|at| (at % 251) as u8).collect();
    let packet = client.post(post("t", &payload));
    let bytes = packet.to_vec(v5().version).unwrap();
    for piece in bytes.chunks(piece) {
        client.write(piece).await;
        rest().await;
    }
    let taken = client.take_messages(1).await;
    assert!(
        taken == [payload],
        "{payload_len} bytes in pieces of {piece}"
    );
}
