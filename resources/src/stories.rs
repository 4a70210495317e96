//! Whole processes on the fake machine: what they see, what is left of them, and who pays.

use alloc::vec;
use alloc::vec::Vec;

use linux_raw_sys::{general as linux, net as socket};

use crate::errno::Errno;
use crate::fake::program::register::{R12, R13, R14, R15, RAX, RDI, RSI};
use crate::fake::program::{Condition, DATA, Instruction, Label, Operand, Program};
use crate::fake::world::World;
use crate::process::ExitStatus;
use crate::signals::Signal;
use vortex_toolkit::ids::ActivityId;

mod asynchronous;
mod faults;
mod limits;
mod pipes;
mod processes;
mod races;
mod sharing;
mod signals;
mod sockets;
mod terminal;
mod threads;
mod wire;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

/// Flags of clone(2) for a thread.
const THREAD: u64 = (linux::CLONE_VM
    | linux::CLONE_FS
    | linux::CLONE_FILES
    | linux::CLONE_SIGHAND
    | linux::CLONE_THREAD
    | linux::CLONE_SYSVSEM
    | linux::CLONE_CHILD_CLEARTID
    | linux::CLONE_PARENT_SETTID) as u64;

/// Where stacks of threads end, at intervals.
const STACKS: u64 = DATA + 0x4_0000;
const STACK: u64 = 0x400;

const PRIVATE: u64 = linux::FUTEX_PRIVATE_FLAG as u64;

fn register(number: usize) -> Operand {
    Operand::Register(number)
}

fn value(value: u64) -> Operand {
    Operand::Value(value)
}

/// `sockaddr_in` of port 80 at the loop-back interface, its first half.
const WEB: u64 = u64::from_le_bytes([2, 0, 0, 80, 127, 0, 0, 1]);

/// What programs do often.
impl Program {
    fn exit_group(&mut self, status: u64) {
        self.call(linux::__NR_exit_group, &[value(status)]);
    }

    fn exit(&mut self) {
        self.call(linux::__NR_exit, &[value(0)]);
    }

    /// Starts thread `number`, which begins at `entry`; its number is written, and cleared at its
    /// end, at `word`.
    fn spawn(&mut self, number: u64, entry: Label, word: u64) {
        let stack = STACKS + (number + 1) * STACK;
        let arguments = [THREAD, stack, word, word, 0].map(value);
        self.call(linux::__NR_clone, &arguments);
        self.jump_if(RAX, Condition::Equal, 0, entry);
    }

    /// Waits until a word is not `expected` any more.
    fn wait_while(&mut self, word: u64, expected: u64) {
        let done = self.label();
        let top = self.here();
        self.load(R13, value(word));
        self.jump_if(R13, Condition::NotEqual, expected, done);
        let wait = u64::from(linux::FUTEX_WAIT) | PRIVATE;
        self.call(
            linux::__NR_futex,
            &[word, wait, expected, 0, 0, 0].map(value),
        );
        self.jump(top);
        self.bind(done);
    }

    /// Waits for the end of the thread whose number is at a word.
    fn join(&mut self, word: u64) {
        let done = self.label();
        let top = self.here();
        self.load(R13, value(word));
        self.jump_if(R13, Condition::Equal, 0, done);
        // Its end wakes with a shared key.
        let arguments = [
            value(word),
            value(u64::from(linux::FUTEX_WAIT)),
            register(R13),
            value(0),
        ];
        self.call(linux::__NR_futex, &arguments);
        self.jump(top);
        self.bind(done);
    }

    fn wake(&mut self, word: u64, count: u64) {
        let wake = u64::from(linux::FUTEX_WAKE) | PRIVATE;
        self.call(linux::__NR_futex, &[word, wake, count].map(value));
    }

    /// A connection over the loop-back interface, with an address at `place`: who connects has R14, who
    /// accepts R15.
    fn web_pair(&mut self, place: u64) {
        let (internet, stream) = (u64::from(socket::AF_INET), u64::from(socket::SOCK_STREAM));
        self.store_long(value(place), value(WEB));
        self.store_long(value(place + 8), value(0));
        for fd in [R13, R14] {
            self.call(linux::__NR_socket, &[internet, stream, 0].map(value));
            self.push(Instruction::Set(fd, register(RAX)));
        }
        let named = |fd| [register(fd), value(place), value(16)];
        self.call(linux::__NR_bind, &named(R13));
        self.call(linux::__NR_listen, &[register(R13), value(8)]);
        self.call(linux::__NR_connect, &named(R14));
        self.call(linux::__NR_accept, &[register(R13), value(0), value(0)]);
        self.push(Instruction::Set(R15, register(RAX)));
        self.call(linux::__NR_close, &[register(R13)]);
    }

    fn fork(&mut self, child: Label) {
        self.call(linux::__NR_fork, &[]);
        self.jump_if(RAX, Condition::Equal, 0, child);
    }

    fn wait_for_child(&mut self) {
        self.call(linux::__NR_wait4, &[u64::MAX, 0, 0, 0].map(value));
    }

    /// Sleeps; the time is written at an address first.
    fn sleep(&mut self, nanoseconds: u64, at: u64) {
        self.store_long(value(at), value(0));
        self.store_long(value(at + 8), value(nanoseconds));
        self.call(linux::__NR_nanosleep, &[value(at), value(0)]);
    }
}

/// One program, one activity.
fn alone(cores: u16, program: Program) -> World {
    let mut world = World::new(cores, 4000, &[("a", 100)], 1000, vec![program]);
    world.start(0, 1);
    world
}

fn values(world: &World) -> Vec<u64> {
    let notes = world.machine.take_notes();
    notes.iter().map(|note| note.value).collect()
}

fn result(error: Errno) -> u64 {
    error.result()
}
