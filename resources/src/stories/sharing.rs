//! Who gets how much.

use super::*;
use vortex_toolkit::ids::CoreId;

/// Computes for ever.
fn spin() -> Program {
    let mut program = Program::new();
    let top = program.here();
    program.compute(50 * US);
    program.jump(top);
    program
}

/// A hog with one CPU-bound thread for each of so many cores.
fn spin_on(cores: u64) -> Program {
    let mut program = Program::new();
    let top = program.label();
    for number in 1..cores {
        program.spawn(number, top, DATA + 8 * number);
    }
    program.bind(top);
    let again = program.here();
    program.compute(50 * US);
    program.jump(again);
    program
}

/// What part of the cycles in accounts of activities each activity has on a core, in thousandths.
fn shares(world: &World, core: u16, activities: u32) -> Vec<u64> {
    let snapshot = world.shared.grid.snapshot(world.now());
    let used = |activity: u32| -> u64 {
        let accounts = snapshot.accounts.iter();
        accounts
            .filter(|one| one.core == CoreId(core) && one.activity == ActivityId(activity))
            .map(|one| one.usage.cycles)
            .sum()
    };
    let all: u64 = (1..=activities).map(used).sum();
    (1..=activities)
        .map(|one| used(one) * 1000 / all.max(1))
        .collect()
}

#[test]
fn cpu_bound_processes_get_their_shares() {
    let activities = [("a", 50), ("b", 33), ("c", 17)];
    let programs = vec![spin_on(2)];
    let mut world = World::new(2, 4000, &activities, 5000, programs);
    for activity in 1..=3 {
        world.start(0, activity);
    }
    world.run_for(3000 * MS);
    for core in 0..2 {
        let shares = shares(&world, core, 3);
        for (share, expected) in shares.iter().zip([500, 330, 170]) {
            assert!(share.abs_diff(expected) <= 5, "{shares:?} on core {core}");
        }
    }
}

/// Whatever the antagonist does, the neighbour with the same weight gets half of the core.
fn beside(antagonist: Program) {
    let activities = [("victim", 100), ("antagonist", 100)];
    let mut world = World::new(1, 6000, &activities, 1000, vec![spin(), antagonist]);
    world.start(0, 1);
    world.start(1, 2);
    world.run_for(150 * MS);
    let shares = shares(&world, 0, 2);
    assert!(shares[0] >= 480, "the victim gets {} of 1000", shares[0]);
}

#[test]
fn a_thousand_threads_take_no_more_than_a_share() {
    let mut program = Program::new();
    let child = program.label();
    for number in 0..1000 {
        program.spawn(number % 100, child, DATA + 0x8000 + 8 * number);
    }
    program.bind(child);
    let top = program.here();
    program.compute(10 * US);
    program.jump(top);
    beside(program);
}

#[test]
fn calls_in_a_loop_take_no_more_than_a_share() {
    let mut program = Program::new();
    let top = program.here();
    program.call(linux::__NR_getpid, &[]);
    program.jump(top);
    beside(program);
}

#[test]
fn yielding_in_a_loop_takes_no_more_than_a_share() {
    let mut program = Program::new();
    let top = program.here();
    program.call(linux::__NR_sched_yield, &[]);
    program.jump(top);
    beside(program);
}

#[test]
fn signals_in_a_loop_take_no_more_than_a_share() {
    let mut program = Program::new();
    let top = program.here();
    program.call(linux::__NR_kill, &[value(0), value(linux::SIGCONT.into())]);
    program.jump(top);
    beside(program);
}

#[test]
fn sleeping_in_a_loop_takes_no_more_than_a_share() {
    let mut program = Program::new();
    let top = program.here();
    program.sleep(100 * US, DATA);
    program.jump(top);
    beside(program);
}

#[test]
fn who_sleeps_gives_the_share_away_and_gets_it_back() {
    let mut sleeper = Program::new();
    sleeper.sleep(200 * MS, DATA);
    let top = sleeper.here();
    sleeper.compute(50 * US);
    sleeper.jump(top);
    let activities = [("a", 100), ("b", 100)];
    let mut world = World::new(1, 4000, &activities, 1000, vec![spin(), sleeper]);
    world.start(0, 1);
    world.start(1, 2);
    world.run_for(200 * MS);
    let before = shares(&world, 0, 2);
    assert!(before[0] >= 990, "{before:?}");
    world.run_for(400 * MS);
    let after = shares(&world, 0, 2);
    // 200 ms alone, 400 ms with half.
    assert!(after[0].abs_diff(667) <= 20, "{after:?}");
}

/// An interactive process beside a CPU-bound one waits less than a timeslice to run.
#[test]
fn who_wakes_runs_within_a_timeslice() {
    let mut interactive = Program::new();
    interactive.repeat(R12, 50, |program| {
        program.sleep(7 * MS + 300 * US, DATA);
        program.note(1);
        program.compute(20 * US);
        program.note(2);
    });
    interactive.exit_group(0);
    let activities = [("a", 100), ("b", 100)];
    let mut world = World::new(1, 4000, &activities, 5000, vec![interactive, spin()]);
    world.start(0, 1);
    world.start(1, 2);
    world.run_for(800 * MS);
    let notes = world.machine.take_notes();
    let woken: Vec<_> = notes.iter().filter(|note| note.value == 1).collect();
    let slept: Vec<_> = notes.iter().filter(|note| note.value == 2).collect();
    assert_eq!(woken.len(), 50);
    for (slept, woken) in slept.iter().zip(&woken[1..]) {
        let late = (woken.at - slept.at).saturating_sub(7 * MS + 300 * US);
        assert!(late < 5 * MS, "{late} cycles late");
    }
}
