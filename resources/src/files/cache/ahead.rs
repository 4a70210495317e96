//! Read-ahead that adapts to how a file is read.
//!
//! Key types: [`Ahead`], one for each open file: the window doubles while the file is read in
//! sequence, up to a bound, and is closed by a read elsewhere.

use core::ops::Range;

/// The first window, in pages.
const FIRST: u64 = 4;
/// The largest window, in pages: 512 KiB.
pub const LARGEST: u64 = 128;

/// How one reader goes through a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ahead {
    /// The page at which reading would go on in sequence.
    next: u64,
    /// Pages to be ahead.
    window: u64,
    /// Pages below this one have been asked for.
    asked: u64,
}

impl Ahead {
    /// The reader reads these pages of a file of so many; the pages to fetch beforehand, behind them.
    #[must_use]
    pub fn read(&mut self, pages: Range<u64>, length: u64) -> Range<u64> {
        // Reads of less than a page come back to the page where the last one ended.
        let in_sequence = pages.start == self.next || pages.start + 1 == self.next;
        if !in_sequence {
            *self = Self {
                next: pages.end,
                // A file that is read from its beginning is often read to its end.
                window: if pages.start == 0 { FIRST } else { 0 },
                asked: pages.end,
            };
        } else if pages.end > self.next {
            self.window = (self.window * 2).clamp(FIRST, LARGEST);
        }
        self.next = pages.end;
        let start = self.asked.max(pages.end);
        // Ask again when half of the window has been used up: many small requests cost more.
        let due = start <= pages.end + self.window / 2;
        let end = if due {
            (pages.end + self.window).min(length)
        } else {
            start
        };
        if end <= start {
            return start..start;
        }
        self.asked = end;
        start..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_window_doubles_in_sequence_and_ends_at_its_bound() {
        let mut ahead = Ahead::default();
        let mut most = 0;
        let mut reached = 0;
        for page in (0..4096).step_by(8) {
            let more = ahead.read(page..page + 8, 4096);
            assert!(more.is_empty() || more.start == reached.max(page + 8));
            reached = reached.max(more.end);
            most = most.max(reached - (page + 8).min(reached));
        }
        assert_eq!(most, LARGEST);
        assert_eq!(reached, 4096);
    }

    #[test]
    fn random_reads_fetch_nothing_beforehand() {
        let mut ahead = Ahead::default();
        for page in [900, 17, 4000, 333, 2048, 90] {
            assert!(ahead.read(page..page + 1, 1 << 20).is_empty());
        }
    }

    #[test]
    fn reads_smaller_than_a_page_are_a_sequence() {
        let mut ahead = Ahead::default();
        let mut fetched = 0;
        for byte in (0..100 * 4096_u64).step_by(1000) {
            let pages = byte / 4096..(byte + 1000).div_ceil(4096);
            fetched += ahead.read(pages, 100).count();
        }
        assert!(fetched >= 95, "{fetched} of 99 pages were ahead");
    }

    proptest! {
        #[test]
        fn never_beyond_the_end_nor_the_bound(
            reads in proptest::collection::vec((0_u64..5000, 1_u64..64), 1..200),
            length in 1_u64..5000,
        ) {
            let mut ahead = Ahead::default();
            for (start, count) in reads {
                let end = (start + count).min(length);
                if start < end {
                    let more = ahead.read(start..end, length);
                    prop_assert!(more.is_empty() || more.start >= end);
                    prop_assert!(more.is_empty() || more.end <= length.min(end + LARGEST));
                }
            }
        }
    }
}
