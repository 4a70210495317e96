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

/// A fork has a copy of the memory; the parent waits for it.
#[test]
fn a_fork_has_its_own_memory_and_is_waited_for() {
    for cores in [1, 2] {
        let mut program = Program::new();
        let child = program.label();
        program.store(value(DATA), value(11));
        program.call(linux::__NR_fork, &[]);
        program.jump_if(RAX, Condition::Equal, 0, child);
        program.set(R14, register(RAX));
        program.store(value(DATA), value(12));
        let status = DATA + 64;
        program.call(linux::__NR_wait4, &[u64::MAX, status, 0, 0].map(value));
        program.push(Instruction::JumpIf(
            Condition::NotEqual,
            register(RAX),
            register(R14),
            child,
        ));
        program.load(R12, value(status));
        program.note_register(R12);
        program.load(R12, value(DATA));
        program.note_register(R12);
        program.call(linux::__NR_wait4, &[u64::MAX, 0, 0, 0].map(value));
        program.note_register(RAX);
        program.exit_group(0);
        program.bind(child);
        program.compute(2 * MS);
        program.load(R12, value(DATA));
        program.store(value(DATA), value(13));
        program.note_register(R12);
        program.exit_group(6);
        let mut world = alone(cores, program);
        assert_eq!(world.run(100 * MS), ExitStatus::Exited(0));
        assert_eq!(values(&world), [11, 6 << 8, 12, result(Errno::ECHILD)]);
        world.check_empty();
    }
}

/// Writes the path of program `number` into memory.
fn path(program: &mut Program, number: u8, at: u64) {
    let text = u64::from_le_bytes([b'/', b'0' + number, 0, 0, 0, 0, 0, 0]);
    program.store_long(value(at), value(text));
}

#[test]
fn another_program_takes_the_place_of_a_fork() {
    for call in [linux::__NR_fork, linux::__NR_vfork] {
        let mut program = Program::new();
        let child = program.label();
        program.call(call, &[]);
        program.jump_if(RAX, Condition::Equal, 0, child);
        program.note(1);
        program.call(linux::__NR_wait4, &[u64::MAX, DATA, 0, 0].map(value));
        program.load(R12, value(DATA));
        program.note_register(R12);
        program.exit_group(0);
        program.bind(child);
        program.compute(3 * MS);
        path(&mut program, 7, DATA + 64);
        program.call(linux::__NR_execve, &[DATA + 64, 0, 0].map(value));
        program.note_register(RAX);
        path(&mut program, 1, DATA + 64);
        program.call(linux::__NR_execve, &[DATA + 64, 0, 0].map(value));
        program.note(99);
        let mut other = Program::new();
        other.compute(5 * MS);
        other.call(linux::__NR_getpid, &[]);
        other.note_register(RAX);
        other.exit_group(8);
        let mut world = World::new(2, 4000, &[("a", 100)], 1000, vec![program, other]);
        world.start(0, 1);
        assert_eq!(world.run(100 * MS), ExitStatus::Exited(0));
        let expected = match call {
            linux::__NR_fork => [1, result(Errno::ENOENT), 2, 8 << 8],
            _ => [result(Errno::ENOENT), 1, 2, 8 << 8],
        };
        assert_eq!(values(&world), expected);
        world.check_empty();
    }
}

#[test]
fn another_program_ends_all_threads() {
    let mut program = Program::new();
    let (spins, execs) = (program.label(), program.label());
    program.spawn(0, spins, DATA);
    program.spawn(1, execs, DATA + 8);
    program.wait_while(DATA + 0x1000, 0);
    program.bind(spins);
    let top = program.here();
    program.compute(10 * US);
    program.jump(top);
    program.bind(execs);
    program.compute(2 * MS);
    path(&mut program, 1, DATA + 64);
    program.call(linux::__NR_execve, &[DATA + 64, 0, 0].map(value));
    let mut other = Program::new();
    other.call(linux::__NR_gettid, &[]);
    other.note_register(RAX);
    other.load(R12, value(DATA + 64));
    other.note_register(R12);
    other.exit_group(8);
    let mut world = World::new(2, 4000, &[("a", 100)], 1000, vec![program, other]);
    world.start(0, 1);
    assert_eq!(world.run(100 * MS), ExitStatus::Exited(8));
    assert_eq!(values(&world), [1, 0]);
    world.check_empty();
}

/// The children of a process that ends become the first one's.
#[test]
fn orphans_are_waited_for_by_the_first_process() {
    let mut program = Program::new();
    let (child, grandchild) = (program.label(), program.label());
    program.call(linux::__NR_fork, &[]);
    program.jump_if(RAX, Condition::Equal, 0, child);
    for _ in 0..2 {
        program.call(linux::__NR_wait4, &[u64::MAX, 0, 0, 0].map(value));
        program.note_register(RAX);
    }
    program.exit_group(0);
    program.bind(child);
    program.call(linux::__NR_fork, &[]);
    program.jump_if(RAX, Condition::Equal, 0, grandchild);
    program.exit_group(0);
    program.bind(grandchild);
    program.compute(9 * MS);
    program.call(linux::__NR_getppid, &[]);
    program.note_register(RAX);
    program.exit_group(0);
    let mut world = alone(2, program);
    world.run(100 * MS);
    assert_eq!(values(&world), [2, 1, 3]);
    world.check_empty();
}

/// A child is stopped, seen to be, let go on, and killed.
#[test]
fn stops_are_seen_by_the_parent() {
    let mut program = Program::new();
    let child = program.label();
    program.call(linux::__NR_fork, &[]);
    program.jump_if(RAX, Condition::Equal, 0, child);
    program.set(R14, register(RAX));
    for (signal, options) in [
        (linux::SIGSTOP, linux::WUNTRACED),
        (linux::SIGCONT, linux::WCONTINUED),
        (linux::SIGKILL, 0),
    ] {
        program.compute(2 * MS);
        program.call(linux::__NR_kill, &[register(R14), value(signal.into())]);
        let options = value(options.into());
        let arguments = [value(u64::MAX), value(DATA), options, value(0)];
        program.call(linux::__NR_wait4, &arguments);
        program.load(R12, value(DATA));
        program.note_register(R12);
    }
    program.exit_group(0);
    program.bind(child);
    let top = program.here();
    program.compute(10 * US);
    program.jump(top);
    for cores in [1, 2] {
        let mut world = alone(cores, program.clone());
        world.run(100 * MS);
        let stopped = u64::from(linux::SIGSTOP << 8 | 0x7f);
        assert_eq!(values(&world), [stopped, 0xffff, linux::SIGKILL.into()]);
        world.check_empty();
    }
}

/// What the child of vfork(2) writes, its parent sees.
#[test]
fn vfork_lends_the_memory() {
    let mut program = Program::new();
    let child = program.label();
    program.call(linux::__NR_vfork, &[]);
    program.jump_if(RAX, Condition::Equal, 0, child);
    program.load(R12, value(DATA));
    program.note_register(R12);
    program.call(linux::__NR_wait4, &[u64::MAX, 0, 0, 0].map(value));
    program.exit_group(0);
    program.bind(child);
    program.compute(3 * MS);
    program.store(value(DATA), value(21));
    program.exit_group(1);
    for cores in [1, 2] {
        let mut world = alone(cores, program.clone());
        assert_eq!(world.run(100 * MS), ExitStatus::Exited(0));
        assert_eq!(values(&world), [21]);
        world.check_empty();
    }
}
