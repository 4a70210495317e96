//! The receiver's side of selective acknowledgment (RFC 2018, section 4; RFC 2883): which ranges to
//! report.

use arrayvec::ArrayVec;

use crate::segment::{MAX_SACK_BLOCKS, SackBlock};
use crate::seq::Seq;

/// The blocks of one segment.
pub(crate) type Blocks = ArrayVec<SackBlock, MAX_SACK_BLOCKS>;

/// How many ranges are remembered.
const REMEMBERED: usize = 4;

/// The ranges after the first gap, those that changed last first.
#[derive(Clone, Debug, Default)]
pub(crate) struct SackReport {
    ranges: ArrayVec<SackBlock, REMEMBERED>,
    duplicate: Option<SackBlock>,
}

impl SackReport {
    /// `start..end` has arrived, after a gap.
    pub(crate) fn arrived(&mut self, start: Seq, end: Seq) {
        let mut merged = SackBlock { start, end };
        self.ranges.retain(|range| {
            let apart = range.start.after(merged.end) || merged.start.after(range.end);
            if !apart {
                merged.start = merged.start.min(range.start);
                merged.end = merged.end.max(range.end);
            }
            apart
        });
        if self.ranges.is_full() {
            self.ranges.pop();
        }
        self.ranges.insert(0, merged);
    }

    /// `start..end` has arrived once more: the next report says so (RFC 2883).
    pub(crate) fn duplicate(&mut self, start: Seq, end: Seq) {
        if start != end {
            self.duplicate = Some(SackBlock { start, end });
        }
    }

    /// All before `next` is acknowledged.
    pub(crate) fn advance(&mut self, next: Seq) {
        self.ranges.retain(|range| range.end.after(next));
        for range in &mut self.ranges {
            range.start = range.start.max(next);
        }
    }

    /// Forgets ranges, because their data was dropped.
    pub(crate) fn clear(&mut self) {
        self.ranges.clear();
    }

    /// What the next acknowledgment reports, a duplicate first; that is reported once.
    pub(crate) fn take(&mut self) -> Blocks {
        let duplicate = self.duplicate.take();
        let ranges = self.ranges.iter().copied();
        duplicate
            .into_iter()
            .chain(ranges)
            .take(MAX_SACK_BLOCKS)
            .collect()
    }

    /// How many ranges the next acknowledgment reports.
    pub(crate) fn len(&self) -> usize {
        (self.ranges.len() + usize::from(self.duplicate.is_some())).min(MAX_SACK_BLOCKS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(report: &mut SackReport) -> alloc::vec::Vec<(u32, u32)> {
        report
            .take()
            .iter()
            .map(|block| (block.start.0, block.end.0))
            .collect()
    }

    #[test]
    fn the_newest_range_comes_first_and_a_duplicate_before_it() {
        let mut report = SackReport::default();
        for start in [10, 30, 50, 70, 90] {
            report.arrived(Seq(start), Seq(start + 10));
        }
        assert_eq!(blocks(&mut report), [(90, 100), (70, 80), (50, 60)]);
        report.arrived(Seq(60), Seq(70));
        assert_eq!(blocks(&mut report), [(50, 80), (90, 100), (30, 40)]);
        report.duplicate(Seq(1), Seq(5));
        assert_eq!(blocks(&mut report), [(1, 5), (50, 80), (90, 100)]);
        report.advance(Seq(95));
        assert_eq!(blocks(&mut report), [(95, 100)]);
    }
}
