//! Programs that talk to another machine: an interface with a cable, and smoltcp's whole stack at
//! its other end.

use std::boxed::Box;
use std::collections::VecDeque;

use smoltcp::iface::{Config, Interface as Stack, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::{tcp, udp};
use smoltcp::time::Instant as Time;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr, IpEndpoint};
use vortex_toolkit::Request;
use vortex_toolkit::ids::CoreId;

use super::*;
use crate::fake::processor::FakeMachine;
use crate::machine::Machine;
use crate::net::buffer::{Buffer, Pool};
use crate::net::cable::{Cable, End, Settings as EndSettings};
use crate::net::interface::{Host, Interface, Mac, Notice, Outgoing, Packet};
use crate::net::{Addressing, NetMessage, Settings};
use crate::system::{Kind, Message};
use linux_raw_sys::net;

const OURS: [u8; 4] = [10, 0, 0, 1];
const THEIRS: [u8; 4] = [10, 0, 0, 2];
const PORT: u16 = 80;

const ADDRESS: u64 = DATA + 0x3000;
const BUFFER: u64 = DATA + 0x8000;

/// What the peer's stack has received, and what it sends.
#[derive(Default)]
struct Queues {
    arrived: VecDeque<Vec<u8>>,
    sent: Vec<Vec<u8>>,
}

struct Arrived(Vec<u8>);
struct Sent<'a>(&'a mut Vec<Vec<u8>>);

impl RxToken for Arrived {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Sent<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut packet = vec![0; length];
        let result = f(&mut packet);
        self.0.push(packet);
        result
    }
}

impl Device for Queues {
    type RxToken<'a> = Arrived;
    type TxToken<'a> = Sent<'a>;

    fn receive(&mut self, _: Time) -> Option<(Arrived, Sent<'_>)> {
        let packet = self.arrived.pop_front()?;
        Some((Arrived(packet), Sent(&mut self.sent)))
    }

    fn transmit(&mut self, _: Time) -> Option<Sent<'_>> {
        Some(Sent(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

/// Takes packets from the peer's interface.
struct Taker {
    machine: FakeMachine,
    pool: &'static Pool,
    queues: Queues,
}

impl Host for Taker {
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
        self.queues.arrived.push_back(bytes);
    }

    fn sent(&mut self, _frame: Box<Outgoing>) {}

    fn notice(&mut self, _notice: Notice) {}
}

/// A system with an interface, and the machine at the other end of its cable.
struct Pair {
    world: World,
    cable: Cable<FakeMachine>,
    end: End<FakeMachine>,
    taker: Taker,
    stack: Stack,
    sockets: SocketSet<'static>,
}

impl Pair {
    /// With an interface that does as much as `ours` says.
    fn new(cores: u16, program: Program, ours: EndSettings) -> Self {
        let mut world = World::new(cores, 6000, &[("a", 100)], 1000, vec![program]);
        let machine = world.machine.clone();
        let theirs = EndSettings {
            ring: 2048,
            ..EndSettings::number(2)
        };
        let (cable, [system, end]) = Cable::new(&machine, [ours, theirs]);
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
        // The first frames of the pool for packets stay in use.
        world.run_for(3 * MS);
        let frames = machine.clone();
        let pool = Pool::new(2048, move || vortex_toolkit::memory::Frames::take(&frames));
        let mut queues = Queues::default();
        let mac = HardwareAddress::Ethernet(EthernetAddress([2, 0, 0, 0, 0, 2]));
        let mut stack = Stack::new(Config::new(mac), &mut queues, Time::from_micros(0));
        stack.update_ip_addrs(|addresses| {
            let own = IpCidr::new(IpAddress::Ipv4(THEIRS.into()), 24);
            addresses.push(own).expect("there is room");
        });
        let taker = Taker {
            machine,
            pool,
            queues,
        };
        let mut pair = Self {
            world,
            cable,
            end,
            taker,
            stack,
            sockets: SocketSet::new(Vec::new()),
        };
        pair.exchange();
        pair.world.start(0, 1);
        pair
    }

    fn now(&self) -> Time {
        Time::from_micros((self.world.now() / 1_000).cast_signed())
    }

    /// What is on its way to the peer arrives, and what it sends arrives here.
    fn exchange(&mut self) {
        while self.end.service(0, 64, &mut self.taker) {}
        let now = self.now();
        let queues = &mut self.taker.queues;
        self.stack.poll(now, queues, &mut self.sockets);
        for frame in queues.sent.drain(..) {
            self.cable.inject(0, &frame);
        }
    }

    /// Has the peer begin a connection to the server, which has had time to listen.
    fn connect(&mut self) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; 65_535]);
        let handle = self.sockets.add(tcp::Socket::new(buffer(), buffer()));
        self.world.run_for(2 * MS);
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
        let remote = IpEndpoint::new(IpAddress::Ipv4(OURS.into()), PORT);
        let opened = socket.connect(self.stack.context(), remote, 50_000);
        opened.expect("it is not open");
        handle
    }

    /// Lets both go on until `done`, some time long.
    fn until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..40_000 {
            self.world.run_for(50 * US);
            self.exchange();
            if done(self) {
                return;
            }
        }
        panic!("it is not done after {} ms", self.world.now() / MS);
    }
}

impl Program {
    /// An address and a port, as `struct sockaddr_in`.
    fn end(&mut self, [a, b, c, d]: [u8; 4], port: u16) {
        let [high, low] = port.to_be_bytes();
        let bytes = [2, 0, high, low, a, b, c, d];
        self.store_long(value(ADDRESS), value(u64::from_le_bytes(bytes)));
        self.store_long(value(ADDRESS + 8), value(0));
    }

    fn internet(&mut self, into: usize, kind: u32) {
        let family = u64::from(net::AF_INET);
        self.call(linux::__NR_socket, &[family, kind.into(), 0].map(value));
        self.push(Instruction::Set(into, register(RAX)));
    }

    fn with_end(&mut self, number: u32, fd: usize) {
        self.call(number, &[register(fd), value(ADDRESS), value(16)]);
    }

    /// Reads from the socket or writes to it, so many bytes at most, and notes how many there were.
    fn transfer(&mut self, number: u32, most: u64) {
        self.call(number, &[register(R14), value(BUFFER), value(most)]);
        self.note_register(RAX);
    }
}

/// A server: it reads to the end, and then writes so many bytes.
fn server(answer: u64) -> Program {
    let mut program = Program::new();
    let (top, end) = (program.label(), program.label());
    program.internet(R14, net::SOCK_STREAM);
    program.end([0; 4], PORT);
    program.with_end(linux::__NR_bind, R14);
    program.call(linux::__NR_listen, &[register(R14), value(8)]);
    program.call(linux::__NR_accept, &[register(R14), value(0), value(0)]);
    program.push(Instruction::Set(R15, register(RAX)));
    program.set(R12, 0);
    program.bind(top);
    let arguments = [register(R15), value(BUFFER), value(9000)];
    program.call(linux::__NR_read, &arguments);
    program.jump_if(RAX, Condition::Equal, 0, end);
    program.push(Instruction::Add(R12, register(RAX)));
    program.jump(top);
    program.bind(end);
    program.note_register(R12);
    let arguments = [register(R15), value(BUFFER), value(answer)];
    program.call(linux::__NR_write, &arguments);
    program.note_register(RAX);
    program.call(linux::__NR_close, &[register(R15)]);
    program.exit_group(0);
    program
}

/// Both ways over a cable, with what the interface does and without: also ARP, and checksums that
/// the other stack finds right.
#[test]
fn another_machine_is_served() {
    const QUESTION: usize = 100_000;
    const ANSWER: u64 = 200_000;
    let able = EndSettings::number(1);
    let mut plain = able;
    plain.properties.checksum = false;
    plain.properties.segmentation = 0;
    let lossy = EndSettings {
        loss_per_mille: 10,
        ..able
    };
    for (cores, ours) in [(1, able), (2, able), (1, plain), (1, lossy)] {
        let mut pair = Pair::new(cores, server(ANSWER), ours);
        let handle = pair.connect();
        let (mut left, mut received) = (QUESTION, 0);
        pair.until(|pair| {
            let socket = pair.sockets.get_mut::<tcp::Socket<'_>>(handle);
            while socket.can_send() && left > 0 {
                let sent = socket.send_slice(&vec![7; left.min(10_000)]);
                left -= sent.expect("it can send");
            }
            if left == 0 && socket.may_send() {
                socket.close();
            }
            while socket.can_recv() {
                let taken = socket.recv(|bytes| (bytes.len(), bytes.len()));
                received += taken.expect("it can receive");
            }
            received == ANSWER as usize && !socket.is_active()
                || socket.state() == tcp::State::TimeWait
        });
        assert_eq!(received, ANSWER as usize);
        assert_eq!(pair.world.run(10_000 * MS), ExitStatus::Exited(0));
        assert_eq!(values(&pair.world), [QUESTION as u64, ANSWER]);
        // The last acknowledgment is still to come.
        for _ in 0..100 {
            pair.exchange();
            pair.world.run_for(MS);
        }
        let (connections, half_open, ..) = pair.world.shared.network.len();
        assert_eq!((connections, half_open), (0, 0));
    }
}

/// Those that are out of order come together, and yet the peer learns of each: it takes what is before them
/// for lost only after some acknowledgments.
#[test]
fn segments_that_come_together_are_acknowledged_one_by_one() {
    let mut pair = Pair::new(1, server(10), EndSettings::number(1));
    let handle = pair.connect();
    pair.until(|pair| pair.sockets.get::<tcp::Socket<'_>>(handle).may_send());
    pair.world.run_for(10 * MS);
    pair.exchange();
    let socket = pair.sockets.get_mut::<tcp::Socket<'_>>(handle);
    socket.set_congestion_control(tcp::CongestionControl::None);
    let sent = socket.send_slice(&[7; 7300]).expect("it can send");
    let now = pair.now();
    let queues = &mut pair.taker.queues;
    for _ in 0..5 {
        pair.stack.poll(now, queues, &mut pair.sockets);
    }
    let frames = core::mem::take(&mut queues.sent);
    let lengths: Vec<usize> = frames.iter().map(Vec::len).collect();
    assert_eq!((sent, lengths), (7300, vec![1514; 5]));
    for frame in &frames[1..] {
        pair.cable.inject(0, frame);
    }
    pair.world.run_for(2 * MS);
    while pair.end.service(0, 64, &mut pair.taker) {}
    assert_eq!(pair.taker.queues.arrived.len(), 4);
    pair.cable.inject(0, &frames[0]);
    pair.until(|pair| {
        let socket = pair.sockets.get_mut::<tcp::Socket<'_>>(handle);
        socket.close();
        pair.world.has_ended()
    });
    assert_eq!(values(&pair.world), [7300, 10]);
}

/// A datagram goes there and comes back.
#[test]
fn another_machine_answers_a_datagram() {
    let mut program = Program::new();
    program.internet(R14, net::SOCK_DGRAM);
    program.end(THEIRS, 7);
    program.with_end(linux::__NR_connect, R14);
    program.note_register(RAX);
    program.transfer(linux::__NR_write, 1000);
    program.transfer(linux::__NR_read, 2000);
    // What does not fit into a packet is not sent: the interface does not cut it.
    program.transfer(linux::__NR_write, 2000);
    program.exit_group(0);
    let mut pair = Pair::new(1, program, EndSettings::number(1));
    let buffer = || {
        let metadata = vec![udp::PacketMetadata::EMPTY; 4];
        udp::PacketBuffer::new(metadata, vec![0; 8000])
    };
    let mut socket = udp::Socket::new(buffer(), buffer());
    socket.bind(7).expect("it is free");
    let handle = pair.sockets.add(socket);
    let mut echoed = 0;
    pair.until(|pair| {
        let socket = pair.sockets.get_mut::<udp::Socket<'_>>(handle);
        if let Ok((bytes, from)) = socket.recv() {
            let (bytes, from) = (bytes.to_vec(), from.endpoint);
            socket.send_slice(&bytes, from).expect("there is room");
            echoed += 1;
        }
        pair.world.has_ended()
    });
    assert_eq!(pair.world.run(10_000 * MS), ExitStatus::Exited(0));
    let too_long = result(Errno::EMSGSIZE);
    assert_eq!(values(&pair.world), [0, 1000, 1000, too_long]);
    assert_eq!(echoed, 1);
}

/// What comes by the cable may be anything: nothing panics, and all is dropped for a reason.
#[test]
fn packets_may_be_anything() {
    let mut program = Program::new();
    program.internet(R14, net::SOCK_STREAM);
    program.end([0; 4], PORT);
    program.with_end(linux::__NR_bind, R14);
    program.call(linux::__NR_listen, &[register(R14), value(8)]);
    program.sleep(400 * MS, BUFFER);
    program.exit_group(0);
    let mut pair = Pair::new(1, program, EndSettings::number(1));
    let mut random = 1_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let Mac(ours) = EndSettings::number(1).properties.mac;
    for round in 0..3000 {
        let length = 14 + (next() % 80) as usize;
        let mut frame: Vec<u8> = (0..length).map(|_| next() as u8).collect();
        frame[..6].copy_from_slice(&ours);
        frame[12..14].copy_from_slice(if next() % 8 == 0 { &[8, 6] } else { &[8, 0] });
        if length >= 54 && next() % 4 != 0 {
            // A header that is right but for what follows it.
            frame[14..18].copy_from_slice(&[0x45, 0, 0, (length - 14) as u8]);
            frame[20..22].fill(0);
            frame[23] = [1, 6, 17][(next() % 3) as usize];
            frame[30..34].copy_from_slice(&OURS);
            frame[36..38].copy_from_slice(&PORT.to_be_bytes());
            let mut header = smoltcp::wire::Ipv4Packet::new_unchecked(&mut frame[14..34]);
            header.fill_checksum();
        }
        pair.cable.inject(0, &frame);
        if round % 16 == 0 {
            pair.world.run_for(100 * US);
            while pair.end.service(0, 64, &mut pair.taker) {}
        }
    }
    pair.until(|pair| pair.world.has_ended());
    let network = &pair.world.shared.network;
    let all: u64 = crate::net::Reason::ALL
        .iter()
        .map(|reason| network.dropped(*reason))
        .sum();
    assert!(all > 1500, "{all} dropped");
    let (connections, half_open, ..) = network.len();
    assert_eq!(connections, 0, "{half_open} half open");
}

/// A datagram from the peer to one of our ports.
fn datagram_to(port: u16, data: &[u8]) -> Vec<u8> {
    let Mac(ours) = EndSettings::number(1).properties.mac;
    let [high, low] = port.to_be_bytes();
    let length = data.len() as u8;
    let mut frame = [&ours[..], &[2, 0, 0, 0, 0, 2], &[8, 0]].concat();
    frame.extend([0x45, 0, 0, 28 + length, 0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend([THEIRS, OURS].concat());
    frame.extend([0x30, 0x39, high, low, 0, 8 + length, 0, 0]);
    frame.extend(data);
    smoltcp::wire::Ipv4Packet::new_unchecked(&mut frame[14..34]).fill_checksum();
    frame
}

/// Those for one socket that come together are one piece of work for the UDP Resource, and one that lies
/// about its length takes no other with it.
#[test]
fn datagrams_that_come_together_are_read_one_by_one() {
    let mut program = Program::new();
    program.internet(R14, net::SOCK_DGRAM);
    program.end([0; 4], 9);
    program.with_end(linux::__NR_bind, R14);
    for _ in 0..4 {
        program.transfer(linux::__NR_read, 100);
    }
    program.exit_group(0);
    let mut pair = Pair::new(1, program, EndSettings::number(1));
    pair.world.run_for(2 * MS);
    let mut lies = datagram_to(9, &[7; 3]);
    lies[39] = 12;
    for frame in [
        datagram_to(9, &[7; 1]),
        datagram_to(9, &[7; 2]),
        lies,
        datagram_to(9, &[7; 4]),
        datagram_to(9, &[]),
    ] {
        pair.cable.inject(0, &frame);
    }
    pair.until(|pair| pair.world.has_ended());
    assert_eq!(values(&pair.world), [1, 2, 4, 0]);
    let shared = &pair.world.shared;
    assert_eq!(shared.network.dropped(crate::net::Reason::Malformed), 1);
    let payer = ActivityId(1);
    let udp = shared.destination(Kind::Udp, payer);
    assert_eq!(shared.grid.usage(udp, payer).requests, 1);
}

/// A flood at a closed port: all of it is dropped and counted, few are answered, no buffer is kept;
/// and who comes to the port then gets what is sent to it.
#[test]
fn a_closed_port_costs_little() {
    const FLOOD: u64 = 500;
    let mut program = Program::new();
    program.internet(R14, net::SOCK_DGRAM);
    program.sleep(900 * MS, BUFFER);
    program.end([0; 4], 9);
    program.with_end(linux::__NR_bind, R14);
    program.transfer(linux::__NR_read, 100);
    program.exit_group(0);
    let mut pair = Pair::new(1, program, EndSettings::number(1));
    let out = pair.world.shared.packets().out();
    for _ in 0..FLOOD {
        pair.cable.inject(0, &datagram_to(9, &[]));
        pair.world.run_for(100 * US);
        pair.exchange();
    }
    // Without interrupts the interface is looked at every millisecond.
    pair.world.run_for(3 * MS);
    let shared = pair.world.shared.clone();
    let dropped = || shared.network.dropped(crate::net::Reason::NoSocket);
    assert_eq!(dropped(), FLOOD);
    assert_eq!(shared.packets().out(), out);
    let infrastructure = ActivityId::INFRASTRUCTURE;
    let usage = |kind| {
        let resource = shared.destination(kind, infrastructure);
        shared.grid.usage(resource, infrastructure)
    };
    assert_eq!(usage(Kind::Icmp).requests, 6, "as many at once as one gets");
    assert!(usage(Kind::NetRead).bytes >= FLOOD * 28);
    pair.until(|pair| {
        pair.cable.inject(0, &datagram_to(9, &[]));
        pair.world.has_ended()
    });
    assert_eq!(values(&pair.world), [0], "a datagram without data");
}
