//! sendfile(2) to a connection of TCP.
//!
//! A disk file's pages are sent where they lie in the file cache: packets refer to them, and nothing
//! is copied. What is in the archive is copied from there into frames, which a device can reach.

use alloc::sync::Arc;

use vortex_tcp::Piece;

use super::descriptors::{OpenFile, Opened};
use super::inode::Wanted;
use super::operation::Operation;
use super::ready::Events;
use super::transfer::MAX_COUNT;
use super::{Call, Failure, Outcome};
use crate::errno::Errno;
use crate::machine::PAGE_SIZE;
use crate::net::{Chunk, Moving, Part, Stream, Transfer};
use crate::object::Object;

/// The most that one call sends before others go first, in bytes.
const PORTION: u64 = 1 << 20;

/// What is sent: pages of a file, and where to.
struct Sending<'a> {
    source: &'a OpenFile,
    sink: &'a Arc<OpenFile>,
    stream: &'a Arc<Stream>,
}

impl Call<'_> {
    /// Sends at most `count` bytes of a file, from `start` on, to a connection; how many. A call that
    /// may wait sends all there are.
    pub(super) fn send_to_connection(
        &self,
        (source, start): (&OpenFile, u64),
        (sink, stream): (&Arc<OpenFile>, &Arc<Stream>),
        count: u64,
    ) -> Outcome {
        let length = match &source.opened {
            Opened::File(content) => content.length(),
            Opened::Disk(inode) => inode.size(),
            _ => return Err(Errno::EINVAL.into()),
        };
        let end = start.saturating_add(count.min(MAX_COUNT)).min(length);
        let sending = Sending {
            source,
            sink,
            stream,
        };
        self.send_pages(&sending, start, end)
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
            let part = part(sending, at, length, end)?;
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
}

/// Bytes of a file that lie in one page, of a transfer up to `end`.
fn part(sending: &Sending<'_>, at: u64, length: u64, end: u64) -> Result<Part, Failure> {
    let (start, length) = ((at % PAGE_SIZE) as usize, length as usize);
    let environment = sending.stream.environment().clone();
    let chunk = match &sending.source.opened {
        Opened::Disk(inode) => {
            let page = at / PAGE_SIZE;
            let Some(frame) = inode.cached(page) else {
                let pages = page..end.div_ceil(PAGE_SIZE);
                let length = inode.size().div_ceil(PAGE_SIZE);
                let ahead = sending.source.ahead.lock().read(pages, length);
                let wanted = Wanted::Pages(inode.clone(), page..ahead.end.max(page + 1));
                return Err(Operation::BringIn(wanted).into());
            };
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
