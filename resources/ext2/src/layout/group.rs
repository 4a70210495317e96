//! Group descriptors: where a group's bitmaps and inode table are, and what is free in it.

use super::bytes::{put_u16, u16_at, u32_at};

/// The size of a descriptor in bytes.
pub(crate) const DESCRIPTOR_SIZE: usize = 32;

/// A block group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) block_bitmap: u32,
    pub(crate) inode_bitmap: u32,
    pub(crate) inode_table: u32,
    pub(crate) free_blocks: u16,
    pub(crate) free_inodes: u16,
    pub(crate) directories: u16,
}

impl Group {
    /// Reads a descriptor.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        Self {
            block_bitmap: u32_at(bytes, 0),
            inode_bitmap: u32_at(bytes, 4),
            inode_table: u32_at(bytes, 8),
            free_blocks: u16_at(bytes, 12),
            free_inodes: u16_at(bytes, 14),
            directories: u16_at(bytes, 16),
        }
    }

    /// Writes the counts into a descriptor; the rest does not change.
    pub(crate) fn write_counts(&self, bytes: &mut [u8]) {
        put_u16(bytes, 12, self.free_blocks);
        put_u16(bytes, 14, self.free_inodes);
        put_u16(bytes, 16, self.directories);
    }
}
