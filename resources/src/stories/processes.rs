//! Starting, ending, waiting.

use super::*;

#[test]
fn a_process_ends_with_its_status() {
    for cores in [1, 3] {
        let mut program = Program::new();
        program.compute(1000);
        program.exit_group(7);
        let mut world = alone(cores, program);
        assert_eq!(world.run(100 * MS), ExitStatus::Exited(7));
        world.check_empty();
    }
}

#[test]
fn the_exit_of_the_only_thread_is_that_of_the_process() {
    let mut program = Program::new();
    program.call(linux::__NR_exit, &[value(0x203)]);
    let mut world = alone(1, program);
    assert_eq!(world.run(100 * MS), ExitStatus::Exited(3));
    world.check_empty();
}

#[test]
fn exit_with_threads_running_and_waiting_on_all_cores() {
    let mut program = Program::new();
    let (spins, waits, sleeps) = (program.label(), program.label(), program.label());
    for number in 0..12 {
        let entry = [spins, waits, sleeps][number as usize % 3];
        program.spawn(number, entry, DATA + 8 * number);
    }
    program.compute(3 * MS);
    program.exit_group(9);
    program.bind(spins);
    let top = program.here();
    program.compute(10 * US);
    program.jump(top);
    program.bind(waits);
    program.wait_while(DATA + 0x1000, 0);
    program.exit();
    program.bind(sleeps);
    program.sleep(900_000_000, DATA + 0x2000);
    program.exit();
    let mut world = alone(3, program);
    assert_eq!(world.run(100 * MS), ExitStatus::Exited(9));
    world.check_empty();
}

#[test]
fn threads_that_exit_leave_the_process_to_the_last() {
    let mut program = Program::new();
    let child = program.label();
    program.spawn(0, child, DATA);
    program.call(linux::__NR_exit, &[value(5)]);
    program.bind(child);
    program.compute(5 * MS);
    program.note(1);
    program.call(linux::__NR_exit, &[value(0)]);
    let mut world = alone(2, program);
    assert_eq!(world.run(100 * MS), ExitStatus::Exited(5));
    assert_eq!(values(&world), [1]);
    world.check_empty();
}

#[test]
fn a_bad_program_is_reported_and_leaves_nothing() {
    let mut world = World::new(1, 12, &[("a", 100)], 1000, vec![Program::new()]);
    // With so few frames its stack finds no room.
    world.start(0, 1);
    let status = world.run(100 * MS);
    assert_ne!(status, ExitStatus::Exited(0));
    world.check_empty();
}

#[test]
fn numbers_of_calls_that_are_not_there_give_enosys() {
    let mut program = Program::new();
    program.call(499, &[]);
    program.note_register(RAX);
    program.call(u32::MAX, &[]);
    program.note_register(RAX);
    program.exit_group(0);
    let mut world = alone(1, program);
    world.run(100 * MS);
    assert_eq!(values(&world), [result(Errno::ENOSYS); 2]);
}

#[test]
fn who_has_no_children_does_not_wait() {
    let mut program = Program::new();
    program.call(linux::__NR_wait4, &[u64::MAX, 0, 0, 0].map(value));
    program.note_register(RAX);
    program.call(linux::__NR_kill, &[value(999), value(0)]);
    program.note_register(RAX);
    program.call(linux::__NR_getpid, &[]);
    program.note_register(RAX);
    program.exit_group(0);
    let mut world = alone(1, program);
    world.run(100 * MS);
    assert_eq!(
        values(&world),
        [result(Errno::ECHILD), result(Errno::ESRCH), 1]
    );
}
