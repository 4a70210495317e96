//! Making changes durable, in an order that survives a power cut at any point.
//!
//! A commit takes images of all metadata that has changed, of a moment when no operation is half
//! done, and writes them in steps ([`batch`](crate::batch)); before each step, what was written
//! earlier is flushed:
//!
//! 1. **Fresh** blocks, which nothing on the volume points to yet: new block tables, new blocks of
//!    directories, targets of symbolic links. The superblock first stops to say that the volume is
//!    clean.
//! 2. **Tables**: inodes, block tables, bitmaps, counts. All that they point to is initialised by
//!    now: the data of files was written before anything pointed to it (see
//!    [`data`](crate::data)). Inodes that are new stay blank. Inodes that were removed are deleted,
//!    while their names are still there.
//! 3. **Names**: directory blocks with names that were only made or removed. If nothing was removed,
//!    they go with the tables. Inodes whose names go to others get one for a moment
//!    ([`refuge`](crate::refuge)).
//! 4. **Receivers**: directory blocks that names of existing inodes were put into, by `link` and
//!    `rename`. The inodes are durable by now.
//! 5. **Dead**: inodes that `rename` took the last name of, and directories that gave names away, are
//!    deleted.
//! 6. **Givers**: directory blocks that such names were moved out of, or that lost a directory that
//!    gave names away. A name is never gone from its old place before it is in its new one. A block
//!    cannot be receiver and giver of one commit: the operation that would make it both waits for a
//!    commit first ([`Stop::Order`](crate::file_system::Stop)).
//! 7. **New** inodes, those in old directories first, then those in directories that are new, by
//!    depth: an inode comes to be when its name can be found.
//!
//! What was freed in the epoch may be used again when its commit has completed. An unnamed inode is
//! freed after its commit, with its blocks, which the next commit makes durable
//! ([`shrink`](crate::shrink)). So a cut leaves wrong counts and bitmaps, and names for inodes that
//! are deleted or were never written, all of which `e2fsck -p` repairs; never an inode without a name,
//! a block with two owners, a file with another's data, or a synced name without its synced inode.
//!
//! There are exceptions, which `e2fsck -p` leaves to its user and `e2fsck -y` repairs: a directory that
//! moves to another block of names has two for a moment, or the wrong parent, and one that another
//! replaces has none; files that `rename` replaces or exchanges are without a name for a moment if
//! there is no room in `lost+found`; and after a failure of the disk, what was new counts as old.
//!
//! After a failure everything stays changed, and is tried again by the next commit.

use alloc::sync::Arc;

use crate::attributes::{InodeNumber, Timestamp};
use crate::batch::{Batch, Image, Step};
use crate::error::Error;
use crate::file_system::FileSystem;
use crate::join;
use crate::layout::superblock::SUPERBLOCK_OFFSET;
use crate::state::State;
use crate::volume::{IoError, Purpose, Volume};

/// A commit that is being written. If it does not come to its end, it is taken back.
struct Writing<'a, V: Volume> {
    file_system: &'a FileSystem<V>,
    batch: Option<Batch>,
}

impl<V: Volume> Drop for Writing<'_, V> {
    fn drop(&mut self) {
        if let Some(batch) = self.batch.take() {
            self.file_system.state.lock().take_back(batch);
        }
    }
}

impl<V: Volume> FileSystem<V> {
    pub(crate) async fn try_sync(&self, now: Timestamp) -> Result<(), Error> {
        self.commit(now, true).await?;
        if !self.state.lock().reapable.is_empty() {
            self.reap(now).await?;
            self.commit(now, true).await?;
        }
        Ok(())
    }

    pub(crate) async fn try_fsync(&self, number: InodeNumber, now: Timestamp) -> Result<(), Error> {
        let turn = self.commits.exclusive().await;
        let (changed, data) = {
            let mut state = self.state.lock();
            let changed = state.epoch.inodes.contains(&number.0);
            (changed, !changed && core::mem::take(&mut state.epoch.data))
        };
        if data {
            // Only data was written, over data that was there.
            let flushed = self.volume.flush().await;
            if flushed.is_err() {
                self.state.lock().epoch.data = true;
            }
            flushed?;
        }
        drop(turn);
        if changed {
            self.try_sync(now).await
        } else {
            Ok(())
        }
    }

    /// Makes everything that has changed so far durable. `clean`: the volume is to say afterwards
    /// that it is clean, if it is.
    pub(crate) async fn commit(&self, now: Timestamp, clean: bool) -> Result<(), Error> {
        let _turn = self.commits.exclusive().await;
        let mut writing = Writing {
            file_system: self,
            batch: self.take_batch(now, clean),
        };
        if let Some(batch) = &writing.batch {
            self.write_batch(batch).await?;
        }
        if let Some(batch) = writing.batch.take() {
            self.state.lock().settle(batch);
        }
        Ok(())
    }

    async fn write_batch(&self, batch: &Batch) -> Result<(), IoError> {
        // Whether something was written that the next step wants to be durable.
        let mut written = batch.epoch.data;
        let same = |one: &Image, next: &Image| one.step == next.step;
        let mut images = batch.images.chunk_by(same).peekable();
        for step in [Step::Fresh, Step::Table] {
            let own = images.next_if(|images| images[0].step == step);
            let superblock = step == Step::Table || batch.was_valid;
            if batch.images.is_empty() || own.is_none() && !superblock {
                continue;
            }
            if step != Step::Fresh {
                self.flush_if(written).await?;
            }
            written = true;
            if superblock {
                self.write_superblock(&batch.dirty_superblock).await?;
                self.state.lock().valid = false;
            }
            self.write_images(own.unwrap_or_default()).await?;
        }
        for images in images {
            self.volume.flush().await?;
            self.write_images(images).await?;
        }
        self.volume.flush().await?;
        if let Some(superblock) = &batch.clean_superblock {
            self.write_superblock(superblock).await?;
            self.state.lock().valid = true;
            self.volume.flush().await?;
        }
        Ok(())
    }

    async fn flush_if(&self, written: bool) -> Result<(), IoError> {
        if written {
            self.volume.flush().await?;
        }
        Ok(())
    }

    async fn write_images(&self, images: &[Image]) -> Result<(), IoError> {
        let writes = images.iter().map(|image| self.write_image(image));
        join::all(writes.collect()).await
    }

    async fn write_image(&self, image: &Image) -> Result<(), IoError> {
        let offset = u64::from(image.buffer.block()) * u64::from(self.geometry.block_size);
        let purpose = image.buffer.purpose();
        self.volume
            .write(offset, image.bytes.clone(), purpose)
            .await
    }

    async fn write_superblock(&self, block: &Arc<[u8]>) -> Result<(), IoError> {
        let block_size = u64::from(self.geometry.block_size);
        let offset = SUPERBLOCK_OFFSET as u64 / block_size * block_size;
        self.volume
            .write(offset, block.clone(), Purpose::Shared)
            .await
    }

    /// Before an operation that changes something: writes, if much waits to be written.
    pub(crate) async fn relieve(&self, now: Timestamp) -> Result<(), Error> {
        self.relieve_once(now).await?;
        if self.state.lock().reapable.len() > self.options.dirty_blocks {
            self.reap(now).await?;
        }
        Ok(())
    }

    /// As [`relieve`](Self::relieve), without freeing inodes.
    pub(crate) async fn relieve_once(&self, now: Timestamp) -> Result<(), Error> {
        let much = {
            let epoch = &self.state.lock().epoch;
            epoch.changed.len().max(epoch.unnamed.len()) > self.options.dirty_blocks
        };
        if much {
            self.commit(now, false).await
        } else {
            Ok(())
        }
    }
}

impl State {
    /// A commit is complete.
    fn settle(&mut self, batch: Batch) {
        self.committing = crate::state::Released::default();
        for place in batch.epoch.unnamed {
            let number = place.number;
            let used = self.opens(number) > 0;
            if let Some(durable) = self.unnamed.get_mut(&number.0) {
                *durable = true;
                if !used {
                    self.reapable.push(number.0);
                }
            }
        }
    }

    /// A commit has failed: what it would have written stays to be written.
    fn take_back(&mut self, batch: Batch) {
        let released = core::mem::take(&mut self.committing);
        let epoch = batch.epoch;
        for image in &batch.images {
            if !self.epoch.released.blocks.contains(image.buffer.block()) {
                image.buffer.put_back(self, image.wave);
            }
        }
        let now = &mut self.epoch;
        now.released.blocks.extend(&released.blocks);
        now.released.inodes.extend(released.inodes);
        // What was allocated and made is perhaps on the volume: it counts as old from now on.
        now.inodes.extend(epoch.inodes);
        now.named.extend(epoch.named);
        now.gave.extend(epoch.gave);
        now.displaced.extend(epoch.displaced);
        now.unnamed.extend(epoch.unnamed);
        now.data |= epoch.data;
    }
}
