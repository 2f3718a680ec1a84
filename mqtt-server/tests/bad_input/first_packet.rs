//! Before the CONNECT: who is no client is closed without a word, and gets no memory.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use mqtt_codec::Version::{V3_1_1, V5};
use mqtt_codec::{Cut, Packet, cut};

use crate::MIB;
use crate::server::{Got, Peer, beside_others, eventually, hello};

/// Bytes of the largest first packet.
const CONNECT_BYTES_MAX: usize = 512 * 1024;

#[test]
fn garbage_is_closed() {
    beside_others(|server| {
        for seed in 0..300 {
            let mut dice = fastrand::Rng::with_seed(seed);
            let mut bytes = vec![0; dice.usize(1..5000)];
            dice.fill(&mut bytes);
            if seed % 2 == 0 {
                // As a CONNECT begins.
                bytes[0] = 0x10;
            }
            let mut peer = Peer::open(server.address(), V3_1_1);
            peer.write(&bytes);
            if matches!(cut(&bytes, CONNECT_BYTES_MAX), Ok(Cut::Incomplete(_))) {
                // It is waited for.
                peer.finish();
            }
            let words = peer.last_words();
            let fits = ["", "CONNACK 84"].contains(&&*words);
            assert!(fits, "seed {seed}: {words}");
        }
    });
}

// [MQTT-3.1.0-1]
#[test]
fn any_other_packet_is_closed() {
    let others: [&[u8]; 15] = [
        b"\x00\x00",
        b"\x20\x02\x00\x00",
        b"\x30\x05\x00\x01tab",
        b"\x40\x02\x00\x01",
        b"\x50\x02\x00\x01",
        b"\x62\x02\x00\x01",
        b"\x70\x02\x00\x01",
        b"\x82\x06\x00\x01\x00\x01t\x00",
        b"\x90\x03\x00\x01\x00",
        b"\xA2\x05\x00\x01\x00\x01t",
        b"\xB0\x02\x00\x01",
        b"\xC0\x00",
        b"\xD0\x00",
        b"\xE0\x00",
        b"\xF0\x00",
    ];
    beside_others(|server| {
        for bytes in others {
            let mut peer = Peer::open(server.address(), V3_1_1);
            peer.write(bytes);
            // What follows does not make it better.
            let _ = peer.try_write(&Packet::Connect(hello(V5, "a")).to_vec(V5).unwrap());
            assert_eq!(peer.last_bytes(), b"", "{bytes:02X?}");
        }
    });
}

#[test]
fn impossible_lengths_are_closed_at_once() {
    let lengths: [&[u8]; 4] = [
        // 256 MiB, the largest there is.
        b"\x10\xFF\xFF\xFF\x7F",
        // One byte more than a first packet may have.
        b"\x10\xFD\xFF\x1F",
        // A length of five bytes.
        b"\x10\x80\x80\x80\x80\x01",
        // One that is longer than it needs to be.
        b"\x10\x8A\x00",
    ];
    beside_others(|server| {
        let before = server.resident_bytes();
        for _ in 0..50 {
            for bytes in lengths {
                let mut peer = Peer::open(server.address(), V3_1_1);
                peer.write(bytes);
                assert_eq!(peer.last_bytes(), b"", "{bytes:02X?}");
            }
        }
        let grown = server.peak_bytes().saturating_sub(before);
        assert!(grown < 2 * MIB, "{grown} bytes");
    });
}

/// A length costs nothing before the bytes are there.
#[test]
fn announced_lengths_take_no_memory() {
    beside_others(|server| {
        let before = server.resident_bytes();
        let peers: Vec<_> = (0..500)
            .map(|_| {
                let mut peer = Peer::open(server.address(), V3_1_1);
                peer.write(b"\x10\xF0\xFF\x1F\x00\x04MQTT\x05");
                peer
            })
            .collect();
        // The server has read it all once it has answered this one.
        Peer::connect(server.address(), V5, "a");
        let grown = server.resident_bytes().saturating_sub(before);
        assert!(grown < 4 * MIB, "{grown} bytes");
        drop(peers);
    });
}

// [MQTT-3.1.2-2]: before it knows the version, a server can only answer as those of 3.1.1 do.
#[test]
fn unknown_versions_are_told() {
    let versions: [(&[u8], u8); 8] = [
        (b"\x00\x04MQTT", 6),
        (b"\x00\x04MQTT", 3),
        (b"\x00\x04MQTT", 0),
        (b"\x00\x04MQTT", 255),
        (b"\x00\x06MQIsdp", 4),
        (b"\x00\x06MQIsdp", 5),
        (b"\x00\x04mqtt", 5),
        (b"\x00\x04HTTP", 4),
    ];
    beside_others(|server| {
        for (name, level) in versions {
            let rest = [level, 2, 0, 0, 0, 0, 1, b'a'];
            let body = [name, &rest].concat();
            let mut peer = Peer::open(server.address(), V3_1_1);
            peer.write(&[0x10, body.len() as u8]);
            peer.write(&body);
            assert_eq!(peer.last_bytes(), b"\x20\x02\x00\x01", "{body:02X?}");
        }
    });
}

// [MQTT-3.1.4-1] Before 5.0, there is no return code for a malformed packet.
#[test]
fn a_malformed_connect_is_told_why_where_that_can_be_said() {
    // What follows the version: flags, keep alive, properties, client identifier and so on.
    let malformed: [(&[u8], &[u8], &str); 14] = [
        // The reserved flag.
        (b"\x03\0\0", b"\0\0\x01a", "81"),
        // A will QoS without a will, a retained will without a will, a will QoS of 3.
        (b"\x0A\0\0", b"\0\0\x01a", "81"),
        (b"\x22\0\0", b"\0\0\x01a", "81"),
        (b"\x1E\0\0", b"\0\0\x01a\0\0\x01t\0\0", "81"),
        // No client identifier, half of one, one that is no text, one with U+0000.
        (b"\x02\0\0", b"\0", "81"),
        (b"\x02\0\0", b"\0\0\x05a", "81"),
        (b"\x02\0\0", b"\0\0\x01\xFF", "81"),
        (b"\x02\0\0", b"\0\0\x01\0", "81"),
        // A wildcard in the topic of the will.
        (b"\x06\0\0", b"\0\0\x01a\0\0\x01#\0\0", "81"),
        // A user name that is not there, and bytes behind the end.
        (b"\x82\0\0", b"\0\0\x01a", "81"),
        (b"\x02\0\0", b"\0\0\x01aX", "81"),
        // A property twice, one of another packet, one with a value it must not have.
        (b"\x02\0\0", b"\x06\x21\0\x01\x21\0\x01\0\x01a", "82"),
        (b"\x02\0\0", b"\x03\x23\0\x01\0\x01a", "81"),
        (b"\x02\0\0", b"\x03\x21\0\0\0\x01a", "82"),
    ];
    beside_others(|server| {
        for (flags, behind, reason) in malformed {
            let body = [b"\0\x04MQTT\x05", flags, behind].concat();
            let mut peer = Peer::open(server.address(), V5);
            peer.write(&[0x10, body.len() as u8]);
            peer.write(&body);
            let expected = format!("CONNACK {reason}");
            assert_eq!(peer.last_words(), expected, "{body:02X?}");
        }
        for (flags, behind, _) in &malformed[..11] {
            // Without the properties.
            let behind = match behind {
                // A will has properties of its own.
                [0, 0, 1, b'a', 0, will @ ..] => [b"\0\x01a", will].concat(),
                [_, behind @ ..] => behind.to_vec(),
                [] => Vec::new(),
            };
            let body = [b"\0\x04MQTT\x04", *flags, &behind].concat();
            let mut peer = Peer::open(server.address(), V3_1_1);
            peer.write(&[0x10, body.len() as u8]);
            peer.write(&body);
            assert_eq!(peer.last_bytes(), b"", "{body:02X?}");
        }
    });
}

/// Ten seconds are enough for a CONNECT that comes a byte at a time, and for nothing else.
#[test]
fn who_takes_too_long_is_closed() {
    let first_bytes: [&[u8]; 4] = [
        b"",
        b"\x10",
        b"\x10\x10\x00\x04MQTT\x05",
        b"\x10\xF0\xFF\x1F\x00\x04MQTT\x05",
    ];
    beside_others(|server| {
        let start = Instant::now();
        let files = server.open_files();
        let mut silent: Vec<_> = (0..500)
            .map(|number| {
                let mut peer = Peer::open(server.address(), V5);
                peer.write(first_bytes[number % first_bytes.len()]);
                peer
            })
            .collect();
        let address = server.address();
        let slow = thread::spawn(move || drip(address));
        let endless = thread::spawn(move || drip_without_end(address));
        thread::sleep(Duration::from_secs(8));
        for peer in silent.iter_mut().take(20) {
            assert!(matches!(peer.next(Duration::from_millis(1)), Got::Nothing));
        }
        for peer in &mut silent {
            assert_eq!(peer.last_bytes(), b"");
        }
        slow.join().expect("it has been let in");
        endless.join().expect("it has been closed");
        let took = start.elapsed();
        assert!(took < Duration::from_secs(15), "{took:?}");
        drop(silent);
        eventually("all are closed", || server.open_files() <= files);
    });
}

/// A CONNECT within some seconds.
fn drip(address: SocketAddr) {
    let bytes = Packet::Connect(hello(V5, "slow")).to_vec(V5).unwrap();
    let pause = Duration::from_secs(6) / bytes.len() as u32;
    let mut peer = Peer::open(address, V5);
    for byte in bytes {
        peer.write(&[byte]);
        thread::sleep(pause);
    }
    assert!(matches!(peer.packet(), Packet::ConnAck(_)));
}

/// A CONNECT that goes on and on.
fn drip_without_end(address: SocketAddr) {
    let start = Instant::now();
    let mut peer = Peer::open(address, V5);
    peer.write(b"\x10\xF0\xFF\x1F\x00\x04MQTT\x05\x02\x00\x00\x00\xFF\xFF");
    while matches!(peer.next(Duration::from_millis(50)), Got::Nothing) {
        peer.write(b"a");
        let took = start.elapsed();
        assert!(took < Duration::from_secs(13), "{took:?}");
    }
    assert!(start.elapsed() > Duration::from_secs(9));
}
