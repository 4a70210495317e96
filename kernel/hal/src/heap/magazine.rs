//! Free blocks that one core keeps for itself, so that it seldom has to lock the list of all.
//!
//! Key types: [`Magazine`], one for each core and class; after Bonwick and Adams, "Magazines and
//! Vmem" (2001).
//!
//! Invariants: a core's magazines are used on that core only, and by one at a time: an interrupt
//! handler that finds them in use goes to the list of all. One holds fewer than twice a batch
//! ([`Class::batch`]) between two calls, so that what cores hold back is bounded.

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering, compiler_fence};

use super::classes::{CLASSES, Class, FreeList};
use crate::cores::{self, MAX_CORES};
use crate::sync::{Level, check_order};

/// Free blocks of one class.
pub(super) struct Magazine {
    blocks: FreeList,
    count: usize,
}

/// The magazines of one core, one for each class.
#[repr(align(128))]
struct OfCore {
    /// One of them is in use: who interrupts that takes none.
    in_use: AtomicBool,
    magazines: [UnsafeCell<Magazine>; CLASSES],
}

// SAFETY: `here` alone uses them, each on its core only and never twice at a time.
unsafe impl Sync for OfCore {}

static MAGAZINES: [OfCore; MAX_CORES] = [const {
    OfCore {
        in_use: AtomicBool::new(false),
        magazines: [const { UnsafeCell::new(Magazine::new()) }; CLASSES],
    }
}; MAX_CORES];

/// Does something with this core's magazine of a class; `None` if this has interrupted somebody who
/// does, and nothing is done. `work` must not allocate.
///
/// Interrupts stay on: to turn them off and on again would cost more than all the rest.
///
/// # Panics
/// When this core may not lock the list of all ([`check_order`]), though that is seldom needed.
#[inline]
pub(super) fn here<R>(class: Class, work: impl FnOnce(&mut Magazine) -> R) -> Option<R> {
    let core = cores::current();
    check_order(core, Level::Heap);
    let OfCore { in_use, magazines } = &MAGAZINES[core.index().as_usize()];
    // Who interrupts between the two is done with it, and leaves it as it was, when this goes on.
    if in_use.load(Ordering::Relaxed) {
        return None;
    }
    in_use.store(true, Ordering::Relaxed);
    // Between this core and its own interrupts the order of the program is all that is needed.
    compiler_fence(Ordering::Acquire);
    // SAFETY: no other core uses this core's; who interrupts this sees that it is in use, and `work`
    // does not come here again.
    let result = work(unsafe { &mut *magazines[class.index()].get() });
    compiler_fence(Ordering::Release);
    in_use.store(false, Ordering::Relaxed);
    Some(result)
}

impl Magazine {
    const fn new() -> Self {
        Self {
            blocks: FreeList::new(),
            count: 0,
        }
    }

    /// Takes a block out.
    pub(super) fn pop(&mut self) -> Option<NonNull<u8>> {
        let block = self.blocks.pop()?;
        self.count -= 1;
        Some(block)
    }

    /// Puts a block in; if it is full then ([`Self::is_full`]), some have to go.
    ///
    /// # Safety
    /// As for [`FreeList::push`].
    pub(super) unsafe fn push(&mut self, block: NonNull<u8>) {
        // SAFETY: the caller's promises.
        unsafe { self.blocks.push(block) };
        self.count += 1;
    }

    /// Whether there are as many as there may be at most.
    pub(super) const fn is_full(&self, class: Class) -> bool {
        self.count >= 2 * class.batch()
    }

    /// Takes a batch out of the list of all, and one block of it for the caller.
    pub(super) fn fill(&mut self, list: &mut FreeList, class: Class) -> Option<NonNull<u8>> {
        let block = list.pop()?;
        for block in core::iter::from_fn(|| list.pop()).take(class.batch() - 1) {
            // SAFETY: it came out of the list of the class just now.
            unsafe { self.push(block) };
        }
        Some(block)
    }

    /// Gives a batch back to the list of all.
    pub(super) fn empty(&mut self, list: &mut FreeList, class: Class) {
        for block in core::iter::from_fn(|| self.pop()).take(class.batch()) {
            // SAFETY: it was this magazine's.
            unsafe { list.push(block) };
        }
    }
}

#[cfg(test)]
mod tests {
    use core::alloc::Layout;
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is taken and given back by two magazines: no block is handed out twice, none is
        /// lost, and neither keeps more than it may.
        #[test]
        fn no_block_is_lost_or_had_by_two(
            size in 1_usize..=4096,
            moves in prop::collection::vec((0..2_usize, any::<bool>()), 0..600),
        ) {
            let class = Class::of(Layout::from_size_align(size, 1).unwrap()).unwrap();
            // SAFETY: the layout has a size.
            let chunk = unsafe { std::alloc::alloc(class.chunk()) };
            let mut list = FreeList::new();
            // SAFETY: allocated for this.
            unsafe { list.refill(class, NonNull::new(chunk).expect("memory")) };
            let mut magazines = [Magazine::new(), Magazine::new()];
            let (mut held, mut all) = (Vec::new(), BTreeSet::new());
            for (which, takes) in moves {
                let magazine = &mut magazines[which];
                if takes {
                    if let Some(block) = magazine.pop().or_else(|| magazine.fill(&mut list, class)) {
                        prop_assert!(!held.contains(&block));
                        held.push(block);
                        all.insert(block);
                    }
                } else if let Some(block) = held.pop() {
                    // SAFETY: taken out before.
                    unsafe { magazine.push(block) };
                    if magazine.is_full(class) {
                        magazine.empty(&mut list, class);
                    }
                }
                prop_assert!(!magazine.is_full(class));
            }
            let [one, two] = &mut magazines;
            let rest = core::iter::from_fn(|| one.pop().or_else(|| two.pop()).or_else(|| list.pop()));
            let free: BTreeSet<_> = rest.collect();
            prop_assert!(held.iter().all(|block| !free.contains(block)));
            prop_assert_eq!(free.len() + held.len(), class.chunk().size() / size.max(16).next_power_of_two());
            prop_assert!(all.iter().all(|block| free.contains(block) || held.contains(block)));
            // SAFETY: allocated above with this layout, and no block is used any more.
            unsafe { std::alloc::dealloc(chunk, class.chunk()) };
        }
    }
}
