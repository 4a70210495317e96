//! What sockets may hold, and what their timers cost.

use super::*;
use crate::net::{Bill, Paid};
use crate::system::{Kind, SOCKET_LIMIT};
use vortex_tcp::Account;

const PLACE: u64 = DATA + 0x3000;
const BUFFER: u64 = DATA + 0x8000;

impl Program {
    fn move_bytes(&mut self, number: u32, fd: usize, bytes: u64) {
        self.call(number, &[register(fd), value(BUFFER), value(bytes)]);
    }

    /// Writes without waiting until that fails; how many bytes that were, and the failure, are noted.
    fn fill(&mut self, fd: usize) {
        let nonblocking = value(linux::O_NONBLOCK.into());
        let set = value(linux::F_SETFL.into());
        self.call(linux::__NR_fcntl, &[register(fd), set, nonblocking]);
        let full = self.label();
        self.set(R12, 0);
        let top = self.here();
        self.move_bytes(linux::__NR_write, fd, 10_000);
        self.jump_if(RAX, Condition::NotEqual, 10_000, full);
        self.push(Instruction::Add(R12, register(RAX)));
        self.jump(top);
        self.bind(full);
        self.note_register(R12);
        self.note_register(RAX);
    }
}

/// Takes all but so many bytes of what the sockets of the only activity may hold.
fn leave_bytes(world: &World, room: u64) -> Bill {
    let home = world.shared.home(ActivityId(1));
    let mut bill = Bill::new(Paid::by(world.shared.payer(&home)));
    assert!(bill.charge((SOCKET_LIMIT - room) as usize), "all is there");
    bill
}

/// An activity's sockets hold so much together, and no more. Who has written nothing yet is told that
/// there is no memory, who waits for his own acknowledgments that he has to wait; what is read, or
/// closed, is given back by count.
#[test]
fn what_an_activitys_sockets_hold_is_limited() {
    const ROOM: u64 = 100_000;
    let mut program = Program::new();
    program.web_pair(PLACE);
    program.fill(R14);
    program.fill(R15);
    program.exit_group(0);
    let mut world = alone(1, program);
    let mut taken = leave_bytes(&world, ROOM);
    assert_eq!(world.run(2000 * MS), ExitStatus::Exited(0));
    let [first, why, second, none] = values(&world)[..] else {
        panic!("four notes")
    };
    assert!(first > 0 && first + second <= ROOM, "{first} and {second}");
    let told = [Errno::EAGAIN, Errno::ENOBUFS].map(result);
    assert!(told.contains(&why) && told.contains(&none), "{why} {none}");
    let purse = world.shared.home(ActivityId(1)).purse.clone();
    assert_eq!(purse.held(), SOCKET_LIMIT - ROOM, "all has been given back");
    taken.release((SOCKET_LIMIT - ROOM) as usize);
    assert_eq!(purse.held(), 0);
    world.check_empty();
}

/// A connection on which a request and an answer go to and fro every millisecond arms a timer now and
/// then, not for each segment: deadlines that only become later are looked at when the first has come.
#[test]
fn a_busy_connection_seldom_has_a_timer_set() {
    const ROUNDS: u64 = 300;
    let mut program = Program::new();
    let child = program.label();
    program.web_pair(PLACE);
    program.call(linux::__NR_fork, &[]);
    program.jump_if(RAX, Condition::Equal, 0, child);
    program.repeat(R12, ROUNDS, |program| {
        program.move_bytes(linux::__NR_write, R14, 100);
        program.move_bytes(linux::__NR_read, R14, 2000);
        program.sleep(MS, DATA);
    });
    program.call(linux::__NR_wait4, &[u64::MAX, 0, 0, 0].map(value));
    program.exit_group(0);
    program.bind(child);
    program.repeat(R12, ROUNDS, |program| {
        program.move_bytes(linux::__NR_read, R15, 100);
        program.move_bytes(linux::__NR_write, R15, 2000);
    });
    program.exit_group(0);
    let mut world = alone(1, program);
    assert_eq!(world.run(2000 * MS), ExitStatus::Exited(0));
    let accounts = world.shared.grid.accounts();
    let requests = |kind: Kind| {
        let payers = [ActivityId::INFRASTRUCTURE, ActivityId(1)];
        let places = payers.map(|payer| world.shared.destination(kind, payer));
        let own = accounts.iter().filter(|one| places.contains(&one.resource));
        own.map(|one| one.usage.requests).sum::<u64>()
    };
    let (tcp, timers) = (requests(Kind::Tcp), requests(Kind::TcpTimer));
    assert!(tcp >= 2 * ROUNDS, "{tcp}");
    // The earliest deadline is that of an acknowledgment that is held back. Each end looks once in that
    // time, by two requests: whose timer it is, and what is to be done about it.
    let times = world.now() / (40 * MS) + 1;
    assert!(
        timers <= 2 * 2 * times,
        "{timers} beside {tcp} in {times} times"
    );
    assert!(timers * 20 <= tcp, "{timers} beside {tcp}");
    world.check_empty();
}
