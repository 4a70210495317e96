//! Answers to what is for nobody: few, for the infrastructure pays for them (RFC 1812, section 4.3.2.8).
//!
//! Key type: [`Refusals`]. As on Linux, all machines together get so many in a second, and each of them
//! one in a second after some at once; this machine itself gets all.
//!
//! Those that were answered of late are in a table of fixed size; who is pushed out of it by another
//! begins anew, which the limit for all together bounds.

use alloc::boxed::Box;
use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicU64, Ordering};

use vortex_tcp::{Instant, SECOND};

/// Answers in a second, at most.
const ALL: u64 = 1000;
/// From one answer to the same machine to the next, in the long run, in milliseconds; and how many it
/// gets at once.
const INTERVAL_MS: u32 = 1000;
const AT_ONCE: u32 = 6;
/// Machines that are remembered.
const PEERS: usize = 256;

/// How many answers there were, and to whom.
#[derive(Debug)]
pub(super) struct Refusals {
    /// The second, and the answers in it.
    all: AtomicU64,
    /// By a hash of the address: the address, and below it until when what it got would have lasted at
    /// one for each interval, in milliseconds.
    peers: Box<[AtomicU64; PEERS]>,
}

impl Refusals {
    pub(super) fn new() -> Self {
        Self {
            all: AtomicU64::new(0),
            peers: Box::new([const { AtomicU64::new(0) }; PEERS]),
        }
    }

    /// Whether [`Self::take_for`] would say yes.
    pub(super) fn is_left_for(&self, peer: Ipv4Addr, now: Instant) -> bool {
        let all = self.all.load(Ordering::Relaxed);
        let one = self.peer(peer).load(Ordering::Relaxed);
        one_more(all, now).is_some() && one_more_for(one, peer, now).is_some()
    }

    /// Whether one more answer may be given, to this machine.
    pub(super) fn take_for(&self, peer: Ipv4Addr, now: Instant) -> bool {
        let step = |old| one_more_for(old, peer, now);
        let taken = self
            .peer(peer)
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        taken.is_ok() && self.take(now)
    }

    /// Whether one more answer may be given, to whomever.
    pub(super) fn take(&self, now: Instant) -> bool {
        let step = |old| one_more(old, now);
        let taken = self
            .all
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        taken.is_ok()
    }

    fn peer(&self, peer: Ipv4Addr) -> &AtomicU64 {
        let mixed = peer.to_bits().wrapping_mul(0x9e37_79b1) >> 24;
        &self.peers[mixed as usize % PEERS]
    }
}

/// The second and the answers in it with one more; `None` if there are enough.
fn one_more(old: u64, now: Instant) -> Option<u64> {
    let second = now.0 / SECOND;
    let (then, count) = (old >> 16, old & 0xffff);
    match then == second & 0xffff_ffff_ffff {
        true if count >= ALL => None,
        true => Some(old + 1),
        false => Some(second << 16 | 1),
    }
}

/// What is remembered of a machine with one answer more; `None` if it has got enough.
fn one_more_for(old: u64, peer: Ipv4Addr, now: Instant) -> Option<u64> {
    // It wraps, as what is remembered does.
    let now_ms = (now.0 / 1000) as u32;
    let most = AT_ONCE * INTERVAL_MS;
    // What is further ahead than can be is in the past.
    let ahead = (old as u32).wrapping_sub(now_ms);
    let counts = (old >> 32) as u32 == peer.to_bits() && ahead <= most;
    let ahead = if counts { ahead } else { 0 } + INTERVAL_MS;
    let until = now_ms.wrapping_add(ahead);
    (ahead <= most).then(|| u64::from(peer.to_bits()) << 32 | u64::from(until))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    /// Answers to one machine that asks all the time, for so many seconds.
    fn answers(refusals: &Refusals, peer: Ipv4Addr, from: u64, seconds: u64) -> usize {
        let times = (from * 1000..(from + seconds) * 1000).map(|ms| Instant(ms * 1000));
        times
            .filter(|now| {
                let left = refusals.is_left_for(peer, *now);
                let taken = refusals.take_for(peer, *now);
                assert_eq!(left, taken);
                taken
            })
            .count()
    }

    #[test]
    fn a_machine_gets_some_at_once_and_then_one_a_second() {
        let refusals = Refusals::new();
        assert_eq!(answers(&refusals, PEER, 1, 10), 6 + 9);
        // Some at once again after it was quiet.
        assert_eq!(answers(&refusals, PEER, 100, 1), 6);
        // Also where the milliseconds of 32 bits end.
        let end = (u64::from(u32::MAX) + 1) / 1000;
        assert_eq!(answers(&refusals, PEER, end - 5, 10), 6 + 9);
    }

    #[test]
    fn all_together_get_so_many_in_a_second() {
        let refusals = Refusals::new();
        let peers = (0..5000_u32).map(|number| Ipv4Addr::from(0x0a00_0000 | number));
        let given = peers.filter(|peer| refusals.take_for(*peer, Instant(7 * SECOND)));
        assert_eq!(given.count() as u64, ALL);
        assert!(!refusals.take(Instant(7 * SECOND + 1)));
        assert!(refusals.take(Instant(8 * SECOND)));
    }
}
