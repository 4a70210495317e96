//! The physical frame allocator: single frames and aligned blocks of 2ⁿ frames.
//!
//! A binary buddy allocator whose state is bitmaps in memory that the caller gives. For every
//! [`Order`] there is a set of the free blocks of that order and a set of the allocated ones:
//!
//! - A frame is in at most one free block or one allocated block, and in none if it is not ours.
//! - Two free buddies never stay apart: freeing merges them.
//!
//! Because the allocated blocks are recorded, a double free, a foreign frame or a wrong order is
//! always detected, in constant time. Setting up costs one pass over the bitmaps (one bit per
//! KiB of memory) and touches none of the frames; allocating and freeing take at most one step per
//! order and per bitmap level.
//!
//! The smallest free block that is large enough is taken, and of these the highest, so that low
//! memory is left for [`FrameAllocator::allocate_below`], which serves devices that cannot reach
//! everything.

mod bitset;

use core::fmt;

use arrayvec::ArrayVec;

use self::bitset::{Bits, SummarySet};
use crate::address::{Frame, FrameRange};
use crate::memory_map::MAX_RANGES;

/// How many orders there are: blocks of 1 to 1024 frames, 4 KiB to 4 MiB.
pub const ORDERS: usize = Order::MAX.0 as usize + 1;

/// The size of a block of 2ⁿ frames, aligned to its own size: the n.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order(u8);

impl Order {
    /// One frame.
    pub const FRAME: Self = Self(0);
    /// A 2 MiB block: a large page.
    pub const LARGE_PAGE: Self = Self(9);
    /// The largest block: 4 MiB.
    pub const MAX: Self = Self(10);

    /// Order `n`, if it is at most [`Order::MAX`].
    #[must_use]
    pub const fn new(n: u8) -> Option<Self> {
        if n <= Self::MAX.0 {
            Some(Self(n))
        } else {
            None
        }
    }

    /// The smallest order that holds `frames` frames, if there is one.
    #[must_use]
    pub fn for_frames(frames: u64) -> Option<Self> {
        let n = frames.checked_next_power_of_two()?.trailing_zeros();
        u8::try_from(n).ok().and_then(Self::new)
    }

    /// The frames of a block of this order.
    #[must_use]
    pub const fn frames(self) -> u64 {
        1 << self.0
    }

    /// All orders, smallest first.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> {
        (0..=Self::MAX.0).map(Self)
    }

    const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Why an allocator could not be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupError {
    /// The ranges are not sorted, overlap, or one is empty; it names the first wrong one.
    Unsorted(FrameRange),
    /// There are more than [`MAX_RANGES`] ranges: how many.
    TooManyRanges(usize),
    /// The storage is too small.
    Storage {
        /// The words it needs ([`words_needed`]).
        needed: usize,
        /// The words it was given.
        given: usize,
    },
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsorted(range) => {
                write!(
                    f,
                    "memory range {range} is empty or not above the one before it"
                )
            }
            Self::TooManyRanges(count) => {
                write!(f, "{count} memory ranges, expected at most {MAX_RANGES}")
            }
            Self::Storage { needed, given } => {
                write!(
                    f,
                    "the frame allocator needs {needed} words for itself, given {given}"
                )
            }
        }
    }
}

impl core::error::Error for SetupError {}

/// Why a block could not be freed; the allocator is unchanged. Each is a fault of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreeError {
    /// The frame is none of this allocator's.
    Foreign(Frame),
    /// No allocated block starts at the frame: it is free already, or inside a larger block.
    NotAllocated(Frame),
    /// A block starts there, but of this other order.
    WrongOrder {
        /// The block's first frame.
        frame: Frame,
        /// The order it was allocated with.
        allocated: Order,
        /// The order it was to be freed with.
        freed: Order,
    },
}

impl fmt::Display for FreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(frame) => write!(f, "{frame:?} is not the frame allocator's"),
            Self::NotAllocated(frame) => {
                write!(f, "{frame:?} is freed twice or is not the start of a block")
            }
            Self::WrongOrder {
                frame,
                allocated,
                freed,
            } => {
                let [allocated, freed] = [allocated.frames(), freed.frames()];
                write!(
                    f,
                    "{frame:?} is a block of {allocated} frames, freed as {freed}"
                )
            }
        }
    }
}

impl core::error::Error for FreeError {}

/// How the memory stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameStatistics {
    /// All frames of the allocator.
    pub total: u64,
    /// Those that are free.
    pub free: u64,
    /// The free blocks of each order: what fragmentation has left.
    pub free_blocks: [u64; ORDERS],
}

/// One range of frames and its place in the bitmaps: the frames' bits follow `base` from
/// `first` on, which is aligned to the largest block so that a bit's index shows its alignment.
#[derive(Clone, Copy, Debug)]
struct Section {
    range: FrameRange,
    first: u64,
    base: usize,
}

/// The free and the allocated blocks of one order, by bit index.
#[derive(Debug)]
struct Blocks<'a> {
    free: SummarySet<'a>,
    allocated: Bits<'a>,
}

/// The allocator. It keeps its state in a slice of words and never reaches the frames themselves.
#[derive(Debug)]
pub struct FrameAllocator<'a> {
    sections: ArrayVec<Section, MAX_RANGES>,
    blocks: [Blocks<'a>; ORDERS],
    total: u64,
    free: u64,
}

/// How many words of storage an allocator over `ranges` needs.
///
/// It never grows when ranges shrink at their ends, so memory for it may be cut from the ranges
/// themselves after asking.
#[must_use]
pub fn words_needed(ranges: &[FrameRange]) -> usize {
    let bits: usize = ranges.iter().copied().map(section_bits).sum();
    Order::all().map(|order| words_of_order(bits, order)).sum()
}

/// The words for both sets of one order, when order 0 has `bits` bits.
fn words_of_order(bits: usize, order: Order) -> usize {
    let blocks = bits >> order.0;
    SummarySet::words(blocks) + Bits::words(blocks)
}

/// The bits of a section at order 0: its range rounded outward to largest blocks.
fn section_bits(range: FrameRange) -> usize {
    let block = Order::MAX.frames();
    let first = range.start.number() / block;
    // Frame numbers have 40 bits, and a `usize` has 64 wherever this kernel runs.
    ((range.end.number().div_ceil(block).saturating_sub(first)) * block) as usize
}

impl<'a> FrameAllocator<'a> {
    /// An allocator with all frames of `ranges` free.
    ///
    /// `ranges` is sorted and disjoint as in [`crate::memory_map::MemoryMap::main`]; `storage` has
    /// [`words_needed`] words or more, with any content.
    ///
    /// # Errors
    /// When either is not so.
    pub fn new(ranges: &[FrameRange], storage: &'a mut [u64]) -> Result<Self, SetupError> {
        let (sections, bits) = lay_out(ranges)?;
        let (needed, given) = (words_needed(ranges), storage.len());
        let Some(mut rest) = storage.get_mut(..needed) else {
            return Err(SetupError::Storage { needed, given });
        };
        rest.fill(0);
        let blocks = core::array::from_fn(|order| {
            let blocks = bits >> order;
            let all = core::mem::take(&mut rest);
            let (free, all) = all.split_at_mut(SummarySet::words(blocks));
            let (allocated, all) = all.split_at_mut(Bits::words(blocks));
            rest = all;
            Blocks {
                free: SummarySet::new(free, blocks),
                allocated: Bits::new(allocated),
            }
        });
        let mut allocator = Self {
            sections,
            blocks,
            total: 0,
            free: 0,
        };
        for index in 0..allocator.sections.len() {
            allocator.add_section(allocator.sections[index]);
        }
        Ok(allocator)
    }

    /// One frame, or `None` when all are taken.
    #[must_use = "the frame is lost when it is not kept"]
    pub fn allocate(&mut self) -> Option<Frame> {
        self.allocate_block(Order::FRAME)
    }

    /// A block of `order`, aligned to its size; returns its first frame, or `None` when there is
    /// no free block that large.
    #[must_use = "the block is lost when it is not kept"]
    pub fn allocate_block(&mut self, order: Order) -> Option<Frame> {
        let larger = Order::all().skip(order.index());
        let (found, block) = larger
            .filter_map(|o| self.blocks[o.index()].free.last().map(|b| (o, b)))
            .next()?;
        // From its lowest part on: what is allocated in a row lies in a row.
        let part = block << (found.0 - order.0);
        Some(self.carve(found, block, order, part))
    }

    /// A block of `order` that ends at or before frame `limit`, from the lowest addresses; `None`
    /// when no such block is free.
    #[must_use = "the block is lost when it is not kept"]
    pub fn allocate_below(&mut self, order: Order, limit: Frame) -> Option<Frame> {
        let larger = Order::all().skip(order.index());
        let lowest = larger.filter_map(|o| self.blocks[o.index()].free.first().map(|b| (o, b)));
        let (found, block) = lowest.min_by_key(|&(found, block)| block << found.0)?;
        let end = self.frame(block << found.0).plus(order.frames());
        if end > limit {
            return None;
        }
        Some(self.carve(found, block, order, block << (found.0 - order.0)))
    }

    /// Gives one frame back.
    ///
    /// # Errors
    /// When it was not handed out by [`FrameAllocator::allocate`], or is free already.
    pub fn free(&mut self, frame: Frame) -> Result<(), FreeError> {
        self.free_block(frame, Order::FRAME)
    }

    /// Gives a block back that was allocated with the same `order`.
    ///
    /// # Errors
    /// When it was not handed out so, or is free already.
    pub fn free_block(&mut self, frame: Frame, order: Order) -> Result<(), FreeError> {
        let index = self.index(frame).ok_or(FreeError::Foreign(frame))?;
        let starts = |o: Order| {
            index % (1 << o.0) == 0 && self.blocks[o.index()].allocated.contains(index >> o.0)
        };
        if !starts(order) {
            return Err(match Order::all().find(|&o| starts(o)) {
                Some(allocated) => FreeError::WrongOrder {
                    frame,
                    allocated,
                    freed: order,
                },
                None => FreeError::NotAllocated(frame),
            });
        }
        let mut block = index >> order.0;
        self.blocks[order.index()].allocated.remove(block);
        let mut merged = order;
        while merged < Order::MAX && self.blocks[merged.index()].free.remove(block ^ 1) {
            block >>= 1;
            merged = Order(merged.0 + 1);
        }
        self.blocks[merged.index()].free.insert(block);
        self.free += order.frames();
        Ok(())
    }

    /// How the memory stands; reads counters only.
    #[must_use]
    pub fn statistics(&self) -> FrameStatistics {
        let free_blocks = core::array::from_fn(|order| self.blocks[order].free.len() as u64);
        FrameStatistics {
            total: self.total,
            free: self.free,
            free_blocks,
        }
    }

    /// Whether the frame is in a range of this allocator, free or not.
    #[must_use]
    pub fn manages(&self, frame: Frame) -> bool {
        self.index(frame).is_some()
    }

    /// Takes block `part` of `order` out of the free `block` of order `found` that contains it;
    /// the other halves on the way down become free blocks of their own.
    fn carve(&mut self, found: Order, mut block: usize, order: Order, part: usize) -> Frame {
        self.blocks[found.index()].free.remove(block);
        for level in (order.0..found.0).rev() {
            block = part >> (level - order.0);
            self.blocks[usize::from(level)].free.insert(block ^ 1);
        }
        self.blocks[order.index()].allocated.insert(part);
        self.free -= order.frames();
        self.frame(part << order.0)
    }

    /// Makes a section's frames free, in the largest aligned blocks that fit.
    fn add_section(&mut self, section: Section) {
        let offset = |frame: Frame| section.base + (frame.number() - section.first) as usize;
        let (mut at, end) = (offset(section.range.start), offset(section.range.end));
        while at < end {
            let fits = |o: &Order| at % (1 << o.0) == 0 && (1 << o.0) <= end - at;
            let order = Order::all().rev().find(fits).unwrap_or(Order::FRAME);
            self.blocks[order.index()].free.insert(at >> order.0);
            at += 1 << order.0;
        }
        self.total += section.range.len();
        self.free += section.range.len();
    }

    /// The bit of `frame` at order 0, if it is ours.
    fn index(&self, frame: Frame) -> Option<usize> {
        let after = self
            .sections
            .partition_point(|section| section.range.start <= frame);
        let section = self.sections[..after].last()?;
        let ours = section.range.contains(frame);
        ours.then(|| section.base + (frame.number() - section.first) as usize)
    }

    /// The frame of a bit at order 0 that is set in some set.
    fn frame(&self, index: usize) -> Frame {
        let after = self
            .sections
            .partition_point(|section| section.base <= index);
        let section = self.sections[after - 1];
        Frame::new(section.first + (index - section.base) as u64)
    }
}

/// Places the ranges in the bitmaps; returns their sections and the bits in all.
fn lay_out(ranges: &[FrameRange]) -> Result<(ArrayVec<Section, MAX_RANGES>, usize), SetupError> {
    let mut sections = ArrayVec::new();
    let mut base = 0;
    let mut above = Frame::new(0);
    for &range in ranges {
        if range.is_empty() || range.start < above {
            return Err(SetupError::Unsorted(range));
        }
        above = range.end;
        let first = range.start.number() & !(Order::MAX.frames() - 1);
        if sections.try_push(Section { range, first, base }).is_err() {
            return Err(SetupError::TooManyRanges(ranges.len()));
        }
        base += section_bits(range);
    }
    Ok((sections, base))
}

#[cfg(test)]
mod tests;
