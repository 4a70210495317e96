//! Packets: IPv4 headers and what follows them (RFC 791).
//!
//! Key types: [`Packet`] (headers as bytes in one piece, the payload where it lies), [`Layout`] (where
//! in a packet that has arrived what is), [`Reason`] (why a packet is dropped).
//!
//! Whoever makes a packet leaves its checksum to the interface that it goes out by: on the loop-back
//! interface nobody looks at it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use arrayvec::ArrayVec;
use smoltcp::wire::{IpProtocol, Ipv4Packet};
use vortex_tcp::checksum::Sum;
use vortex_tcp::{Buffer, Piece};

use super::buffer::Spent;
use super::chunk::Chunk;
use super::credit::Credit;
use super::data::Data;
use super::environment::Environment;
use super::interface::{self, ETHERNET};

/// The longest headers: IPv4's and TCP's.
pub(crate) const MAX_HEADER: usize = 120;
/// Bytes of an IPv4 header without options.
pub(crate) const IP_HEADER: usize = 20;
/// Bytes of a UDP header, and of the part of an ICMP message that is looked at.
pub(crate) const UDP_HEADER: usize = 8;
/// The longest packet.
pub(crate) const MAX_PACKET: usize = 65_535;
/// Routers that a packet may pass.
const HOPS: u8 = 64;

/// Why a packet was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It is no packet of IPv4, or shorter than it says.
    Malformed,
    /// A checksum is wrong.
    Checksum,
    /// It is a part of a larger one.
    Fragment,
    /// It is for another machine.
    Elsewhere,
    /// Nobody knows its protocol.
    Protocol,
    /// Nobody listens at its port.
    NoSocket,
    /// Its receiver has enough to do.
    ReceiverFull,
    /// Its receiver cannot pay for it.
    NoMemory,
    /// TCP has no use for it.
    Meaningless,
    /// The interface does not send it: there is none for it, or its neighbour does not answer.
    Unreachable,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Malformed,
        Self::Checksum,
        Self::Fragment,
        Self::Elsewhere,
        Self::Protocol,
        Self::NoSocket,
        Self::ReceiverFull,
        Self::NoMemory,
        Self::Meaningless,
        Self::Unreachable,
    ];

    /// What its counter is called in the statistics.
    #[must_use]
    pub const fn counter(self) -> &'static str {
        match self {
            Self::Malformed => "net.dropped.malformed",
            Self::Checksum => "net.dropped.checksum",
            Self::Fragment => "net.dropped.fragment",
            Self::Elsewhere => "net.dropped.elsewhere",
            Self::Protocol => "net.dropped.protocol",
            Self::NoSocket => "net.dropped.no-socket",
            Self::ReceiverFull => "net.dropped.receiver-full",
            Self::NoMemory => "net.dropped.no-memory",
            Self::Meaningless => "net.dropped.meaningless",
            Self::Unreachable => "net.dropped.unreachable",
        }
    }
}

/// Where in an IPv4 packet what is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Where the header of its protocol begins.
    pub transport: usize,
    /// Where the payload begins.
    pub payload: usize,
    /// Where the packet ends.
    pub end: usize,
}

impl Layout {
    /// Of a packet that begins with these bytes, as many as `MAX_HEADER` or all, and is `length`
    /// bytes long at most.
    ///
    /// # Errors
    /// Why it is dropped.
    pub fn of(bytes: &[u8], length: usize) -> Result<Self, Reason> {
        let &[first, _, high, low, ..] = bytes else {
            return Err(Reason::Malformed);
        };
        let transport = usize::from(first & 0xf) * 4;
        let end = usize::from(u16::from_be_bytes([high, low]));
        let is_sound = first >> 4 == 4 && transport >= IP_HEADER && end <= length;
        if !is_sound || bytes.len() < transport || end < transport {
            return Err(Reason::Malformed);
        }
        let packet = Ipv4Packet::new_unchecked(bytes);
        if packet.more_frags() || packet.frag_offset() != 0 {
            return Err(Reason::Fragment);
        }
        let header = match packet.next_header() {
            IpProtocol::Tcp => match bytes.get(transport + 12) {
                Some(offset) => usize::from(offset >> 4) * 4,
                None => return Err(Reason::Malformed),
            },
            IpProtocol::Udp | IpProtocol::Icmp => UDP_HEADER,
            _ => 0,
        };
        let payload = transport + header;
        if payload > end || payload > bytes.len() {
            return Err(Reason::Malformed);
        }
        Ok(Self {
            transport,
            payload,
            end,
        })
    }
}

/// The headers of a packet that an interface has received, which are sound: all that is looked at
/// before anything is kept of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Headers<'a> {
    bytes: &'a [u8],
    layout: Layout,
}

impl<'a> Headers<'a> {
    /// Of a packet whose Ethernet frame begins with these bytes, and is `length` bytes long.
    ///
    /// # Errors
    /// Why it is dropped.
    pub(crate) fn of(frame: &'a [u8], length: usize) -> Result<Self, Reason> {
        let bytes = frame.get(ETHERNET..).ok_or(Reason::Malformed)?;
        let bytes = &bytes[..bytes.len().min(MAX_HEADER)];
        let layout = Layout::of(bytes, length.saturating_sub(ETHERNET))?;
        let headers = Self { bytes, layout };
        match headers.ip().verify_checksum() {
            true => Ok(headers),
            false => Err(Reason::Checksum),
        }
    }

    fn ip(&self) -> Ipv4Packet<&'a [u8]> {
        Ipv4Packet::new_unchecked(&self.bytes[..self.layout.transport])
    }

    /// Its protocol.
    pub(crate) fn protocol(&self) -> IpProtocol {
        self.ip().next_header()
    }

    /// Who has sent it.
    pub(crate) fn source(&self) -> Ipv4Addr {
        self.ip().src_addr()
    }

    /// Whom it is for.
    pub(crate) fn destination(&self) -> Ipv4Addr {
        self.ip().dst_addr()
    }

    /// The packet's bytes.
    pub(crate) const fn length(&self) -> usize {
        self.layout.end
    }

    /// The ports of a packet of TCP or UDP: the sender's, and the receiver's.
    pub(crate) fn ports(&self) -> (u16, u16) {
        ports_of(&self.bytes[self.layout.transport..self.layout.payload])
    }
}

/// The ports in a header of TCP or UDP.
const fn ports_of(transport: &[u8]) -> (u16, u16) {
    match *transport {
        [a, b, c, d, ..] => (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])),
        _ => (0, 0),
    }
}

/// An IPv4 packet.
#[derive(Debug)]
pub struct Packet {
    /// The headers.
    header: ArrayVec<u8, MAX_HEADER>,
    /// Where the header of its protocol begins.
    transport: usize,
    /// What follows the headers.
    pub payload: Data,
    /// Its checksums need not be looked at.
    pub is_verified: bool,
    /// The device is to cut it into segments with payloads of so many bytes.
    pub segment: Option<u16>,
    /// Who waits until it is sent.
    pub(crate) credit: Option<Credit>,
}

impl Packet {
    /// A packet to be sent, with the header of its protocol, whose checksum is missing.
    #[must_use]
    pub fn new(
        (source, destination): (Ipv4Addr, Ipv4Addr),
        protocol: IpProtocol,
        transport_header: &[u8],
        payload: Data,
    ) -> Box<Self> {
        let length = IP_HEADER + transport_header.len() + payload.length();
        let mut header = ArrayVec::from([0; MAX_HEADER]);
        header.truncate(IP_HEADER + transport_header.len());
        header[IP_HEADER..].copy_from_slice(transport_header);
        let mut ip = Ipv4Packet::new_unchecked(&mut header[..IP_HEADER]);
        ip.set_version(4);
        ip.set_header_len(IP_HEADER as u8);
        ip.set_total_len(u16::try_from(length).unwrap_or(0));
        ip.set_dont_frag(true);
        ip.set_hop_limit(HOPS);
        ip.set_next_header(protocol);
        ip.set_src_addr(source);
        ip.set_dst_addr(destination);
        Box::new(Self {
            header,
            transport: IP_HEADER,
            payload,
            is_verified: true,
            segment: None,
            credit: None,
        })
    }

    /// A packet that an interface has received, with these headers. Buffers without payload go to `spent`.
    pub(crate) fn received(
        environment: &'static dyn Environment,
        headers: &Headers<'_>,
        received: interface::Packet,
        spent: &mut Spent,
    ) -> Box<Self> {
        let Headers { bytes, layout } = headers;
        Box::new(Self {
            // They are no longer than the longest.
            header: ArrayVec::try_from(&bytes[..layout.payload]).unwrap_or_default(),
            transport: layout.transport,
            is_verified: received.checksum == interface::Checksum::Good,
            payload: parts_of(environment, received, layout, spent),
            segment: None,
            credit: None,
        })
    }

    fn ip(&self) -> Ipv4Packet<&[u8]> {
        Ipv4Packet::new_unchecked(&self.header[..self.transport])
    }

    /// Its protocol.
    #[must_use]
    pub fn protocol(&self) -> IpProtocol {
        self.ip().next_header()
    }

    /// Who has sent it.
    #[must_use]
    pub fn source(&self) -> Ipv4Addr {
        self.ip().src_addr()
    }

    /// Whom it is for.
    #[must_use]
    pub fn destination(&self) -> Ipv4Addr {
        self.ip().dst_addr()
    }

    /// Its bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        self.header.len() + self.payload.length()
    }

    /// Its headers.
    #[must_use]
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// The header of its protocol.
    #[must_use]
    pub fn transport(&self) -> &[u8] {
        &self.header[self.transport..]
    }

    /// The ports of a packet of TCP or UDP: the sender's, and the receiver's.
    #[must_use]
    pub fn ports(&self) -> (u16, u16) {
        ports_of(self.transport())
    }

    /// Whether the checksum of its protocol is right, or need not be looked at.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        let unused = self.protocol() == IpProtocol::Udp && self.transport()[6..8] == [0, 0];
        self.is_verified || unused || self.sum().folded() == 0xffff
    }

    /// The sum over the protocol's part, with the pseudo header if it has one.
    fn sum(&self) -> Sum {
        let length = self.transport().len() + self.payload.length();
        let protocol = self.protocol();
        let mut sum = match protocol {
            IpProtocol::Tcp | IpProtocol::Udp => {
                let number = u8::from(protocol);
                Sum::pseudo_header(number, self.source(), self.destination(), length)
            }
            _ => Sum::default(),
        };
        sum.add(self.transport());
        let all = (0, self.payload.length());
        let added: Result<(), core::convert::Infallible> =
            self.payload.each(all.0, all.1, |bytes| {
                sum.add(bytes);
                Ok(())
            });
        let Ok(()) = added;
        sum
    }

    /// Fills in the checksums, for an interface on which they are looked at; that of TCP or UDP only
    /// over the pseudo header if the device adds the rest.
    pub(crate) fn complete(&mut self, device_adds: bool) {
        let at = match self.protocol() {
            IpProtocol::Tcp => Some(16),
            IpProtocol::Udp => Some(6),
            IpProtocol::Icmp => Some(2),
            _ => None,
        };
        if let Some(at) = at {
            let place = self.transport + at;
            self.header[place..place + 2].fill(0);
            let with_device = device_adds && self.protocol() != IpProtocol::Icmp;
            let sum = if with_device {
                let length = self.transport().len() + self.payload.length();
                let number = u8::from(self.protocol());
                Sum::pseudo_header(number, self.source(), self.destination(), length).folded()
            } else {
                match !self.sum().folded() {
                    0 if self.protocol() == IpProtocol::Udp => 0xffff,
                    sum => sum,
                }
            };
            self.header[place..place + 2].copy_from_slice(&sum.to_be_bytes());
        }
        let transport = self.transport;
        Ipv4Packet::new_unchecked(&mut self.header[..transport]).fill_checksum();
    }
}

/// Packets that go together, in the order in which they came.
#[derive(Debug)]
pub struct Train {
    first: Box<Packet>,
    #[expect(
        clippy::vec_box,
        reason = "they are made in their boxes, and large: so none is moved"
    )]
    more: Vec<Box<Packet>>,
}

impl Train {
    /// This one.
    pub(crate) const fn new(first: Box<Packet>) -> Self {
        let more = Vec::new();
        Self { first, more }
    }

    /// One more.
    pub(crate) fn push(&mut self, packet: Box<Packet>) {
        self.more.push(packet);
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Packet> {
        let all = core::iter::once(&self.first).chain(&self.more);
        all.map(AsRef::as_ref)
    }

    /// As [`Self::iter`], each itself.
    pub(crate) fn into_packets(self) -> impl Iterator<Item = Box<Packet>> {
        core::iter::once(self.first).chain(self.more)
    }
}

/// The payload of a packet that has been received, where it lies; buffers without any go to `spent`.
fn parts_of(
    environment: &'static dyn Environment,
    received: interface::Packet,
    layout: &Layout,
    spent: &mut Spent,
) -> Data {
    let (start, end) = (ETHERNET + layout.payload, ETHERNET + layout.end);
    let mut payload = Data::default();
    let mut before = 0;
    for (buffer, at, length) in received.into_parts() {
        let from = start.saturating_sub(before).min(length);
        let to = end.saturating_sub(before).min(length);
        if from < to {
            let chunk = Chunk::of_buffer(environment, buffer, at + from, to - from);
            payload.push(Piece::whole(Arc::new(chunk)));
        } else {
            spent.add(buffer);
        }
        before += length;
    }
    payload
}

#[cfg(test)]
mod tests;
