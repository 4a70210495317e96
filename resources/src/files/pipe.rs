//! Pipes (pipe(7)).
//!
//! Key types: [`PipeEnd`] (what is open: dropping the last one of a side closes it), [`Buffers`]
//! (where a pipe's pages come from, and who pays).
//!
//! As on Linux, a pipe is a row of slots, each with up to a page of bytes. A write of at most a page
//! lies in one slot, so it is not mixed with others; a small one is added to the last slot if it
//! fits there.
//!
//! Invariant: a pipe without bytes has a spare page, so that what is written always gets in at some
//! time, however little memory there is.
//!
//! Locks: the state, and under it the program's memory. Observers are told with neither held.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::fmt::Debug;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::Mutex;
use vortex_toolkit::memory::Refusal;

use super::cursor::Cursor;
use super::ready::{Events, WaitQueue};
use crate::errno::Errno;
use crate::machine::{Frame, PAGE_SIZE};
use crate::space::UserError;

/// Bytes of a slot, and of a write that is not mixed with others (`PIPE_BUF`).
const PAGE: usize = PAGE_SIZE as usize;
/// Slots of a new pipe.
const SLOTS: usize = 16;
/// Bytes that a pipe can be set to hold at most (`/proc/sys/fs/pipe-max-size`).
const MAX_BYTES: usize = 1 << 20;
/// What is copied at a time on its way between a page and the program's memory.
const CHUNK: usize = 1024;

/// Where a pipe's pages come from: the memory multiplexor, on behalf of one activity.
pub trait Buffers: Debug + Send + Sync {
    /// A frame, charged.
    ///
    /// # Errors
    /// Over budget, or out of memory.
    fn allocate(&self) -> Result<Frame, Refusal>;
    /// Reads from a frame, within it.
    fn read(&self, frame: Frame, offset: usize, into: &mut [u8]);
    /// Writes into a frame, within it.
    fn write(&self, frame: Frame, offset: usize, from: &[u8]);
    /// Gives a frame back.
    fn release(&self, frame: Frame);
}

#[derive(Debug)]
struct Slot {
    frame: Frame,
    start: usize,
    length: usize,
}

#[derive(Debug)]
struct State {
    slots: VecDeque<Slot>,
    /// How many slots there may be.
    limit: usize,
    spare: Option<Frame>,
    /// There was no memory for another slot: until something is read, there is none.
    is_short: bool,
    /// Ends that are open.
    readers: usize,
    writers: usize,
}

impl State {
    fn is_full(&self) -> bool {
        self.slots.len() >= self.limit || self.is_short
    }

    /// A page for a new slot, if there may be one.
    fn page(&mut self, buffers: &dyn Buffers) -> Option<Frame> {
        if self.is_full() {
            return None;
        }
        let page = self.spare.take().or_else(|| buffers.allocate().ok());
        self.is_short = page.is_none();
        page
    }

    /// A page that is not used any more.
    fn keep(&mut self, frame: Frame, buffers: &dyn Buffers) {
        match self.spare {
            None => self.spare = Some(frame),
            Some(_) => buffers.release(frame),
        }
    }
}

/// What both ends share.
#[derive(Debug)]
struct Pipe {
    number: u64,
    buffers: Arc<dyn Buffers>,
    state: Mutex<State>,
    readers: Arc<WaitQueue>,
    writers: Arc<WaitQueue>,
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        for frame in state.slots.drain(..).map(|slot| slot.frame) {
            self.buffers.release(frame);
        }
        if let Some(frame) = state.spare.take() {
            self.buffers.release(frame);
        }
    }
}

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// What is written comes out here.
    Read,
    /// What is written goes in here.
    Write,
}

/// How far a step of reading or writing came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many bytes.
    Moved(u64),
    /// Nothing, until the other side has done something.
    Blocks,
    /// Nothing, for ever: the other side has gone.
    Gone,
}

/// An end of a pipe, open until this is dropped.
#[derive(Debug)]
pub struct PipeEnd {
    pipe: Arc<Pipe>,
    side: Side,
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        let mut state = self.pipe.state.lock();
        let left = match self.side {
            Side::Read => &mut state.readers,
            Side::Write => &mut state.writers,
        };
        *left -= 1;
        let is_last = *left == 0;
        drop(state);
        if is_last {
            let other = match self.side {
                Side::Read => &self.pipe.writers,
                Side::Write => &self.pipe.readers,
            };
            other.notify(Events::READABLE | Events::WRITABLE | Events::ALWAYS);
        }
    }
}

impl PipeEnd {
    /// A new pipe: the end to read from, and the end to write to.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn pair(buffers: Arc<dyn Buffers>) -> Result<[Self; 2], Errno> {
        Self::pair_between(buffers, WaitQueue::new(), WaitQueue::new())
    }

    /// As [`Self::pair`], with queues for who waits at the end to read from, and at the other one.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn pair_between(
        buffers: Arc<dyn Buffers>,
        readers: Arc<WaitQueue>,
        writers: Arc<WaitQueue>,
    ) -> Result<[Self; 2], Errno> {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let spare = buffers.allocate().map_err(|_| Errno::ENOMEM)?;
        let state = State {
            slots: VecDeque::new(),
            limit: SLOTS,
            spare: Some(spare),
            is_short: false,
            readers: 1,
            writers: 1,
        };
        let pipe = Arc::new(Pipe {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            buffers,
            state: Mutex::new(state),
            readers,
            writers,
        });
        let end = |side| Self {
            pipe: pipe.clone(),
            side,
        };
        Ok([Side::Read, Side::Write].map(end))
    }

    /// Tells the pipe from all others, as its inode.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.pipe.number
    }

    /// Who waits at this end.
    #[must_use]
    pub fn queue(&self) -> &Arc<WaitQueue> {
        match self.side {
            Side::Read => &self.pipe.readers,
            Side::Write => &self.pipe.writers,
        }
    }

    /// What this end is ready for.
    #[must_use]
    pub fn readiness(&self) -> Events {
        let state = self.pipe.state.lock();
        let mut ready = Events::empty();
        match self.side {
            Side::Read => {
                ready.set(Events::READABLE, !state.slots.is_empty());
                ready.set(Events::HUP, state.writers == 0);
            }
            Side::Write => {
                ready.set(Events::WRITABLE, !state.is_full());
                ready.set(Events::ERR, state.readers == 0);
            }
        }
        ready
    }

    /// Bytes that can be read.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let state = self.pipe.state.lock();
        state.slots.iter().map(|slot| slot.length as u64).sum()
    }

    /// Bytes that the pipe can hold (`F_GETPIPE_SZ`).
    #[must_use]
    pub fn capacity(&self) -> u64 {
        (self.pipe.state.lock().limit * PAGE) as u64
    }

    /// Has the pipe hold at least so many bytes (`F_SETPIPE_SZ`); how many it is then.
    ///
    /// # Errors
    /// EPERM for too many; EBUSY if more is in it; EINVAL for what is no size.
    pub fn set_capacity(&self, bytes: u64) -> Result<u64, Errno> {
        let bytes = usize::try_from(bytes).map_err(|_| Errno::EINVAL)?;
        if bytes > 1 << 31 {
            return Err(Errno::EINVAL);
        }
        let bytes = bytes.max(PAGE).next_power_of_two();
        if bytes > MAX_BYTES {
            return Err(Errno::EPERM);
        }
        let mut state = self.pipe.state.lock();
        let limit = bytes / PAGE;
        if limit < state.slots.len() {
            return Err(Errno::EBUSY);
        }
        state.limit = limit;
        drop(state);
        self.pipe.writers.notify(Events::WRITABLE);
        Ok(bytes as u64)
    }

    /// Moves bytes of one slot to where the cursor is in the program's memory.
    ///
    /// # Errors
    /// The program's memory cannot be used, or not yet; then nothing has been taken out.
    pub fn read(&self, cursor: &mut Cursor<'_>) -> Result<Step, UserError> {
        let buffers = &*self.pipe.buffers;
        let mut state = self.pipe.state.lock();
        let was_full = state.is_full();
        let Some(slot) = state.slots.front_mut() else {
            return Ok(match state.writers {
                0 => Step::Gone,
                _ => Step::Blocks,
            });
        };
        let length = cursor.left().min(slot.length as u64) as usize;
        let mut to = cursor.clone();
        let mut chunk = [0; CHUNK];
        for at in (0..length).step_by(CHUNK) {
            let part = &mut chunk[..CHUNK.min(length - at)];
            buffers.read(slot.frame, slot.start + at, part);
            to.put(part)?;
        }
        slot.start += length;
        slot.length -= length;
        let is_empty = slot.length == 0;
        if is_empty && let Some(slot) = state.slots.pop_front() {
            state.keep(slot.frame, buffers);
            state.is_short = false;
        }
        drop(state);
        *cursor = to;
        if was_full && is_empty {
            self.pipe.writers.notify(Events::WRITABLE);
        }
        Ok(Step::Moved(length as u64))
    }

    /// Moves bytes into one slot from where the cursor is in the program's memory; `merges` says
    /// whether they may go into the last one.
    ///
    /// # Errors
    /// The program's memory cannot be used, or not yet; then nothing has been put in.
    pub fn write(&self, cursor: &mut Cursor<'_>, merges: bool) -> Result<Step, UserError> {
        let buffers = &*self.pipe.buffers;
        let mut state = self.pipe.state.lock();
        if state.readers == 0 {
            return Ok(Step::Gone);
        }
        let mut from = cursor.clone();
        let odd = (cursor.left() % PAGE_SIZE) as usize;
        let last = state.slots.back_mut().filter(|slot| {
            let end = slot.start + slot.length;
            merges && odd > 0 && end + odd <= PAGE
        });
        let length = if let Some(slot) = last {
            fill(
                buffers,
                slot.frame,
                slot.start + slot.length,
                odd,
                &mut from,
            )?;
            slot.length += odd;
            odd
        } else {
            let Some(frame) = state.page(buffers) else {
                return Ok(Step::Blocks);
            };
            let length = cursor.left().min(PAGE_SIZE) as usize;
            if let Err(error) = fill(buffers, frame, 0, length, &mut from) {
                state.keep(frame, buffers);
                return Err(error);
            }
            state.slots.push_back(Slot {
                frame,
                start: 0,
                length,
            });
            length
        };
        drop(state);
        *cursor = from;
        self.pipe.readers.notify(Events::READABLE);
        Ok(Step::Moved(length as u64))
    }
}

/// Fills a part of a frame from the program's memory.
fn fill(
    buffers: &dyn Buffers,
    frame: Frame,
    offset: usize,
    length: usize,
    from: &mut Cursor<'_>,
) -> Result<(), UserError> {
    let mut chunk = [0; CHUNK];
    for at in (0..length).step_by(CHUNK) {
        let part = &mut chunk[..CHUNK.min(length - at)];
        from.take(part)?;
        buffers.write(frame, offset + at, part);
    }
    Ok(())
}
