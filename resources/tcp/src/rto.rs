//! The retransmission timeout (RFC 6298), and the smallest round trip of late, which RACK wants.
//!
//! All in microseconds and integers: `smoothed` is in eighths and `variance` in quarters.

use crate::config::Config;
use crate::time::{Instant, Micros, SECOND};

/// How long a smallest round trip counts.
const MINIMUM_LASTS: Micros = 10 * SECOND;

/// Estimates of the round-trip time.
#[derive(Clone, Debug)]
pub(crate) struct RoundTrip {
    smoothed_eighths: u64,
    variance_quarters: u64,
    has_sample: bool,
    initial: Micros,
    least: Micros,
    most: Micros,
    /// The timeout doubles so many times.
    backoff: u8,
    minimum: Micros,
    minimum_since: Instant,
}

impl RoundTrip {
    /// No measurement yet.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            smoothed_eighths: 0,
            variance_quarters: 0,
            has_sample: false,
            initial: config.initial_rto,
            least: config.min_rto,
            most: config.max_rto.max(config.min_rto),
            backoff: 0,
            minimum: 0,
            minimum_since: Instant::default(),
        }
    }

    /// A segment that was sent once took `rtt` to be acknowledged.
    pub(crate) fn sample(&mut self, now: Instant, rtt: Micros) {
        let rtt = rtt.max(1);
        if self.has_sample {
            let deviation = (self.smoothed_eighths / 8).abs_diff(rtt);
            self.variance_quarters =
                self.variance_quarters - self.variance_quarters / 4 + deviation;
            self.smoothed_eighths = self.smoothed_eighths - self.smoothed_eighths / 8 + rtt;
        } else {
            self.smoothed_eighths = rtt * 8;
            self.variance_quarters = rtt * 2;
        }
        if !self.has_sample || rtt <= self.minimum || now.since(self.minimum_since) > MINIMUM_LASTS
        {
            self.minimum = rtt;
            self.minimum_since = now;
        }
        self.has_sample = true;
        self.backoff = 0;
    }

    /// The smoothed round-trip time, once there is a sample.
    pub(crate) fn smoothed(&self) -> Option<Micros> {
        self.has_sample
            .then_some((self.smoothed_eighths / 8).max(1))
    }

    /// The smallest of the last seconds, once there is a sample.
    pub(crate) fn minimum(&self) -> Option<Micros> {
        self.has_sample.then_some(self.minimum)
    }

    /// The timeout, with backoff.
    pub(crate) fn timeout(&self) -> Micros {
        let timeout = if self.has_sample {
            self.smoothed_eighths / 8 + self.variance_quarters.max(1)
        } else {
            self.initial
        };
        let timeout = timeout.clamp(self.least, self.most);
        timeout.saturating_mul(1 << self.backoff).min(self.most)
    }

    /// The timeout has passed: the next one is twice as long.
    pub(crate) fn back_off(&mut self) {
        self.backoff = (self.backoff + 1).min(16);
    }

    /// An acknowledgment shows that the path works, though nothing was measured.
    pub(crate) fn path_works(&mut self) {
        self.backoff = 0;
    }

    /// SYN was lost: the first timeout for data is at least 3 s (RFC 6298, section 5.7).
    pub(crate) fn handshake_timed_out(&mut self) {
        if !self.has_sample {
            self.initial = self.initial.max(3 * SECOND);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::MILLISECOND;

    #[test]
    fn the_timeout_follows_the_rfc() {
        let config = Config {
            min_rto: 1000,
            ..Config::default()
        };
        let mut rtt = RoundTrip::new(&config);
        assert_eq!(rtt.timeout(), SECOND);
        rtt.sample(Instant(0), 100 * MILLISECOND);
        assert_eq!(rtt.timeout(), 300 * MILLISECOND, "SRTT + 4 · RTT / 2");
        rtt.sample(Instant(0), 100 * MILLISECOND);
        assert_eq!(rtt.timeout(), 250 * MILLISECOND, "a quarter less variance");
        rtt.back_off();
        rtt.back_off();
        assert_eq!(rtt.timeout(), 1000 * MILLISECOND);
        (0..100).for_each(|_| rtt.back_off());
        assert_eq!(rtt.timeout(), config.max_rto);
        rtt.sample(Instant(0), 100 * MILLISECOND);
        assert!(
            rtt.timeout() < 250 * MILLISECOND,
            "a sample ends the backoff"
        );
    }

    #[test]
    fn the_timeout_has_a_floor() {
        let mut rtt = RoundTrip::new(&Config::default());
        (0..50).for_each(|_| rtt.sample(Instant(0), 10));
        assert_eq!(rtt.timeout(), 200 * MILLISECOND);
        assert_eq!(rtt.minimum(), Some(10));
        rtt.sample(Instant(11 * SECOND), 30);
        assert_eq!(rtt.minimum(), Some(30), "an old minimum does not count");
    }
}
