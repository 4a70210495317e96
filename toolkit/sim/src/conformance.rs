//! The conformance suite: what every scheduler must do, whatever its policy.
//!
//! A scheduler is one [`Row`]: its policy, and the [`Promise`] it makes. [`check`] then puts it,
//! as multiplexor and as the scheduler of every resource, under:
//!
//! - random grids with everything that the toolkit offers ([`crate::stress`]): nothing is lost or
//!   done twice, order is kept, no core rests while something is ready (unless the policy holds
//!   back on purpose), and the toolkit never has a reason to object;
//! - its promise, after every single dispatch;
//! - misuse: no call that the toolkit makes may make it panic, in whatever order.
//!
//! [`check_rogue`] is for policies that do *not* behave ([`rogue`]): they must lose their role
//! within a bounded time, and no request.
//!
//! # The bound
//! A policy loses its role at the first decision asked of it after it has panicked or broken the
//! interface, and, if it chooses nobody, as soon as the time it asks for is longer than the
//! system's patience ([`vortex_toolkit::Builder::patience`]) from when it first chose nobody.

mod promise;
pub mod rogue;

use vortex_toolkit::scheduler::Scheduler;

use crate::stress::{Chances, Scenario, run};

/// What a policy promises to busy clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// |charged_i / w_i − charged_j / w_j| ≤ l_i / w_i + l_j / w_j for clients that are busy
    /// throughout, at every instant; l is the largest single charge of a client.
    Proportional,
    /// The numbers of decisions for two busy clients differ by one at most.
    Turns,
    /// Nobody is served while someone with a smaller priority number has work.
    Priority,
    /// No request of a feasible set starts so late that it ends later than the largest service
    /// time after its deadline; and clients get no more than their budgets.
    Deadlines,
    /// Requests start in the order in which they were sent.
    SendOrder,
    /// Nothing.
    Nothing,
}

/// One scheduler under the suite.
#[derive(Clone, Debug)]
pub struct Row<P> {
    /// What reports call it.
    pub name: &'static str,
    /// The policy.
    pub policy: P,
    /// What it promises.
    pub promise: Promise,
    /// With reservations, it lets the resource rest although somebody is ready.
    pub holds_back: bool,
}

/// Everything that is wrong with a scheduler; empty if nothing is.
pub fn check<P: Scheduler + Clone>(row: &Row<P>) -> Vec<String> {
    let mut faults = Vec::new();
    for seed in 0..24 {
        let mut scenario = eventful(seed, row.policy.clone());
        scenario.reservations = row.holds_back && seed % 2 == 1;
        let verdict = run(&scenario);
        note(&mut faults, row.name, seed, &verdict.faults);
        if verdict.demotions > 0 {
            let text = format!("{} times the toolkit took its role", verdict.demotions);
            note(&mut faults, row.name, seed, &[text]);
        }
        // Nothing but sending: then nobody may rest while there is work.
        let mut scenario = Scenario::plain(seed, vec![row.policy.clone()]);
        scenario.hierarchy = seed.is_multiple_of(2);
        note(&mut faults, row.name, seed, &run(&scenario).faults);
    }
    for seed in 0..12 {
        let broken = promise::check(&row.policy, row.promise, seed);
        note(&mut faults, row.name, seed, &broken);
    }
    faults
}

/// What is wrong with how the toolkit treats a policy that does not behave: empty if it loses its
/// role (in some of the runs at least: a policy that panics when all is over is not asked again) and
/// nothing else is lost.
pub fn check_rogue<P: Scheduler + Clone>(name: &'static str, policy: &P, good: &P) -> Vec<String> {
    let mut faults = Vec::new();
    let mut demotions = 0;
    for seed in 0..12 {
        // As the scheduler of all resources, and as the multiplexor of all cores.
        for rogue_below in [true, false] {
            let mut scenario = eventful(seed, policy.clone());
            scenario.patience_cycles = 100_000;
            // A good policy in its place would hide what the rogue does.
            scenario.chances.change = 0;
            if rogue_below {
                scenario.multiplexors = vec![good.clone()];
            } else {
                scenario.policies = vec![good.clone()];
            }
            let verdict = run(&scenario);
            note(&mut faults, name, seed, &verdict.faults);
            demotions += verdict.demotions;
        }
    }
    if demotions == 0 {
        faults.push(format!("{name}: it kept its role"));
    }
    faults
}

/// A scenario in which everything happens.
fn eventful<P: Clone>(seed: u64, policy: P) -> Scenario<P> {
    let mut scenario = Scenario::plain(seed, vec![policy]);
    scenario.cores = 1 + u16::try_from(seed % 3).unwrap_or(0);
    scenario.probes = 100;
    scenario.lifetime_cycles = Some(2_000 << (seed % 6));
    scenario.inbox_capacity = (2 << (seed % 5)) - 1;
    scenario.hierarchy = seed.is_multiple_of(3);
    scenario.chances = Chances {
        reject: 8,
        wait: 8,
        task: 8,
        wake: 8,
        attribute: 8,
        suspend: 4,
        change: 4,
        remove_client: 2,
        end: 1,
    };
    scenario
}

fn note(faults: &mut Vec<String>, name: &str, seed: u64, new: &[String]) {
    let new = new
        .iter()
        .map(|fault| format!("{name}, seed {seed}: {fault}"));
    faults.extend(new);
}
