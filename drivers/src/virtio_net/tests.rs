use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use proptest::prelude::*;
use vortex_bus::fake::queue::{DeviceChain, DeviceQueue};
use vortex_bus::fake::{FakeBus, Ram};
use vortex_bus::virtio::{EVENT_INDEX, VERSION_1};
use vortex_bus::virtqueue::Addresses;
use vortex_resources::net::interface::{
    BUFFER, Checksum, ETHERNET, Loss, Mac, Offload, PARTS, Packet,
};

use super::*;
use crate::host::FakeHost;
use wire::feature;

const SECOND: u64 = 1_000_000_000;
const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;
/// Descriptors of each ring.
const RING: usize = 64;
/// Pairs that the device has.
const PAIRS: u16 = 4;
/// Features of a device that has all.
const ALL: u64 = VERSION_1
    | EVENT_INDEX
    | feature::CHECKSUM
    | feature::GUEST_CHECKSUM
    | feature::MTU
    | feature::MAC
    | feature::SEGMENTATION
    | feature::MERGEABLE
    | feature::STATUS
    | feature::CONTROL
    | feature::PAIRS;

/// A device that does nothing by itself.
struct Device {
    ram: Ram,
    status: u8,
    features: u64,
    accepted: u64,
    queues: BTreeMap<u16, DeviceQueue>,
    notified: Vec<u16>,
    has_link: bool,
    mtu: u16,
    /// A reset does not come to its end.
    is_stuck: bool,
    /// Looks after which the pin is let go of.
    acknowledged: usize,
    resets: usize,
}

/// The way to it.
#[derive(Clone)]
struct Link(Arc<Mutex<Device>>);

impl Link {
    fn device(&self) -> MutexGuard<'_, Device> {
        self.0.lock().expect("no test panics with it")
    }
}

impl Transport for Link {
    fn status(&mut self) -> u8 {
        self.device().status
    }

    fn set_status(&mut self, status: u8) {
        let mut device = self.device();
        if status == 0 {
            device.resets += 1;
            device.queues.clear();
            device.status = u8::from(device.is_stuck);
        } else {
            device.status = status;
        }
    }

    fn features(&mut self) -> u64 {
        self.device().features
    }

    fn accept(&mut self, features: u64) {
        let mut device = self.device();
        assert_eq!(features & !device.features, 0, "only what was offered");
        device.accepted = features;
    }

    fn queue_limit(&mut self, queue: u16) -> u16 {
        if queue <= 2 * PAIRS { RING as u16 } else { 0 }
    }

    fn set_queue(&mut self, queue: u16, size: u16, addresses: Addresses, message: Option<u16>) {
        assert_eq!(message, Some(0));
        let mut device = self.device();
        let mut own = DeviceQueue::new(device.ram.clone(), addresses, size);
        if device.accepted & EVENT_INDEX != 0 && queue < 2 * PAIRS {
            own.use_event_index();
        }
        device.queues.insert(queue, own);
    }

    fn interrupt_on_change(&mut self, message: Option<u16>) {
        assert_eq!(message, Some(0));
    }

    fn acknowledge(&mut self) {
        self.device().acknowledged += 1;
    }

    fn notify(&mut self, queue: u16) {
        let mut device = self.device();
        assert!(device.queues.contains_key(&queue));
        device.notified.push(queue);
    }

    fn configuration(&mut self, offset: usize) -> u32 {
        panic!("there are no 32 bits at {offset}")
    }

    fn configuration16(&mut self, offset: usize) -> u16 {
        let device = self.device();
        match offset {
            0 | 4 => u16::from_le_bytes([2, if offset == 0 { 0 } else { 3 }]),
            2 => u16::from_le_bytes([0, 1]),
            6 => device.has_link.into(),
            8 if device.features & wire::feature::PAIRS != 0 => PAIRS,
            10 if device.features & wire::feature::MTU != 0 => device.mtu,
            // As from QEMU, beyond what belongs to the features it offers.
            _ => u16::MAX,
        }
    }

    fn set_configuration(&mut self, _: usize, _: u32) {
        panic!("there is nothing to be set");
    }
}

/// The driver, its device, and its host.
struct Rig {
    driver: VirtioNet<FakeBus, Link>,
    link: Link,
    master: Arc<AtomicBool>,
    host: FakeHost,
    now_ns: u64,
}

impl Rig {
    fn with(features: u64, pairs: u16, change: impl FnOnce(&mut Device)) -> Self {
        let bus = FakeBus::default();
        let mut device = Device {
            ram: bus.ram.clone(),
            status: 0,
            features,
            accepted: 0,
            queues: BTreeMap::new(),
            notified: Vec::new(),
            has_link: true,
            mtu: 1500,
            is_stuck: false,
            acknowledged: 0,
            resets: 0,
        };
        change(&mut device);
        let link = Link(Arc::new(Mutex::new(device)));
        let host = FakeHost::new(&bus.ram);
        let master = bus.master.clone();
        let mut rig = Self {
            driver: VirtioNet::new(bus, link.clone(), pairs, 0),
            link,
            master,
            host,
            now_ns: 0,
        };
        rig.serve();
        rig
    }

    fn new() -> Self {
        Self::with(ALL, 1, |_| {})
    }

    /// Serves the interface until there is no more.
    fn serve(&mut self) {
        while self.driver.service(self.now_ns, 16, &mut self.host) {}
    }

    /// The device takes what is available.
    fn take(&self, queue: u16) -> Option<DeviceChain> {
        let mut device = self.link.device();
        device.queues.get_mut(&queue)?.take()
    }

    /// The device says what it has used; whether it interrupts.
    fn put(&self, queue: u16, head: u32, written: usize) -> bool {
        let mut device = self.link.device();
        let queue = device.queues.get_mut(&queue).expect("it was set up");
        let before = queue.put(head, written as u32);
        queue.wants_interrupt(before)
    }

    /// The device sends a frame: its header, and its bytes.
    fn send(&self, queue: u16) -> Option<(Vec<u8>, Vec<u8>)> {
        let chain = self.take(queue)?;
        assert!(chain.writable.is_empty());
        let parts = chain.readable.iter();
        let bytes = parts.flat_map(|part| self.host.ram.read(part.address, part.length as usize));
        let mut header: Vec<u8> = bytes.collect();
        let frame = header.split_off(wire::HEADER);
        self.put(queue, chain.head.into(), 0);
        Some((header, frame))
    }

    /// The device receives a packet, into as many buffers as it needs; whether it interrupts.
    fn receive(&self, queue: u16, flags: u8, packet: &[u8]) -> bool {
        let buffers = (packet.len() + wire::HEADER).div_ceil(BUFFER);
        let mut bytes = vec![0; wire::HEADER];
        bytes[0] = flags;
        bytes[10..].copy_from_slice(&(buffers as u16).to_le_bytes());
        bytes.extend(packet);
        let mut interrupts = false;
        for part in bytes.chunks(BUFFER) {
            let chain = self.take(queue).expect("there is a buffer");
            self.host.ram.write(chain.writable[0].address, part);
            interrupts |= self.put(queue, chain.head.into(), part.len());
        }
        interrupts
    }

    fn transmit(&mut self, frame: Box<Outgoing>) -> Result<(), Refusal> {
        let result = self.driver.transmit(0, frame, self.now_ns);
        result.map_err(|(_, refusal)| refusal)
    }
}

#[test]
fn it_comes_up() {
    let rig = Rig::new();
    assert_eq!(rig.host.notices, [Notice::Ready, Notice::Link(true)]);
    let properties = rig.driver.properties();
    assert_eq!(properties.mac, Mac([2, 0, 0, 1, 2, 3]));
    assert_eq!((properties.mtu, properties.queues), (1500, 1));
    assert!(properties.checksum && properties.segmentation > 65_000);
    let device = rig.link.device();
    assert_eq!(device.status, 15);
    assert_eq!(device.accepted, ALL & !(feature::CONTROL | feature::PAIRS));
    assert_eq!(device.notified, [RECEIVE]);
    assert!(rig.master.load(Ordering::SeqCst));
    assert_eq!(rig.host.pool.out(), RING, "the ring has buffers");
}

#[test]
fn what_a_device_does_not_offer_is_not_used() {
    let rig = Rig::with(VERSION_1 | feature::MAC, 4, |device| device.mtu = 9000);
    let properties = rig.driver.properties();
    assert!(!properties.checksum && properties.segmentation == 0);
    assert_eq!((properties.mtu, properties.queues), (1500, 1));
    // Without the status there is always a link.
    rig.link.device().has_link = false;
    assert!(rig.driver.has_link());
}

#[test]
fn a_device_that_cannot_be_driven_is_left_alone() {
    for features in [ALL & !VERSION_1, ALL & !feature::MAC] {
        let mut rig = Rig::with(features, 1, |_| {});
        assert_eq!(rig.host.notices, [Notice::Gone]);
        assert!(!rig.master.load(Ordering::SeqCst));
        let frame = rig.host.numbered(1);
        assert_eq!(rig.transmit(frame), Err(Refusal::Gone));
        assert_eq!(rig.driver.deadline(), None);
    }
}

#[test]
fn a_frame_is_sent_as_it_is_and_comes_back_once() {
    let mut rig = Rig::new();
    let frame = rig
        .host
        .frame(&[1; 54], &[&[2; 2048], &[3; 100]], Offload::Nothing);
    rig.transmit(frame).expect_err("it is too long");
    let frame = rig
        .host
        .frame(&[1; 54], &[&[2; 1000], &[3; 100]], Offload::Nothing);
    rig.transmit(frame).expect("there is room");
    assert_eq!(rig.link.device().notified, [RECEIVE, TRANSMIT]);
    rig.serve();
    assert!(rig.host.sent.is_empty(), "the device has it");
    let expected = [&[1; 54][..], &[2; 1000], &[3; 100]].concat();
    assert_eq!(rig.send(TRANSMIT), Some((vec![0; 12], expected)));
    let due = rig.driver.deadline().expect("it is looked at some time");
    assert!(due < SECOND / 50);
    rig.serve();
    assert_eq!(rig.host.sent.len(), 1);
    assert_eq!(rig.driver.deadline(), None);
    rig.host.sent.clear();
    assert_eq!(rig.host.pool.out(), RING, "its memory is free");
    let counters = rig.driver.counters();
    assert_eq!((counters.sent, counters.sent_bytes), (1, 1154));
    assert_eq!(counters.lost(Loss::Unfit), 1);
}

#[test]
fn neighbours_in_memory_are_one_part() {
    let mut rig = Rig::new();
    let mut frame = rig.host.frame(&[1; 54], &[&[2; 500]], Offload::Nothing);
    let mut second = frame.parts()[0];
    second.offset += 500;
    assert!(frame.push(second));
    rig.transmit(frame).expect("there is room");
    let chain = rig.take(TRANSMIT).expect("it was sent");
    let lengths: Vec<u32> = chain.readable.iter().map(|part| part.length).collect();
    assert_eq!(lengths, [12 + 54, 1000]);
}

#[test]
fn the_device_is_told_what_is_left_to_do() {
    let mut rig = Rig::new();
    let (start, field) = (34, 50);
    let parts: [&[u8]; 2] = [&[2; 2000], &[3; 2000]];
    let cases = [
        (
            Offload::Checksum { start, field },
            1,
            vec![1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0],
        ),
        (
            Offload::Segmentation { start, mss: 1448 },
            2,
            vec![1, 1, 54, 0, 168, 5, 34, 0, 16, 0, 0, 0],
        ),
        // No longer than one segment: only the checksum.
        (
            Offload::Segmentation { start, mss: 4000 },
            2,
            vec![1, 0, 54, 0, 160, 15, 34, 0, 16, 0, 0, 0],
        ),
    ];
    for (offload, count, expected) in cases {
        let parts = if count == 1 {
            &[&[2; 900][..]][..]
        } else {
            &parts
        };
        let frame = rig.host.frame(&[1; 54], parts, offload);
        rig.transmit(frame).expect("there is room");
        let (header, _) = rig.send(TRANSMIT).expect("it was sent");
        assert_eq!(header, expected, "{offload:?}");
    }
}

#[test]
fn a_full_ring_refuses_and_interrupts_when_half_is_sent() {
    for features in [ALL, ALL & !EVENT_INDEX] {
        let mut rig = Rig::with(features, 1, |_| {});
        let mut room = 0;
        loop {
            let frame = rig.host.numbered(room);
            match rig.transmit(frame) {
                Ok(()) => room += 1,
                Err(refusal) => break assert_eq!(refusal, Refusal::Full),
            }
        }
        assert_eq!(usize::from(room), RING);
        assert_eq!(rig.driver.counters().full, 1);
        for number in 0..RING {
            let chain = rig.take(TRANSMIT).expect("it is there");
            let interrupts = rig.put(TRANSMIT, chain.head.into(), 0);
            if features & EVENT_INDEX != 0 {
                assert_eq!(interrupts, number + 1 == RING / 2, "{number}");
            } else {
                assert!(interrupts);
            }
        }
        rig.serve();
        assert_eq!(rig.host.sent.len(), RING);
        let frame = rig.host.numbered(0);
        rig.transmit(frame).expect("there is room");
        let chain = rig.take(TRANSMIT).expect("it is there");
        assert!(!rig.put(TRANSMIT, chain.head.into(), 0), "nobody waits");
    }
}

#[test]
fn a_ring_that_was_sent_already_is_looked_at_at_once() {
    let mut rig = Rig::new();
    for number in 0..RING as u8 {
        let frame = rig.host.numbered(number);
        rig.transmit(frame).expect("there is room");
        rig.send(TRANSMIT).expect("it was sent");
    }
    let frame = rig.host.numbered(0);
    assert_eq!(rig.transmit(frame), Err(Refusal::Full));
    assert_eq!(rig.driver.deadline(), Some(rig.now_ns));
}

#[test]
fn packets_are_received_in_order_and_buffers_come_again() {
    let mut rig = Rig::new();
    assert!(!rig.driver.arm());
    let mut expected = Vec::new();
    for round in 0..200_u32 {
        let flags = [0, 1, 2][round as usize % 3];
        let packet = vec![round as u8; 60 + round as usize];
        assert!(rig.receive(RECEIVE, flags, &packet), "it interrupts once");
        assert!(!rig.receive(RECEIVE, flags, &packet));
        assert!(rig.driver.arm(), "there is something already");
        rig.serve();
        assert!(!rig.driver.arm());
        let checksum = if flags == 0 {
            Checksum::Unknown
        } else {
            Checksum::Good
        };
        expected.extend([(packet.clone(), checksum), (packet, checksum)]);
    }
    assert_eq!(rig.host.received(), expected);
    assert_eq!(rig.host.pool.out(), RING);
    assert_eq!(rig.driver.counters().received, 400);
}

#[test]
fn a_long_packet_is_in_several_buffers() {
    let mut rig = Rig::with(ALL, 1, |device| device.mtu = 9000);
    assert_eq!(rig.driver.properties().mtu, 9000);
    for length in [2036, 2037, 4000, 9014] {
        let packet: Vec<u8> = (0..length).map(|byte| (byte / 3) as u8).collect();
        rig.receive(RECEIVE, 0, &packet);
        rig.serve();
        assert_eq!(rig.host.received(), [(packet, Checksum::Unknown)]);
    }
    // Longer than was agreed on.
    rig.receive(RECEIVE, 0, &vec![1; 9100]);
    rig.receive(RECEIVE, 0, &[7; 60]);
    rig.serve();
    assert_eq!(rig.host.received().len(), 1);
    assert_eq!(rig.driver.counters().lost(Loss::Length), 1);
    assert_eq!(rig.host.pool.out(), RING);
}

#[test]
fn what_is_no_packet_is_counted() {
    let mut rig = Rig::new();
    for length in [
        0,
        wire::HEADER - 1,
        wire::HEADER,
        wire::HEADER + ETHERNET - 1,
    ] {
        let chain = rig.take(RECEIVE).expect("there is a buffer");
        rig.host.ram.write(
            chain.writable[0].address,
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0],
        );
        rig.put(RECEIVE, chain.head.into(), length);
    }
    rig.serve();
    assert_eq!(rig.driver.counters().lost(Loss::Length), 4);
    assert!(rig.host.received().is_empty());
    assert_eq!((rig.host.pool.out(), rig.link.device().resets), (RING, 1));
}

#[test]
fn without_memory_it_tries_again() {
    let mut rig = Rig::with(ALL, 1, |_| {});
    rig.host.is_poor = true;
    for _ in 0..RING {
        rig.receive(RECEIVE, 0, &[7; 60]);
    }
    rig.serve();
    assert_eq!(rig.host.received().len(), RING);
    rig.now_ns = rig.driver.deadline().expect("it tries again");
    assert!(rig.now_ns < SECOND / 100);
    rig.host.is_poor = false;
    rig.serve();
    assert!(!rig.driver.arm());
    assert!(rig.receive(RECEIVE, 0, &[7; 60]));
    assert_eq!(rig.driver.deadline(), None);
}

/// Has a device say something; after that it is reset, all comes back once, and it works again.
fn ends_in_a_reset(what: &str, mut rig: Rig, mut say: impl FnMut(&mut Rig)) {
    for number in 0..3 {
        let frame = rig.host.numbered(number);
        rig.transmit(frame).expect("there is room");
    }
    say(&mut rig);
    rig.serve();
    assert_eq!(rig.link.device().resets, 2, "{what}");
    assert_eq!(rig.driver.counters().resets, 1);
    rig.serve();
    assert_eq!(rig.host.sent.len(), 3, "{what}: all frames come back");
    let notices = &rig.host.notices;
    assert_eq!(
        notices.iter().filter(|one| **one == Notice::Ready).count(),
        2
    );
    rig.host.packets.clear();
    assert_eq!(rig.host.pool.out(), RING, "{what}: no buffer is lost");
    rig.receive(RECEIVE, 0, &[9; 60]);
    rig.serve();
    assert_eq!(rig.host.received(), [(vec![9; 60], Checksum::Unknown)]);
}

/// What a device says that it must not.
type Lie = fn(&mut Rig);

#[test]
fn nonsense_ends_in_a_reset() {
    let lies: [(&str, Lie); 7] = [
        ("a head that there is not", |rig| {
            rig.put(RECEIVE, u32::MAX, 100);
        }),
        ("a head twice", |rig| {
            let chain = rig.take(TRANSMIT).expect("it is there");
            rig.put(TRANSMIT, chain.head.into(), 0);
            rig.put(TRANSMIT, chain.head.into(), 0);
        }),
        ("an index far ahead", |rig| {
            let mut device = rig.link.device();
            let queue = device.queues.get_mut(&RECEIVE).expect("it was set up");
            queue.set_used_index(5000);
        }),
        ("no buffer", |rig| numbered_buffers(rig, 0)),
        ("more buffers than there are", |rig| {
            numbered_buffers(rig, 2);
        }),
        ("more buffers than any packet has", |rig| {
            numbered_buffers(rig, 60_000);
        }),
        ("its wish for a reset", |rig| {
            rig.link.device().status |= status::NEEDS_RESET;
        }),
    ];
    for (what, lie) in lies {
        ends_in_a_reset(what, Rig::new(), lie);
    }
}

/// A packet that is said to be in so many buffers.
fn numbered_buffers(rig: &mut Rig, count: u16) {
    let chain = rig.take(RECEIVE).expect("there is a buffer");
    let mut header = [0; wire::HEADER];
    header[10..].copy_from_slice(&count.to_le_bytes());
    rig.host.ram.write(chain.writable[0].address, &header);
    rig.put(RECEIVE, chain.head.into(), 100);
}

#[test]
fn a_device_that_does_not_send_is_reset() {
    ends_in_a_reset("not sending", Rig::new(), |rig| {
        rig.now_ns += 9 * SECOND;
        rig.serve();
        assert_eq!(rig.link.device().resets, 1, "it may still");
        rig.now_ns += 2 * SECOND;
    });
}

#[test]
fn a_device_that_cannot_be_reset_is_cut_off() {
    let mut rig = Rig::new();
    let frame = rig.host.numbered(1);
    rig.transmit(frame).expect("there is room");
    rig.link.device().is_stuck = true;
    rig.put(RECEIVE, u32::MAX, 0);
    rig.serve();
    let frame = rig.host.numbered(1);
    assert_eq!(rig.transmit(frame), Err(Refusal::Full), "it may come back");
    rig.serve();
    assert!(rig.host.sent.is_empty(), "the device may still read it");
    while let Some(due) = rig.driver.deadline() {
        assert!(due < 10 * SECOND);
        rig.now_ns = due;
        rig.serve();
    }
    assert!(!rig.master.load(Ordering::SeqCst));
    assert_eq!(rig.host.sent.len(), 1);
    assert_eq!(rig.host.notices.last(), Some(&Notice::Gone));
    assert_eq!(rig.host.pool.out(), 0);
    let frame = rig.host.numbered(1);
    assert_eq!(rig.transmit(frame), Err(Refusal::Gone));
}

#[test]
fn a_link_that_comes_and_goes_is_told() {
    let mut rig = Rig::with(ALL, 1, |device| device.has_link = false);
    assert_eq!(rig.host.notices, [Notice::Ready, Notice::Link(false)]);
    let frame = rig.host.numbered(1);
    assert_eq!(rig.transmit(frame), Err(Refusal::NoLink));
    rig.link.device().has_link = true;
    rig.serve();
    assert_eq!(rig.host.notices.last(), Some(&Notice::Link(true)));
    let frame = rig.host.numbered(1);
    rig.transmit(frame).expect("there is a link");
    // Also while there is always something to do.
    rig.link.device().has_link = false;
    rig.receive(RECEIVE, 0, &[7; 60]);
    rig.now_ns += SECOND;
    rig.serve();
    assert_eq!(rig.host.notices.last(), Some(&Notice::Link(false)));
}

#[test]
fn several_pairs_are_used_once_the_device_has_agreed() {
    for answer in [wire::OK, 1] {
        let mut rig = Rig::with(ALL, 3, |_| {});
        assert_eq!(rig.driver.properties().queues, 1);
        let chain = rig.take(2 * PAIRS).expect("it is asked");
        let said: Vec<u8> = chain
            .readable
            .iter()
            .flat_map(|part| rig.host.ram.read(part.address, part.length as usize))
            .collect();
        assert_eq!(said, [4, 0, 3, 0]);
        rig.host.ram.write(chain.writable[0].address, &[answer]);
        rig.put(2 * PAIRS, chain.head.into(), 1);
        rig.serve();
        let pairs = if answer == wire::OK { 3 } else { 1 };
        assert_eq!(rig.driver.properties().queues, pairs);
        for core in 0..6 {
            let frame = rig.host.numbered(core);
            let result = rig.driver.transmit(core.into(), frame, 0);
            assert!(result.is_ok());
            let queue = 2 * (u16::from(core) % pairs as u16) + 1;
            let (_, bytes) = rig.send(queue).expect("it is there");
            assert_eq!(bytes, [core; 60]);
        }
        for pair in 0..pairs as u16 {
            rig.receive(2 * pair, 0, &[7; 60]);
        }
        rig.serve();
        assert_eq!(rig.host.received().len(), pairs);
        assert_eq!(rig.host.sent.len(), 6);
    }
}

/// Its configuration ends before the MTU then: two bytes are there, four are not.
#[test]
fn there_are_several_pairs_without_an_mtu() {
    let rig = Rig::with(ALL & !feature::MTU, 2, |_| {});
    assert_eq!(rig.driver.properties().mtu, 1500);
    assert!(rig.link.device().queues.contains_key(&3));
    assert!(!rig.link.device().queues.contains_key(&5));
}

#[test]
fn one_call_takes_no_more_than_it_may() {
    let mut rig = Rig::new();
    for _ in 0..40 {
        rig.receive(RECEIVE, 0, &[7; 60]);
    }
    assert!(rig.driver.service(0, 16, &mut rig.host));
    assert_eq!(rig.host.received().len(), 16);
    assert!(rig.driver.service(0, 16, &mut rig.host));
    assert!(!rig.driver.service(0, 16, &mut rig.host));
    assert_eq!(rig.host.received().len(), 24);
}

/// What a device and its host may do.
#[derive(Clone, Debug)]
enum Deed {
    Transmit(usize),
    Serve,
    Wait,
    Send,
    Receive(usize),
    Lie(u16, u32, u32),
    Scribble(u64, u8),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (0..PARTS).prop_map(Deed::Transmit),
        4 => Just(Deed::Serve),
        1 => Just(Deed::Wait),
        4 => Just(Deed::Send),
        4 => (1..3000_usize).prop_map(Deed::Receive),
        1 => (0..2_u16, 0..70_u32, 0..3000_u32).prop_map(|(q, head, written)| Deed::Lie(q, head, written)),
        1 => (0..3000_u64, any::<u8>()).prop_map(|(at, value)| Deed::Scribble(at, value)),
    ]
}

fn do_it(rig: &mut Rig, deed: &Deed) -> usize {
    match *deed {
        Deed::Transmit(parts) => {
            let parts = vec![&[5_u8; 70][..]; parts];
            let frame = rig.host.frame(&[1; 60], &parts, Offload::Nothing);
            return usize::from(rig.transmit(frame).is_ok());
        }
        Deed::Serve => rig.serve(),
        Deed::Wait => {
            rig.now_ns += SECOND;
            let _ = rig.driver.arm();
        }
        Deed::Send => {
            rig.send(TRANSMIT);
        }
        Deed::Receive(length) => {
            // A chain that the device does not give back is its own again after a reset.
            if let Some(chain) = rig.take(RECEIVE) {
                let bytes = vec![length as u8; length.min(BUFFER)];
                rig.host.ram.write(chain.writable[0].address, &bytes);
                rig.put(RECEIVE, chain.head.into(), length);
            }
        }
        Deed::Lie(queue, head, written) => {
            if rig.link.device().queues.contains_key(&queue) {
                rig.put(queue, head, written as usize);
            }
        }
        Deed::Scribble(at, value) => {
            let mut device = rig.link.device();
            if let Some(queue) = device.queues.get_mut(&RECEIVE) {
                queue.set_used_index((at as u16) ^ u16::from(value));
            }
        }
    }
    0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_the_device_does_each_frame_comes_back_once(
        deeds in prop::collection::vec(deed(), 1..120),
        events: bool,
    ) {
        let features = if events { ALL } else { ALL & !EVENT_INDEX };
        let mut rig = Rig::with(features, 1, |_| {});
        let mut taken = 0;
        for deed in &deeds {
            taken += do_it(&mut rig, deed);
        }
        prop_assert!(rig.host.sent.len() <= taken);
        // In the end it is asked for a reset, and is gone.
        rig.link.device().is_stuck = true;
        rig.link.device().status |= status::NEEDS_RESET;
        for _ in 0..20 {
            rig.now_ns += SECOND;
            rig.serve();
        }
        prop_assert_eq!(rig.host.notices.last(), Some(&Notice::Gone));
        prop_assert_eq!(rig.host.sent.len(), taken);
        rig.host.sent.clear();
        let packets: Vec<Packet> = rig.host.packets.drain(..).collect();
        prop_assert!(packets.iter().all(|packet| packet.length() >= ETHERNET));
        drop(packets);
        prop_assert_eq!(rig.host.pool.out(), 0);
    }
}
