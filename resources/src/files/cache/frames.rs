//! Pages of files on their way to somebody.

use alloc::sync::Arc;
use alloc::vec::Vec;

use vortex_toolkit::memory::Multiplexor;

use crate::machine::{Frame, Machine};

/// Frames, with one reference to each.
pub struct Frames<M: Machine> {
    memory: Arc<Multiplexor<M>>,
    frames: Vec<Frame>,
    /// They are pinned as well.
    are_pinned: bool,
}

impl<M: Machine> Frames<M> {
    /// None.
    #[must_use]
    pub const fn new(memory: Arc<Multiplexor<M>>) -> Self {
        Self {
            memory,
            frames: Vec::new(),
            are_pinned: false,
        }
    }

    /// None; those that come are pinned for as long as they are in here. For what is on its way from
    /// the disk: nobody can give it back yet, so nobody is to be asked for it.
    #[must_use]
    pub const fn pinned(memory: Arc<Multiplexor<M>>) -> Self {
        Self {
            memory,
            frames: Vec::new(),
            are_pinned: true,
        }
    }

    /// One more, whose reference is the caller's until now.
    pub fn push(&mut self, frame: Frame) {
        if self.are_pinned {
            self.memory.pin(frame);
        }
        self.frames.push(frame);
    }

    /// Takes out the last one, whose reference is the caller's from now on.
    pub fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop()?;
        if self.are_pinned {
            self.memory.unpin(frame);
        }
        Some(frame)
    }

    /// In order.
    #[must_use]
    pub fn all(&self) -> &[Frame] {
        &self.frames
    }
}

impl<M: Machine> Drop for Frames<M> {
    fn drop(&mut self) {
        while let Some(frame) = self.pop() {
            self.memory.release(frame);
        }
    }
}

impl<M: Machine> core::fmt::Debug for Frames<M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Frames").field(&self.frames).finish()
    }
}
