//! The platform's cycles as Linux's times: nanoseconds since boot, and since 1970.
//!
//! Key types: [`Clock`]. One multiplication each way: nothing is divided after it is made.

/// Bits of the fixed-point factors' fractions.
const FRACTION: u32 = 56;

const SECOND_NS: u64 = 1_000_000_000;

/// Converts between cycles and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Nanoseconds of a cycle, in 2^-56.
    ns_per_cycle: u64,
    /// Whole cycles of a nanosecond, and the fraction in 2^-56.
    cycles_per_ns: (u64, u64),
    epoch_ns: u64,
}

impl Clock {
    /// For a counter of so many cycles in a second (taken as 4 MHz at least), whose 0 was
    /// `epoch_ns` after the beginning of 1970.
    #[must_use]
    pub fn new(hertz: u64, epoch_ns: u64) -> Self {
        let hertz = hertz.max(4_000_000);
        let fraction = ((u128::from(hertz % SECOND_NS)) << FRACTION).div_ceil(u128::from(SECOND_NS));
        Self {
            ns_per_cycle: low((u128::from(SECOND_NS) << FRACTION) / u128::from(hertz)),
            cycles_per_ns: (hertz / SECOND_NS, low(fraction)),
            epoch_ns,
        }
    }

    /// A time or a duration in nanoseconds, rounded down.
    #[must_use]
    #[inline]
    pub fn ns(&self, cycles: u64) -> u64 {
        low((u128::from(cycles) * u128::from(self.ns_per_cycle)) >> FRACTION)
    }

    /// A duration in cycles, rounded up, so that nobody waits too short; `u64::MAX` if it is longer
    /// than the counter can count.
    #[must_use]
    pub fn cycles(&self, ns: u64) -> u64 {
        let (whole, fraction) = self.cycles_per_ns;
        let fraction = (u128::from(ns) * u128::from(fraction)).div_ceil(1 << FRACTION);
        let cycles = u128::from(ns) * u128::from(whole) + fraction;
        u64::try_from(cycles).unwrap_or(u64::MAX)
    }

    /// Nanoseconds since 1970, of a time in cycles.
    #[must_use]
    #[inline]
    pub fn real_ns(&self, cycles: u64) -> u64 {
        self.epoch_ns.wrapping_add(self.ns(cycles))
    }

    /// When it was 1970, as a time in nanoseconds since the counter's 0, negated: what to subtract
    /// from a wall-clock time.
    #[must_use]
    pub const fn epoch_ns(&self) -> u64 {
        self.epoch_ns
    }
}

/// The low 64 bits: all, of what is computed here with counters that have not run for centuries.
#[inline]
const fn low(value: u128) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::Clock;
    use proptest::prelude::*;

    #[test]
    fn whole_seconds_are_exact_to_the_nanosecond() {
        for hertz in [4_000_000, 1_000_000_000, 2_399_998_877, 3_000_000_000, 5_100_000_001] {
            let clock = Clock::new(hertz, 0);
            for seconds in [1, 60, 86_400, 3_000_000] {
                let ns = clock.ns(hertz * seconds);
                let error = (seconds * 1_000_000_000).abs_diff(ns);
                assert!(error <= 1, "{hertz} Hz, {seconds} s: {error} ns off");
            }
        }
    }

    proptest! {
        #[test]
        fn a_wait_is_never_too_short(hertz in 4_000_000u64..6_000_000_000, ns in 0u64..1 << 53) {
            let clock = Clock::new(hertz, 0);
            let cycles = clock.cycles(ns);
            prop_assert!(u128::from(cycles) * 1_000_000_000 >= u128::from(ns) * u128::from(hertz));
            let exact = u128::from(ns) * u128::from(hertz) / 1_000_000_000;
            prop_assert!(u128::from(cycles) <= exact + 2, "{cycles} for {exact}");
        }

        #[test]
        fn time_does_not_go_back(hertz in 4_000_000u64..6_000_000_000, at in 0u64..1 << 60, more in 0u64..1000) {
            let clock = Clock::new(hertz, 7);
            prop_assert!(clock.ns(at) <= clock.ns(at + more));
            prop_assert_eq!(clock.real_ns(at), clock.ns(at) + 7);
        }
    }
}
