//! Labels: one connection's packets keep their order and their core (paper, section 4.4).
//!
//! Key types: [`Lane`]. Both ways of a connection have one flow, so that on the loop-back interface
//! they meet on one core. There are only so many labels, so that what cores remember of them is
//! bounded; connections with one label share a core, and wait for each other in order.

use core::net::Ipv4Addr;

use vortex_toolkit::Request;
use vortex_toolkit::ids::{AffinityLabel, DependencyLabel};

/// How many labels there are.
const FLOWS: u32 = 512;
/// Where they begin: below are numbers of threads and of transfers, above are cores.
const BASE: u64 = 1 << 62;

/// Packets that stay in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Lane(u32);

impl Lane {
    /// Of two ends; which is which makes no difference.
    #[must_use]
    pub fn of(one: (Ipv4Addr, u16), other: (Ipv4Addr, u16)) -> Self {
        let addresses = one.0.to_bits() ^ other.0.to_bits();
        let ports = u32::from(one.1) ^ u32::from(other.1);
        let sum = u32::from(one.1) + u32::from(other.1);
        let mixed = (addresses ^ ports.rotate_left(16) ^ sum).wrapping_mul(0x9e37_79b1);
        Self((mixed >> 16) % FLOWS)
    }

    /// Its number, below the number of flows.
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    /// This request has the flow's labels.
    #[must_use]
    pub fn mark<M>(self, request: Request<M>) -> Request<M> {
        let label = BASE | u64::from(self.0);
        request
            .near(AffinityLabel(label))
            .ordered(DependencyLabel(label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_are_one_flow_and_ports_spread() {
        let server = (Ipv4Addr::new(10, 0, 0, 1), 80);
        let mut seen = std::collections::BTreeSet::new();
        for port in 32768..33768 {
            let client = (Ipv4Addr::new(10, 0, 0, 2), port);
            assert_eq!(Lane::of(server, client), Lane::of(client, server));
            seen.insert(Lane::of(server, client).0);
        }
        assert!(seen.len() > FLOWS as usize / 2, "{} flows", seen.len());
    }
}
