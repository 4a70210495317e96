//! Native asynchronous I/O on what has no position.

use super::*;
use linux_raw_sys::net;

/// Where programs keep what calls take and give.
const CONTEXT: u64 = DATA + 0x3000;
const BLOCKS: u64 = DATA + 0x3100;
const LIST: u64 = DATA + 0x3600;
const EVENTS: u64 = DATA + 0x3700;
const FDS: u64 = DATA + 0x3f00;
const BUFFER: u64 = DATA + 0x8000;

/// Bytes of `struct iocb` and of `struct io_event`.
const BLOCK: u64 = 64;
const EVENT: u64 = 32;
/// `IOCB_CMD_…` of linux/aio_abi.h.
const PREAD: u64 = 0;
const PWRITE: u64 = 1;

const fn block(number: u64) -> u64 {
    BLOCKS + number * BLOCK
}

impl Program {
    fn set_up(&mut self, operations: u64) {
        self.store_long(value(CONTEXT), value(0));
        self.call(linux::__NR_io_setup, &[operations, CONTEXT].map(value));
    }

    /// Writes the block of an operation on a descriptor (in a register), whose data is its number.
    fn prepare(&mut self, number: u64, what: u64, fd: usize, (at, bytes): (u64, u64)) {
        let block = block(number);
        for (word, content) in [
            (0, number),
            (1, 0),
            (3, at),
            (4, bytes),
            (5, 0),
            (6, 0),
            (7, 0),
        ] {
            self.store_long(value(block + word * 8), value(content));
        }
        self.store(value(block + 16), value(what));
        self.store(value(block + 20), register(fd));
        self.store_long(value(LIST + number * 8), value(block));
    }

    /// A call whose first argument is the context.
    fn with_context(&mut self, call: u32, rest: &[u64]) {
        self.load(RDI, value(CONTEXT + 4));
        for _ in 0..32 {
            self.push(Instruction::Add(RDI, register(RDI)));
        }
        self.load(R12, value(CONTEXT));
        self.push(Instruction::Add(RDI, register(R12)));
        let rest = rest.iter().copied().map(value);
        let arguments: Vec<_> = [register(RDI)].into_iter().chain(rest).collect();
        self.call(call, &arguments);
    }

    /// Submits so many operations, from this one on.
    fn submit(&mut self, first: u64, count: u64) {
        self.with_context(linux::__NR_io_submit, &[count, LIST + first * 8]);
        self.note_register(RAX);
    }

    /// Waits for so many events; of each, notes which operation's it is, and its result.
    fn events(&mut self, count: u64) {
        self.with_context(linux::__NR_io_getevents, &[count, count, EVENTS, 0]);
        for number in 0..count {
            self.load(R12, value(EVENTS + number * EVENT));
            self.note_register(R12);
            self.load(R12, value(EVENTS + number * EVENT + 16));
            self.note_register(R12);
        }
    }

    fn unix_pair(&mut self) {
        let unix = u64::from(net::AF_UNIX);
        let stream = u64::from(net::SOCK_STREAM);
        self.call(linux::__NR_socketpair, &[unix, stream, 0, FDS].map(value));
        self.load(R14, value(FDS)).load(R15, value(FDS + 4));
    }

    fn plain(&mut self, number: u32, fd: usize, at: u64, bytes: u64) {
        self.call(number, &[register(fd), value(at), value(bytes)]);
    }
}

/// The lower half of a result, as programs here load it.
fn half(error: Errno) -> u64 {
    error.result() & u64::from(u32::MAX)
}

/// Reads that wait take what comes in the order in which they were submitted, and io_submit itself
/// does not wait.
#[test]
fn reads_complete_in_order() {
    for (cores, tcp) in [(1, false), (2, false), (1, true), (2, true)] {
        let mut program = Program::new();
        let child = program.label();
        match tcp {
            true => program.web_pair(FDS),
            false => program.unix_pair(),
        }
        program.fork(child);
        program.set_up(8);
        for number in 0..3 {
            program.prepare(number, PREAD, R14, (BUFFER + number * 64, 4));
        }
        program.submit(0, 3);
        program.events(0);
        program.events(3);
        for number in 0..3 {
            program
                .load(R12, value(BUFFER + number * 64))
                .note_register(R12);
        }
        program.wait_for_child();
        program.exit_group(0);
        program.bind(child);
        program.compute(2 * MS);
        for number in 0..3 {
            program.store(value(BUFFER + number * 4), value(0x100 + number));
        }
        program.plain(linux::__NR_write, R15, BUFFER, 12);
        program.exit_group(0);
        let mut world = alone(cores, program);
        assert_eq!(world.run(500 * MS), ExitStatus::Exited(0));
        let expected = [3, 0, 4, 1, 4, 2, 4, 0x100, 0x101, 0x102];
        assert_eq!(values(&world), expected, "{cores} {tcp}");
        world.check_empty();
    }
}

/// More than any buffer holds, written by one operation while the peer reads.
#[test]
fn a_write_goes_on_when_there_is_room() {
    const ALL: u64 = 600_000;
    for cores in [1, 2] {
        let mut program = Program::new();
        let (child, end) = (program.label(), program.label());
        program.web_pair(FDS);
        program.fork(child);
        program.call(linux::__NR_close, &[register(R15)]);
        program.set_up(2);
        program.prepare(0, PWRITE, R14, (BUFFER, ALL));
        program.submit(0, 1);
        program.events(1);
        program.call(linux::__NR_close, &[register(R14)]);
        program.wait_for_child();
        program.exit_group(0);
        program.bind(child);
        program.call(linux::__NR_close, &[register(R14)]);
        program.set(R12, 0);
        let top = program.here();
        program.plain(linux::__NR_read, R15, BUFFER, 10_000);
        program.jump_if(RAX, Condition::Equal, 0, end);
        program.push(Instruction::Add(R12, register(RAX)));
        program.jump(top);
        program.bind(end);
        program.note_register(R12);
        program.exit_group(0);
        let mut world = alone(cores, program);
        assert_eq!(world.run(2000 * MS), ExitStatus::Exited(0));
        let mut notes = values(&world);
        notes.sort_unstable();
        assert_eq!(notes, [0, 1, ALL, ALL]);
        world.check_empty();
    }
}

/// What waits can be cancelled, and the next one goes on; what is cancelled twice is not there.
#[test]
fn what_waits_is_cancelled_and_destroyed() {
    let mut program = Program::new();
    program.unix_pair();
    program.set_up(4);
    for number in 0..3 {
        program.prepare(number, PREAD, R14, (BUFFER + number * 64, 4));
    }
    program.submit(0, 3);
    let cancel = |program: &mut Program, number| {
        program.with_context(linux::__NR_io_cancel, &[block(number), EVENTS]);
        program.note_register(RAX);
    };
    for number in [1, 0, 1] {
        cancel(&mut program, number);
    }
    program.events(2);
    program.plain(linux::__NR_write, R15, BUFFER, 4);
    program.events(1);
    // As many as there is room for wait; the context goes, and they with it.
    program.submit(0, 3);
    program.with_context(linux::__NR_io_destroy, &[]);
    program.note_register(RAX);
    program.plain(linux::__NR_write, R15, BUFFER, 5);
    program.plain(linux::__NR_read, R14, BUFFER, 10);
    program.note_register(RAX);
    program.exit_group(0);
    let mut world = alone(1, program);
    assert_eq!(world.run(200 * MS), ExitStatus::Exited(0));
    let (under_way, invalid) = (result(Errno::EINPROGRESS), result(Errno::EINVAL));
    let cancelled = half(Errno::ECANCELED);
    let expected = [
        3, under_way, under_way, invalid, 1, cancelled, 0, cancelled, 2, 4, 3, 0, 5,
    ];
    assert_eq!(values(&world), expected);
    world.check_empty();
}

/// A process that is killed while its operations wait leaves neither memory nor sockets, and its
/// peers see that it has gone.
#[test]
fn who_is_killed_leaves_nothing() {
    for cores in [1, 2] {
        let mut program = Program::new();
        let child = program.label();
        program.web_pair(FDS);
        program.fork(child);
        program.push(Instruction::Set(R13, register(RAX)));
        program.call(linux::__NR_close, &[register(R14)]);
        program.compute(5 * MS);
        program.call(linux::__NR_kill, &[register(R13), value(9)]);
        program.wait_for_child();
        let top = program.here();
        let end = program.label();
        program.plain(linux::__NR_read, R15, BUFFER, 100_000);
        program.jump_if(RAX, Condition::Equal, 0, end);
        let reset = result(Errno::ECONNRESET);
        program.jump_if(RAX, Condition::NotEqual, reset, top);
        program.bind(end);
        program.note(1);
        program.exit_group(0);
        program.bind(child);
        program.call(linux::__NR_close, &[register(R15)]);
        program.set_up(8);
        for number in 0..4 {
            let memory = (BUFFER + number * 0x1_0000, 0x1_0000);
            program.prepare(number, PREAD, R14, memory);
            program.prepare(number + 4, PWRITE, R14, (BUFFER, 600_000));
        }
        program.submit(0, 8);
        program.events(8);
        let mut world = alone(cores, program);
        assert_eq!(world.run(2000 * MS), ExitStatus::Exited(0));
        assert_eq!(values(&world), [8, 1]);
        world.check_empty();
        let purse = &world.shared.home(ActivityId(1)).purse;
        assert_eq!(purse.held(), 0);
    }
}

/// As Linux's: a stream has no offset, who is not to wait is told EAGAIN, a time limit ends a wait.
#[test]
fn an_operation_fails_as_the_call_would() {
    let mut program = Program::new();
    program.unix_pair();
    program.set_up(8);
    program.prepare(0, PREAD, R14, (BUFFER, 4));
    program.store_long(value(block(0) + 40), value(7));
    program.prepare(1, PREAD, R14, (BUFFER, 4));
    program.store(value(block(1) + 12), value(linux::RWF_NOWAIT.into()));
    program.prepare(2, PREAD, R14, (8, 4));
    program.prepare(3, PWRITE, R14, (BUFFER, 0));
    program.submit(0, 4);
    program.events(4);
    // SO_RCVTIMEO: 5 ms.
    program.store_long(value(FDS), value(0));
    program.store_long(value(FDS + 8), value(5_000));
    let (level, name) = (u64::from(net::SOL_SOCKET), u64::from(net::SO_RCVTIMEO));
    let option = [
        register(R14),
        value(level),
        value(name),
        value(FDS),
        value(16),
    ];
    program.call(linux::__NR_setsockopt, &option);
    program.prepare(4, PREAD, R14, (BUFFER, 4));
    program.submit(4, 1);
    program.events(1);
    program.call(linux::__NR_close, &[register(R15)]);
    program.prepare(5, PREAD, R14, (BUFFER, 4));
    program.submit(5, 1);
    program.events(1);
    // Nobody reads: a signal.
    program.prepare(6, PWRITE, R14, (BUFFER, 4));
    program.submit(6, 1);
    program.events(1);
    program.exit_group(0);
    let mut world = alone(1, program);
    let killed = ExitStatus::Signalled(Signal::PIPE, false);
    assert_eq!(world.run(200 * MS), killed);
    assert!(world.now() >= 5 * MS);
    let (seek, again, fault) = (Errno::ESPIPE, Errno::EAGAIN, Errno::EFAULT);
    let mut notes = values(&world);
    notes.truncate(14);
    // What cannot begin has ended first.
    let mut expected = [
        4,
        2,
        half(fault),
        0,
        half(seek),
        3,
        0,
        1,
        half(again),
        1,
        4,
        half(again),
        1,
        5,
    ];
    notes[1..9].as_chunks_mut::<2>().0.sort_unstable();
    expected[1..9].as_chunks_mut::<2>().0.sort_unstable();
    assert_eq!(notes, expected);
    world.check_empty();
}

/// Its own attempts are paid by who pays for the socket, and the bytes are counted at the resource.
#[test]
fn attempts_are_paid_by_the_sockets_activity() {
    let mut program = Program::new();
    program.web_pair(FDS);
    program.call(
        vortex_abi::calls::SOCKET_ASSIGN as u32,
        &[register(R14), value(2)],
    );
    program.note_register(RAX);
    program.set_up(2);
    program.prepare(0, PWRITE, R14, (BUFFER, 1000));
    program.prepare(1, PREAD, R15, (BUFFER, 600));
    program.submit(0, 2);
    program.events(2);
    program.exit_group(0);
    let activities = [("a", 100), ("b", 100)];
    let mut world = World::new(1, 4000, &activities, 1000, vec![program]);
    world.start(0, 1);
    assert_eq!(world.run(500 * MS), ExitStatus::Exited(0));
    assert_eq!(values(&world), [0, 2, 0, 1000, 1, 600]);
    let bytes = |activity| {
        let resource = world
            .shared
            .destination(crate::system::Kind::Aio, ActivityId(activity));
        let accounts = world.shared.grid.accounts();
        let own = accounts.iter().filter(|account| {
            (account.resource, account.activity) == (resource, ActivityId(activity))
        });
        own.map(|account| account.usage.bytes).sum::<u64>()
    };
    assert_eq!((bytes(1), bytes(2)), (600, 1000));
    world.check_empty();
}
