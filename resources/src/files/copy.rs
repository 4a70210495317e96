//! Copying from a file to whatever can be written, inside the kernel: sendfile(2),
//! `copy_file_range`(2).
//!
//! Key types: [`Copying`] (from one file to another, an operation of the Asynchronous I/O Resource),
//! [`Staged`] (a part of a file on its way to something that is written at once).
//!
//! From file to file the pages go from source to sink as those of a read and a write do (paper,
//! section 3.3.1), but for the program's memory in between. What else can be written takes bytes by
//! the same way as from a program, out of a buffer of the kernel's.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;

use linux_raw_sys::general::{O_ACCMODE, O_APPEND, O_DSYNC, O_RDONLY, O_SYNC, O_WRONLY};

use super::aio::{self, label};
use super::cache::{self, Frames, Written};
use super::cursor::Buffer;
use super::descriptors::{OpenFile, Opened};
use super::inode::{Inode, Wanted};
use super::operation::Operation;
use super::page_cache::ArchiveFile;
use super::{Call, Failure, Outcome, UserMemory};
use crate::errand::Here;
use crate::errno::Errno;
use crate::machine::{Frame, Machine, PAGE_SIZE};
use crate::net::Environment;
use crate::space::UserError;
use crate::system::Kind;
use crate::thread::Thread;

/// The most that one call sends to something that is no file, in bytes.
const STAGED: u64 = 64 << 10;
/// The most that one call copies from file to file, in bytes: a program that wants more calls again.
const COPIED: u64 = 16 << 20;
/// Pages that are copied in one step.
const PORTION: u64 = 64;

/// A place in an open file: its position, or what an address of the program's says.
#[derive(Clone, Debug)]
struct Spot {
    file: Arc<OpenFile>,
    /// Where the program keeps the offset; 0 for the file's position.
    told: u64,
    /// In bytes.
    offset: u64,
}

/// A copy from one file to another.
#[derive(Debug)]
pub struct Copying {
    from: Spot,
    to: Spot,
    sink: Arc<Inode>,
    /// The most bytes.
    count: u64,
}

/// A part of a file in the kernel's own memory, to be written as if it were a program's.
struct Staged(Vec<u8>);

impl Staged {
    fn range(&self, address: u64, length: usize) -> Result<core::ops::Range<usize>, UserError> {
        let start = usize::try_from(address).map_err(|_| UserError::Bad)?;
        let end = start.checked_add(length).ok_or(UserError::Bad)?;
        (end <= self.0.len())
            .then_some(start..end)
            .ok_or(UserError::Bad)
    }
}

impl UserMemory for Staged {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), UserError> {
        into.copy_from_slice(&self.0[self.range(address, into.len())?]);
        Ok(())
    }

    /// Nobody writes to it.
    fn write(&self, _: u64, _: &[u8]) -> Result<(), UserError> {
        Err(UserError::Bad)
    }

    fn read_to(
        &self,
        address: u64,
        (frame, offset): (Frame, usize),
        length: usize,
        environment: &dyn Environment,
    ) -> Result<(), UserError> {
        environment.write(frame, offset, &self.0[self.range(address, length)?]);
        Ok(())
    }

    /// Nobody writes to it.
    fn write_from(
        &self,
        _: u64,
        _: (Frame, usize),
        _: usize,
        _: &dyn Environment,
    ) -> Result<(), UserError> {
        Err(UserError::Bad)
    }

    /// There are no strings in it.
    fn read_string(&self, _: u64, _: usize) -> Result<Option<Vec<u8>>, UserError> {
        Err(UserError::Bad)
    }
}

impl Call<'_> {
    /// `sendfile(sink, source, offset, count)`; `offset` is where the program keeps the offset in the
    /// source, 0 for the source's position.
    ///
    /// # Errors
    /// As sendfile(2).
    pub fn send_file(&self, sink: i32, source: i32, offset: u64, count: u64) -> Outcome {
        let from = self.descriptors.lock().get(source)?;
        let from = self.spot(from, offset)?;
        i64::try_from(from.offset).map_err(|_| Errno::EINVAL)?;
        self.check_told(&from)?;
        check_source(&from.file)?;
        let to = self.writable(sink)?;
        if to.flags() & O_APPEND != 0 {
            return Err(Errno::EINVAL.into());
        }
        if count == 0 {
            return Ok(0);
        }
        match &to.opened {
            Opened::Disk(inode) => {
                let sink = inode.clone();
                let to = self.spot(to, 0)?;
                self.copy(from, to, sink, count)
            }
            Opened::Socket(socket) => match socket.connection() {
                Some(stream) => {
                    let begin = (&*from.file, from.offset);
                    let sent = self.send_to_connection(begin, (&to, &stream), count)?;
                    self.go_on(&from, sent)
                }
                None => self.send_staged(&from, &to, count),
            },
            _ => self.send_staged(&from, &to, count),
        }
    }

    /// So many bytes from a place have been sent.
    fn go_on(&self, from: &Spot, sent: u64) -> Outcome {
        let next = from.offset + sent;
        match from.told {
            0 => *from.file.position.lock() = next,
            told => self.memory.write(told, &next.to_le_bytes())?,
        }
        Ok(sent)
    }

    /// `copy_file_range(source, source_offset, sink, sink_offset, count, flags)`; the offsets are
    /// where the program keeps them, 0 for the file's position.
    ///
    /// # Errors
    /// As `copy_file_range`(2).
    pub fn copy_range(&self, from: (i32, u64), to: (i32, u64), count: u64, flags: u32) -> Outcome {
        let [source, file] = [from.0, to.0].map(|number| self.descriptors.lock().get(number));
        let (from, to) = (self.spot(source?, from.1)?, self.spot(file?, to.1)?);
        if flags != 0 {
            return Err(Errno::EINVAL.into());
        }
        check_source(&from.file)?;
        let sink = sink(&to.file)?;
        let ends = [&from, &to].map(|spot| spot.offset.checked_add(count));
        let [Some(_), Some(_)] = ends else {
            return Err(Errno::EOVERFLOW.into());
        };
        if [&from, &to]
            .iter()
            .any(|spot| i64::try_from(spot.offset).is_err())
        {
            return Err(Errno::EINVAL.into());
        }
        let same = matches!(&from.file.opened, Opened::Disk(inode) if Arc::ptr_eq(inode, &sink));
        let distance = from.offset.abs_diff(to.offset);
        if same && distance < count {
            return Err(Errno::EINVAL.into());
        }
        self.check_told(&from)?;
        self.check_told(&to)?;
        if count == 0 {
            return Ok(0);
        }
        self.copy(from, to, sink, count)
    }

    fn copy(&self, from: Spot, to: Spot, sink: Arc<Inode>, count: u64) -> Outcome {
        let count = count.min(COPIED);
        let copying = Copying {
            from,
            to,
            sink,
            count,
        };
        Err(Operation::Copy(Box::new(copying)).into())
    }

    /// The place that a call means. Its offset may be none that a file can have.
    fn spot(&self, file: Arc<OpenFile>, told: u64) -> Result<Spot, Failure> {
        let mut offset = *file.position.lock();
        if told != 0 {
            let mut bytes = [0; 8];
            self.memory.read(told, &mut bytes)?;
            offset = u64::from_le_bytes(bytes);
        }
        Ok(Spot { file, told, offset })
    }

    /// Sees to it that where the program keeps an offset can be written afterwards.
    fn check_told(&self, spot: &Spot) -> Result<(), UserError> {
        match spot.told {
            0 => Ok(()),
            told => self.memory.write(told, &spot.offset.to_le_bytes()),
        }
    }

    fn send_staged(&self, from: &Spot, to: &Arc<OpenFile>, count: u64) -> Outcome {
        let staged = Staged(self.stage(from, count.min(STAGED))?);
        let length = staged.0.len() as u64;
        if length == 0 {
            return Ok(0);
        }
        let inner = Call {
            memory: &staged,
            done: Cell::new(self.done.get()),
            ..*self
        };
        let buffer = Buffer { address: 0, length };
        let sent = inner.write_from(to, &[buffer], None, 0);
        self.done.set(inner.done.get());
        if let Err(Failure::Left(operation)) = &sent
            && let Operation::Print(_, count) = **operation
        {
            // It is written for certain, and nobody comes back here when it is.
            self.go_on(from, count)?;
            return sent;
        }
        self.go_on(from, sent?)
    }

    /// The next bytes of a file, at most `most` of them.
    fn stage(&self, from: &Spot, most: u64) -> Result<Vec<u8>, Failure> {
        let inode = match &from.file.opened {
            Opened::File(content) => {
                let rest = content.from(from.offset);
                return Ok(rest[..rest.len().min(most as usize)].to_vec());
            }
            Opened::Disk(inode) => inode,
            _ => return Err(Errno::EINVAL.into()),
        };
        let disk = self.disk.ok_or(Errno::EIO)?;
        let end = inode.size().min(from.offset.saturating_add(most));
        let mut staged = alloc::vec![0; end.saturating_sub(from.offset) as usize];
        let mut at = from.offset;
        while at < end {
            let (page, in_page) = (at / PAGE_SIZE, at % PAGE_SIZE);
            let length = (PAGE_SIZE - in_page).min(end - at);
            let start = (at - from.offset) as usize;
            let part = &mut staged[start..start + length as usize];
            if !disk.peek(inode, page, in_page as usize, part) {
                let pages = page..end.div_ceil(PAGE_SIZE);
                let length = inode.size().div_ceil(PAGE_SIZE);
                let ahead = from.file.ahead.lock().read(pages, length);
                let wanted = Wanted::Pages(inode.clone(), page..ahead.end);
                return Err(Operation::BringIn(wanted).into());
            }
            at += length;
        }
        Ok(staged)
    }
}

/// Whether a file can be copied from.
fn check_source(file: &OpenFile) -> Result<(), Errno> {
    match &file.opened {
        Opened::Place => Err(Errno::EBADF),
        Opened::Directory => Err(Errno::EISDIR),
        _ if file.flags() & O_ACCMODE == O_WRONLY => Err(Errno::EBADF),
        Opened::File(_) | Opened::Disk(_) => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

/// What is written when a file is copied to.
fn sink(file: &OpenFile) -> Result<Arc<Inode>, Errno> {
    match &file.opened {
        Opened::Directory => Err(Errno::EISDIR),
        // What is in the archive is never opened for writing.
        Opened::Place | Opened::File(_) | Opened::Text(_) => Err(Errno::EBADF),
        Opened::Disk(_) if file.flags() & O_ACCMODE == O_RDONLY => Err(Errno::EBADF),
        Opened::Disk(_) if file.flags() & O_APPEND != 0 => Err(Errno::EBADF),
        Opened::Disk(inode) => Ok(inode.clone()),
        _ => Err(Errno::EINVAL),
    }
}

/// What is written to a file: pages of another, or a part of the archive.
enum Piece<M: Machine> {
    Pages {
        machine: M,
        frames: Frames<M>,
        /// Where the data begins in the first frame.
        first: usize,
        length: usize,
    },
    Bytes(M, &'static [u8]),
}

impl<M: Machine> Written for Piece<M> {
    fn len(&self) -> usize {
        match self {
            Self::Pages { length, .. } => *length,
            Self::Bytes(_, bytes) => bytes.len(),
        }
    }

    fn copy_to(&self, offset: usize, to: (Frame, usize), length: usize) {
        const PAGE: usize = PAGE_SIZE as usize;
        match self {
            Self::Bytes(machine, bytes) => {
                machine.write_frame(to.0, to.1, &bytes[offset..offset + length]);
            }
            Self::Pages {
                machine,
                frames,
                first,
                ..
            } => {
                let mut done = 0;
                while done < length {
                    let at = first + offset + done;
                    let part = (PAGE - at % PAGE).min(length - done);
                    let from = (frames.all()[at / PAGE], at % PAGE);
                    machine.copy_part(from, (to.0, to.1 + done), part);
                    done += part;
                }
            }
        }
    }
}

/// Copies, in the Asynchronous I/O Resource; how many bytes.
///
/// # Errors
/// As `copy_file_range`(2), if nothing was copied.
pub(super) async fn copy<M: Machine>(
    here: &Here<M>,
    thread: &Arc<Thread<M>>,
    copying: Copying,
) -> Result<u64, Errno> {
    let Copying { from, to, sink, .. } = &copying;
    let mut done = 0;
    while done < copying.count {
        let step = match piece(here, from, from.offset + done, copying.count - done).await {
            Ok(Some(piece)) => write(here, sink, to.offset + done, piece).await,
            Ok(None) => break,
            Err(error) => Err(error),
        };
        match step {
            Ok(0) => break,
            Ok(written) => done += written,
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
    }
    if to.file.flags() & (O_SYNC | O_DSYNC) != 0 {
        let sink = sink.clone();
        let sync = move |here: Here<M>| async move { cache::sync_file(&here, &sink).await };
        here.visit(Kind::FileCache, here.activity(), sync).await??;
    }
    for spot in [from, to] {
        let next = spot.offset + done;
        match spot.told {
            0 => *spot.file.position.lock() = next,
            // The page was there when the call was made; a program that has taken it away since
            // does not want to know.
            told => {
                let space = thread.process().space();
                let _ = space.write(told, &next.to_le_bytes());
            }
        }
    }
    Ok(done)
}

/// The next piece of a file, of at most `most` bytes; `None` at its end.
async fn piece<M: Machine>(
    here: &Here<M>,
    from: &Spot,
    offset: u64,
    most: u64,
) -> Result<Option<Piece<M>>, Errno> {
    let machine = here.shared.machine.clone();
    match &from.file.opened {
        Opened::File(content) => {
            Ok(bytes(content, offset, most).map(|bytes| Piece::Bytes(machine, bytes)))
        }
        Opened::Disk(inode) => {
            let first_page = offset / PAGE_SIZE;
            let end = inode.size().min(offset.saturating_add(most));
            let end = end.min((first_page + PORTION) * PAGE_SIZE);
            if end <= offset {
                return Ok(None);
            }
            let pages = first_page..end.div_ceil(PAGE_SIZE);
            let coming = aio::ask(here, label(), inode, pages.clone());
            aio::prefetch(here, &from.file, inode, pages);
            Ok(Some(Piece::Pages {
                machine,
                frames: coming.await?,
                first: (offset % PAGE_SIZE) as usize,
                length: (end - offset) as usize,
            }))
        }
        _ => Err(Errno::EINVAL),
    }
}

fn bytes(content: &ArchiveFile, offset: u64, most: u64) -> Option<&'static [u8]> {
    let rest = content.from(offset);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let part = &rest[..rest.len().min(most)];
    (!part.is_empty()).then_some(part)
}

/// Has the file cache write a piece; how many bytes of it were written.
async fn write<M: Machine>(
    here: &Here<M>,
    sink: &Arc<Inode>,
    offset: u64,
    piece: Piece<M>,
) -> Result<u64, Errno> {
    let sink = sink.clone();
    let work = move |here: Here<M>| async move {
        let (_, done) = cache::write(&here, &sink, Some(offset), &piece).await?;
        here.port.add_bytes(done);
        Ok(done)
    };
    here.visit(Kind::FileCache, here.activity(), work).await?
}
