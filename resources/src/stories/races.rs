//! The same system with a host thread for each core: what happens at the same time really does.

use super::*;
use crate::fake::processor::FakeMachine;
use crate::fake::world::Setup;

/// Runs program 0 on three threads of the host.
fn race(programs: Vec<Program>) -> ExitStatus {
    let machine = FakeMachine::in_real_time(3, 4000);
    Setup::new(machine, 3, &[("a", 100)], 200, programs).run_on_threads()
}

/// Eight threads take turns at a word, by wait and wake.
#[test]
fn futexes() {
    const THREADS: u64 = 8;
    const ROUNDS: u64 = 50;
    let mut program = Program::new();
    let child = program.label();
    for number in 0..THREADS {
        program.spawn(number, child, DATA + 8 * number);
    }
    for number in 0..THREADS {
        program.join(DATA + 8 * number);
    }
    program.load(R12, value(DATA + 0x1004));
    let wrong = program.label();
    program.jump_if(R12, Condition::NotEqual, THREADS * ROUNDS, wrong);
    program.exit_group(0);
    program.bind(wrong);
    program.exit_group(1);
    // A lock of one word: 0 is free; FetchAdd takes it if it was.
    program.bind(child);
    let (lock, count) = (DATA + 0x1000, DATA + 0x1004);
    program.repeat(R12, ROUNDS, |program| {
        let (taken, again) = (program.label(), program.here());
        program.push(Instruction::FetchAdd(R13, value(lock), value(1)));
        program.jump_if(R13, Condition::Equal, 0, taken);
        let wait = u64::from(linux::FUTEX_WAIT) | PRIVATE;
        program.add(R13, 1);
        let arguments = [value(lock), value(wait), register(R13), value(0)];
        program.call(linux::__NR_futex, &arguments);
        program.jump(again);
        program.bind(taken);
        program.load(R14, value(count));
        program.add(R14, 1);
        program.store(value(count), register(R14));
        program.store(value(lock), value(0));
        program.wake(lock, 100);
    });
    program.exit();
    for _ in 0..5 {
        assert_eq!(race(vec![program.clone()]), ExitStatus::Exited(0));
    }
}

#[test]
fn exit_while_threads_run_wait_sleep_and_begin() {
    let mut program = Program::new();
    let (spins, waits, sleeps, begins) = (
        program.label(),
        program.label(),
        program.label(),
        program.label(),
    );
    for number in 0..8 {
        let entry = [spins, waits, sleeps, begins][number as usize % 4];
        program.spawn(number, entry, DATA + 8 * number);
    }
    program.compute(2 * MS);
    program.exit_group(9);
    program.bind(spins);
    let top = program.here();
    program.compute(50 * US);
    program.jump(top);
    program.bind(waits);
    program.wait_while(DATA + 0x1000, 0);
    program.bind(sleeps);
    let top = program.here();
    program.sleep(100 * US, DATA + 0x2000);
    program.jump(top);
    program.bind(begins);
    let (top, ends) = (program.here(), program.label());
    program.spawn(20, ends, DATA + 0x3000);
    program.jump(top);
    program.bind(ends);
    program.exit();
    for _ in 0..10 {
        assert_eq!(race(vec![program.clone()]), ExitStatus::Exited(9));
    }
}

/// A parent starts children and kills them while they fork, wait and are sent signals.
#[test]
fn kill_and_wait() {
    let mut program = Program::new();
    let (child, thread) = (program.label(), program.label());
    program.repeat(R12, 20, |program| {
        program.call(linux::__NR_fork, &[]);
        program.jump_if(RAX, Condition::Equal, 0, child);
        program.set(R14, register(RAX));
        program.compute(100 * US);
        for signal in [linux::SIGSTOP, linux::SIGCONT, linux::SIGKILL] {
            program.call(linux::__NR_kill, &[register(R14), value(signal.into())]);
        }
        program.call(linux::__NR_wait4, &[u64::MAX, DATA, 0, 0].map(value));
    });
    program.exit_group(4);
    program.bind(child);
    program.spawn(0, thread, DATA + 0x100);
    program.wait_while(DATA + 0x1000, 0);
    program.bind(thread);
    let top = program.here();
    program.call(linux::__NR_sched_yield, &[]);
    program.jump(top);
    for _ in 0..3 {
        assert_eq!(race(vec![program.clone()]), ExitStatus::Exited(4));
    }
}

/// Signals interrupt waits that others end at the same time.
#[test]
fn signals_and_wakes() {
    let mut program = Program::new();
    let (begin, child) = (program.label(), program.label());
    program.jump(begin);
    let restorer = program.here();
    program.call(linux::__NR_rt_sigreturn, &[]);
    let handler = program.here();
    program.push(Instruction::Return);
    program.bind(begin);
    let action = DATA + 0x3000;
    program.store_long(value(action), handler);
    program.store_long(value(action + 8), value(linux::SA_RESTORER.into()));
    program.store_long(value(action + 16), restorer);
    let number = u64::from(linux::SIGUSR1);
    program.call(linux::__NR_rt_sigaction, &[number, action, 0, 8].map(value));
    program.spawn(0, child, DATA);
    program.load(R14, value(DATA));
    program.repeat(R12, 200, |program| {
        program.call(linux::__NR_tkill, &[register(R14), value(number)]);
        program.wake(DATA + 64, 1);
    });
    program.store(value(DATA + 64), value(1));
    program.wake(DATA + 64, 1);
    program.join(DATA);
    program.exit_group(3);
    program.bind(child);
    program.wait_while(DATA + 64, 0);
    program.exit();
    for _ in 0..5 {
        assert_eq!(race(vec![program.clone()]), ExitStatus::Exited(3));
    }
}

/// Threads that read from and write to pipes, wait for them and close them, each on its own core:
/// no wake-up is lost, and nothing is left.
#[test]
fn pipes_and_epolls() {
    const ROUNDS: u64 = 200;
    let mut program = Program::new();
    let (echo, child) = (program.label(), program.label());
    let fds = DATA + 0x2000;
    let buffer = DATA + 0x2100;
    let byte = |fd: u64, buffer: u64| [value(fd), value(buffer), value(1)];
    // 3 and 4, 5 and 6; the epoll is 7 and watches 3.
    program.call(linux::__NR_pipe2, &[value(fds), value(0)]);
    program.call(linux::__NR_pipe2, &[value(fds), value(0)]);
    program.call(linux::__NR_epoll_create1, &[value(0)]);
    program.store(value(fds), value(linux::EPOLLIN.into()));
    program.call(linux::__NR_epoll_ctl, &[7, 1, 3, fds].map(value));
    program.spawn(0, echo, DATA);
    program.repeat(R12, ROUNDS, |program| {
        program.call(linux::__NR_write, &byte(4, buffer));
        program.call(linux::__NR_read, &byte(5, buffer));
    });
    program.join(DATA);
    // A reader in another process, which sees the end when all have closed the other side.
    program.call(linux::__NR_fork, &[]);
    program.jump_if(RAX, Condition::Equal, 0, child);
    program.call(linux::__NR_write, &byte(4, buffer));
    program.call(linux::__NR_close, &[value(4)]);
    program.call(linux::__NR_wait4, &[u64::MAX, 0, 0, 0].map(value));
    program.exit_group(0);
    program.bind(child);
    program.call(linux::__NR_close, &[value(4)]);
    program.call(linux::__NR_read, &byte(3, buffer));
    program.call(linux::__NR_read, &byte(3, buffer));
    program.push(Instruction::Set(RDI, register(RAX)));
    program.set(RAX, u64::from(linux::__NR_exit_group));
    program.push(Instruction::Call);
    program.bind(echo);
    program.repeat(R12, ROUNDS, |program| {
        let events = fds + 64;
        let forever = u64::MAX;
        program.call(linux::__NR_epoll_wait, &[7, events, 1, forever].map(value));
        program.call(linux::__NR_read, &byte(3, buffer + 64));
        program.call(linux::__NR_write, &byte(6, buffer + 64));
    });
    program.exit();
    for _ in 0..5 {
        assert_eq!(race(vec![program.clone()]), ExitStatus::Exited(0));
    }
}
