//! Over the cable: frames, loss, full rings, and what devices do for the sender.

use std::vec;

use smoltcp::wire::{Ipv4Packet, TcpPacket};

use super::*;
use crate::fake::processor::FakeMachine;
use crate::net::buffer::Pool;
use crate::net::interface::{Offload, Part};

/// Who is told.
struct Told {
    machine: FakeMachine,
    pool: &'static Pool,
    packets: Vec<Packet>,
    sent: usize,
    notices: Vec<Notice>,
}

impl Host for Told {
    fn buffer(&mut self) -> Option<Buffer> {
        self.pool.take()
    }

    fn peek(&self, buffer: &Buffer, at: usize, into: &mut [u8]) {
        self.machine
            .read_frame(buffer.frame(), buffer.offset() + at, into);
    }

    fn received(&mut self, queue: usize, packet: Packet) {
        assert_eq!(queue, 0);
        self.packets.push(packet);
    }

    fn sent(&mut self, _frame: Box<Outgoing>) {
        self.sent += 1;
    }

    fn notice(&mut self, notice: Notice) {
        self.notices.push(notice);
    }
}

struct Rig {
    machine: FakeMachine,
    cable: Cable<FakeMachine>,
    ends: [End<FakeMachine>; 2],
    told: [Told; 2],
}

impl Rig {
    fn new(settings: [Settings; 2]) -> Self {
        let machine = FakeMachine::new(1, 4096);
        let frames = machine.clone();
        let pool = Pool::new(1024, move || vortex_toolkit::memory::Frames::take(&frames));
        let told = || Told {
            machine: machine.clone(),
            pool,
            packets: Vec::new(),
            sent: 0,
            notices: Vec::new(),
        };
        let (cable, ends) = Cable::new(&machine, settings);
        let mut rig = Self {
            machine: machine.clone(),
            cable,
            ends,
            told: [told(), told()],
        };
        rig.serve(0);
        rig.serve(1);
        rig
    }

    /// Serves an end until there is no more.
    fn serve(&mut self, side: usize) {
        while self.ends[side].service(0, 16, &mut self.told[side]) {}
    }

    /// What an end has received.
    fn received(&mut self, side: usize) -> Vec<Vec<u8>> {
        self.serve(side);
        let packets = core::mem::take(&mut self.told[side].packets);
        let bytes = |packet: &Packet| {
            let mut bytes = vec![0; packet.length()];
            assert_eq!(packet.read(&self.machine, 0, &mut bytes), bytes.len());
            bytes
        };
        packets.iter().map(bytes).collect()
    }

    /// A frame with these first bytes and so many more in memory.
    fn frame(&self, head: &[u8], rest: &[u8]) -> Box<Outgoing> {
        let mut frame = Box::<Outgoing>::default();
        frame.head.try_extend_from_slice(head).expect("it fits");
        let mut keep = Vec::new();
        for part in rest.chunks(BUFFER) {
            let buffer = self.told[0].pool.take().expect("there is one");
            self.machine
                .write_frame(buffer.frame(), buffer.offset(), part);
            let added = frame.push(Part {
                frame: buffer.frame(),
                offset: buffer.offset() as u32,
                length: part.len() as u32,
            });
            assert!(added, "it fits");
            keep.push(buffer);
        }
        frame.keep = Some(Box::new(keep));
        frame
    }
}

fn plain(last: u8) -> Settings {
    Settings::number(last)
}

#[test]
fn a_frame_arrives_and_comes_back() {
    let mut rig = Rig::new([plain(1), plain(2)]);
    assert_eq!(rig.told[0].notices, [Notice::Ready, Notice::Link(true)]);
    let head: Vec<u8> = (0..60).collect();
    let rest: Vec<u8> = (0..1400_u32).map(|byte| byte as u8).collect();
    let frame = rig.frame(&head, &rest);
    let out = rig.told[0].pool.out();
    rig.ends[0].transmit(0, frame, 0).expect("there is room");
    let received = rig.received(1);
    assert_eq!(received, [[head, rest].concat()]);
    assert_eq!(
        rig.told[0].sent, 0,
        "it is not taken back before it is served"
    );
    rig.serve(0);
    assert_eq!(rig.told[0].sent, 1);
    assert_eq!(rig.told[0].pool.out(), out - 1, "its memory is given back");
    let counters = rig.ends[1].counters();
    assert_eq!((counters.received, counters.received_bytes), (1, 1460));
}

#[test]
fn a_ring_that_is_not_served_is_full() {
    let mut rig = Rig::new([plain(1), plain(2)]);
    let ring = plain(1).ring;
    for number in 0..ring + 3 {
        let frame = rig.frame(&[7; 60], &[]);
        let result = rig.ends[0].transmit(0, frame, 0);
        let refused = result.err().map(|(_, refusal)| refusal);
        assert_eq!(refused, (number >= ring).then_some(Refusal::Full));
    }
    rig.serve(0);
    let frame = rig.frame(&[7; 60], &[]);
    assert!(rig.ends[0].transmit(0, frame, 0).is_ok());
    // The receiver had buffers for so many, and was not served either.
    assert_eq!(rig.received(1).len(), ring);
    assert_eq!(rig.ends[1].counters().lost(Loss::Missed), 1);
    assert_eq!(rig.ends[0].counters().full, 3);
}

#[test]
fn loss_is_drawn_from_the_seed() {
    let lossy = Settings {
        loss_per_mille: 100,
        ..plain(1)
    };
    let arrived = || {
        let mut rig = Rig::new([lossy, plain(2)]);
        for _ in 0..2000 {
            let frame = rig.frame(&[7; 60], &[]);
            rig.ends[0].transmit(0, frame, 0).expect("there is room");
            rig.serve(0);
            rig.serve(1);
        }
        rig.received(1).len()
    };
    let first = arrived();
    assert!((1740..1860).contains(&first), "{first} of 2000");
    assert_eq!(arrived(), first);
}

#[test]
fn without_a_link_nothing_is_sent_and_both_ends_are_told() {
    let mut rig = Rig::new([plain(1), plain(2)]);
    rig.cable.set_link(false);
    let frame = rig.frame(&[7; 60], &[]);
    let refused = rig.ends[0].transmit(0, frame, 0).map_err(|(_, why)| why);
    assert_eq!(refused, Err(Refusal::NoLink));
    assert!(rig.ends[0].arm(), "the change is to be told first");
    rig.serve(0);
    rig.serve(1);
    assert_eq!(rig.told[0].notices.last(), Some(&Notice::Link(false)));
    assert_eq!(rig.told[1].notices.last(), Some(&Notice::Link(false)));
}

#[test]
fn an_armed_end_interrupts_once() {
    let mut rig = Rig::new([plain(1), plain(2)]);
    let count = Arc::new(Mutex::new(0));
    let counted = count.clone();
    rig.cable.on_interrupt(1, move || *counted.lock() += 1);
    rig.cable.inject(1, &[7; 60]);
    assert_eq!(*count.lock(), 0, "it was not armed");
    assert!(rig.ends[1].arm(), "there is something already");
    assert_eq!(rig.received(1).len(), 1);
    assert!(!rig.ends[1].arm());
    rig.cable.inject(1, &[7; 60]);
    rig.cable.inject(1, &[7; 60]);
    assert_eq!(*count.lock(), 1);
}

/// The headers of a TCP segment with so much payload, ready for a device that sums.
fn headers(payload: usize) -> Vec<u8> {
    let mut head = vec![0; 54];
    head[12..ETHERNET].copy_from_slice(&[8, 0]);
    let (source, destination) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let mut ip = Ipv4Packet::new_unchecked(&mut head[ETHERNET..]);
    ip.set_version(4);
    ip.set_header_len(20);
    ip.set_total_len(40 + payload as u16);
    ip.set_ident(0xfffe);
    ip.set_hop_limit(64);
    ip.set_next_header(smoltcp::wire::IpProtocol::Tcp);
    ip.set_src_addr(source);
    ip.set_dst_addr(destination);
    ip.fill_checksum();
    let mut tcp = TcpPacket::new_unchecked(&mut head[34..]);
    tcp.set_src_port(80);
    tcp.set_dst_port(5000);
    tcp.set_seq_number(smoltcp::wire::TcpSeqNumber(-1000));
    tcp.set_header_len(20);
    tcp.set_ack(true);
    tcp.set_psh(true);
    tcp.set_fin(true);
    tcp.set_window_len(1000);
    let length = 20 + payload as u32;
    let words: [u32; 6] = [0x0a00, 1, 0x0a00, 2, 6, length];
    let sum: u32 = words.iter().sum();
    tcp.set_checksum((sum & 0xffff) as u16 + (sum >> 16) as u16);
    head
}

/// What a right segment says: its number, whether it is the last, its payload.
fn check(frame: &[u8]) -> (i32, bool, Vec<u8>) {
    let ip = Ipv4Packet::new_checked(&frame[ETHERNET..]).expect("a packet");
    assert!(ip.verify_checksum());
    assert_eq!(usize::from(ip.total_len()), frame.len() - ETHERNET);
    let tcp = TcpPacket::new_checked(ip.payload()).expect("a segment");
    assert!(tcp.verify_checksum(&ip.src_addr().into(), &ip.dst_addr().into()));
    assert_eq!(tcp.fin(), tcp.psh());
    (tcp.seq_number().0, tcp.fin(), tcp.payload().to_vec())
}

#[test]
fn a_long_segment_is_cut_into_right_ones() {
    let mut rig = Rig::new([plain(1), plain(2)]);
    let payload: Vec<u8> = (0..20_000_u32).map(|byte| (byte / 7) as u8).collect();
    let mut frame = rig.frame(&headers(payload.len()), &payload);
    frame.offload = Offload::Segmentation {
        start: 34,
        mss: 1460,
    };
    rig.ends[0].transmit(0, frame, 0).expect("there is room");
    let received: Vec<_> = rig.received(1).iter().map(|frame| check(frame)).collect();
    assert_eq!(received.len(), 14);
    let numbers: Vec<i32> = received.iter().map(|(number, ..)| *number).collect();
    let expected: Vec<i32> = (0..14).map(|segment| -1000 + 1460 * segment).collect();
    assert_eq!(numbers, expected);
    let last = received.iter().map(|(_, last, _)| *last);
    assert_eq!(last.filter(|last| *last).count(), 1);
    let together: Vec<u8> = received.into_iter().flat_map(|(.., part)| part).collect();
    assert_eq!(together, payload);
}

#[test]
fn a_checksum_is_put_where_it_belongs() {
    let mut rig = Rig::new([plain(1), plain(2)]);
    let payload = vec![3; 777];
    let mut frame = rig.frame(&headers(payload.len()), &payload);
    frame.offload = Offload::Checksum {
        start: 34,
        field: 50,
    };
    rig.ends[0].transmit(0, frame, 0).expect("there is room");
    let received = rig.received(1);
    assert_eq!(check(&received[0]), (-1000, true, payload));
}
