//! Which inode is used for what is new.
//!
//! Files go to the group of their directory. Directories below the root are spread over the volume,
//! others stay near their parents as long as there is room for what will be in them (as the
//! allocator that Grigory Orlov made for BSD and Linux has it).

use crate::attributes::InodeNumber;
use crate::buffers::{Buffer, Wave};
use crate::error::Error;
use crate::file_system::{FileSystem, Stop};
use crate::inodes::Place;
use crate::layout::bitmap;
use crate::layout::group::Group;
use crate::state::State;
use crate::volume::{Purpose, Volume};

/// An inode that was taken: free on the volume, nobody else's. It is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct TakenInode<'a, V: Volume> {
    file_system: &'a FileSystem<V>,
    place: Place,
    bitmap: Buffer,
    settled: bool,
}

impl<V: Volume> TakenInode<'_, V> {
    pub(crate) const fn number(&self) -> InodeNumber {
        self.place.number
    }

    /// Marks it as used, on the volume too. Its name will be in `parent`.
    pub(crate) fn settle(
        &mut self,
        state: &mut State,
        directory: bool,
        parent: InodeNumber,
    ) -> Place {
        let number = self.place.number.0;
        let (group, index) = self.file_system.geometry.inode_group(number);
        self.bitmap
            .change(state, Wave::Table, |bits| bitmap::set(bits, index));
        state.change_group(group, |group| {
            group.free_inodes = group.free_inodes.saturating_sub(1);
            group.directories = group.directories.saturating_add(directory.into());
        });
        state.taken_inodes.remove(&number);
        let above = state.epoch.made.get(&parent.0).copied().unwrap_or(0);
        state.epoch.made.insert(number, above + 1);
        self.settled = true;
        self.place.clone()
    }
}

impl<V: Volume> Drop for TakenInode<'_, V> {
    fn drop(&mut self) {
        if !self.settled {
            let number = self.place.number.0;
            self.file_system.state.lock().taken_inodes.remove(&number);
        }
    }
}

impl<V: Volume> FileSystem<V> {
    /// Takes an inode for something in the directory `parent`.
    pub(crate) async fn take_inode(
        &self,
        parent: InodeNumber,
        directory: bool,
    ) -> Result<TakenInode<'_, V>, Stop> {
        let groups = self.geometry.groups;
        let first = self.first_group(parent, directory);
        for group in (0..groups).map(|step| (first + step) % groups) {
            if self.state.lock().groups[group as usize].free_inodes == 0 {
                continue;
            }
            let block = self.inode_bitmaps[group as usize];
            let bitmap = self
                .buffers
                .get(&self.volume, block, Purpose::Shared)
                .await?;
            let Some(number) = self.take_in_inode_group(group, &bitmap) else {
                continue;
            };
            return match self.place_of(InodeNumber(number)).await {
                Ok(place) => Ok(TakenInode {
                    file_system: self,
                    place,
                    bitmap,
                    settled: false,
                }),
                Err(error) => {
                    self.state.lock().taken_inodes.remove(&number);
                    Err(error.into())
                }
            };
        }
        if self.state.lock().can_gain() {
            return Err(Stop::Space);
        }
        Err(Error::NoSpace.into())
    }

    fn take_in_inode_group(&self, group: u32, bitmap: &Buffer) -> Option<u32> {
        let per_group = self.geometry.inodes_per_group;
        let first = group * per_group + 1;
        let mut state = self.state.lock();
        let busy = |index: u32| {
            first + index < self.geometry.first_inode || state.is_inode_busy(first + index)
        };
        let index = bitmap::first_clear(&bitmap.bytes(), 0, per_group, busy)?;
        state.taken_inodes.insert(first + index);
        Some(first + index)
    }

    /// The group to begin with.
    fn first_group(&self, parent: InodeNumber, directory: bool) -> u32 {
        let (near, _) = self.geometry.inode_group(parent.0);
        let state = self.state.lock();
        let groups = &state.groups;
        let has_room = |group: &Group| group.free_inodes > 0 && group.free_blocks > 0;
        if !directory {
            return self
                .nearest(near, |group| has_room(&groups[group as usize]))
                .unwrap_or(near);
        }
        let count = u64::from(self.geometry.groups);
        let (blocks, inodes) = (state.free_blocks / count, state.free_inodes / count);
        let roomy = |group: &Group| {
            has_room(group)
                && u64::from(group.free_blocks) >= blocks
                && u64::from(group.free_inodes) >= inodes
        };
        if parent == InodeNumber::ROOT {
            let numbered = groups.iter().enumerate().filter(|(_, group)| roomy(group));
            let fewest = numbered.min_by_key(|(_, group)| group.directories);
            return fewest
                .and_then(|(index, _)| u32::try_from(index).ok())
                .unwrap_or(near);
        }
        let directories: u64 = groups
            .iter()
            .map(|group| u64::from(group.directories))
            .sum();
        let per_group = u64::from(self.geometry.inodes_per_group);
        let good = |group: &Group| {
            has_room(group)
                && u64::from(group.directories) <= directories / count + per_group / 16 + 1
                && u64::from(group.free_inodes) >= inodes.saturating_sub(per_group / 4)
                && u64::from(group.free_blocks)
                    >= blocks.saturating_sub(u64::from(self.geometry.blocks_per_group) / 4)
        };
        self.nearest(near, |group| good(&groups[group as usize]))
            .or_else(|| self.nearest(near, |group| roomy(&groups[group as usize])))
            .unwrap_or(near)
    }

    /// The first group from `near` on, around the volume, that is `good`.
    fn nearest(&self, near: u32, good: impl Fn(u32) -> bool) -> Option<u32> {
        let groups = self.geometry.groups;
        (0..groups)
            .map(|step| (near + step) % groups)
            .find(|group| good(*group))
    }
}
