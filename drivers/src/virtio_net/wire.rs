//! What virtio-net's driver and device write for each other (section 5.1).

use vortex_resources::net::interface::{Checksum, Mac, Offload, Outgoing};

/// Features (section 5.1.3).
pub(super) mod feature {
    /// The device completes checksums of what is sent.
    pub(in super::super) const CHECKSUM: u64 = 1 << 0;
    /// The driver takes packets whose checksum the device has checked, or that have none.
    pub(in super::super) const GUEST_CHECKSUM: u64 = 1 << 1;
    /// The device says the largest packet.
    pub(in super::super) const MTU: u64 = 1 << 3;
    /// The device has an address.
    pub(in super::super) const MAC: u64 = 1 << 5;
    /// The device cuts TCP over IPv4 into segments.
    pub(in super::super) const SEGMENTATION: u64 = 1 << 11;
    /// A received packet may be in several buffers.
    pub(in super::super) const MERGEABLE: u64 = 1 << 15;
    /// The device says whether there is a link.
    pub(in super::super) const STATUS: u64 = 1 << 16;
    /// There is a queue for control.
    pub(in super::super) const CONTROL: u64 = 1 << 17;
    /// There may be several pairs of queues.
    pub(in super::super) const PAIRS: u64 = 1 << 22;
}

/// Offsets in the device's configuration (section 5.1.4), of 16 bits each. One that belongs to a feature
/// that the device does not offer may lie beyond its end.
pub(super) mod configuration {
    /// The six bytes of the address.
    pub(in super::super) const MAC: usize = 0;
    pub(in super::super) const STATUS: usize = 6;
    /// The most pairs of queues.
    pub(in super::super) const PAIRS: usize = 8;
    pub(in super::super) const MTU: usize = 10;
    /// Bit of the status: there is a link.
    pub(in super::super) const LINK_UP: u16 = 1;
}

/// Bytes of a header (section 5.1.6).
pub(super) const HEADER: usize = 12;
/// Bits of its flags.
const NEEDS_CHECKSUM: u8 = 1;
const CHECKSUM_IS_VALID: u8 = 2;
/// Kind of segmentation: TCP over IPv4.
const TCP_IPV4: u8 = 1;
/// Where the checksum is in a TCP header.
const TCP_CHECKSUM: u16 = 16;

/// The command that sets the number of pairs of queues (section 5.1.6.5.6), without the number.
pub(super) const SET_PAIRS: [u8; 2] = [4, 0];
/// The answer to a command: well done.
pub(super) const OK: u8 = 0;

/// The address, by its halves of 16 bits.
pub(super) fn mac(parts: [u16; 3]) -> Mac {
    let [[a, b], [c, d], [e, f]] = parts.map(u16::to_le_bytes);
    Mac([a, b, c, d, e, f])
}

/// The header of a frame to be sent.
pub(super) fn outgoing(frame: &Outgoing) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let mut put = |at: usize, value: u16| {
        header[at..at + 2].copy_from_slice(&value.to_le_bytes());
    };
    match frame.offload {
        Offload::Nothing => {}
        Offload::Checksum { start, field } => {
            put(6, start);
            put(8, field - start);
            header[0] = NEEDS_CHECKSUM;
        }
        Offload::Segmentation { start, mss } => {
            let head = frame.head.len();
            put(2, head as u16);
            put(4, mss);
            put(6, start);
            put(8, TCP_CHECKSUM);
            header[0] = NEEDS_CHECKSUM;
            // What is no longer than one segment is none that is to be cut.
            header[1] = if frame.length() - head > usize::from(mss) {
                TCP_IPV4
            } else {
                0
            };
        }
    }
    header
}

/// What the header of a received packet says: of its checksum, and the number of its buffers.
pub(super) fn received(header: &[u8; HEADER]) -> (Checksum, u16) {
    let checksum = match header[0] & (NEEDS_CHECKSUM | CHECKSUM_IS_VALID) {
        0 => Checksum::Unknown,
        // One that is not there yet is of a sender on the same host: nothing can have damaged it.
        _ => Checksum::Good,
    };
    (checksum, u16::from_le_bytes([header[10], header[11]]))
}
