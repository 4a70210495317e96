//! Reads of the same pages by several activities: the one whose turn at the disk comes first is
//! carried out, the others are dropped when theirs comes.
//!
//! Key types: [`Reading`] (a page that somebody reads), [`Joint`] (the pages that one transfer
//! reads).
//!
//! Nobody can know beforehand whose request the schedulers will choose first. So who needs a page
//! that waits in another activity's queue asks for it as well, on its own account, and waits no
//! longer than by its own share; the page is read from the disk once.
//!
//! Invariant: of a page that is read as a whole frame, at most one reader has the claim, from when its
//! command was given to the device until the page has arrived or the read has failed.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use vortex_toolkit::ids::ActivityId;

use super::Segment;
use crate::machine::{Frame, PAGE_SIZE};

/// A page that somebody reads: whose read of it was given to the device, if anybody's was.
#[derive(Debug, Default)]
pub(crate) struct Reading(AtomicU64);

/// No read has been given to the device.
const NOBODY: u64 = 0;

const fn mark(reader: ActivityId) -> u64 {
    reader.0 as u64 + 1
}

impl Reading {
    /// The device is given this reader's read. False if it has another one's.
    fn begin(&self, reader: ActivityId) -> bool {
        let own = mark(reader);
        let swap = self
            .0
            .compare_exchange(NOBODY, own, Ordering::AcqRel, Ordering::Acquire);
        swap.is_ok() || swap == Err(own)
    }

    /// This reader's read was not carried out after all.
    pub(crate) fn give_up(&self, reader: ActivityId) {
        let own = mark(reader);
        // Another one's stays.
        let _ = self
            .0
            .compare_exchange(own, NOBODY, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Whether the device has somebody's read, or had.
    pub(crate) fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire) != NOBODY
    }

    /// Whether the page is another one's to bring in: what this reader has is not to be used.
    pub(crate) fn is_of_another(&self, reader: ActivityId) -> bool {
        let begun = self.0.load(Ordering::Acquire);
        begun != NOBODY && begun != mark(reader)
    }
}

/// The pages that one transfer reads, by the frames that they come into.
pub struct Joint {
    reader: ActivityId,
    /// In the order of the frames.
    pages: Vec<(Frame, Arc<Reading>)>,
}

impl Joint {
    /// Of this reader.
    pub(crate) fn new(reader: ActivityId, mut pages: Vec<(Frame, Arc<Reading>)>) -> Self {
        pages.sort_unstable_by_key(|(frame, _)| frame.0);
        Self { reader, pages }
    }

    /// The page that a segment is, if it is a whole one: a part of a page is read by whoever asks.
    fn page(&self, segment: &Segment) -> Option<&Reading> {
        if u64::from(segment.length) != PAGE_SIZE {
            return None;
        }
        let place = self
            .pages
            .binary_search_by_key(&segment.frame.0, |(frame, _)| frame.0);
        place.ok().map(|place| &*self.pages[place].1)
    }

    /// Whether reading these segments would be in vain: others read all of them.
    pub(crate) fn is_vain(&self, segments: &[Segment]) -> bool {
        segments.iter().all(|segment| {
            self.page(segment)
                .is_some_and(|page| page.is_of_another(self.reader))
        })
    }

    /// The device is given a read of these segments.
    pub(crate) fn begin(&self, segments: &[Segment]) {
        for page in segments.iter().filter_map(|segment| self.page(segment)) {
            // Of a page that another one reads the data is not used.
            let _ = page.begin(self.reader);
        }
    }

    /// It was not taken.
    pub(crate) fn give_up(&self, segments: &[Segment]) {
        for page in segments.iter().filter_map(|segment| self.page(segment)) {
            page.give_up(self.reader);
        }
    }
}

impl fmt::Debug for Joint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("Joint");
        all.field("reader", &self.reader).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ActivityId = ActivityId(0);
    const B: ActivityId = ActivityId(7);

    fn joint(reader: ActivityId, pages: &[Arc<Reading>], first: u32) -> Joint {
        let frames = (first..).map(Frame).zip(pages.iter().cloned());
        let mut all: Vec<_> = frames.collect();
        all.reverse();
        Joint::new(reader, all)
    }

    #[test]
    fn the_first_at_the_device_reads_and_the_other_is_in_vain() {
        let pages: Vec<_> = (0..3).map(|_| Arc::new(Reading::default())).collect();
        let (a, b) = (joint(A, &pages, 10), joint(B, &pages, 20));
        let of = |first: u32| -> Vec<_> {
            (first..first + 3)
                .map(|frame| Segment::whole(Frame(frame)))
                .collect()
        };
        let (of_a, of_b) = (of(10), of(20));
        assert!(!a.is_vain(&of_a) && !b.is_vain(&of_b));
        b.begin(&of_b[..2]);
        assert!(a.is_vain(&of_a[..2]), "both are another's");
        assert!(!a.is_vain(&of_a), "one is not");
        // What is not in vain is read as a whole, and of what it brings one page is used.
        a.begin(&of_a);
        let others: Vec<_> = pages.iter().map(|page| page.is_of_another(A)).collect();
        assert_eq!(others, [true, true, false]);
        b.give_up(&of_b);
        assert!(!a.is_vain(&of_a));
        assert!(b.is_vain(&of_b[2..]), "it is still read by the other");
        assert!(!pages[0].has_begun() && pages[2].has_begun());
    }

    #[test]
    fn parts_of_pages_are_read_by_whoever_asks() {
        let pages = [Arc::new(Reading::default())];
        let (a, b) = (joint(A, &pages, 1), joint(B, &pages, 2));
        let part = |frame| Segment {
            length: 1024,
            ..Segment::whole(Frame(frame))
        };
        a.begin(&[part(1)]);
        assert!(!b.is_vain(&[part(2)]));
        assert!(!pages[0].has_begun());
    }
}
