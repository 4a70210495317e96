//! The system that packets arrive at.

use linux_raw_sys::{general as linux, net};
use vortex_resources::fake::processor::FakeMachine;
use vortex_resources::fake::program::register::{R12, R14, RAX};
use vortex_resources::fake::program::{DATA, Instruction, Operand, Program};
use vortex_resources::fake::world::World;
use vortex_resources::machine::Machine;
use vortex_resources::net::buffer::{Buffer, Pool};
use vortex_resources::net::cable::{Cable, End, Settings as EndSettings};
use vortex_resources::net::interface::{Host, Interface, Notice, Outgoing, Packet};
use vortex_resources::net::{Addressing, NetMessage, Settings};
use vortex_resources::system::{Kind, Message};
use vortex_toolkit::Request;
use vortex_toolkit::ids::{ActivityId, CoreId};

use crate::script::{UDP, packet};

/// The system's address and its peer's, and where it listens and takes datagrams.
pub(crate) const OURS: [u8; 4] = [10, 0, 0, 1];
pub(crate) const THEIRS: [u8; 4] = [10, 0, 0, 2];
pub(crate) const OUR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const THEIR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub(crate) const PORT: u16 = 80;

/// Cycles: the fake machine has a thousand million in a second.
const MS: u64 = 1_000_000;
/// Frames that the pool for packets may have more than in the beginning, as many as there may be at
/// once: it keeps them.
const POOL: usize = 64;
/// After how many seconds nothing is left of what nobody answers: repetitions end, and so do
/// reservations.
const REST: u64 = 1200;
const ADDRESS: u64 = DATA + 0x3000;
const BUFFER: u64 = DATA + 0x8000;

/// The other end's host: it looks at what it gets and forgets it.
struct Peer {
    machine: FakeMachine,
    pool: &'static Pool,
    seen: Vec<Vec<u8>>,
}

impl Host for Peer {
    fn buffer(&mut self) -> Option<Buffer> {
        self.pool.take()
    }

    fn peek(&self, buffer: &Buffer, at: usize, into: &mut [u8]) {
        self.machine
            .read_frame(buffer.frame(), buffer.offset() + at, into);
    }

    fn received(&mut self, _queue: usize, packet: Packet) {
        let mut bytes = vec![0; packet.length()];
        packet.read(&self.machine, 0, &mut bytes);
        self.seen.push(bytes);
    }

    fn sent(&mut self, _frame: Box<Outgoing>) {}

    fn notice(&mut self, _notice: Notice) {}
}

/// A system with an interface, and the other end of its cable.
pub(crate) struct Edge {
    world: World,
    cable: Cable<FakeMachine>,
    end: End<FakeMachine>,
    peer: Peer,
    /// The number that the system's next byte on a connection has, as its last segment says.
    pub(crate) next: u32,
    /// Frames in use when nothing is under way, at most.
    at_rest: usize,
}

fn value(value: u64) -> Operand {
    Operand::Value(value)
}

/// Takes a socket of a kind and a port, and leaves its descriptor in a register.
fn bind(program: &mut Program, kind: u32) {
    let family = u64::from(net::AF_INET);
    program.call(linux::__NR_socket, &[family, kind.into(), 0].map(value));
    program.push(Instruction::Set(R14, Operand::Register(RAX)));
    let [high, low] = PORT.to_be_bytes();
    let address = u64::from_le_bytes([2, 0, high, low, 0, 0, 0, 0]);
    program.store_long(value(ADDRESS), value(address));
    program.store_long(value(ADDRESS + 8), value(0));
    let socket = Operand::Register(R14);
    program.call(linux::__NR_bind, &[socket, value(ADDRESS), value(16)]);
}

/// Lets connections in, and closes them.
fn listener() -> Program {
    let mut program = Program::new();
    bind(&mut program, net::SOCK_STREAM);
    let socket = Operand::Register(R14);
    program.call(linux::__NR_listen, &[socket, value(8)]);
    let top = program.here();
    program.call(linux::__NR_accept, &[socket, value(0), value(0)]);
    program.push(Instruction::Set(R12, Operand::Register(RAX)));
    program.call(linux::__NR_close, &[Operand::Register(R12)]);
    program.jump(top);
    program
}

/// Reads datagrams.
fn reader() -> Program {
    let mut program = Program::new();
    bind(&mut program, net::SOCK_DGRAM);
    let top = program.here();
    let arguments = [Operand::Register(R14), value(BUFFER), value(2000)];
    program.call(linux::__NR_read, &arguments);
    program.jump(top);
    program
}

impl Edge {
    pub(crate) fn new() -> Self {
        let programs = vec![listener(), reader()];
        let mut world = World::new(1, 6000, &[("a", 100)], 1000, programs);
        let machine = world.machine.clone();
        let theirs = EndSettings {
            ring: 2048,
            ..EndSettings::number(2)
        };
        let (cable, [system, end]) = Cable::new(&machine, [EndSettings::number(1), theirs]);
        world.shared.network.configure(Addressing::Fixed(Settings {
            address: OURS.into(),
            prefix: 24,
            gateway: None,
        }));
        let attached = world.shared.nics.attach(Box::new(system));
        let message = NetMessage::Service(attached.expect("it is the first"));
        let infrastructure = ActivityId::INFRASTRUCTURE;
        let destination = world.shared.destination(Kind::NetInterrupt, infrastructure);
        let request = Request::new(destination, infrastructure, Message::Net(message));
        let platform = machine.platform(CoreId(0));
        let sent = world.shared.grid.submit(&platform, request);
        assert!(sent.is_ok(), "an inbox has room");
        world.run_for(3 * MS);
        let frames = machine.clone();
        let pool = Pool::new(2048, move || vortex_toolkit::memory::Frames::take(&frames));
        let peer = Peer {
            machine,
            pool,
            seen: Vec::new(),
        };
        let mut edge = Self {
            world,
            cable,
            end,
            peer,
            next: 0,
            at_rest: usize::MAX,
        };
        edge.serve_peer();
        for program in 0..2 {
            edge.world.start(program, 1);
        }
        edge.pass(100);
        edge.introduce();
        edge.frame(&packet(UDP, &[0, 1, 0, PORT as u8, 0, 18], &[0; 10]));
        edge.pass(10);
        edge.at_rest = edge.frames() + POOL;
        edge
    }

    /// The system knows its peer's address from now on, and who is at its ports has run.
    fn introduce(&mut self) {
        let mut request = [&OUR_MAC[..], &THEIR_MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]].concat();
        request.extend(THEIR_MAC);
        request.extend(THEIRS);
        request.extend([0; 6]);
        request.extend(OURS);
        self.frame(&request);
    }

    /// A frame arrives.
    pub(crate) fn frame(&mut self, frame: &[u8]) {
        self.cable.inject(0, frame);
    }

    /// So many milliseconds pass.
    pub(crate) fn pass(&mut self, milliseconds: u64) {
        self.world.run_for(milliseconds * MS);
        self.serve_peer();
    }

    fn serve_peer(&mut self) {
        while self.end.service(0, 64, &mut self.peer) {}
        for frame in self.peer.seen.drain(..) {
            let is_tcp = frame.get(12..14) == Some(&[8, 0]) && frame.get(23) == Some(&6);
            if let (true, Some(number)) = (is_tcp, frame.get(38..42)) {
                let number = u32::from_be_bytes(number.try_into().unwrap_or_default());
                // SYN and FIN have a number each.
                let flags = frame.get(47).copied().unwrap_or(0);
                self.next = number.wrapping_add(u32::from(flags & 3 != 0));
            }
        }
    }

    /// Whether there is no connection and no frame more than before, and the reader's socket.
    fn is_at_rest(&self) -> bool {
        self.world.shared.network.len() == (0, 0, 0, 1) && self.frames() <= self.at_rest
    }

    fn frames(&self) -> usize {
        self.world.machine.memory().taken()
    }

    /// Time passes until nothing may be left, and nothing is.
    pub(crate) fn rest(&mut self) {
        self.pass(10);
        for _ in 0..REST {
            if self.is_at_rest() {
                break;
            }
            self.pass(1000);
        }
        let left = self.world.shared.network.len();
        let frames = self.frames();
        assert!(
            self.is_at_rest(),
            "{left:?} are left, and {frames} frames, {} before",
            self.at_rest
        );
        assert!(!self.world.has_ended(), "a process has ended");
        // Its address is forgotten if that was long.
        self.introduce();
        self.pass(10);
    }
}
