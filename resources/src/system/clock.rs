//! Cycles and nanoseconds.
//!
//! Key types: [`Clock`]. To tell the time takes one multiplication; what is divided for that is
//! divided once, when the clock is made.

/// What a cycle of the platform's clock is.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    hertz: u64,
    /// Nanoseconds of a cycle, in 2^-`shift`.
    multiplier: u64,
    shift: u32,
    epoch_ns: u64,
}

const SECOND_NS: u64 = 1_000_000_000;

impl Clock {
    /// A clock of `hertz` cycles in a second (at least 1) that was 0 at `epoch_ns` nanoseconds
    /// after the beginning of 1970.
    #[must_use]
    pub const fn new(hertz: u64, epoch_ns: u64) -> Self {
        let hertz = if hertz == 0 { 1 } else { hertz };
        // As many bits as there is room for. It ends: a second's nanoseconds are less than 2^64.
        let mut shift = 64;
        while ((SECOND_NS as u128) << shift) / hertz as u128 > u64::MAX as u128 {
            shift -= 1;
        }
        Self {
            hertz,
            multiplier: (((SECOND_NS as u128) << shift) / hertz as u128) as u64,
            shift,
            epoch_ns,
        }
    }

    /// Nanoseconds that so many cycles take, rounded down; what does not fit is the most there is.
    #[must_use]
    #[inline]
    pub fn nanoseconds(&self, cycles: u64) -> u64 {
        saturate((u128::from(cycles) * u128::from(self.multiplier)) >> self.shift)
    }

    /// Cycles in so many nanoseconds, rounded up: a sleep is not too short.
    #[must_use]
    pub fn cycles(&self, nanoseconds: u64) -> u64 {
        let product = u128::from(nanoseconds) * u128::from(self.hertz);
        saturate(product.div_ceil(SECOND_NS.into()))
    }

    /// The cycle at which `CLOCK_REALTIME` is so many nanoseconds; 0 if that was before the start.
    #[must_use]
    pub fn at_real_time(&self, nanoseconds: u64) -> u64 {
        self.cycles(nanoseconds.saturating_sub(self.epoch_ns))
    }

    /// `CLOCK_REALTIME` in nanoseconds at a cycle.
    #[must_use]
    #[inline]
    pub fn real_time(&self, cycle: u64) -> u64 {
        self.epoch_ns.saturating_add(self.nanoseconds(cycle))
    }
}

#[inline]
fn saturate(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::Clock;
    use proptest::prelude::*;

    #[test]
    fn whole_seconds_are_exact_to_the_nanosecond() {
        for hertz in [
            1,
            4_000_000,
            1_000_000_000,
            2_399_998_877,
            3_000_000_000,
            u64::MAX,
        ] {
            let clock = Clock::new(hertz, 0);
            for seconds in [1, 60, 86_400, 3_000_000] {
                let Some(cycles) = hertz.checked_mul(seconds) else {
                    continue;
                };
                let error = (seconds * 1_000_000_000).abs_diff(clock.nanoseconds(cycles));
                assert!(error <= 1, "{hertz} Hz, {seconds} s: {error} ns off");
            }
        }
    }

    proptest! {
        #[test]
        fn a_wait_is_neither_too_short_nor_too_long(
            hertz in 1u64..6_000_000_000,
            ns in 0u64..1 << 53,
        ) {
            let cycles = u128::from(Clock::new(hertz, 0).cycles(ns));
            let exact = u128::from(ns) * u128::from(hertz);
            prop_assert!(cycles * 1_000_000_000 >= exact);
            prop_assert!(cycles <= exact / 1_000_000_000 + 1);
        }

        #[test]
        fn time_does_not_go_back(
            hertz in 1u64..6_000_000_000,
            at in 0u64..1 << 60,
            more in 0u64..1000,
        ) {
            let clock = Clock::new(hertz, 7);
            prop_assert!(clock.nanoseconds(at) <= clock.nanoseconds(at + more));
            prop_assert_eq!(clock.real_time(at), clock.nanoseconds(at).saturating_add(7));
        }
    }

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
