//! Sources that have something to say, at most once each until somebody listens.

use crate::sync::{AtomicU64, Ordering};

/// A mark for each of 256 sources, such as the vectors of interrupts.
///
/// Who marks a source that is not marked yet sends word of it; whoever gets that word takes the mark
/// away ([`Self::take`]) and only then looks what the source has to say. So of each source at most one
/// word is on its way, and nothing is missed: what was there before a mark that was found set is there
/// for who takes that mark away.
#[derive(Debug)]
pub struct Marks([AtomicU64; 4]);

impl Default for Marks {
    fn default() -> Self {
        Self([0; 4].map(AtomicU64::new))
    }
}

impl Marks {
    /// None is marked.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; 4])
    }

    fn place(&self, source: u8) -> (&AtomicU64, u64) {
        (&self.0[usize::from(source / 64)], 1 << (source % 64))
    }

    /// Marks a source. True if it was not marked: then word of it is to be sent. One locked operation.
    #[inline]
    #[must_use]
    pub fn set(&self, source: u8) -> bool {
        let (word, bit) = self.place(source);
        word.fetch_or(bit, Ordering::AcqRel) & bit == 0
    }

    /// Takes a source's mark away; to be called before the source is looked at. One locked operation.
    #[inline]
    pub fn take(&self, source: u8) {
        let (word, bit) = self.place(source);
        word.fetch_and(!bit, Ordering::AcqRel);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Marks;

    #[test]
    fn each_source_is_marked_by_itself() {
        let marks = Marks::new();
        for source in 0..=255 {
            assert!(marks.set(source) && !marks.set(source), "{source}");
        }
        for source in [0, 63, 64, 255] {
            marks.take(source);
            assert!(marks.set(source), "{source}");
        }
        assert!(!marks.set(1) && !marks.set(254));
    }
}
