//! The conformance suite over all policies, and over those that do not behave.
//!
//! A new scheduler is one line in the table of [`rows`].

use vortex_schedulers::Policy;
use vortex_sim::conformance::rogue::{PANICS, Rogue, Vice};
use vortex_sim::conformance::{Promise, Row, check, check_rogue};

/// name, policy, promise, whether it can hold back
#[rustfmt::skip]
fn rows() -> Vec<Row<Policy>> {
    vec![
        row("propshare.wfq", Policy::Wfq, Promise::Proportional, false),
        row("propshare.round-robin", Policy::RoundRobin, Promise::Turns, false),
        row("priority.strict", Policy::Strict, Promise::Priority, false),
        row("realtime.edf", Policy::Edf, Promise::Deadlines, true),
        row("fifo", Policy::Fifo, Promise::SendOrder, false),
        row("propshare.capped", Policy::Capped, Promise::Proportional, true),
    ]
}

fn row(name: &'static str, policy: Policy, promise: Promise, holds_back: bool) -> Row<Policy> {
    Row {
        name,
        policy,
        promise,
        holds_back,
    }
}

#[test]
fn every_policy_is_in_the_table() {
    let rows = rows();
    for policy in Policy::ALL {
        let found = rows.iter().find(|row| row.policy == *policy);
        assert_eq!(found.map(|row| row.name), Some(policy.name()));
    }
}

#[test]
fn every_policy_keeps_its_promises() {
    let faults: Vec<_> = rows().iter().flat_map(check).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_promise_that_is_not_kept_is_found_out() {
    for (policy, promise) in [
        (Policy::RoundRobin, Promise::Proportional),
        (Policy::Wfq, Promise::Turns),
        (Policy::RoundRobin, Promise::Priority),
        (Policy::Strict, Promise::SendOrder),
    ] {
        let faults = check(&row("wrong", policy, promise, false));
        assert!(!faults.is_empty(), "{policy:?} does not keep {promise:?}");
    }
}

/// Those vices that cannot be told from behaving well: nothing is lost, and nothing noticed.
const HARMLESS: &[&str] = &["update_client", "load_share", "client_statistics"];

#[test]
fn rogues_lose_their_role_and_no_request() {
    let good = Rogue(Vice::None);
    let vices = [
        Vice::Bogus,
        Vice::Foreign,
        Vice::Twice,
        Vice::Idle,
        Vice::Never,
        Vice::InAMoment,
        Vice::FarAway,
        Vice::Past,
    ];
    let panics = (0..)
        .zip(PANICS)
        .filter(|(_, name)| !HARMLESS.contains(name));
    let panics = panics.map(|(number, _)| Vice::Panic(number));
    for vice in vices.into_iter().chain(panics) {
        let faults = check_rogue("rogue", &Rogue(vice), &good);
        assert!(faults.is_empty(), "{vice:?}: {faults:#?}");
    }
}

#[test]
fn a_rogue_that_binds_to_no_core_or_panics_at_it_loses_nothing() {
    let panics_in = |function| {
        let number = PANICS.iter().position(|name| *name == function);
        Vice::Panic(u8::try_from(number.expect("it is listed")).expect("there are few"))
    };
    for vice in [Vice::None, Vice::BogusCore, panics_in("load_share")] {
        let row = Row {
            name: "rogue",
            policy: Rogue(vice),
            promise: Promise::Nothing,
            holds_back: false,
        };
        let faults = check(&row);
        assert!(faults.is_empty(), "{vice:?}: {faults:#?}");
    }
}
