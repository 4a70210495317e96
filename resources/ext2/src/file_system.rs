//! The operations.

use alloc::boxed::Box;
use core::ops::ControlFlow;

use crate::attributes::{
    Attributes, Changes, Context, Entry, InodeNumber, Kind, Options, Rename, Timestamp, Usage,
};
use crate::error::{Error, MountError};
use crate::volume::Volume;

/// A mounted volume.
///
/// Names are bytes: 1 to 255 of them, without NUL and slash. `.` and `..` are found by
/// [`lookup`](Self::lookup) and are refused wherever a name is made or removed.
///
/// Every operation may also end with [`Error::Io`] when the device fails, with [`Error::Corrupt`]
/// when what it meets on the volume cannot be right, with [`Error::NotFound`] when there is no such
/// inode, and, if it changes anything, with [`Error::ReadOnly`]. One that fails has changed nothing
/// that can be seen, unless it says otherwise. A future that is dropped before its end may leave
/// what it began half done; let it end.
#[derive(Debug)]
pub struct FileSystem<V: Volume> {
    volume: V,
}

impl<V: Volume> FileSystem<V> {
    /// Mounts `volume`. Files that had no name any more when the volume was last used are removed.
    ///
    /// # Errors
    /// See [`MountError`]. Features that forbid only writing make the mount read-only
    /// ([`read_only`](Self::read_only)).
    pub async fn mount(volume: V, options: Options, now: Timestamp) -> Result<Self, MountError> {
        let _ = (options, now);
        Ok(Self { volume })
    }

    /// Writes what there is to write and marks the volume as clean. Nothing may be under way or
    /// open; files without a name that are open are removed.
    ///
    /// # Errors
    /// When the device fails; what could not be written is lost.
    pub async fn unmount(self, now: Timestamp) -> Result<V, Error> {
        let _ = now;
        Ok(self.volume)
    }

    /// Whether the file system is read-only, and why.
    pub fn read_only(&self) -> Option<&str> {
        None
    }

    /// The volume.
    pub const fn volume(&self) -> &V {
        &self.volume
    }

    /// What the file system has, and what of it is free.
    pub fn usage(&self) -> Usage {
        todo!()
    }

    /// Makes all that operations have changed durable, and leaves a state that `e2fsck` calls clean.
    ///
    /// # Errors
    /// When the device fails. What was not written stays to be written.
    pub async fn sync(&self, now: Timestamp) -> Result<(), Error> {
        let _ = now;
        todo!()
    }

    /// Makes one inode durable: all data that [`write`](Self::write) has written, its block tables,
    /// attributes and names. Other metadata that waits is written with it.
    ///
    /// # Errors
    /// When the device fails. What was not written stays to be written.
    pub async fn fsync(&self, inode: InodeNumber, now: Timestamp) -> Result<(), Error> {
        let _ = (inode, now);
        todo!()
    }

    /// An inode's attributes.
    ///
    /// # Errors
    /// See [`FileSystem`].
    pub async fn attributes(&self, inode: InodeNumber) -> Result<Attributes, Error> {
        let _ = inode;
        todo!()
    }

    /// Changes attributes of an inode, which are returned as they are then.
    ///
    /// # Errors
    /// See [`FileSystem`].
    pub async fn set_attributes(
        &self,
        context: Context,
        inode: InodeNumber,
        changes: Changes,
    ) -> Result<Attributes, Error> {
        let _ = (context, inode, changes);
        todo!()
    }

    /// The inode that a name stands for.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotADirectory`], [`Error::NameTooLong`].
    pub async fn lookup(&self, directory: InodeNumber, name: &[u8]) -> Result<InodeNumber, Error> {
        let _ = (directory, name);
        todo!()
    }

    /// As [`lookup`](Self::lookup), and [`open`](Self::open)s what it finds in the same step, so
    /// that it cannot be removed in between.
    ///
    /// # Errors
    /// As of [`lookup`](Self::lookup).
    pub async fn lookup_open(
        &self,
        directory: InodeNumber,
        name: &[u8],
    ) -> Result<InodeNumber, Error> {
        let _ = (directory, name);
        todo!()
    }

    /// Counts one more user of an inode, which lives until the last [`close`](Self::close) even
    /// when its names are removed.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it has no name and is not open.
    pub async fn open(&self, inode: InodeNumber) -> Result<(), Error> {
        let _ = inode;
        todo!()
    }

    /// Counts one user less of an inode. After the last, one without a name is removed.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is not open.
    pub async fn close(&self, inode: InodeNumber) -> Result<(), Error> {
        let _ = inode;
        todo!()
    }

    /// Gives the entries of a directory to `sink`, from `position` on (0, or [`Entry::next`] of an
    /// earlier one), until it breaks or there are no more; the entry it breaks on counts as not
    /// given. The result is where to go on. Entries that neither come nor go meanwhile are given
    /// exactly once. `sink` must not wait.
    ///
    /// # Errors
    /// [`Error::NotADirectory`].
    pub async fn read_directory(
        &self,
        directory: InodeNumber,
        position: u64,
        sink: impl FnMut(Entry<'_>) -> ControlFlow<()> + Send,
    ) -> Result<u64, Error> {
        let _ = (directory, position, sink);
        todo!()
    }

    /// Makes an empty file.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::NoSpace`], [`Error::NameTooLong`], [`Error::NotADirectory`],
    /// [`Error::Invalid`] for a name with a slash or NUL in it.
    pub async fn create(
        &self,
        context: Context,
        directory: InodeNumber,
        name: &[u8],
        mode: u16,
    ) -> Result<InodeNumber, Error> {
        self.make_node(context, directory, name, mode, Kind::File)
            .await
    }

    /// Makes a named pipe, a socket's name, a device or an empty file (`mknod`).
    ///
    /// # Errors
    /// As of [`create`](Self::create); [`Error::Invalid`] for directories and symbolic links.
    pub async fn make_node(
        &self,
        context: Context,
        directory: InodeNumber,
        name: &[u8],
        mode: u16,
        kind: Kind,
    ) -> Result<InodeNumber, Error> {
        let _ = (context, directory, name, mode, kind);
        todo!()
    }

    /// Makes an empty directory.
    ///
    /// # Errors
    /// As of [`create`](Self::create); [`Error::TooManyLinks`].
    pub async fn make_directory(
        &self,
        context: Context,
        directory: InodeNumber,
        name: &[u8],
        mode: u16,
    ) -> Result<InodeNumber, Error> {
        let _ = (context, directory, name, mode);
        todo!()
    }

    /// Makes a symbolic link to `target`: 1 byte to one less than the block size.
    ///
    /// # Errors
    /// As of [`create`](Self::create); [`Error::NotFound`] for an empty target,
    /// [`Error::NameTooLong`] for a long one.
    pub async fn symlink(
        &self,
        context: Context,
        directory: InodeNumber,
        name: &[u8],
        target: &[u8],
    ) -> Result<InodeNumber, Error> {
        let _ = (context, directory, name, target);
        todo!()
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is none.
    pub async fn read_link(&self, inode: InodeNumber) -> Result<Box<[u8]>, Error> {
        let _ = inode;
        todo!()
    }

    /// Gives an inode one more name.
    ///
    /// # Errors
    /// As of [`create`](Self::create); [`Error::NotPermitted`] for a directory,
    /// [`Error::TooManyLinks`]; [`Error::NotFound`] when the inode has no name any more.
    pub async fn link(
        &self,
        context: Context,
        inode: InodeNumber,
        directory: InodeNumber,
        name: &[u8],
    ) -> Result<(), Error> {
        let _ = (context, inode, directory, name);
        todo!()
    }

    /// Removes a name. The inode goes with its last name and user.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::IsADirectory`].
    pub async fn unlink(
        &self,
        context: Context,
        directory: InodeNumber,
        name: &[u8],
    ) -> Result<(), Error> {
        let _ = (context, directory, name);
        todo!()
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotADirectory`], [`Error::NotEmpty`]; [`Error::Invalid`] for
    /// `.`, [`Error::NotEmpty`] for `..`.
    pub async fn remove_directory(
        &self,
        context: Context,
        directory: InodeNumber,
        name: &[u8],
    ) -> Result<(), Error> {
        let _ = (context, directory, name);
        todo!()
    }

    /// Renames, with all the rules of Linux's `renameat2`.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Exists`] and [`Error::NotEmpty`] when the new name is taken;
    /// [`Error::NotADirectory`] and [`Error::IsADirectory`] when one is a directory and the other
    /// is not; [`Error::Invalid`] for a directory into one below it; [`Error::Busy`] for `.` and
    /// `..`; [`Error::TooManyLinks`]; [`Error::NoSpace`].
    pub async fn rename(
        &self,
        context: Context,
        from: (InodeNumber, &[u8]),
        to: (InodeNumber, &[u8]),
        how: Rename,
    ) -> Result<(), Error> {
        let _ = (context, from, to, how);
        todo!()
    }

    /// Sets the size of a file. What is cut off is gone; what is added is a hole.
    ///
    /// # Errors
    /// [`Error::IsADirectory`], [`Error::Invalid`] for what is no file, [`Error::TooLarge`].
    pub async fn truncate(
        &self,
        context: Context,
        inode: InodeNumber,
        size: u64,
    ) -> Result<(), Error> {
        let _ = (context, inode, size);
        todo!()
    }

    /// Reads the data of a file from `offset` on, both it and the length of `data` multiples of the
    /// block size. Holes and blocks past the end of the file are cleared. The result says how many
    /// bytes are of the file; after the last of these, the rest of its block is anything.
    ///
    /// # Errors
    /// [`Error::IsADirectory`], [`Error::Invalid`] for what is no file, or for a part of a block.
    pub async fn read(
        &self,
        inode: InodeNumber,
        offset: u64,
        data: V::Data,
    ) -> Result<usize, Error> {
        let _ = (inode, offset, data);
        todo!()
    }

    /// Writes the data of a file from `offset` on, both it and the length of `data` multiples of the
    /// block size, and allocates what blocks it needs. Afterwards the file is at least `end` bytes
    /// long; `end` lies in `data`'s range or before. What follows it in its block should be zero.
    ///
    /// `reserved` says that the blocks were [`reserve`](Self::reserve)d; the caller
    /// [`release`](Self::release)s them afterwards.
    ///
    /// The data is durable, and linked to the file, after [`fsync`](Self::fsync) or
    /// [`sync`](Self::sync).
    ///
    /// # Errors
    /// As of [`read`](Self::read); [`Error::NoSpace`], [`Error::TooLarge`]. On [`Error::Io`] parts
    /// that the file had blocks for may have been written; no blocks are added.
    pub async fn write(
        &self,
        context: Context,
        inode: InodeNumber,
        offset: u64,
        data: V::Data,
        end: u64,
        reserved: bool,
    ) -> Result<(), Error> {
        let _ = (context, inode, offset, data, end, reserved);
        todo!()
    }

    /// Sets blocks aside for later writes, so that these do not end with [`Error::NoSpace`]: those
    /// of the data, and what tables point to them.
    ///
    /// # Errors
    /// [`Error::NoSpace`].
    pub fn reserve(&self, context: Context, blocks: u64) -> Result<(), Error> {
        let _ = (context, blocks);
        todo!()
    }

    /// Gives back what was [`reserve`](Self::reserve)d.
    pub fn release(&self, blocks: u64) {
        let _ = blocks;
        todo!()
    }

    /// How many blocks to [`reserve`](Self::reserve) for `blocks` blocks of data anywhere in a
    /// file, at most: they, and the tables they may need.
    pub fn with_tables(&self, blocks: u64) -> u64 {
        let _ = blocks;
        todo!()
    }
}
