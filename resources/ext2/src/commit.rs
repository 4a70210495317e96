//! Making changes durable, in an order that survives a power cut at any point.
//!
//! A commit takes an image of all metadata that has changed, of a moment when no operation is half
//! done, and writes it in waves; before each wave, what was written earlier is flushed:
//!
//! 1. **Fresh** blocks, which nothing on the volume points to yet: new block tables, new blocks of
//!    directories, targets of symbolic links. The superblock first stops to say that the volume is
//!    clean.
//! 2. **Tables**: inodes, block tables, bitmaps, counts, and directory blocks with names that were
//!    only made or removed. All that they point to is initialised by now: the data of files was
//!    written before anything pointed to it (see [`data`](crate::data)).
//! 3. **Receivers**: directory blocks that names of existing inodes were put into, by `link` and
//!    `rename`. The inodes are durable by now.
//! 4. **Givers**: directory blocks that such names were moved out of, or that lost a directory that
//!    gave names away. A name is never gone from its old place before it is in its new one. A block
//!    cannot be receiver and giver of one commit: the operation that would make it both waits for a
//!    commit first ([`Stop::Order`](crate::file_system::Stop)).
//! 5. **Unnamed** inodes: only now, with the last name durably gone, do their link counts become 0,
//!    and those still open enter the list of orphans.
//!
//! What was freed in the epoch may be used again when its commit has completed. An unnamed inode is
//! freed after its commit, with its blocks, which the next commit makes durable
//! ([`shrink`](crate::shrink)). So a cut leaves wrong counts and bitmaps, inodes without names, and
//! names for inodes that were never written, all of which `e2fsck` repairs; never a block with two
//! owners, a file with another's data, or a synced name without its synced inode. There is one
//! exception: when two names in different blocks change places (`RENAME_EXCHANGE`), a cut between
//! the two blocks leaves one of the inodes in `lost+found`.
//!
//! After a failure everything stays changed, and is tried again by the next commit.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::attributes::{InodeNumber, Timestamp};
use crate::buffers::{Buffer, Wave};
use crate::error::Error;
use crate::file_system::FileSystem;
use crate::inodes::Place;
use crate::join;
use crate::layout::inode::seconds;
use crate::layout::superblock::SUPERBLOCK_OFFSET;
use crate::state::{Epoch, State};
use crate::volume::{IoError, Purpose, Volume};

const WAVES: [Wave; 5] = [
    Wave::Fresh,
    Wave::Table,
    Wave::Receiver,
    Wave::Giver,
    Wave::Unnamed,
];

/// What a commit writes.
#[derive(Debug)]
struct Batch {
    images: Vec<Image>,
    epoch: Epoch,
    /// The block of the superblock while this is written, and at the end.
    dirty_superblock: Arc<[u8]>,
    clean_superblock: Option<Arc<[u8]>>,
    /// The volume says that it is clean.
    was_valid: bool,
}

/// A block as it will be written.
#[derive(Debug)]
struct Image {
    wave: Wave,
    buffer: Buffer,
    bytes: Arc<[u8]>,
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
        let Some(batch) = self.take_batch(now, clean) else {
            return Ok(());
        };
        let written = self.write_batch(&batch).await;
        let mut state = self.state.lock();
        match written {
            Ok(()) => state.settle(batch),
            Err(_) => state.take_back(batch),
        }
        Ok(written?)
    }

    fn take_batch(&self, now: Timestamp, clean: bool) -> Option<Batch> {
        let mut state = self.state.lock();
        let clean = clean
            && state.sound
            && state.reapable.is_empty()
            && state
                .unnamed
                .keys()
                .all(|inode| state.opens.contains_key(inode));
        let nothing = state.epoch.changed.is_empty() && !state.epoch.data;
        if nothing && (!clean || state.valid) {
            return None;
        }
        let mut epoch = core::mem::take(&mut state.epoch);
        let mut images: Vec<Image> = Vec::new();
        for buffer in core::mem::take(&mut epoch.changed).into_values() {
            images.extend(Image::of(buffer));
        }
        for place in &epoch.unnamed {
            state.unname(place, now);
        }
        for buffer in core::mem::take(&mut state.epoch.changed).into_values() {
            images.extend(Image::of(buffer).map(|image| Image {
                wave: Wave::Unnamed,
                ..image
            }));
        }
        state.epoch.inodes.clear();
        images.sort_by_key(|image| (image.wave, image.buffer.block()));
        let (blocks, inodes) = (state.free_blocks, state.free_inodes);
        state.superblock.set_free(blocks, inodes);
        state.superblock.set_written(now);
        state.superblock.set_valid(false);
        let dirty_superblock = state.superblock.image().into();
        let clean_superblock = clean.then(|| {
            let mut superblock = state.superblock.clone();
            superblock.set_valid(true);
            superblock.image().into()
        });
        state.committing = core::mem::take(&mut epoch.released);
        Some(Batch {
            images,
            epoch,
            dirty_superblock,
            clean_superblock,
            was_valid: state.valid,
        })
    }

    async fn write_batch(&self, batch: &Batch) -> Result<(), IoError> {
        // Whether something was written that the next wave wants to be durable.
        let mut written = batch.epoch.data;
        for wave in WAVES {
            let images: Vec<&Image> = batch
                .images
                .iter()
                .filter(|image| image.wave == wave)
                .collect();
            let superblock = match wave {
                Wave::Fresh => batch.was_valid && !batch.images.is_empty(),
                Wave::Table => !batch.images.is_empty(),
                _ => false,
            };
            if images.is_empty() && !superblock {
                continue;
            }
            if written && wave != Wave::Fresh {
                self.volume.flush().await?;
            }
            written = true;
            if superblock {
                self.write_superblock(&batch.dirty_superblock).await?;
                self.state.lock().valid = false;
            }
            let mut writes = Vec::with_capacity(images.len());
            for image in images {
                writes.push(self.write_image(image));
            }
            join::all(writes).await?;
        }
        self.volume.flush().await?;
        if let Some(superblock) = &batch.clean_superblock {
            self.write_superblock(superblock).await?;
            self.state.lock().valid = true;
            self.volume.flush().await?;
        }
        Ok(())
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

impl Image {
    fn of(buffer: Buffer) -> Option<Self> {
        let (wave, bytes) = buffer.take_image()?;
        Some(Self {
            wave,
            buffer,
            bytes,
        })
    }
}

impl State {
    /// On the volume, an inode becomes one without a name.
    fn unname(&mut self, place: &Place, now: Timestamp) {
        let number = place.number;
        let used = self.opens(number) > 0;
        let next = self.superblock.last_orphan();
        if self.orphans.contains(&number.0) {
            // An earlier commit that failed has done it.
        } else if used {
            self.orphans.push(number.0);
            self.superblock.set_last_orphan(number.0);
            place.update(self, |inode| {
                inode.set_links(0);
                inode.set_next_orphan(next);
            });
        } else {
            place.update(self, |inode| {
                inode.set_links(0);
                inode.set_next_orphan(seconds(now).max(1));
            });
        }
    }

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
            let wave = if image.wave == Wave::Unnamed {
                Wave::Table
            } else {
                image.wave
            };
            if !self.epoch.released.blocks.contains(image.buffer.block()) {
                image.buffer.put_back(self, wave);
            }
        }
        let now = &mut self.epoch;
        now.released.blocks.extend(&released.blocks);
        now.released.inodes.extend(released.inodes);
        // What was allocated and made is perhaps on the volume: it counts as old from now on.
        now.inodes.extend(epoch.inodes);
        now.named.extend(epoch.named);
        now.gave.extend(epoch.gave);
        now.unnamed.extend(epoch.unnamed);
        now.data |= epoch.data;
    }
}
