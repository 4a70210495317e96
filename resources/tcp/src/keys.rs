//! Secrets: initial sequence numbers (RFC 6528), the clocks of timestamps, the table's hash, and the
//! codes of SYN cookies. Each is a SipHash of what it is for, under a key that nobody else knows.

use core::hash::Hasher;
use core::net::Ipv4Addr;

use siphasher::sip::{SipHasher13, SipHasher24};

use crate::seq::Seq;
use crate::time::Instant;

/// A connection's name: its two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FourTuple {
    /// Our address and port.
    pub local: (Ipv4Addr, u16),
    /// The peer's.
    pub remote: (Ipv4Addr, u16),
}

/// What a hash is for: the same tuple gives unrelated values.
#[derive(Clone, Copy)]
enum Purpose {
    Initial = 1,
    Clock = 2,
    Table = 3,
    Cookie = 4,
}

/// The secrets of one machine. The key must be random, and new at every start.
#[derive(Clone)]
pub struct Keys {
    secrets: SipHasher24,
    /// Who cannot see a hash cannot find another with the same: fewer rounds do.
    table: SipHasher13,
}

impl core::fmt::Debug for Keys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// Secrets from a random key.
    #[must_use]
    pub fn new(key: [u8; 16]) -> Self {
        Self {
            secrets: SipHasher24::new_with_key(&key),
            table: SipHasher13::new_with_key(&key),
        }
    }

    /// An initial sequence number: RFC 6528's clock of 4 µs and a hash of the tuple, so that a
    /// tuple's numbers grow with time and say nothing of those of others.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the numbers wrap around")]
    pub fn initial(&self, tuple: &FourTuple, now: Instant) -> Seq {
        let hash = self.hash(Purpose::Initial, tuple, 0);
        Seq((hash as u32).wrapping_add((now.0 / 4) as u32))
    }

    /// Where a connection's clock starts.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "any 32 bits will do")]
    pub fn clock(&self, tuple: &FourTuple) -> u32 {
        self.hash(Purpose::Clock, tuple, 0) as u32
    }

    /// The hash that a table files a tuple under.
    pub(crate) fn table(&self, tuple: &FourTuple) -> u64 {
        hash(self.table, Purpose::Table, tuple, 0)
    }

    /// The code of a SYN cookie over a tuple and `more`.
    pub(crate) fn cookie(&self, tuple: &FourTuple, more: u64) -> u64 {
        self.hash(Purpose::Cookie, tuple, more)
    }

    fn hash(&self, purpose: Purpose, tuple: &FourTuple, more: u64) -> u64 {
        hash(self.secrets, purpose, tuple, more)
    }
}

/// By words: what SipHash mixes in at once.
fn hash(mut hasher: impl Hasher, purpose: Purpose, tuple: &FourTuple, more: u64) -> u64 {
    let FourTuple { local, remote } = tuple;
    let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    let ports = u32::from(local.1) << 16 | u32::from(remote.1);
    hasher.write_u64(pair(local.0.to_bits(), remote.0.to_bits()));
    hasher.write_u64(pair(ports, purpose as u32));
    hasher.write_u64(more);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SECOND;

    fn tuple(port: u16) -> FourTuple {
        FourTuple {
            local: (Ipv4Addr::new(10, 0, 0, 1), 80),
            remote: (Ipv4Addr::new(10, 0, 0, 2), port),
        }
    }

    #[test]
    fn numbers_grow_with_time_and_differ_by_tuple_and_key() {
        let keys = Keys::new([1; 16]);
        let first = keys.initial(&tuple(1), Instant(0));
        assert_eq!(
            keys.initial(&tuple(1), Instant(SECOND)).since(first),
            250_000
        );
        assert_ne!(keys.initial(&tuple(2), Instant(0)), first);
        assert_ne!(Keys::new([2; 16]).initial(&tuple(1), Instant(0)), first);
        assert_ne!(keys.clock(&tuple(1)), first.0);
    }
}
