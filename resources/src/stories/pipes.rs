//! Pipes, event counters and epolls.

use super::*;

/// Where programs keep descriptors, buffers and structures.
const FDS: u64 = DATA + 0x3000;
const BUFFER: u64 = DATA + 0x8000;
const EVENTS: u64 = DATA + 0x3800;

impl Program {
    /// Makes a pipe; its ends are in two registers then.
    fn pipe(&mut self, reads: usize, writes: usize) {
        self.call(linux::__NR_pipe2, &[value(FDS), value(0)]);
        self.load(reads, value(FDS)).load(writes, value(FDS + 4));
    }

    fn read(&mut self, fd: usize, address: u64, bytes: u64) {
        let arguments = [register(fd), value(address), value(bytes)];
        self.call(linux::__NR_read, &arguments);
    }

    fn write(&mut self, fd: usize, address: u64, bytes: u64) {
        let arguments = [register(fd), value(address), value(bytes)];
        self.call(linux::__NR_write, &arguments);
    }

    fn close(&mut self, fd: usize) {
        self.call(linux::__NR_close, &[register(fd)]);
    }

    /// Has an epoll (in a register) watch a descriptor.
    fn watch(&mut self, epoll: usize, fd: usize, events: u32, data: u64) {
        self.store(value(EVENTS), value(events.into()));
        self.store_long(value(EVENTS + 4), value(data));
        let add = value(linux::EPOLL_CTL_ADD.into());
        let arguments = [register(epoll), add, register(fd), value(EVENTS)];
        self.call(linux::__NR_epoll_ctl, &arguments);
    }

    fn epoll_wait(&mut self, epoll: usize, limit: u64, timeout_ms: u64) {
        let arguments = [
            register(epoll),
            value(EVENTS),
            value(limit),
            value(timeout_ms),
        ];
        self.call(linux::__NR_epoll_wait, &arguments);
    }
}

/// A child reads what its parent writes, and sees the end when the parent has closed it.
#[test]
fn a_reader_waits_for_bytes_and_for_the_end() {
    for cores in [1, 2] {
        let mut program = Program::new();
        let child = program.label();
        program.pipe(R14, R15);
        program.fork(child);
        program.close(R14);
        program.compute(2 * MS);
        program.store(value(BUFFER), value(0xabcd));
        program.write(R15, BUFFER, 4);
        program.compute(2 * MS);
        program.close(R15);
        program.wait_for_child();
        program.exit_group(0);
        program.bind(child);
        program.close(R15);
        program.read(R14, BUFFER + 64, 100);
        program.note_register(RAX);
        program.load(R12, value(BUFFER + 64));
        program.note_register(R12);
        program.read(R14, BUFFER + 64, 100);
        program.note_register(RAX);
        program.exit_group(0);
        let mut world = alone(cores, program);
        assert_eq!(world.run(200 * MS), ExitStatus::Exited(0));
        assert_eq!(values(&world), [4, 0xabcd, 0]);
        world.check_empty();
    }
}

/// More than the pipe holds, written by one call while a child takes it out slowly.
#[test]
fn a_writer_waits_for_room_and_goes_on_where_it_was() {
    const ALL: u64 = 200_000;
    for cores in [1, 2] {
        let mut program = Program::new();
        let (child, end) = (program.label(), program.label());
        program.pipe(R14, R15);
        program.fork(child);
        program.close(R14);
        program.write(R15, BUFFER, ALL);
        program.note_register(RAX);
        program.close(R15);
        program.wait_for_child();
        program.exit_group(0);
        program.bind(child);
        program.close(R15);
        program.set(R12, 0);
        let top = program.here();
        program.read(R14, BUFFER, 3000);
        program.jump_if(RAX, Condition::Equal, 0, end);
        program.push(Instruction::Add(R12, register(RAX)));
        program.compute(10 * US);
        program.jump(top);
        program.bind(end);
        program.note_register(R12);
        program.exit_group(0);
        let mut world = alone(cores, program);
        assert_eq!(world.run(500 * MS), ExitStatus::Exited(0));
        let mut notes = values(&world);
        notes.sort_unstable();
        assert_eq!(notes, [ALL, ALL]);
        world.check_empty();
    }
}

#[test]
fn a_write_that_nobody_reads_is_a_signal() {
    let mut program = Program::new();
    program.pipe(R14, R15);
    program.close(R14);
    program.write(R15, BUFFER, 1);
    program.exit_group(3);
    let mut world = alone(1, program);
    let killed = ExitStatus::Signalled(Signal::PIPE, false);
    assert_eq!(world.run(100 * MS), killed);
    world.check_empty();
}

/// A process that waits at a pipe is killed: nothing of the wait is left.
#[test]
fn who_waits_can_be_killed() {
    for cores in [1, 2] {
        let mut program = Program::new();
        let child = program.label();
        program.pipe(R14, R15);
        program.fork(child);
        program.set(R12, register(RAX));
        program.compute(3 * MS);
        let kill = value(linux::SIGKILL.into());
        program.call(linux::__NR_kill, &[register(R12), kill]);
        program.wait_for_child();
        program.exit_group(0);
        program.bind(child);
        program.read(R14, BUFFER, 1);
        program.note(1);
        let mut world = alone(cores, program);
        assert_eq!(world.run(200 * MS), ExitStatus::Exited(0));
        assert_eq!(values(&world), [0; 0]);
        world.check_empty();
    }
}

/// Two processes hand a byte to and fro through two pipes.
#[test]
fn ping_pong() {
    const ROUNDS: u64 = 500;
    for cores in [1, 2] {
        let mut program = Program::new();
        let child = program.label();
        program.pipe(R14, R15);
        program.call(linux::__NR_pipe2, &[value(FDS + 8), value(0)]);
        program.fork(child);
        program.load(R13, value(FDS + 8));
        program.repeat(R12, ROUNDS, |program| {
            program.write(R15, BUFFER, 1);
            program.read(R13, BUFFER, 1);
        });
        program.note_register(RAX);
        program.wait_for_child();
        program.exit_group(0);
        program.bind(child);
        program.load(R13, value(FDS + 12));
        program.repeat(R12, ROUNDS, |program| {
            program.read(R14, BUFFER, 1);
            program.write(R13, BUFFER, 1);
        });
        program.exit_group(0);
        let mut world = alone(cores, program);
        assert_eq!(world.run(2000 * MS), ExitStatus::Exited(0));
        assert_eq!(values(&world), [1]);
        world.check_empty();
    }
}

#[test]
fn poll_waits_for_what_becomes_ready_or_for_the_time() {
    for cores in [1, 2] {
        let mut program = Program::new();
        let child = program.label();
        program.pipe(R14, R15);
        program.fork(child);
        let entries = DATA + 0x3900;
        let poll = |program: &mut Program, timeout_ms: u64| {
            program.push(Instruction::Store(value(entries), register(R14)));
            program.store(value(entries + 4), value(linux::POLLIN.into()));
            program.call(linux::__NR_poll, &[entries, 1, timeout_ms].map(value));
            program.note_register(RAX);
            program.load(R12, value(entries + 4));
            program.note_register(R12);
        };
        poll(&mut program, 0);
        poll(&mut program, 1);
        poll(&mut program, 1000);
        program.wait_for_child();
        program.exit_group(0);
        program.bind(child);
        program.sleep(5 * MS, BUFFER);
        program.write(R15, BUFFER, 1);
        program.exit_group(0);
        let mut world = alone(cores, program);
        assert_eq!(world.run(200 * MS), ExitStatus::Exited(0));
        let asked = u64::from(linux::POLLIN);
        let ready = asked | asked << 16;
        assert_eq!(values(&world), [0, asked, 0, asked, 1, ready]);
        world.check_empty();
    }
}

/// A signal that only the call's mask lets through ends the call, and its handler sees the mask.
#[test]
fn ppoll_puts_its_mask_in_force() {
    let usr1 = u64::from(linux::SIGUSR1);
    let program = signals::with_handler(0, usr1, |program| {
        let set = DATA + 0x3100;
        program.store_long(value(set), value(1 << (usr1 - 1)));
        program.store_long(value(set + 8), value(0));
        let block = [u64::from(linux::SIG_BLOCK), set, 0, 8].map(value);
        program.call(linux::__NR_rt_sigprocmask, &block);
        program.call(linux::__NR_kill, &[value(0), value(usr1)]);
        program.note(1);
        let arguments = [0, 0, 0, set + 8, 8].map(value);
        program.call(linux::__NR_ppoll, &arguments);
        program.note_register(RAX);
        // The mask is back.
        program.call(linux::__NR_kill, &[value(0), value(usr1)]);
        program.note(2);
        let unblock = [u64::from(linux::SIG_UNBLOCK), set, 0, 8].map(value);
        program.call(linux::__NR_rt_sigprocmask, &unblock);
        program.exit_group(0);
    });
    let mut world = alone(1, program);
    assert_eq!(world.run(100 * MS), ExitStatus::Exited(0));
    assert_eq!(values(&world), [1, usr1, result(Errno::EINTR), 2, usr1]);
    world.check_empty();
}

#[test]
fn a_counter_is_read_and_written() {
    for cores in [1, 2] {
        let mut program = Program::new();
        let child = program.label();
        program.call(linux::__NR_eventfd2, &[value(0), value(0)]);
        program.set(R14, register(RAX));
        program.spawn(0, child, DATA);
        program.read(R14, BUFFER, 8);
        program.note_register(RAX);
        program.load(R12, value(BUFFER));
        program.note_register(R12);
        program.join(DATA);
        program.exit_group(0);
        program.bind(child);
        program.compute(2 * MS);
        program.store_long(value(BUFFER + 64), value(7));
        program.write(R14, BUFFER + 64, 8);
        program.exit();
        let mut world = alone(cores, program);
        assert_eq!(world.run(100 * MS), ExitStatus::Exited(0));
        assert_eq!(values(&world), [8, 7]);
        world.check_empty();
    }
}

#[test]
fn an_epoll_tells_what_is_ready() {
    for cores in [1, 2] {
        let mut program = Program::new();
        let child = program.label();
        program.pipe(R14, R15);
        program.call(linux::__NR_epoll_create1, &[value(0)]);
        program.set(R12, register(RAX));
        program.watch(R12, R14, linux::EPOLLIN, 77);
        program.note_register(RAX);
        program.epoll_wait(R12, 4, 1);
        program.note_register(RAX);
        program.fork(child);
        for _ in 0..2 {
            // Level-triggered: as long as the byte is there.
            program.epoll_wait(R12, 4, u64::MAX);
            program.note_register(RAX);
            program.load(R13, value(EVENTS + 4));
            program.note_register(R13);
        }
        program.read(R14, BUFFER, 1);
        program.epoll_wait(R12, 4, 0);
        program.note_register(RAX);
        program.wait_for_child();
        program.exit_group(0);
        program.bind(child);
        program.sleep(5 * MS, BUFFER);
        program.write(R15, BUFFER, 1);
        program.exit_group(0);
        let mut world = alone(cores, program);
        assert_eq!(world.run(200 * MS), ExitStatus::Exited(0));
        assert_eq!(values(&world), [0, 0, 1, 77, 1, 77, 0]);
        world.check_empty();
    }
}
