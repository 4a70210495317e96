//! A mounted volume and its operations. What they do is in the modules by their side; here they are
//! tried until nothing stands in their way.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::future::Future;
use core::ops::ControlFlow;

use spin::Mutex;

use crate::attributes::{
    Attributes, Changes, Context, Entry, InodeNumber, Kind, Options, Rename, Timestamp, Usage,
};
use crate::buffers::Buffers;
use crate::error::Error;
use crate::inodes::Nodes;
use crate::layout::superblock::Geometry;
use crate::lock::Lock;
use crate::names::New;
use crate::ranges::Ranges;
use crate::state::State;
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
    pub(crate) volume: V,
    pub(crate) options: Options,
    pub(crate) geometry: Geometry,
    /// The first block of each group's inode table.
    pub(crate) inode_tables: Vec<u32>,
    /// The block of each group's bitmap of blocks.
    pub(crate) block_bitmaps: Vec<u32>,
    /// The block of each group's bitmap of inodes.
    pub(crate) inode_bitmaps: Vec<u32>,
    /// The blocks of all of these, of the superblock and the descriptors, and of their copies.
    pub(crate) system: Ranges,
    /// Why nothing may be written.
    pub(crate) read_only: Option<String>,
    pub(crate) buffers: Buffers,
    pub(crate) nodes: Nodes,
    pub(crate) state: Mutex<State>,
    /// Held while a name goes from one directory to another.
    pub(crate) moves: Lock,
    /// Held while inodes are freed.
    pub(crate) reaper: Lock,
    /// Held while a commit is written.
    pub(crate) commits: Lock,
}

/// Why an attempt at an operation has ended, with nothing changed.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It cannot be done.
    Error(Error),
    /// After a commit there may be more space.
    Space,
    /// After a commit the order in which it would be written is no problem.
    Order,
    /// A name stood for something else meanwhile.
    Changed,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl<V: Volume> FileSystem<V> {
    /// Writes what there is to write and marks the volume as clean. Nothing may be under way or
    /// open; files without a name that are open are removed.
    ///
    /// # Errors
    /// When the device fails; what could not be written is lost.
    pub async fn unmount(self, now: Timestamp) -> Result<V, Error> {
        {
            let mut state = self.state.lock();
            let state = &mut *state;
            state.opens.clear();
            let durable = state.unnamed.iter().filter(|(_, durable)| **durable);
            state.reapable = durable.map(|(inode, _)| *inode).collect();
        }
        if self.read_only.is_none() {
            self.sync(now).await?;
        }
        Ok(self.volume)
    }

    /// Whether the file system is read-only, and why.
    pub fn read_only(&self) -> Option<&str> {
        self.read_only.as_deref()
    }

    /// Whether `e2fsck` should look at the volume: it was not unmounted when it was last used, or
    /// damage has been met. It is not called clean then, whatever happens.
    pub fn needs_check(&self) -> bool {
        !self.state.lock().sound
    }

    /// The volume.
    pub const fn volume(&self) -> &V {
        &self.volume
    }

    /// What the file system has, and what of it is free.
    pub fn usage(&self) -> Usage {
        let state = self.state.lock();
        let geometry = &self.geometry;
        let blocks = u64::from(geometry.blocks - geometry.first_block);
        let free_blocks = state.free_blocks.saturating_sub(state.taken.len());
        let kept = state.reserved + u64::from(state.superblock.reserved_blocks());
        Usage {
            block_size: geometry.block_size,
            blocks: blocks.saturating_sub(self.system.len()),
            free_blocks,
            available_blocks: free_blocks.saturating_sub(kept),
            inodes: geometry.inodes.into(),
            free_inodes: state.free_inodes,
            uuid: geometry.uuid,
            longest_name: 255,
        }
    }

    /// Makes all that operations have changed durable (nothing, if it is read-only), and leaves a state that `e2fsck` calls clean.
    ///
    /// # Errors
    /// When the device fails. What was not written stays to be written.
    pub async fn sync(&self, now: Timestamp) -> Result<(), Error> {
        if self.read_only.is_some() {
            return Ok(());
        }
        self.noted(self.try_sync(now).await)
    }

    /// Makes one inode durable: all data that [`write`](Self::write) has written, its block tables,
    /// attributes and names. Other metadata that waits is written with it.
    ///
    /// # Errors
    /// When the device fails. What was not written stays to be written.
    pub async fn fsync(&self, inode: InodeNumber, now: Timestamp) -> Result<(), Error> {
        if self.read_only.is_some() {
            return Ok(());
        }
        self.noted(self.try_fsync(inode, now).await)
    }

    /// An inode's attributes.
    ///
    /// # Errors
    /// See [`FileSystem`].
    pub async fn attributes(&self, inode: InodeNumber) -> Result<Attributes, Error> {
        let (_, found) = self.noted(self.inode(inode).await)?;
        let mut attributes = self.noted(found.attributes())?;
        if self.state.lock().is_unnamed(inode) {
            attributes.links = 0;
        }
        Ok(attributes)
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
        self.writable()?;
        self.noted(self.relieve(context.now).await)?;
        let (place, found) = self.noted(self.inode(inode).await)?;
        if found.is_immutable() {
            return Err(Error::NotPermitted);
        }
        place.update(&mut self.state.lock(), |inode| {
            inode.apply(changes, context.now);
        });
        self.attributes(inode).await
    }

    /// The inode that a name stands for.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotADirectory`], [`Error::NameTooLong`].
    pub async fn lookup(&self, directory: InodeNumber, name: &[u8]) -> Result<InodeNumber, Error> {
        self.noted(self.try_lookup(directory, name, false).await)
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
        self.noted(self.try_lookup(directory, name, true).await)
    }

    /// Counts one more user of an inode, which lives until the last [`close`](Self::close) even
    /// when its names are removed.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it has no name and is not open.
    pub async fn open(&self, inode: InodeNumber) -> Result<(), Error> {
        self.noted(self.try_open(inode).await)
    }

    /// Counts one user less of an inode. After the last, one without a name is removed.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is not open.
    pub async fn close(&self, inode: InodeNumber) -> Result<(), Error> {
        let (last, now) = {
            let mut state = self.state.lock();
            let opens = state.opens.get_mut(&inode.0).ok_or(Error::Invalid)?;
            *opens -= 1;
            let mut last = *opens == 0;
            if last {
                state.opens.remove(&inode.0);
                last = state.unnamed.get(&inode.0) == Some(&true);
                if last {
                    state.reapable.push(inode.0);
                }
            }
            (last, state.latest)
        };
        if last {
            self.noted(self.reap(now).await)
        } else {
            Ok(())
        }
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
        self.noted(self.try_read_directory(directory, position, sink).await)
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
        if matches!(kind, Kind::Directory | Kind::Symlink) {
            return Err(Error::Invalid);
        }
        let target = &[];
        self.make(context, directory, name, New { kind, mode, target })
            .await
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
        let (kind, target) = (Kind::Directory, &[]);
        self.make(context, directory, name, New { kind, mode, target })
            .await
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
        if target.is_empty() {
            return Err(Error::NotFound);
        }
        if target.len() >= self.geometry.block_size as usize {
            return Err(Error::NameTooLong);
        }
        let (kind, mode) = (Kind::Symlink, 0o777);
        self.make(context, directory, name, New { kind, mode, target })
            .await
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is none.
    pub async fn read_link(&self, inode: InodeNumber) -> Result<Box<[u8]>, Error> {
        self.noted(self.try_read_link(inode).await)
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
        self.retry(context.now, || {
            self.try_link(context, inode, directory, name)
        })
        .await
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
        self.retry(context.now, || self.try_unlink(context, directory, name))
            .await?;
        self.free_new(context.now).await;
        Ok(())
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
        self.retry(context.now, || {
            self.try_remove_directory(context, directory, name)
        })
        .await?;
        self.free_new(context.now).await;
        Ok(())
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
        self.retry(context.now, || self.try_rename(context, from, to, how))
            .await?;
        self.free_new(context.now).await;
        Ok(())
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
        self.retry(context.now, || self.try_truncate(context, inode, size))
            .await
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
        self.noted(self.try_read(inode, offset, data).await)
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
        self.noted(
            self.try_write(context, inode, offset, data, end, reserved)
                .await,
        )
    }

    /// Sets blocks aside for later writes, so that these do not end with [`Error::NoSpace`]: those
    /// of the data, and what tables point to them.
    ///
    /// # Errors
    /// [`Error::NoSpace`].
    pub fn reserve(&self, context: Context, blocks: u64) -> Result<(), Error> {
        let mut state = self.state.lock();
        let kept = self.kept_blocks(&state, context) + state.reserved;
        if state.free_blocks < kept + blocks {
            return Err(Error::NoSpace);
        }
        state.reserved += blocks;
        Ok(())
    }

    /// Gives back what was [`reserve`](Self::reserve)d.
    pub fn release(&self, blocks: u64) {
        let mut state = self.state.lock();
        state.reserved = state.reserved.saturating_sub(blocks);
    }

    /// How many blocks to [`reserve`](Self::reserve) for `blocks` blocks of data anywhere in a
    /// file, at most: they, and the tables of three levels that each of them may need.
    pub fn with_tables(&self, blocks: u64) -> u64 {
        blocks.saturating_mul(4)
    }

    fn writable(&self) -> Result<(), Error> {
        match self.read_only {
            Some(_) => Err(Error::ReadOnly),
            None => Ok(()),
        }
    }

    /// Takes note of the damage that an operation has met.
    fn noted<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(Error::Corrupt(_)) = result {
            self.state.lock().set_damaged();
        }
        result
    }

    /// Tries an operation until nothing stands in its way.
    pub(crate) async fn retry<T, F>(
        &self,
        now: Timestamp,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Stop>>,
    {
        /// A commit frees what was cut off, a second one what was freed after the first.
        const COMMITS: usize = 2;
        self.writable()?;
        self.state.lock().latest = now;
        self.relieve(now).await?;
        let mut commits = 0;
        loop {
            match attempt().await {
                Ok(value) => return Ok(value),
                Err(Stop::Error(error)) => return self.noted(Err(error)),
                Err(Stop::Changed) => {}
                Err(Stop::Order) => self.commit(now, false).await?,
                Err(Stop::Space) if commits < COMMITS => {
                    commits += 1;
                    self.commit(now, false).await?;
                    self.reap(now).await?;
                    self.commit(now, false).await?;
                }
                Err(Stop::Space) => return Err(Error::NoSpace),
            }
        }
    }

    async fn make(
        &self,
        context: Context,
        directory: InodeNumber,
        name: &[u8],
        new: New<'_>,
    ) -> Result<InodeNumber, Error> {
        self.retry(context.now, || self.try_make(context, directory, name, new))
            .await
    }

    /// Frees inodes that nothing on the volume knows of. What fails stays, for the next commit.
    async fn free_new(&self, now: Timestamp) {
        if !self.state.lock().reapable.is_empty() {
            // The operation itself has succeeded.
            let _ = self.reap(now).await;
        }
    }
}
