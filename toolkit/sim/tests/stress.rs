//! Random grids: everything at once.

use proptest::prelude::*;
use vortex_schedulers::Policy;
use vortex_sim::stress::{Chances, Scenario, run};

fn check(scenario: &Scenario<Policy>) -> u64 {
    let verdict = run(scenario);
    assert!(
        verdict.faults.is_empty(),
        "{:#?}\n{verdict:?}\n{scenario:?}",
        verdict.faults
    );
    verdict.executed
}

#[test]
fn plain() {
    for seed in 0..20 {
        assert!(check(&Scenario::plain(seed, Policy::ALL.to_vec())) > 200);
    }
}
