//! Signals.

use super::*;
use crate::fake::program::register::RDX;

/// Where a handler returns to: `rt_sigreturn`.
fn restorer(program: &mut Program) -> Label {
    let label = program.here();
    program.call(linux::__NR_rt_sigreturn, &[]);
    label
}

/// Sets the action of a signal; the structure is written at an address.
fn action(program: &mut Program, signal: u64, handler: Operand, flags: u32, restorer: Label) {
    let at = DATA + 0x3000;
    program.store_long(value(at), handler);
    let flags = u64::from(flags | linux::SA_RESTORER);
    program.store_long(value(at + 8), value(flags));
    program.store_long(value(at + 16), restorer);
    program.store_long(value(at + 24), value(0));
    let arguments = [signal, at, 0, 8].map(value);
    program.call(linux::__NR_rt_sigaction, &arguments);
}

/// A program that begins with a handler, which writes the signal's number into the log and then
/// goes on with `body`.
pub(super) fn with_handler(flags: u32, signal: u64, body: impl FnOnce(&mut Program)) -> Program {
    let mut program = Program::new();
    let begin = program.label();
    program.jump(begin);
    let restorer = restorer(&mut program);
    let handler = program.here();
    program.note_register(RDI);
    program.push(Instruction::Return);
    program.bind(begin);
    action(&mut program, signal, handler.into(), flags, restorer);
    body(&mut program);
    program
}

const USR1: u64 = linux::SIGUSR1 as u64;

#[test]
fn a_handler_runs_and_returns() {
    let program = with_handler(linux::SA_SIGINFO, USR1, |program| {
        program.set(R12, 77);
        program.call(linux::__NR_getpid, &[]);
        program.set(R14, register(RAX));
        program.call(linux::__NR_kill, &[register(R14), value(USR1)]);
        program.note_register(RAX);
        program.note_register(R12);
        program.exit_group(0);
    });
    let mut world = alone(1, program);
    assert_eq!(world.run(100 * MS), ExitStatus::Exited(0));
    assert_eq!(values(&world), [USR1, 0, 77]);
    world.check_empty();
}

#[test]
fn default_actions() {
    let cases = [
        (
            linux::SIGTERM,
            Some(ExitStatus::Signalled(Signal::TERM, false)),
        ),
        (
            linux::SIGABRT,
            Some(ExitStatus::Signalled(Signal::ABRT, true)),
        ),
        (
            linux::SIGKILL,
            Some(ExitStatus::Signalled(Signal::KILL, false)),
        ),
        (linux::SIGCHLD, None),
        (linux::SIGCONT, None),
    ];
    for (signal, status) in cases {
        let mut program = Program::new();
        program.call(linux::__NR_kill, &[value(0), value(signal.into())]);
        program.exit_group(3);
        let mut world = alone(1, program);
        let expected = status.unwrap_or(ExitStatus::Exited(3));
        assert_eq!(world.run(100 * MS), expected);
        world.check_empty();
    }
}

#[test]
fn exceptions_are_signals_as_on_linux() {
    let cases = [
        (0, "FPE"),
        (3, "TRAP"),
        (6, "ILL"),
        (13, "SEGV"),
        (17, "BUS"),
    ];
    for (vector, name) in cases {
        let mut program = Program::new();
        program.push(Instruction::Trap(vector));
        let mut world = alone(1, program);
        let signal = match name {
            "FPE" => Signal::FPE,
            "TRAP" => Signal::TRAP,
            "ILL" => Signal::ILL,
            "BUS" => Signal::BUS,
            _ => Signal::SEGV,
        };
        assert_eq!(world.run(100 * MS), ExitStatus::Signalled(signal, true));
        world.check_empty();
    }
}

#[test]
fn a_blocked_signal_comes_when_it_is_unblocked() {
    let program = with_handler(0, USR1, |program| {
        let set = DATA + 0x3100;
        program.store_long(value(set), value(1 << (USR1 - 1)));
        let block = [u64::from(linux::SIG_BLOCK), set, 0, 8].map(value);
        program.call(linux::__NR_rt_sigprocmask, &block);
        program.call(linux::__NR_kill, &[value(0), value(USR1)]);
        program.note(1);
        program.call(linux::__NR_rt_sigpending, &[value(set + 8), value(8)]);
        program.load(R12, value(set + 8));
        program.note_register(R12);
        let unblock = [u64::from(linux::SIG_UNBLOCK), set, 0, 8].map(value);
        program.call(linux::__NR_rt_sigprocmask, &unblock);
        program.note(2);
        program.exit_group(0);
    });
    let mut world = alone(1, program);
    world.run(100 * MS);
    assert_eq!(values(&world), [1, 1 << (USR1 - 1), USR1, 2]);
    world.check_empty();
}

/// A thread waits, another sends it a signal: with `SA_RESTART` it waits on, else it gets EINTR.
#[test]
fn calls_are_interrupted_or_made_again() {
    for (flags, expected) in [(0, result(Errno::EINTR)), (linux::SA_RESTART, 0)] {
        for cores in [1, 2] {
            let program = with_handler(flags, USR1, |program| {
                let child = program.label();
                program.spawn(0, child, DATA);
                program.load(R14, value(DATA));
                program.compute(3 * MS);
                program.call(linux::__NR_tkill, &[register(R14), value(USR1)]);
                program.compute(3 * MS);
                program.wake(DATA + 64, 1);
                program.join(DATA);
                program.exit_group(0);
                program.bind(child);
                let wait = u64::from(linux::FUTEX_WAIT) | PRIVATE;
                program.call(linux::__NR_futex, &[DATA + 64, wait, 0, 0].map(value));
                program.note_register(RAX);
                program.exit();
            });
            let mut world = alone(cores, program);
            world.run(100 * MS);
            assert_eq!(values(&world), [USR1, expected]);
            world.check_empty();
        }
    }
}

#[test]
fn an_interrupted_sleep_says_what_is_left() {
    let program = with_handler(linux::SA_RESTART, linux::SIGALRM.into(), |program| {
        let timer = DATA + 0x3200;
        for (offset, part) in [(0, 0), (8, 0), (16, 0), (24, 2000)] {
            program.store_long(value(timer + offset), value(part));
        }
        program.call(linux::__NR_setitimer, &[0, timer, 0].map(value));
        let time = DATA + 0x3300;
        program.store_long(value(time), value(0));
        program.store_long(value(time + 8), value(10 * MS));
        program.call(linux::__NR_nanosleep, &[time, time + 16].map(value));
        program.note_register(RAX);
        program.load(R12, value(time + 24));
        program.note_register(R12);
        program.exit_group(0);
    });
    let mut world = alone(1, program);
    world.run(100 * MS);
    let notes = values(&world);
    assert_eq!(notes[..2], [linux::SIGALRM.into(), result(Errno::EINTR)]);
    assert!((7 * MS..=8 * MS).contains(&notes[2]), "{notes:?}");
    world.check_empty();
}

/// The stack overflows: the handler runs on the alternate stack and sees where.
#[test]
fn a_fault_is_handled_on_the_alternate_stack() {
    const BAD: u64 = 0x7000_0000;
    let mut program = Program::new();
    let begin = program.label();
    program.jump(begin);
    let restorer = restorer(&mut program);
    let handler = program.here();
    program.note_register(RDI);
    // si_code and si_addr.
    for offset in [8, 16] {
        program.set(R12, register(RSI)).add(R12, offset);
        program.load(R13, register(R12));
        program.note_register(R13);
    }
    program.exit_group(4);
    program.bind(begin);
    let stack = DATA + 0x3400;
    for (offset, part) in [(0, DATA + 0x1_0000), (8, 0), (16, 0x4000)] {
        program.store_long(value(stack + offset), value(part));
    }
    program.call(linux::__NR_sigaltstack, &[stack, 0].map(value));
    let flags = linux::SA_SIGINFO | linux::SA_ONSTACK;
    action(
        &mut program,
        linux::SIGSEGV.into(),
        handler.into(),
        flags,
        restorer,
    );
    program.set(crate::fake::program::register::RSP, BAD);
    program.store(value(BAD), value(1));
    let mut world = alone(1, program);
    assert_eq!(world.run(100 * MS), ExitStatus::Exited(4));
    let expected = [linux::SIGSEGV.into(), linux::SEGV_MAPERR.into(), BAD];
    assert_eq!(values(&world), expected);
    world.check_empty();
}

#[test]
fn a_handler_without_a_stack_ends_the_process() {
    let program = with_handler(0, USR1, |program| {
        program.set(crate::fake::program::register::RSP, 0x7000_0000);
        program.call(linux::__NR_kill, &[value(0), value(USR1)]);
        program.exit_group(0);
    });
    let mut world = alone(1, program);
    assert_eq!(
        world.run(100 * MS),
        ExitStatus::Signalled(Signal::SEGV, true)
    );
    world.check_empty();
}

#[test]
fn a_frame_full_of_nonsense_is_harmless() {
    let mut program = Program::new();
    for (offset, word) in (0..70).zip([u64::MAX, 1, 0x8000_0000_0000_0000].iter().cycle()) {
        program.store_long(value(DATA + 0x5000 + 8 * offset), value(*word));
    }
    program.set(crate::fake::program::register::RSP, DATA + 0x5008);
    program.call(linux::__NR_rt_sigreturn, &[]);
    let mut world = alone(1, program);
    assert_eq!(
        world.run(100 * MS),
        ExitStatus::Signalled(Signal::SEGV, true)
    );
    world.check_empty();
}

#[test]
fn a_signal_is_waited_for() {
    let mut program = Program::new();
    let child = program.label();
    let set = DATA + 0x3100;
    program.store_long(value(set), value(1 << (USR1 - 1)));
    let block = [u64::from(linux::SIG_BLOCK), set, 0, 8].map(value);
    program.call(linux::__NR_rt_sigprocmask, &block);
    program.spawn(0, child, DATA);
    program.call(linux::__NR_rt_sigtimedwait, &[set, 0, 0, 8].map(value));
    program.note_register(RAX);
    program.join(DATA);
    program.exit_group(0);
    program.bind(child);
    program.compute(2 * MS);
    program.call(linux::__NR_kill, &[value(0), value(USR1)]);
    program.exit();
    let mut world = alone(2, program);
    world.run(100 * MS);
    assert_eq!(values(&world), [USR1]);
    world.check_empty();
}

#[test]
fn sigsuspend_waits_with_another_mask() {
    let program = with_handler(0, USR1, |program| {
        let child = program.label();
        let set = DATA + 0x3100;
        program.store_long(value(set), value(1 << (USR1 - 1)));
        program.store_long(value(set + 8), value(0));
        let block = [u64::from(linux::SIG_BLOCK), set, 0, 8].map(value);
        program.call(linux::__NR_rt_sigprocmask, &block);
        program.spawn(0, child, DATA);
        program.call(linux::__NR_rt_sigsuspend, &[set + 8, 8].map(value));
        program.note_register(RAX);
        program.call(linux::__NR_rt_sigprocmask, &[0, 0, set + 16, 8].map(value));
        program.load(RDX, value(set + 16));
        program.note_register(RDX);
        program.join(DATA);
        program.exit_group(0);
        program.bind(child);
        program.compute(2 * MS);
        program.call(linux::__NR_kill, &[value(0), value(USR1)]);
        program.exit();
    });
    let mut world = alone(1, program);
    world.run(100 * MS);
    let expected = [USR1, result(Errno::EINTR), 1 << (USR1 - 1)];
    assert_eq!(values(&world), expected);
    world.check_empty();
}
