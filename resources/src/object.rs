//! What can be mapped into an address space besides anonymous memory: a file's pages, by whoever
//! owns them (paper, section 3.2: regions belong to resources, which provide the data).
//!
//! Key types: [`Object`], [`Part`] (a range of one), [`FrameStore`] (where frames come from),
//! [`References`] (who counts them).

use alloc::sync::Arc;
use core::fmt::Debug;

use crate::machine::Frame;
use vortex_toolkit::memory::{Frames, Multiplexor, Refusal};

/// Where an owner gets frames from: the memory multiplexor, on behalf of one activity.
pub trait FrameStore {
    /// A frame with one reference, charged; `cookie` tells the owner later what it is used for.
    ///
    /// # Errors
    /// Over budget, or out of memory: reclaim, and try again.
    fn allocate(&self, cookie: u64) -> Result<Frame, Refusal>;
    /// Fills a frame: `bytes`, then zeros.
    fn fill(&self, frame: Frame, bytes: &[u8]);
}

/// Who counts references to frames: the memory multiplexor.
pub trait References: Send + Sync {
    /// One more reference.
    fn share(&self, frame: Frame);
    /// How many there are.
    fn count(&self, frame: Frame) -> u32;
    /// One reference fewer.
    fn release(&self, frame: Frame);
}

impl<F: Frames> References for Multiplexor<F> {
    fn share(&self, frame: Frame) {
        Self::share(self, frame);
    }

    fn count(&self, frame: Frame) -> u32 {
        self.references(frame)
    }

    fn release(&self, frame: Frame) {
        Self::release(self, frame);
    }
}

/// Something with pages.
pub trait Object: Send + Sync + Debug {
    /// Its length in bytes.
    fn length(&self) -> u64;
    /// Tells it from all other objects; below 2³², so that it fits into a cookie.
    fn number(&self) -> u64;
    /// The frame of a page that is in memory; the caller gets a reference to it. Pages are shared:
    /// who wants to write makes a copy, or asks for it by [`Self::writable`].
    fn cached(&self, page: u64) -> Option<Frame>;
    /// As [`Self::cached`], for a page that may be written where it is mapped: that it is written has
    /// been noted, so that it will be kept. `None` if it has not been, or never can be.
    fn writable(&self, _page: u64) -> Option<Frame> {
        None
    }
    /// Brings a page into memory; as [`Self::cached`] otherwise. Runs in a request to the owner.
    ///
    /// # Errors
    /// No memory.
    fn load(&self, page: u64, frames: &dyn FrameStore) -> Result<Frame, Refusal>;
    /// Reads what is in memory, from `offset` on; the number of bytes, fewer than asked for at the
    /// end of the object, or of what is in memory.
    fn read(&self, offset: u64, into: &mut [u8]) -> usize;
    /// Gives back the frame of a page that nobody has mapped (reclaiming); true if it did.
    fn evict(&self, page: u64) -> bool;
}

/// What [`FrameStore::allocate`] is told for a page of an object.
#[must_use]
pub fn cookie(number: u64, page: u64) -> u64 {
    number << 32 | page
}

/// The object's number and the page that a [`cookie`] stands for.
#[must_use]
pub fn page_of(cookie: u64) -> (u64, u64) {
    (cookie >> 32, cookie & u64::from(u32::MAX))
}

/// A part of an object.
#[derive(Clone, Debug)]
pub struct Part {
    /// The object.
    pub object: Arc<dyn Object>,
    /// Where the part begins, in bytes; a multiple of the page size.
    pub offset: u64,
    /// Its length in bytes; what is mapped beyond it, in its last page, reads as zeros.
    pub length: u64,
    /// Whether a shared mapping of it may be written: the object then notes what is.
    pub writable: bool,
}
