//! A table that grows and never moves: what is in it is reached without a lock.
//!
//! Segments of 64, 128, 256 … entries, each made when the first entry of it is asked for. Meant for
//! numbers that are given out densely from 0.

use alloc::boxed::Box;

use spin::Once;

const FIRST_BITS: u32 = 6;
/// Enough for all of `u32`.
const SEGMENTS: usize = (u32::BITS - FIRST_BITS) as usize + 1;

pub(super) struct Growing<T> {
    segments: [Once<Box<[T]>>; SEGMENTS],
}

impl<T: Default> Growing<T> {
    pub(super) const fn new() -> Self {
        Self {
            segments: [const { Once::new() }; SEGMENTS],
        }
    }

    /// Segment and place in it.
    #[inline]
    const fn locate(index: u32) -> (usize, usize) {
        let shifted = index as u64 + (1 << FIRST_BITS);
        let bit = shifted.ilog2();
        ((bit - FIRST_BITS) as usize, (shifted - (1 << bit)) as usize)
    }

    /// The entry, if its segment has been made.
    #[inline]
    pub(super) fn get(&self, index: u32) -> Option<&T> {
        let (segment, place) = Self::locate(index);
        self.segments[segment].get().map(|entries| &entries[place])
    }

    /// The entry; made as the default if it was not there.
    #[inline]
    pub(super) fn entry(&self, index: u32) -> &T {
        let (segment, place) = Self::locate(index);
        let entries = self.segments[segment].call_once(|| {
            core::iter::repeat_with(T::default)
                .take(1 << (segment + FIRST_BITS as usize))
                .collect()
        });
        &entries[place]
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicU32, Ordering};

    use super::Growing;

    #[test]
    fn every_number_has_an_entry_of_its_own() {
        let table = Growing::<AtomicU32>::new();
        assert!(table.get(0).is_none());
        let numbers = [0, 1, 63, 64, 191, 192, 193, 5_000, 100_000];
        for number in numbers {
            table.entry(number).store(number + 1, Ordering::Relaxed);
        }
        for number in numbers {
            let found = table.get(number).expect("made above");
            assert_eq!(found.load(Ordering::Relaxed), number + 1);
        }
        assert_eq!(Growing::<u8>::locate(u32::MAX).0, super::SEGMENTS - 1);
    }
}
