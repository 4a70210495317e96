//! Reading and writing what has no position: pipes, sockets, event counters, timers.
//!
//! Key types: [`Streaming`]. Who moves the bytes can be a call, into the memory of the program that
//! makes it, or the Asynchronous I/O Resource, into memory that has been pinned.

use alloc::sync::Arc;
use core::cell::Cell;

use super::cursor::{Buffer, Cursor};
use super::descriptors::{OpenFile, Opened};
use super::event::EventCounter;
use super::pipe::{PipeEnd, Step};
use super::ready::Events;
use super::transfer::{AT_A_TIME, wait_for};
use super::{Call, Failure, Outcome, UserMemory};
use crate::errno::Errno;
use crate::space::UserError;

/// Bytes of an event counter's number.
const COUNT: u64 = 8;

/// A transfer to or from what has no position.
pub struct Streaming<'a> {
    /// The memory that the buffers are in.
    pub memory: &'a dyn UserMemory,
    /// Bytes that have been moved, in earlier attempts and now.
    pub done: &'a Cell<u64>,
}

impl OpenFile {
    /// Whether it is read and written without a position, and may have to be waited for.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        matches!(
            self.opened,
            Opened::Pipe(_) | Opened::Socket(_) | Opened::Counter(_) | Opened::Timer(_)
        )
    }
}

impl Call<'_> {
    /// The transfer that this call makes.
    pub(super) const fn streaming(&self) -> Streaming<'_> {
        Streaming {
            memory: self.memory,
            done: &self.done,
        }
    }
}

impl Streaming<'_> {
    /// Reads from such a file.
    ///
    /// # Errors
    /// As read(2); EINVAL for any other file.
    pub fn read(&self, file: &Arc<OpenFile>, buffers: &[Buffer]) -> Outcome {
        match &file.opened {
            Opened::Counter(counter) => self.read_count(file, buffers, || counter.take()),
            Opened::Timer(timer) => self.read_count(file, buffers, || timer.take()),
            Opened::Pipe(end) => self.read_pipe(file, end, buffers),
            Opened::Socket(socket) => self.read_socket(file, socket, buffers),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    /// Writes to such a file.
    ///
    /// # Errors
    /// As write(2); EINVAL for any other file.
    pub fn write(&self, file: &Arc<OpenFile>, buffers: &[Buffer]) -> Outcome {
        match &file.opened {
            Opened::Counter(counter) => self.write_counter(file, counter, buffers),
            Opened::Pipe(end) => self.write_pipe(file, end, buffers),
            Opened::Socket(socket) => self.write_socket(file, socket, buffers),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    fn read_pipe(&self, file: &Arc<OpenFile>, end: &PipeEnd, buffers: &[Buffer]) -> Outcome {
        let mut done = self.done.get();
        let mut cursor = Cursor::new(self.memory, buffers, done);
        while cursor.left() > 0 {
            match end.read(&mut cursor) {
                Ok(Step::Moved(bytes)) => done += bytes,
                Ok(Step::Gone) => break,
                Ok(Step::Blocks) | Err(UserError::Bad) if done > 0 => break,
                Ok(Step::Blocks) => return Err(wait_for(file, Events::READABLE)),
                Err(error) => return Err(error.into()),
            }
            self.done.set(done);
        }
        Ok(done)
    }

    /// Reads a number that is gone then; `take` says whether there is one.
    fn read_count(
        &self,
        file: &Arc<OpenFile>,
        buffers: &[Buffer],
        take: impl FnOnce() -> Option<u64>,
    ) -> Outcome {
        let mut cursor = Cursor::new(self.memory, buffers, 0);
        if cursor.left() < COUNT {
            return Err(Errno::EINVAL.into());
        }
        // The place first: what is taken is gone.
        let mut bytes = [0; COUNT as usize];
        cursor.clone().take(&mut bytes)?;
        cursor.clone().put(&bytes)?;
        let taken = take();
        let taken = taken.ok_or_else(|| wait_for(file, Events::IN))?;
        cursor.put(&taken.to_le_bytes())?;
        Ok(COUNT)
    }

    fn write_counter(
        &self,
        file: &Arc<OpenFile>,
        counter: &EventCounter,
        buffers: &[Buffer],
    ) -> Outcome {
        let mut cursor = Cursor::new(self.memory, buffers, 0);
        if cursor.left() < COUNT {
            return Err(Errno::EINVAL.into());
        }
        let mut bytes = [0; COUNT as usize];
        cursor.take(&mut bytes)?;
        match counter.add(u64::from_le_bytes(bytes))? {
            true => Ok(COUNT),
            false => Err(wait_for(file, Events::OUT)),
        }
    }

    /// What does not fit is written when there is room again; with `O_NONBLOCK`, not at all.
    fn write_pipe(&self, file: &Arc<OpenFile>, end: &PipeEnd, buffers: &[Buffer]) -> Outcome {
        let before = self.done.get();
        let mut done = before;
        let mut cursor = Cursor::new(self.memory, buffers, done);
        while cursor.left() > 0 {
            match end.write(&mut cursor, done == 0) {
                Ok(Step::Moved(bytes)) => done += bytes,
                Ok(Step::Gone) => return Err(Failure::Broken),
                Ok(Step::Blocks) if done > 0 && file.is_nonblocking() => break,
                Err(UserError::Bad) if done > 0 => break,
                Ok(Step::Blocks) => return Err(wait_for(file, Events::WRITABLE)),
                Err(error) => return Err(error.into()),
            }
            self.done.set(done);
            // Somebody may take it out all the while.
            if done - before >= AT_A_TIME {
                return Err(Failure::Pauses);
            }
        }
        Ok(done)
    }
}
