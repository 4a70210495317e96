//! Times the toolkit and its parts: see `vortex_bench::toolkit` and `vortex_bench::parts`.
#![forbid(unsafe_code)]

use criterion::{Criterion, criterion_group, criterion_main};
use vortex_bench::time::timed;
use vortex_bench::{parts, toolkit};

fn whole_and_parts(criterion: &mut Criterion) {
    for workload in toolkit::WORKLOADS.iter().chain(parts::WORKLOADS) {
        criterion.bench_function(workload.name, |bencher| {
            let mut operation = (workload.timed)();
            bencher.iter_custom(|iterations| timed(&mut operation, iterations));
        });
    }
}

criterion_group!(benches, whole_and_parts);
criterion_main!(benches);
