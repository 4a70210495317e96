//! Frames that nobody should send: cut off, lying about their lengths, full of options, in fragments,
//! from addresses that cannot be.
//!
//! Key types: [`Hell`] (a generator, from a seed). Each frame begins as a right one, for somebody or
//! for nobody, and is then spoiled in some of the ways there are; often its checksums are made right
//! after that, so that it gets further.

use std::net::Ipv4Addr;

use super::GUEST_MAC;
use crate::network::Link;

const ETHERNET: usize = 14;
const IP: usize = ETHERNET + 20;
const IPV4: [u8; 2] = [8, 0];
const ARP: [u8; 2] = [8, 6];
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// A generator of frames.
pub struct Hell {
    random: fastrand::Rng,
    /// Ports of the guest's at which somebody is: of TCP and of UDP.
    open: [u16; 2],
}

impl Hell {
    /// From a seed, for a guest with these ports of TCP and of UDP open.
    #[must_use]
    pub fn new(seed: u64, tcp: u16, udp: u16) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            open: [tcp, udp],
        }
    }

    /// One more frame.
    pub fn frame(&mut self) -> Vec<u8> {
        let mut frame = match self.random.u32(..12) {
            0 => self.noise(),
            1 => self.arp(),
            2..=5 => self.packet(TCP),
            6..=8 => self.packet(UDP),
            9 | 10 => self.packet(ICMP),
            _ => {
                let protocol = self.random.u8(..);
                self.packet(protocol)
            }
        };
        for _ in 0..self.random.u32(..3) {
            self.spoil(&mut frame);
        }
        frame
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.random.usize(..=most);
        (0..length).map(|_| self.random.u8(..)).collect()
    }

    fn ethernet(&mut self, kind: [u8; 2]) -> Vec<u8> {
        let to = match self.random.u32(..16) {
            0 => [0xff; 6],
            1 => [1, 0, 0x5e, 0, 0, 1],
            2 => [2, 0, 0, 0, 0, 9],
            _ => GUEST_MAC,
        };
        let from = [2, 0, 0, 0, 1, self.random.u8(..)];
        [&to[..], &from, &kind].concat()
    }

    fn noise(&mut self) -> Vec<u8> {
        let kind = if self.random.bool() {
            IPV4
        } else {
            [self.random.u8(..), 0]
        };
        let mut frame = self.ethernet(kind);
        frame.extend(self.bytes(200));
        frame
    }

    fn arp(&mut self) -> Vec<u8> {
        let mut frame = self.ethernet(ARP);
        frame.extend([0, 1, 8, 0, 6, 4, 0, self.random.u8(1..=2)]);
        // Not the clients' address: whoever says that it has that is believed, here as elsewhere.
        frame.extend([2, 0, 0, 0, 2, 2, 10, 77, 0, self.random.u8(100..)]);
        frame.extend([0; 6]);
        frame.extend(Link::GUEST.octets());
        frame
    }

    fn source(&mut self) -> Ipv4Addr {
        match self.random.u32(..12) {
            0 => Ipv4Addr::LOCALHOST,
            1 => Link::GUEST,
            2 => Ipv4Addr::BROADCAST,
            3 => Ipv4Addr::new(224, 0, 0, 1),
            4 => Ipv4Addr::UNSPECIFIED,
            5 => Ipv4Addr::from_bits(self.random.u32(..)),
            _ => Ipv4Addr::new(10, 77, 0, self.random.u8(100..)),
        }
    }

    fn destination(&mut self) -> Ipv4Addr {
        match self.random.u32(..16) {
            0 => Ipv4Addr::new(10, 77, 0, 255),
            1 => Ipv4Addr::BROADCAST,
            2 => Ipv4Addr::from_bits(self.random.u32(..)),
            _ => Link::GUEST,
        }
    }

    fn port(&mut self, open: u16) -> u16 {
        if self.random.u32(..4) == 0 {
            self.random.u16(..)
        } else {
            open
        }
    }

    /// A right packet of IPv4.
    fn packet(&mut self, protocol: u8) -> Vec<u8> {
        let mut frame = self.ethernet(IPV4);
        let body = match protocol {
            TCP => self.segment(),
            UDP => self.datagram(),
            ICMP => self.message(),
            _ => self.bytes(100),
        };
        let (source, destination) = (self.source(), self.destination());
        frame.extend([0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0]);
        frame.extend(source.octets());
        frame.extend(destination.octets());
        frame.extend(body);
        let length = u16::try_from(frame.len() - ETHERNET).unwrap_or(u16::MAX);
        frame[16..18].copy_from_slice(&length.to_be_bytes());
        mend(&mut frame);
        frame
    }

    fn segment(&mut self) -> Vec<u8> {
        let (from, to) = (self.random.u16(..), self.port(self.open[0]));
        let mut options = match self.random.u32(..4) {
            0 => Vec::new(),
            // One after the other, of which the lengths may lie.
            1 => self.bytes(40),
            _ => vec![
                2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7,
            ],
        };
        options.resize(options.len().next_multiple_of(4), 0);
        let offset = ((20 + options.len()) / 4) as u8;
        let flags = if self.random.bool() {
            2
        } else {
            self.random.u8(..)
        };
        let numbers = [self.random.u32(..), self.random.u32(..)].map(u32::to_be_bytes);
        let mut segment = [from.to_be_bytes(), to.to_be_bytes()].concat();
        segment.extend(numbers.concat());
        segment.extend([offset << 4, flags, 1, 0, 0, 0, self.random.u8(..), 0]);
        segment.extend(options);
        segment.extend(self.bytes(100));
        segment
    }

    fn datagram(&mut self) -> Vec<u8> {
        let data = self.bytes(300);
        let ports = [self.random.u16(..), self.port(self.open[1])].map(u16::to_be_bytes);
        let length = u16::try_from(8 + data.len()).unwrap_or(u16::MAX);
        let mut datagram = ports.concat();
        datagram.extend(length.to_be_bytes());
        datagram.extend([0, 0]);
        datagram.extend(data);
        datagram
    }

    /// An echo, or a complaint about a packet that was never sent.
    fn message(&mut self) -> Vec<u8> {
        let mut message = match self.random.u32(..4) {
            0 => vec![8, 0, 0, 0, 0, 1, 0, 1],
            1 => vec![self.random.u8(..), self.random.u8(..), 0, 0, 0, 0, 0, 0],
            _ => vec![3, self.random.u8(..6), 0, 0, 0, 0, 2, self.random.u8(..)],
        };
        if self.random.bool() {
            message.extend([
                0x45,
                0,
                0,
                40,
                0,
                1,
                0,
                0,
                64,
                if self.random.bool() { TCP } else { UDP },
                0,
                0,
            ]);
            message.extend(Link::GUEST.octets());
            message.extend(Link::CLIENTS.octets());
        }
        message.extend(self.bytes(64));
        message
    }

    /// Makes something of a frame wrong.
    fn spoil(&mut self, frame: &mut Vec<u8>) {
        let mends = self.random.bool();
        let byte = self.random.u8(..);
        match self.random.u32(..11) {
            // Shorter or longer than it says.
            // Not to nothing, which would be the end of the wire to QEMU.
            0 => frame.truncate(self.random.usize(1..=frame.len())),
            1 => frame.extend(self.bytes(100)),
            // It says that it is another length: its own, its header's, its protocol's.
            2 => set(frame, 16, byte),
            3 => set(frame, 17, byte),
            4 => set(frame, ETHERNET, 0x40 | byte & 0xf),
            5 => set(frame, ETHERNET, byte),
            6 => set(frame, IP + 12, byte),
            7 => set(frame, IP + 5, byte),
            // A fragment: the first, a middle one, the last.
            8 => set(frame, 20, 0x20),
            9 => set(frame, 21, byte),
            _ => {
                let at = self.random.usize(..=frame.len());
                set(frame, at, byte);
            }
        }
        if mends {
            mend(frame);
        }
    }
}

/// Makes a byte another one, if the frame has it.
fn set(frame: &mut [u8], at: usize, value: u8) {
    if let Some(place) = frame.get_mut(at) {
        *place = value;
    }
}

/// Makes the checksums right, of what the frame says that it has.
fn mend(frame: &mut [u8]) {
    if frame.len() < IP || frame[12..14] != IPV4 {
        return;
    }
    let header = ETHERNET + usize::from(frame[ETHERNET] & 0xf) * 4;
    if header < IP || header > frame.len() {
        return;
    }
    frame[24..26].fill(0);
    let sum = checksum(&[&frame[ETHERNET..header]]);
    frame[24..26].copy_from_slice(&sum);
    let protocol = frame[23];
    let place = header
        + match protocol {
            TCP => 16,
            UDP => 6,
            ICMP => 2,
            _ => return,
        };
    if place + 2 > frame.len() {
        return;
    }
    frame[place..place + 2].fill(0);
    let body = &frame[header..];
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes();
    let pseudo = [&frame[26..34], &[0, protocol], &length].concat();
    let sum = match protocol {
        ICMP => checksum(&[body]),
        _ => checksum(&[&pseudo, body]),
    };
    frame[place..place + 2].copy_from_slice(&sum);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides() {
        let frames = |seed| {
            let mut hell = Hell::new(seed, 80, 9);
            (0..100).map(|_| hell.frame()).collect::<Vec<_>>()
        };
        assert_eq!(frames(1), frames(1));
        assert_ne!(frames(1), frames(2));
    }

    /// The example of RFC 1071, and a header that is known.
    #[test]
    fn checksums_are_right() {
        assert_eq!(
            checksum(&[&[0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7]]),
            [0x22, 0x0d]
        );
        let mut frame = [&[0; 12][..], &IPV4].concat();
        frame.extend([
            0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 99, 0, 0, 192, 168, 0, 1, 192, 168, 0, 199,
        ]);
        mend(&mut frame);
        assert_eq!(checksum(&[&frame[ETHERNET..]]), [0, 0]);
    }

    /// Something of everything, and some right ones.
    #[test]
    fn frames_are_of_all_kinds() {
        let mut hell = Hell::new(3, 80, 9);
        let frames: Vec<_> = (0..5000).map(|_| hell.frame()).collect();
        let is_ip = |frame: &&Vec<u8>| frame.len() >= IP && frame[12..14] == IPV4;
        let packets: Vec<_> = frames.iter().filter(is_ip).collect();
        let count = |test: fn(&Vec<u8>) -> bool| packets.iter().filter(|frame| test(frame)).count();
        let fragments = count(|frame| frame[20] & 0x3f != 0 || frame[21] != 0);
        let sound = count(|frame| {
            frame[ETHERNET] == 0x45
                && usize::from(u16::from_be_bytes([frame[16], frame[17]])) == frame.len() - ETHERNET
                && checksum(&[&frame[ETHERNET..IP]]) == [0, 0]
        });
        for protocol in [TCP, UDP, ICMP] {
            assert!(packets.iter().any(|frame| frame[23] == protocol));
        }
        assert!(frames.iter().any(|frame| frame.len() < ETHERNET));
        assert!(
            fragments > 100 && sound > 1000,
            "{fragments} fragments, {sound} sound"
        );
    }
}
