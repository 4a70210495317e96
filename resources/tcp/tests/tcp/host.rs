//! The machine that connections run on in tests: bytes, and an account that counts.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;

use vortex_tcp::{Account, Buffer, Host, Segment, Verify, checksum};

/// Both ends' addresses.
pub(crate) const ADDRESSES: [Ipv4Addr; 2] =
    [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)];
/// The length of an IP header without options.
pub(crate) const IP_HEADER: usize = 20;

/// Bytes, shared.
#[derive(Clone, Debug)]
pub(crate) struct Bytes(pub(crate) Arc<Vec<u8>>);

impl Bytes {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self(Arc::new(bytes.to_vec()))
    }
}

impl Buffer for Bytes {
    fn length(&self) -> usize {
        self.0.len()
    }
}

/// A received packet: it holds as much memory as a NIC's buffer.
#[derive(Debug)]
pub(crate) struct Packet(pub(crate) Vec<u8>);

impl Buffer for Packet {
    fn length(&self) -> usize {
        self.0.len()
    }

    fn footprint(&self) -> usize {
        2048.max(self.0.len())
    }
}

/// Counts what is held; refuses beyond a limit.
#[derive(Clone, Debug)]
pub(crate) struct Purse {
    pub(crate) held: Rc<Cell<usize>>,
    pub(crate) limit: Rc<Cell<usize>>,
}

impl Default for Purse {
    fn default() -> Self {
        Self {
            held: Rc::default(),
            limit: Rc::new(Cell::new(usize::MAX)),
        }
    }
}

impl Account for Purse {
    fn charge(&mut self, bytes: usize) -> bool {
        let held = self.held.get().saturating_add(bytes);
        if held <= self.limit.get() {
            self.held.set(held);
        }
        held <= self.limit.get()
    }

    fn release(&mut self, bytes: usize) {
        self.held.set(
            self.held
                .get()
                .checked_sub(bytes)
                .expect("no more than was charged"),
        );
    }
}

pub(crate) struct Machine;

impl Host for Machine {
    type Outgoing = Bytes;
    type Incoming = Packet;
    type Account = Purse;
}

/// A stream whose every position is known: what is sent, and what must come out.
pub(crate) struct Pattern(Arc<Vec<u8>>);

impl Pattern {
    const PERIOD: usize = 61_441;

    pub(crate) fn new() -> Self {
        let byte = |index: usize| (index.wrapping_mul(2_654_435_761) >> 13) as u8;
        Self(Arc::new((0..Self::PERIOD).map(byte).collect()))
    }

    /// The stream from `offset` on, as far as the buffer goes: buffer, start.
    pub(crate) fn at(&self, offset: u64) -> (Bytes, usize) {
        (
            Bytes(self.0.clone()),
            (offset % Self::PERIOD as u64) as usize,
        )
    }

    pub(crate) fn is_at(&self, mut offset: u64, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let start = (offset % Self::PERIOD as u64) as usize;
            let length = bytes.len().min(Self::PERIOD - start);
            if bytes[..length] != self.0[start..start + length] {
                return false;
            }
            bytes = &bytes[length..];
            offset += length as u64;
        }
        true
    }
}

/// An IP packet with a segment from one side.
pub(crate) fn packet(side: usize, segment: &Segment, parts: &[&[u8]]) -> Vec<u8> {
    let payload: usize = parts.iter().map(|part| part.len()).sum();
    let length = IP_HEADER + segment.header_length() + payload;
    let mut bytes = vec![0; IP_HEADER + segment.header_length()];
    bytes.reserve(payload);
    let (from, to) = (ADDRESSES[side], ADDRESSES[1 - side]);
    bytes[0] = 0x45;
    bytes[2..4].copy_from_slice(&u16::try_from(length).expect("a packet").to_be_bytes());
    bytes[8] = 64;
    bytes[9] = 6;
    bytes[12..16].copy_from_slice(&from.octets());
    bytes[16..20].copy_from_slice(&to.octets());
    let words = bytes[..IP_HEADER]
        .chunks(2)
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    segment.emit(&mut bytes[IP_HEADER..]);
    checksum::complete(
        &mut bytes[IP_HEADER..],
        from,
        to,
        payload,
        parts.iter().copied(),
    );
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

/// The segment in an IP packet that one side receives, and where its payload starts.
pub(crate) fn parse(side: usize, packet: &[u8]) -> (Segment, usize) {
    let (from, to) = (ADDRESSES[1 - side], ADDRESSES[side]);
    let segment = Segment::parse(&packet[IP_HEADER..], from, to, Verify::Checksum);
    let (segment, header) = segment.expect("the wire damages nothing");
    (segment, IP_HEADER + header)
}
