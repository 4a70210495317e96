//! Memory: faults that are errors, and what happens when there is none left.

use super::*;

#[test]
fn pointers_to_nowhere_are_signals_and_errors() {
    for address in [0, 0x1000, 0x7fff_ffff_f000, 1 << 47, u64::MAX - 3] {
        let mut program = Program::new();
        program.call(linux::__NR_nanosleep, &[address, 0].map(value));
        program.note_register(RAX);
        program.store(value(address), value(1));
        let mut world = alone(1, program);
        let status = world.run(100 * MS);
        assert_eq!(status, ExitStatus::Signalled(Signal::SEGV, true));
        assert_eq!(values(&world), [result(Errno::EFAULT)]);
        world.check_empty();
    }
}

#[test]
fn a_program_cannot_write_its_text() {
    let mut program = Program::new();
    program.store(value(crate::fake::program::TEXT), value(1));
    let mut world = alone(1, program);
    let status = world.run(100 * MS);
    assert_eq!(status, ExitStatus::Signalled(Signal::SEGV, true));
    world.check_empty();
}

/// Touches page after page, without end.
fn hog() -> Program {
    let mut program = Program::new();
    let length = 1_u64 << 30;
    let protection = u64::from(linux::PROT_READ | linux::PROT_WRITE);
    let flags = u64::from(linux::MAP_PRIVATE | linux::MAP_ANONYMOUS);
    let arguments = [0, length, protection, flags, u64::MAX, 0].map(value);
    program.call(linux::__NR_mmap, &arguments);
    program.set(R12, register(RAX));
    let top = program.here();
    program.store(register(R12), value(1));
    program.add(R12, 4096);
    program.jump(top);
    program
}

#[test]
fn one_process_out_of_memory_and_another_undisturbed() {
    let mut neighbour = Program::new();
    neighbour.repeat(R12, 300, |program| {
        program.compute(100 * US);
        program.store(value(DATA + 0x100), value(1));
    });
    neighbour.exit_group(5);
    let activities = [("a", 100), ("b", 100)];
    for budget in [Some(300), None] {
        let programs = vec![neighbour.clone(), hog()];
        let mut world = World::new(1, 1000, &activities, 1000, programs);
        world.shared.memory.set_budget(ActivityId(2), budget);
        world.start(0, 1);
        world.run_for(5 * MS);
        world.start(1, 2);
        assert_eq!(world.run(1000 * MS), ExitStatus::Exited(5));
        // The page of its text stays in memory as long as nobody wants it.
        assert!(world.shared.memory.held(ActivityId(2)) <= 1);
        world.check_empty();
    }
}
