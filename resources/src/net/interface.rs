//! What the driver of a network interface is to the network resources: frames go out, packets come
//! in.
//!
//! Key types: [`Interface`] (a driver), [`Outgoing`] (a frame to send), [`Packet`] (one received),
//! [`Host`] (who is told).
//!
//! An interface is a state machine with time as a parameter: it never waits. A frame that it has
//! taken comes back exactly once, by [`Host::sent`], and not before the device is done with its
//! memory, whatever the device does: one that answers nonsense is reset, one that cannot be reset is
//! cut off from memory. It may not have been sent then: networks lose packets.
//!
//! **Interrupts.** After [`Interface::arm`] the device interrupts once; then not again before the
//! next `arm`. Who is interrupted calls [`Interface::service`] until it says that there is no more,
//! then `arm`; where that finds something to do already, once more from the start.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;

use arrayvec::ArrayVec;

pub use super::buffer::{BUFFER, Buffer};
use crate::machine::{Frame, Machine, PAGE_SIZE};

/// The most bytes of headers of an outgoing frame: Ethernet, IPv4 and TCP, all with options, need
/// 134.
pub const HEAD: usize = 160;
/// The most parts of memory that the rest of an outgoing frame is scattered over: 64 KiB in pages,
/// beginning and ending inside of one.
pub const PARTS: usize = 18;
/// Bytes of an Ethernet header.
pub const ETHERNET: usize = 14;

/// An address of Ethernet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// All interfaces of a network.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether it is one interface's.
    #[must_use]
    pub const fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// What an interface is and what it can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Properties {
    /// Its address.
    pub mac: Mac,
    /// The most bytes of a packet without the Ethernet header.
    pub mtu: u16,
    /// Pairs of rings, at least 1.
    pub queues: usize,
    /// It computes checksums of what is sent: [`Offload::Checksum`].
    pub checksum: bool,
    /// The most bytes of a frame, headers included, that it cuts into segments:
    /// [`Offload::Segmentation`]; 0 if it does not.
    pub segmentation: u32,
}

impl Properties {
    /// Of an interface that does not work yet, or not any more.
    pub const NONE: Self = Self {
        mac: Mac([0; 6]),
        mtu: 0,
        queues: 1,
        checksum: false,
        segmentation: 0,
    };
}

/// A part of an outgoing frame's memory.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// The frame.
    pub frame: Frame,
    /// Where the part begins in it, in bytes.
    pub offset: u32,
    /// Its length in bytes, not 0; it ends within the frame.
    pub length: u32,
}

impl Part {
    /// Its first byte, as a device sees it.
    #[must_use]
    pub const fn address(&self) -> u64 {
        self.frame.0 as u64 * PAGE_SIZE + self.offset as u64
    }

    /// Whether it lies within its frame.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.length > 0 && self.offset as u64 + self.length as u64 <= PAGE_SIZE
    }
}

/// What the interface is to do to a frame before it sends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offload {
    /// Nothing.
    #[default]
    Nothing,
    /// The checksum of TCP or UDP over IPv4 (RFC 1071) of all from `start` to the end of the frame
    /// goes into the two bytes at `field`, both from the frame's first byte and in
    /// [`Outgoing::head`]. These hold the sum of the pseudo-header already, not inverted.
    Checksum {
        /// Where the TCP or UDP header begins.
        start: u16,
        /// Where the checksum is in the frame.
        field: u16,
    },
    /// The frame is TCP over IPv4, and is to be cut into segments of `mss` bytes of payload, each
    /// with the headers in [`Outgoing::head`], lengths, identification, sequence numbers, flags and
    /// both checksums set right. The headers are those of a single long segment, whose TCP checksum
    /// holds the sum of the pseudo-header, not inverted, as for [`Self::Checksum`].
    Segmentation {
        /// Where the TCP header begins in the frame.
        start: u16,
        /// The most bytes of payload in a segment, not 0.
        mss: u16,
    },
}

/// A frame to be sent.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// Its first bytes: all its headers, Ethernet's first. They are copied.
    pub head: ArrayVec<u8, HEAD>,
    /// The rest, which is not.
    parts: ArrayVec<Part, PARTS>,
    /// Its bytes.
    rest: usize,
    /// What sees to it that the parts' memory is not used otherwise, until it is dropped.
    pub keep: Option<Box<dyn Any + Send + Sync>>,
    /// What is left to do.
    pub offload: Offload,
}

impl Outgoing {
    /// Adds a part behind the others. False, and it is not added, if there are too many, or it is not
    /// within its frame.
    #[must_use]
    pub fn push(&mut self, part: Part) -> bool {
        let added = part.is_sound() && self.parts.try_push(part).is_ok();
        self.rest += if added { part.length as usize } else { 0 };
        added
    }

    /// What follows the head.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Its length in bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        self.head.len() + self.rest
    }

    /// Its length on the link in bytes: with the headers of each segment that it is cut into.
    #[must_use]
    pub fn length_on_link(&self) -> usize {
        let length = self.length();
        match self.offload {
            Offload::Segmentation { mss, .. } if mss > 0 => {
                let segments = (length - self.head.len()).div_ceil(mss.into());
                length + self.head.len() * segments.saturating_sub(1)
            }
            _ => length,
        }
    }

    /// Whether an interface with these properties can send it.
    #[must_use]
    pub fn fits(&self, properties: &Properties) -> bool {
        let length = self.length();
        let head = self.head.len();
        let within = |start: u16, needed: usize| usize::from(start) + needed <= head;
        let limit = match self.offload {
            Offload::Nothing => usize::from(properties.mtu) + ETHERNET,
            Offload::Checksum { start, field }
                if properties.checksum && start <= field && within(field, 2) =>
            {
                usize::from(properties.mtu) + ETHERNET
            }
            Offload::Segmentation { start, mss }
                if mss > 0 && usize::from(start) >= ETHERNET + 20 && within(start, 20) =>
            {
                properties.segmentation as usize
            }
            Offload::Checksum { .. } | Offload::Segmentation { .. } => 0,
        };
        head >= ETHERNET && length <= limit
    }
}

/// What the interface knows about the checksum of TCP or UDP in a received packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// Nothing, or that it is wrong: to be checked.
    #[default]
    Unknown,
    /// It is right.
    Good,
}

/// A received packet: an Ethernet frame without its checksum, in one or more buffers. It may be one
/// for others: not every interface looks at the address.
#[derive(Debug)]
pub struct Packet {
    first: Buffer,
    /// Where it begins in the first buffer, and how many bytes are there.
    start: u16,
    length: u16,
    /// What the interface knows about its checksum.
    pub checksum: Checksum,
    /// The other buffers: the packet begins at their first bytes. Few packets have any.
    more: Option<Box<More>>,
}

/// Buffers after the first, each with the bytes that are there.
#[derive(Debug)]
struct More(Vec<(Buffer, u16)>);

impl Packet {
    /// In one buffer: `length` bytes from `start` on. `None` if that is not within the buffer, or too
    /// short for an Ethernet frame.
    #[must_use]
    pub fn new(first: Buffer, start: usize, length: usize, checksum: Checksum) -> Option<Self> {
        let inside = start <= BUFFER && length <= BUFFER - start;
        (inside && length >= ETHERNET).then_some(Self {
            first,
            start: start as u16,
            length: length as u16,
            checksum,
            more: None,
        })
    }

    /// Adds another buffer, of which the first `length` bytes are the next of the packet. False if
    /// that is not within the buffer; the buffer is given back then.
    #[must_use]
    pub fn push(&mut self, buffer: Buffer, length: usize) -> bool {
        let inside = length <= BUFFER;
        if inside {
            let more = self.more.get_or_insert_with(|| Box::new(More(Vec::new())));
            more.0.push((buffer, length as u16));
        }
        inside
    }

    /// Its length in bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        self.parts().map(|(_, _, length)| length).sum()
    }

    /// Where its bytes are: the frame, the first byte in it, and how many.
    pub fn parts(&self) -> impl Iterator<Item = (Frame, usize, usize)> {
        let start = self.first.offset() + usize::from(self.start);
        let first = (self.first.frame(), start, self.length.into());
        let more = self.more.iter().flat_map(|more| &more.0);
        let more = more.map(|(buffer, length)| (buffer.frame(), buffer.offset(), (*length).into()));
        core::iter::once(first).chain(more)
    }

    /// As [`Self::parts`], each with the buffer itself.
    pub fn into_parts(self) -> impl Iterator<Item = (Buffer, usize, usize)> {
        let start = self.first.offset() + usize::from(self.start);
        let first = (self.first, start, self.length.into());
        let more = self.more.into_iter().flat_map(|more| more.0);
        let more = more.map(|(buffer, length)| {
            let start = buffer.offset();
            (buffer, start, length.into())
        });
        core::iter::once(first).chain(more)
    }

    /// Copies from it, from byte `at` on; how many bytes, which are fewer than there is room for only
    /// at its end.
    pub fn read<M: Machine>(&self, machine: &M, at: usize, into: &mut [u8]) -> usize {
        let mut skip = at;
        let mut done = 0;
        for (frame, start, length) in self.parts() {
            let here = length.saturating_sub(skip).min(into.len() - done);
            if here > 0 {
                machine.read_frame(frame, start + skip, &mut into[done..done + here]);
            }
            done += here;
            skip = skip.saturating_sub(length);
        }
        done
    }

    /// Bytes of memory that it holds.
    #[must_use]
    pub fn footprint(&self) -> usize {
        let more = self.more.as_ref().map_or(0, |more| more.0.len());
        BUFFER * (1 + more)
    }
}

/// Why a frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not now: after [`Host::sent`], or [`Notice::Ready`].
    Full,
    /// Never: it does not fit the interface's [`Properties`].
    Unfit,
    /// There is no link, so it would not arrive.
    NoLink,
    /// The interface is gone for good.
    Gone,
}

/// What an interface has to say besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// It works, at first or after a reset; its properties are known.
    Ready,
    /// Whether there is a link now.
    Link(bool),
    /// It does not work and will not any more.
    Gone,
}

/// Who is told.
pub trait Host {
    /// A buffer to receive into; none if there is none now.
    fn buffer(&mut self) -> Option<Buffer>;
    /// Buffers to receive into, one after another to `give`: `wanted` of them, or as many as there are now.
    fn buffers(&mut self, wanted: usize, give: &mut dyn FnMut(Buffer)) {
        for _ in 0..wanted {
            match self.buffer() {
                Some(buffer) => give(buffer),
                None => return,
            }
        }
    }
    /// Copies what a device has written into a buffer, from `at` on; all within the buffer.
    fn peek(&self, buffer: &Buffer, at: usize, into: &mut [u8]);
    /// A packet was received by this pair of rings.
    fn received(&mut self, queue: usize, packet: Packet);
    /// The device is done with a frame.
    fn sent(&mut self, frame: Box<Outgoing>);
    /// Something else.
    fn notice(&mut self, notice: Notice);
}

/// Why a packet was lost at the interface, or a frame was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// The device had nowhere to put it: packets come faster than they are taken, or there is no
    /// memory for more.
    Missed,
    /// The device says that it is damaged.
    Damaged,
    /// It is shorter or longer than a packet can be.
    Length,
    /// It was to be sent while there was no link.
    NoLink,
    /// It was to be sent and does not fit the interface.
    Unfit,
    /// The device was reset meanwhile, or is gone.
    Reset,
}

impl Loss {
    /// All reasons.
    pub const ALL: [Self; 6] = [
        Self::Missed,
        Self::Damaged,
        Self::Length,
        Self::NoLink,
        Self::Unfit,
        Self::Reset,
    ];
}

/// What an interface has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames that the device took, and their bytes; one that it cuts into segments counts once.
    pub sent: u64,
    /// See [`Self::sent`].
    pub sent_bytes: u64,
    /// Packets that were handed on, and their bytes.
    pub received: u64,
    /// See [`Self::received`].
    pub received_bytes: u64,
    /// Times that a frame was refused because there was no room: in the ring, or for more bytes than
    /// may be on their way.
    pub full: u64,
    /// Resets after the first.
    pub resets: u64,
    lost: [u64; Loss::ALL.len()],
}

impl Counters {
    /// So many more were lost for this reason.
    pub const fn lose(&mut self, loss: Loss, count: u64) {
        self.lost[loss as usize] += count;
    }

    /// A frame was not taken.
    pub const fn refuse(&mut self, refusal: Refusal) {
        match refusal {
            Refusal::Full => self.full += 1,
            Refusal::Unfit => self.lose(Loss::Unfit, 1),
            Refusal::NoLink => self.lose(Loss::NoLink, 1),
            Refusal::Gone => self.lose(Loss::Reset, 1),
        }
    }

    /// How many were lost for this reason.
    #[must_use]
    pub const fn lost(&self, loss: Loss) -> u64 {
        self.lost[loss as usize]
    }
}

/// The driver of a network interface.
pub trait Interface: Send {
    /// What it drives, for the log.
    fn name(&self) -> &'static str;

    /// What it can do. Known once it was [`Notice::Ready`].
    fn properties(&self) -> Properties;

    /// Whether there is a link.
    fn has_link(&self) -> bool;

    /// Gives the device a frame, in the ring of this number modulo [`Properties::queues`].
    ///
    /// # Errors
    /// The frame, and why it was not taken.
    fn transmit(
        &mut self,
        queue: usize,
        frame: Box<Outgoing>,
        now_ns: u64,
    ) -> Result<(), (Box<Outgoing>, Refusal)>;

    /// Somebody waits for what was sent: the device interrupts when it has sent about half of what it
    /// has, or [`Self::deadline`] has come if it has sent something already.
    fn expect_room(&mut self, now_ns: u64);

    /// Takes from the device what it has to say, at most about `budget` packets, gives it buffers,
    /// and does what is due. To be called after an interrupt, and when [`Self::deadline`] has passed.
    /// True if there is more.
    fn service(&mut self, now_ns: u64, budget: usize, host: &mut dyn Host) -> bool;

    /// Lets the device interrupt, once. True if there is something to do already: it may not
    /// interrupt for that.
    #[must_use]
    fn arm(&mut self) -> bool;

    /// When [`Self::service`] is to be called at the latest, in nanoseconds.
    fn deadline(&self) -> Option<u64>;

    /// What was counted.
    fn counters(&self) -> Counters;
}

#[cfg(test)]
mod tests;
