//! Small blocks in constant time: a list of free blocks for each power of two.
//!
//! Key types: [`FreeList`]; [`Class`], a block size.
//!
//! Invariants: a block is as large as its class says and aligned to that, so it fits every layout
//! of the class; a block is in at most one list. Blocks never go back to where they came from: what
//! was small once will be again.

use core::alloc::Layout;
use core::ptr::NonNull;

/// The smallest block, in bytes.
const SMALLEST: usize = 16;
/// The largest: a thread's vector registers fit.
const LARGEST: usize = 4096;
/// How many sizes there are.
pub(super) const CLASSES: usize = (LARGEST / SMALLEST).trailing_zeros() as usize + 1;
/// How many bytes a list is refilled with.
const CHUNK_BYTES: usize = 32 << 10;
/// How many bytes go at a time between the list and a core, and how many blocks at most.
const BATCH_BYTES: usize = 8 << 10;
const MOST_AT_A_TIME: usize = 64;

/// A block size: 16 bytes times a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class(usize);

impl Class {
    /// The smallest blocks that fit `layout`; `None` when it is too large for any.
    pub(super) fn of(layout: Layout) -> Option<Self> {
        let size = layout.size().max(layout.align()).max(SMALLEST);
        (size <= LARGEST)
            .then(|| Self((size.next_power_of_two() / SMALLEST).trailing_zeros() as usize))
    }

    /// Which one, counted from 0.
    pub(super) fn index(self) -> usize {
        self.0
    }

    /// Bytes of a block.
    const fn size(self) -> usize {
        SMALLEST << self.0
    }

    /// How many blocks go between a core's blocks and the list at a time: so many that the list is
    /// seldom locked, so few that a core does not hold back much.
    pub(super) const fn batch(self) -> usize {
        match BATCH_BYTES / self.size() {
            0..2 => 2,
            MOST_AT_A_TIME.. => MOST_AT_A_TIME,
            count => count,
        }
    }

    /// What to refill the list with.
    pub(super) fn chunk(self) -> Layout {
        Layout::from_size_align(CHUNK_BYTES, self.size())
            .expect("a power of two and a small multiple of it")
    }
}

/// A free block's first word.
struct Node {
    next: Option<NonNull<Node>>,
}

/// Free blocks of one class.
pub(super) struct FreeList {
    first: Option<NonNull<Node>>,
}

// SAFETY: the blocks are nobody else's, so they may be used from any core that has the list.
unsafe impl Send for FreeList {}

impl FreeList {
    /// No blocks.
    pub(super) const fn new() -> Self {
        Self { first: None }
    }

    /// Takes a block out.
    pub(super) fn pop(&mut self) -> Option<NonNull<u8>> {
        let node = self.first?;
        // SAFETY: blocks in the list are the list's, and begin with a node.
        self.first = unsafe { node.as_ref() }.next;
        Some(node.cast())
    }

    /// Puts a block in.
    ///
    /// # Safety
    /// The block is of the list's class, and nobody else uses it until it is taken out.
    pub(super) unsafe fn push(&mut self, block: NonNull<u8>) {
        let node = block.cast::<Node>();
        let next = self.first;
        // SAFETY: the block is at least 16 bytes, aligned to them, and the caller's to give.
        unsafe { node.write(Node { next }) };
        self.first = Some(node);
    }

    /// Puts in all blocks of a chunk.
    ///
    /// # Safety
    /// The chunk fits the class's [`Class::chunk`] and is nobody else's, for good.
    pub(super) unsafe fn refill(&mut self, class: Class, chunk: NonNull<u8>) {
        for offset in (0..CHUNK_BYTES).step_by(class.size()).rev() {
            // SAFETY: in bounds of the chunk.
            let block = unsafe { chunk.add(offset) };
            // SAFETY: the chunk's alignment and the step are the class's size, so blocks are
            // aligned and do not overlap.
            unsafe { self.push(block) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).expect("a valid layout")
    }

    #[test]
    fn sizes_are_rounded_up_to_a_class() {
        let size = |bytes, align| Class::of(layout(bytes, align)).map(Class::size);
        assert_eq!(size(0, 1), Some(16));
        assert_eq!(size(16, 8), Some(16));
        assert_eq!(size(17, 8), Some(32));
        assert_eq!(size(8, 64), Some(64));
        assert_eq!(size(4096, 8), Some(4096));
        assert_eq!(size(4097, 8), None);
        assert_eq!(size(8, 8192), None);
        assert_eq!(
            Class::of(layout(4096, 1)).map(Class::index),
            Some(CLASSES - 1)
        );
    }

    proptest! {
        /// All blocks of a chunk come out once, aligned, apart and inside, and again after they
        /// were put back.
        #[test]
        fn a_chunk_is_cut_into_blocks(index in 0..CLASSES) {
            let class = Class(index);
            // SAFETY: the layout has a size.
            let chunk = unsafe { std::alloc::alloc(class.chunk()) };
            let chunk = NonNull::new(chunk).expect("memory");
            let mut list = FreeList::new();
            // SAFETY: allocated for this.
            unsafe { list.refill(class, chunk) };
            let mut blocks = BTreeSet::new();
            while let Some(block) = list.pop() {
                prop_assert!(blocks.insert(block));
            }
            let start = chunk.as_ptr() as usize;
            let offsets = blocks.iter().map(|block| block.as_ptr() as usize - start);
            prop_assert!(offsets.eq((0..CHUNK_BYTES).step_by(class.size())));
            prop_assert!(start.is_multiple_of(class.size()));
            for &block in &blocks {
                // SAFETY: taken out before.
                unsafe { list.push(block) };
            }
            let again: BTreeSet<_> = core::iter::from_fn(|| list.pop()).collect();
            prop_assert_eq!(again, blocks);
            // SAFETY: allocated above with this layout, and no block is used any more.
            unsafe { std::alloc::dealloc(chunk.as_ptr(), class.chunk()) };
        }
    }
}
