//! Linux's native asynchronous I/O (io_setup(2) and what belongs to it), for reading: several reads
//! are on their way at once, and one thread waits for all of them. Works on Linux, too.
//!
//! Key types: [`Queue`], [`Completion`]. Invariant: while a read is on its way the queue owns its
//! buffer and its control block, and neither moves.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use crate::stub;

/// Numbers of the calls (Linux, x86-64).
const IO_SETUP: u64 = 206;
const IO_DESTROY: u64 = 207;
const IO_GETEVENTS: u64 = 208;
const IO_SUBMIT: u64 = 209;
/// `IOCB_CMD_PREAD`.
const PREAD: u16 = 0;

/// `struct iocb`, as little-endian Linux lays it out.
#[repr(C)]
#[derive(Default)]
struct ControlBlock {
    data: u64,
    key: u32,
    flags_of_read: u32,
    command: u16,
    priority: i16,
    descriptor: u32,
    buffer: u64,
    length: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    notify: u32,
}

/// `struct io_event`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Event {
    data: u64,
    control_block: u64,
    result: i64,
    second_result: i64,
}

/// A read on its way.
struct Pending<T> {
    control_block: Box<ControlBlock>,
    buffer: Vec<u8>,
    token: T,
}

/// What has become of a read.
#[derive(Debug)]
pub struct Completion<T> {
    /// What [`Queue::read`] was given.
    pub token: T,
    /// The buffer, as long as it was.
    pub buffer: Vec<u8>,
    /// The number of bytes at its beginning that were read.
    pub result: io::Result<usize>,
}

/// Reads on their way, at most as many as the queue was made for. Each has a token by which its
/// owner knows it.
pub struct Queue<T> {
    context: u64,
    pending: Vec<Option<Pending<T>>>,
    vacant: Vec<usize>,
}

impl<T> Queue<T> {
    /// A queue for so many reads at once.
    ///
    /// # Errors
    /// What io_setup(2) says.
    pub fn new(depth: u32) -> io::Result<Self> {
        let mut context = 0_u64;
        let address = &raw mut context as u64;
        // SAFETY: the kernel writes one word, to `context`.
        unsafe { stub::call(IO_SETUP, [depth.into(), address]) }?;
        let slots = depth as usize;
        Ok(Self {
            context,
            pending: (0..slots).map(|_| None).collect(),
            vacant: (0..slots).rev().collect(),
        })
    }

    /// Reads on their way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending.len() - self.vacant.len()
    }

    /// Whether no read is on its way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Starts to read from `offset` of a file on, until the buffer is full or the file ends. The
    /// completion has the token.
    ///
    /// # Errors
    /// `WouldBlock` if all are on their way that the queue was made for; else what io_submit(2)
    /// says.
    pub fn read(
        &mut self,
        file: impl AsFd,
        offset: u64,
        buffer: Vec<u8>,
        token: T,
    ) -> io::Result<()> {
        let offset = i64::try_from(offset).map_err(io::Error::other)?;
        let slot = self.vacant.pop().ok_or(io::ErrorKind::WouldBlock)?;
        let mut pending = Pending {
            control_block: Box::default(),
            buffer,
            token,
        };
        *pending.control_block = ControlBlock {
            data: slot as u64,
            command: PREAD,
            descriptor: file.as_fd().as_raw_fd().cast_unsigned(),
            buffer: pending.buffer.as_mut_ptr() as u64,
            length: pending.buffer.len() as u64,
            offset,
            ..ControlBlock::default()
        };
        let list = [&raw const *pending.control_block as u64];
        // Before the kernel knows of it: from then on it must not be dropped.
        self.pending[slot] = Some(pending);
        // SAFETY: the list has one address, of a control block that `pending` owns together with the
        // buffer that it names, until the read has completed.
        let submitted = unsafe { stub::call(IO_SUBMIT, [self.context, 1, list.as_ptr() as u64]) };
        if let Err(error) = submitted {
            self.pending[slot] = None;
            self.vacant.push(slot);
            return Err(error);
        }
        Ok(())
    }

    /// Waits until at least one read has completed, and returns up to `limit` that have. Nothing if
    /// no read is on its way.
    ///
    /// # Errors
    /// What io_getevents(2) says.
    pub fn wait(&mut self, limit: usize) -> io::Result<Vec<Completion<T>>> {
        if self.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let mut events = vec![Event::default(); limit.min(self.pending.len())];
        let (room, address) = (events.len() as u64, events.as_mut_ptr() as u64);
        // SAFETY: the kernel writes at most `room` events, which `events` has room for; there is no
        // timeout.
        let count = unsafe { stub::call(IO_GETEVENTS, [self.context, 1, room, address, 0]) }?;
        let happened = &events[..usize::try_from(count).map_err(io::Error::other)?];
        Ok(happened
            .iter()
            .filter_map(|event| self.complete(event))
            .collect())
    }

    fn complete(&mut self, event: &Event) -> Option<Completion<T>> {
        let slot = usize::try_from(event.data).ok()?;
        let pending = self.pending.get_mut(slot)?.take()?;
        self.vacant.push(slot);
        let error = |_| i32::try_from(event.result.unsigned_abs()).unwrap_or(i32::MAX);
        let result = usize::try_from(event.result).map_err(error);
        Some(Completion {
            token: pending.token,
            buffer: pending.buffer,
            result: result.map_err(io::Error::from_raw_os_error),
        })
    }
}

impl<T> Drop for Queue<T> {
    /// Waits for what is on its way.
    fn drop(&mut self) {
        // SAFETY: the call takes no address.
        let destroyed = unsafe { stub::call(IO_DESTROY, [self.context]) };
        if destroyed.is_err() {
            // The kernel may still write to the buffers.
            std::mem::forget(std::mem::take(&mut self.pending));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    /// This file, whose text is known.
    fn file() -> (File, &'static [u8]) {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/aio.rs");
        (File::open(path).unwrap(), include_bytes!("aio.rs"))
    }

    #[test]
    fn reads_complete_with_what_is_in_the_file() {
        let (file, text) = file();
        let mut queue = Queue::new(4).unwrap();
        let offsets = [0, 100, 1000, text.len() - 10];
        for offset in offsets {
            queue
                .read(&file, offset as u64, vec![0; 64], offset)
                .unwrap();
        }
        let full = queue.read(&file, 0, vec![0; 64], 0).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let mut seen = 0;
        while !queue.is_empty() {
            for done in queue.wait(4).unwrap() {
                let expected = &text[done.token..text.len().min(done.token + 64)];
                assert_eq!(&done.buffer[..done.result.unwrap()], expected);
                seen += 1;
            }
        }
        assert_eq!(seen, offsets.len());
        assert!(queue.wait(4).unwrap().is_empty(), "nothing is on its way");
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_takes_no_slot() {
        let mut queue = Queue::new(1).unwrap();
        let folder = File::open(env!("CARGO_MANIFEST_DIR")).unwrap();
        for _ in 0..3 {
            assert!(queue.read(&folder, 0, vec![0; 8], ()).is_err());
        }
        let (file, text) = file();
        queue.read(&file, 0, vec![0; 8], ()).unwrap();
        assert_eq!(queue.wait(1).unwrap()[0].buffer, text[..8]);
    }
}
