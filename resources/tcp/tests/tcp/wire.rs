//! A wire between two sides, in virtual time: rate, delay, a queue that overflows, loss and
//! reordering from a seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;
use vortex_tcp::Instant;

/// One end of one flow.
pub(crate) trait Peer {
    fn receive(&mut self, packet: Vec<u8>, now: Instant);
    /// Puts what is to be sent into `out`.
    fn poll(&mut self, now: Instant, out: &mut Vec<Vec<u8>>);
    fn deadline(&mut self, now: Instant) -> Option<Instant>;
}

/// A peer that is looked at afterwards.
impl<P: Peer> Peer for &mut P {
    fn receive(&mut self, packet: Vec<u8>, now: Instant) {
        (**self).receive(packet, now);
    }

    fn poll(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
        (**self).poll(now, out);
    }

    fn deadline(&mut self, now: Instant) -> Option<Instant> {
        (**self).deadline(now)
    }
}

/// What the wire does to packets, in both directions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    /// Of a million packets so many are lost.
    pub(crate) loss: u32,
    /// Of a million packets so many are late by up to half a round trip.
    pub(crate) reorder: u32,
    /// Of a million packets so many take no time at all, and overtake those on their way.
    pub(crate) overtake: u32,
    /// Of a million packets so many come twice.
    pub(crate) duplicate: u32,
}

impl Faults {
    pub(crate) const NONE: Self = Self {
        loss: 0,
        reorder: 0,
        overtake: 0,
        duplicate: 0,
    };
    pub(crate) const fn loss(loss: u32) -> Self {
        Self { loss, ..Self::NONE }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    /// Megabits per second.
    pub(crate) rate: u64,
    /// One way, in microseconds.
    pub(crate) delay: u64,
    /// Bytes that wait for the wire.
    pub(crate) queue: u64,
    /// What happens to packets with data, and to those without.
    pub(crate) faults: [Faults; 2],
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Arrival {
    at_ns: u64,
    number: u64,
    flow: usize,
    side: usize,
    packet: Vec<u8>,
}

pub(crate) struct Wire {
    link: Link,
    random: Rng,
    /// When each direction is free again, in nanoseconds.
    free_ns: [u64; 2],
    arrivals: BinaryHeap<Reverse<Arrival>>,
    number: u64,
    now_ns: u64,
    pub(crate) dropped: u64,
}

impl Wire {
    pub(crate) fn new(link: Link, seed: u64) -> Self {
        Self {
            link,
            random: Rng::with_seed(seed),
            free_ns: [0; 2],
            arrivals: BinaryHeap::new(),
            number: 0,
            now_ns: 0,
            dropped: 0,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant(self.now_ns / 1000)
    }

    fn happens(&mut self, in_a_million: u32) -> bool {
        in_a_million > 0 && self.random.u32(..1_000_000) < in_a_million
    }

    fn send(&mut self, flow: usize, side: usize, packet: Vec<u8>) {
        let faults = self.link.faults[usize::from(packet.len() < 100)];
        let waiting = self.free_ns[side].saturating_sub(self.now_ns) * self.link.rate / 8000;
        if waiting + packet.len() as u64 > self.link.queue {
            self.dropped += 1;
            return;
        }
        let start = self.free_ns[side].max(self.now_ns);
        self.free_ns[side] = start + packet.len() as u64 * 8000 / self.link.rate;
        if self.happens(faults.loss) {
            self.dropped += 1;
            return;
        }
        let late = if self.happens(faults.reorder) {
            self.random.u64(..=self.link.delay)
        } else {
            0
        };
        let delay = if self.happens(faults.overtake) {
            0
        } else {
            self.link.delay + late
        };
        let at_ns = self.free_ns[side] + delay * 1000;
        if self.happens(faults.duplicate) {
            self.arrive(at_ns + 1000, flow, 1 - side, packet.clone());
        }
        self.arrive(at_ns, flow, 1 - side, packet);
    }

    fn arrive(&mut self, at_ns: u64, flow: usize, side: usize, packet: Vec<u8>) {
        self.number += 1;
        self.arrivals.push(Reverse(Arrival {
            at_ns,
            number: self.number,
            flow,
            side,
            packet,
        }));
    }

    /// Runs all flows until `end`, or until nothing happens any more.
    pub(crate) fn run(&mut self, flows: &mut [[Box<dyn Peer + '_>; 2]], end: Instant) {
        let mut deadlines = vec![[Some(self.now()); 2]; flows.len()];
        let mut out = Vec::new();
        loop {
            let timer = deadlines
                .iter()
                .flatten()
                .flatten()
                .min()
                .map(|at| at.0.saturating_mul(1000));
            let arrival = self.arrivals.peek().map(|arrival| arrival.0.at_ns);
            let Some(next) = timer.into_iter().chain(arrival).min() else {
                return;
            };
            if next > end.0.saturating_mul(1000) {
                self.now_ns = end.0 * 1000;
                return;
            }
            self.now_ns = self.now_ns.max(next);
            let now = self.now();
            let mut touched = Vec::new();
            while let Some(Reverse(arrival)) = self.arrivals.peek()
                && arrival.at_ns <= self.now_ns
            {
                let Some(Reverse(Arrival {
                    flow, side, packet, ..
                })) = self.arrivals.pop()
                else {
                    break;
                };
                flows[flow][side].receive(packet, now);
                touched.push((flow, side));
            }
            for (flow, sides) in deadlines.iter().enumerate() {
                for (side, at) in sides.iter().enumerate() {
                    if at.is_some_and(|at| at <= now) {
                        touched.push((flow, side));
                    }
                }
            }
            for (flow, side) in touched {
                let peer = &mut flows[flow][side];
                peer.poll(now, &mut out);
                deadlines[flow][side] = peer.deadline(now);
                for packet in out.drain(..) {
                    self.send(flow, side, packet);
                }
            }
        }
    }
}
