use proptest::prelude::*;

use super::super::fixture::{self, HERTZ};
use super::*;

fn minute() -> Rates {
    Rates::between(&fixture::at(30), &fixture::at(40)).unwrap()
}

fn activity<'a>(rates: &'a Rates, name: &str) -> &'a Activity {
    let mut all = rates.activities.iter();
    all.find(|activity| activity.usage.name == name).unwrap()
}

#[test]
fn a_ledger_is_parts_of_the_interval() {
    let rates = minute();
    assert!((rates.seconds - 10.0).abs() < 1e-9);
    assert_eq!(rates.cores.len(), 4);
    for core in &rates.cores {
        assert_eq!(core.parts, [0.921, 0.043, 0.011, 0.025]);
        assert_eq!(core.unaccounted, 0);
    }
    assert!((rates.busy() - 0.975).abs() < 1e-9);
}

/// Entitlement is by the weights of those that ran: not of who is suspended.
#[test]
fn what_was_received_stands_beside_what_was_due() {
    let rates = minute();
    let weights = 50.0 + 33.0 + 17.0 + 10.0 + 100.0;
    for (name, weight) in [("web50", 50.0), ("web33", 33.0), ("web17", 17.0)] {
        let share = activity(&rates, name).share.unwrap();
        assert!((share.entitled - weight / weights).abs() < 1e-9, "{name}");
        let of_servers = 0.85 * weight / 100.0;
        let part = activity(&rates, name).usage.cpu;
        assert!((part - of_servers).abs() < 0.01, "{name}: {part}");
    }
    let received = rates
        .activities
        .iter()
        .filter_map(|activity| activity.share);
    let all: f64 = received.map(|share| share.received).sum();
    assert!((all - 1.0).abs() < 1e-9, "{all}");
    let held = activity(&rates, "batch");
    assert_eq!((held.suspended, held.share), (true, None));
    assert_eq!(activity(&rates, "web17").budget, Some(64 << 20));
}

#[test]
fn a_resource_has_what_all_activities_did_there() {
    let (before, now) = (fixture::at(30), fixture::at(40));
    let rates = Rates::between(&before, &now).unwrap();
    let ring = rates
        .resources
        .iter()
        .find(|resource| resource.name == "dwr");
    let ring = ring.unwrap();
    let bytes = |statistics: &Statistics| -> u64 {
        let accounts = statistics.accounts.iter();
        let of_ring = accounts.filter(|account| account.resource == "resource.dwr");
        of_ring.map(|account| account.bytes).sum()
    };
    let moved = (bytes(&now) - bytes(&before)) as f64 / 10.0;
    assert!((ring.bytes - moved).abs() < 1.0);
    assert_eq!(ring.queue, 3 * (12 + 13 + 14 + 15));
    let cycles = |power: i32| Some(2_f64.powi(power) / HERTZ as f64);
    assert_eq!(
        (ring.waiting.p50, ring.waiting.p99),
        (cycles(14), cycles(18))
    );
    assert_eq!(
        (ring.service.p50, ring.service.p99),
        (cycles(15), cycles(16))
    );
    let cache = rates
        .resources
        .iter()
        .find(|resource| resource.name == "fcr");
    assert_eq!(cache.unwrap().held, 3 * 8_388_608);
}

#[test]
fn no_interval_has_no_rates() {
    let machine = fixture::at(40);
    assert_eq!(Rates::between(&machine, &machine), None);
    assert_eq!(
        Rates::between(&machine, &fixture::at(39)),
        None,
        "started anew"
    );
}

#[test]
fn percentiles_are_of_the_interval_alone() {
    let percentiles = Percentiles::of(&[7, 0, 100, 1], &[7], 1);
    assert_eq!((percentiles.p50, percentiles.p99), (Some(8.0), Some(8.0)));
    let percentiles = Percentiles::of(&[7, 0, 98, 2], &[7], 1);
    assert_eq!(percentiles.p99, Some(16.0));
    assert_eq!(Percentiles::of(&[7], &[7], 1).p50, None);
    assert_eq!(
        Percentiles::of(&[u64::MAX, u64::MAX], &[], 0).p50,
        Some(2.0)
    );
}

#[test]
fn names_do_not_steer_the_terminal() {
    assert_eq!(printable("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
}

proptest! {
    /// Whatever numbers two snapshots have, parts are numbers and none is negative.
    #[test]
    fn any_numbers_have_rates(
        seconds in prop::array::uniform2(0_u64..100),
        numbers in prop::collection::vec(any::<u64>(), 8),
        hertz: u64,
    ) {
        let snapshot = |second: u64, by: &[u64]| {
            let mut statistics = fixture::at(second);
            statistics.hertz = hertz;
            for (account, number) in statistics.accounts.iter_mut().zip(by.iter().cycle()) {
                account.cycles = *number;
                account.bytes = number.rotate_left(7);
                account.queue_length = *number;
                account.waiting = by.to_vec();
            }
            for (core, number) in statistics.cores.iter_mut().zip(by) {
                core.elapsed = *number;
                core.idle = number.rotate_left(13);
            }
            statistics
        };
        let before = snapshot(seconds[0], &numbers[..4]);
        let now = snapshot(seconds[1], &numbers[4..]);
        prop_assume!(seconds[1] > seconds[0]);
        let rates = Rates::between(&before, &now).unwrap();
        for usage in rates.activities.iter().map(|one| &one.usage).chain(&rates.resources) {
            prop_assert!(usage.cpu.is_finite() && usage.cpu >= 0.0);
            prop_assert!(usage.bytes.is_finite() && usage.bytes >= 0.0);
        }
        for share in rates.activities.iter().filter_map(|activity| activity.share) {
            prop_assert!(share.received > 0.0 && share.received <= 1.0 + 1e-9);
        }
    }
}
