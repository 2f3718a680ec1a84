//! What is counted: the hot paths, by name.

use std::hint::black_box;
use std::process::ExitCode;

use benches::engine::{Lifetime, publish};
use benches::flow::{Filters, Flow, Matching, Publishing, TOPIC, connecting, pinging, retaining};
use benches::served::{Carrier, Served};
use mqtt_codec::{Cut, PACKET_BYTES_MAX, Packet, QoS, Version, cut};

/// Steps before the counted ones: memory has grown to what it needs then.
const STEPS_BEFORE: u64 = 100;

/// A flow, and how often it runs.
pub(crate) struct Named {
    /// What it is called, with what it is counted for.
    pub(crate) name: &'static str,
    /// Steps that are counted: so many that the noise of hash tables with random keys is far below 1 %.
    pub(crate) steps: u64,
    make: fn() -> Flow,
}

/// All of them.
pub(crate) const ALL: &[Named] = &[
    named("PUBLISH decoded", 20_000, decoding),
    named("PUBLISH encoded", 20_000, encoding),
    named("message, qos 0", 10_000, || of(Publishing::default())),
    named("message, qos 0, batch of 32", 500, || {
        of(Publishing {
            batch: 32,
            ..Publishing::default()
        })
    }),
    named("message, qos 0, fan-out 1:100", 500, || {
        of(Publishing {
            subscribers: 100,
            receivers: 100,
            ..Publishing::default()
        })
    }),
    named("message, qos 1", 5000, || {
        qos(QoS::AtLeastOnce, Lifetime::Connection)
    }),
    named("message, qos 1, stored session", 5000, || {
        qos(QoS::AtLeastOnce, Lifetime::Stored)
    }),
    named("message, qos 2", 5000, || {
        qos(QoS::ExactlyOnce, Lifetime::Connection)
    }),
    named("message, qos 0, cold route, exact", 20_000, || {
        Matching::cold(Filters::Exact, 10_000)
    }),
    named("message, qos 0, cold route, +", 20_000, || {
        Matching::cold(Filters::Plus, 10_000)
    }),
    named("message, qos 0, cold route, #", 20_000, || {
        Matching::cold(Filters::Hash, 10_000)
    }),
    named("retained message and its replay", 5000, retaining),
    named("CONNECT to DISCONNECT", 5000, connecting),
    named("PINGREQ", 10_000, pinging),
    named("message through the broker", 2000, || served(1)),
    named("message through the broker, of 32", 500, || served(32)),
];

const fn named(name: &'static str, steps: u64, make: fn() -> Flow) -> Named {
    Named { name, steps, make }
}

fn of(publishing: Publishing) -> Flow {
    publishing.flow()
}

fn qos(qos: QoS, lifetime: Lifetime) -> Flow {
    of(Publishing {
        qos,
        lifetime,
        ..Publishing::default()
    })
}

fn served(batch: usize) -> Flow {
    Served {
        carrier: Carrier::Memory,
        subscribers: 1,
        batch,
    }
    .flow()
}

fn decoding() -> Flow {
    let packet = Packet::Publish(publish(TOPIC, QoS::AtMostOnce, 1, 64));
    let bytes = packet.to_vec(Version::V3_1_1).unwrap_or_default();
    Flow::new(1, move || {
        if let Ok(Cut::Whole(frame)) = cut(black_box(&bytes), PACKET_BYTES_MAX) {
            let _ = black_box(&Packet::decode(frame, Version::V3_1_1));
        }
    })
}

fn encoding() -> Flow {
    let packet = Packet::Publish(publish(TOPIC, QoS::AtMostOnce, 1, 64));
    let mut out = Vec::new();
    Flow::new(1, move || {
        out.clear();
        let _ = black_box(&packet).encode(Version::V3_1_1, &mut out);
    })
}

impl Named {
    /// How many messages, or other operations, a step handles.
    fn prepared(&self) -> Flow {
        let mut flow = (self.make)();
        for _ in 0..STEPS_BEFORE {
            flow.step();
        }
        flow
    }
}

/// Runs the flow of this name so often, and prints how many messages a step is.
pub(crate) fn run(name: &str, times: u64) -> ExitCode {
    let Some(named) = ALL.iter().find(|named| named.name == name) else {
        return ExitCode::from(2);
    };
    let mut flow = named.prepared();
    for _ in 0..times {
        flow.step();
    }
    println!("{}", flow.messages());
    ExitCode::SUCCESS
}
