//! The Internet checksum (RFC 1071) of a segment whose payload is in pieces.
//!
//! A device with checksum offload wants [`prepare`]: the sum over the pseudo header, to which it
//! adds the rest. Without one, [`complete`] goes over all pieces.

use core::net::Ipv4Addr;

/// Where in a header the checksum stands.
const FIELD: core::ops::Range<usize> = 16..18;
/// TCP's number in an IP header.
const PROTOCOL: u8 = 6;

/// A sum of 16-bit words in one's complement, not folded yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    words: u64,
    /// The next byte is the second of a word.
    is_odd: bool,
}

impl Sum {
    /// Over the pseudo header of a protocol's packet of so many bytes. For a super-segment the length
    /// is the device's to set.
    #[must_use]
    pub fn pseudo_header(
        protocol: u8,
        source: Ipv4Addr,
        destination: Ipv4Addr,
        length: usize,
    ) -> Self {
        let length = u16::try_from(length).unwrap_or(0);
        let mut sum = Self {
            words: u64::from(protocol) + u64::from(length),
            is_odd: false,
        };
        sum.add(&source.octets());
        sum.add(&destination.octets());
        sum
    }

    /// Adds bytes, behind those before.
    pub fn add(&mut self, bytes: &[u8]) {
        let mut bytes = bytes;
        if self.is_odd
            && let Some((&first, rest)) = bytes.split_first()
        {
            self.words += u64::from(first);
            self.is_odd = false;
            bytes = rest;
        }
        let (words, rest) = bytes.as_chunks::<2>();
        let sum: u64 = words
            .iter()
            .map(|&word| u64::from(u16::from_be_bytes(word)))
            .sum();
        self.words += sum;
        if let [last] = rest {
            self.words += u64::from(*last) << 8;
            self.is_odd = true;
        }
    }

    /// The sum of 16 bits; 0xffff over a packet whose checksum is right.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "folded to 16 bits")]
    pub fn folded(self) -> u16 {
        let mut sum = self.words;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }
}

/// Puts the sum over the pseudo header into a header made by [`crate::Segment::emit`].
pub fn prepare(header: &mut [u8], source: Ipv4Addr, destination: Ipv4Addr, payload: usize) {
    let sum = Sum::pseudo_header(PROTOCOL, source, destination, header.len() + payload);
    header[FIELD].copy_from_slice(&sum.folded().to_be_bytes());
}

/// Puts the checksum into a header made by [`crate::Segment::emit`]; `parts` are the payload, of
/// `payload` bytes together.
pub fn complete<'a>(
    header: &mut [u8],
    source: Ipv4Addr,
    destination: Ipv4Addr,
    payload: usize,
    parts: impl Iterator<Item = &'a [u8]>,
) {
    let mut sum = Sum::pseudo_header(PROTOCOL, source, destination, header.len() + payload);
    sum.add(header);
    parts.for_each(|part| sum.add(part));
    header[FIELD].copy_from_slice(&(!sum.folded()).to_be_bytes());
}
