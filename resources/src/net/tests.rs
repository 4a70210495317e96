//! Rings on the fake machine: two interfaces with a cable between them, of which the system has one
//! and the test the other.

use std::vec;
use std::vec::Vec;

use alloc::boxed::Box;
use alloc::sync::Arc;

use spin::Mutex;
use vortex_tcp::Config;
use vortex_toolkit::Request;
use vortex_toolkit::ids::{ActivityId, CoreId, ResourceId};

use super::buffer::{Buffer, Pool};
use super::cable::{Cable, End, Settings};
use super::interface::{Host, Interface, Notice, Outgoing, Packet};
use super::{Addressing, Algorithm, InterfaceId, NetMessage, Reason};
use crate::errand::{Errand, Here};
use crate::fake::processor::FakeMachine;
use crate::fake::world::World;
use crate::machine::Machine;
use crate::system::{Kind, Message};

/// The vector of the system's interface.
const VECTOR: u8 = 77;

/// The other end's host, which keeps all packets.
struct Peer {
    machine: FakeMachine,
    pool: &'static Pool,
    packets: Vec<Vec<u8>>,
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
        self.packets.push(bytes);
    }

    fn sent(&mut self, _frame: Box<Outgoing>) {}

    fn notice(&mut self, _notice: Notice) {}
}

struct Rig {
    world: World,
    id: InterfaceId,
    cable: Cable<FakeMachine>,
    end: End<FakeMachine>,
    peer: Peer,
    /// What the system's interface has received, as the tap saw it.
    tapped: Arc<Mutex<Vec<u8>>>,
}

impl Rig {
    /// With activities of these weights, and a ring for so many frames.
    fn new(cores: u16, weights: &[u32], ring: usize) -> Self {
        let activities: Vec<_> = weights.iter().map(|weight| ("a", *weight)).collect();
        let names: Vec<_> = (0..weights.len()).map(|n| std::format!("a{n}")).collect();
        let activities: Vec<_> = names
            .iter()
            .zip(activities)
            .map(|(name, (_, weight))| (name.as_str(), weight))
            .collect();
        let world = World::new(cores, 4096, &activities, 1000, Vec::new());
        let machine = world.machine.clone();
        let mut settings = [Settings::number(1), Settings::number(2)];
        settings[0].ring = ring;
        settings[1].ring = 2048;
        let (cable, [system, end]) = Cable::new(&machine, settings);
        // Nothing is sent but what a test sends.
        world.shared.network.configure(Addressing::None);
        let nics = &world.shared.nics;
        let id = nics.attach(Box::new(system)).expect("it is the first");
        nics.set_vector(id, VECTOR, true);
        let tapped = Arc::new(Mutex::new(Vec::new()));
        let (taps, reader) = (tapped.clone(), machine.clone());
        nics.set_tap(Box::new(move |from, packet| {
            assert_eq!(from, id);
            let mut mark = [0];
            packet.read(&reader, 14, &mut mark);
            taps.lock().push(mark[0]);
        }));
        let (grid, shared) = (world.shared.grid.clone(), world.shared.clone());
        let interrupted = machine.clone();
        cable.on_interrupt(0, move || {
            let activity = ActivityId::INFRASTRUCTURE;
            let destination = shared.destination(Kind::NetInterrupt, activity);
            let message = Message::Net(NetMessage::Interrupt(VECTOR));
            let platform = interrupted.platform(CoreId(0));
            let sent = grid.submit(&platform, Request::new(destination, activity, message));
            assert!(sent.is_ok(), "an inbox has room");
        });
        let frames = machine.clone();
        let pool = Pool::new(2048, move || vortex_toolkit::memory::Frames::take(&frames));
        let peer = Peer {
            machine,
            pool,
            packets: Vec::new(),
        };
        let mut rig = Self {
            world,
            id,
            cable,
            end,
            peer,
            tapped,
        };
        rig.send(
            ActivityId::INFRASTRUCTURE,
            Kind::NetInterrupt,
            Message::Net(NetMessage::Service(id)),
        );
        rig.serve_peer();
        rig.world.run_for(1_000_000);
        rig
    }

    fn send(&self, activity: ActivityId, kind: Kind, message: Message<FakeMachine>) {
        let destination = self.world.shared.destination(kind, activity);
        let platform = self.world.machine.platform(CoreId(0));
        let request = Request::new(destination, activity, message);
        let sent = self.world.shared.grid.submit(&platform, request);
        assert!(sent.is_ok(), "an inbox has room");
    }

    fn serve_peer(&mut self) {
        while self.end.service(0, 64, &mut self.peer) {}
    }

    /// Has an activity send so many frames of 100 bytes, with its number in each.
    fn transmit(&self, activity: u32, count: usize) {
        let (id, payer) = (self.id, ActivityId(activity));
        let ring = self.world.shared.destination(Kind::NetWrite, payer);
        let work = move |here: Here<FakeMachine>| async move {
            let port = here.port;
            for _ in 0..count {
                let message = Message::Net(NetMessage::Transmit(id, frame(activity as u8)));
                port.send(port.request(ring, message));
            }
        };
        self.send(payer, Kind::Aio, Errand::message(work));
    }

    fn usage(&self, kind: Kind, activity: u32) -> vortex_toolkit::statistics::Usage {
        let activity = ActivityId(activity);
        let resource: ResourceId = self.world.shared.destination(kind, activity);
        self.world.shared.grid.usage(resource, activity)
    }
}

/// A frame of 100 bytes, marked.
fn frame(mark: u8) -> Box<Outgoing> {
    let mut frame = Box::<Outgoing>::default();
    frame.head.try_extend_from_slice(&[0; 14]).expect("it fits");
    frame
        .head
        .try_extend_from_slice(&[mark; 86])
        .expect("it fits");
    frame
}

#[test]
fn what_is_received_is_taken_in_order_and_paid_by_the_infrastructure() {
    for cores in [1, 4] {
        let mut rig = Rig::new(cores, &[100], 64);
        let mut expected = Vec::new();
        // More than the interface has buffers for at one time, and than are taken at one time.
        for burst in 0..4 {
            for number in 0..60 {
                let mark = 60 * burst + number;
                rig.cable.inject(0, &[&[0; 14][..], &[mark; 50]].concat());
                expected.push(mark);
            }
            rig.world.run_for(1_000_000);
        }
        assert_eq!(*rig.tapped.lock(), expected);
        assert_eq!(rig.usage(Kind::NetInterrupt, 0).bytes, 240 * 64);
        assert_eq!(rig.usage(Kind::NetRead, 0).requests, 240 + 2, "two notices");
        let counters = rig
            .world
            .shared
            .nics
            .describe(rig.id)
            .expect("it is there")
            .2;
        assert_eq!(counters.received, 240);
        // All buffers are in the ring again.
        assert_eq!(rig.world.shared.packets().out(), 64);
    }
}

/// A packet of UDP from this port, as far as it is looked at.
fn datagram(port: u8) -> Vec<u8> {
    let ethernet = [&[0xff; 6][..], &[0; 6], &[8, 0]].concat();
    let ip = [
        0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ];
    [&ethernet[..], &ip, &[0, port, 0, 9, 0, 8, 0, 0], &[0; 22]].concat()
}

#[test]
fn packets_of_one_flow_that_come_together_are_handed_on_together() {
    for cores in [1, 4] {
        let mut rig = Rig::new(cores, &[100], 64);
        let flows = [[1; 20].as_slice(), &[2], &[1; 5]].concat();
        for port in &flows {
            rig.cable.inject(0, &datagram(*port));
        }
        rig.world.run_for(1_000_000);
        assert_eq!(rig.tapped.lock().len(), flows.len());
        let requests = rig.usage(Kind::NetRead, 0).requests;
        assert_eq!(requests, 2 + 4, "two notices; 16 and 4, 1, 5 packets");
        let dropped = rig.world.shared.network.dropped(Reason::Checksum);
        assert_eq!(dropped, flows.len() as u64, "each was looked at");
    }
}

#[test]
fn a_full_ring_is_waited_for_and_nothing_is_lost() {
    let mut rig = Rig::new(1, &[100, 100], 4);
    rig.transmit(1, 200);
    for _ in 0..100 {
        rig.world.run_for(1_000_000);
        rig.serve_peer();
    }
    assert_eq!(rig.peer.packets.len(), 200);
    assert_eq!(rig.peer.packets[0], [&[0; 14][..], &[1; 86]].concat());
    let counters = rig
        .world
        .shared
        .nics
        .describe(rig.id)
        .expect("it is there")
        .2;
    assert!(counters.full > 0, "{counters:?}");
    // What was refused is counted once, when it was accepted.
    let usage = rig.usage(Kind::NetWrite, 1);
    assert_eq!((usage.bytes, usage.returned), (200 * 100, 0));
}

#[test]
fn a_full_ring_is_shared_by_weight() {
    let mut rig = Rig::new(1, &[100, 300, 100], 4);
    rig.transmit(1, 800);
    rig.transmit(2, 800);
    for _ in 0..1000 {
        rig.world.run_for(100_000);
        rig.serve_peer();
        if rig.peer.packets.len() >= 400 {
            break;
        }
    }
    let share = |mark: u8| {
        let packets = rig.peer.packets[..400].iter();
        packets.filter(|packet| packet[14] == mark).count()
    };
    assert_eq!(share(1) + share(2), 400);
    assert!((95..=105).contains(&share(1)), "{} of 400", share(1));
}

#[test]
fn what_waits_for_a_slow_link_waits_before_the_ring() {
    let mut rig = Rig::new(1, &[100, 300, 100], 1024);
    // A frame every tenth of a millisecond, of a machine with a nanosecond a cycle.
    rig.world.shared.nics.set_rate(rig.id, 8_000_000);
    rig.transmit(1, 4000);
    rig.transmit(2, 4000);
    rig.world.run_for(100_000_000);
    rig.serve_peer();
    let early = rig.peer.packets.len();
    rig.world.run_for(200_000_000);
    rig.serve_peer();
    let packets = &rig.peer.packets[early..];
    assert!((1950..=2050).contains(&packets.len()), "{}", packets.len());
    let first = packets.iter().filter(|packet| packet[14] == 1).count();
    let part = first as f64 / packets.len() as f64;
    assert!((0.24..=0.26).contains(&part), "{part}");
}

#[test]
fn an_interface_is_not_sent_for_twice() {
    let mut rig = Rig::new(1, &[100, 100], 1024);
    let shared = rig.world.shared.clone();
    let nic = shared.nics.get(rig.id).expect("it is there");
    shared.nics.set_rate(rig.id, 8_000_000);
    // As if a request to look at it waited to be served.
    assert!(nic.is_to_be_sent_for());
    let before = rig.usage(Kind::NetInterrupt, 0).requests;
    // The link holds frames back, for which it is time to look again and again.
    rig.transmit(1, 500);
    rig.world.run_for(100_000_000);
    assert_eq!(rig.usage(Kind::NetInterrupt, 0).requests, before);
    // That request comes to its turn; from then on there are others.
    rig.send(
        ActivityId::INFRASTRUCTURE,
        Kind::NetInterrupt,
        Message::Net(NetMessage::Service(rig.id)),
    );
    rig.world.run_for(100_000_000);
    assert!(rig.usage(Kind::NetInterrupt, 0).requests > before + 50);
}

#[test]
fn a_link_that_goes_is_told() {
    let mut rig = Rig::new(1, &[100, 100], 64);
    let before = rig.usage(Kind::NetRead, 0).requests;
    rig.cable.set_link(false);
    rig.world.run_for(1_000_000);
    assert_eq!(rig.usage(Kind::NetRead, 0).requests, before + 1);
    rig.transmit(1, 10);
    rig.world.run_for(1_000_000);
    let (_, _, counters, has_link) = rig.world.shared.nics.describe(rig.id).expect("it is there");
    let lost = counters.lost(super::interface::Loss::NoLink);
    assert_eq!((lost, has_link, counters.sent), (10, false, 0));
    assert_eq!(
        rig.usage(Kind::NetWrite, 1).bytes,
        0,
        "nothing was accepted"
    );
}

#[test]
fn connections_find_their_shares_as_their_interface_says_or_they_themselves() {
    let rig = Rig::new(1, &[100, 100], 64);
    let network = &rig.world.shared.network;
    let link = network.links.get(rig.id).expect("it is there");
    link.configure(Some(super::Settings {
        address: [10, 0, 2, 15].into(),
        prefix: 24,
        gateway: None,
    }));
    let of = |algorithm, remote: [u8; 4]| {
        let config = Config {
            algorithm,
            ..Config::default()
        };
        network.fit(config, remote.into()).algorithm
    };
    assert_eq!(of(None, [10, 0, 2, 9]), None);
    network.set_algorithm(rig.id, Algorithm::NewReno);
    assert_eq!(of(None, [10, 0, 2, 9]), Some(Algorithm::NewReno));
    assert_eq!(
        of(Some(Algorithm::Cubic), [10, 0, 2, 9]),
        Some(Algorithm::Cubic)
    );
    assert_eq!(of(None, [127, 0, 0, 1]), None);
    assert_eq!(of(None, [8, 8, 8, 8]), None, "there is no way");
}
