//! What all operations share, behind one lock: the counts, what is taken, and the current epoch.
//!
//! An operation first gets ready: it reads what it needs, and takes the blocks and inodes that it
//! will use. That may wait. Then it locks the state and changes everything in one go, which does
//! not wait and does not fail. So at any time the lock is free, the metadata in memory is that of a
//! sound file system: a commit need only take an image of it (see [`commit`](crate::commit)).
//!
//! The lock is a spin lock: it is never held across an `await`, nor while anything is read.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::attributes::{InodeNumber, Kind, Timestamp};
use crate::buffers::{Buffer, Wave};
use crate::inodes::Place;
use crate::layout::group::{DESCRIPTOR_SIZE, Group};
use crate::layout::superblock::Superblock;
use crate::ranges::Ranges;

/// What was freed, which must not be used again before that is durable.
#[derive(Debug, Default)]
pub(crate) struct Released {
    pub(crate) blocks: Ranges,
    pub(crate) inodes: BTreeSet<u32>,
}

/// What has happened since the last image was taken.
#[derive(Debug, Default)]
pub(crate) struct Epoch {
    /// The blocks of metadata that have changed.
    pub(crate) changed: BTreeMap<u32, Buffer>,
    /// The inodes that have changed, or whose names or tables have.
    pub(crate) inodes: BTreeSet<u32>,
    /// The inodes that were made, and how many directories deep: all their names are in directories
    /// that were there before, or that were made and are less deep.
    pub(crate) made: BTreeMap<u32, u32>,
    /// The inodes that were there before and have got names.
    pub(crate) named: BTreeSet<u32>,
    /// The directories that names have moved out of.
    pub(crate) gave: BTreeSet<u32>,
    /// The inodes that have lost a name to another inode.
    pub(crate) displaced: BTreeMap<u32, Kind>,
    /// The block of `lost+found` where these get names for a moment.
    pub(crate) refuge: Option<Buffer>,
    /// The blocks that were allocated.
    pub(crate) allocated: Ranges,
    pub(crate) released: Released,
    /// The inodes that have lost their last name.
    pub(crate) unnamed: Vec<Place>,
    /// Data of files was written.
    pub(crate) data: bool,
}

/// The state; see the module.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) epoch: Epoch,
    /// What was freed in the epoch whose image is being written.
    pub(crate) committing: Released,
    pub(crate) superblock: Superblock,
    /// The volume says that it is clean.
    pub(crate) valid: bool,
    /// It may say so: it did when it was mounted, and no damage was met since.
    pub(crate) sound: bool,
    pub(crate) groups: Vec<Group>,
    pub(crate) descriptors: Vec<Buffer>,
    pub(crate) free_blocks: u64,
    pub(crate) free_inodes: u64,
    /// Blocks that operations have chosen and not yet marked.
    pub(crate) taken: Ranges,
    /// Inodes that operations have chosen and not yet marked.
    pub(crate) taken_inodes: BTreeSet<u32>,
    /// Blocks set aside by `reserve`.
    pub(crate) reserved: u64,
    /// How often each inode is open.
    pub(crate) opens: BTreeMap<u32, u32>,
    /// The inodes that have lost their last name, and whether that is durable.
    pub(crate) unnamed: BTreeMap<u32, bool>,
    /// Those of them that nobody uses: to be freed.
    pub(crate) reapable: Vec<u32>,
    /// Of the next inode that is made.
    pub(crate) generation: u32,
    /// The time of the last operation.
    pub(crate) latest: Timestamp,
}

impl State {
    /// How often an inode is open.
    pub(crate) fn opens(&self, inode: InodeNumber) -> u32 {
        self.opens.get(&inode.0).copied().unwrap_or(0)
    }

    /// Whether an inode has lost its last name.
    pub(crate) fn is_unnamed(&self, inode: InodeNumber) -> bool {
        self.unnamed.contains_key(&inode.0)
    }

    /// Whether a block that the bitmap calls free must not be used yet.
    pub(crate) fn is_busy(&self, block: u32) -> bool {
        self.taken.contains(block)
            || self.epoch.released.blocks.contains(block)
            || self.committing.blocks.contains(block)
    }

    /// Whether an inode that the bitmap calls free must not be used yet.
    pub(crate) fn is_inode_busy(&self, inode: u32) -> bool {
        self.taken_inodes.contains(&inode)
            || self.epoch.released.inodes.contains(&inode)
            || self.committing.inodes.contains(&inode)
    }

    /// Whether a commit would make something free.
    pub(crate) fn can_gain(&self) -> bool {
        let waits =
            |released: &Released| !released.blocks.is_empty() || !released.inodes.is_empty();
        waits(&self.epoch.released)
            || waits(&self.committing)
            || !self.reapable.is_empty()
            || self
                .unnamed
                .keys()
                .any(|inode| !self.opens.contains_key(inode))
    }

    /// The blocks that can be allocated now.
    pub(crate) fn usable_blocks(&self) -> u64 {
        let waiting =
            self.taken.len() + self.epoch.released.blocks.len() + self.committing.blocks.len();
        self.free_blocks.saturating_sub(waiting)
    }

    /// Changes the counts of a group, on the volume too.
    pub(crate) fn change_group(&mut self, index: u32, change: impl FnOnce(&mut Group)) {
        let group = &mut self.groups[index as usize];
        let before = *group;
        change(group);
        let after = *group;
        self.free_blocks = (self.free_blocks + u64::from(after.free_blocks))
            .saturating_sub(before.free_blocks.into());
        self.free_inodes = (self.free_inodes + u64::from(after.free_inodes))
            .saturating_sub(before.free_inodes.into());
        let buffer = &self.descriptors[0];
        let per_block = buffer.bytes().len() / DESCRIPTOR_SIZE;
        let buffer = self.descriptors[index as usize / per_block].clone();
        let at = index as usize % per_block * DESCRIPTOR_SIZE;
        buffer.change(self, Wave::Table, |bytes| {
            after.write_counts(&mut bytes[at..at + DESCRIPTOR_SIZE]);
        });
    }

    /// Damage was met: the volume must be checked before it is called clean again.
    pub(crate) fn set_damaged(&mut self) {
        self.sound = false;
        self.superblock.set_damaged();
    }
}
