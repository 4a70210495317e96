//! Threads, futexes, sleeping.

use super::*;

#[test]
fn threads_are_joined() {
    for cores in [1, 2, 4] {
        let mut program = Program::new();
        let child = program.label();
        for number in 0..8 {
            program.spawn(number, child, DATA + 8 * number);
        }
        for number in 0..8 {
            program.join(DATA + 8 * number);
        }
        program.load(R12, value(DATA + 0x1000));
        program.note_register(R12);
        program.exit_group(0);
        program.bind(child);
        program.compute(100 * US);
        program.push(Instruction::FetchAdd(R12, value(DATA + 0x1000), value(1)));
        program.exit();
        let mut world = alone(cores, program);
        assert_eq!(world.run(1000 * MS), ExitStatus::Exited(0));
        assert_eq!(values(&world), [8]);
        world.check_empty();
    }
}

/// Two threads hand a word to and fro.
#[test]
fn futex_ping_pong() {
    const ROUNDS: u64 = 200;
    for cores in [1, 2] {
        let mut program = Program::new();
        let child = program.label();
        program.spawn(0, child, DATA);
        program.repeat(R12, ROUNDS, |program| {
            program.store(value(DATA + 64), value(1));
            program.wake(DATA + 64, 1);
            program.wait_while(DATA + 64, 1);
        });
        program.join(DATA);
        program.note(ROUNDS);
        program.exit_group(0);
        program.bind(child);
        program.repeat(R12, ROUNDS, |program| {
            program.wait_while(DATA + 64, 0);
            program.store(value(DATA + 64), value(0));
            program.wake(DATA + 64, 1);
        });
        program.exit();
        let mut world = alone(cores, program);
        assert_eq!(world.run(10_000 * MS), ExitStatus::Exited(0));
        assert_eq!(values(&world), [ROUNDS]);
        world.check_empty();
    }
}

#[test]
fn a_thousand_threads() {
    const THREADS: u64 = 1000;
    let mut program = Program::new();
    let child = program.label();
    for number in 0..THREADS {
        program.spawn(number % 100, child, DATA + 0x8000 + 8 * number);
    }
    for number in 0..THREADS {
        program.join(DATA + 0x8000 + 8 * number);
    }
    program.load(R12, value(DATA));
    program.note_register(R12);
    program.exit_group(0);
    program.bind(child);
    program.push(Instruction::FetchAdd(R12, value(DATA), value(1)));
    program.exit();
    let mut world = alone(2, program);
    assert_eq!(world.run(10_000 * MS), ExitStatus::Exited(0));
    assert_eq!(values(&world), [THREADS]);
    world.check_empty();
}

#[test]
fn a_sleep_is_not_too_short_nor_much_too_long() {
    let mut program = Program::new();
    program.note(0);
    program.sleep(3_000_000, DATA);
    program.note_register(RAX);
    program.exit_group(0);
    let mut world = alone(1, program);
    world.run(100 * MS);
    let notes = world.machine.take_notes();
    let slept = notes[1].at - notes[0].at;
    assert_eq!(notes[1].value, 0);
    assert!((3 * MS..3 * MS + 50 * US).contains(&slept), "{slept}");
    world.check_empty();
}

#[test]
fn sleepers_beside_a_busy_thread_wake_in_order() {
    let mut program = Program::new();
    let mut entries = Vec::new();
    for number in 0..5 {
        let entry = program.label();
        program.spawn(number, entry, DATA + 8 * number);
        entries.push(entry);
    }
    program.compute(20 * MS);
    for number in 0..5 {
        program.join(DATA + 8 * number);
    }
    program.exit_group(0);
    for (number, entry) in (0..5).zip(entries) {
        program.bind(entry);
        program.sleep((10 - 2 * number) * MS, DATA + 0x1000 + 64 * number);
        program.note(number);
        program.exit();
    }
    let mut world = alone(1, program);
    world.run(1000 * MS);
    assert_eq!(values(&world), [4, 3, 2, 1, 0]);
    world.check_empty();
}

#[test]
fn a_futex_wait_times_out_and_leaves_nothing() {
    let mut program = Program::new();
    program.store_long(value(DATA), value(0));
    program.store_long(value(DATA + 8), value(2_000_000));
    let wait = u64::from(linux::FUTEX_WAIT) | PRIVATE;
    let arguments = [DATA + 64, wait, 0, DATA].map(value);
    program.call(linux::__NR_futex, &arguments);
    program.note_register(RAX);
    let arguments = [DATA + 64, wait, 1, DATA].map(value);
    program.call(linux::__NR_futex, &arguments);
    program.note_register(RAX);
    let arguments = [DATA + 63, wait, 0, DATA].map(value);
    program.call(linux::__NR_futex, &arguments);
    program.note_register(RAX);
    let arguments = [0, wait, 0, 0].map(value);
    program.call(linux::__NR_futex, &arguments);
    program.note_register(RAX);
    program.exit_group(0);
    let mut world = alone(1, program);
    world.run(100 * MS);
    let errors = [
        Errno::ETIMEDOUT,
        Errno::EAGAIN,
        Errno::EINVAL,
        Errno::EFAULT,
    ];
    assert_eq!(values(&world), errors.map(result));
    world.check_empty();
}

/// Waiters by two words: some are woken, others moved to the second word, then woken there.
#[test]
fn requeue_moves_waiters() {
    let mut program = Program::new();
    let child = program.label();
    for number in 0..6 {
        program.spawn(number, child, DATA + 8 * number);
    }
    program.compute(5 * MS);
    let requeue = u64::from(linux::FUTEX_CMP_REQUEUE) | PRIVATE;
    let (from, to) = (DATA + 0x1000, DATA + 0x2000);
    program.call(linux::__NR_futex, &[from, requeue, 1, 3, to, 7].map(value));
    program.note_register(RAX);
    program.call(linux::__NR_futex, &[from, requeue, 1, 3, to, 0].map(value));
    program.note_register(RAX);
    program.store(value(from), value(1));
    program.wake(to, 100);
    program.note_register(RAX);
    program.wake(from, 100);
    program.note_register(RAX);
    for number in 0..6 {
        program.join(DATA + 8 * number);
    }
    program.exit_group(0);
    program.bind(child);
    let wait = u64::from(linux::FUTEX_WAIT) | PRIVATE;
    program.call(linux::__NR_futex, &[from, wait, 0, 0].map(value));
    program.exit();
    let mut world = alone(1, program);
    world.run(1000 * MS);
    assert_eq!(values(&world), [result(Errno::EAGAIN), 4, 3, 2]);
    world.check_empty();
}

#[test]
fn bits_choose_who_is_woken() {
    let mut program = Program::new();
    let (odd, even) = (program.label(), program.label());
    for number in 0..4 {
        let entry = [even, odd][number as usize % 2];
        program.spawn(number, entry, DATA + 8 * number);
    }
    program.compute(5 * MS);
    let wake = u64::from(linux::FUTEX_WAKE_BITSET) | PRIVATE;
    let word = DATA + 0x1000;
    for bits in [0, 8, 2, 1] {
        program.call(linux::__NR_futex, &[word, wake, 100, 0, 0, bits].map(value));
        program.note_register(RAX);
    }
    for number in 0..4 {
        program.join(DATA + 8 * number);
    }
    program.exit_group(0);
    let wait = u64::from(linux::FUTEX_WAIT_BITSET) | PRIVATE;
    for (entry, bits) in [(even, 1), (odd, 2)] {
        program.bind(entry);
        program.call(linux::__NR_futex, &[word, wait, 0, 0, 0, bits].map(value));
        program.exit();
    }
    let mut world = alone(1, program);
    world.run(1000 * MS);
    assert_eq!(values(&world), [result(Errno::EINVAL), 0, 2, 2]);
    world.check_empty();
}

/// `FUTEX_WAKE_OP` adds 1 to the second word, and wakes there because it was 5.
#[test]
fn wake_op_changes_the_second_word() {
    let mut program = Program::new();
    let (first, second) = (DATA + 0x1000, DATA + 0x1004);
    program.store(value(second), value(5));
    let operation = u64::from(linux::FUTEX_WAKE_OP) | PRIVATE;
    let add_one_if_five = 1 << 28 | 1 << 12 | 5;
    let arguments = [first, operation, 1, 1, second, add_one_if_five].map(value);
    program.call(linux::__NR_futex, &arguments);
    program.note_register(RAX);
    program.load(R12, value(second));
    program.note_register(R12);
    program.exit_group(0);
    let mut world = alone(1, program);
    world.run(100 * MS);
    assert_eq!(values(&world), [0, 6]);
}

#[test]
fn affinity_moves_a_thread() {
    let mut program = Program::new();
    for core in [1_u64, 0, 2] {
        program.store_long(value(DATA), value(1 << core));
        program.call(linux::__NR_sched_setaffinity, &[0, 8, DATA].map(value));
        program.note_register(RAX);
        program.compute(10 * US);
        program.note(100 + core);
    }
    program.store_long(value(DATA), value(1 << 60));
    program.call(linux::__NR_sched_setaffinity, &[0, 8, DATA].map(value));
    program.note_register(RAX);
    program.exit_group(0);
    let mut world = alone(3, program);
    world.run(1000 * MS);
    let notes = world.machine.take_notes();
    for note in notes.iter().filter(|note| (100..103).contains(&note.value)) {
        assert_eq!(u64::from(note.core.0), note.value - 100);
    }
    let results: Vec<_> = notes.iter().map(|note| note.value).collect();
    assert_eq!(results, [0, 101, 0, 100, 0, 102, result(Errno::EINVAL)]);
    world.check_empty();
}

#[test]
fn threads_of_a_process_are_spread_over_the_cores() {
    let mut program = Program::new();
    let child = program.label();
    for number in 0..4 {
        program.spawn(number, child, DATA + 8 * number);
    }
    for number in 0..4 {
        program.join(DATA + 8 * number);
    }
    program.exit_group(0);
    program.bind(child);
    program.compute(4 * MS);
    program.note(1);
    program.exit();
    let mut world = alone(4, program);
    world.run(1000 * MS);
    let mut cores: Vec<_> = world
        .machine
        .take_notes()
        .iter()
        .map(|note| note.core.0)
        .collect();
    cores.sort_unstable();
    assert_eq!(cores, [0, 1, 2, 3]);
    world.check_empty();
}

#[test]
fn a_suspended_thread_runs_when_it_is_resumed() {
    let mut program = Program::new();
    let child = program.label();
    let suspend = vortex_abi::calls::THREAD_SUSPEND as u32;
    let resume = vortex_abi::calls::THREAD_RESUME as u32;
    program.spawn(0, child, DATA);
    program.compute(2 * MS);
    program.load(R14, value(DATA));
    program.call(suspend, &[register(R14)]);
    program.note_register(RAX);
    program.compute(10 * MS);
    program.note(100);
    program.call(resume, &[register(R14)]);
    program.join(DATA);
    program.exit_group(0);
    program.bind(child);
    program.compute(5 * MS);
    program.note(200);
    program.exit();
    let mut world = alone(2, program);
    world.run(1000 * MS);
    assert_eq!(values(&world), [0, 100, 200]);
    world.check_empty();
}
