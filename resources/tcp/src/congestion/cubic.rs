//! CUBIC's congestion avoidance (RFC 9438) in integers.
//!
//! The window follows W(t) = C · (t − K)³ + `W_max`, with C = 0.4 segments/s³, `W_max` the window at
//! the last loss and K the time to get back to it, but grows no slower than a NewReno that reduces
//! by β = 0.7 too. Windows are in bytes, times in milliseconds, so C · t³ in bytes is
//! 4 · mss · t³ / 10¹⁰.

use super::Acked;
use crate::time::{Instant, MILLISECOND};

/// Differences of time are cut here, so that the cube fits: 10⁶ ms are 17 minutes.
const LONGEST: u64 = 1_000_000;

/// The curve since the last loss.
#[derive(Clone, Debug)]
struct Epoch {
    start: Instant,
    /// K, in milliseconds.
    k: u64,
    /// The window at the plateau.
    origin: u64,
    /// What NewReno would have (`W_est`), in bytes.
    estimate: u64,
    /// Numerator of what it has beyond that.
    estimate_credit: u64,
    /// Numerator of what the window has beyond its bytes.
    credit: u64,
}

/// CUBIC's state.
#[derive(Clone, Debug, Default)]
pub(super) struct Cubic {
    /// `W_max`, after fast convergence.
    largest: u64,
    /// The window just before the last loss.
    prior: u64,
    epoch: Option<Epoch>,
    /// Since when the window does not hold the sender back.
    paused: Option<Instant>,
}

impl Cubic {
    /// The window does not hold the sender back: the clock stands still.
    pub(super) fn pause(&mut self, now: Instant) {
        self.paused.get_or_insert(now);
    }

    /// The sender was idle for long.
    pub(super) fn restart(&mut self) {
        self.epoch = None;
        self.paused = None;
    }

    /// How much larger the window becomes (sections 4.2 to 4.5).
    pub(super) fn growth(&mut self, acked: Acked) -> u32 {
        let (window, mss) = (u64::from(acked.window.max(1)), u64::from(acked.mss));
        let paused = self.paused.take();
        let largest = self.largest;
        let epoch = self
            .epoch
            .get_or_insert_with(|| Epoch::new(acked.now, window, largest, mss));
        if let Some(since) = paused {
            epoch.start = epoch.start + acked.now.since(since.max(epoch.start));
        }
        let bytes = u64::from(acked.bytes);
        epoch.follow_newreno(bytes, window, mss, window >= self.prior);
        let elapsed = acked.now.since(epoch.start);
        if epoch.window(elapsed, mss) < epoch.estimate {
            return narrow(epoch.estimate.saturating_sub(window));
        }
        let target = epoch
            .window(elapsed + acked.rtt, mss)
            .clamp(window, window + window / 2);
        epoch.credit += (target - window) * bytes;
        let growth = epoch.credit / window;
        epoch.credit %= window;
        narrow(growth)
    }

    /// The window after a loss (sections 4.6 and 4.7).
    pub(super) fn reduced(&mut self, window: u32) -> u32 {
        let bytes = u64::from(window);
        // Fast convergence: a window that is smaller than the last time leaves room for others.
        self.largest = if bytes < self.largest {
            bytes * 17 / 20
        } else {
            bytes
        };
        self.prior = bytes;
        self.restart();
        narrow(bytes * 7 / 10)
    }
}

impl Epoch {
    fn new(start: Instant, window: u64, largest: u64, mss: u64) -> Self {
        let origin = largest.max(window);
        // K³ = (W_max − cwnd) / C
        let k = cube_root((origin - window) * 2_500_000_000 / mss.max(1));
        Self {
            start,
            k,
            origin,
            estimate: window,
            estimate_credit: 0,
            credit: 0,
        }
    }

    /// The curve, `elapsed` microseconds after its start.
    fn window(&self, elapsed: u64, mss: u64) -> u64 {
        let elapsed = (elapsed / MILLISECOND).min(LONGEST);
        let distance = elapsed.abs_diff(self.k.min(LONGEST));
        let difference = u128::from(distance).pow(3) * u128::from(mss) * 4 / 10_000_000_000;
        let difference = u64::try_from(difference).unwrap_or(u64::MAX);
        if elapsed < self.k {
            self.origin.saturating_sub(difference)
        } else {
            self.origin.saturating_add(difference)
        }
    }

    /// Lets NewReno's window grow: by α segments per window, where α = 3 · (1 − β) / (1 + β) = 9/17,
    /// and 1 once it is past the window before the loss (section 4.3).
    fn follow_newreno(&mut self, bytes: u64, window: u64, mss: u64, is_past: bool) {
        let nine = if is_past { 17 } else { 9 };
        self.estimate_credit += nine * bytes * mss;
        let divisor = 17 * window;
        self.estimate += self.estimate_credit / divisor;
        self.estimate_credit %= divisor;
    }
}

fn narrow(bytes: u64) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX).min(super::MOST)
}

/// The largest integer whose cube is at most `value`.
fn cube_root(value: u64) -> u64 {
    let (mut low, mut high) = (0, 2_642_245);
    while low < high {
        let middle = u64::midpoint(low, high + 1);
        if middle * middle * middle <= value {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SECOND;

    #[test]
    fn cube_roots_are_exact() {
        for root in [0_u64, 1, 2, 99, 4096, 2_642_245] {
            let cube = root.pow(3);
            assert_eq!(cube_root(cube), root);
            assert_eq!(cube_root(cube.saturating_sub(1)), root.saturating_sub(1));
        }
        assert_eq!(cube_root(u64::MAX), 2_642_245);
    }

    #[test]
    fn the_curve_is_back_at_the_old_window_after_k() {
        // 100 segments, reduced to 70: K = ∛(30 / 0.4) = 4.217 s.
        let epoch = Epoch::new(Instant(0), 70_000, 100_000, 1000);
        assert_eq!(epoch.k, 4217);
        assert!((69_900..=70_100).contains(&epoch.window(0, 1000)));
        assert_eq!(epoch.window(4217 * MILLISECOND, 1000), 100_000);
        // Two seconds later it is 0.4 · 2³ = 3.2 segments above.
        assert_eq!(epoch.window(6217 * MILLISECOND, 1000), 103_200);
        assert!(
            epoch.window(1_000_000 * SECOND, 65_535) > 1 << 40,
            "no overflow"
        );
    }

    #[test]
    fn on_a_short_path_it_grows_as_newreno_does() {
        let mut cubic = Cubic::default();
        let mut window = cubic.reduced(100_000);
        assert_eq!(window, 70_000);
        // Ten round trips of 1 ms: α · 10 = 5.3 segments.
        for now in 0..10 {
            let acked = Acked {
                now: Instant(now * 1000),
                bytes: window,
                window,
                mss: 1000,
                rtt: 1000,
            };
            window += cubic.growth(acked);
        }
        assert!((75_000..=75_600).contains(&window), "{window}");
    }
}
