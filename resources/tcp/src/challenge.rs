//! A limit on acknowledgments that answer segments which should not be (RFC 5961, sections 5 and
//! 7): a peer or a forger gets few of them, and two confused peers no storm.

use crate::time::{Instant, MILLISECOND, Micros};

/// A bucket of tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limiter {
    tokens: u16,
    since: Instant,
    burst: u16,
    interval: Micros,
}

impl Limiter {
    /// For one connection: ten in a row, and two a second.
    pub(crate) fn of_connection(now: Instant) -> Self {
        Self::new(10, 500 * MILLISECOND, now)
    }

    /// So many in a row, and one each interval after that.
    pub(crate) fn new(burst: u16, interval: Micros, now: Instant) -> Self {
        Self {
            tokens: burst,
            since: now,
            burst,
            interval,
        }
    }

    /// Whether one more may be sent.
    #[must_use]
    pub(crate) fn allow(&mut self, now: Instant) -> bool {
        let earned = now.since(self.since) / self.interval;
        if earned > 0 {
            let earned = u16::try_from(earned).unwrap_or(u16::MAX);
            self.tokens = self.tokens.saturating_add(earned).min(self.burst);
            self.since = now;
        }
        let allowed = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_two_a_second() {
        let mut limiter = Limiter::of_connection(Instant(0));
        let allowed = (0..100).filter(|_| limiter.allow(Instant(0))).count();
        assert_eq!(allowed, 10);
        let allowed = (1..=100)
            .filter(|&tenth| limiter.allow(Instant(tenth * 100_000)))
            .count();
        assert_eq!(allowed, 20);
    }
}
