//! System calls that move data: read, write and their kin, and lseek.
//!
//! A call that moves much lets others go first again and again, so that what it does at a time takes a
//! bounded time.

use alloc::sync::Arc;
use alloc::vec::Vec;

use linux_raw_sys::general::{
    O_ACCMODE, O_RDONLY, O_WRONLY, SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET, UIO_MAXIOV,
};

use super::archive::Device;
use super::cursor::Buffer;
use super::cursor::Cursor;
use super::descriptors::{OpenFile, Opened};
use super::operation::Operation;
use super::ready::Events;
use super::{Call, Failure, Outcome};
use crate::errno::Errno;
use crate::machine::{PAGE_SIZE, USER_END};
use crate::object::Object;
use crate::space::UserError;

/// Bytes that are copied, to a program's memory or from it, before others go first.
pub(super) const AT_A_TIME: u64 = 64 << 10;
/// The most that one call writes to the console, and reads from it.
const MAX_WRITTEN: u64 = 16 << 10;
const MAX_TYPED: usize = 4096;
/// What is made at a time by a device that makes its data.
const CHUNK: usize = 512;
/// The most that a call on Linux moves; counts beyond it are cut.
pub(super) const MAX_COUNT: u64 = 0x7fff_f000;

impl Call<'_> {
    /// `read(descriptor, buffer, count)`.
    ///
    /// # Errors
    /// As read(2).
    pub fn read(&self, descriptor: i32, buffer: u64, count: u64) -> Outcome {
        let file = self.readable(descriptor)?;
        self.read_into(&file, &[self.buffer(buffer, count)?], None)
    }

    /// `pread64(descriptor, buffer, count, offset)`.
    ///
    /// # Errors
    /// As pread(2).
    pub fn read_at(&self, descriptor: i32, buffer: u64, count: u64, offset: i64) -> Outcome {
        let offset = u64::try_from(offset).map_err(|_| Errno::EINVAL)?;
        let file = self.readable(descriptor)?;
        self.read_into(&file, &[self.buffer(buffer, count)?], Some(offset))
    }

    /// `readv(descriptor, buffers, count)`.
    ///
    /// # Errors
    /// As readv(2).
    pub fn read_vector(&self, descriptor: i32, buffers: u64, count: u64) -> Outcome {
        let file = self.readable(descriptor)?;
        self.read_into(&file, &self.buffers(buffers, count)?, None)
    }

    /// `preadv(descriptor, buffers, count, offset)`.
    ///
    /// # Errors
    /// As preadv(2).
    pub fn read_vector_at(
        &self,
        descriptor: i32,
        buffers: u64,
        count: u64,
        offset: i64,
    ) -> Outcome {
        let offset = u64::try_from(offset).map_err(|_| Errno::EINVAL)?;
        let file = self.readable(descriptor)?;
        self.read_into(&file, &self.buffers(buffers, count)?, Some(offset))
    }

    /// `write(descriptor, buffer, count)`.
    ///
    /// # Errors
    /// As write(2).
    pub fn write(&self, descriptor: i32, buffer: u64, count: u64) -> Outcome {
        let file = self.writable(descriptor)?;
        self.write_from(&file, &[self.buffer(buffer, count)?], None, 0)
    }

    /// `pwrite64(descriptor, buffer, count, offset)`.
    ///
    /// # Errors
    /// As pwrite(2).
    pub fn write_at(&self, descriptor: i32, buffer: u64, count: u64, offset: i64) -> Outcome {
        let offset = u64::try_from(offset).map_err(|_| Errno::EINVAL)?;
        let file = self.writable(descriptor)?;
        self.write_from(&file, &[self.buffer(buffer, count)?], Some(offset), 0)
    }

    /// `writev(descriptor, buffers, count)`.
    ///
    /// # Errors
    /// As writev(2).
    pub fn write_vector(&self, descriptor: i32, buffers: u64, count: u64) -> Outcome {
        let file = self.writable(descriptor)?;
        self.write_from(&file, &self.buffers(buffers, count)?, None, 0)
    }

    /// `pwritev(descriptor, buffers, count, offset)`.
    ///
    /// # Errors
    /// As pwritev(2).
    pub fn write_vector_at(
        &self,
        descriptor: i32,
        buffers: u64,
        count: u64,
        offset: i64,
    ) -> Outcome {
        let offset = u64::try_from(offset).map_err(|_| Errno::EINVAL)?;
        let file = self.writable(descriptor)?;
        self.write_from(&file, &self.buffers(buffers, count)?, Some(offset), 0)
    }

    /// `lseek(descriptor, offset, whence)`.
    ///
    /// # Errors
    /// As lseek(2).
    pub fn seek(&self, descriptor: i32, offset: i64, whence: u32) -> Outcome {
        let file = self.descriptors.lock().get(descriptor)?;
        let end = match &file.opened {
            Opened::Place => return Err(Errno::EBADF.into()),
            Opened::Device(Device::Console)
            | Opened::Pipe(_)
            | Opened::Socket(_)
            | Opened::Terminal(_) => {
                return Err(Errno::ESPIPE.into());
            }
            Opened::Device(_) | Opened::Counter(_) | Opened::Timer(_) | Opened::Epoll(_) => {
                return Ok(0);
            }
            Opened::Directory => i64::MAX,
            Opened::File(content) => content.length() as i64,
            Opened::Text(text) => text.len() as i64,
            Opened::Disk(inode) => inode.size() as i64,
        };
        let mut position = file.position.lock();
        let within = || Some(offset).filter(|&offset| (0..end).contains(&offset));
        let new = match whence {
            SEEK_SET => Some(offset),
            SEEK_CUR => (*position as i64).checked_add(offset),
            SEEK_END => end.checked_add(offset),
            // A file is all data; there is a hole behind its end.
            SEEK_DATA => Some(within().ok_or(Errno::ENXIO)?),
            SEEK_HOLE => Some(within().map(|_| end).ok_or(Errno::ENXIO)?),
            _ => return Err(Errno::EINVAL.into()),
        };
        let most = super::vector::furthest(&file);
        let new = new.and_then(|new| u64::try_from(new).ok());
        *position = new.filter(|&new| new <= most).ok_or(Errno::EINVAL)?;
        Ok(*position)
    }

    pub(super) fn readable(&self, descriptor: i32) -> Result<Arc<OpenFile>, Errno> {
        let file = self.descriptors.lock().get(descriptor)?;
        match file.opened {
            Opened::Place => Err(Errno::EBADF),
            _ if file.flags() & O_ACCMODE == O_WRONLY => Err(Errno::EBADF),
            Opened::Directory => Err(Errno::EISDIR),
            _ => Ok(file),
        }
    }

    pub(super) fn writable(&self, descriptor: i32) -> Result<Arc<OpenFile>, Errno> {
        let file = self.descriptors.lock().get(descriptor)?;
        match file.opened {
            Opened::Epoll(_) | Opened::Timer(_) => Err(Errno::EINVAL),
            Opened::Device(_)
            | Opened::Disk(_)
            | Opened::Pipe(_)
            | Opened::Counter(_)
            | Opened::Socket(_)
            | Opened::Terminal(_)
                if file.flags() & O_ACCMODE != O_RDONLY =>
            {
                Ok(file)
            }
            // What is in the archive is never opened for writing.
            _ => Err(Errno::EBADF),
        }
    }

    /// A buffer that a user may have.
    pub(super) fn buffer(&self, address: u64, length: u64) -> Result<Buffer, Failure> {
        let end = address.checked_add(length);
        match end.filter(|&end| end <= USER_END) {
            Some(_) => Ok(Buffer {
                address,
                length: length.min(MAX_COUNT),
            }),
            None => Err(UserError::Bad.into()),
        }
    }

    /// The buffers of an array of `struct iovec`.
    pub(super) fn buffers(&self, address: u64, count: u64) -> Result<Vec<Buffer>, Failure> {
        const SIZE: usize = 16;
        if count > u64::from(UIO_MAXIOV) {
            return Err(Errno::EINVAL.into());
        }
        let mut bytes = alloc::vec![0; count as usize * SIZE];
        if count > 0 {
            self.memory.read(address, &mut bytes)?;
        }
        let (pairs, _) = bytes.as_chunks::<SIZE>();
        let mut left = MAX_COUNT;
        let mut buffers = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let word = |at: usize| {
                let bytes = pair[at..at + 8].first_chunk().copied().unwrap_or_default();
                u64::from_le_bytes(bytes)
            };
            let length = word(8);
            if i64::try_from(length).is_err() {
                return Err(Errno::EINVAL.into());
            }
            let mut buffer = self.buffer(word(0), length)?;
            buffer.length = buffer.length.min(left);
            left -= buffer.length;
            buffers.push(buffer);
        }
        Ok(buffers)
    }

    pub(super) fn read_into(
        &self,
        file: &Arc<OpenFile>,
        buffers: &[Buffer],
        at: Option<u64>,
    ) -> Outcome {
        match &file.opened {
            Opened::Disk(inode) => {
                super::vector::check_end(buffers, at)?;
                let buffers = buffers.to_vec();
                Err(Operation::Read(file.clone(), inode.clone(), buffers, at).into())
            }
            Opened::File(content) => self.read_file(file, content.content(), buffers, at),
            Opened::Text(text) => self.read_file(file, text, buffers, at),
            Opened::Epoll(_) => Err(Errno::EINVAL.into()),
            Opened::Device(Device::Console)
            | Opened::Pipe(_)
            | Opened::Counter(_)
            | Opened::Timer(_)
            | Opened::Socket(_)
            | Opened::Terminal(_)
                if at.is_some() =>
            {
                Err(Errno::ESPIPE.into())
            }
            Opened::Counter(_) | Opened::Timer(_) | Opened::Pipe(_) | Opened::Socket(_) => {
                self.streaming().read(file, buffers)
            }
            Opened::Terminal(terminal) => self.read_terminal(file, terminal, buffers),
            Opened::Device(Device::Console) => self.read_console(buffers),
            Opened::Device(Device::Null) => Ok(0),
            Opened::Device(Device::Zero | Device::Full) => self.fill(buffers, |_| {}),
            Opened::Device(Device::Random) => {
                self.fill(buffers, |chunk| self.devices.random(chunk))
            }
            Opened::Directory => Err(Errno::EISDIR.into()),
            Opened::Place => Err(Errno::EBADF.into()),
        }
    }

    /// Copies from what is in memory whole, up to its end; others go first in between.
    fn read_file(
        &self,
        file: &OpenFile,
        content: &[u8],
        buffers: &[Buffer],
        at: Option<u64>,
    ) -> Outcome {
        let before = self.done.get();
        let mut done = before;
        let mut position = file.position.lock();
        let start = at.map_or(*position, |at| at.saturating_add(done));
        let start = usize::try_from(start).ok();
        let mut rest = start.and_then(|start| content.get(start..));
        let mut cursor = Cursor::new(self.memory, buffers, done);
        while let Some(left) = rest.filter(|rest| !rest.is_empty() && cursor.left() > 0) {
            if done - before >= AT_A_TIME {
                return Err(Failure::Pauses);
            }
            let (piece, behind) = left.split_at(cursor.left_in_page().min(left.len()));
            match cursor.put(piece) {
                // What has been read before the fault counts.
                Err(UserError::Bad) if done > 0 => break,
                put => put?,
            }
            rest = Some(behind);
            done += piece.len() as u64;
            self.done.set(done);
            if at.is_none() {
                *position += piece.len() as u64;
            }
        }
        Ok(done)
    }

    /// What there is on the console. It is gone once it is read, so the buffer comes first.
    fn read_console(&self, buffers: &[Buffer]) -> Outcome {
        let Some(buffer) = buffers.iter().find(|buffer| buffer.length > 0) else {
            return Ok(0);
        };
        let length = buffer.length.min(MAX_TYPED as u64);
        for page in [buffer.address, buffer.address + length - 1] {
            let mut byte = [0];
            self.memory.read(page, &mut byte)?;
            self.memory.write(page, &byte)?;
        }
        let mut bytes = alloc::vec![0; length as usize];
        let length = self.devices.read_console(&mut bytes);
        self.memory.write(buffer.address, &bytes[..length])?;
        Ok(length as u64)
    }

    /// Fills buffers with what `make` makes of zeros.
    fn fill(&self, buffers: &[Buffer], mut make: impl FnMut(&mut [u8])) -> Outcome {
        let before = self.done.get();
        let mut done = before;
        let mut cursor = Cursor::new(self.memory, buffers, done);
        while cursor.left() > 0 {
            let mut chunk = [0; CHUNK];
            let chunk = &mut chunk[..cursor.left().min(CHUNK as u64) as usize];
            make(chunk);
            match cursor.put(chunk) {
                Err(UserError::Bad) if done > 0 => break,
                put => put?,
            }
            done += chunk.len() as u64;
            self.done.set(done);
            if done - before >= AT_A_TIME && cursor.left() > 0 {
                return Err(Failure::Pauses);
            }
        }
        Ok(done)
    }

    /// Writes buffers, with these flags besides those that the file was opened with.
    pub(super) fn write_from(
        &self,
        file: &Arc<OpenFile>,
        buffers: &[Buffer],
        at: Option<u64>,
        flags: u32,
    ) -> Outcome {
        let total = buffers.iter().map(|buffer| buffer.length).sum();
        match &file.opened {
            Opened::Disk(_) if total == 0 => Ok(0),
            Opened::Disk(inode) => {
                super::vector::check_end(buffers, at)?;
                let place = (at, file.flags() | flags);
                Err(Operation::Write(file.clone(), inode.clone(), buffers.to_vec(), place).into())
            }
            Opened::Device(Device::Console)
            | Opened::Pipe(_)
            | Opened::Counter(_)
            | Opened::Socket(_)
            | Opened::Terminal(_)
                if at.is_some() =>
            {
                Err(Errno::ESPIPE.into())
            }
            Opened::Counter(_) | Opened::Pipe(_) | Opened::Socket(_) => {
                self.streaming().write(file, buffers)
            }
            Opened::Terminal(terminal) => self.write_terminal(terminal, buffers),
            Opened::Device(Device::Console) => self.write_console(buffers),
            Opened::Device(Device::Full) => Err(Errno::ENOSPC.into()),
            Opened::Device(Device::Null | Device::Zero | Device::Random) => Ok(total),
            Opened::File(_)
            | Opened::Text(_)
            | Opened::Directory
            | Opened::Place
            | Opened::Timer(_)
            | Opened::Epoll(_) => Err(Errno::EBADF.into()),
        }
    }

    /// All is read before anything is written, so that nothing is written twice.
    fn write_console(&self, buffers: &[Buffer]) -> Outcome {
        let total: u64 = buffers.iter().map(|buffer| buffer.length).sum();
        let mut bytes = alloc::vec![0; total.min(MAX_WRITTEN) as usize];
        let mut start = 0;
        for buffer in buffers {
            let length = (buffer.length as usize).min(bytes.len() - start);
            // As a terminal on Linux, it writes all or nothing of what it takes at once.
            self.memory
                .read(buffer.address, &mut bytes[start..start + length])?;
            start += length;
        }
        bytes.truncate(start);
        self.console.write(self.devices, bytes, start as u64)
    }
}

/// Why a transfer goes no further before the file is ready.
pub(super) fn wait_for(file: &Arc<OpenFile>, events: Events) -> Failure {
    if file.is_nonblocking() {
        return Errno::EAGAIN.into();
    }
    Failure::Blocks(file.clone(), events)
}

// A buffer of one whole write lies in at most two pages.
const _: () = assert!(MAX_TYPED as u64 <= PAGE_SIZE);
