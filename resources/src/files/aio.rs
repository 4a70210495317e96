//! The Asynchronous I/O Resource: every transfer has a source and a sink (paper, section 3.3.1).
//!
//! Key types: [`Transfer`] (what is to be moved, and who is told), [`PinnedBuffers`] (a program's pinned
//! memory), [`Completion`].
//!
//! Reading a file, the File Cache Resource is the source (READ, READ_DONE with the pages) and the
//! Address Space Resource the sink (WRITE: it copies them to the program's pages); writing, the
//! other way, and the stub of the call has done the source's part: it has pinned the pages. The next
//! READ is under way while the sink consumes. All requests of one transfer have one dependency label,
//! so that the data arrives in the order sent. A blocking call is a transfer, and a thread that
//! waits for its completion.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use vortex_toolkit::ids::DependencyLabel;
use vortex_toolkit::{Context, Outcome};

use super::UserMemory;
use super::cache::{self, Frames, Written};
use super::descriptors::OpenFile;
use super::inode::Inode;
use super::transfer::AT_A_TIME;
use crate::errand::{Errand, Here};
use crate::errno::Errno;
use crate::machine::{Frame, Machine, PAGE_SIZE};
use crate::net::Environment;
use crate::space::{Pinned, UserError};
use crate::system::{Kind, Message, Shared, Vortex};

/// Pages of one READ: 256 KiB.
const PORTION: u64 = 64;
/// Pages that are brought in for a page fault: it is likely that the next ones are wanted too.
const AROUND: u64 = 16;

/// A program's memory, pinned: as if it were in one piece.
pub struct PinnedBuffers<M: Machine>(Vec<Pinned<M>>);

impl<M: Machine> PinnedBuffers<M> {
    /// These pieces, in order.
    #[must_use]
    pub const fn new(pieces: Vec<Pinned<M>>) -> Self {
        Self(pieces)
    }

    /// How many bytes they are.
    #[must_use]
    pub fn total(&self) -> usize {
        self.0.iter().map(Pinned::len).sum()
    }

    /// Copies a part of a frame to `offset`.
    pub fn copy_from(&self, offset: usize, from: (Frame, usize), length: usize) {
        self.each(offset, length, |piece, at, done, length| {
            piece.copy_from(at, (from.0, from.1 + done), length);
        });
    }

    /// Calls with a piece, where in it, how much has been done before, and how much is to be.
    fn each(
        &self,
        offset: usize,
        length: usize,
        mut act: impl FnMut(&Pinned<M>, usize, usize, usize),
    ) {
        let (mut skip, mut done) = (offset, 0);
        for piece in &self.0 {
            if done == length {
                return;
            }
            if skip >= piece.len() {
                skip -= piece.len();
                continue;
            }
            let part = (piece.len() - skip).min(length - done);
            act(piece, skip, done, part);
            done += part;
            skip = 0;
        }
    }
}

impl<M: Machine> PinnedBuffers<M> {
    /// Whether so many bytes at `offset` are in them.
    fn check(&self, offset: u64, length: usize) -> Result<usize, UserError> {
        let offset = usize::try_from(offset).map_err(|_| UserError::Bad)?;
        let end = offset.checked_add(length);
        match end.is_some_and(|end| end <= self.total()) {
            true => Ok(offset),
            false => Err(UserError::Bad),
        }
    }
}

/// Its addresses are offsets.
impl<M: Machine> UserMemory for PinnedBuffers<M> {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), UserError> {
        let offset = self.check(address, into.len())?;
        self.each(offset, into.len(), |piece, at, done, length| {
            piece.read(at, &mut into[done..done + length]);
        });
        Ok(())
    }

    fn write(&self, address: u64, from: &[u8]) -> Result<(), UserError> {
        let offset = self.check(address, from.len())?;
        self.each(offset, from.len(), |piece, at, done, length| {
            piece.write(at, &from[done..done + length]);
        });
        Ok(())
    }

    fn read_to(
        &self,
        address: u64,
        to: (Frame, usize),
        length: usize,
        _: &dyn Environment,
    ) -> Result<(), UserError> {
        let offset = self.check(address, length)?;
        self.copy_to(offset, to, length);
        Ok(())
    }

    fn write_from(
        &self,
        address: u64,
        from: (Frame, usize),
        length: usize,
        _: &dyn Environment,
    ) -> Result<(), UserError> {
        let offset = self.check(address, length)?;
        self.copy_from(offset, from, length);
        Ok(())
    }

    /// Nobody looks for strings in it.
    fn read_string(&self, _: u64, _: usize) -> Result<Option<Vec<u8>>, UserError> {
        Err(UserError::Bad)
    }
}

impl<M: Machine> Written for PinnedBuffers<M> {
    fn len(&self) -> usize {
        self.total()
    }

    fn copy_to(&self, offset: usize, to: (Frame, usize), length: usize) {
        self.each(offset, length, |piece, at, done, length| {
            piece.copy_to(at, (to.0, to.1 + done), length);
        });
    }
}

/// READ, to a source: pages of a file.
pub struct Read {
    inode: Arc<Inode>,
    pages: Range<u64>,
}

/// WRITE, to a sink: data for a program's memory.
pub struct Put<M: Machine> {
    frames: Arc<Frames<M>>,
    /// Where the data begins in the frames.
    first: usize,
    /// Not more than [`AT_A_TIME`].
    length: usize,
    buffers: Arc<PinnedBuffers<M>>,
    /// Where it goes in the buffers.
    at: usize,
}

/// The source's work: pages that are here go back at once, others when they have come.
pub(crate) fn source<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    read: Read,
) -> Outcome<Message<M>> {
    let Read { inode, pages } = read;
    if let Some(frames) = cache::read(shared, &inode, pages.clone()) {
        context.add_bytes(frames.all().len() as u64 * PAGE_SIZE);
        let head = *context.head();
        context.reply(&head, Message::ReadDone(Ok(frames)));
        return Outcome::Done;
    }
    let work = move |here: Here<M>| async move {
        let frames = cache::pages_of(&here, &inode, pages).await;
        let count = frames.as_ref().map_or(0, |frames| frames.all().len());
        here.port.add_bytes(count as u64 * PAGE_SIZE);
        here.port.reply(Message::ReadDone(frames));
    };
    match Errand::message(work) {
        Message::Errand(errand) => errand.begin(shared, context),
        message => Outcome::Rejected(message),
    }
}

/// The sink's work: the data goes into the program's memory.
pub(crate) fn sink<M: Machine>(context: &mut Context<'_, Vortex<M>>, put: &Put<M>) {
    const PAGE: usize = PAGE_SIZE as usize;
    let mut done = 0;
    for &frame in put.frames.all().iter().skip(put.first / PAGE) {
        let from = (put.first + done) % PAGE;
        let part = (PAGE - from).min(put.length - done);
        put.buffers.copy_from(put.at + done, (frame, from), part);
        done += part;
        if done == put.length {
            break;
        }
    }
    context.add_bytes(done as u64);
    let head = *context.head();
    context.reply(&head, Message::Done);
}

/// A label that no other transfer has.
pub(super) fn label() -> DependencyLabel {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    DependencyLabel(NEXT.fetch_add(1, Ordering::Relaxed) | 1 << 61)
}

/// Asks the source for pages; the request is under way when this returns.
pub(super) fn ask<M: Machine>(
    here: &Here<M>,
    label: DependencyLabel,
    inode: &Arc<Inode>,
    pages: Range<u64>,
) -> impl Future<Output = Result<Frames<M>, Errno>> + use<M> {
    let destination = here.shared.destination(Kind::FileCache, here.activity());
    let inode = inode.clone();
    let message = Message::Read(Box::new(Read { inode, pages }));
    let answer = here
        .port
        .call(here.port.request(destination, message).ordered(label));
    async move {
        match answer.await {
            Ok(Message::ReadDone(frames)) => frames,
            _ => Err(Errno::EIO),
        }
    }
}

/// Reads a file into a program's memory, at `offset` or at the file's position.
///
/// # Errors
/// As read(2), if nothing was read.
pub(crate) async fn read<M: Machine>(
    here: &Here<M>,
    file: &Arc<OpenFile>,
    inode: &Arc<Inode>,
    offset: Option<u64>,
    buffers: PinnedBuffers<M>,
) -> Result<u64, Errno> {
    let moving = match offset {
        None => Some(file.moving.lock().await),
        Some(_) => None,
    };
    let start = offset.unwrap_or_else(|| *file.position.lock());
    let length = (buffers.len() as u64).min(inode.size().saturating_sub(start));
    if length == 0 {
        return Ok(0);
    }
    let result = fill(here, file, inode, start..start + length, buffers).await;
    if let (Some(moving), Ok(done)) = (moving, result) {
        *file.position.lock() = start + done;
        drop(moving);
    }
    result
}

async fn fill<M: Machine>(
    here: &Here<M>,
    file: &Arc<OpenFile>,
    inode: &Arc<Inode>,
    range: Range<u64>,
    buffers: PinnedBuffers<M>,
) -> Result<u64, Errno> {
    let (label, buffers) = (label(), Arc::new(buffers));
    let pages = range.start / PAGE_SIZE..range.end.div_ceil(PAGE_SIZE);
    let portion = |first: u64| first..pages.end.min(first + PORTION);
    let mut current = portion(pages.start);
    let mut coming = ask(here, label, inode, current.clone());
    prefetch(here, file, inode, pages.clone());
    let mut done = 0;
    loop {
        let frames = match coming.await {
            Ok(frames) => frames,
            Err(_) if done > 0 => return Ok(done),
            Err(error) => return Err(error),
        };
        let next = portion(current.end);
        let begin = range.start.max(current.start * PAGE_SIZE);
        let end = range.end.min(current.end * PAGE_SIZE);
        // The source works on the next portion while the sink consumes this one.
        let following = (!next.is_empty()).then(|| ask(here, label, inode, next.clone()));
        let (first, frames) = (current.start * PAGE_SIZE, Arc::new(frames));
        for part in (begin..end).step_by(AT_A_TIME as usize) {
            let put = Put {
                frames: frames.clone(),
                first: (part - first) as usize,
                length: AT_A_TIME.min(end - part) as usize,
                buffers: buffers.clone(),
                at: (part - range.start) as usize,
            };
            let length = put.length as u64;
            let sink = here.shared.destination(Kind::AddressSpace, here.activity());
            let request = here.port.request(sink, Message::Put(Box::new(put)));
            if here.port.call(request.ordered(label)).await.is_err() {
                return if done > 0 { Ok(done) } else { Err(Errno::EIO) };
            }
            done += length;
        }
        match following {
            None => return Ok(done),
            Some(following) => (coming, current) = (following, next),
        }
    }
}

/// Has the file cache bring in a page that a program has mapped.
///
/// # Errors
/// EIO, ENOMEM.
pub(crate) async fn bring_in_page<M: Machine>(
    here: &Here<M>,
    inode: &Arc<Inode>,
    page: u64,
) -> Result<(), Errno> {
    let end = inode.size().div_ceil(PAGE_SIZE).min(page + AROUND);
    let wanted = page..end.max(page + 1);
    ask(here, label(), inode, wanted).await.map(|_| ())
}

/// Has the source fetch what will be read next, if the reader goes through the file in sequence.
pub(super) fn prefetch<M: Machine>(
    here: &Here<M>,
    file: &Arc<OpenFile>,
    inode: &Arc<Inode>,
    pages: Range<u64>,
) {
    let length = inode.size().div_ceil(PAGE_SIZE);
    let ahead = file.ahead.lock().read(pages, length);
    if ahead.is_empty() || cache::read(&here.shared, inode, ahead.clone()).is_some() {
        return;
    }
    let inode = inode.clone();
    here.dispatch(
        Kind::FileCache,
        here.activity(),
        |here: Here<M>| async move {
            // Whoever reads it is told what went wrong.
            let _ = cache::pages_of(&here, &inode, ahead).await;
        },
    );
}

/// Writes a program's memory to a file, at `offset`, at the file's position or at its end, as the flags
/// of open(2) say.
///
/// # Errors
/// As write(2), if nothing was written.
pub(crate) async fn write<M: Machine>(
    here: &Here<M>,
    file: &Arc<OpenFile>,
    inode: &Arc<Inode>,
    (offset, flags): (Option<u64>, u32),
    buffers: PinnedBuffers<M>,
) -> Result<u64, Errno> {
    use linux_raw_sys::general::{O_APPEND, O_DSYNC, O_SYNC};
    let moving = match offset {
        None => Some(file.moving.lock().await),
        Some(_) => None,
    };
    let place = match flags & O_APPEND {
        0 => Some(offset.unwrap_or_else(|| *file.position.lock())),
        _ => None,
    };
    let (sink, synced) = (inode.clone(), flags & (O_SYNC | O_DSYNC) != 0);
    let work = move |here: Here<M>| async move {
        let (start, done) = cache::write(&here, &sink, place, &buffers).await?;
        here.port.add_bytes(done);
        if synced {
            cache::sync_file(&here, &sink).await?;
        }
        Ok((start, done))
    };
    let written = here.visit(Kind::FileCache, here.activity(), work).await?;
    let (start, done) = written?;
    if let Some(moving) = moving {
        *file.position.lock() = start + done;
        drop(moving);
    }
    Ok(done)
}
