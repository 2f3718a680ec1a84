//! What a message costs in a whole broker with its driver, on the thread of its clients: over streams in
//! memory, without system calls, and over TCP on the loopback device.
//!
//! A batch is written, and the next when all subscribers have received it: so a batch of one is also the
//! time from end to end. The clients' share is in the figures, which are for each message that arrives.

#![allow(missing_docs, reason = "criterion's macros document nothing")]

use benches::served::{Carrier, Served};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn end_to_end(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("end to end");
    for carrier in [Carrier::Memory, Carrier::Tcp] {
        for subscribers in [1, 100] {
            for batch in [1, 32] {
                let served = Served {
                    carrier,
                    subscribers,
                    batch,
                };
                group.throughput(Throughput::Elements(served.messages()));
                let mut flow = None;
                group.bench_function(served.to_string(), |bencher| {
                    let flow = flow.get_or_insert_with(|| served.flow());
                    bencher.iter(|| flow.step());
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, end_to_end);
criterion_main!(benches);
