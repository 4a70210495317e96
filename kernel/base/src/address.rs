//! Physical frames: 4 KiB pieces of physical memory, and half-open ranges of them.
//!
//! A [`Frame`] is a frame *number* (physical address / 4096), so an unaligned frame cannot be
//! expressed. Invariant: every frame lies below [`PHYSICAL_END`], so addresses never overflow.

use core::fmt;

/// Bytes of a frame.
pub const FRAME_SIZE: u64 = 4096;

/// The first address that no x86-64 processor can address physically: 52 bits
/// (Intel SDM volume 3, section 4.1.4).
pub const PHYSICAL_END: u64 = 1 << 52;

/// The number of a 4 KiB frame of physical memory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frame(u64);

impl Frame {
    /// One past the last frame there can be.
    pub const END: Self = Self(PHYSICAL_END / FRAME_SIZE);

    /// The frame with this number; numbers past the physical address space give [`Frame::END`].
    #[must_use]
    pub const fn new(number: u64) -> Self {
        if number > Self::END.0 {
            Self::END
        } else {
            Self(number)
        }
    }

    /// The frame that holds the byte at physical `address`.
    #[must_use]
    pub const fn containing(address: u64) -> Self {
        Self::new(address / FRAME_SIZE)
    }

    /// The first frame that starts at or above physical `address`.
    #[must_use]
    pub const fn at_or_above(address: u64) -> Self {
        Self::new(address.div_ceil(FRAME_SIZE))
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The physical address of its first byte.
    #[must_use]
    pub const fn address(self) -> u64 {
        self.0 * FRAME_SIZE
    }

    /// The frame `count` further on, [`Frame::END`] at most.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self::new(self.0.saturating_add(count))
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frame {:#x}", self.address())
    }
}

/// The frames from `start` up to, but without, `end`; empty when `end <= start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRange {
    /// The first frame.
    pub start: Frame,
    /// One past the last frame.
    pub end: Frame,
}

impl FrameRange {
    /// The frames from `start` to before `end`.
    #[must_use]
    pub const fn new(start: Frame, end: Frame) -> Self {
        Self { start, end }
    }

    /// How many frames it has.
    #[must_use]
    pub const fn len(self) -> u64 {
        self.end.0.saturating_sub(self.start.0)
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Its size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.len() * FRAME_SIZE
    }

    /// Whether `frame` is in it.
    #[must_use]
    pub fn contains(self, frame: Frame) -> bool {
        (self.start..self.end).contains(&frame)
    }
}

impl fmt::Display for FrameRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}..{:#x}", self.start.address(), self.end.address())
    }
}
