//! What packets belong together: the labels that keep them in order and on one core (paper, section
//! 4.4).
//!
//! Key types: [`Flow`] (addresses and ports), [`Labels`] (their keyed hash).
//!
//! There are few labels, as in an interface's own table for spreading: each that a scheduler has seen
//! takes memory there, and who sends could choose ports without end.

use core::hash::Hasher;
use core::net::Ipv4Addr;

use siphasher::sip::SipHasher13;
use vortex_toolkit::ids::{AffinityLabel, DependencyLabel};

use super::interface::ETHERNET;

/// Labels of flows; one more is for what has none.
const LABELS: u64 = 511;
/// Bytes of a packet that say what flow it is of: IPv4's header with all options, and ports.
pub(super) const LOOK_AT: usize = ETHERNET + 60 + 4;
/// Type of an Ethernet frame with IPv4.
const IPV4: [u8; 2] = [8, 0];
/// Protocols with ports, as IPv4 numbers them.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// What a packet and those that belong to it have in common, as received packets have it: the source
/// is the other machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The sender's address.
    pub source: Ipv4Addr,
    /// The receiver's.
    pub destination: Ipv4Addr,
    /// The protocol's number.
    pub protocol: u8,
    /// The sender's port and the receiver's; zeros where there are none, or where they are not to be
    /// seen, as in fragments.
    pub ports: [u16; 2],
}

impl Flow {
    /// Of an Ethernet frame that begins with these bytes; `None` if it is not IPv4.
    #[must_use]
    pub fn of(frame: &[u8]) -> Option<Self> {
        let (ethernet, ip) = frame.split_at_checked(ETHERNET)?;
        let header = ip.first_chunk::<20>()?;
        if ethernet[12..] != IPV4 || header[0] >> 4 != 4 {
            return None;
        }
        let address = |at: usize| {
            let bytes = [header[at], header[at + 1], header[at + 2], header[at + 3]];
            Ipv4Addr::from(bytes)
        };
        let is_fragment = header[6] & 0x3f != 0 || header[7] != 0;
        let protocol = header[9];
        let ports = || {
            let behind = ip.get(4 * usize::from(header[0] & 15)..)?;
            let ports = behind.first_chunk::<4>()?;
            let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
            Some([port(0), port(2)])
        };
        let has_ports = matches!(protocol, TCP | UDP) && !is_fragment;
        Some(Self {
            source: address(12),
            destination: address(16),
            protocol,
            ports: has_ports.then(ports).flatten().unwrap_or_default(),
        })
    }
}

/// Hashes flows to labels, by a key that nobody outside knows.
#[derive(Clone, Copy, Debug)]
pub struct Labels {
    key: [u8; 16],
}

impl Labels {
    /// With a random key.
    #[must_use]
    pub const fn new(key: [u8; 16]) -> Self {
        Self { key }
    }

    /// The labels of what belongs to a flow; those of what belongs to none.
    #[must_use]
    pub fn of(&self, flow: Option<&Flow>) -> (DependencyLabel, AffinityLabel) {
        let number = flow.map_or(1, |flow| {
            let mut hasher = SipHasher13::new_with_key(&self.key);
            hasher.write_u32(flow.source.to_bits());
            hasher.write_u32(flow.destination.to_bits());
            let [from, to] = flow.ports;
            let rest = u64::from(flow.protocol) << 32 | u64::from(from) << 16 | u64::from(to);
            hasher.write_u64(rest);
            2 + hasher.finish() % LABELS
        });
        (DependencyLabel(number), AffinityLabel(number))
    }
}

#[cfg(test)]
mod tests;
