//! What can be mapped into an address space besides anonymous memory: a file's pages, by whoever
//! owns them (paper, section 3.2: regions belong to resources, which provide the data).

use alloc::sync::Arc;
use core::fmt::Debug;

use crate::machine::Frame;
use vortex_toolkit::memory::Refusal;

/// Where an owner gets frames from: the memory multiplexor, on behalf of one activity.
pub trait FrameStore {
    /// A frame, charged; `cookie` tells the owner later what it is used for.
    ///
    /// # Errors
    /// Over budget, or out of memory: reclaim, and try again.
    fn allocate(&self, cookie: u64) -> Result<Frame, Refusal>;
    /// Fills a frame: `bytes`, then zeros.
    fn fill(&self, frame: Frame, bytes: &[u8]);
}

/// Something with pages.
pub trait Object: Send + Sync + Debug {
    /// Its length in bytes.
    fn length(&self) -> u64;
    /// Tells it from all other objects.
    fn number(&self) -> u64;
    /// The frame of a page that is in memory; the caller gets a reference to it. Pages are shared:
    /// who wants to write makes a copy.
    fn cached(&self, page: u64) -> Option<Frame>;
    /// Brings a page into memory; as [`Self::cached`] otherwise. Runs in a request to the owner.
    ///
    /// # Errors
    /// No memory.
    fn load(&self, page: u64, frames: &dyn FrameStore) -> Result<Frame, Refusal>;
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
}
