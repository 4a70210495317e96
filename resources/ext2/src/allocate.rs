//! Which blocks and inodes are used for what is new, and how they become free again.
//!
//! Blocks are looked for at the goal, behind it in its group, then in the groups that follow. To
//! take them changes nothing on the volume: what was taken and not [settled](Taken::settle) is
//! given back when the [`Taken`] is dropped. What was freed is not used before that is durable
//! ([`Released`](crate::state::Released)).

pub(crate) mod inode;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::attributes::Context;
use crate::buffers::{Buffer, Wave};
use crate::error::Error;
use crate::file_system::{FileSystem, Stop};
use crate::layout::bitmap;
use crate::state::State;
use crate::volume::{Purpose, Volume};

/// Blocks that were taken: free on the volume, nobody else's.
#[derive(Debug)]
pub(crate) struct Taken<'a, V: Volume> {
    file_system: &'a FileSystem<V>,
    blocks: VecDeque<u32>,
    bitmaps: BTreeMap<u32, Buffer>,
}

impl<V: Volume> Taken<'_, V> {
    /// The blocks, in the order in which they are to be used.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = u32> + '_ {
        self.blocks.iter().copied()
    }

    /// Marks the next block as used, on the volume too.
    pub(crate) fn settle(&mut self, state: &mut State) -> Option<u32> {
        let block = self.blocks.pop_front()?;
        let (group, index) = self.file_system.geometry.group_of(block);
        let buffer = self.bitmaps.get(&group)?;
        buffer.change(state, Wave::Table, |bits| bitmap::set(bits, index));
        state.change_group(group, |group| {
            group.free_blocks = group.free_blocks.saturating_sub(1);
        });
        state.taken.remove(block);
        state.epoch.allocated.insert(block);
        Some(block)
    }

    /// Gives the next block back.
    pub(crate) fn skip(&mut self, state: &mut State) {
        if let Some(block) = self.blocks.pop_front() {
            state.taken.remove(block);
        }
    }

    /// The first `count` blocks, and the rest.
    pub(crate) fn split(mut self, count: usize) -> (Self, Self) {
        let rest = Self {
            file_system: self.file_system,
            blocks: self.blocks.split_off(count.min(self.blocks.len())),
            bitmaps: self.bitmaps.clone(),
        };
        (self, rest)
    }
}

impl<V: Volume> Drop for Taken<'_, V> {
    fn drop(&mut self) {
        if !self.blocks.is_empty() {
            let mut state = self.file_system.state.lock();
            for block in self.blocks.drain(..) {
                state.taken.remove(block);
            }
        }
    }
}

/// Blocks that can be freed: their places in the bitmaps.
#[derive(Debug, Default)]
pub(crate) struct Condemned(Vec<(u32, Buffer, Vec<u32>)>);

impl<V: Volume> FileSystem<V> {
    /// Checks a block number that was found on the volume: it must be one for files.
    pub(crate) fn check_block(&self, block: u32) -> Result<(), Error> {
        if block < self.geometry.first_block || block >= self.geometry.blocks {
            return Err(Error::Corrupt("a block outside of the volume"));
        }
        if self.system.contains(block) {
            return Err(Error::Corrupt("a file's block among the metadata"));
        }
        Ok(())
    }

    /// Takes `count` blocks, in as few runs as there are free behind `goal`. `reserved`: they were
    /// set aside.
    pub(crate) async fn take_blocks(
        &self,
        context: Context,
        goal: u32,
        count: usize,
        reserved: bool,
    ) -> Result<Taken<'_, V>, Stop> {
        let mut taken = Taken {
            file_system: self,
            blocks: VecDeque::new(),
            bitmaps: BTreeMap::new(),
        };
        if count == 0 {
            return Ok(taken);
        }
        self.admit(context, count as u64, reserved)?;
        let goal = if self.check_block(goal).is_ok() {
            goal
        } else {
            self.geometry.first_block
        };
        let (first, index) = self.geometry.group_of(goal);
        for step in 0..=self.geometry.groups {
            let group = (first + step) % self.geometry.groups;
            // The goal's group comes first from the goal on, and last as a whole.
            let from = if step == 0 { index } else { 0 };
            if self.state.lock().groups[group as usize].free_blocks == 0 {
                continue;
            }
            let bitmap = self.block_bitmap(group).await?;
            if self.take_in_group(&mut taken, group, &bitmap, from, count) {
                taken.bitmaps.insert(group, bitmap);
            }
            if taken.blocks.len() == count {
                return Ok(taken);
            }
        }
        Err(self.no_space())
    }

    fn take_in_group(
        &self,
        taken: &mut Taken<'_, V>,
        group: u32,
        bitmap: &Buffer,
        mut from: u32,
        count: usize,
    ) -> bool {
        let start = self.geometry.group_start(group);
        let limit = self.geometry.group_length(group);
        let mut state = self.state.lock();
        let bits = bitmap.bytes();
        let before = taken.blocks.len();
        while taken.blocks.len() < count {
            let busy =
                |index: u32| state.is_busy(start + index) || self.system.contains(start + index);
            let at_goal = from < limit && !bitmap::is_set(&bits, from) && !busy(from);
            let found = if at_goal {
                Some(from)
            } else {
                bitmap::first_clear_byte(&bits, from, limit, busy)
                    .or_else(|| bitmap::first_clear(&bits, from, limit, busy))
            };
            let Some(index) = found else { break };
            state.taken.insert(start + index);
            taken.blocks.push_back(start + index);
            from = index + 1;
        }
        taken.blocks.len() > before
    }

    /// Whether `count` blocks may be used.
    fn admit(&self, context: Context, count: u64, reserved: bool) -> Result<(), Stop> {
        let state = self.state.lock();
        let kept = self.kept_blocks(&state, context) + if reserved { 0 } else { state.reserved };
        if state.usable_blocks() >= kept + count {
            return Ok(());
        }
        drop(state);
        Err(self.no_space())
    }

    /// The blocks that are kept for others.
    pub(crate) fn kept_blocks(&self, state: &State, context: Context) -> u64 {
        let (user, group) = state.superblock.reserved_for();
        let theirs = context.user == user || group != 0 && context.group == group;
        if context.privileged || theirs {
            0
        } else {
            state.superblock.reserved_blocks().into()
        }
    }

    fn no_space(&self) -> Stop {
        if self.state.lock().can_gain() {
            Stop::Space
        } else {
            Stop::Error(Error::NoSpace)
        }
    }

    /// Checks that blocks can be freed, and reads what is needed for it.
    pub(crate) async fn condemn(&self, mut blocks: Vec<u32>) -> Result<Condemned, Error> {
        blocks.sort_unstable();
        if blocks.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Error::Corrupt("a block in two places of a file"));
        }
        let mut condemned: Vec<(u32, Buffer, Vec<u32>)> = Vec::new();
        for block in blocks {
            self.check_block(block)?;
            let (group, index) = self.geometry.group_of(block);
            if condemned.last().is_none_or(|(last, _, _)| *last != group) {
                let bitmap = self.block_bitmap(group).await?;
                condemned.push((group, bitmap, Vec::new()));
            }
            if let Some((_, bitmap, indexes)) = condemned.last_mut() {
                if !bitmap::is_set(&bitmap.bytes(), index) {
                    return Err(Error::Corrupt("a file's block that is free"));
                }
                indexes.push(index);
            }
        }
        Ok(Condemned(condemned))
    }

    /// Frees blocks. Their contents in memory go with them.
    pub(crate) fn free_blocks(&self, state: &mut State, condemned: &Condemned) {
        for (group, buffer, indexes) in &condemned.0 {
            let start = self.geometry.group_start(*group);
            let freed = buffer.change(state, Wave::Table, |bits| {
                let used = indexes.iter().filter(|index| bitmap::is_set(bits, **index));
                let count = used.count();
                for index in indexes {
                    bitmap::clear(bits, *index);
                }
                count
            });
            state.change_group(*group, |group| {
                let freed = u16::try_from(freed).unwrap_or(u16::MAX);
                group.free_blocks = group.free_blocks.saturating_add(freed);
            });
            for block in indexes.iter().map(|index| start + index) {
                self.buffers.forget(state, block);
                if state.epoch.allocated.contains(block) {
                    state.epoch.allocated.remove(block);
                } else {
                    state.epoch.released.blocks.insert(block);
                }
            }
        }
    }

    async fn block_bitmap(&self, group: u32) -> Result<Buffer, Error> {
        let block = self.block_bitmaps[group as usize];
        self.buffers.get(&self.volume, block, Purpose::Shared).await
    }

    /// Where to look for the first block of an inode: its group.
    pub(crate) fn goal_of(&self, inode: crate::InodeNumber) -> u32 {
        let (group, _) = self.geometry.inode_group(inode.0);
        self.geometry.group_start(group)
    }
}
