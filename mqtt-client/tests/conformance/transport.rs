//! Transports: section 4.2, and chapter 6, WebSockets. Here the whole client runs, over sockets.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use mqtt_client::{Client, QoS, Subscription};
use mqtt_conformance::Version;
use mqtt_conformance::notation::Notation;
use tokio::runtime::Runtime;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::packet::{Packet, whole_packet};
use crate::test::{Test, tests};

/// How long a client may take for anything.
const SOON: Duration = Duration::from_secs(20);

tests! {
    /// Packets of all sizes pass over TCP, in order and whole, in the version's own words and nothing else.
    [v5 "4.2-1", v311 "7.1.2-1" "7.0.0-2"]
    fn tcp(t) {
        let place = Place::new();
        let client = place.client(t, "mqtt");
        let peer = place.accept(t, Over::Tcp);
        converse(&place, &client, peer);
    }

    /// The same over a WebSocket: the client offers the subprotocol mqtt, and sends its packets in binary
    /// frames.
    [v5 "4.2-1" "6.0.0-1" "6.0.0-3", v311 "7.1.2-1" "6.0.0-1" "6.0.0-3"]
    fn websocket(t) {
        let place = Place::new();
        let client = place.client(t, "ws");
        let peer = place.accept(t, Over::WebSocket("mqtt"));
        converse(&place, &client, peer);
    }

    /// A frame that is not binary ends the connection.
    [v5 "6.0.0-1", v311 "6.0.0-1"]
    fn text_frame(t) {
        let place = Place::new();
        let client = place.client(t, "ws");
        let mut peer = place.accept(t, Over::WebSocket("mqtt"));
        peer.admit();
        let mut subscription = place.subscribe(&client, &mut peer);
        peer.send_frame(1, r#"30 <"a" {} 'x'>"#);
        peer.closed();
        let mut peer = place.accept(t, Over::WebSocket("mqtt"));
        peer.admit();
        peer.answer_subscribe();
        peer.send(r#"30 <"a" {} 'y'>"#);
        let message = place.next(&mut subscription);
        assert_eq!(message.text().unwrap(), "y", "the text was taken for a packet");
    }

    /// Packets begin and end where they like in the frames.
    [v5 "6.0.0-2", v311 "6.0.0-2"]
    fn frames_are_not_packets(t) {
        let place = Place::new();
        let client = place.client(t, "ws");
        let mut peer = place.accept(t, Over::WebSocket("mqtt"));
        peer.expect("10 <..>");
        for byte in peer.encode("20 <00 00 {}>") {
            peer.send_frame(2, &format!("{byte:02x}"));
        }
        let mut subscription = place.subscribe(&client, &mut peer);
        let mut bytes = peer.encode(r#"30 <"a" {} '1'> 30 <"a" {} '2'> 30 <"a" {} '3'>"#);
        let end = bytes.split_off(bytes.len() - 4);
        peer.send_bytes(2, &bytes);
        for expected in ["1", "2"] {
            assert_eq!(place.next(&mut subscription).text().unwrap(), expected);
        }
        peer.send_bytes(2, &end);
        assert_eq!(place.next(&mut subscription).text().unwrap(), "3");
    }

    /// A server that chooses another subprotocol, or none, speaks no MQTT: the client leaves.
    [v5 "6.0.0-4", v311 "6.0.0-4"]
    fn another_subprotocol(t) {
        for chosen in ["mqttv3.1", ""] {
            let place = Place::new();
            let _client = place.client(t, "ws");
            let peer = place.accept(t, Over::WebSocket(chosen));
            peer.closed();
        }
    }

    /// After its DISCONNECT the client closes the network connection; so it does when the server breaks the
    /// protocol, and when it was refused.
    [v5 "3.14.4-2" "4.13.2-1", v311 "3.14.4-1" "4.8.0-1"]
    fn the_network_connection_is_closed(t) {
        for scheme in ["mqtt", "ws"] {
            let over = || match scheme {
                "ws" => Over::WebSocket("mqtt"),
                _ => Over::Tcp,
            };
            let place = Place::new();
            let client = place.client(t, scheme);
            let mut peer = place.accept(t, over());
            peer.admit();
            peer.send("20 <00 00 {}>");
            if t.is_v5() {
                peer.expect("e0 <82 ..>");
            }
            peer.closed();
            let mut peer = place.accept(t, over());
            peer.expect("10 <..>");
            peer.send(&format!("20 <00 {} {{}}>", if t.is_v5() { "88" } else { "03" }));
            peer.closed();
            let mut peer = place.accept(t, over());
            peer.admit();
            let _subscription = place.subscribe(&client, &mut peer);
            let disconnect = place.runtime.spawn(async move { client.disconnect().await });
            peer.expect("e0 <..>");
            peer.closed();
            place.runtime.block_on(disconnect).unwrap().unwrap();
        }
    }
}

/// All kinds of packets, both ways.
fn converse(place: &Place, client: &Client, mut peer: Peer) {
    peer.admit();
    let mut subscription = place.subscribe(client, &mut peer);
    for length in [0, 1, 127, 128, 20_000, 300_000] {
        let payload = "x".repeat(length);
        let publishing = {
            let (client, payload) = (client.clone(), payload.clone());
            place
                .runtime
                .spawn(async move { client.publish("b", payload).qos(QoS::ExactlyOnce).await })
        };
        let id = peer
            .expect(&format!(r#"34 <"b" ???? {{}} '{payload}'>"#))
            .id();
        peer.send(&format!("50 <{id:04x}>"));
        peer.expect(&format!("62 <{id:04x} ..>"));
        peer.send(&format!("70 <{id:04x}>"));
        place.runtime.block_on(publishing).unwrap().unwrap();
        peer.send(&format!(r#"32 <"a" 0001 {{}} '{payload}'>"#));
        assert_eq!(place.next(&mut subscription).payload.len(), length);
        peer.expect("40 <0001 ..>");
    }
    let last = client.clone();
    let disconnect = place.runtime.spawn(async move { last.disconnect().await });
    peer.expect("e0 <..>");
    peer.closed();
    place.runtime.block_on(disconnect).unwrap().unwrap();
}

/// Where a server listens, and what its client runs on.
struct Place {
    listener: TcpListener,
    runtime: Runtime,
}

#[derive(Clone, Copy)]
enum Over {
    Tcp,
    /// The server chooses this subprotocol, or none.
    WebSocket(&'static str),
}

impl Place {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        Self {
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            runtime: runtime.unwrap(),
        }
    }

    /// A client that is about to connect.
    fn client(&self, t: &Test, scheme: &str) -> Client {
        let port = self.listener.local_addr().unwrap().port();
        let _context = self.runtime.enter();
        Client::builder(&format!("{scheme}://127.0.0.1:{port}"))
            .client_id("c")
            .version(t.codec_version())
            .topic_aliases(0, 0)
            .backoff(Duration::ZERO..=Duration::ZERO)
            .start()
            .unwrap()
    }

    /// The client's next connection, on which it has said nothing of MQTT.
    fn accept(&self, t: &Test, over: Over) -> Peer {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut peer = Peer {
            stream,
            over,
            version: t.version,
            received: Vec::new(),
        };
        if let Over::WebSocket(chosen) = over {
            peer.shake_hands(chosen);
        }
        peer
    }

    /// A subscription to `a`, which the server grants.
    fn subscribe(&self, client: &Client, peer: &mut Peer) -> Subscription {
        let client = client.clone();
        let subscribing = self
            .runtime
            .spawn(async move { client.subscribe("a").qos(QoS::AtLeastOnce).await });
        peer.answer_subscribe();
        self.runtime.block_on(subscribing).unwrap().unwrap()
    }

    fn next(&self, subscription: &mut Subscription) -> mqtt_client::Message {
        let next = async { tokio::time::timeout(SOON, subscription.next()).await };
        let next = self.runtime.block_on(next);
        next.expect("a message, soon").expect("a message")
    }
}

/// The server's end of a connection.
struct Peer {
    stream: TcpStream,
    over: Over,
    version: Version,
    /// Bytes of MQTT that were not looked at.
    received: Vec<u8>,
}

impl Peer {
    fn encode(&self, notation: &str) -> Vec<u8> {
        Notation::read(notation, self.version, "~").bytes()
    }

    fn send(&mut self, notation: &str) {
        let bytes = self.encode(notation);
        match self.over {
            Over::Tcp => self.stream.write_all(&bytes).unwrap(),
            Over::WebSocket(_) => self.send_bytes(2, &bytes),
        }
    }

    fn send_frame(&mut self, opcode: u8, notation: &str) {
        let bytes = self.encode(notation);
        self.send_bytes(opcode, &bytes);
    }

    /// A frame of a WebSocket, a message on its own.
    fn send_bytes(&mut self, opcode: u8, bytes: &[u8]) {
        let mut frame = vec![0x80 | opcode];
        match (u8::try_from(bytes.len()), u16::try_from(bytes.len())) {
            (Ok(length), _) if length < 126 => frame.push(length),
            (_, Ok(length)) => {
                frame.push(126);
                frame.extend(length.to_be_bytes());
            }
            _ => {
                frame.push(127);
                frame.extend((bytes.len() as u64).to_be_bytes());
            }
        }
        frame.extend(bytes);
        self.stream.write_all(&frame).unwrap();
    }

    /// The next packet, which has to be as described.
    #[track_caller]
    fn expect(&mut self, notation: &str) -> Packet {
        let length = loop {
            match whole_packet(&self.received) {
                Some(length) => break length,
                None => assert!(self.receive(), "closed, instead of {notation}"),
            }
        };
        let bytes: Vec<u8> = self.received.drain(..length).collect();
        let packet = Packet::read(&bytes, self.version).unwrap_or_else(|error| panic!("{error}"));
        let wanted = Notation::read(notation, self.version, "~");
        assert!(wanted.matches(&bytes), "{packet:?}, instead of {notation}");
        packet
    }

    fn admit(&mut self) {
        self.expect("10 <..>");
        self.send("20 <00 00 {}>");
    }

    fn answer_subscribe(&mut self) {
        let id = self.expect("82 <..>").id();
        self.send(&format!("90 <{id:04x} {{}} 01>"));
    }

    /// The client closes the connection, and has sent nothing more. So does the server then.
    #[track_caller]
    fn closed(mut self) {
        while self.receive() {}
        assert!(
            self.received.is_empty(),
            "{:02x?} before the end",
            self.received
        );
    }

    /// Some more bytes of MQTT. False: there will be none.
    fn receive(&mut self) -> bool {
        match self.over {
            Over::Tcp => {
                let mut buffer = [0; 65_536];
                let length = self.read(&mut buffer);
                self.received.extend(&buffer[..length]);
                length > 0
            }
            Over::WebSocket(_) => self.receive_frame(),
        }
    }

    /// 0 at the end. A connection that was reset has ended, too.
    fn read(&mut self, buffer: &mut [u8]) -> usize {
        match self.stream.read(buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("the client does not close the connection: {error}"),
        }
    }

    /// A frame: binary, or one of those that manage the connection. [MQTT-6.0.0-1]
    fn receive_frame(&mut self) -> bool {
        let Some(head) = self.exactly(2) else {
            return false;
        };
        let opcode = head[0] & 15;
        assert!(
            matches!(opcode, 0 | 2 | 8 | 9 | 10),
            "a frame of type {opcode}"
        );
        assert!(head[1] & 0x80 != 0, "a frame without a mask");
        let more = match head[1] & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mut length = usize::from(head[1] & 0x7F);
        if more > 0 {
            let bytes = self.exactly(more).expect("a length");
            length = bytes
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte));
        }
        let mask = self.exactly(4).expect("a mask");
        let masked = self.exactly(length).expect("a payload");
        if opcode < 8 {
            let unmask = |(at, byte): (usize, &u8)| byte ^ mask[at % 4];
            self.received.extend(masked.iter().enumerate().map(unmask));
        }
        // Who answers a Close closes the connection, and the client waits for it.
        opcode != 8
    }

    fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match self.read(&mut bytes[filled..]) {
                0 => return None,
                more => filled += more,
            }
        }
        Some(bytes)
    }

    /// The client offers mqtt; the server chooses. [MQTT-6.0.0-3]
    fn shake_hands(&mut self, chosen: &str) {
        let mut request = String::new();
        while !request.ends_with("\r\n\r\n") {
            let byte = self.exactly(1).expect("a request");
            request.push(char::from(byte[0]));
        }
        assert!(request.starts_with("GET /mqtt HTTP/1.1\r\n"), "{request}");
        let header = |name: &str| {
            let mut lines = request.lines().filter_map(|line| line.split_once(':'));
            let found = lines.find(|(other, _)| other.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.trim().to_owned())
        };
        let offered = header("Sec-WebSocket-Protocol").expect("subprotocols on offer");
        assert!(
            offered.split(',').any(|one| one.trim() == "mqtt"),
            "{offered}"
        );
        let key = header("Sec-WebSocket-Key").expect("a key");
        let accept = derive_accept_key(key.as_bytes());
        let protocol = match chosen {
            "" => String::new(),
            name => format!("Sec-WebSocket-Protocol: {name}\r\n"),
        };
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n{protocol}\r\n"
        );
        self.stream.write_all(answer.as_bytes()).unwrap();
    }
}
