//! Mounting: the superblock and the descriptors are read and checked, and files that had no name
//! any more when the volume was last used are removed.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use spin::Mutex;

use crate::attributes::{InodeNumber, Options, Timestamp};
use crate::buffers::{Buffer, Buffers};
use crate::error::{Error, MountError};
use crate::file_system::FileSystem;
use crate::inodes::Nodes;
use crate::layout::group::{DESCRIPTOR_SIZE, Group};
use crate::layout::superblock::{Geometry, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE, Superblock};
use crate::lock::Lock;
use crate::ranges::Ranges;
use crate::state::{Epoch, Released, State};
use crate::volume::{Purpose, Volume};

impl<V: Volume> FileSystem<V> {
    /// Mounts `volume`. Files that had no name any more when the volume was last used are removed.
    ///
    /// # Errors
    /// See [`MountError`]. Features that forbid only writing make the mount read-only
    /// ([`read_only`](Self::read_only)).
    pub async fn mount(volume: V, options: Options, now: Timestamp) -> Result<Self, MountError> {
        let (geometry, superblock) = read_superblock(&volume).await?;
        let read_only = why_read_only(options, &superblock);
        let buffers = Buffers::new(geometry.block_size, options.cached_blocks);
        let descriptors = read_descriptors(&volume, &geometry, &buffers).await?;
        let groups = read_groups(&geometry, &descriptors).map_err(MountError::Corrupt)?;
        let system = system_blocks(&geometry, &groups).map_err(MountError::Corrupt)?;
        let state = first_state(superblock, descriptors, groups, now);
        let groups = &state.groups;
        let file_system = Self {
            inode_tables: groups.iter().map(|group| group.inode_table).collect(),
            block_bitmaps: groups.iter().map(|group| group.block_bitmap).collect(),
            inode_bitmaps: groups.iter().map(|group| group.inode_bitmap).collect(),
            volume,
            options,
            geometry,
            system,
            read_only,
            buffers,
            nodes: Nodes::default(),
            state: Mutex::new(state),
            moves: Lock::default(),
            reaper: Lock::default(),
            commits: Lock::default(),
        };
        match file_system.directory(InodeNumber::ROOT).await {
            Ok(_) => {}
            Err(Error::Io) => return Err(MountError::Io),
            Err(_) => return Err(MountError::Corrupt("there is no root directory")),
        }
        if file_system.read_only.is_none() {
            file_system.free_orphans(now).await?;
        }
        Ok(file_system)
    }

    /// Frees the inodes that were in use without a name.
    async fn free_orphans(&self, now: Timestamp) -> Result<(), Error> {
        let mut number = self.state.lock().superblock.last_orphan();
        let mut orphans = Vec::new();
        while number != 0 {
            let known = number >= self.geometry.first_inode && number <= self.geometry.inodes;
            if !known || orphans.contains(&number) {
                self.state.lock().set_damaged();
                break;
            }
            let inode = self.place_of(InodeNumber(number)).await?.read();
            if inode.links() > 0 || inode.check_kind().is_err() {
                // The list was written, the inode was not, or anything: e2fsck can tell.
                self.state.lock().set_damaged();
                break;
            }
            orphans.push(number);
            number = inode.next_orphan();
        }
        let mut state = self.state.lock();
        if orphans.is_empty() {
            return Ok(());
        }
        state
            .unnamed
            .extend(orphans.iter().map(|number| (*number, true)));
        state.reapable.extend(&orphans);
        drop(state);
        self.reap(now).await
    }
}

/// The state of a volume on which nothing has been done.
fn first_state(
    mut superblock: Superblock,
    descriptors: Vec<Buffer>,
    groups: Vec<Group>,
    now: Timestamp,
) -> State {
    let valid = superblock.is_valid();
    superblock.set_mounted(now);
    State {
        epoch: Epoch::default(),
        committing: Released::default(),
        superblock,
        valid,
        sound: valid,
        free_blocks: groups
            .iter()
            .map(|group| u64::from(group.free_blocks))
            .sum(),
        free_inodes: groups
            .iter()
            .map(|group| u64::from(group.free_inodes))
            .sum(),
        descriptors,
        taken: Ranges::default(),
        taken_inodes: BTreeSet::new(),
        reserved: 0,
        opens: BTreeMap::new(),
        unnamed: BTreeMap::new(),
        reapable: Vec::new(),
        generation: (now.seconds as u32).wrapping_mul(0x9e37_79b1) ^ now.nanoseconds,
        latest: now,
        groups,
    }
}

async fn read_superblock<V: Volume>(volume: &V) -> Result<(Geometry, Superblock), MountError> {
    if volume.size() < (SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE) as u64 {
        return Err(MountError::NotExt2);
    }
    let offset = SUPERBLOCK_OFFSET as u64;
    let bytes = volume
        .read(offset, SUPERBLOCK_SIZE, Purpose::Shared)
        .await?;
    let bytes = exactly(bytes, SUPERBLOCK_SIZE)?;
    let geometry = Geometry::read(&bytes, volume.size())?;
    let block_size = geometry.block_size as usize;
    let start = SUPERBLOCK_OFFSET / block_size * block_size;
    let block = volume
        .read(start as u64, block_size, Purpose::Shared)
        .await?;
    let block = exactly(block, block_size)?;
    Ok((
        geometry,
        Superblock::new(block.into(), SUPERBLOCK_OFFSET - start),
    ))
}

fn exactly(bytes: Box<[u8]>, length: usize) -> Result<Box<[u8]>, MountError> {
    if bytes.len() == length {
        Ok(bytes)
    } else {
        Err(MountError::Io)
    }
}

fn why_read_only(options: Options, superblock: &Superblock) -> Option<String> {
    let unknown = superblock.unknown_read_only();
    if options.read_only {
        Some(String::from("as asked"))
    } else if unknown.is_empty() {
        None
    } else {
        Some(alloc::format!("it uses unknown features: {unknown}"))
    }
}

async fn read_descriptors<V: Volume>(
    volume: &V,
    geometry: &Geometry,
    buffers: &Buffers,
) -> Result<Vec<Buffer>, MountError> {
    let mut descriptors = Vec::new();
    for index in 0..geometry.descriptor_blocks() {
        let block = geometry.descriptor_block(index);
        if block >= geometry.blocks {
            return Err(MountError::Corrupt(
                "group descriptors outside of the volume",
            ));
        }
        descriptors.push(buffers.get(volume, block, Purpose::Shared).await?);
    }
    Ok(descriptors)
}

fn read_groups(geometry: &Geometry, descriptors: &[Buffer]) -> Result<Vec<Group>, &'static str> {
    let mut groups = Vec::new();
    for buffer in descriptors {
        let bytes = buffer.bytes();
        let all = bytes.chunks_exact(DESCRIPTOR_SIZE).map(Group::read);
        groups.extend(all.take(geometry.groups as usize - groups.len()));
    }
    for (index, group) in (0..).zip(&groups) {
        let start = geometry.group_start(index);
        let length = geometry.group_length(index);
        let inside = |block: u32, count: u32| {
            block >= start && u64::from(block) + u64::from(count) <= u64::from(start + length)
        };
        if !inside(group.block_bitmap, 1)
            || !inside(group.inode_bitmap, 1)
            || !inside(group.inode_table, geometry.table_blocks())
        {
            return Err("a group's metadata is outside of the group");
        }
        if u32::from(group.free_blocks) > length
            || u32::from(group.free_inodes) > geometry.inodes_per_group
            || u32::from(group.directories) > geometry.inodes_per_group
        {
            return Err("a group's counts are larger than the group");
        }
    }
    Ok(groups)
}

/// The blocks that are no file's.
fn system_blocks(geometry: &Geometry, groups: &[Group]) -> Result<Ranges, &'static str> {
    let mut system = Ranges::default();
    for (index, group) in (0..).zip(groups) {
        let start = geometry.group_start(index);
        let head = geometry
            .head_blocks(index)
            .min(geometry.group_length(index));
        let parts = [
            (start, head),
            (group.block_bitmap, 1),
            (group.inode_bitmap, 1),
            (group.inode_table, geometry.table_blocks()),
        ];
        for (first, count) in parts.into_iter().filter(|(_, count)| *count > 0) {
            if !system.insert_range(first, first + count) {
                return Err("a group's metadata overlaps");
            }
        }
    }
    Ok(system)
}
