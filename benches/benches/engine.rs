//! What a message costs in the engine: routing, fan-out, fan-in and the flows of QoS 0, 1 and 2, with
//! their acknowledgements. No IO, no decoding of what publishers send; outboxes are emptied as the
//! driver does, and what is to be committed counts as committed at once.
//!
//! Figures are for each message that arrives.

#![allow(missing_docs, reason = "criterion's macros document nothing")]

use benches::engine::Lifetime;
use benches::flow::{Flow, Publishing, connecting, pinging, retaining};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mqtt_codec::{QoS, Version};

const LEVELS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

const fn name(version: Version) -> &'static str {
    match version {
        Version::V3_1 => "3.1",
        Version::V3_1_1 => "3.1.1",
        Version::V5 => "5.0",
    }
}

/// Measures a flow. It is made when it is to run: most runs select a few.
fn measure(criterion: &mut Criterion, id: &str, messages: u64, make: impl Fn() -> Flow) {
    let (group, name) = id.split_once(": ").unwrap_or((id, "flow"));
    let mut group = criterion.benchmark_group(format!("engine {group}"));
    group.throughput(Throughput::Elements(messages));
    let mut flow = None;
    group.bench_function(name, |bencher| {
        let flow = flow.get_or_insert_with(&make);
        bencher.iter(|| flow.step());
    });
    group.finish();
}

fn publishing(criterion: &mut Criterion, id: &str, publishing: &Publishing) {
    measure(criterion, id, publishing.messages(), || {
        publishing.clone().flow()
    });
}

fn one_to_one(criterion: &mut Criterion) {
    for version in [Version::V3_1_1, Version::V5] {
        for qos in LEVELS {
            for payload_bytes in [64, 4096] {
                let id = format!(
                    "one to one: {}, qos {}, {payload_bytes} B",
                    name(version),
                    qos as u8
                );
                let one = Publishing {
                    version,
                    qos,
                    payload_bytes,
                    ..Publishing::default()
                };
                publishing(criterion, &id, &one);
            }
        }
    }
    for qos in LEVELS {
        let id = format!("one to one: in batches of 32, qos {}, 64 B", qos as u8);
        let batches = Publishing {
            qos,
            batch: 32,
            ..Publishing::default()
        };
        publishing(criterion, &id, &batches);
        let id = format!("one to one: stored session, qos {}, 64 B", qos as u8);
        let stored = Publishing {
            qos,
            lifetime: Lifetime::Stored,
            ..Publishing::default()
        };
        publishing(criterion, &id, &stored);
    }
}

fn fan(criterion: &mut Criterion) {
    for (subscribers, payload_bytes) in [(100, 64), (1000, 64), (1000, 4096)] {
        for version in [Version::V3_1_1, Version::V5] {
            for qos in LEVELS {
                let id = format!(
                    "fan-out: 1:{subscribers}, {}, qos {}, {payload_bytes} B",
                    name(version),
                    qos as u8
                );
                let fan_out = Publishing {
                    version,
                    qos,
                    payload_bytes,
                    subscribers,
                    receivers: subscribers,
                    ..Publishing::default()
                };
                publishing(criterion, &id, &fan_out);
            }
        }
    }
    for qos in LEVELS {
        let id = format!("fan-in: 20:1, qos {}, 64 B", qos as u8);
        let fan_in = Publishing {
            qos,
            publishers: 20,
            ..Publishing::default()
        };
        publishing(criterion, &id, &fan_in);
        let id = format!("shared: group of 8, qos {}, 64 B", qos as u8);
        let shared = Publishing {
            qos,
            subscribers: 8,
            filter: "$share/presses/factory/hall-7/press-12/torque",
            ..Publishing::default()
        };
        publishing(criterion, &id, &shared);
    }
}

fn others(criterion: &mut Criterion) {
    measure(criterion, "other: connect, disconnect", 1, connecting);
    measure(criterion, "other: PINGREQ", 1, pinging);
    measure(criterion, "other: retained, replayed", 1, retaining);
}

criterion_group!(benches, one_to_one, fan, others);
criterion_main!(benches);
