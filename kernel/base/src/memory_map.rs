//! The memory map: which frames the kernel may use.
//!
//! [`MemoryMap::new`] takes the boot loader's [`Region`]s as they come (in any order, overlapping,
//! unaligned, empty, reaching to the end of the address space) and the ranges that are taken
//! already, and keeps one thing: sorted, disjoint [`FrameRange`]s. A frame is usable exactly when
//! *every* byte of it lies in some usable region and *none* lies in a region that is not usable or
//! in a reserved range.
//!
//! Frames below 1 MiB are kept apart ([`MemoryMap::low`]): application processors start in real
//! mode and need their trampoline there.

use arrayvec::ArrayVec;

use crate::address::{Frame, FrameRange, PHYSICAL_END};

/// How many usable ranges a map keeps. UEFI firmware gives a few dozen; when there are more, the
/// smallest ones are given up and counted in [`MemoryMap::dropped_frames`].
pub const MAX_RANGES: usize = 256;

/// The end of the memory that real mode reaches, where application processors start.
const LOW_END: Frame = Frame::containing(1 << 20);

/// A piece of physical memory as the boot loader describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// The physical address of its first byte.
    pub start: u64,
    /// The address after its last byte; a region with `end <= start` is empty.
    pub end: u64,
    /// Whether it is free memory. Everything else (firmware, devices, the loader's own data) is
    /// not, and wins where regions overlap.
    pub usable: bool,
}

/// A range of physical bytes that is taken: the kernel image, the ramdisk, boot page tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// The physical address of its first byte.
    pub start: u64,
    /// Its size in bytes; what would reach past the address space is cut off.
    pub len: u64,
}

/// The usable frames: sorted, disjoint, never touching ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryMap {
    low: ArrayVec<FrameRange, MAX_RANGES>,
    main: ArrayVec<FrameRange, MAX_RANGES>,
    dropped_frames: u64,
}

impl MemoryMap {
    /// Works out the usable frames of `regions` less `reserved`.
    ///
    /// Takes time quadratic in the number of regions and no memory beyond its result, so that it
    /// runs before there is a heap.
    #[must_use]
    pub fn new<R>(regions: R, reserved: &[Reserved]) -> Self
    where
        R: Iterator<Item = Region> + Clone,
    {
        let mut map = Self::default();
        let mut sweep = Sweep {
            regions,
            reserved,
            position: 0,
        };
        while let Some((start, end)) = sweep.next_run() {
            let range = FrameRange::new(Frame::at_or_above(start), Frame::containing(end));
            map.keep(range);
        }
        map
    }

    /// The usable ranges from 1 MiB up, lowest first: what the frame allocator gets.
    #[must_use]
    pub fn main(&self) -> &[FrameRange] {
        &self.main
    }

    /// The usable ranges below 1 MiB, lowest first: for the start of application processors.
    #[must_use]
    pub fn low(&self) -> &[FrameRange] {
        &self.low
    }

    /// The frames from 1 MiB up.
    #[must_use]
    pub fn main_frames(&self) -> u64 {
        self.main.iter().map(|range| range.len()).sum()
    }

    /// The frames below 1 MiB.
    #[must_use]
    pub fn low_frames(&self) -> u64 {
        self.low.iter().map(|range| range.len()).sum()
    }

    /// Usable frames that were given up because there are more than [`MAX_RANGES`] ranges.
    #[must_use]
    pub fn dropped_frames(&self) -> u64 {
        self.dropped_frames
    }

    /// Takes the highest frame below 1 MiB out of the map: the trampoline of the application
    /// processors. Frame 0 is never given; it holds the real-mode interrupt table that firmware
    /// may still use.
    #[must_use]
    pub fn take_low_frame(&mut self) -> Option<Frame> {
        let range = self.low.last_mut()?;
        let frame = Frame::new(range.end.number() - 1);
        if frame.number() == 0 {
            return None;
        }
        range.end = frame;
        if range.is_empty() {
            self.low.pop();
        }
        Some(frame)
    }

    /// Takes `count` contiguous frames out of the map, from the end of its largest range: memory
    /// that is needed before there is an allocator, such as the allocator's own. Taking from an
    /// end never makes more ranges. `None` when no range is that large, or `count` is 0.
    #[must_use]
    pub fn take(&mut self, count: u64) -> Option<FrameRange> {
        let largest = (0..self.main.len()).max_by_key(|&index| self.main[index].len())?;
        let range = &mut self.main[largest];
        if count == 0 || range.len() < count {
            return None;
        }
        let taken = FrameRange::new(Frame::new(range.end.number() - count), range.end);
        range.end = taken.start;
        if range.is_empty() {
            self.main.remove(largest);
        }
        Some(taken)
    }

    /// Files `range` under low or main memory, splitting it at 1 MiB.
    fn keep(&mut self, range: FrameRange) {
        let low = FrameRange::new(range.start, range.end.min(LOW_END));
        let main = FrameRange::new(range.start.max(LOW_END), range.end);
        self.dropped_frames += push(&mut self.low, low);
        self.dropped_frames += push(&mut self.main, main);
    }
}

/// Appends `range`; a full list gives up its smallest range. Returns the frames given up.
fn push(list: &mut ArrayVec<FrameRange, MAX_RANGES>, range: FrameRange) -> u64 {
    if range.is_empty() {
        return 0;
    }
    let mut dropped = 0;
    if list.is_full() {
        let smallest = (0..list.len()).min_by_key(|&index| list[index].len());
        match smallest {
            Some(index) if list[index].len() < range.len() => {
                dropped = list.remove(index).len();
            }
            _ => return range.len(),
        }
    }
    list.push(range);
    dropped
}

/// A walk over the address space from one maximal run of usable bytes to the next.
struct Sweep<'a, R> {
    regions: R,
    reserved: &'a [Reserved],
    position: u64,
}

impl<R: Iterator<Item = Region> + Clone> Sweep<'_, R> {
    /// The next run `[start, end)` of bytes that are all usable and not taken.
    fn next_run(&mut self) -> Option<(u64, u64)> {
        let start = self.next_usable()?;
        let mut end = start;
        // Extend over usable regions that overlap or touch, up to the first byte that is taken.
        let limit = self.next_taken(start);
        while end < limit {
            let reach = self
                .usable()
                .filter(|r| r.start <= end && end < r.end)
                .map(|r| r.end);
            match reach.max() {
                Some(reach) => end = reach.min(limit),
                None => break,
            }
        }
        self.position = end;
        Some((start, end))
    }

    /// The first byte from the position on that is usable and not taken.
    fn next_usable(&self) -> Option<u64> {
        let mut position = self.position;
        loop {
            let ahead = self.usable().filter(|r| position < r.end);
            let start = ahead.map(|r| r.start.max(position)).min()?;
            let end_of_taken = self.taken().filter(|t| t.start <= start && start < t.end);
            match end_of_taken.map(|t| t.end).max() {
                Some(end) => position = end,
                None => return Some(start),
            }
        }
    }

    /// The first taken byte above `start`, or the end of the address space.
    fn next_taken(&self, start: u64) -> u64 {
        let ahead = self.taken().filter(|t| t.start > start);
        ahead.map(|t| t.start).min().unwrap_or(PHYSICAL_END)
    }

    fn usable(&self) -> impl Iterator<Item = Region> {
        self.regions
            .clone()
            .filter(|region| region.usable)
            .filter_map(clamp)
    }

    /// Everything that is not to be used: regions of another kind, and the reserved ranges.
    fn taken(&self) -> impl Iterator<Item = Region> {
        let reserved = self.reserved.iter().map(|range| Region {
            start: range.start,
            end: range.start.saturating_add(range.len),
            usable: false,
        });
        self.regions
            .clone()
            .filter(|region| !region.usable)
            .chain(reserved)
            .filter_map(clamp)
    }
}

/// Cuts off what no processor can address; `None` when nothing is left.
fn clamp(region: Region) -> Option<Region> {
    let end = region.end.min(PHYSICAL_END);
    (region.start < end).then_some(Region { end, ..region })
}

#[cfg(test)]
mod tests;
