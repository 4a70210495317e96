//! The terminal: lines for who is in the foreground, signals for it, and what becomes of others.

use super::signals::with_handler;
use super::*;
use crate::files::Terminal;
use crate::system::{Kind, Message};
use vortex_toolkit::Request;
use vortex_toolkit::ids::CoreId;

const BUFFER: u64 = DATA + 0x8000;
const STATUS: u64 = DATA + 0x3000;
const LINE: usize = 100;

/// A terminal, and a program that does not run yet.
fn with_terminal(program: Program) -> World {
    let world = World::new(2, 4000, &[("a", 100)], 1000, vec![program]);
    world.shared.terminal.call_once(|| Terminal::new(80, 25));
    world
}

/// One program at a terminal.
fn at_terminal(program: Program) -> World {
    let mut world = with_terminal(program);
    world.start(0, 1);
    // Long enough for it to wait for what is typed.
    world.run_for(5 * MS);
    world
}

/// Types, and has the port interrupt.
fn type_in(world: &mut World, bytes: &[u8]) {
    world.machine.type_in(bytes);
    let payer = ActivityId::INFRASTRUCTURE;
    let destination = world.shared.destination(Kind::Process, payer);
    let request = Request::new(destination, payer, Message::Console);
    let platform = world.machine.platform(CoreId(0));
    let sent = world.shared.grid.submit(&platform, request);
    assert!(sent.is_ok(), "an inbox has room");
    world.run_for(MS);
}

fn read(program: &mut Program) {
    program.call(linux::__NR_read, &[0, BUFFER, 4096].map(value));
}

#[test]
fn a_line_is_edited_echoed_and_read() {
    let mut program = Program::new();
    read(&mut program);
    program.note_register(RAX);
    program.load(R12, value(BUFFER)).note_register(R12);
    program.exit_group(0);
    let mut world = at_terminal(program);
    type_in(&mut world, b"hi\x7fel");
    assert!(!world.has_ended(), "the line is not complete");
    type_in(&mut world, b"lo\r");
    assert_eq!(world.run(1000 * MS), ExitStatus::Exited(0));
    let start = u32::from_le_bytes(*b"hell");
    assert_eq!(values(&world), [6, start.into()]);
    assert_eq!(world.machine.console(), b"hi\x08 \x08ello\r\n");
}

#[test]
fn the_end_is_read_as_nothing() {
    let mut program = Program::new();
    read(&mut program);
    program.note_register(RAX);
    program.exit_group(0);
    let mut world = at_terminal(program);
    type_in(&mut world, b"\x04");
    assert_eq!(world.run(1000 * MS), ExitStatus::Exited(0));
    assert_eq!(values(&world), [0]);
}

#[test]
fn a_key_interrupts_who_is_in_the_foreground() {
    let program = with_handler(linux::SA_SIGINFO, linux::SIGINT.into(), |program| {
        read(program);
        program.note_register(RAX);
        program.exit_group(0);
    });
    let mut world = at_terminal(program);
    type_in(&mut world, b"never read\x03");
    assert_eq!(world.run(1000 * MS), ExitStatus::Exited(0));
    assert_eq!(values(&world), [linux::SIGINT.into(), result(Errno::EINTR)]);

    let mut program = Program::new();
    read(&mut program);
    let mut world = at_terminal(program);
    type_in(&mut world, b"\x1c");
    let quit = ExitStatus::Signalled(Signal::QUIT, true);
    assert_eq!(world.run(1000 * MS), quit);
}

#[test]
fn who_reads_in_the_background_is_stopped() {
    let mut program = Program::new();
    let child = program.label();
    program.call(linux::__NR_fork, &[]);
    program.set(R14, register(RAX));
    program.jump_if(RAX, Condition::Equal, 0, child);
    let stopped = u64::from(linux::WUNTRACED);
    let anybody = [u64::MAX, STATUS, stopped, 0].map(value);
    program.call(linux::__NR_wait4, &anybody);
    program.load(R12, value(STATUS)).note_register(R12);
    let kill = u64::from(linux::SIGKILL);
    program.call(linux::__NR_kill, &[register(R14), value(kill)]);
    program.call(linux::__NR_wait4, &anybody);
    // The line is still there.
    read(&mut program);
    program.note_register(RAX);
    program.exit_group(0);
    program.bind(child);
    program.call(linux::__NR_setpgid, &[value(0), value(0)]);
    read(&mut program);
    program.exit_group(1);
    let mut world = at_terminal(program);
    type_in(&mut world, b"line\n");
    assert_eq!(world.run(1000 * MS), ExitStatus::Exited(0));
    let by_signal = u64::from(linux::SIGTTIN) << 8 | 0x7f;
    assert_eq!(values(&world), [by_signal, 5]);
}

#[test]
fn a_group_of_which_all_have_ended_is_there_until_they_are_waited_for() {
    const GROUP: u64 = DATA + 0x3800;
    let mut program = Program::new();
    let child = program.label();
    program.call(linux::__NR_fork, &[]);
    program.set(R14, register(RAX));
    program.jump_if(RAX, Condition::Equal, 0, child);
    program.store_long(value(GROUP), register(R14));
    let left = u64::from(linux::WEXITED | linux::WNOWAIT);
    let of_child = [value(1), register(R14), value(0), value(left), value(0)];
    program.call(linux::__NR_waitid, &of_child);
    program.note_register(RAX);
    let set = u64::from(linux_raw_sys::ioctl::TIOCSPGRP);
    program.call(linux::__NR_ioctl, &[0, set, GROUP].map(value));
    program.note_register(RAX);
    program.exit_group(0);
    program.bind(child);
    program.call(linux::__NR_setpgid, &[value(0), value(0)]);
    program.exit_group(0);
    let mut world = at_terminal(program);
    assert_eq!(world.run(1000 * MS), ExitStatus::Exited(0));
    assert_eq!(values(&world), [0, 0]);
}

#[test]
fn of_much_input_nothing_is_lost_while_nobody_reads() {
    const LINES: usize = 200;
    let mut program = Program::new();
    let wrong = program.label();
    program.repeat(R14, LINES as u64, |program| {
        read(program);
        program.jump_if(RAX, Condition::NotEqual, LINE as u64, wrong);
    });
    program.exit_group(0);
    program.bind(wrong);
    program.exit_group(1);
    let mut world = with_terminal(program);
    let mut line = vec![b'x'; LINE - 1];
    line.push(b'\n');
    type_in(&mut world, &line.repeat(LINES));
    assert!(world.machine.untaken() > LINES * LINE / 2, "it waits");
    world.start(0, 1);
    assert_eq!(world.run(1000 * MS), ExitStatus::Exited(0));
    assert_eq!(world.machine.untaken(), 0);
    let terminal = world.shared.terminal.get().expect("it is there");
    assert_eq!(terminal.dropped(), 0);
}

#[test]
fn who_is_in_the_foreground_is_told_of_another_size() {
    const SIZE: u64 = DATA + 0x3800;
    let program = with_handler(linux::SA_SIGINFO, linux::SIGWINCH.into(), |program| {
        let set = u64::from(linux_raw_sys::ioctl::TIOCSWINSZ);
        // Once as it is already, twice to another one.
        for columns in [80, 90, 90] {
            program.store_long(value(SIZE), value(25 | columns << 16));
            program.call(linux::__NR_ioctl, &[0, set, SIZE].map(value));
            program.note_register(RAX);
        }
        program.exit_group(0);
    });
    let mut world = at_terminal(program);
    assert_eq!(world.run(1000 * MS), ExitStatus::Exited(0));
    assert_eq!(values(&world), [0, linux::SIGWINCH.into(), 0, 0]);
}
