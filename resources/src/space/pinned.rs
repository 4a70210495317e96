//! Pages that a request works on while the address space changes (paper, section 3.4).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use vortex_toolkit::memory::Multiplexor;

use crate::machine::{Frame, Machine, PAGE_SIZE};

/// Pages that stay where they are until this is dropped (paper, section 3.4).
///
/// What is unmapped meanwhile stays in memory until then. Pages that were pinned for writing and are
/// still mapped show what is written: a fork gives the child its copy at once.
pub struct Pinned<M: Machine> {
    pub(super) machine: M,
    pub(super) memory: Arc<Multiplexor<M>>,
    pub(super) frames: Vec<Frame>,
    /// Where it begins in the first frame.
    pub(super) first: usize,
    pub(super) length: usize,
}

impl<M: Machine> Pinned<M> {
    /// The most bytes that are pinned at once.
    pub const MAX: usize = 1 << 20;

    /// How many bytes are pinned: what was asked for, but at most [`Self::MAX`].
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether no byte is pinned.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Reads from `offset` on.
    ///
    /// # Panics
    /// If that is more than there is.
    pub fn read(&self, offset: usize, into: &mut [u8]) {
        let mut done = 0;
        self.for_parts(offset, into.len(), |frame, at, length| {
            self.machine
                .read_frame(frame, at, &mut into[done..done + length]);
            done += length;
        });
    }

    /// Writes from `offset` on.
    ///
    /// # Panics
    /// If that is more than there is.
    pub fn write(&self, offset: usize, from: &[u8]) {
        let mut done = 0;
        self.for_parts(offset, from.len(), |frame, at, length| {
            self.machine
                .write_frame(frame, at, &from[done..done + length]);
            self.memory.inform(frame, true, true);
            done += length;
        });
    }

    /// Copies from `offset` on into a part of a frame.
    ///
    /// # Panics
    /// If that is more than there is.
    pub fn copy_to(&self, offset: usize, to: (Frame, usize), length: usize) {
        let mut done = 0;
        self.for_parts(offset, length, |frame, at, length| {
            self.machine
                .copy_part((frame, at), (to.0, to.1 + done), length);
            done += length;
        });
    }

    /// Copies a part of a frame to `offset`.
    ///
    /// # Panics
    /// If that is more than there is.
    pub fn copy_from(&self, offset: usize, from: (Frame, usize), length: usize) {
        let mut done = 0;
        self.for_parts(offset, length, |frame, at, length| {
            self.machine
                .copy_part((from.0, from.1 + done), (frame, at), length);
            self.memory.inform(frame, true, true);
            done += length;
        });
    }

    /// The frames with the parts of them, for a device: frame, offset in it, length.
    pub fn parts(&self) -> Vec<(Frame, usize, usize)> {
        let mut parts = Vec::with_capacity(self.frames.len());
        self.for_parts(0, self.length, |frame, at, length| {
            parts.push((frame, at, length));
        });
        parts
    }

    fn for_parts(&self, offset: usize, length: usize, mut each: impl FnMut(Frame, usize, usize)) {
        let end = offset.checked_add(length);
        assert!(
            end.is_some_and(|end| end <= self.length),
            "{length} bytes at {offset} of {} pinned ones",
            self.length
        );
        let page = PAGE_SIZE as usize;
        let mut at = self.first + offset;
        let end = at + length;
        while at < end {
            let part = (page - at % page).min(end - at);
            each(self.frames[at / page], at % page, part);
            at += part;
        }
    }
}

impl<M: Machine> Drop for Pinned<M> {
    fn drop(&mut self) {
        for &frame in &self.frames {
            self.memory.unpin(frame);
        }
    }
}

impl<M: Machine> fmt::Debug for Pinned<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinned")
            .field("frames", &self.frames)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}
