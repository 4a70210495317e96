//! Memory for packets: buffers of half a frame, which a device writes and the stack reads.
//!
//! Key types: [`Pool`] (all of them; it is never given up), [`Buffer`] (one that is out, and goes back
//! when it is dropped), [`Spent`] (those that go back together), [`Source`] (where frames come from).
//!
//! Buffers that are free are in a list in an array of numbers, whose head has a count that changes
//! with every change of the list: taking and giving back are one compare-and-exchange each, on any
//! core, and no lock; of one buffer or of many.
//!
//! Invariant: a buffer's number is in the list, or one [`Buffer`] or [`Spent`] has it.

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
        let (number, count) = self.pop(1);
        let number = if count > 0 { number } else { self.grow()? };
        Some(self.buffer(number))
    }

    /// As many buffers as there are, at most `most`, as by [`Self::take`], one after another to `give`.
    /// Those that are free are taken by one locked operation.
    pub fn take_many(&'static self, most: usize, give: &mut dyn FnMut(Buffer)) {
        let (mut number, count) = self.pop(most);
        for _ in 0..count {
            // Read before it can be back in the list.
            let next = self.next[number as usize].load(Ordering::Relaxed);
            give(self.buffer(number));
            number = next;
        }
        for _ in count..most {
            match self.take() {
                Some(buffer) => give(buffer),
                None => return,
            }
        }
    }

    fn buffer(&'static self, number: u32) -> Buffer {
        Buffer {
            pool: self,
            number,
            frame: Frame(self.frames[number as usize / 2].load(Ordering::Relaxed)),
        }
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

    /// Takes the first `most` numbers, or all, out of the list: the first of them, and how many.
    fn pop(&self, most: usize) -> (u32, usize) {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let (first, mut rest, mut count) = (head as u32, head as u32, 0);
            // What changes meanwhile changes the head, too: then none of this counts.
            while count < most
                && let Some(next) = self.next.get(rest as usize)
            {
                rest = next.load(Ordering::Relaxed);
                count += 1;
            }
            if count == 0 {
                return (first, 0);
            }
            match self.exchange(head, rest) {
                Ok(_) => return (first, count),
                Err(now) => head = now,
            }
        }
    }

    /// Puts numbers into the list, which lead from the first to the last by [`Self::next`].
    fn push(&self, first: u32, last: u32) {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            self.next[last as usize].store(head as u32, Ordering::Relaxed);
            match self.exchange(head, first) {
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
        self.push(number + 1, number + 1);
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
        self.pool.push(self.number, self.number);
    }
}

/// Buffers that go back to their pool all at once, by one locked operation, when this is dropped.
#[derive(Debug, Default)]
pub struct Spent(Option<Chain>);

/// Buffers of one pool, each followed by the next.
#[derive(Debug)]
struct Chain {
    pool: &'static Pool,
    first: u32,
    last: u32,
}

impl Spent {
    /// One more.
    pub fn add(&mut self, buffer: Buffer) {
        let (pool, number) = (buffer.pool, buffer.number);
        // It is this one's to give back.
        core::mem::forget(buffer);
        match &mut self.0 {
            Some(chain) if core::ptr::eq(chain.pool, pool) => {
                pool.next[number as usize].store(chain.first, Ordering::Relaxed);
                chain.first = number;
            }
            other => {
                let (first, last) = (number, number);
                *other = Some(Chain { pool, first, last });
            }
        }
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        self.pool.push(self.first, self.last);
    }
}

#[cfg(test)]
mod tests;
