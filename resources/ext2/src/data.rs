//! The data of files, which goes between its memory and the volume.
//!
//! Data is written before anything points to it: new blocks are taken, written, and then linked to
//! the file in one step. Blocks that follow each other on the volume are one request.

use alloc::vec::Vec;

use crate::allocate::Taken;
use crate::attributes::{Context, InodeNumber};
use crate::error::Error;
use crate::file_system::{FileSystem, Stop};
use crate::inodes::{Locked, Node, Place};
use crate::join;
use crate::layout::inode::Inode;
use crate::lock::Guard;
use crate::state::State;
use crate::tables::{Missing, Tables};
use crate::volume::{Data, Purpose, Volume};
use alloc::sync::Arc;

/// From where on a file counts as large.
const LARGE: u64 = 1 << 31;

/// Blocks of a file that follow each other on the volume, or a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    block: Option<u32>,
    count: usize,
}

/// A write that has all it needs.
struct Plan<'a, V: Volume> {
    place: Place,
    node: Arc<Node>,
    /// The blocks on the volume, of each block that is written.
    blocks: Vec<u32>,
    /// Those of them that are new.
    new: Vec<(u64, u32)>,
    taken: Taken<'a, V>,
    spare: Taken<'a, V>,
    _locked: Locked,
}

impl<V: Volume> FileSystem<V> {
    /// As [`inode`](Self::inode), for a file of bytes.
    pub(crate) async fn file(&self, number: InodeNumber) -> Result<(Place, Inode), Error> {
        let (place, inode) = self.inode(number).await?;
        if inode.is_directory() {
            return Err(Error::IsADirectory);
        }
        if !inode.is_file() {
            return Err(Error::Invalid);
        }
        Ok((place, inode))
    }

    /// The first block and the number of blocks of a range.
    fn range(&self, offset: u64, length: usize) -> Result<(u64, usize), Error> {
        let block_size = u64::from(self.geometry.block_size);
        if !offset.is_multiple_of(block_size) || !(length as u64).is_multiple_of(block_size) {
            return Err(Error::Invalid);
        }
        let count = usize::try_from(length as u64 / block_size).map_err(|_| Error::Invalid)?;
        Ok((offset / block_size, count))
    }

    pub(crate) async fn try_read(
        &self,
        number: InodeNumber,
        offset: u64,
        data: V::Data,
    ) -> Result<usize, Error> {
        let (first, count) = self.range(offset, data.length())?;
        let _locked = self.lock_shared(number).await;
        let (_, inode) = self.file(number).await?;
        let block_size = u64::from(self.geometry.block_size);
        let of_file = inode
            .size()
            .saturating_sub(offset)
            .min(data.length() as u64);
        let within = usize::try_from(of_file.div_ceil(block_size)).map_or(count, |n| n.min(count));
        let mut tables = Tables::new(self, number);
        let mut blocks = Vec::with_capacity(count);
        for logical in first..first + within as u64 {
            blocks.push(tables.find(&inode, logical, &mut Missing::new()).await?);
        }
        blocks.resize(count, None);
        let parts = self.parts(data, runs(&blocks));
        let purpose = Purpose::Private(number);
        let mut reads = Vec::with_capacity(parts.len());
        for (block, data) in parts {
            match block {
                Some(block) => {
                    reads.push(self.volume.read_data(self.offset_of(block), data, purpose));
                }
                None => data.clear(),
            }
        }
        join::all(reads).await?;
        Ok(usize::try_from(of_file).unwrap_or(0))
    }

    /// The data, split by runs.
    fn parts(&self, data: V::Data, runs: Vec<Run>) -> Vec<(Option<u32>, V::Data)> {
        let mut parts = Vec::with_capacity(runs.len());
        let mut rest = Some(data);
        for run in runs {
            let Some(data) = rest.take() else { break };
            let length = run.count * self.geometry.block_size as usize;
            if length < data.length() {
                let (part, remaining) = data.split(length);
                rest = Some(remaining);
                parts.push((run.block, part));
            } else {
                parts.push((run.block, data));
            }
        }
        parts
    }

    fn offset_of(&self, block: u32) -> u64 {
        u64::from(block) * u64::from(self.geometry.block_size)
    }

    pub(crate) async fn try_write(
        &self,
        context: Context,
        number: InodeNumber,
        offset: u64,
        data: V::Data,
        end: u64,
        reserved: bool,
    ) -> Result<(), Error> {
        let (first, count) = self.range(offset, data.length())?;
        let limit = offset
            .checked_add(data.length() as u64)
            .ok_or(Error::TooLarge)?;
        if end.min(limit) > self.geometry.largest_file() {
            return Err(Error::TooLarge);
        }
        if end > limit {
            return Err(Error::Invalid);
        }
        let mut plan = self
            .retry(context.now, || {
                self.plan_write(context, number, (first, count), reserved)
            })
            .await?;
        let blocks: Vec<Option<u32>> = plan.blocks.iter().copied().map(Some).collect();
        let purpose = Purpose::Private(number);
        let mut writes = Vec::new();
        for (block, data) in self.parts(data, runs(&blocks)) {
            if let Some(block) = block {
                writes.push(self.volume.write_data(self.offset_of(block), data, purpose));
            }
        }
        join::all(writes).await?;
        self.link_written(&mut plan, context, end).await
    }

    /// Finds the blocks of a range, and takes those that are missing.
    async fn plan_write(
        &self,
        context: Context,
        number: InodeNumber,
        (first, count): (u64, usize),
        reserved: bool,
    ) -> Result<Plan<'_, V>, Stop> {
        let node = self.nodes.get(number);
        let locked = self.lock_shared(number).await;
        let turn = node.tables.exclusive().await;
        let (place, inode) = self.file(number).await?;
        if inode.is_immutable() {
            return Err(Error::NotPermitted.into());
        }
        let mut tables = Tables::new(self, number);
        let (mut found, mut missing) = (Vec::with_capacity(count), Missing::new());
        for logical in first..first + count as u64 {
            found.push(tables.find(&inode, logical, &mut missing).await?);
        }
        let holes = found.iter().filter(|block| block.is_none()).count();
        let goal = if holes == 0 {
            0
        } else {
            self.write_goal(&inode, &mut tables, first, &found).await?
        };
        let all = self
            .take_blocks(context, goal, missing.len() + holes, reserved)
            .await?;
        let (spare, taken) = all.split(missing.len());
        drop(turn);
        let mut fresh = taken.blocks();
        let mut new = Vec::with_capacity(holes);
        let mut blocks = Vec::with_capacity(count);
        for (logical, block) in (first..).zip(&found) {
            blocks.push(match block {
                Some(block) => *block,
                None => {
                    let block = fresh.next().ok_or(Error::NoSpace)?;
                    new.push((logical, block));
                    block
                }
            });
        }
        drop(fresh);
        Ok(Plan {
            place,
            node,
            blocks,
            new,
            taken,
            spare,
            _locked: locked,
        })
    }

    /// Where the first new block should be: behind the one before it.
    async fn write_goal(
        &self,
        inode: &Inode,
        tables: &mut Tables<'_, V>,
        first: u64,
        found: &[Option<u32>],
    ) -> Result<u32, Error> {
        let hole = found.iter().position(Option::is_none).unwrap_or(0);
        let before = match hole.checked_sub(1) {
            Some(index) => found[index],
            None => match first.checked_sub(1) {
                Some(logical) => tables.find(inode, logical, &mut Missing::new()).await?,
                None => None,
            },
        };
        Ok(before.map_or_else(|| self.goal_of(inode.number()), |block| block + 1))
    }

    /// Links the blocks that were written.
    async fn link_written(
        &self,
        plan: &mut Plan<'_, V>,
        context: Context,
        end: u64,
    ) -> Result<(), Error> {
        let number = plan.place.number;
        let _turn = self.table_turn(plan).await;
        let mut tables = Tables::new(self, number);
        // Another write may have got here first with the same block: then its data stays.
        let mut first_here = Vec::with_capacity(plan.new.len());
        for (logical, _) in &plan.new {
            let inode = plan.place.read();
            let found = tables.find(&inode, *logical, &mut Missing::new()).await?;
            first_here.push(found.is_none());
        }
        let mut state = self.state.lock();
        state.epoch.data = true;
        let mut inode = plan.place.read();
        for ((logical, block), first_here) in plan.new.drain(..).zip(first_here) {
            if first_here {
                plan.taken.settle(&mut state);
                tables.link(&mut state, &mut inode, &mut plan.spare, logical, block);
            } else {
                plan.taken.skip(&mut state);
            }
        }
        inode.set_size(inode.size().max(end));
        inode.touch(context.now);
        let size = inode.size();
        plan.place.update(&mut state, |now| *now = inode);
        self.note_size(&mut state, size);
        Ok(())
    }

    async fn table_turn(&self, plan: &Plan<'_, V>) -> Guard {
        plan.node.tables.exclusive().await
    }

    /// A file has this size: the superblock says so if it is large.
    pub(crate) fn note_size(&self, state: &mut State, size: u64) {
        if size >= LARGE {
            state.superblock.set_large_file();
        }
    }
}

/// What follows each other, put together.
fn runs(blocks: &[Option<u32>]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for block in blocks {
        match runs.last_mut() {
            Some(run) if follows(run, *block) => run.count += 1,
            _ => runs.push(Run {
                block: *block,
                count: 1,
            }),
        }
    }
    runs
}

fn follows(run: &Run, block: Option<u32>) -> bool {
    match (run.block, block) {
        (None, None) => true,
        (Some(first), Some(block)) => Some(block) == first.checked_add(run.count as u32),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_put_together() {
        let blocks = [None, None, Some(5), Some(6), Some(8), Some(7), None];
        let found: Vec<_> = runs(&blocks)
            .iter()
            .map(|run| (run.block, run.count))
            .collect();
        let expected = [
            (None, 2),
            (Some(5), 2),
            (Some(8), 1),
            (Some(7), 1),
            (None, 1),
        ];
        assert_eq!(found, expected);
        assert_eq!(runs(&[]), []);
    }
}
