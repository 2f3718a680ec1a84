//! Packets built field by field: what is encoded is what is decoded, in every version or in none.

use arbitrary::{Result, Unstructured};
use mqtt_codec::{
    Cut, EncodedPublish, Forward, PACKET_BYTES_MAX, Packet, Publish, PublishQoS, Version, cut,
};

use crate::packet::{packet, publish_qos};

/// Takes a version and a packet from the bytes; encodes it in each version and decodes that.
pub fn roundtrip(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(version) = input.choose(&Version::ALL).copied() else {
        return;
    };
    let Ok(built) = packet(&mut input, version) else {
        return;
    };
    let encoded = built.to_vec(version).expect("a packet of its version");
    let decoded = decoded(&encoded, version);
    assert_eq!(decoded.to_bytes(), built);
    for other in Version::ALL {
        in_another(&built, other);
    }
    if let Packet::Publish(publish) = &built {
        // What is left of the bytes does not have to be enough.
        let _ = patched(&mut input, publish, version);
    }
}

fn decoded(encoded: &[u8], version: Version) -> Packet<&[u8]> {
    let Ok(Cut::Whole(frame)) = cut(encoded, PACKET_BYTES_MAX) else {
        panic!("what was encoded is no whole packet");
    };
    assert_eq!(frame.bytes, encoded);
    Packet::decode(frame, version).expect("what was encoded")
}

fn in_another(packet: &Packet, version: Version) {
    let mut out = b"before".to_vec();
    match packet.encode(version, &mut out) {
        Ok(()) => {
            let encoded = out.strip_prefix(b"before").expect("what was there");
            assert_eq!(packet.encoded_len(version), Ok(encoded.len()));
            decoded(encoded, version);
        }
        Err(error) => {
            assert_eq!(out, b"before");
            assert_eq!(packet.encoded_len(version), Err(error));
        }
    }
}

/// A message encoded once and patched is the message encoded.
fn patched(input: &mut Unstructured<'_>, publish: &Publish, version: Version) -> Result<()> {
    let forward = Forward {
        version,
        dup: publish.dup,
        qos: publish.qos,
        retain: publish.retain,
        topic: publish.topic.as_ref().map_or(&[], |topic| topic.as_bytes()),
        topic_alias: None,
        message_expiry_interval: None,
        subscription_identifiers: &[],
        properties: publish.properties.as_view().raw(),
        payload: &publish.payload,
    };
    let mut encoded = EncodedPublish::default();
    encoded.push(&forward).expect("a message");
    assert_eq!(encoded.bytes().len(), forward.encoded_len());

    let (dup, retain): (bool, bool) = input.arbitrary()?;
    let qos = publish_qos(input)?;
    if (qos == PublishQoS::AtMostOnce) == (publish.qos == PublishQoS::AtMostOnce) {
        let mut out = Vec::new();
        encoded.write(0, dup, qos, retain, &mut out);
        let direct = Packet::Publish(Publish {
            dup,
            qos,
            retain,
            ..publish.clone()
        });
        assert_eq!(direct.to_vec(version), Ok(out));
    }
    Ok(())
}
