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

/// The native calls suspend and resume (activity).
const SUSPEND: u32 = 0x560d;
const RESUME: u32 = 0x560e;
/// The native call move (process, activity).
const MOVE: u32 = 0x5605;

/// Cycles of an activity on all cores.
fn used(world: &World, activity: u32) -> u64 {
    let snapshot = world.shared.grid.snapshot(world.now());
    let accounts = snapshot.accounts.iter();
    let own = accounts.filter(|one| one.activity == ActivityId(activity));
    own.map(|one| one.usage.cycles).sum()
}

/// A process of activity 1 that makes this call, and then spins.
fn calls(number: u32, arguments: &[u64]) -> Program {
    let mut program = Program::new();
    let arguments: Vec<_> = arguments.iter().copied().map(value).collect();
    program.call(number, &arguments);
    program.note_register(RAX);
    let top = program.here();
    program.compute(50 * US);
    program.jump(top);
    program
}

/// Runs until a time. The clock of a core that has slept is behind when it is woken, and with it the
/// world's.
fn run_until(world: &mut World, end: u64) {
    while world.now() < end {
        world.run_for(MS);
    }
}

/// While an activity is suspended it gets nothing, whoever was there before or comes then; resumed, it
/// gets its share again.
#[test]
fn a_suspended_activity_stands_still() {
    for cores in [1, 2] {
        let programs = vec![
            spin_on(u64::from(cores)),
            calls(SUSPEND, &[2]),
            calls(RESUME, &[2]),
        ];
        let mut world = World::new(cores, 6000, &[("a", 50), ("b", 50)], 1000, programs);
        world.start(0, 2);
        world.run_for(20 * MS);
        world.start(1, 1);
        world.run_for(20 * MS);
        assert!(world.shared.is_suspended(ActivityId(2)));
        let before = used(&world, 2);
        assert!(before > 10 * MS, "it ran: {before}");
        let end = world.now() + 50 * MS;
        world.start(0, 2);
        run_until(&mut world, end);
        let started = used(&world, 2) - before;
        assert!(started < MS, "{started} cycles while it was suspended");
        let before = used(&world, 2);
        run_until(&mut world, end + 50 * MS);
        assert_eq!(used(&world, 2), before, "{cores} cores");
        let end = world.now() + 100 * MS;
        world.start(2, 1);
        run_until(&mut world, end);
        assert!(!world.shared.is_suspended(ActivityId(2)));
        let since = used(&world, 2) - before;
        assert!(
            since > 40 * MS,
            "{since} cycles of {} are less than a share",
            100 * MS
        );
        assert_eq!(values(&world), [0, 0]);
    }
}

/// A process that is moved into a suspended activity stops, and goes on when it is moved out again.
#[test]
fn who_is_moved_is_held_as_where_he_comes() {
    let programs = vec![
        spin(),
        calls(SUSPEND, &[3]),
        calls(MOVE, &[1, 3]),
        calls(MOVE, &[1, 2]),
    ];
    let activities = [("a", 50), ("b", 50), ("c", 50)];
    let mut world = World::new(1, 6000, &activities, 1000, programs);
    world.start(0, 2);
    world.run_for(20 * MS);
    world.start(1, 1);
    world.start(2, 1);
    world.run_for(20 * MS);
    let of_both = |world: &World| used(world, 2) + used(world, 3);
    let before = of_both(&world);
    world.run_for(50 * MS);
    assert_eq!(of_both(&world), before);
    world.start(3, 1);
    world.run_for(100 * MS);
    let since = used(&world, 2);
    assert!(since > 20 * MS, "{since} cycles after it was moved out");
    assert_eq!(values(&world), [0, 0, 0]);
}

/// Who is held can be killed.
#[test]
fn a_suspended_process_can_be_killed() {
    let mut kill = Program::new();
    let arguments = [1, linux::SIGKILL.into()].map(value);
    kill.call(linux::__NR_kill, &arguments);
    kill.note_register(RAX);
    kill.exit_group(0);
    let programs = vec![spin(), calls(SUSPEND, &[2]), kill];
    let mut world = World::new(1, 6000, &[("a", 50), ("b", 50)], 1000, programs);
    world.start(0, 2);
    world.run_for(20 * MS);
    world.start(1, 1);
    world.run_for(20 * MS);
    world.start(2, 1);
    world.run_for(50 * MS);
    assert_eq!(values(&world), [0, 0]);
    let processes = world.shared.processes.all();
    assert!(
        processes
            .iter()
            .all(|process| process.activity() != ActivityId(2))
    );
}
