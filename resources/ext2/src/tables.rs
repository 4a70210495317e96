//! The block tables of a file: from the number of a block in the file to one on the volume.
//!
//! An inode points to 12 blocks, then to tables of one, two and three levels. A pointer of 0 is a
//! hole.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::allocate::Taken;
use crate::attributes::InodeNumber;
use crate::buffers::{Buffer, Wave};
use crate::error::Error;
use crate::file_system::FileSystem;
use crate::layout::bytes::{put_u32, u32_at};
use crate::layout::inode::{DIRECT, Inode};
use crate::state::State;
use crate::volume::{Purpose, Volume};

/// The way to a block: a pointer of the inode, then one in each table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// The inode's pointer.
    pub(crate) top: usize,
    indexes: [u32; 3],
    depth: usize,
}

impl Path {
    /// The way to block `logical` of a file; `pointers` is how many a table has. None if the format
    /// cannot reach it.
    pub(crate) fn to(logical: u64, pointers: u32) -> Option<Self> {
        let n = u64::from(pointers);
        if logical < DIRECT as u64 {
            return Some(Self {
                top: usize::try_from(logical).ok()?,
                indexes: [0; 3],
                depth: 0,
            });
        }
        let mut rest = logical - DIRECT as u64;
        let mut span = n;
        for depth in 1..=3 {
            if rest < span {
                let mut indexes = [0; 3];
                for index in indexes[..depth].iter_mut().rev() {
                    *index = u32::try_from(rest % n).ok()?;
                    rest /= n;
                }
                let top = DIRECT + depth - 1;
                return Some(Self {
                    top,
                    indexes,
                    depth,
                });
            }
            rest -= span;
            span *= n;
        }
        None
    }

    /// The indexes in the tables, from the inode down.
    pub(crate) fn indexes(&self) -> &[u32] {
        &self.indexes[..self.depth]
    }
}

/// Tables that are missing: by the inode's pointer and the indexes that lead to them.
pub(crate) type Missing = BTreeSet<(usize, [Option<u32>; 2])>;

/// The tables of one file, as far as they were needed, in memory.
#[derive(Debug)]
pub(crate) struct Tables<'a, V: Volume> {
    file_system: &'a FileSystem<V>,
    inode: InodeNumber,
    loaded: BTreeMap<u32, Buffer>,
}

impl<'a, V: Volume> Tables<'a, V> {
    pub(crate) const fn new(file_system: &'a FileSystem<V>, inode: InodeNumber) -> Self {
        Self {
            file_system,
            inode,
            loaded: BTreeMap::new(),
        }
    }

    /// The block on the volume of a block of the file; None for a hole. The tables on the way stay
    /// in memory; those that are not there are added to `missing`.
    pub(crate) async fn find(
        &mut self,
        inode: &Inode,
        logical: u64,
        missing: &mut Missing,
    ) -> Result<Option<u32>, Error> {
        let pointers = self.file_system.geometry.pointers();
        let path = Path::to(logical, pointers).ok_or(Error::TooLarge)?;
        let mut block = inode.pointer(path.top);
        for (level, index) in path.indexes().iter().enumerate() {
            if block == 0 {
                for level in level..path.indexes().len() {
                    let known = |at: usize| (at < level).then(|| path.indexes()[at]);
                    missing.insert((path.top, [known(0), known(1)]));
                }
                return Ok(None);
            }
            let table = self.load(block).await?;
            block = u32_at(&table.bytes(), *index as usize * 4);
        }
        if block == 0 {
            return Ok(None);
        }
        self.file_system.check_block(block)?;
        Ok(Some(block))
    }

    async fn load(&mut self, block: u32) -> Result<Buffer, Error> {
        if let Some(buffer) = self.loaded.get(&block) {
            return Ok(buffer.clone());
        }
        self.file_system.check_block(block)?;
        let purpose = Purpose::Private(self.inode);
        let file_system = self.file_system;
        let buffer = file_system
            .buffers
            .get(&file_system.volume, block, purpose)
            .await?;
        self.loaded.insert(block, buffer.clone());
        Ok(buffer)
    }

    /// Makes block `logical` of the file be `block`. The tables on the way were
    /// [looked for](Self::find); those that are missing are made of `spare` blocks.
    pub(crate) fn link(
        &mut self,
        state: &mut State,
        inode: &mut Inode,
        spare: &mut Taken<'_, V>,
        logical: u64,
        block: u32,
    ) {
        let geometry = &self.file_system.geometry;
        let Some(path) = Path::to(logical, geometry.pointers()) else {
            return;
        };
        let sectors = geometry.block_size / 512;
        let mut parent: Option<(Buffer, u32)> = None;
        let mut pointer = inode.pointer(path.top);
        for index in path.indexes() {
            if pointer == 0 {
                let Some(new) = spare.settle(state) else {
                    return;
                };
                let purpose = Purpose::Private(self.inode);
                let buffer = self.file_system.buffers.fresh(state, new, purpose);
                self.loaded.insert(new, buffer);
                inode.set_sectors(inode.sectors() + sectors);
                point(state, inode, path.top, parent.as_ref(), new);
                pointer = new;
            }
            let Some(table) = self.loaded.get(&pointer).cloned() else {
                return;
            };
            pointer = u32_at(&table.bytes(), *index as usize * 4);
            parent = Some((table, *index));
        }
        inode.set_sectors(inode.sectors() + sectors);
        point(state, inode, path.top, parent.as_ref(), block);
    }
}

/// Sets a pointer: the inode's, or that of a table.
fn point(
    state: &mut State,
    inode: &mut Inode,
    top: usize,
    table: Option<&(Buffer, u32)>,
    block: u32,
) {
    match table {
        None => inode.set_pointer(top, block),
        Some((table, index)) => table.change(state, Wave::Table, |bytes| {
            put_u32(bytes, *index as usize * 4, block);
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_count_up() {
        let n = 4;
        let mut last = None;
        for logical in 0..12 + 4 + 16 + 64 {
            let path = Path::to(logical, n).unwrap();
            let key = (path.top, path.indexes);
            assert!(Some(key) > last, "{logical}");
            assert_eq!(path.indexes().len(), path.top.saturating_sub(11));
            last = Some(key);
        }
        assert_eq!(Path::to(12 + 4 + 16 + 64, n), None);
        assert_eq!(Path::to(11, n).unwrap().top, 11);
        assert_eq!(Path::to(12 + 4 + 5, n).unwrap().indexes(), [1, 1]);
    }
}
