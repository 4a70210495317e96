//! Neighbours: which address of Ethernet has an address of IPv4 (RFC 826).
//!
//! Key types: [`Neighbours`] (those of one interface, with time as a parameter), [`Way`] (what to do
//! with a packet for one).
//!
//! What is not known is asked for, at most once a second, when there is something to send. Only who
//! has been asked for, or who asks for us, is entered, so that nobody can fill the table with others.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use vortex_tcp::{Instant, Micros, SECOND};
use vortex_toolkit::ids::ActivityId;

use super::interface::Mac;
use super::packet::Packet;

/// The most entries.
const MOST: usize = 1024;
/// Packets that wait for one answer, at most.
const WAITING: usize = 16;
/// From one question to the next.
const INTERVAL: Micros = SECOND;
/// For so long an answer is not doubted, and for so long it is believed.
const FRESH: Micros = 60 * SECOND;
const KNOWN: Micros = 120 * SECOND;

/// A packet that waits, and who pays for it.
pub(crate) type Held = (Box<Packet>, ActivityId);

#[derive(Debug, Default)]
struct Neighbour {
    /// Its address, and since when that is known.
    known: Option<(Mac, Instant)>,
    asked: Option<Instant>,
    waiting: VecDeque<Held>,
}

/// The neighbours of one interface.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    all: BTreeMap<Ipv4Addr, Neighbour>,
}

/// What to do with a packet.
#[derive(Debug)]
pub(crate) struct Way {
    /// Send it there; `None` if it waits.
    pub(crate) to: Option<(Mac, Held)>,
    /// The neighbour is to be asked.
    pub(crate) asks: bool,
    /// A packet that has waited too long for this one to find room.
    pub(crate) dropped: Option<Held>,
}

impl Neighbours {
    /// A packet is to be sent to a neighbour.
    pub(crate) fn send(&mut self, address: Ipv4Addr, held: Held, now: Instant) -> Way {
        if self.all.len() >= MOST && !self.all.contains_key(&address) {
            self.make_room(now);
        }
        let neighbour = self.all.entry(address).or_default();
        let known = neighbour
            .known
            .filter(|(_, since)| now.since(*since) < KNOWN);
        let doubted = known.is_none_or(|(_, since)| now.since(since) >= FRESH);
        let asks = doubted && neighbour.asked.is_none_or(|at| now.since(at) >= INTERVAL);
        if asks {
            neighbour.asked = Some(now);
        }
        let Some((mac, _)) = known else {
            neighbour.known = None;
            neighbour.waiting.push_back(held);
            let is_full = neighbour.waiting.len() > WAITING;
            return Way {
                to: None,
                asks,
                dropped: is_full.then(|| neighbour.waiting.pop_front()).flatten(),
            };
        };
        Way {
            to: Some((mac, held)),
            asks,
            dropped: None,
        }
    }

    /// A neighbour has said where it is: what waits for that can be sent. `asked_us` if it has asked
    /// for this machine.
    pub(crate) fn heard(
        &mut self,
        address: Ipv4Addr,
        mac: Mac,
        asked_us: bool,
        now: Instant,
    ) -> Vec<Held> {
        if !mac.is_unicast() {
            return Vec::new();
        }
        if asked_us && self.all.len() >= MOST {
            self.make_room(now);
        }
        let neighbour = match asked_us {
            true => Some(self.all.entry(address).or_default()),
            false => self.all.get_mut(&address),
        };
        let Some(neighbour) = neighbour else {
            return Vec::new();
        };
        neighbour.known = Some((mac, now));
        neighbour.waiting.drain(..).collect()
    }

    /// Forgets whom nothing waits for and who was not heard of for long; if that is nobody, the first.
    fn make_room(&mut self, now: Instant) {
        self.all.retain(|_, neighbour| {
            let is_known = neighbour
                .known
                .is_some_and(|(_, since)| now.since(since) < KNOWN);
            is_known || !neighbour.waiting.is_empty()
        });
        if self.all.len() >= MOST {
            self.all.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::data::Data;
    use smoltcp::wire::IpProtocol;

    const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
    const MAC: Mac = Mac([2, 0, 0, 0, 0, 2]);

    fn held() -> Held {
        let ends = (Ipv4Addr::new(10, 0, 0, 1), PEER);
        let packet = Packet::new(ends, IpProtocol::Udp, &[0; 8], Data::default());
        (packet, ActivityId(1))
    }

    #[test]
    fn a_packet_waits_for_the_answer_and_then_goes() {
        let mut neighbours = Neighbours::default();
        let way = neighbours.send(PEER, held(), Instant(0));
        assert!(way.to.is_none() && way.asks && way.dropped.is_none());
        let way = neighbours.send(PEER, held(), Instant(1));
        assert!(way.to.is_none() && !way.asks, "it was asked just now");
        assert!(neighbours.send(PEER, held(), Instant(INTERVAL)).asks);
        assert_eq!(
            neighbours.heard(PEER, MAC, false, Instant(INTERVAL)).len(),
            3
        );
        let way = neighbours.send(PEER, held(), Instant(INTERVAL + 1));
        assert_eq!(way.to.map(|(mac, _)| mac), Some(MAC));
        assert!(!way.asks);
        let later = Instant(INTERVAL + FRESH);
        let way = neighbours.send(PEER, held(), later);
        assert!(way.to.is_some() && way.asks, "it is doubted, and used");
        let way = neighbours.send(PEER, held(), Instant(INTERVAL + KNOWN));
        assert!(way.to.is_none() && way.asks, "it is not believed any more");
    }

    #[test]
    fn few_wait_and_few_are_entered() {
        let mut neighbours = Neighbours::default();
        for _ in 0..WAITING {
            assert!(neighbours.send(PEER, held(), Instant(0)).dropped.is_none());
        }
        assert!(neighbours.send(PEER, held(), Instant(0)).dropped.is_some());
        let other = Ipv4Addr::new(10, 0, 0, 3);
        assert!(neighbours.heard(other, MAC, false, Instant(0)).is_empty());
        assert!(!neighbours.all.contains_key(&other), "nobody asked for it");
        for number in 0..3000_u32 {
            neighbours.heard(Ipv4Addr::from_bits(number), MAC, true, Instant(0));
        }
        assert!(neighbours.all.len() <= MOST);
    }
}
