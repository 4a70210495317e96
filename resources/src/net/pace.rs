//! The rate of an interface's link, where that is less than what its device takes.
//!
//! Key type: [`Pace`].
//!
//! A device that is faster than what is behind it (a switch, a provider's line, an emulator that
//! drops what it cannot pass on) never holds anybody back: what waits, waits behind it, where no
//! scheduler chooses, or is lost. So the configuration can say what the link carries, and no more is
//! given to the device: a token bucket, whose tokens are bytes.

/// So many nanoseconds' worth of what the link carries may be made up for at once, after nobody had
/// anything to send, or whoever had was late.
const DEPTH_NS: u64 = 20_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// The bytes that may go, at a rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    bits_per_second: u64,
    /// Until when the link is busy with what was given to the device, in nanoseconds.
    busy_until_ns: u64,
}

impl Pace {
    /// So many bits in a second, more than none.
    pub(super) const fn new(bits_per_second: u64) -> Self {
        Self {
            bits_per_second,
            busy_until_ns: 0,
        }
    }

    /// When the next frame may go: now, or later.
    pub(super) const fn next_ns(&self) -> u64 {
        self.busy_until_ns
    }

    /// A frame of so many bytes on the link was given to the device.
    pub(super) fn give(&mut self, bytes: u64, now_ns: u64) {
        let time = u128::from(bytes) * u128::from(8 * SECOND_NS);
        let time = time / u128::from(self.bits_per_second.max(1));
        let from = self.busy_until_ns.max(now_ns.saturating_sub(DEPTH_NS));
        let until = u128::from(from) + time;
        self.busy_until_ns = u64::try_from(until).unwrap_or(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes in a second of somebody who always has a frame, and comes so late after it may go.
    fn rate(bits_per_second: u64, frame: u64, late_ns: u64) -> u64 {
        let (mut pace, mut now, mut bytes) = (Pace::new(bits_per_second), SECOND_NS, 0);
        let mut first = 0;
        while now < 3 * SECOND_NS {
            while pace.next_ns() <= now {
                pace.give(frame, now);
                bytes += frame;
            }
            if now < 2 * SECOND_NS {
                first = bytes;
            }
            now = pace.next_ns() + late_ns;
        }
        bytes - first
    }

    #[test]
    fn the_rate_is_kept_however_late_somebody_comes() {
        for bits in [1_000_000, 100_000_000, 10_000_000_000] {
            for frame in [1514, 65_550] {
                for late_us in [0, 100, 5000] {
                    let rate = rate(bits, frame, late_us * 1000);
                    // What is given a little before or after the second, and what is made up for.
                    let off = frame + bits / 8 / 100;
                    let case = (bits, frame, late_us);
                    assert!(rate.abs_diff(bits / 8) <= off, "{case:?}: {rate}");
                }
            }
        }
    }

    #[test]
    fn little_is_saved_up() {
        let mut pace = Pace::new(8_000_000_000);
        let (now, mut bytes) = (100 * SECOND_NS, 0);
        while pace.next_ns() <= now {
            pace.give(1000, now);
            bytes += 1000;
        }
        assert_eq!(bytes, 20_000_000 + 1000);
        pace.give(u64::MAX, u64::MAX);
        assert_eq!(pace.next_ns(), u64::MAX);
    }
}
