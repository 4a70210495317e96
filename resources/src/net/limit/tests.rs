//! A device that sends at some rate, and somebody who looks some time after half of what it had is
//! sent.

use std::collections::VecDeque;
use std::vec::Vec;

use super::*;

const SECOND: u64 = 1_000_000_000;

/// What came of a simulation.
#[derive(Debug)]
struct Outcome {
    /// Thousandths of the time that the link was busy.
    busy: u64,
    /// How long a frame has waited in the device, on average, in microseconds.
    waited_us: u64,
}

/// Sends frames of so many bytes without a pause over a link of so many megabits a second, for four
/// seconds; who looks comes `late_ns` after half of them are sent. The last two seconds count.
fn simulate(frame: u64, megabits: u64, late_ns: u64) -> Outcome {
    let time_of = |bytes: u64| bytes * 8000 / megabits;
    let mut limit = Limit::default();
    // When each frame that the device has is sent.
    let mut device: VecDeque<u64> = VecDeque::new();
    let (mut now, mut free_at, mut idle, mut waited, mut frames) = (0, 0, 0, 0, 0);
    while now < 4 * SECOND {
        while limit.admits(frame) {
            limit.give(frame);
            let begins = now.max(free_at);
            if begins > free_at && now > 2 * SECOND {
                idle += begins - free_at;
            }
            free_at = begins + time_of(frame);
            if now > 2 * SECOND {
                waited += free_at - now;
                frames += 1;
            }
            device.push_back(free_at);
        }
        now = device[(device.len() - 1) / 2] + late_ns;
        while device.front().is_some_and(|at| *at <= now) {
            device.pop_front();
            limit.take(frame);
        }
        limit.looked(now);
    }
    Outcome {
        busy: 1000 - idle * 1000 / (2 * SECOND),
        waited_us: waited / frames / 1000,
    }
}

#[test]
fn the_link_is_busy_and_nobody_waits_for_long() {
    let mut table = Vec::new();
    for megabits in [10, 100, 1000, 10_000] {
        for frame in [1514, 65_549] {
            for late_us in [20, 200, 2000] {
                let outcome = simulate(frame, megabits, late_us * 1000);
                table.push((megabits, frame, late_us, outcome));
            }
        }
    }
    for (megabits, frame, late_us, outcome) in &table {
        let case = (megabits, frame, late_us);
        assert!(outcome.busy >= 985, "{case:?}: {outcome:?} of {table:#?}");
        // Three of the longest frames, or twice what is sent until somebody looks.
        let most = (3 * 65_549 * 8 / megabits).max(2 * late_us);
        assert!(
            outcome.waited_us <= most,
            "{case:?}: {outcome:?} of {table:#?}"
        );
    }
}

#[test]
fn one_frame_may_always_go() {
    let mut limit = Limit::default();
    assert!(limit.admits(u64::MAX));
    limit.give(LEAST);
    assert!(limit.admits(FIRST - LEAST));
    assert!(!limit.admits(FIRST - LEAST + 1));
    limit.take(2 * LEAST);
    assert!(limit.admits(1), "what came back twice counts once");
}

#[test]
fn who_asks_for_little_changes_nothing() {
    let mut limit = Limit::default();
    for round in 0..1000 {
        assert!(limit.admits(1514));
        limit.give(1514);
        limit.take(1514);
        limit.looked(round * SECOND);
    }
    assert_eq!(limit.limit, FIRST);
}
