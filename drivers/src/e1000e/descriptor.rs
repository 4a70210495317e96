//! Descriptors (datasheet, sections 7.1 and 7.2): 16 bytes each.

use vortex_resources::net::interface::{Checksum, ETHERNET, Offload, Outgoing};

/// Bytes of a descriptor.
pub(super) const BYTES: usize = 16;
/// Where the word with the device's answer is in it.
pub(super) const ANSWER_AT: usize = 12;
/// Where the length of what was received is, in a 32-bit word.
pub(super) const LENGTH_AT: usize = 8;
/// In the answer: the device is done with it.
pub(super) const DONE: u32 = 1;

/// A context of no more than this many bytes of headers can be described.
const TCP_CHECKSUM: usize = 16;
const IP_CHECKSUM: usize = 10;
const IP_LENGTH: usize = 2;

/// Fields of commands, in the third 32-bit word of a descriptor for sending.
mod command {
    /// The last of a packet.
    pub(super) const EOP: u32 = 1 << 24;
    /// The checksum of Ethernet is appended.
    pub(super) const IFCS: u32 = 1 << 25;
    /// Segmentation.
    pub(super) const TSE: u32 = 1 << 26;
    /// The device says when it is done.
    pub(super) const RS: u32 = 1 << 27;
    /// The format is the extended one.
    pub(super) const DEXT: u32 = 1 << 29;
    /// It is data.
    pub(super) const DTYP_DATA: u32 = 1 << 20;
    /// In a context: TCP, over IPv4.
    pub(super) const TCP: u32 = 1 << 24;
    pub(super) const IPV4: u32 = 1 << 25;
}

/// Options of data, in the fourth word.
mod option {
    /// The checksum of IPv4 is inserted.
    pub(super) const IXSM: u32 = 1 << 8;
    /// That of TCP or UDP is.
    pub(super) const TXSM: u32 = 1 << 9;
}

/// Bits of the answer to a descriptor for receiving.
mod answer {
    /// The last of a packet.
    pub(super) const EOP: u32 = 1 << 1;
    /// Checksums were not looked at.
    pub(super) const IXSM: u32 = 1 << 2;
    /// That of TCP or UDP was.
    pub(super) const TCPCS: u32 = 1 << 5;
    /// Errors of Ethernet: CE, SE, SEQ, CXE, RXE.
    pub(super) const DAMAGED: u32 = 0b1001_0111 << 8;
    /// Wrong checksums: TCPE, IPE.
    pub(super) const WRONG: u32 = 0b0110_0000 << 8;
}

/// One for receiving into a buffer.
pub(super) fn receive(address: u64) -> [u8; BYTES] {
    words(address, 0, 0)
}

/// What the answer to one for receiving says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) is_last: bool,
    pub(super) is_damaged: bool,
    pub(super) checksum: Checksum,
}

/// Reads an answer.
pub(super) const fn received(answer: u32) -> Received {
    let was_checked = answer & answer::IXSM == 0 && answer & answer::TCPCS != 0;
    let is_right = answer & answer::WRONG == 0;
    Received {
        is_last: answer & answer::EOP != 0,
        is_damaged: answer & answer::DAMAGED != 0,
        checksum: if was_checked && is_right {
            Checksum::Good
        } else {
            Checksum::Unknown
        },
    }
}

fn words(low: u64, third: u32, fourth: u32) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(&low.to_le_bytes());
    bytes[8..12].copy_from_slice(&third.to_le_bytes());
    bytes[12..].copy_from_slice(&fourth.to_le_bytes());
    bytes
}

/// The context for what is to be done to a frame, if anything is.
pub(super) fn context(frame: &Outgoing) -> Option<[u8; BYTES]> {
    let ip = ETHERNET as u64;
    // Where sums begin, where they go, and where they end: 0 is the packet's end.
    let sums = |start: u16, field: u16| {
        let ip_end = u64::from(start).saturating_sub(1);
        let ip = ip | (ip + IP_CHECKSUM as u64) << 8 | ip_end << 16;
        let tcp = u64::from(start & 0xff) | u64::from(field & 0xff) << 8;
        ip | tcp << 32
    };
    match frame.offload {
        Offload::Nothing => None,
        Offload::Checksum { start, field } => Some(words(sums(start, field), command::DEXT, 0)),
        Offload::Segmentation { start, mss } => {
            let head = frame.head.len();
            let payload = (frame.length() - head) as u32;
            let third = command::DEXT | command::TSE | command::TCP | command::IPV4 | payload;
            let fourth = u32::from(mss) << 16 | (head as u32) << 8;
            Some(words(
                sums(start, start + TCP_CHECKSUM as u16),
                third,
                fourth,
            ))
        }
    }
}

/// Data: `length` bytes at `address`; whether they are the last of the frame.
pub(super) const fn data(
    offload: Offload,
    address: u64,
    length: u32,
    is_last: bool,
) -> (u64, u32, u32) {
    let (command, options) = match offload {
        Offload::Nothing => (0, 0),
        Offload::Checksum { .. } => (0, option::TXSM),
        Offload::Segmentation { .. } => (command::TSE, option::IXSM | option::TXSM),
    };
    let last = if is_last {
        command::EOP | command::RS
    } else {
        0
    };
    let always = command::DEXT | command::DTYP_DATA | command::IFCS;
    (address, always | command | last | length, options)
}

/// The bytes of [`data`].
pub(super) fn data_bytes((address, third, fourth): (u64, u32, u32)) -> [u8; BYTES] {
    words(address, third, fourth)
}

/// Makes a head as the device wants it for segmentation (section 7.2.4): no length in IPv4's header
/// and in the sum of the pseudo-header, and no checksum in the former.
pub(super) fn prepare(head: &mut [u8], start: u16, frame_length: usize) {
    let start = usize::from(start);
    head[ETHERNET + IP_LENGTH..][..2].fill(0);
    head[ETHERNET + IP_CHECKSUM..][..2].fill(0);
    let field = start + TCP_CHECKSUM;
    let sum = u16::from_be_bytes([head[field], head[field + 1]]);
    let length = (frame_length - start) as u16;
    let (sum, carry) = sum.overflowing_add(!length);
    let sum = sum.wrapping_add(u16::from(carry));
    head[field..field + 2].copy_from_slice(&sum.to_be_bytes());
}
