//! Work that only costs time.

use std::hint::black_box;
use std::num::NonZero;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Rounds that are counted at once.
const ROUNDS: u64 = 10_000;

/// Spins until `end` is set, counting rounds into `done`.
pub fn spin(end: &AtomicBool, done: &AtomicU64) {
    let mut value = 1_u64;
    while !end.load(Ordering::Relaxed) {
        for _ in 0..ROUNDS {
            value = black_box(
                value
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1),
            );
        }
        done.fetch_add(ROUNDS, Ordering::Relaxed);
    }
}

/// The number of cores that this process could use when it first asked; 1 if that cannot be told.
#[must_use]
pub fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, NonZero::get))
}
