//! Work that only costs time.

use std::hint::black_box;
use std::num::NonZero;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// Rounds that are counted at once.
const ROUNDS: u64 = 10_000;

/// Spins until `end` is set, counting rounds into `done`.
pub fn spin(end: &AtomicBool, done: &AtomicU64) {
    spin_while(|| !end.load(Ordering::Relaxed), done);
}

/// Spins until some time, counting rounds into `done`.
pub fn spin_until(time: Instant, done: &AtomicU64) {
    spin_while(|| Instant::now() < time, done);
}

fn spin_while(go_on: impl Fn() -> bool, done: &AtomicU64) {
    let mut value = 1_u64;
    while go_on() {
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
