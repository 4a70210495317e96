//! A set of cores that changes under all cores' eyes.
//!
//! Key types: [`CoreSet`], and [`Snapshot`], what it was at one moment.
//!
//! Invariant: all operations are sequentially consistent, so that of two cores of which each
//! first writes something and then looks at what the other wrote, at least one sees the other.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::cores::{CoreIndex, MAX_CORES};

const WORDS: usize = MAX_CORES / 64;

/// A set of cores, empty at first.
#[derive(Debug, Default)]
pub(crate) struct CoreSet([AtomicU64; WORDS]);

/// The cores that were in a [`CoreSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot([u64; WORDS]);

impl CoreSet {
    /// Puts `core` in.
    pub(crate) fn insert(&self, core: CoreIndex) {
        let (word, bit) = place(core);
        self.0[word].fetch_or(bit, Ordering::SeqCst);
    }

    /// Takes `core` out.
    pub(crate) fn remove(&self, core: CoreIndex) {
        let (word, bit) = place(core);
        self.0[word].fetch_and(!bit, Ordering::SeqCst);
    }

    /// Who is in it now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot(core::array::from_fn(|word| {
            self.0[word].load(Ordering::SeqCst)
        }))
    }
}

impl Snapshot {
    /// All cores there can be.
    pub(crate) const ALL: Self = Self([u64::MAX; WORDS]);

    /// Whether `core` is in it.
    pub(crate) fn contains(&self, core: CoreIndex) -> bool {
        let (word, bit) = place(core);
        self.0[word] & bit != 0
    }
}

/// The word and the bit of a core.
fn place(core: CoreIndex) -> (usize, u64) {
    let index = core.as_usize();
    (index / 64, 1 << (index % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_exactly_what_was_put_in() {
        let core = |index| CoreIndex::new(index).expect("there can be such a core");
        let set = CoreSet::default();
        for index in [0, 63, 64, 255] {
            set.insert(core(index));
        }
        let before = set.snapshot();
        set.remove(core(63));
        let after = set.snapshot();
        for index in 0..MAX_CORES {
            let inserted = [0, 63, 64, 255].contains(&index);
            assert_eq!(before.contains(core(index)), inserted);
            assert_eq!(after.contains(core(index)), inserted && index != 63);
            assert!(Snapshot::ALL.contains(core(index)));
        }
    }
}
