//! Random grids: everything at once.

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

fn over_seeds(seeds: std::ops::Range<u64>, change: impl Fn(&mut Scenario<Policy>)) {
    for seed in seeds {
        let mut scenario = Scenario::plain(seed, Policy::ALL.to_vec());
        change(&mut scenario);
        assert!(check(&scenario) > 50);
    }
}

#[test]
fn plain() {
    over_seeds(0..50, |_| {});
}

#[test]
fn short_bindings() {
    over_seeds(0..100, |scenario| {
        scenario.cores = 3;
        scenario.lifetime_cycles = Some(3_000);
    });
}

#[test]
fn short_bindings_and_full_inboxes() {
    over_seeds(0..100, |scenario| {
        scenario.cores = 4;
        scenario.lifetime_cycles = Some(3_000);
        scenario.inbox_capacity = 1;
        scenario.interval_cycles = 300;
    });
}

#[test]
fn rejections() {
    over_seeds(0..100, |scenario| {
        scenario.lifetime_cycles = Some(5_000);
        scenario.chances.reject = 30;
    });
}

#[test]
fn waits() {
    over_seeds(0..100, |scenario| {
        scenario.lifetime_cycles = Some(5_000);
        scenario.chances.wait = 30;
    });
}

#[test]
fn tasks() {
    over_seeds(0..100, |scenario| {
        scenario.lifetime_cycles = Some(5_000);
        scenario.chances.task = 30;
    });
}

#[test]
fn wakes() {
    over_seeds(0..30, |scenario| {
        scenario.cores = 1 + (scenario.seed % 4) as u16;
        // Seldom, for as long as a task waits its label's binding is reconsidered again and again.
        scenario.lifetime_cycles = scenario.seed.is_multiple_of(10).then_some(20_000);
        scenario.inbox_capacity = 1 + 2 * (scenario.seed % 2) as usize;
        scenario.probes = 100;
        scenario.chances.task = 30;
        scenario.chances.wake = 20;
    });
}

#[test]
fn attribution() {
    over_seeds(0..100, |scenario| {
        scenario.lifetime_cycles = Some(5_000);
        scenario.chances.attribute = 30;
    });
}

#[test]
fn suspension() {
    over_seeds(0..100, |scenario| {
        scenario.lifetime_cycles = Some(5_000);
        scenario.chances.suspend = 30;
    });
}

#[test]
fn changes() {
    over_seeds(0..100, |scenario| {
        scenario.lifetime_cycles = Some(5_000);
        scenario.chances.change = 30;
        scenario.queue_limit = Some(4);
    });
}

#[test]
fn reservations() {
    over_seeds(0..100, |scenario| {
        scenario.lifetime_cycles = Some(5_000);
        scenario.reservations = true;
        scenario.hierarchy = true;
    });
}

#[test]
fn removals() {
    over_seeds(0..100, |scenario| {
        scenario.lifetime_cycles = Some(5_000);
        scenario.chances.remove_client = 10;
        scenario.chances.end = 2;
    });
}

#[test]
fn everything() {
    over_seeds(0..200, |scenario| {
        scenario.cores = 1 + (scenario.seed % 4) as u16;
        scenario.lifetime_cycles = Some(1_000 << (scenario.seed % 8));
        scenario.inbox_capacity = 1 << (scenario.seed % 6);
        scenario.hierarchy = scenario.seed.is_multiple_of(3);
        scenario.reservations = scenario.seed.is_multiple_of(5);
        scenario.chances = Chances {
            reject: 10,
            wait: 10,
            task: 10,
            wake: 10,
            attribute: 10,
            suspend: 5,
            change: 5,
            remove_client: 2,
            end: 1,
        };
    });
}
