//! Times the toolkit and its parts: see `vortex_bench::parts`.
#![forbid(unsafe_code)]

use criterion::{Criterion, criterion_group, criterion_main};
use vortex_bench::parts::WORKLOADS;
use vortex_bench::time::timed;

fn toolkit(criterion: &mut Criterion) {
    for workload in WORKLOADS {
        criterion.bench_function(workload.name, |bencher| {
            let mut operation = (workload.timed)();
            bencher.iter_custom(|iterations| timed(&mut operation, iterations));
        });
    }
}

criterion_group!(benches, toolkit);
criterion_main!(benches);
