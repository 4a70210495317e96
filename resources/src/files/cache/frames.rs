//! Pages of files on their way to somebody.

use alloc::sync::Arc;
use alloc::vec::Vec;

use vortex_toolkit::memory::Multiplexor;

use crate::machine::{Frame, Machine};

/// Frames, with one reference to each.
pub struct Frames<M: Machine> {
    memory: Arc<Multiplexor<M>>,
    frames: Vec<Frame>,
}

impl<M: Machine> Frames<M> {
    /// None.
    #[must_use]
    pub const fn new(memory: Arc<Multiplexor<M>>) -> Self {
        Self {
            memory,
            frames: Vec::new(),
        }
    }

    /// One more, whose reference is the caller's until now.
    pub fn push(&mut self, frame: Frame) {
        self.frames.push(frame);
    }

    /// Takes out the last one, whose reference is the caller's from now on.
    pub fn pop(&mut self) -> Option<Frame> {
        self.frames.pop()
    }

    /// In order.
    #[must_use]
    pub fn all(&self) -> &[Frame] {
        &self.frames
    }
}

impl<M: Machine> Drop for Frames<M> {
    fn drop(&mut self) {
        for &frame in &self.frames {
            self.memory.release(frame);
        }
    }
}

impl<M: Machine> core::fmt::Debug for Frames<M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Frames").field(&self.frames).finish()
    }
}
