//! The superblock: the shape of the file system, its counts, its state.

use alloc::string::String;

use super::bytes::{put_u16, put_u32, u16_at, u32_at};
use super::features;
use super::group::DESCRIPTOR_SIZE;
use crate::attributes::Timestamp;
use crate::error::MountError;

/// Where the superblock is, in bytes from the start of the volume, and how long it is.
pub(crate) const SUPERBLOCK_OFFSET: usize = 1024;
/// Its length in bytes.
pub(crate) const SUPERBLOCK_SIZE: usize = 1024;

const MAGIC: u16 = 0xef53;
/// In the state: nothing has been written since the last complete sync.
const STATE_VALID: u16 = 1;
/// In the state: damage was met.
const STATE_ERROR: u16 = 2;
/// The fewest blocks of a group that `mke2fs` makes.
const LEAST_BLOCKS_PER_GROUP: u32 = 256;
/// The first inode of a revision 0 file system that is not reserved.
const FIRST_INODE: u32 = 11;

/// The shape of a file system, which does not change while it is mounted. Everything in it has been
/// checked against everything else and the size of the volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// In bytes: 1024, 2048 or 4096.
    pub(crate) block_size: u32,
    pub(crate) blocks: u32,
    /// The first block of the first group.
    pub(crate) first_block: u32,
    pub(crate) blocks_per_group: u32,
    pub(crate) inodes: u32,
    pub(crate) inodes_per_group: u32,
    /// In bytes.
    pub(crate) inode_size: u32,
    /// The first one for users.
    pub(crate) first_inode: u32,
    pub(crate) groups: u32,
    /// Entries tell the kind of what they name.
    pub(crate) entry_kinds: bool,
    pub(crate) uuid: [u8; 16],
    reserved_descriptor_blocks: u32,
    /// The first block of descriptors that is in its own group (`meta_bg`).
    first_spread: u32,
    backups: Backups,
}

/// Which groups have a copy of superblock and descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backups {
    All,
    /// Group 0 and the powers of 3, 5 and 7.
    Sparse,
    /// Group 0 and these.
    Two([u32; 2]),
}

impl Geometry {
    /// Reads and checks a superblock.
    pub(crate) fn read(bytes: &[u8], volume: u64) -> Result<Self, MountError> {
        if u16_at(bytes, 56) != MAGIC {
            return Err(MountError::NotExt2);
        }
        let revision = u32_at(bytes, 76);
        if revision > 1 {
            return Err(MountError::Incompatible(alloc::format!(
                "revision {revision}"
            )));
        }
        let feature = |at| if revision == 0 { 0 } else { u32_at(bytes, at) };
        let (compatible, incompatible, read_only) = (feature(92), feature(96), feature(100));
        let unknown = features::unknown_incompatible(incompatible);
        if !unknown.is_empty() {
            return Err(MountError::Incompatible(unknown));
        }
        let log = u32_at(bytes, 24);
        if log > 2 {
            return Err(MountError::Incompatible(String::from(
                "blocks larger than 4 KB",
            )));
        }
        let spread = incompatible & features::INCOMPAT_META_BG != 0;
        let geometry = Self {
            block_size: 1024 << log,
            blocks: u32_at(bytes, 4),
            first_block: u32_at(bytes, 20),
            blocks_per_group: u32_at(bytes, 32),
            inodes: u32_at(bytes, 0),
            inodes_per_group: u32_at(bytes, 40),
            inode_size: if revision == 0 {
                128
            } else {
                u16_at(bytes, 88).into()
            },
            first_inode: if revision == 0 {
                FIRST_INODE
            } else {
                u32_at(bytes, 84)
            },
            groups: 0,
            entry_kinds: incompatible & features::INCOMPAT_FILETYPE != 0,
            uuid: core::array::from_fn(|index| bytes[104 + index]),
            reserved_descriptor_blocks: u16_at(bytes, 206).into(),
            first_spread: if spread { u32_at(bytes, 260) } else { u32::MAX },
            backups: if compatible & features::COMPAT_SPARSE_SUPER2 != 0 {
                Backups::Two([u32_at(bytes, 0x24c), u32_at(bytes, 0x250)])
            } else if read_only & features::RO_COMPAT_SPARSE_SUPER != 0 {
                Backups::Sparse
            } else {
                Backups::All
            },
        };
        geometry.checked(volume).map_err(MountError::Corrupt)
    }

    fn checked(mut self, volume: u64) -> Result<Self, &'static str> {
        let bits = self.block_size * 8;
        if self.first_block != u32::from(self.block_size == 1024) {
            return Err("the first block is wrong");
        }
        if self.blocks <= self.first_block
            || u64::from(self.blocks) * u64::from(self.block_size) > volume
        {
            return Err("it is larger than the volume");
        }
        if !(LEAST_BLOCKS_PER_GROUP..=bits).contains(&self.blocks_per_group)
            || !self.blocks_per_group.is_multiple_of(8)
            || !(1..=bits).contains(&self.inodes_per_group)
        {
            return Err("the size of the groups is wrong");
        }
        if !self.inode_size.is_power_of_two() || !(128..=self.block_size).contains(&self.inode_size)
        {
            return Err("the size of the inodes is wrong");
        }
        self.groups = (self.blocks - self.first_block).div_ceil(self.blocks_per_group);
        if self.groups.checked_mul(self.inodes_per_group) != Some(self.inodes) {
            return Err("the number of inodes is wrong");
        }
        if self.first_inode < FIRST_INODE || self.first_inode > self.inodes {
            return Err("the first inode is wrong");
        }
        Ok(self)
    }

    /// How many descriptors a block has.
    pub(crate) const fn descriptors_per_block(&self) -> u32 {
        self.block_size / DESCRIPTOR_SIZE as u32
    }

    /// How many blocks the descriptors take.
    pub(crate) const fn descriptor_blocks(&self) -> u32 {
        self.groups.div_ceil(self.descriptors_per_block())
    }

    /// Where the block of descriptors with this number is.
    pub(crate) fn descriptor_block(&self, index: u32) -> u32 {
        if index < self.first_spread {
            return self.first_block + 1 + index;
        }
        let group = index * self.descriptors_per_block();
        self.group_start(group) + u32::from(self.has_backup(group))
    }

    /// The first block of a group.
    pub(crate) const fn group_start(&self, group: u32) -> u32 {
        self.first_block + group * self.blocks_per_group
    }

    /// How many blocks a group has: the last one may have fewer.
    pub(crate) fn group_length(&self, group: u32) -> u32 {
        self.blocks_per_group
            .min(self.blocks - self.group_start(group))
    }

    /// The group of a block that is in one, and its place there.
    pub(crate) const fn group_of(&self, block: u32) -> (u32, u32) {
        let index = block - self.first_block;
        (index / self.blocks_per_group, index % self.blocks_per_group)
    }

    /// The group of an inode, and its place there.
    pub(crate) const fn inode_group(&self, inode: u32) -> (u32, u32) {
        let index = inode - 1;
        (index / self.inodes_per_group, index % self.inodes_per_group)
    }

    /// How many blocks a group's inode table has.
    pub(crate) const fn table_blocks(&self) -> u32 {
        (self.inodes_per_group * self.inode_size).div_ceil(self.block_size)
    }

    /// How many blocks of a group, from its start on, hold superblock and descriptors.
    pub(crate) fn head_blocks(&self, group: u32) -> u32 {
        let backup = self.has_backup(group);
        let spread = self.first_spread != u32::MAX;
        let own = group / self.descriptors_per_block();
        if spread && own >= self.first_spread {
            // Each such set of groups has its descriptors in its first, second and last.
            let index = group % self.descriptors_per_block();
            let has = index < 2 || index == self.descriptors_per_block() - 1;
            return u32::from(backup) + u32::from(has);
        }
        if !backup {
            return 0;
        }
        1 + self.descriptor_blocks().min(self.first_spread) + self.reserved_descriptor_blocks
    }

    fn has_backup(&self, group: u32) -> bool {
        match self.backups {
            Backups::All => true,
            Backups::Two(groups) => group == 0 || groups.contains(&group),
            Backups::Sparse => group <= 1 || [3, 5, 7].iter().any(|base| is_power(group, *base)),
        }
    }

    /// The numbers of pointers in a block.
    pub(crate) const fn pointers(&self) -> u32 {
        self.block_size / 4
    }

    /// The largest file in bytes: what block tables can reach and an inode's count of 512-byte
    /// sectors can count.
    pub(crate) fn largest_file(&self) -> u64 {
        let n = u64::from(self.pointers());
        let reach = 12 + n + n * n + n * n * n;
        let countable = u64::from(u32::MAX) / u64::from(self.block_size / 512);
        let tables = countable / n + countable / (n * n) + 3;
        reach.min(countable - tables) * u64::from(self.block_size)
    }
}

fn is_power(number: u32, base: u32) -> bool {
    let mut power = base;
    while power < number {
        match power.checked_mul(base) {
            Some(next) => power = next,
            None => return false,
        }
    }
    power == number
}

/// The parts of the superblock that change. It is the image of the block that it is in.
#[derive(Clone, Debug)]
pub(crate) struct Superblock {
    bytes: alloc::vec::Vec<u8>,
    at: usize,
}

impl Superblock {
    /// Of the block that it is in, which starts `at` bytes before it.
    pub(crate) const fn new(bytes: alloc::vec::Vec<u8>, at: usize) -> Self {
        Self { bytes, at }
    }

    /// The image of the whole block.
    pub(crate) fn image(&self) -> &[u8] {
        &self.bytes
    }

    fn u32_at(&self, at: usize) -> u32 {
        u32_at(&self.bytes, self.at + at)
    }

    fn put_u32(&mut self, at: usize, value: u32) {
        put_u32(&mut self.bytes, self.at + at, value);
    }

    fn u16_at(&self, at: usize) -> u16 {
        u16_at(&self.bytes, self.at + at)
    }

    fn put_u16(&mut self, at: usize, value: u16) {
        put_u16(&mut self.bytes, self.at + at, value);
    }

    /// The names of the features that forbid writing.
    pub(crate) fn unknown_read_only(&self) -> String {
        match self.u32_at(76) {
            0 => String::new(),
            _ => features::unknown_read_only(self.u32_at(100)),
        }
    }

    /// The blocks only the super-user may use; and who else.
    pub(crate) fn reserved_blocks(&self) -> u32 {
        self.u32_at(8)
    }

    /// The user and the group that may use the reserved blocks.
    pub(crate) fn reserved_for(&self) -> (u32, u32) {
        (self.u16_at(80).into(), self.u16_at(82).into())
    }

    pub(crate) fn set_free(&mut self, blocks: u64, inodes: u64) {
        self.put_u32(12, u32::try_from(blocks).unwrap_or(u32::MAX));
        self.put_u32(16, u32::try_from(inodes).unwrap_or(u32::MAX));
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.u16_at(58) & STATE_VALID != 0
    }

    pub(crate) fn set_valid(&mut self, valid: bool) {
        let state = self.u16_at(58) & !STATE_VALID;
        self.put_u16(58, state | if valid { STATE_VALID } else { 0 });
    }

    /// Records that damage was met.
    pub(crate) fn set_damaged(&mut self) {
        let state = self.u16_at(58);
        self.put_u16(58, state | STATE_ERROR);
    }

    pub(crate) fn set_written(&mut self, now: Timestamp) {
        self.put_u32(48, super::inode::seconds(now));
    }

    pub(crate) fn set_mounted(&mut self, now: Timestamp) {
        self.put_u32(44, super::inode::seconds(now));
        let count = self.u16_at(52).saturating_add(1);
        self.put_u16(52, count);
    }

    /// The first inode of those without a name that were in use.
    pub(crate) fn last_orphan(&self) -> u32 {
        self.u32_at(232)
    }

    pub(crate) fn set_last_orphan(&mut self, inode: u32) {
        self.put_u32(232, inode);
    }

    /// Says that there are files of 2 GB and more; a revision 0 file system becomes one of
    /// revision 1, as on Linux.
    pub(crate) fn set_large_file(&mut self) {
        if self.u32_at(76) == 0 {
            self.put_u32(76, 1);
            self.put_u32(84, FIRST_INODE);
            self.put_u16(88, 128);
            for feature in [92, 96, 100] {
                self.put_u32(feature, 0);
            }
        }
        let features = self.u32_at(100);
        self.put_u32(100, features | features::RO_COMPAT_LARGE_FILE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers() {
        let of_three: alloc::vec::Vec<u32> = (0..100).filter(|n| is_power(*n, 3)).collect();
        assert_eq!(of_three, [3, 9, 27, 81]);
        assert!(!is_power(u32::MAX, 7));
    }
}
