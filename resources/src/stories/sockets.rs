//! Sockets over the loop-back interface, and inside the machine.

use super::*;
use crate::net::Reason;
use linux_raw_sys::net;

/// Where programs keep addresses, descriptors and data.
const ADDRESS: u64 = DATA + 0x3000;
const OTHER: u64 = DATA + 0x3040;
const LENGTH: u64 = DATA + 0x3080;
const OPTION: u64 = DATA + 0x30c0;
const FDS: u64 = DATA + 0x3100;
const BUFFER: u64 = DATA + 0x8000;

const INTERNET: u64 = net::AF_INET as u64;
const STREAM: u64 = net::SOCK_STREAM as u64;
const DATAGRAM: u64 = net::SOCK_DGRAM as u64;
const NONBLOCKING: u64 = linux::O_NONBLOCK as u64;

impl Program {
    fn socket(&mut self, into: usize, kind: u64) {
        self.call(linux::__NR_socket, &[INTERNET, kind, 0].map(value));
        self.push(Instruction::Set(into, register(RAX)));
    }

    /// 127.0.0.1 and a port, as `struct sockaddr_in`.
    fn address(&mut self, at: u64, port: u16) {
        let [high, low] = port.to_be_bytes();
        let bytes = [2, 0, high, low, 127, 0, 0, 1];
        self.store_long(value(at), value(u64::from_le_bytes(bytes)));
        self.store_long(value(at + 8), value(0));
    }

    fn bind_to(&mut self, fd: usize, port: u16) {
        self.address(ADDRESS, port);
        self.call(linux::__NR_bind, &[register(fd), value(ADDRESS), value(16)]);
    }

    fn connect_to(&mut self, fd: usize, port: u16) {
        self.address(OTHER, port);
        self.call(
            linux::__NR_connect,
            &[register(fd), value(OTHER), value(16)],
        );
    }

    fn listen_at(&mut self, fd: usize, port: u16) {
        self.bind_to(fd, port);
        self.call(linux::__NR_listen, &[register(fd), value(8)]);
    }

    fn accept_from(&mut self, fd: usize, into: usize) {
        self.call(linux::__NR_accept, &[register(fd), value(0), value(0)]);
        self.push(Instruction::Set(into, register(RAX)));
    }

    fn on(&mut self, number: u32, fd: usize, address: u64, bytes: u64) {
        self.call(number, &[register(fd), value(address), value(bytes)]);
    }

    fn shut(&mut self, fd: usize) {
        self.call(linux::__NR_close, &[register(fd)]);
    }

    fn has_child(&mut self, child: Label) {
        self.call(linux::__NR_fork, &[]);
        self.jump_if(RAX, Condition::Equal, 0, child);
    }

    fn until_child_ends(&mut self) {
        self.call(linux::__NR_wait4, &[u64::MAX, 0, 0, 0].map(value));
    }

    /// Reads until the end; how many bytes it were is noted.
    fn read_all(&mut self, fd: usize, portion: u64) {
        let end = self.label();
        self.set(R12, 0);
        let top = self.here();
        self.on(linux::__NR_read, fd, BUFFER, portion);
        self.jump_if(RAX, Condition::Equal, 0, end);
        self.push(Instruction::Add(R12, register(RAX)));
        self.jump(top);
        self.bind(end);
        self.note_register(R12);
    }
}

/// A datagram arrives with its sender's address; one that is too long for its buffer is cut.
#[test]
fn a_datagram_arrives_with_its_senders_address() {
    for cores in [1, 2] {
        let mut program = Program::new();
        program.socket(R14, DATAGRAM);
        program.bind_to(R14, 53);
        program.note_register(RAX);
        program.socket(R15, DATAGRAM);
        program.bind_to(R15, 4000);
        program.address(OTHER, 53);
        program.store(value(BUFFER), value(0x1234_5678));
        for length in [4, 2000] {
            let arguments = [
                value(BUFFER),
                value(length),
                value(0),
                value(OTHER),
                value(16),
            ];
            let arguments = [&[register(R15)], &arguments[..]].concat();
            program.call(linux::__NR_sendto, &arguments);
            program.note_register(RAX);
        }
        program.store(value(LENGTH), value(16));
        for length in [100, 3] {
            let arguments = [
                value(BUFFER + 64),
                value(length),
                value(0),
                value(OTHER),
                value(LENGTH),
            ];
            let arguments = [&[register(R14)], &arguments[..]].concat();
            program.call(linux::__NR_recvfrom, &arguments);
            program.note_register(RAX);
        }
        program.load(R12, value(BUFFER + 64));
        program.load(R13, value(OTHER));
        program.note_register(R12);
        program.note_register(R13);
        program.exit_group(0);
        let mut world = alone(cores, program);
        assert_eq!(world.run(200 * MS), ExitStatus::Exited(0));
        let port = u64::from(u32::from_le_bytes([2, 0, 0x0f, 0xa0]));
        // The second has written over the first's first three bytes, with the same.
        assert_eq!(values(&world), [0, 4, 2000, 4, 3, 0x1234_5678, port]);
        world.check_empty();
    }
}

/// A server accepts, and gets all that its client writes, more than any buffer holds; and the other
/// way.
#[test]
fn a_stream_brings_all_bytes_both_ways() {
    const ALL: u64 = 600_000;
    for cores in [1, 2] {
        let mut program = Program::new();
        let child = program.label();
        program.socket(R14, STREAM);
        program.listen_at(R14, 80);
        program.note_register(RAX);
        program.has_child(child);
        program.accept_from(R14, R15);
        program.read_all(R15, 10_000);
        program.on(linux::__NR_write, R15, BUFFER, ALL);
        program.note_register(RAX);
        program.shut(R15);
        program.until_child_ends();
        program.exit_group(0);
        program.bind(child);
        program.shut(R14);
        program.socket(R15, STREAM);
        program.connect_to(R15, 80);
        program.note_register(RAX);
        program.on(linux::__NR_write, R15, BUFFER, ALL);
        program.note_register(RAX);
        let write_end = u64::from(net::SHUT_WR);
        program.call(linux::__NR_shutdown, &[register(R15), value(write_end)]);
        program.read_all(R15, 70_000);
        program.exit_group(0);
        let mut world = alone(cores, program);
        assert_eq!(world.run(2000 * MS), ExitStatus::Exited(0));
        let mut notes = values(&world);
        notes.sort_unstable();
        assert_eq!(notes, [0, 0, ALL, ALL, ALL, ALL]);
        world.check_empty();
    }
}

/// What waits for more goes with what comes after it, at once: nobody waits for the time after which
/// it would go alone.
#[test]
fn what_is_held_back_goes_with_what_comes_after() {
    const ROUNDS: u64 = 5;
    let (more, all) = (u64::from(net::MSG_MORE), u64::from(net::MSG_WAITALL));
    let mut program = Program::new();
    let child = program.label();
    program.socket(R14, STREAM);
    program.listen_at(R14, 80);
    program.has_child(child);
    program.accept_from(R14, R15);
    for _ in 0..ROUNDS {
        let rest = [value(BUFFER), value(100), value(more), value(0), value(0)];
        let arguments = [&[register(R15)], &rest[..]].concat();
        program.call(linux::__NR_sendto, &arguments);
        program.on(linux::__NR_write, R15, BUFFER, 50);
        program.on(linux::__NR_read, R15, BUFFER, 1);
        program.note_register(RAX);
    }
    program.until_child_ends();
    program.exit_group(0);
    program.bind(child);
    program.socket(R15, STREAM);
    program.connect_to(R15, 80);
    for _ in 0..ROUNDS {
        let rest = [value(BUFFER), value(150), value(all), value(0), value(0)];
        let arguments = [&[register(R15)], &rest[..]].concat();
        program.call(linux::__NR_recvfrom, &arguments);
        program.note_register(RAX);
        program.on(linux::__NR_write, R15, BUFFER, 1);
    }
    program.exit_group(0);
    let mut world = alone(1, program);
    // Less than the time of one round in which something is held back for long.
    assert_eq!(world.run(150 * MS), ExitStatus::Exited(0));
    let mut notes = values(&world);
    notes.sort_unstable();
    assert_eq!(notes, [1, 1, 1, 1, 1, 150, 150, 150, 150, 150]);
    world.check_empty();
}

/// Who waits for all gets it in one call, though others go first when much of it has come.
#[test]
fn who_waits_for_all_gets_all() {
    const ALL: u64 = 200_000;
    let mut program = Program::new();
    let child = program.label();
    program.socket(R14, STREAM);
    program.listen_at(R14, 80);
    program.has_child(child);
    program.accept_from(R14, R15);
    program.on(linux::__NR_write, R15, BUFFER, ALL / 2);
    program.sleep(100 * MS, BUFFER);
    program.on(linux::__NR_write, R15, BUFFER, ALL / 2);
    program.until_child_ends();
    program.exit_group(0);
    program.bind(child);
    program.socket(R15, STREAM);
    program.connect_to(R15, 80);
    // Until much of it is there, but not all.
    program.sleep(50 * MS, BUFFER);
    let flags = value(net::MSG_WAITALL.into());
    let rest = [value(BUFFER), value(ALL), flags, value(0), value(0)];
    let arguments = [&[register(R15)], &rest[..]].concat();
    program.call(linux::__NR_recvfrom, &arguments);
    program.note_register(RAX);
    program.exit_group(0);
    let mut world = alone(1, program);
    assert_eq!(world.run(2000 * MS), ExitStatus::Exited(0));
    assert_eq!(values(&world), [ALL]);
    world.check_empty();
}

#[test]
fn nobody_listens_there() {
    let mut program = Program::new();
    program.socket(R14, STREAM);
    program.connect_to(R14, 81);
    program.note_register(RAX);
    // One that sends to nobody is told of it by its next call.
    program.socket(R15, DATAGRAM);
    program.connect_to(R15, 82);
    program.note_register(RAX);
    program.on(linux::__NR_write, R15, BUFFER, 5);
    program.note_register(RAX);
    program.on(linux::__NR_read, R15, BUFFER, 5);
    program.note_register(RAX);
    program.exit_group(0);
    let mut world = alone(1, program);
    assert_eq!(world.run(200 * MS), ExitStatus::Exited(0));
    let refused = result(Errno::ECONNREFUSED);
    assert_eq!(values(&world), [refused, 0, 5, refused]);
    assert_eq!(world.shared.network.dropped(Reason::NoSocket), 1);
    world.check_empty();
}

/// Without waiting: EINPROGRESS, EAGAIN; a poll says when.
#[test]
fn who_does_not_wait_is_told_later() {
    let mut program = Program::new();
    let (top, done) = (program.label(), program.label());
    program.socket(R14, STREAM | NONBLOCKING);
    program.listen_at(R14, 80);
    program.accept_from(R14, R15);
    program.note_register(R15);
    program.socket(R15, STREAM | NONBLOCKING);
    program.connect_to(R15, 80);
    program.note_register(RAX);
    program.on(linux::__NR_read, R15, BUFFER, 5);
    program.note_register(RAX);
    // struct pollfd: POLLOUT.
    program.push(Instruction::Set(R12, register(R15)));
    program.store(value(OPTION), register(R12));
    program.store(value(OPTION + 4), value(linux::POLLOUT.into()));
    program.call(linux::__NR_poll, &[value(OPTION), value(1), value(1000)]);
    program.note_register(RAX);
    program.connect_to(R15, 80);
    program.note_register(RAX);
    program.connect_to(R15, 80);
    program.note_register(RAX);
    program.bind(top);
    program.accept_from(R14, R13);
    let again = result(Errno::EAGAIN);
    program.jump_if(R13, Condition::NotEqual, again, done);
    program.call(linux::__NR_sched_yield, &[]);
    program.jump(top);
    program.bind(done);
    // What is accepted waits, as on Linux, unless the call says otherwise.
    let now = value(net::MSG_DONTWAIT.into());
    let arguments = [
        register(R13),
        value(BUFFER),
        value(5),
        now,
        value(0),
        value(0),
    ];
    program.call(linux::__NR_recvfrom, &arguments);
    program.note_register(RAX);
    program.exit_group(0);
    let mut world = alone(2, program);
    assert_eq!(world.run(200 * MS), ExitStatus::Exited(0));
    let expected = [
        again,
        result(Errno::EINPROGRESS),
        again,
        1,
        0,
        result(Errno::EISCONN),
        again,
    ];
    assert_eq!(values(&world), expected);
    world.check_empty();
}

/// One that is killed in the midst of a transfer leaves nothing: its peer sees that it is gone.
#[test]
fn a_peer_that_is_killed_is_seen_to_be_gone() {
    for cores in [1, 2] {
        let mut program = Program::new();
        let child = program.label();
        program.socket(R14, STREAM);
        program.listen_at(R14, 80);
        program.has_child(child);
        program.push(Instruction::Set(R13, register(RAX)));
        program.accept_from(R14, R15);
        program.on(linux::__NR_read, R15, BUFFER, 1000);
        let kill = [register(R13), value(9)];
        program.call(linux::__NR_kill, &kill);
        program.until_child_ends();
        // What is on its way comes; then the end, or a reset if the peer had data unread.
        program.on(linux::__NR_write, R15, BUFFER, 1000);
        program.read_all(R15, 100_000);
        program.exit_group(0);
        program.bind(child);
        program.shut(R14);
        program.socket(R15, STREAM);
        program.connect_to(R15, 80);
        let top = program.here();
        program.on(linux::__NR_write, R15, BUFFER, 100_000);
        program.jump(top);
        let mut world = alone(cores, program);
        assert_eq!(world.run(2000 * MS), ExitStatus::Exited(0));
        world.check_empty();
    }
}

/// A read with a time limit ends without anything.
#[test]
fn a_wait_can_be_limited() {
    let mut program = Program::new();
    program.socket(R14, DATAGRAM);
    program.bind_to(R14, 53);
    program.store_long(value(OPTION), value(0));
    program.store_long(value(OPTION + 8), value(5_000));
    let (level, name) = (u64::from(net::SOL_SOCKET), u64::from(net::SO_RCVTIMEO));
    let option = [
        register(R14),
        value(level),
        value(name),
        value(OPTION),
        value(16),
    ];
    program.call(linux::__NR_setsockopt, &option);
    program.note_register(RAX);
    program.on(linux::__NR_read, R14, BUFFER, 10);
    program.note_register(RAX);
    program.exit_group(0);
    let mut world = alone(1, program);
    assert_eq!(world.run(200 * MS), ExitStatus::Exited(0));
    assert_eq!(values(&world), [0, result(Errno::EAGAIN)]);
    assert!(world.now() >= 5 * MS, "{}", world.now());
    world.check_empty();
}

/// Inside the machine: both ways by one descriptor, and the end.
#[test]
fn a_pair_of_sockets_goes_both_ways() {
    for cores in [1, 2] {
        let mut program = Program::new();
        let child = program.label();
        let unix = u64::from(net::AF_UNIX);
        program.call(linux::__NR_socketpair, &[unix, STREAM, 0, FDS].map(value));
        program.load(R14, value(FDS)).load(R15, value(FDS + 4));
        program.has_child(child);
        program.shut(R15);
        program.on(linux::__NR_write, R14, BUFFER, 150_000);
        program.note_register(RAX);
        let write_end = u64::from(net::SHUT_WR);
        program.call(linux::__NR_shutdown, &[register(R14), value(write_end)]);
        program.read_all(R14, 5000);
        program.until_child_ends();
        program.exit_group(0);
        program.bind(child);
        program.shut(R14);
        program.read_all(R15, 7000);
        program.on(linux::__NR_write, R15, BUFFER, 40_000);
        program.note_register(RAX);
        program.exit_group(0);
        let mut world = alone(cores, program);
        assert_eq!(world.run(2000 * MS), ExitStatus::Exited(0));
        let mut notes = values(&world);
        notes.sort_unstable();
        assert_eq!(notes, [40_000, 40_000, 150_000, 150_000]);
        world.check_empty();
    }
}

/// Who pays for a socket can be asked and said by an option, as by the call.
#[test]
fn a_socket_is_paid_by_whom_an_option_names() {
    let mut program = Program::new();
    program.socket(R14, STREAM);
    let option = |value: u64, length: u64| {
        let (level, name) = (
            vortex_abi::calls::SOL_VORTEX,
            vortex_abi::calls::SO_ACTIVITY,
        );
        [
            register(R14),
            Operand::Value(level.into()),
            Operand::Value(name.into()),
        ]
        .into_iter()
        .chain([value, length].map(Operand::Value))
        .collect::<Vec<_>>()
    };
    program.store(value(LENGTH), value(4));
    program.call(linux::__NR_getsockopt, &option(BUFFER, LENGTH));
    program
        .note_register(RAX)
        .load(R12, value(BUFFER))
        .note_register(R12);
    // Fewer bytes than it takes; nobody; the other activity.
    for (activity, length) in [(2, 3), (99, 4), (2, 4)] {
        program.store(value(OPTION), value(activity));
        program.call(linux::__NR_setsockopt, &option(OPTION, length));
        program.note_register(RAX);
    }
    program.call(linux::__NR_getsockopt, &option(BUFFER, LENGTH));
    program.load(R12, value(BUFFER)).note_register(R12);
    program.exit_group(0);
    let activities = [("a", 100), ("b", 100)];
    let mut world = World::new(1, 4000, &activities, 1000, vec![program]);
    world.start(0, 1);
    assert_eq!(world.run(1000 * MS), ExitStatus::Exited(0));
    let (invalid, nobody) = (result(Errno::EINVAL), result(Errno::ESRCH));
    assert_eq!(values(&world), [0, 1, invalid, nobody, 0, 2]);
    world.check_empty();
}

/// Takes all but so many of the connections that the only activity may have.
fn leave(world: &World, room: usize) -> Vec<crate::files::Share> {
    let connections = &world.shared.home(ActivityId(1)).connections;
    let mut taken: Vec<_> = core::iter::from_fn(|| connections.take()).collect();
    taken.truncate(taken.len() - room);
    taken
}

/// Listens by R14, and connects to that by R15.
fn connected_to_itself() -> Program {
    let mut program = Program::new();
    program.socket(R14, STREAM);
    program.listen_at(R14, 80);
    program.socket(R15, STREAM);
    program.connect_to(R15, 80);
    program.note_register(RAX);
    program
}

#[test]
fn who_has_all_connections_that_it_may_have_opens_no_more() {
    let mut program = connected_to_itself();
    program.socket(R13, STREAM);
    // By then its other end is there, too.
    program.sleep(10 * MS, DATA);
    program.connect_to(R13, 80);
    program.note_register(RAX);
    // Nobody has accepted it, so its other end is reset.
    program.shut(R14);
    program.shut(R15);
    program.sleep(10 * MS, DATA);
    program.connect_to(R13, 80);
    program.note_register(RAX);
    program.exit_group(0);
    let mut world = alone(1, program);
    // Both ends are of this activity.
    let taken = leave(&world, 2);
    assert_eq!(world.run(1000 * MS), ExitStatus::Exited(0));
    let (full, refused) = (result(Errno::ENOBUFS), result(Errno::ECONNREFUSED));
    assert_eq!(values(&world), [0, full, refused]);
    drop(taken);
    world.check_empty();
}

#[test]
fn who_has_all_connections_that_it_may_have_answers_when_there_is_one_again() {
    let mut program = connected_to_itself();
    program.exit_group(0);
    let mut world = alone(1, program);
    let mut taken = leave(&world, 1);
    world.run_for(500 * MS);
    assert_eq!(values(&world), [], "the listener has no place for it");
    assert!(world.shared.network.dropped(Reason::ReceiverFull) > 0);
    taken.pop();
    assert_eq!(world.run(10_000 * MS), ExitStatus::Exited(0));
    assert_eq!(values(&world), [0]);
    drop(taken);
    world.check_empty();
}
