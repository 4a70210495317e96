//! Partition tables: MBR, and GPT (UEFI 2.10, section 5) with its checksums verified.
//!
//! Pure functions on blocks that were read from a disk, which may hold anything. Every range that is
//! returned lies within the disk.
//!
//! Limits: logical partitions inside an extended one are not looked for; a GPT may have up to
//! [`MAX_ENTRIES`] entries.

use alloc::vec::Vec;

use super::SECTOR;

/// The most entries of a GPT that are looked at; all tools make 128.
pub const MAX_ENTRIES: u32 = 256;
/// The most bytes of an entry.
const MAX_ENTRY: u32 = 1024;

/// A partition: blocks of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Its number, from 1.
    pub number: u32,
    /// Its first block.
    pub first: u64,
    /// Its blocks, at least 1.
    pub blocks: u64,
}

/// What the first block of a disk says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mbr {
    /// It has no partition table.
    None,
    /// The disk has a GPT.
    Protective,
    /// It has these partitions.
    Partitions(Vec<Range>),
}

/// Reads the first block of a disk with so many blocks.
#[must_use]
pub fn mbr(block: &[u8], blocks: u64) -> Mbr {
    let Some(sector) = block.get(..SECTOR as usize) else {
        return Mbr::None;
    };
    if sector[510..] != [0x55, 0xaa] {
        return Mbr::None;
    }
    let entries = sector[446..510].chunks_exact(16);
    // A file system's own first block ends with the same mark, but has no table.
    if !entries.clone().all(|entry| matches!(entry[0], 0 | 0x80)) {
        return Mbr::None;
    }
    if entries.clone().any(|entry| entry[4] == 0xee) {
        return Mbr::Protective;
    }
    let found = (1..).zip(entries).filter_map(|(number, entry)| {
        let (first, count) = (number32(entry, 8).into(), number32(entry, 12).into());
        // Extended partitions hold others, not data.
        let holds_data = !matches!(entry[4], 0 | 0x05 | 0x0f | 0x85);
        let inside = first > 0 && count > 0 && count <= blocks && first <= blocks - count;
        let range = Range {
            number,
            first,
            blocks: count,
        };
        (holds_data && inside).then_some(range)
    });
    Mbr::Partitions(found.collect())
}

/// A GPT's header that is sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gpt {
    /// The first block of the entries.
    pub entries_at: u64,
    first_usable: u64,
    last_usable: u64,
    count: u32,
    entry_bytes: u32,
    checksum: u32,
}

impl Gpt {
    /// Reads the block at `place` of a disk with so many blocks; `None` if that is no sound header.
    #[must_use]
    pub fn read(block: &[u8], place: u64, blocks: u64) -> Option<Self> {
        const SMALLEST: u32 = 92;
        if block.get(..8)? != b"EFI PART" || block.len() < SMALLEST as usize {
            return None;
        }
        let length = number32(block, 12);
        let header = block.get(..length as usize)?;
        if length < SMALLEST || header_checksum(header) != number32(block, 16) {
            return None;
        }
        let gpt = Self {
            entries_at: number64(block, 72),
            first_usable: number64(block, 40),
            last_usable: number64(block, 48),
            count: number32(block, 80).min(MAX_ENTRIES),
            entry_bytes: number32(block, 84),
            checksum: number32(block, 88),
        };
        let sizes = gpt.entry_bytes >= 128
            && gpt.entry_bytes <= MAX_ENTRY
            && gpt.entry_bytes.is_power_of_two()
            && number32(block, 80) <= MAX_ENTRIES;
        let inside = number64(block, 24) == place
            && gpt.entries_at < blocks
            && gpt.first_usable <= gpt.last_usable
            && gpt.last_usable < blocks;
        (sizes && inside).then_some(gpt)
    }

    /// Bytes of its entries.
    #[must_use]
    pub const fn bytes(&self) -> u32 {
        self.count * self.entry_bytes
    }

    /// The partitions in these entries; `None` if their checksum is wrong.
    #[must_use]
    pub fn partitions(&self, entries: &[u8]) -> Option<Vec<Range>> {
        let entries = entries.get(..self.bytes() as usize)?;
        if crc32fast::hash(entries) != self.checksum {
            return None;
        }
        let each = entries.chunks_exact(self.entry_bytes as usize);
        let found = (1..).zip(each).filter_map(|(number, entry)| {
            let is_used = entry[..16].iter().any(|byte| *byte != 0);
            let (first, last) = (number64(entry, 32), number64(entry, 40));
            let inside = first >= self.first_usable && first <= last && last <= self.last_usable;
            (is_used && inside).then(|| Range {
                number,
                first,
                blocks: last - first + 1,
            })
        });
        Some(found.collect())
    }
}

/// The checksum of a header, computed with zeros in its own place.
fn header_checksum(header: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header[..16]);
    hasher.update(&[0; 4]);
    hasher.update(&header[20..]);
    hasher.finalize()
}

/// The little-endian number at an offset, which the caller has checked.
fn number32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([0, 1, 2, 3].map(|byte| bytes[at + byte]))
}

fn number64(bytes: &[u8], at: usize) -> u64 {
    u64::from(number32(bytes, at)) | u64::from(number32(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests;
