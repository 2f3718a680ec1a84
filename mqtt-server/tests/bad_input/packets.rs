//! After the CONNECT: what is malformed or against the rules ends the connection, with the reason.

use mqtt_codec::Version::{V3_1_1, V5};
use mqtt_codec::{Cut, Packet, PacketType, ReasonCode, cut};

use crate::MIB;
use crate::server::{Peer, beside_others, hello};

/// Bytes of the largest packet that the server takes.
const PACKET_BYTES_MAX: usize = 10 * MIB;

#[test]
fn garbage_is_closed_with_its_reason() {
    beside_others(|server| {
        for seed in 0..300 {
            let mut dice = fastrand::Rng::with_seed(seed);
            let mut bytes = vec![0; dice.usize(1..5000)];
            dice.fill(&mut bytes);
            let mut peer = Peer::connect(server.address(), V5, "garbage");
            peer.write(&bytes);
            let expected = match what_is_wrong(&bytes) {
                Ok(()) => {
                    // It is a valid packet, or the start of one.
                    peer.finish();
                    let _ = peer.last_bytes();
                    continue;
                }
                Err(reason) => format!("DISCONNECT {:02X}", reason as u8),
            };
            assert_eq!(peer.last_words(), expected, "seed {seed}");
        }
    });
}

/// The reason to close for, if there is no valid packet first.
fn what_is_wrong(bytes: &[u8]) -> Result<(), ReasonCode> {
    let decoded = match cut(bytes, PACKET_BYTES_MAX) {
        Ok(Cut::Whole(frame)) => Packet::decode(frame, V5).map(drop),
        Ok(Cut::Incomplete(_)) => Ok(()),
        Err(error) => Err(error),
    };
    decoded.map_err(|error| match error.reason_code() {
        reason if reason.allowed_in(PacketType::Disconnect) => reason,
        _ => ReasonCode::UnspecifiedError,
    })
}

// [MQTT-4.13.1-1] [MQTT-4.8.0-1] of 3.1.1
#[test]
fn each_malformed_packet_is_told_why() {
    // Bytes of 5.0, and the reason.
    let packets: [(&[u8], &str); 55] = [
        // A reserved type, a length of five bytes, one that is longer than it needs to be.
        (b"\x00\x00", "81"),
        (b"\x30\x80\x80\x80\x80\x01", "81"),
        (b"\x30\x85\x00", "81"),
        // Larger than the server takes: one byte too many, and the largest there is.
        (b"\x30\xFC\xFF\xFF\x04", "95"),
        (b"\x30\xFF\xFF\xFF\x7F", "95"),
        // PUBLISH: QoS 3, DUP with QoS 0, packet identifier 0, none.
        (b"\x36\x06\0\x01t\0\x01\0", "81"),
        (b"\x38\x04\0\x01t\0", "81"),
        (b"\x32\x06\0\x01t\0\0\0", "82"),
        (b"\x34\x06\0\x01t\0\0\0", "82"),
        (b"\x32\x03\0\x01t", "81"),
        // Its topic: a wildcard, none, longer than the packet, not UTF-8, with U+0000.
        (b"\x30\x06\0\x03a/#\0", "81"),
        (b"\x30\x04\0\x01+\0", "81"),
        (b"\x30\x03\0\0\0", "82"),
        (b"\x30\x03\0\x05t", "81"),
        (b"\x30\x04\0\x01\xFF\0", "81"),
        (b"\x30\x04\0\x01\0\0", "81"),
        (b"\x30\x06\0\x03\xED\xA0\x80\0", "81"),
        // Its properties: unknown, of another packet, twice, longer than the packet, bad values.
        (b"\x30\x06\0\x01t\x02\x7F\0", "81"),
        (b"\x30\x07\0\x01t\x03\x21\0\x01", "81"),
        (b"\x30\x08\0\x01t\x04\x01\0\x01\0", "82"),
        (b"\x30\x05\0\x01t\x20\x01", "81"),
        (b"\x30\x06\0\x01t\x02\x01\x02", "82"),
        // A topic alias of 0, one above the maximum, one that has not been set.
        (b"\x30\x07\0\x01t\x03\x23\0\0", "94"),
        (b"\x30\x07\0\x01t\x03\x23\0\x21", "94"),
        (b"\x30\x07\0\x01t\x03\x23\xFF\xFF", "94"),
        (b"\x30\x06\0\0\x03\x23\0\x01", "82"),
        // A response topic with a wildcard, and a subscription identifier from a client.
        (b"\x30\x08\0\x01t\x04\x08\0\x01#", "82"),
        (b"\x30\x06\0\x01t\x02\x0B\x01", "82"),
        // PUBACK, PUBREC, PUBREL, PUBCOMP: no packet identifier, 0, bad flags, reasons of others.
        (b"\x40\x01\0", "81"),
        (b"\x40\x02\0\0", "82"),
        (b"\x41\x02\0\x01", "81"),
        (b"\x40\x03\0\x01\x92", "81"),
        (b"\x50\x02\0\0", "82"),
        (b"\x50\x03\0\x01\x01", "81"),
        (b"\x60\x02\0\x01", "81"),
        (b"\x62\x03\0\x01\x10", "81"),
        (b"\x70\x04\0\x01\0\x05", "81"),
        // SUBSCRIBE: bad flags, packet identifier 0, no filter, bad filters, bad options.
        (b"\x80\x07\0\x01\0\0\x01t\0", "81"),
        (b"\x82\x07\0\0\0\0\x01t\0", "82"),
        (b"\x82\x03\0\x01\0", "82"),
        (b"\x82\x06\0\x01\0\0\0\0", "81"),
        (b"\x82\x09\0\x01\0\0\x03#/a\0", "81"),
        (b"\x82\x08\0\x01\0\0\x02a+\0", "81"),
        (b"\x82\x0D\0\x01\0\0\x07$share/\0", "81"),
        (b"\x82\x07\0\x01\0\0\x01t\x03", "82"),
        (b"\x82\x07\0\x01\0\0\x01t\x30", "82"),
        (b"\x82\x07\0\x01\0\0\x01t\x40", "81"),
        (b"\x82\x09\0\x01\x02\x0B\0\0\x01t\0", "82"),
        (b"\x82\x11\0\x01\0\0\x0B$share/g/ab\x04", "82"),
        // UNSUBSCRIBE: no filter; PINGREQ with something in it.
        (b"\xA2\x03\0\x01\0", "82"),
        (b"\xC0\x01\0", "81"),
        // DISCONNECT: a reason that it has not, and a session that is to be kept after all.
        (b"\xE0\x01\x01", "81"),
        (b"\xE0\x07\0\x05\x11\0\0\0\x05", "82"),
        // AUTH without a method, and when none was agreed on.
        (b"\xF0\x02\x18\0", "82"),
        (b"\xF0\x07\x18\x05\x15\0\x02me", "82"),
    ];
    beside_others(|server| {
        for (bytes, reason) in packets {
            let mut peer = Peer::connect(server.address(), V5, "malformed");
            peer.write(bytes);
            let expected = format!("DISCONNECT {reason}");
            assert_eq!(peer.last_words(), expected, "{bytes:02X?}");
        }
    });
}

/// Before 5.0, a server can say nothing: it closes.
// [MQTT-4.8.0-1] of 3.1.1
#[test]
fn before_5_0_malformed_packets_are_closed_without_a_word() {
    let packets: [&[u8]; 17] = [
        b"\x00\x00",
        b"\x30\x80\x80\x80\x80\x01",
        b"\x30\xFF\xFF\xFF\x7F",
        b"\x36\x05\0\x01t\0\x01",
        b"\x38\x03\0\x01t",
        b"\x32\x05\0\x01t\0\0",
        b"\x30\x05\0\x03a/#",
        b"\x30\x02\0\0",
        b"\x40\x02\0\0",
        b"\x60\x02\0\x01",
        b"\x80\x06\0\x01\0\x01t\0",
        b"\x82\x02\0\x01",
        b"\x82\x06\0\x01\0\x01t\x03",
        b"\xA2\x02\0\x01",
        b"\xC1\x00",
        b"\xE0\x01\x00",
        b"\xF0\x00",
    ];
    beside_others(|server| {
        for bytes in packets {
            let mut peer = Peer::connect(server.address(), V3_1_1, "malformed");
            peer.write(bytes);
            assert_eq!(peer.last_bytes(), b"", "{bytes:02X?}");
        }
    });
}

// [MQTT-3.1.0-2]
#[test]
fn a_second_connect_ends_the_connection() {
    beside_others(|server| {
        for (version, expected) in [(V5, "DISCONNECT 82"), (V3_1_1, "")] {
            let hello = Packet::Connect(hello(version, "twice"));
            let mut peer = Peer::open(server.address(), version);
            peer.send(&hello);
            peer.send(&hello);
            let expected = format!("CONNACK 00 {expected}");
            assert_eq!(peer.last_words(), expected.trim_end());
        }
    });
}

// [MQTT-4.13.1-1]
#[test]
fn packets_that_only_a_server_sends_end_the_connection() {
    let packets: [&[u8]; 4] = [
        b"\x20\x03\0\0\0",
        b"\x90\x04\0\x01\0\0",
        b"\xB0\x04\0\x01\0\0",
        b"\xD0\x00",
    ];
    beside_others(|server| {
        for bytes in packets {
            let mut peer = Peer::connect(server.address(), V5, "backwards");
            peer.write(bytes);
            assert_eq!(peer.last_words(), "DISCONNECT 82", "{bytes:02X?}");
        }
    });
}

/// Were the socket closed at once, what the server has not read would make the system throw away
/// what it has said.
#[test]
fn the_reason_arrives_though_the_client_sends_on() {
    beside_others(|server| {
        for _ in 0..20 {
            let mut peer = Peer::connect(server.address(), V5, "sends on");
            peer.write(&[b"\x00".as_slice(), &[0xC0; 500_000]].concat());
            assert_eq!(peer.last_words(), "DISCONNECT 81");
        }
    });
}

/// One that never stops is cut off.
#[test]
fn who_sends_on_for_ever_is_cut_off() {
    beside_others(|server| {
        let mut peer = Peer::connect(server.address(), V5, "sends on");
        peer.write(b"\x00");
        let mut sent = 0;
        while peer.try_write(&[0xC0; 10_000]).is_ok() {
            sent += 10_000;
            assert!(sent < 100 * MIB, "it takes any number");
        }
    });
}
