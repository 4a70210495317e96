//! sendfile(2): from a file to a connection.
//!
//! A disk file's pages are sent where they lie in the file cache: packets refer to them, and nothing
//! is copied. What is in the archive is copied from there into frames, which the device can reach.

use alloc::sync::Arc;

use linux_raw_sys::general::{O_ACCMODE, O_RDONLY, O_WRONLY};
use vortex_tcp::Piece;

use super::descriptors::{OpenFile, Opened};
use super::operation::Operation;
use super::ready::Events;
use super::transfer::MAX_COUNT;
use super::{Call, Failure, Outcome};
use crate::errno::Errno;
use crate::machine::PAGE_SIZE;
use crate::net::{Chunk, Moving, Part, Stream, Transfer};
use crate::object::Object;

/// The most that one call sends before others go first.
const PORTION: u64 = 1 << 20;

/// What is sent: pages of a file, and where to.
struct Sending<'a> {
    source: &'a Opened,
    sink: &'a Arc<OpenFile>,
    stream: &'a Arc<Stream>,
}

impl Call<'_> {
    /// `sendfile(out, in, offset, count)`, from a file to a connection of TCP; to anything else it
    /// gives EINVAL, upon which programs read and write.
    ///
    /// # Errors
    /// As sendfile(2).
    pub fn send_file(&self, out: i32, input: i32, offset_at: u64, count: u64) -> Outcome {
        let table = self.descriptors.lock();
        let (file, sink) = (table.get(input), table.get(out));
        drop(table);
        // As on Linux, the place first, then what is read, then what is written.
        let given = match offset_at {
            0 => None,
            at => {
                let mut bytes = [0; 8];
                self.memory.read(at, &mut bytes)?;
                self.memory.write(at, &bytes)?;
                Some(i64::from_le_bytes(bytes))
            }
        };
        let file = file?;
        if file.flags() & O_ACCMODE == O_WRONLY || matches!(file.opened, Opened::Place) {
            return Err(Errno::EBADF.into());
        }
        let given = match given.map(u64::try_from) {
            Some(Err(_)) => return Err(Errno::EINVAL.into()),
            Some(Ok(offset)) => Some(offset),
            None => None,
        };
        let sink = sink?;
        if sink.flags() & O_ACCMODE == O_RDONLY || matches!(sink.opened, Opened::Place) {
            return Err(Errno::EBADF.into());
        }
        let Opened::Socket(socket) = &sink.opened else {
            return Err(Errno::EINVAL.into());
        };
        let length = match &file.opened {
            Opened::File(content) => content.length(),
            Opened::Disk(inode) => inode.size(),
            _ => return Err(Errno::EINVAL.into()),
        };
        let stream = socket.connection().ok_or(Errno::EINVAL)?;
        let start = given.unwrap_or_else(|| *file.position.lock());
        let end = start.saturating_add(count.min(MAX_COUNT)).min(length);
        let sending = Sending {
            source: &file.opened,
            sink: &sink,
            stream: &stream,
        };
        let done = self.send_pages(&sending, start, end)?;
        match given {
            Some(_) => self
                .memory
                .write(offset_at, &(start + done).to_le_bytes())?,
            None => *file.position.lock() = start + done,
        }
        Ok(done)
    }

    /// Sends what is left of a range; how much has been sent then.
    fn send_pages(&self, sending: &Sending<'_>, start: u64, end: u64) -> Outcome {
        let before = self.done.get();
        let mut done = before;
        while start + done < end {
            let at = start + done;
            let room = match sending.stream.room() {
                Ok(room) => room as u64,
                Err(moved) => match sending.stop(moved, done) {
                    Ok(()) => break,
                    Err(failure) => return Err(failure),
                },
            };
            let in_page = PAGE_SIZE - at % PAGE_SIZE;
            let length = in_page.min(end - at).min(room);
            let part = self.part(sending, at, length)?;
            let how = Transfer {
                more: at + length < end,
                ..Transfer::default()
            };
            match sending.stream.append(part, how) {
                Moving::Bytes(bytes) => done += bytes,
                moved => match sending.stop(moved, done) {
                    Ok(()) => break,
                    Err(failure) => return Err(failure),
                },
            }
            self.done.set(done);
            if done - before >= PORTION && start + done < end {
                return Err(Failure::Pauses);
            }
        }
        Ok(done)
    }

    /// Bytes of a file that lie in one page.
    fn part(&self, sending: &Sending<'_>, at: u64, length: u64) -> Result<Part, Failure> {
        let (start, length) = ((at % PAGE_SIZE) as usize, length as usize);
        let environment = sending.stream.environment().clone();
        let chunk = match sending.source {
            Opened::Disk(inode) => {
                let page = at / PAGE_SIZE;
                let frame = inode.cached(page);
                let frame = frame.ok_or_else(|| Operation::Fetch(inode.clone(), page))?;
                Chunk::of_frame(environment, frame, start, length)
            }
            Opened::File(content) => {
                let mut left = content.from(at);
                let owner = sending.stream.owner();
                let filled = Chunk::filled(&environment, owner, length, |part| {
                    let (now, later) = left.split_at(part.len().min(left.len()));
                    part[..now.len()].copy_from_slice(now);
                    left = later;
                    Ok::<(), Errno>(())
                });
                filled??
            }
            _ => return Err(Errno::EINVAL.into()),
        };
        Ok(Piece::whole(Arc::new(chunk)))
    }
}

impl Sending<'_> {
    /// What becomes of a call that could send no more: it ends if it has sent something and does not
    /// wait, or cannot go on.
    fn stop(&self, moved: Moving, done: u64) -> Result<(), Failure> {
        match moved {
            Moving::Blocks if !self.sink.is_nonblocking() => {
                Err(Failure::Blocks(self.sink.clone(), Events::WRITABLE))
            }
            _ if done > 0 => Ok(()),
            Moving::Blocks | Moving::Bytes(_) => Err(Errno::EAGAIN.into()),
            Moving::Broken | Moving::End => Err(Failure::Broken),
            Moving::Failed(error) => Err(error.into()),
        }
    }
}
