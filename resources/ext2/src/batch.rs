//! What a commit writes: images of blocks, and in which step each is written. What the steps are for:
//! [`commit`](crate::commit).
//!
//! A block may have several images: an inode table without the inodes that are new and with them,
//! with an inode that has a name and without.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::attributes::{InodeNumber, Timestamp};
use crate::buffers::{Buffer, Wave};
use crate::file_system::FileSystem;
use crate::inodes::Place;
use crate::layout::inode::Inode;
use crate::state::{Epoch, State};
use crate::volume::Volume;

/// When an image is written. Before a step, all earlier ones are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Fresh,
    Table,
    Names,
    Receiver,
    Dead,
    Giver,
    /// So many directories deep.
    New(u32),
}

/// A block as it will be written.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) step: Step,
    /// What to put it back for, if it cannot be written.
    pub(crate) wave: Wave,
    pub(crate) buffer: Buffer,
    pub(crate) bytes: Arc<[u8]>,
}

/// What a commit writes.
#[derive(Debug)]
pub(crate) struct Batch {
    /// In the order of their steps.
    pub(crate) images: Vec<Image>,
    pub(crate) epoch: Epoch,
    /// The block of the superblock while this is written, and at the end.
    pub(crate) dirty_superblock: Arc<[u8]>,
    pub(crate) clean_superblock: Option<Arc<[u8]>>,
    /// The volume says that it is clean.
    pub(crate) was_valid: bool,
}

impl Image {
    pub(crate) fn new(step: Step, wave: Wave, buffer: &Buffer, bytes: Arc<[u8]>) -> Self {
        Self {
            step,
            wave,
            buffer: buffer.clone(),
            bytes,
        }
    }

    /// What has changed of a block. `names`: when blocks with names are written.
    fn of(buffer: &Buffer, names: Step) -> Option<Self> {
        let (wave, bytes) = buffer.take_image()?;
        let step = match wave {
            Wave::Fresh => Step::Fresh,
            Wave::Table => Step::Table,
            Wave::Names => names,
            Wave::Receiver => Step::Receiver,
            Wave::Giver => Step::Giver,
        };
        Some(Self::new(step, wave, buffer, bytes))
    }
}

impl<V: Volume> FileSystem<V> {
    /// Takes all that has changed, to be written. `clean`: the volume is to be called clean
    /// afterwards, if it is.
    pub(crate) fn take_batch(&self, now: Timestamp, clean: bool) -> Option<Batch> {
        let mut state = self.state.lock();
        let clean = clean && state.may_be_clean();
        let nothing = state.epoch.changed.is_empty() && !state.epoch.data;
        if nothing && (!clean || state.valid) {
            return None;
        }
        let (epoch, images) = self.take_images(&mut state, now);
        let (blocks, inodes) = (state.free_blocks, state.free_inodes);
        state.superblock.set_free(blocks, inodes);
        state.superblock.set_written(now);
        state.superblock.set_valid(false);
        state.superblock.set_last_orphan(0);
        let dirty_superblock = state.superblock.image().into();
        let clean_superblock = clean.then(|| {
            let mut superblock = state.superblock.clone();
            let orphan = state.unnamed.keys().next();
            superblock.set_last_orphan(orphan.copied().unwrap_or(0));
            superblock.set_valid(true);
            superblock.image().into()
        });
        Some(Batch {
            images,
            epoch,
            dirty_superblock,
            clean_superblock,
            was_valid: state.valid,
        })
    }

    fn take_images(&self, state: &mut State, now: Timestamp) -> (Epoch, Vec<Image>) {
        let dying = core::mem::take(&mut state.epoch.unnamed);
        let (late, early): (Vec<&Place>, Vec<&Place>) = dying.iter().partition(|place| {
            let (number, epoch) = (place.number.0, &state.epoch);
            epoch.displaced.contains_key(&number) || epoch.gave.contains(&number)
        });
        let names = if early.is_empty() {
            Step::Table
        } else {
            Step::Names
        };
        for place in early {
            state.bury(place, now);
        }
        let mut epoch = core::mem::take(&mut state.epoch);
        let changed = core::mem::take(&mut epoch.changed);
        let images = changed.values().filter_map(|b| Image::of(b, names));
        let mut images: Vec<Image> = images.collect();
        self.shelter(&epoch, &mut images);
        for place in late {
            state.bury(place, now);
        }
        epoch.unnamed.clone_from(&dying);
        let changed = core::mem::take(&mut state.epoch.changed);
        let dead = changed.values().filter_map(|b| Image::of(b, names));
        images.extend(dead.map(|image| Image {
            step: Step::Dead,
            ..image
        }));
        state.epoch.inodes.clear();
        self.hold_back(&epoch, &mut images);
        images.sort_by_key(|image| (image.step, image.buffer.block()));
        state.committing = core::mem::take(&mut epoch.released);
        (epoch, images)
    }

    /// Takes the inodes that are new out of the images of their tables, and adds images with them, for
    /// when their names are durable.
    fn hold_back(&self, epoch: &Epoch, images: &mut Vec<Image>) {
        let mut tables: BTreeMap<u32, BTreeMap<u32, u32>> = BTreeMap::new();
        for (number, depth) in &epoch.made {
            let (block, _) = self.inode_block(InodeNumber(*number));
            tables.entry(block).or_default().insert(*number, *depth);
        }
        let mut held = Vec::new();
        // The tables that have only new inodes to write.
        let mut complete = BTreeSet::new();
        images.sort_by_key(|image| (image.buffer.block(), image.step));
        for images in images.chunk_by_mut(|one, next| one.buffer.block() == next.buffer.block()) {
            let Some(last) = images.last() else { continue };
            let Some(made) = tables.remove(&last.buffer.block()) else {
                continue;
            };
            let (buffer, bytes) = (last.buffer.clone(), last.bytes.clone());
            let mut depths: Vec<u32> = made.values().copied().collect();
            depths.sort_unstable();
            depths.dedup();
            for image in images {
                self.blank(&mut image.bytes, made.keys());
            }
            if self.changed_in(epoch, &made) == made.len() {
                complete.insert(buffer.block());
            }
            for depth in depths {
                let mut bytes = bytes.clone();
                let deeper = made.iter().filter(|(_, own)| **own > depth);
                self.blank(&mut bytes, deeper.map(|(number, _)| number));
                held.push(Image::new(Step::New(depth), Wave::Table, &buffer, bytes));
            }
        }
        images.retain(|image| !complete.contains(&image.buffer.block()));
        images.extend(held);
    }

    /// How many inodes have changed in the block of a table that these are in.
    fn changed_in(&self, epoch: &Epoch, inodes: &BTreeMap<u32, u32>) -> usize {
        let Some((number, _)) = inodes.first_key_value() else {
            return 0;
        };
        let geometry = &self.geometry;
        let (_, index) = geometry.inode_group(*number);
        let per_block = geometry.block_size / geometry.inode_size;
        let first = number - index % per_block;
        epoch.inodes.range(first..first + per_block).count()
    }

    /// Makes inodes of a table, those that have names, ones that are not in use.
    fn blank<'a>(&self, table: &mut Arc<[u8]>, inodes: impl Iterator<Item = &'a u32>) {
        for inode in inodes {
            let number = InodeNumber(*inode);
            let (_, at) = self.inode_block(number);
            let bytes = &mut Arc::make_mut(table)[at..at + self.geometry.inode_size as usize];
            if Inode::read(number, bytes).links() > 0 {
                bytes.fill(0);
            }
        }
    }
}

impl State {
    /// Whether the volume may be called clean when all that waits has been written. The list of inodes
    /// in use without a name has one at most: it changes with the superblock, at once.
    fn may_be_clean(&self) -> bool {
        let in_use = |inode| self.opens.contains_key(inode);
        self.sound
            && self.reapable.is_empty()
            && self.unnamed.len() <= 1
            && self.unnamed.keys().all(in_use)
    }

    /// On the volume, an inode becomes one without a name.
    fn bury(&mut self, place: &Place, now: Timestamp) {
        let used = self.opens(place.number) > 0;
        place.update(self, |inode| inode.set_deleted((!used).then_some(now)));
    }
}
