//! Data in frames, which are given back when the last reference to it is dropped.
//!
//! Key types: [`Chunk`]. A run of a file's pages is one: what is done for each write, packet and
//! acknowledgment is then not done for each page.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

use vortex_tcp::Buffer;
use vortex_toolkit::memory::Owner;

use super::environment::Environment;
use super::interface;
use crate::errno::Errno;
use crate::files::Cursor;
use crate::machine::{Frame, PAGE_SIZE};
use crate::space::UserError;

/// Bytes of a frame.
pub(crate) const FRAME: usize = PAGE_SIZE as usize;
/// The most frames of a chunk: what one packet can carry.
pub(crate) const RUN: usize = 16;

/// Data in frames, from some byte of the first on.
pub struct Chunk {
    frames: Frames,
    start: usize,
    length: usize,
    environment: &'static dyn Environment,
}

/// Where the data is.
enum Frames {
    /// In one frame.
    One(Frame),
    /// In these, in this order.
    Run(Box<[Frame]>),
    /// In a buffer of a packet, which keeps it.
    Packet {
        frame: Frame,
        _keeps: Arc<interface::Packet>,
    },
}

impl Frames {
    fn all(&self) -> &[Frame] {
        match self {
            Self::One(frame) | Self::Packet { frame, .. } => core::slice::from_ref(frame),
            Self::Run(frames) => frames,
        }
    }
}

impl Chunk {
    fn new(
        environment: &'static dyn Environment,
        frames: Frames,
        start: usize,
        length: usize,
    ) -> Self {
        let most = frames.all().len() * FRAME;
        Self {
            frames,
            start: start.min(most),
            length: length.min(most - start.min(most)),
            environment,
        }
    }

    /// `length` bytes from `start` on of these frames, as far as they go. The caller's references to
    /// them are taken over.
    pub(crate) fn of_frames(
        environment: &'static dyn Environment,
        frames: &[Frame],
        start: usize,
        length: usize,
    ) -> Self {
        let frames = match *frames {
            [frame] => Frames::One(frame),
            _ => Frames::Run(frames.into()),
        };
        Self::new(environment, frames, start, length)
    }

    /// A part of a packet that an interface has received, which keeps its buffers.
    pub(crate) fn of_packet(
        environment: &'static dyn Environment,
        packet: Arc<interface::Packet>,
        (frame, start, length): (Frame, usize, usize),
    ) -> Self {
        let frames = Frames::Packet {
            frame,
            _keeps: packet,
        };
        Self::new(environment, frames, start, length)
    }

    /// A new frame that `fill` writes `length` bytes into, with the place and the bytes of each step.
    ///
    /// # Errors
    /// ENOBUFS without memory, or what `fill` says.
    pub(crate) fn filled<F>(
        environment: &'static dyn Environment,
        owner: Owner,
        length: usize,
        mut fill: impl FnMut(&mut [u8]) -> Result<(), F>,
    ) -> Result<Result<Self, F>, Errno> {
        const STEP: usize = 1024;
        let frame = environment.allocate(owner).map_err(|_| Errno::ENOBUFS)?;
        let chunk = Self::of_frames(environment, &[frame], 0, length);
        let mut bytes = [0; STEP];
        for at in (0..chunk.length).step_by(STEP) {
            let part = &mut bytes[..STEP.min(chunk.length - at)];
            if let Err(error) = fill(part) {
                return Ok(Err(error));
            }
            environment.write(frame, at, part);
        }
        Ok(Ok(chunk))
    }

    /// A new frame with `length` bytes from where a cursor is, which goes on.
    ///
    /// # Errors
    /// ENOBUFS without memory, or that the program's cannot be used, or not yet.
    pub(crate) fn copied(
        environment: &'static dyn Environment,
        owner: Owner,
        length: usize,
        from: &mut Cursor<'_>,
    ) -> Result<Result<Self, UserError>, Errno> {
        let frame = environment.allocate(owner).map_err(|_| Errno::ENOBUFS)?;
        let chunk = Self::of_frames(environment, &[frame], 0, length);
        let taken = from.take_to((frame, 0), chunk.length, environment);
        Ok(taken.map(|()| chunk))
    }

    /// Reads from `offset` on; `into` lies within the data.
    pub(crate) fn read(&self, offset: usize, into: &mut [u8]) {
        let mut done = 0;
        for (frame, start, length) in self.fragments(offset, offset + into.len()) {
            let part = &mut into[done..done + length];
            self.environment.read(frame, start, part);
            done += length;
        }
    }

    /// Where the bytes `start..end` of the data lie: the frame, the first byte in it, and how many.
    pub fn fragments(
        &self,
        start: usize,
        end: usize,
    ) -> impl Iterator<Item = (Frame, usize, usize)> {
        let end = self.start + end.min(self.length);
        let mut at = self.start + start;
        core::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let frame = *self.frames.all().get(at / FRAME)?;
            let within = at % FRAME;
            let length = (FRAME - within).min(end - at);
            at += length;
            Some((frame, within, length))
        })
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        match &self.frames {
            Frames::Packet { .. } => {}
            own => self.environment.release(own.all()),
        }
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Chunk").field(&self.length).finish()
    }
}

impl Buffer for Chunk {
    fn length(&self) -> usize {
        self.length
    }

    fn footprint(&self) -> usize {
        match &self.frames {
            Frames::Packet { .. } => interface::BUFFER,
            own => own.all().len() * FRAME,
        }
    }

    fn fragment_end(&self, at: usize) -> usize {
        let place = self.start + at;
        let end = (place / FRAME + 1) * FRAME - self.start;
        end.min(self.length)
    }
}

#[cfg(test)]
mod tests;
