//! Times the comparators: see `vortex_bench::comparators`.
#![forbid(unsafe_code)]

use criterion::{Criterion, criterion_group, criterion_main};
use vortex_bench::comparators::WORKLOADS;
use vortex_bench::time::timed;

fn comparators(criterion: &mut Criterion) {
    for workload in WORKLOADS {
        criterion.bench_function(workload.name, |bencher| {
            let mut operation = (workload.timed)();
            bencher.iter_custom(|iterations| timed(&mut operation, iterations));
        });
    }
}

criterion_group!(benches, comparators);
criterion_main!(benches);
