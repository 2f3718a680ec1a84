//! 6 Using WebSocket as a network transport.

use crate::test::{Test, connect, tests};
use crate::websocket::{Opcode, WebSocket};

tests! {
    /// MQTT in a text frame ends the connection.
    [v5 "6.0.0-1", v311 "6.0.0-1"; WebSocket]
    fn text_frames(t) {
        let mut socket = connected(t);
        socket.send_frame(Opcode::Text, &[0xC0, 0]);
        socket.closed();
    }

    /// Packets in parts, and several of them in one frame, are taken as they would be over TCP.
    [v5 "6.0.0-2", v311 "6.0.0-2"; WebSocket]
    fn frames_are_no_packets(t) {
        let mut socket = t.websocket("mqtt");
        socket.send(&connect(t.version, "a", "02", "", ""), 3);
        connack(t, &mut socket);
        socket.send(r#"82 <0001 {} "~/t" 00> 30 <"~/t" {} 'hello'> c000"#, 1000);
        let (suback, publish) = if t.is_v5() { (6, 12) } else { (5, 11) };
        socket.expect("90 <0001 {..} 00>", suback);
        let length = publish + t.name.len();
        socket.expect(r#"30 <"~/t" {} 'hello'>"#, length);
        socket.expect("d000", 2);
    }

    /// The server chooses the subprotocol mqtt where a client offers it.
    [v5 "6.0.0-3" "6.0.0-4", v311 "6.0.0-3" "6.0.0-4"; WebSocket]
    fn subprotocol(t) {
        for offer in ["mqtt", "other, mqtt", "mqtt, other"] {
            let mut socket = t.websocket(offer);
            let answer = &socket.answer;
            assert!(answer.starts_with("http/1.1 101"), "{answer}");
            assert!(answer.contains("sec-websocket-protocol: mqtt\r\n"), "{answer}");
            socket.send(&connect(t.version, "a", "02", "", ""), 1000);
            connack(t, &mut socket);
        }
    }

    /// An empty frame and a ping are no end, and a ping is answered.
    [v5, v311; WebSocket]
    fn frames_without_mqtt(t) {
        let mut socket = connected(t);
        socket.send_frame(Opcode::Binary, &[]);
        socket.send_frame(Opcode::Ping, b"there?");
        assert_eq!(socket.frame(), Some((Opcode::Pong, b"there?".to_vec())));
        socket.send("c000", 2);
        socket.expect("d000", 2);
    }

    /// A message without end is not taken in before there is a CONNECT.
    [v5, v311; WebSocket]
    fn no_large_message_before_a_connect(t) {
        let mut socket = t.websocket("mqtt");
        socket.send_unfinished_frame(10 << 20, 8 << 20);
        assert!(socket.is_closed_soon(), "8 MiB were taken before the CONNECT");
    }

    /// A client that closes its WebSocket without a DISCONNECT leaves its will.
    [v5, v311; WebSocket]
    fn a_close_frame_is_no_disconnect(t) {
        let mut witness = t.client("w");
        witness.subscribe("~/will", 0);
        let mut socket = t.websocket("mqtt");
        let will = r#"{} "~/will" "gone""#;
        socket.send(&connect(t.version, "a", "06", "", will), 1000);
        connack(t, &mut socket);
        socket.send_frame(Opcode::Close, &[3, 0xE8]);
        witness.message("~/will", "gone");
    }
}

fn connected(t: &Test) -> WebSocket {
    let mut socket = t.websocket("mqtt");
    socket.send(&connect(t.version, "a", "02", "", ""), 1000);
    connack(t, &mut socket);
    socket
}

/// Its length differs, and it is alone in what has come.
#[track_caller]
fn connack(t: &Test, socket: &mut WebSocket) {
    let frame = socket.frame();
    let Some((Opcode::Binary, bytes)) = frame else {
        panic!("{frame:?} instead of a CONNACK");
    };
    let packet = crate::packet::Packet::read(&bytes, t.version);
    let packet = packet.unwrap_or_else(|error| panic!("the broker sent {error}"));
    assert!(packet.is("20 <00 00 {..}>", &t.name), "{packet:?}");
}
