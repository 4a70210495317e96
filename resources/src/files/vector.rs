//! Transfers with flags of their own: `preadv2`(2), `pwritev2`(2), and operations of `io_submit`(2).
//!
//! Key types: [`Parts`], [`Streamed`].

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use linux_raw_sys::general::{
    O_APPEND, O_DSYNC, O_SYNC, RWF_APPEND, RWF_DSYNC, RWF_HIPRI, RWF_NOWAIT, RWF_SYNC,
};

use super::cache::LARGEST;
use super::cursor::Buffer;
use super::descriptors::{OpenFile, Opened};
use super::{Call, Failure, Outcome};
use crate::errno::Errno;

/// The program's memory for a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// In one piece: address and length.
    One(u64, u64),
    /// In several: the address of an array of `struct iovec`, and how many there are.
    Vector(u64, u64),
}

/// A transfer to or from what has no position, whose arguments have been looked at.
#[derive(Debug)]
pub struct Streamed {
    /// What is read or written.
    pub file: Arc<OpenFile>,
    /// Whether it is written.
    pub writes: bool,
    /// The program's memory.
    pub buffers: Vec<Buffer>,
    /// Whether it fails with EAGAIN where it would wait.
    pub never_waits: bool,
}

impl Call<'_> {
    /// What is to be read or written as the `RWF_…` flags say; `None` if the file has positions.
    ///
    /// # Errors
    /// As preadv2(2) and pwritev2(2), but for what only an attempt can show. As on Linux, EINVAL for
    /// writing to an event counter.
    pub fn streamed(
        &self,
        descriptor: i32,
        parts: Parts,
        flags: u32,
        writes: bool,
    ) -> Result<Option<Streamed>, Failure> {
        let file = match writes {
            true => self.writable(descriptor)?,
            false => self.readable(descriptor)?,
        };
        if !file.is_stream() {
            return Ok(None);
        }
        if writes && matches!(file.opened, Opened::Counter(_)) {
            return Err(Errno::EINVAL.into());
        }
        let buffers = self.parts(parts)?;
        checked(&file, flags)?;
        Ok(Some(Streamed {
            file,
            writes,
            buffers,
            never_waits: flags & RWF_NOWAIT != 0,
        }))
    }

    /// Reads at `offset`, or at the file's position if that is -1, as the `RWF_…` flags say.
    ///
    /// # Errors
    /// As preadv2(2).
    pub fn read_parts(&self, descriptor: i32, parts: Parts, offset: i64, flags: u32) -> Outcome {
        let at = place(offset)?;
        let file = self.readable(descriptor)?;
        let buffers = self.parts(parts)?;
        checked(&file, flags)?;
        self.at_once_if(flags & RWF_NOWAIT != 0, self.read_into(&file, &buffers, at))
    }

    /// Writes at `offset`, or at the file's position if that is -1, as the `RWF_…` flags say.
    ///
    /// # Errors
    /// As pwritev2(2).
    pub fn write_parts(&self, descriptor: i32, parts: Parts, offset: i64, flags: u32) -> Outcome {
        let at = place(offset)?;
        let file = self.writable(descriptor)?;
        let buffers = self.parts(parts)?;
        let flags_of_file = checked(&file, flags)?;
        let written = self.write_from(&file, &buffers, at, flags_of_file);
        self.at_once_if(flags & RWF_NOWAIT != 0, written)
    }

    fn parts(&self, parts: Parts) -> Result<Vec<Buffer>, Failure> {
        match parts {
            Parts::One(address, length) => Ok(vec![self.buffer(address, length)?]),
            Parts::Vector(address, count) => self.buffers(address, count),
        }
    }

    /// A transfer that is not to wait ends with what it has moved.
    fn at_once_if(&self, is_so: bool, outcome: Outcome) -> Outcome {
        match outcome {
            Err(Failure::Blocks(..)) if is_so => match self.done.get() {
                0 => Err(Errno::EAGAIN.into()),
                done => Ok(done),
            },
            outcome => outcome,
        }
    }
}

/// Whether a file can be so long that a transfer at an offset ends in it.
///
/// # Errors
/// EINVAL.
pub(super) fn check_end(buffers: &[Buffer], at: Option<u64>) -> Result<(), Errno> {
    let total: u64 = buffers.iter().map(|buffer| buffer.length).sum();
    let end = at.map_or(Some(0), |at| at.checked_add(total));
    match end.is_some_and(|end| i64::try_from(end).is_ok()) {
        true => Ok(()),
        false => Err(Errno::EINVAL),
    }
}

/// The furthest position in a file.
pub(super) const fn furthest(file: &OpenFile) -> u64 {
    match file.opened {
        Opened::Disk(_) => LARGEST,
        _ => i64::MAX as u64,
    }
}

/// Where a transfer begins, if not at the file's position.
fn place(offset: i64) -> Result<Option<u64>, Errno> {
    match offset {
        -1 => Ok(None),
        offset => u64::try_from(offset).map(Some).map_err(|_| Errno::EINVAL),
    }
}

/// The flags of open(2) that hold for this transfer besides those of the file. As Linux's ext2, a
/// file of the disk does not say whether it would wait.
fn checked(file: &OpenFile, flags: u32) -> Result<u32, Errno> {
    const KNOWN: u32 = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND;
    let waits = matches!(file.opened, Opened::Disk(_)) && flags & RWF_NOWAIT != 0;
    if flags & !KNOWN != 0 || waits {
        return Err(Errno::EOPNOTSUPP);
    }
    let both = [
        (RWF_APPEND, O_APPEND),
        (RWF_DSYNC, O_DSYNC),
        (RWF_SYNC, O_SYNC),
    ];
    let meant = both.iter().filter(|(own, _)| flags & own != 0);
    Ok(meant.fold(0, |all, (_, of_file)| all | of_file))
}
