//! The memory multiplexor: every frame has an owner (paper, section 3.2).
//!
//! Frames are allocated by (resource, activity, cookie), counted per activity and resource, and
//! kept within each activity's budget. What is refused can be had by reclaiming: the multiplexor
//! chooses frames by what their owners have told it and asks the resources for them back.
//!
//! The signatures here are the agreement between the parts of the kernel.

use crate::ids::{ActivityId, ResourceId};

/// The number of a 4 KiB frame of physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frame(pub u32);

/// Where frames come from.
pub trait Frames: Send + Sync {
    /// Takes one.
    fn take(&self) -> Option<Frame>;
    /// Gives one back.
    fn give(&self, frame: Frame);
    /// Numbers are below this.
    fn limit(&self) -> usize;
    /// Frames that can be taken now.
    fn available(&self) -> usize;
}

/// Who has a frame, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The resource.
    pub resource: ResourceId,
    /// Who pays.
    pub activity: ActivityId,
    /// What the resource needs to find its references to the frame.
    pub cookie: u64,
}

/// Why there is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The activity has all it may have.
    OverBudget,
    /// Nobody can have any.
    OutOfMemory,
}

/// Asks a resource to give a frame back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reclaim {
    /// The frame.
    pub frame: Frame,
    /// Whose it is.
    pub owner: Owner,
}

/// The memory multiplexor.
pub struct Multiplexor<F: Frames> {
    frames: F,
}

impl<F: Frames> Multiplexor<F> {
    /// With all of `frames`.
    pub fn new(frames: F) -> Self {
        Self { frames }
    }

    /// The most frames an activity may have; `None` for no limit.
    pub fn set_budget(&self, activity: ActivityId, frames: Option<u64>) {
        unimplemented!()
    }

    /// A frame with one reference.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn allocate(&self, owner: Owner) -> Result<Frame, Refusal> {
        unimplemented!()
    }

    /// One more reference.
    pub fn share(&self, frame: Frame) {
        unimplemented!()
    }

    /// References to a frame; 0 if it is free.
    pub fn references(&self, frame: Frame) -> u32 {
        unimplemented!()
    }

    /// One reference fewer; true if the frame was given back.
    pub fn release(&self, frame: Frame) -> bool {
        unimplemented!()
    }

    /// Frames that an activity has.
    pub fn held(&self, activity: ActivityId) -> u64 {
        unimplemented!()
    }
}
