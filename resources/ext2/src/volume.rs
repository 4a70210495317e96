//! What the file system stands on: a [`Volume`] of bytes, read and written asynchronously.
//!
//! Metadata comes and goes as bytes. The data of files is opaque memory ([`Data`]): in the kernel a
//! list of frames of the file cache, which goes from there to the disk without passing through here.
//! Every request says its [`Purpose`], of which the kernel makes who pays and what keeps its order
//! (paper, section 4.5).

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::Future;

use crate::attributes::InodeNumber;

/// What a request is for (paper, section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Blocks of one file only: its data, its block tables, a directory's entries, a symbolic
    /// link's target. The requester pays.
    Private(InodeNumber),
    /// Blocks with information about several files: superblock, group descriptors, bitmaps, inode
    /// tables, extended attributes. The infrastructure pays.
    Shared,
}

/// A request failed: the device says so, or is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoError;

impl core::fmt::Display for IoError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the device failed")
    }
}

impl core::error::Error for IoError {}

/// Memory for the data of a file, which carries its own length.
///
/// A value is a handle: what a read puts into it, whoever made it finds in the memory behind it.
pub trait Data: Send + Sized + 'static {
    /// Its length in bytes.
    fn length(&self) -> usize;

    /// The first `at` bytes, and the rest; `at` is a multiple of the block size (1, 2 or 4 KB)
    /// inside of the length.
    fn split(self, at: usize) -> (Self, Self);

    /// Fills it with zeros: it is of a hole, or past the end of the file.
    fn clear(self);
}

/// A disk volume. Offsets are in bytes, from its start.
///
/// Requests under way may be carried out in any order. A write that has completed may be lost in a
/// power cut until a [`flush`](Self::flush) that began after its completion has completed. The file
/// system waits for the completion of a request wherever the order matters, so that nothing but
/// this is asked of an implementation; what one label of a [`Purpose`] covers may of course keep
/// its order.
pub trait Volume: Send + Sync + 'static {
    /// Memory for the data of files.
    type Data: Data;

    /// The size in bytes. It does not change.
    fn size(&self) -> u64;

    /// For whom the operation is that is being polled. Those of one asker wait for each other's
    /// reads of private blocks; another asker's read may take longer than one's own would, so it is
    /// not waited for.
    fn asker(&self) -> u64 {
        0
    }

    /// Reads metadata.
    ///
    /// # Errors
    /// When the device fails.
    fn read(
        &self,
        offset: u64,
        bytes: usize,
        purpose: Purpose,
    ) -> impl Future<Output = Result<Box<[u8]>, IoError>> + Send;

    /// Writes metadata.
    ///
    /// # Errors
    /// When the device fails. Any part of it may have been written.
    fn write(
        &self,
        offset: u64,
        data: Arc<[u8]>,
        purpose: Purpose,
    ) -> impl Future<Output = Result<(), IoError>> + Send;

    /// Fills `data` with a file's data.
    ///
    /// # Errors
    /// When the device fails.
    fn read_data(
        &self,
        offset: u64,
        data: Self::Data,
        purpose: Purpose,
    ) -> impl Future<Output = Result<(), IoError>> + Send;

    /// Writes a file's data.
    ///
    /// # Errors
    /// When the device fails. Any part of it may have been written.
    fn write_data(
        &self,
        offset: u64,
        data: Self::Data,
        purpose: Purpose,
    ) -> impl Future<Output = Result<(), IoError>> + Send;

    /// Makes all writes that have completed durable.
    ///
    /// # Errors
    /// When the device fails; nothing can be said then of what is durable.
    fn flush(&self) -> impl Future<Output = Result<(), IoError>> + Send;
}
