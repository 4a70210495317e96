//! Memory for packets: buffers of half a frame, which a device writes and the stack reads.
//!
//! Key types: [`Pool`] (all of them; it is never given up), [`Buffer`] (one that is out, and goes back
//! when it is dropped), [`Source`] (where frames come from).
//!
//! Buffers that are free are in a list in an array of numbers, whose head has a count that changes
//! with every change of the list: taking and giving back are one compare-and-exchange each, on any
//! core, and no lock.
//!
//! Invariant: a buffer's number is in the list, or one [`Buffer`] has it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use spin::Mutex;

use crate::machine::{Frame, PAGE_SIZE};

/// Bytes of a buffer.
pub const BUFFER: usize = PAGE_SIZE as usize / 2;

/// No buffer.
const NONE: u32 = u32::MAX;

/// Where a pool's frames come from, and stay.
pub trait Source: Send + Sync {
    /// A frame that a device may write.
    fn frame(&self) -> Option<Frame>;
}

impl<F: Fn() -> Option<Frame> + Send + Sync> Source for F {
    fn frame(&self) -> Option<Frame> {
        self()
    }
}

/// The buffers.
pub struct Pool {
    source: Box<dyn Source>,
    /// The first free buffer's number, and above it how often that has changed.
    head: AtomicU64,
    /// By number: the next free one.
    next: Vec<AtomicU32>,
    /// By half of the number: the frame.
    frames: Vec<AtomicU32>,
    /// How many there are. Locked while there come to be more.
    made: Mutex<u32>,
}

impl Pool {
    /// A pool of at most so many frames, which are taken from `source` when there is no free buffer
    /// and kept. It lives as long as the machine, so that a buffer need not count for it.
    #[must_use]
    pub fn new(most_frames: u32, source: impl Source + 'static) -> &'static Self {
        let numbers = || core::iter::repeat_with(|| AtomicU32::new(NONE));
        let frames = most_frames.min(1 << 24) as usize;
        Box::leak(Box::new(Self {
            source: Box::new(source),
            head: AtomicU64::new(NONE.into()),
            next: numbers().take(2 * frames).collect(),
            frames: numbers().take(frames).collect(),
            made: Mutex::new(0),
        }))
    }

    /// A buffer; what is in it is whatever was in it before. `None` if all there may be are out, or
    /// the source has no frame.
    pub fn take(&'static self) -> Option<Buffer> {
        let number = self.pop().or_else(|| self.grow())?;
        Some(Buffer {
            pool: self,
            number,
            frame: Frame(self.frames[number as usize / 2].load(Ordering::Relaxed)),
        })
    }

    /// Buffers that are out, as long as none is taken or given back meanwhile. Looks at every free
    /// one: for statistics and tests.
    #[must_use]
    pub fn out(&self) -> usize {
        let made = 2 * *self.made.lock() as usize;
        let mut next = self.head.load(Ordering::Acquire) as u32;
        let mut free = 0;
        while let Some(after) = self.next.get(next as usize)
            && free < made
        {
            free += 1;
            next = after.load(Ordering::Relaxed);
        }
        made - free
    }

    /// Frames that the pool has.
    #[must_use]
    pub fn frames(&self) -> usize {
        *self.made.lock() as usize
    }

    fn pop(&self) -> Option<u32> {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let number = head as u32;
            let next = self.next.get(number as usize)?.load(Ordering::Relaxed);
            match self.exchange(head, next) {
                Ok(_) => return Some(number),
                Err(now) => head = now,
            }
        }
    }

    fn push(&self, number: u32) {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            self.next[number as usize].store(head as u32, Ordering::Relaxed);
            match self.exchange(head, number) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Puts another number at the head of the list, if it is as it was.
    fn exchange(&self, head: u64, number: u32) -> Result<u64, u64> {
        let count = (head >> 32).wrapping_add(1) << 32;
        let new = count | u64::from(number);
        self.head
            .compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Acquire)
    }

    /// Another frame: one half is given back, the other is returned.
    #[cold]
    fn grow(&self) -> Option<u32> {
        let mut made = self.made.lock();
        let place = self.frames.get(*made as usize)?;
        place.store(self.source.frame()?.0, Ordering::Relaxed);
        let number = 2 * *made;
        *made += 1;
        self.push(number + 1);
        Some(number)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("frames", &self.frames())
            .field("out", &self.out())
            .finish_non_exhaustive()
    }
}

/// A buffer that is out: memory of whoever has this. It goes back to its pool when it is dropped.
pub struct Buffer {
    pool: &'static Pool,
    number: u32,
    frame: Frame,
}

impl Buffer {
    /// The frame that it is a half of.
    #[must_use]
    pub const fn frame(&self) -> Frame {
        self.frame
    }

    /// Where it begins in its frame, in bytes.
    #[must_use]
    pub const fn offset(&self) -> usize {
        BUFFER * (self.number as usize % 2)
    }

    /// Its first byte, as a device sees it.
    #[must_use]
    pub const fn address(&self) -> u64 {
        self.frame.0 as u64 * PAGE_SIZE + self.offset() as u64
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Buffer").field(&self.number).finish()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.push(self.number);
    }
}

#[cfg(test)]
mod tests;
