//! A number that one core counts up and every core may read.

use core::sync::atomic::{AtomicU64, Ordering};

/// A counter with one writer and any number of readers.
///
/// Adding is a plain load, add and store, without a locked operation; reading is a plain load. A
/// reader sees some value the counter had, never goes back to an older one, and learns nothing
/// about other memory: counters that must fit together are [`published`](crate::published()).
///
/// One core writes. Additions of two cores at once are safe, but some may be lost; the same holds
/// for a core and its interrupt handlers. The count wraps at 2^64.
#[derive(Debug, Default)]
#[repr(transparent)]
// `core`'s atomic also under loom: a lone relaxed word has no order with others to explore.
pub struct Counter(AtomicU64);

impl Counter {
    /// A counter at zero.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds `n`. For the one writer.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.get().wrapping_add(n), Ordering::Relaxed);
    }

    /// Sets the value, for numbers that also fall, such as a queue's length. For the one writer.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value. For everyone.
    #[inline]
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Counter;

    #[test]
    fn counts_and_wraps() {
        let counter = Counter::new();
        counter.add(3);
        counter.add(4);
        assert_eq!(counter.get(), 7);
        counter.set(u64::MAX);
        counter.add(2);
        assert_eq!(counter.get(), 1);
    }
}
