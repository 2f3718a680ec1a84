//! What it costs to find the subscribers of a topic among 1,000 and 1,000,000 filters, as part of a
//! message that is published, routed and delivered to the one client that wants it.
//!
//! `cached` publishes on one topic again and again, `cold` on a thousand in turn, four for each that the
//! engine is told to remember: what they differ by is a look-up.

#![allow(missing_docs, reason = "criterion's macros document nothing")]

use benches::flow::{Filters, Matching};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn matching(criterion: &mut Criterion) {
    for filters in [1000, 1_000_000] {
        for kind in Filters::ALL {
            let mut group =
                criterion.benchmark_group(format!("matching {filters} {}", kind.name()));
            group.throughput(Throughput::Elements(1));
            let mut cached = None;
            group.bench_function("cached", |bencher| {
                let flow = cached.get_or_insert_with(|| Matching::cached(kind, filters));
                bencher.iter(|| flow.step());
            });
            drop(cached);
            let mut cold = None;
            group.bench_function("cold", |bencher| {
                let flow = cold.get_or_insert_with(|| Matching::cold(kind, filters));
                bencher.iter(|| flow.step());
            });
            group.finish();
        }
    }
}

criterion_group!(benches, matching);
criterion_main!(benches);
