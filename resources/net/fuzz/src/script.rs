//! An input, read as packets that arrive and time that passes.

use super::machine::{Edge, OUR_MAC, OURS, PORT, THEIR_MAC, THEIRS};

const ICMP: u8 = 1;
const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

/// Packets in an input, at most.
const PACKETS: usize = 64;

pub(crate) struct Script<'a> {
    rest: &'a [u8],
}

impl<'a> Script<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    /// As many bytes as the next one says, or all.
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.byte()?).min(self.rest.len());
        let (bytes, rest) = self.rest.split_at(length);
        self.rest = rest;
        Some(bytes)
    }

    /// What is in it happens.
    pub(crate) fn play(mut self, edge: &mut Edge) {
        for _ in 0..PACKETS {
            if self.step(edge).is_none() {
                return;
            }
        }
    }

    fn step(&mut self, edge: &mut Edge) -> Option<()> {
        match self.byte()? % 8 {
            0 => edge.frame(self.bytes()?),
            // An Ethernet header before it.
            1 => {
                let kind = if self.byte()? & 1 == 0 {
                    [8, 0]
                } else {
                    [8, 6]
                };
                edge.frame(&[&OUR_MAC[..], &THEIR_MAC, &kind, self.bytes()?].concat());
            }
            // An IPv4 header of its own, whose checksum is made right.
            2 => {
                let mut packet = self.bytes()?.to_vec();
                let length = packet
                    .first()
                    .map_or(0, |first| usize::from(first & 0xf) * 4);
                if (20..=packet.len()).contains(&length) {
                    packet[10..12].fill(0);
                    let sum = checksum(&[&packet[..length]]);
                    packet[10..12].copy_from_slice(&sum);
                }
                edge.frame(&[&OUR_MAC[..], &THEIR_MAC, &[8, 0], &packet].concat());
            }
            3 => {
                let body = self.bytes()?;
                edge.frame(&packet(ICMP, &[0, 0], body));
            }
            4 => {
                let [high, low] = PORT.to_be_bytes();
                let ports = [self.byte()?, self.byte()?, high, low];
                let body = self.bytes()?;
                let length = u16::try_from(8 + body.len())
                    .unwrap_or(u16::MAX)
                    .to_be_bytes();
                edge.frame(&packet(UDP, &[&ports[..], &length].concat(), body));
            }
            // A segment, from the numbers on.
            5 => {
                let body = self.bytes()?;
                edge.frame(&packet(TCP, &ports(1), body));
            }
            // One that goes on where the system's last one ended, with what follows the flags.
            6 => {
                let (flags, number) = (self.byte()?, self.byte()?);
                let acknowledged = edge
                    .next
                    .wrapping_add(u32::from(self.byte()? % 4))
                    .wrapping_sub(1);
                let mut body = u32::from(number).to_be_bytes().to_vec();
                body.extend(acknowledged.to_be_bytes());
                body.extend([5 << 4, flags]);
                body.extend(self.bytes()?);
                edge.frame(&packet(TCP, &ports(1), &body));
            }
            _ => edge.pass(u64::from(self.byte()?)),
        }
        // What has arrived is looked at before it is all in one queue, or after.
        if self.rest.len() % 3 == 0 {
            edge.pass(1);
        }
        Some(())
    }
}

fn ports(from: u16) -> [u8; 4] {
    let [[a, b], [c, d]] = [from, PORT].map(u16::to_be_bytes);
    [a, b, c, d]
}

/// A packet for the system with right headers and checksums, the protocol's where it has a place.
pub(crate) fn packet(protocol: u8, begin: &[u8], body: &[u8]) -> Vec<u8> {
    let place = match protocol {
        ICMP => 2,
        UDP => 6,
        _ => 16,
    };
    let mut body = [begin, body].concat();
    if protocol == UDP {
        body.splice(6..6, [0, 0]);
    }
    let length = u16::try_from(20 + body.len())
        .unwrap_or(u16::MAX)
        .to_be_bytes();
    let mut header = [
        0x45, 0, length[0], length[1], 0, 1, 0, 0, 64, protocol, 0, 0,
    ]
    .to_vec();
    header.extend(THEIRS);
    header.extend(OURS);
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum);
    if let Some(sum) = body.get_mut(place..place + 2) {
        sum.fill(0);
        let length = u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes();
        let pseudo = [&THEIRS[..], &OURS, &[0, protocol], &length].concat();
        let sum = match protocol {
            ICMP => checksum(&[&body]),
            _ => checksum(&[&pseudo, &body]),
        };
        body[place..place + 2].copy_from_slice(&sum);
    }
    [&OUR_MAC[..], &THEIR_MAC, &[8, 0], &header, &body].concat()
}

/// RFC 1071. All parts but the last have an even length.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let value = |word: &[u8]| u32::from(word[0]) << 8 | word.get(1).copied().map_or(0, u32::from);
    let mut sum: u32 = words.map(value).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}
