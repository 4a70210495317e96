//! sendfile(2) to a connection of TCP.
//!
//! A file's pages are sent where they lie: packets refer to them, and nothing is copied. A disk's are
//! in the file cache. What is in the archive is copied once into frames, which a device can reach, and
//! kept there, as what is mapped; without room for that it is copied each time.

use alloc::sync::Arc;

use vortex_tcp::Piece;
use vortex_toolkit::ids::{ActivityId, ResourceId};
use vortex_toolkit::memory::{Owner, Refusal};

use super::descriptors::{OpenFile, Opened};
use super::inode::{Inode, Wanted};
use super::operation::Operation;
use super::page_cache::ArchiveFile;
use super::ready::Events;
use super::transfer::MAX_COUNT;
use super::{Call, Failure, Outcome};
use crate::errno::Errno;
use crate::machine::{Frame, PAGE_SIZE};
use crate::net::{Chunk, Environment, Moving, Part, Stream, Transfer};
use crate::object::{FrameStore, Object};

/// The most that one call sends before others go first, in bytes.
const PORTION: u64 = 256 << 10;

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
        let mut room = 0;
        while start + done < end {
            let at = start + done;
            if room == 0 {
                room = match sending.stream.room() {
                    Ok(room) => room,
                    Err(moved) => match sending.stop(moved, done) {
                        Ok(()) => break,
                        Err(failure) => return Err(failure),
                    },
                };
            }
            let part = self.part(sending, at, (end - at).min(room as u64), end)?;
            let how = Transfer {
                more: at + (part.len() as u64) < end,
                ..Transfer::default()
            };
            match sending.stream.append(part, how) {
                (Moving::Bytes(bytes), left) => {
                    done += bytes;
                    room = left;
                }
                (moved, _) => match sending.stop(moved, done) {
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

    /// Some of the `length` bytes at `at`, of a transfer up to `end`: those in a run of pages that are
    /// in memory.
    fn part(&self, sending: &Sending<'_>, at: u64, length: u64, end: u64) -> Result<Part, Failure> {
        let (page, start) = (at / PAGE_SIZE, (at % PAGE_SIZE) as usize);
        let pages = page..(at + length).div_ceil(PAGE_SIZE);
        let environment = sending.stream.environment();
        let frames = match &sending.source.opened {
            Opened::Disk(inode) => {
                let run = inode.cached_run(pages);
                if run.is_empty() {
                    return Err(bring_in(sending.source, inode, page, end));
                }
                run
            }
            Opened::File(content) => {
                let mut run = content.cached_run(pages);
                if run.is_empty() {
                    match self.load(content, page, environment) {
                        Some(frame) => run.push(frame),
                        None => return copied(sending, content.from(at), length),
                    }
                }
                run
            }
            _ => return Err(Errno::EINVAL.into()),
        };
        let chunk = Chunk::of_frames(environment, &frames, start, length as usize);
        Ok(Piece::whole(Arc::new(chunk)))
    }

    /// A page of a file of the archive, with a reference to it; `None` if there is no room for it.
    fn load(
        &self,
        content: &ArchiveFile,
        page: u64,
        environment: &dyn Environment,
    ) -> Option<Frame> {
        let owner = self.pages.owner()?;
        content.load(page, &Pages { environment, owner }).ok()
    }
}

/// What brings in a page of a file on a disk, and what a transfer up to `end` wants soon.
fn bring_in(source: &OpenFile, inode: &Arc<Inode>, page: u64, end: u64) -> Failure {
    let pages = page..end.div_ceil(PAGE_SIZE);
    let length = inode.size().div_ceil(PAGE_SIZE);
    let ahead = source.ahead.lock().read(pages, length);
    let wanted = Wanted::Pages(inode.clone(), page..ahead.end.max(page + 1));
    Operation::BringIn(wanted).into()
}

/// At most so many bytes of a file in a frame of their own.
fn copied(sending: &Sending<'_>, mut left: &[u8], length: u64) -> Result<Part, Failure> {
    let length = length.min(PAGE_SIZE) as usize;
    let owner = sending.stream.owner();
    let filled = Chunk::filled(sending.stream.environment(), owner, length, |part| {
        let (now, later) = left.split_at(part.len().min(left.len()));
        part[..now.len()].copy_from_slice(now);
        left = later;
        Ok::<(), Errno>(())
    });
    Ok(Piece::whole(Arc::new(filled??)))
}

/// Frames for pages of the archive's files.
struct Pages<'a> {
    environment: &'a dyn Environment,
    owner: (ResourceId, ActivityId),
}

impl FrameStore for Pages<'_> {
    fn allocate(&self, cookie: u64) -> Result<Frame, Refusal> {
        let (resource, activity) = self.owner;
        self.environment.allocate(Owner {
            resource,
            activity,
            cookie,
        })
    }

    fn fill(&self, frame: Frame, bytes: &[u8]) {
        self.environment.write(frame, 0, bytes);
        let rest = &[0; PAGE_SIZE as usize][bytes.len()..];
        self.environment.write(frame, bytes.len(), rest);
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
