use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use proptest::prelude::*;
use vortex_bus::fake::{FakeBus, FakeRegisters, Ram};
use vortex_resources::net::interface::{BUFFER, Checksum, Mac, Offload, PARTS};

use super::*;
use crate::host::FakeHost;
use registers::{ctrl, ctrl_ext};

const SECOND: u64 = 1_000_000_000;
/// What is in a receive ring.
const BUFFERS: usize = receive::SIZE - 1;
/// Answers of a descriptor for receiving: done, and the last of a packet.
const DONE: u8 = 1;
const EOP: u8 = 2;

/// The device: its registers, and what it does with them.
struct Device {
    ram: Ram,
    registers: BTreeMap<usize, u32>,
    /// A reset does not come to its end.
    is_stuck: bool,
    /// Nothing answers.
    is_gone: bool,
    resets: usize,
    /// Where it is in its rings.
    receive_next: u64,
    send_next: u64,
}

impl Device {
    fn get(&self, register: usize) -> u32 {
        self.registers.get(&register).copied().unwrap_or(0)
    }

    fn set(&mut self, register: usize, value: u32) {
        self.registers.insert(register, value);
    }

    fn access(&mut self, register: usize, value: Option<u32>) -> u32 {
        if self.is_gone {
            return u32::MAX;
        }
        let Some(value) = value else {
            return match register {
                reg::MPC | reg::CRCERRS | reg::RXERRC => {
                    self.registers.remove(&register).unwrap_or(0)
                }
                _ => self.get(register),
            };
        };
        match register {
            reg::CTRL if value & ctrl::RST != 0 => self.reset(),
            reg::IMS => self.set(reg::IMS, self.get(reg::IMS) | value),
            reg::IMC => self.set(reg::IMS, self.get(reg::IMS) & !value),
            reg::ICR => self.set(reg::ICR, self.get(reg::ICR) & !value),
            _ => self.set(register, value),
        }
        0
    }

    fn reset(&mut self) {
        self.resets += 1;
        self.registers.clear();
        if self.is_stuck {
            self.set(reg::CTRL, ctrl::RST);
        }
        self.set(reg::EECD, reg::EECD_AUTO_RD);
        self.set(reg::STATUS, status::LU);
        self.set(reg::RAL, u32::from_le_bytes([2, 0, 0, 1]));
        self.set(
            reg::RAH,
            reg::RAH_AV | u32::from(u16::from_le_bytes([2, 3])),
        );
        (self.receive_next, self.send_next) = (0, 0);
    }

    fn ring(&self, low: usize) -> u64 {
        u64::from(self.get(low + 4)) << 32 | u64::from(self.get(low))
    }

    /// Receives into the next buffer, if there is one.
    fn receive(&mut self, bytes: &[u8], length: usize, answer: u8, errors: u8) -> bool {
        if self.receive_next == u64::from(self.get(reg::RDT)) {
            return false;
        }
        let at = self.ring(reg::RDBAL) + 16 * self.receive_next;
        self.receive_next = (self.receive_next + 1) % receive::SIZE as u64;
        self.ram.write(self.ram.number(at, 8), bytes);
        let mut written = [0; 8];
        written[..2].copy_from_slice(&(length as u16).to_le_bytes());
        written[4..6].copy_from_slice(&[answer, errors]);
        self.ram.write(at + 8, &written);
        true
    }

    /// Sends the next frame, if there is one: its context, its options, its bytes.
    fn send(&mut self) -> Option<(Option<Vec<u8>>, u8, Vec<u8>)> {
        let mut context = None;
        let mut bytes = Vec::new();
        while self.send_next != u64::from(self.get(reg::TDT)) {
            let at = self.ring(reg::TDBAL) + 16 * self.send_next;
            self.send_next = (self.send_next + 1) % transmit::SIZE as u64;
            let descriptor = self.ram.read(at, 16);
            let third = self.ram.number(at + 8, 4) as u32;
            assert_ne!(third & 1 << 29, 0, "the format is the extended one");
            if third & 0xf << 20 == 0 {
                context = Some(descriptor);
                continue;
            }
            let length = third as usize & 0xf_ffff;
            bytes.extend(self.ram.read(self.ram.number(at, 8), length));
            if third & 1 << 27 != 0 {
                self.ram.write(at + 12, &[1]);
            }
            if third & 1 << 24 != 0 {
                return Some((context, descriptor[13], bytes));
            }
        }
        None
    }
}

struct Rig {
    driver: E1000e<FakeBus>,
    device: Arc<Mutex<Device>>,
    master: Arc<AtomicBool>,
    host: FakeHost,
    now_ns: u64,
}

impl Rig {
    fn with(interrupts: Interrupts, change: impl FnOnce(&mut Device)) -> Self {
        let mut bus = FakeBus::default();
        let mut device = Device {
            ram: bus.ram.clone(),
            registers: BTreeMap::new(),
            is_stuck: false,
            is_gone: false,
            resets: 0,
            receive_next: 0,
            send_next: 0,
        };
        change(&mut device);
        let host = FakeHost::new(&bus.ram);
        let master = bus.master.clone();
        let device = Arc::new(Mutex::new(device));
        let answers = device.clone();
        bus.registers = Some(FakeRegisters::new(Box::new(move |register, value| {
            let mut device = answers.lock().expect("no test panics with it");
            device.access(register, value)
        })));
        let driver = E1000e::new(bus, interrupts, 0).expect("it has registers");
        let mut rig = Self {
            driver,
            device,
            master,
            host,
            now_ns: 0,
        };
        rig.come_up();
        rig
    }

    fn new() -> Self {
        Self::with(Interrupts::Msix, |_| {})
    }

    /// Goes on until a reset is over, or the device is given up.
    fn come_up(&mut self) {
        while matches!(self.driver.state, State::Starting { .. }) {
            self.serve();
            self.now_ns = self.driver.deadline().unwrap_or(self.now_ns);
        }
    }

    fn device(&self) -> MutexGuard<'_, Device> {
        self.device.lock().expect("no test panics with it")
    }

    fn serve(&mut self) {
        while self.driver.service(self.now_ns, 16, &mut self.host) {}
    }

    fn transmit(&mut self, frame: Box<Outgoing>) -> Result<(), Refusal> {
        let result = self.driver.transmit(0, frame, self.now_ns);
        result.map_err(|(_, refusal)| refusal)
    }

    fn receive(&self, bytes: &[u8]) -> bool {
        self.device().receive(bytes, bytes.len(), DONE | EOP, 0)
    }
}

#[test]
fn it_comes_up() {
    let rig = Rig::new();
    assert_eq!(rig.host.notices, [Notice::Ready, Notice::Link(true)]);
    let properties = rig.driver.properties();
    assert_eq!(properties.mac, Mac([2, 0, 0, 1, 2, 3]));
    assert!(properties.checksum && properties.segmentation > 65_000);
    assert!(rig.master.load(Ordering::SeqCst));
    assert_eq!(rig.host.pool.out(), BUFFERS, "the ring has buffers");
    let device = rig.device();
    assert_eq!(device.resets, 1);
    assert_eq!(device.get(reg::RDT) as usize, BUFFERS);
    assert_eq!(device.get(reg::RDLEN), 4096);
    assert_ne!(device.get(reg::CTRL) & ctrl::SLU, 0);
    assert_ne!(device.get(reg::CTRL_EXT) & ctrl_ext::EIAME, 0);
    assert_eq!(device.get(reg::IMS), 0, "it is not armed");
}

#[test]
fn without_an_address_it_is_left_alone() {
    let rig = |mac: [u8; 6], valid: u32| {
        let mut rig = Rig::new();
        rig.device().is_stuck = true;
        rig.driver.begin_reset(rig.now_ns);
        rig.now_ns += SECOND;
        rig.serve();
        let mut device = rig.device();
        let [a, b, c, d, e, f] = mac;
        device.set(reg::RAL, u32::from_le_bytes([a, b, c, d]));
        device.set(reg::RAH, valid | u32::from(u16::from_le_bytes([e, f])));
        device.set(reg::CTRL, 0);
        drop(device);
        rig.come_up();
        rig.host.notices.last().copied()
    };
    assert_eq!(
        rig([2, 0, 0, 0, 0, 1], reg::RAH_AV),
        Some(Notice::Link(true))
    );
    assert_eq!(rig([2, 0, 0, 0, 0, 1], 0), Some(Notice::Gone));
    assert_eq!(rig([0; 6], reg::RAH_AV), Some(Notice::Gone));
    assert_eq!(rig([0xff; 6], reg::RAH_AV), Some(Notice::Gone));
}

#[test]
fn a_frame_is_sent_as_it_is_and_comes_back_once() {
    let mut rig = Rig::new();
    let frame = rig
        .host
        .frame(&[1; 54], &[&[2; 1000], &[3; 100]], Offload::Nothing);
    rig.transmit(frame).expect("there is room");
    rig.serve();
    assert!(rig.host.sent.is_empty(), "the device has it");
    let expected = [&[1; 54][..], &[2; 1000], &[3; 100]].concat();
    assert_eq!(rig.device().send(), Some((None, 0, expected)));
    let due = rig.driver.deadline().expect("it is looked at some time");
    assert!(due < rig.now_ns + SECOND / 50);
    rig.serve();
    assert_eq!(rig.host.sent.len(), 1);
    assert_eq!(rig.driver.deadline(), None);
    rig.host.sent.clear();
    assert_eq!(rig.host.pool.out(), BUFFERS);
    let counters = rig.driver.counters();
    assert_eq!((counters.sent, counters.sent_bytes), (1, 1154));
}

#[test]
fn the_device_is_told_what_is_left_to_do() {
    let mut rig = Rig::new();
    let (start, field) = (34, 40);
    let frame = rig
        .host
        .frame(&[1; 42], &[&[2; 900]], Offload::Checksum { start, field });
    rig.transmit(frame).expect("there is room");
    let (context, options, bytes) = rig.device().send().expect("it was sent");
    let expected = [14, 24, 33, 0, 34, 40, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0];
    assert_eq!(context.as_deref(), Some(&expected[..]));
    assert_eq!((options, bytes.len()), (0b10, 942));
    // TCP, with the sum of a pseudo-header in its place.
    let mut head = [1; 54];
    head[50..52].copy_from_slice(&0x1234_u16.to_be_bytes());
    let offload = Offload::Segmentation { start, mss: 1448 };
    let frame = rig.host.frame(&head, &[&[2; 2000], &[3; 2000]], offload);
    rig.transmit(frame).expect("there is room");
    let (context, options, bytes) = rig.device().send().expect("it was sent");
    let payload = 4000_u32.to_le_bytes();
    let expected = [
        14, 24, 33, 0, 34, 50, 0, 0, payload[0], payload[1], payload[2], 0x27, 0, 54, 0xa8, 5,
    ];
    assert_eq!(context.as_deref(), Some(&expected[..]));
    assert_eq!((options, bytes.len()), (0b11, 4054));
    // Without lengths: 4020 is 0x0fb4, and 0x1234 - 0x0fb4 is 0x0280.
    assert_eq!(bytes[16..18], [0, 0]);
    assert_eq!(bytes[24..26], [0, 0]);
    assert_eq!(bytes[50..52], [0x02, 0x80]);
    assert_eq!(bytes[..16], [1; 16]);
}

#[test]
fn a_full_ring_refuses_and_asks_for_an_interrupt() {
    let cases = [
        (Interrupts::Msix, cause::TXQ0),
        (Interrupts::Msi, cause::TXDW),
    ];
    for (interrupts, sent) in cases {
        let mut rig = Rig::with(interrupts, |_| {});
        let mut room = 0;
        loop {
            let frame = rig.host.numbered(room as u8);
            match rig.transmit(frame) {
                Ok(()) => room += 1,
                Err(refusal) => break assert_eq!(refusal, Refusal::Full),
            }
        }
        assert_eq!(room, transmit::SIZE - 1);
        assert_ne!(rig.device().get(reg::IMS) & sent, 0);
        for number in 0..room {
            let (_, _, bytes) = rig.device().send().expect("it is there");
            assert_eq!(bytes, [number as u8; 60]);
        }
        assert!(rig.driver.arm(), "there is room already");
        rig.serve();
        assert_eq!(rig.host.sent.len(), room);
        rig.device().set(reg::IMS, 0);
        assert!(!rig.driver.arm());
        assert_eq!(rig.device().get(reg::IMS) & sent, 0, "nobody waits");
    }
}

#[test]
fn parts_take_room_and_all_comes_back_through_the_wrap() {
    let mut rig = Rig::new();
    let offload = Offload::Checksum {
        start: 34,
        field: 50,
    };
    let (mut taken, mut sent) = (0, 0);
    for round in 0..2000_usize {
        let parts = vec![&[7_u8; 60][..]; round % PARTS];
        let frame = rig.host.frame(&[1; 60], &parts, offload);
        match rig.transmit(frame) {
            Ok(()) => taken += 1,
            Err(refusal) => {
                assert_eq!(refusal, Refusal::Full);
                while rig.device().send().is_some() {}
                rig.serve();
                sent += rig.host.sent.drain(..).len();
            }
        }
    }
    while rig.device().send().is_some() {}
    rig.serve();
    sent += rig.host.sent.drain(..).len();
    assert_eq!(sent, taken);
    assert!(rig.driver.counters().full > 50);
    assert_eq!(rig.host.pool.out(), BUFFERS);
}

#[test]
fn packets_are_received_in_order_and_buffers_come_again() {
    let mut rig = Rig::new();
    let checked = [
        (DONE | EOP | 1 << 5, 0, Checksum::Good),
        (DONE | EOP | 1 << 5 | 1 << 2, 0, Checksum::Unknown),
        (DONE | EOP, 0, Checksum::Unknown),
        (DONE | EOP | 1 << 5, 1 << 5, Checksum::Unknown),
        (DONE | EOP | 1 << 5, 1 << 6, Checksum::Unknown),
    ];
    let mut expected = Vec::new();
    for round in 0..600_usize {
        let (answer, errors, checksum) = checked[round % checked.len()];
        let packet = vec![round as u8; 60 + round];
        assert!(!rig.driver.arm());
        assert!(rig.device().receive(&packet, packet.len(), answer, errors));
        assert!(rig.driver.arm(), "there is something already");
        rig.serve();
        expected.push((packet, checksum));
    }
    assert_eq!(rig.host.received(), expected);
    assert_eq!(rig.host.pool.out(), BUFFERS);
}

#[test]
fn more_than_there_is_room_for_waits_in_the_device() {
    let mut rig = Rig::new();
    let mut received = 0;
    while rig.receive(&[7; 60]) {
        received += 1;
    }
    assert_eq!(received, BUFFERS);
    rig.host.is_poor = true;
    rig.serve();
    assert_eq!(rig.host.received().len(), received);
    assert!(!rig.receive(&[7; 60]));
    rig.device().set(reg::MPC, 3);
    rig.now_ns = rig.driver.deadline().expect("it tries again");
    rig.host.is_poor = false;
    rig.serve();
    assert!(rig.receive(&[7; 60]));
    rig.now_ns += SECOND;
    rig.serve();
    assert_eq!(rig.driver.counters().lost(Loss::Missed), 3);
}

#[test]
fn what_is_no_packet_is_counted() {
    let mut rig = Rig::new();
    let mut device = rig.device();
    for length in [0, 13, BUFFER + 1, 0xffff] {
        assert!(device.receive(&[], length, DONE | EOP, 0));
    }
    for error in [0, 1, 2, 4, 7] {
        assert!(device.receive(&[], 60, DONE | EOP, 1 << error));
    }
    // One that is too long for a buffer: all of it is skipped.
    for answer in [DONE, DONE, DONE | EOP] {
        assert!(device.receive(&[], BUFFER, answer, 0));
    }
    assert!(device.receive(&[9; 60], 60, DONE | EOP, 0));
    drop(device);
    rig.serve();
    assert_eq!(rig.host.received(), [(vec![9; 60], Checksum::Unknown)]);
    let counters = rig.driver.counters();
    assert_eq!(counters.lost(Loss::Length), 4 + 3);
    assert_eq!(counters.lost(Loss::Damaged), 5);
    assert_eq!(rig.host.pool.out(), BUFFERS);
}

#[test]
fn it_interrupts_as_it_was_made_to() {
    for (interrupts, expected) in [
        (Interrupts::Msix, cause::RXQ0 | cause::OTHER | cause::LSC),
        (
            Interrupts::Msi,
            cause::RXT0 | cause::RXDMT0 | cause::RXO | cause::LSC,
        ),
        (Interrupts::Polled, 0),
    ] {
        let mut rig = Rig::with(interrupts, |_| {});
        assert!(!rig.driver.arm());
        assert_eq!(rig.device().get(reg::IMS), expected);
        rig.device().set(reg::ICR, u32::MAX);
        rig.serve();
        let device = rig.device();
        let by_hand = interrupts == Interrupts::Msi;
        assert_eq!(device.get(reg::IMS) == 0, by_hand || expected == 0);
        assert_eq!(device.get(reg::ICR) & (cause::LSC | cause::OTHER), 0);
    }
}

#[test]
fn a_link_that_comes_and_goes_is_told() {
    let mut rig = Rig::new();
    rig.device().set(reg::STATUS, 0);
    rig.serve();
    assert_eq!(rig.host.notices.last(), Some(&Notice::Link(false)));
    let frame = rig.host.numbered(1);
    assert_eq!(rig.transmit(frame), Err(Refusal::NoLink));
    rig.device().set(reg::STATUS, status::LU);
    rig.receive(&[7; 60]);
    rig.now_ns += SECOND;
    rig.serve();
    assert_eq!(rig.host.notices.last(), Some(&Notice::Link(true)));
}

#[test]
fn a_device_that_does_not_send_is_reset() {
    let mut rig = Rig::new();
    for number in 0..3 {
        let frame = rig.host.numbered(number);
        rig.transmit(frame).expect("there is room");
    }
    rig.now_ns += 9 * SECOND;
    rig.serve();
    assert_eq!(rig.device().resets, 1, "it may still");
    rig.now_ns += 2 * SECOND;
    rig.serve();
    assert!(rig.host.sent.is_empty(), "the device may still read them");
    rig.come_up();
    assert_eq!(rig.device().resets, 2);
    assert_eq!(rig.host.sent.len(), 3);
    assert_eq!(rig.driver.counters().lost(Loss::Reset), 3);
    assert_eq!(rig.host.pool.out(), BUFFERS);
    let frame = rig.host.numbered(9);
    rig.transmit(frame).expect("there is room");
    assert_eq!(rig.device().send(), Some((None, 0, vec![9; 60])));
}

#[test]
fn a_device_that_cannot_be_reset_is_cut_off() {
    let mut rig = Rig::with(Interrupts::Msix, |device| device.is_stuck = true);
    assert_eq!(rig.host.notices, [Notice::Gone]);
    assert!(!rig.master.load(Ordering::SeqCst));
    assert!(rig.now_ns < 10 * SECOND);
    let frame = rig.host.numbered(1);
    assert_eq!(rig.transmit(frame), Err(Refusal::Gone));
    assert_eq!(rig.driver.deadline(), None);
    // And one that vanishes while it works.
    rig = Rig::new();
    let frame = rig.host.numbered(1);
    rig.transmit(frame).expect("there is room");
    rig.device().is_gone = true;
    rig.serve();
    assert_eq!(rig.host.notices.last(), Some(&Notice::Gone));
    assert_eq!(rig.host.sent.len(), 1);
    rig.host.sent.clear();
    assert_eq!(rig.host.pool.out(), 0);
}

#[test]
fn without_registers_there_is_no_driver() {
    let bus = FakeBus::default();
    let missing = E1000e::new(bus, Interrupts::Msix, 0).err();
    assert_eq!(missing, Some(BusError::NoRegisters { bar: 0 }));
}

/// What a device and its host may do.
#[derive(Clone, Debug)]
enum Deed {
    Transmit(usize, bool),
    Serve,
    Wait,
    Send,
    Receive(usize, u8, u8),
    Scribble(bool, usize, u8),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (0..PARTS, any::<bool>()).prop_map(|(parts, sums)| Deed::Transmit(parts, sums)),
        4 => Just(Deed::Serve),
        1 => Just(Deed::Wait),
        4 => Just(Deed::Send),
        4 => (0..70_000_usize, any::<u8>(), any::<u8>())
            .prop_map(|(length, answer, errors)| Deed::Receive(length, answer | DONE, errors)),
        2 => (any::<bool>(), 0..4096_usize, any::<u8>())
            .prop_map(|(receives, at, value)| Deed::Scribble(receives, at, value)),
    ]
}

fn do_it(rig: &mut Rig, deed: &Deed) -> usize {
    match *deed {
        Deed::Transmit(parts, sums) => {
            let parts = vec![&[5_u8; 70][..]; parts];
            let offload = match sums {
                true => Offload::Checksum {
                    start: 34,
                    field: 50,
                },
                false => Offload::Nothing,
            };
            let frame = rig.host.frame(&[1; 60], &parts, offload);
            return usize::from(rig.transmit(frame).is_ok());
        }
        Deed::Serve => rig.serve(),
        Deed::Wait => {
            rig.now_ns += SECOND;
            let _ = rig.driver.arm();
        }
        Deed::Send => {
            // A device that reads what it has scribbled over itself reads anything.
            let mut device = rig.device();
            let tail = u64::from(device.get(reg::TDT));
            if device.send_next != tail {
                let last = (tail + transmit::SIZE as u64 - 1) % transmit::SIZE as u64;
                let at = device.ring(reg::TDBAL) + 16 * last + 12;
                device.ram.write(at, &[1]);
                device.send_next = tail;
            }
        }
        Deed::Receive(length, answer, errors) => {
            let at = rig.device().receive_next;
            let mut device = rig.device();
            if device.receive_next != u64::from(device.get(reg::RDT)) {
                let place = device.ring(reg::RDBAL) + 16 * at + 8;
                device.receive_next = (at + 1) % receive::SIZE as u64;
                let [low, high] = (length as u16).to_le_bytes();
                device
                    .ram
                    .write(place, &[low, high, 0, 0, answer, errors, 0, 0]);
            }
        }
        Deed::Scribble(receives, at, value) => {
            let device = rig.device();
            let ring = device.ring(if receives { reg::RDBAL } else { reg::TDBAL });
            if ring != 0 {
                device.ram.write(ring + at as u64, &[value]);
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
    ) {
        let mut rig = Rig::new();
        let mut taken = 0;
        for deed in &deeds {
            taken += do_it(&mut rig, deed);
        }
        prop_assert!(rig.host.sent.len() <= taken);
        rig.device().is_gone = true;
        for _ in 0..20 {
            rig.now_ns += SECOND;
            rig.serve();
        }
        prop_assert_eq!(rig.host.notices.last(), Some(&Notice::Gone));
        prop_assert_eq!(rig.host.sent.len(), taken);
        rig.host.sent.clear();
        rig.host.packets.clear();
        prop_assert_eq!(rig.host.pool.out(), 0);
    }
}
