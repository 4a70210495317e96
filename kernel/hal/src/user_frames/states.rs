//! What each frame is to user memory: one counter a frame.
//!
//! Key types: [`States`]. A counter is 0 for a frame that is not lent, 1 for one that is, one more
//! for each page it is mapped at, and [`TABLE`] for one that a page table is in.

use core::sync::atomic::{AtomicU32, Ordering};

use vortex_kernel_base::address::Frame;

/// Not user memory.
const NONE: u32 = 0;
/// User memory that is mapped nowhere.
const LENT: u32 = 1;
/// A page table of user memory.
const TABLE: u32 = u32::MAX;

/// The counters, by frame number.
#[derive(Debug)]
pub(crate) struct States<'a>(&'a [AtomicU32]);

impl<'a> States<'a> {
    /// All frames as `counters` say: zeros.
    pub(crate) fn new(counters: &'a [AtomicU32]) -> Self {
        Self(counters)
    }

    fn counter(&self, frame: Frame) -> Option<&AtomicU32> {
        self.0.get(usize::try_from(frame.number()).ok()?)
    }

    /// The counter of a frame that must be lent and not a table.
    /// How many frames there are.
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    fn lent(&self, frame: Frame) -> &AtomicU32 {
        match self.counter(frame) {
            Some(counter) if is_lent(counter.load(Ordering::Relaxed)) => counter,
            _ => panic!("{frame:?} is not lent to user memory"),
        }
    }

    /// Panics unless the frame's bytes are user memory.
    #[inline]
    pub(crate) fn check_lent(&self, frame: Frame) {
        self.lent(frame);
    }

    fn change(&self, frame: Frame, from: u32, to: u32, what: &str) {
        let changed = self.counter(frame).is_some_and(|counter| {
            counter
                .compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        });
        assert!(changed, "{frame:?} cannot be {what}");
    }

    /// A frame of nobody's becomes user memory.
    pub(crate) fn lend(&self, frame: Frame) {
        self.change(frame, NONE, LENT, "lent to user memory: it is already");
    }

    /// A frame is user memory no longer.
    pub(crate) fn take_back(&self, frame: Frame) {
        self.change(
            frame,
            LENT,
            NONE,
            "freed: not lent, still mapped or a table",
        );
    }

    /// User memory becomes a page table.
    pub(crate) fn make_table(&self, frame: Frame) {
        self.change(frame, LENT, TABLE, "a page table: not lent or mapped");
    }

    /// A page table becomes user memory.
    pub(crate) fn unmake_table(&self, frame: Frame) {
        self.change(frame, TABLE, LENT, "a table no longer: it is none");
    }

    /// The frame is mapped once more.
    pub(crate) fn retain(&self, frame: Frame) {
        let before = self.lent(frame).fetch_add(1, Ordering::AcqRel);
        assert!(
            is_lent(before) && before < TABLE - 1,
            "{frame:?} is mapped too often, or was freed just now"
        );
    }

    /// The frame is mapped once less.
    pub(crate) fn release(&self, frame: Frame) {
        let before = self.lent(frame).fetch_sub(1, Ordering::AcqRel);
        assert!(before > LENT, "{frame:?} was not mapped");
    }
}

fn is_lent(counter: u32) -> bool {
    counter != NONE && counter != TABLE
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn fails(action: impl FnOnce()) -> bool {
        catch_unwind(AssertUnwindSafe(action)).is_err()
    }

    #[test]
    fn only_what_is_lent_can_be_touched() {
        let counters: Vec<AtomicU32> = (0..4).map(|_| AtomicU32::new(0)).collect();
        let states = States::new(&counters);
        let frame = Frame::new(2);
        assert!(fails(|| states.check_lent(frame)));
        assert!(fails(|| states.check_lent(Frame::new(4))));
        states.lend(frame);
        states.check_lent(frame);
        assert!(fails(|| states.lend(frame)));
        assert!(fails(|| states.check_lent(Frame::new(1))));
        states.take_back(frame);
        assert!(fails(|| states.check_lent(frame)));
        assert!(fails(|| states.take_back(frame)));
    }

    #[test]
    fn what_is_mapped_cannot_be_freed() {
        let counters = [AtomicU32::new(0)];
        let states = States::new(&counters);
        let frame = Frame::new(0);
        states.lend(frame);
        states.retain(frame);
        states.retain(frame);
        states.release(frame);
        assert!(fails(|| states.take_back(frame)));
        assert!(fails(|| states.make_table(frame)));
        states.release(frame);
        states.take_back(frame);
    }

    #[test]
    fn a_table_is_neither_mapped_nor_touched_nor_freed() {
        let counters = [AtomicU32::new(0)];
        let states = States::new(&counters);
        let frame = Frame::new(0);
        assert!(fails(|| states.make_table(frame)));
        states.lend(frame);
        states.make_table(frame);
        assert!(fails(|| states.check_lent(frame)));
        assert!(fails(|| states.retain(frame)));
        assert!(fails(|| states.take_back(frame)));
        states.unmake_table(frame);
        states.check_lent(frame);
    }
}
