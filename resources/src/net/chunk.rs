//! Data in frames, which are given back when the last reference to it is dropped.
//!
//! Key types: [`Chunk`]. A run of a file's pages is one: what is done for each write, packet and
//! acknowledgment is then not done for each page. A chunk holds a reference to each of its frames, or
//! its buffer, and its bytes lie in them without a gap, from `start` in the first on.

use alloc::boxed::Box;
use core::fmt;

use arrayvec::ArrayVec;
use vortex_toolkit::memory::Owner;

use super::environment::Environment;
use super::interface::{self, Buffer};
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
    /// In a buffer that a packet was received into.
    Buffer(Buffer),
}

impl Frames {
    /// How many there are.
    fn len(&self) -> usize {
        match self {
            Self::One(_) | Self::Buffer(_) => 1,
            Self::Run(frames) => frames.len(),
        }
    }

    /// One of them, by its number.
    fn get(&self, number: usize) -> Option<Frame> {
        match self {
            Self::One(frame) => (number == 0).then_some(*frame),
            Self::Buffer(buffer) => (number == 0).then(|| buffer.frame()),
            Self::Run(frames) => frames.get(number).copied(),
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
        let most = frames.len() * FRAME;
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

    /// A part of a packet that an interface has received into this buffer: `length` bytes from `start`
    /// of its frame on.
    pub(crate) fn of_buffer(
        environment: &'static dyn Environment,
        buffer: Buffer,
        start: usize,
        length: usize,
    ) -> Self {
        Self::new(environment, Frames::Buffer(buffer), start, length)
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

    /// New frames with bytes from where a cursor is, which goes on: `length` of them, or fewer if there
    /// is no memory for more, or the program's cannot be used further on.
    ///
    /// # Errors
    /// ENOBUFS without memory, or that the program's cannot be used, or not yet.
    pub(crate) fn copied(
        environment: &'static dyn Environment,
        owner: Owner,
        length: usize,
        from: &mut Cursor<'_>,
    ) -> Result<Result<Self, UserError>, Errno> {
        let mut frames = ArrayVec::<Frame, RUN>::new();
        let mut done = 0;
        while done < length && !frames.is_full() {
            let part = FRAME.min(length - done);
            let taken = match Self::copied_one(environment, owner, part, from) {
                Err(error) if frames.is_empty() => return Err(error),
                Ok(Err(error)) if frames.is_empty() => return Ok(Err(error)),
                taken => taken,
            };
            let Ok(Ok(frame)) = taken else {
                break;
            };
            frames.push(frame);
            done += part;
        }
        Ok(Ok(Self::of_frames(environment, &frames, 0, done)))
    }

    /// A new frame with `length` bytes from where a cursor is, which goes on if nothing fails.
    fn copied_one(
        environment: &'static dyn Environment,
        owner: Owner,
        length: usize,
        from: &mut Cursor<'_>,
    ) -> Result<Result<Frame, UserError>, Errno> {
        let frame = environment.allocate(owner).map_err(|_| Errno::ENOBUFS)?;
        let mut next = from.clone();
        if let Err(error) = next.take_to((frame, 0), length, environment) {
            environment.release(&[frame]);
            return Ok(Err(error));
        }
        *from = next;
        Ok(Ok(frame))
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
            let frame = self.frames.get(at / FRAME)?;
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
            Frames::One(frame) => self.environment.release(&[*frame]),
            Frames::Run(frames) => self.environment.release(frames),
            Frames::Buffer(_) => {}
        }
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Chunk").field(&self.length).finish()
    }
}

impl vortex_tcp::Buffer for Chunk {
    fn length(&self) -> usize {
        self.length
    }

    fn footprint(&self) -> usize {
        match &self.frames {
            Frames::Buffer(_) => interface::BUFFER,
            own => own.len() * FRAME,
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
