//! Cycles and nanoseconds.

/// What a cycle of the platform's clock is.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    hertz: u64,
    epoch_ns: u64,
}

impl Clock {
    /// A clock of `hertz` cycles in a second (at least 1) that was 0 at `epoch_ns` nanoseconds
    /// after the beginning of 1970.
    #[must_use]
    pub const fn new(hertz: u64, epoch_ns: u64) -> Self {
        let hertz = if hertz == 0 { 1 } else { hertz };
        Self { hertz, epoch_ns }
    }

    /// Nanoseconds that so many cycles take, rounded down; what does not fit is the most there is.
    #[must_use]
    pub fn nanoseconds(&self, cycles: u64) -> u64 {
        convert(cycles, 1_000_000_000, self.hertz)
    }

    /// Cycles in so many nanoseconds, rounded up: a sleep is not too short.
    #[must_use]
    pub fn cycles(&self, nanoseconds: u64) -> u64 {
        let product = u128::from(nanoseconds) * u128::from(self.hertz);
        u64::try_from(product.div_ceil(1_000_000_000)).unwrap_or(u64::MAX)
    }

    /// The cycle at which `CLOCK_REALTIME` is so many nanoseconds; 0 if that was before the start.
    #[must_use]
    pub fn at_real_time(&self, nanoseconds: u64) -> u64 {
        self.cycles(nanoseconds.saturating_sub(self.epoch_ns))
    }

    /// `CLOCK_REALTIME` in nanoseconds at a cycle.
    #[must_use]
    pub fn real_time(&self, cycle: u64) -> u64 {
        self.epoch_ns.saturating_add(self.nanoseconds(cycle))
    }
}

fn convert(value: u64, numerator: u64, denominator: u64) -> u64 {
    let scaled = u128::from(value) * u128::from(numerator) / u128::from(denominator);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::Clock;

    #[test]
    fn there_and_back() {
        for hertz in [1, 999, 1_000_000_000, 2_494_140_123, 5_000_000_000] {
            let clock = Clock::new(hertz, 7);
            for ns in [0, 1, 999, 1_000_000_000, 86_400_000_000_000] {
                let cycles = clock.cycles(ns);
                assert!(clock.nanoseconds(cycles) >= ns.saturating_sub(1));
                assert!(clock.cycles(clock.nanoseconds(cycles)) <= cycles);
            }
        }
    }

    #[test]
    fn extremes_do_not_wrap() {
        let clock = Clock::new(1, u64::MAX);
        assert_eq!(clock.nanoseconds(u64::MAX), u64::MAX);
        assert_eq!(clock.real_time(5), u64::MAX);
        assert_eq!(clock.at_real_time(3), 0);
        assert_eq!(Clock::new(u64::MAX, 0).cycles(u64::MAX), u64::MAX);
    }
}
