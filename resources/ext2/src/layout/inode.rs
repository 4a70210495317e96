//! Inodes: attributes, and pointers to blocks.

use super::bytes::{put_u16, put_u32, u16_at, u32_at};
use crate::attributes::{Attributes, Changes, InodeNumber, Kind, Timestamp};
use crate::error::Error;

/// The part of an inode that is read and written: the classic one, and the parts of the times that
/// do not fit there, in inodes that are large enough.
const LENGTH: usize = 152;
const CLASSIC: usize = 128;
/// What Linux puts into the inodes it makes as the length of what follows the classic part.
const EXTRA: u16 = 32;

/// How many pointers an inode has; the last three are to tables of 1, 2 and 3 levels.
pub(crate) const POINTERS: usize = 15;
/// How many pointers are to data.
pub(crate) const DIRECT: usize = 12;
/// A symbolic link's target that is shorter than this is in the inode.
pub(crate) const FAST_SYMLINK: usize = 60;
/// The most links an inode may have.
pub(crate) const MOST_LINKS: u32 = 32000;

const MODE_MASK: u16 = 0o170_000;
const FLAG_IMMUTABLE: u32 = 0x10;
const FLAG_APPEND: u32 = 0x20;
const FLAG_INDEX: u32 = 0x1000;
/// Encrypted, extents, inline data, case folding: no inode of an ext2 file system has them.
const FLAGS_FOREIGN: u32 = 0x800 | 0x8_0000 | 0x1000_0000 | 0x4000_0000;

/// An inode in memory: the bytes of the volume behind methods.
#[derive(Clone, Debug)]
pub(crate) struct Inode {
    number: InodeNumber,
    bytes: [u8; LENGTH],
    large: bool,
}

impl Inode {
    /// Reads one; `bytes` is the whole inode.
    pub(crate) fn read(number: InodeNumber, bytes: &[u8]) -> Self {
        let mut copy = [0; LENGTH];
        let large = bytes.len() >= LENGTH;
        let length = if large { LENGTH } else { CLASSIC };
        copy[..length].copy_from_slice(&bytes[..length]);
        Self {
            number,
            bytes: copy,
            large,
        }
    }

    /// An empty one, in place of what is in `bytes`.
    pub(crate) fn new(number: InodeNumber, bytes: &[u8], generation: u32) -> Self {
        let mut inode = Self::read(number, bytes);
        inode.bytes.fill(0);
        put_u32(&mut inode.bytes, 100, generation);
        if inode.large {
            put_u16(&mut inode.bytes, CLASSIC, EXTRA);
        }
        inode
    }

    /// Writes it back.
    pub(crate) fn write(&self, bytes: &mut [u8]) {
        let length = if self.large { LENGTH } else { CLASSIC };
        bytes[..length].copy_from_slice(&self.bytes[..length]);
    }

    /// Checks what must hold of an inode in use.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.links() == 0 {
            return Err(Error::NotFound);
        }
        self.check_kind()
    }

    /// Checks what must hold of an inode with or without names.
    pub(crate) fn check_kind(&self) -> Result<(), Error> {
        self.kind()?;
        if self.flags() & FLAGS_FOREIGN != 0 {
            return Err(Error::Corrupt("an inode with features of other formats"));
        }
        if self.extra() > 0 && (!self.extra().is_multiple_of(4) || self.extra() > 4096 - 128) {
            return Err(Error::Corrupt("an inode of a wrong length"));
        }
        Ok(())
    }

    pub(crate) const fn number(&self) -> InodeNumber {
        self.number
    }

    pub(crate) fn kind(&self) -> Result<Kind, Error> {
        match u16_at(&self.bytes, 0) & MODE_MASK {
            0o010_000 => Ok(Kind::Fifo),
            0o020_000 => Ok(Kind::CharacterDevice(self.device())),
            0o040_000 => Ok(Kind::Directory),
            0o060_000 => Ok(Kind::BlockDevice(self.device())),
            0o100_000 => Ok(Kind::File),
            0o120_000 => Ok(Kind::Symlink),
            0o140_000 => Ok(Kind::Socket),
            _ => Err(Error::Corrupt("an inode of an unknown kind")),
        }
    }

    pub(crate) fn is_directory(&self) -> bool {
        u16_at(&self.bytes, 0) & MODE_MASK == 0o040_000
    }

    pub(crate) fn is_file(&self) -> bool {
        u16_at(&self.bytes, 0) & MODE_MASK == 0o100_000
    }

    /// Whether its pointers point to blocks.
    pub(crate) fn has_blocks(&self) -> bool {
        match self.kind() {
            Ok(Kind::File | Kind::Directory) => true,
            Ok(Kind::Symlink) => !self.is_fast_symlink(),
            _ => false,
        }
    }

    pub(crate) fn is_fast_symlink(&self) -> bool {
        self.size() < FAST_SYMLINK as u64
    }

    pub(crate) fn set_kind(&mut self, kind: Kind, permissions: u16) {
        put_u16(&mut self.bytes, 0, format(kind) | (permissions & 0o7777));
        if let Kind::CharacterDevice(device) | Kind::BlockDevice(device) = kind {
            // Where the number fits into 16 bits, it is where it has always been.
            let (major, minor) = (
                (device & 0xf_ff00) >> 8,
                (device & 0xff) | (device >> 12 & 0xf_ff00),
            );
            let place = usize::from(major > 255 || minor > 255);
            self.set_pointer(place, device);
        }
    }

    fn device(&self) -> u32 {
        match self.pointer(0) {
            0 => self.pointer(1),
            old => old & 0xffff,
        }
    }

    pub(crate) fn permissions(&self) -> u16 {
        u16_at(&self.bytes, 0) & 0o7777
    }

    pub(crate) fn set_permissions(&mut self, permissions: u16) {
        let format = u16_at(&self.bytes, 0) & MODE_MASK;
        put_u16(&mut self.bytes, 0, format | (permissions & 0o7777));
    }

    pub(crate) fn user(&self) -> u32 {
        u32::from(u16_at(&self.bytes, 2)) | u32::from(u16_at(&self.bytes, 120)) << 16
    }

    pub(crate) fn set_user(&mut self, user: u32) {
        put_u16(&mut self.bytes, 2, user as u16);
        put_u16(&mut self.bytes, 120, (user >> 16) as u16);
    }

    pub(crate) fn group(&self) -> u32 {
        u32::from(u16_at(&self.bytes, 24)) | u32::from(u16_at(&self.bytes, 122)) << 16
    }

    pub(crate) fn set_group(&mut self, group: u32) {
        put_u16(&mut self.bytes, 24, group as u16);
        put_u16(&mut self.bytes, 122, (group >> 16) as u16);
    }

    /// In bytes. The upper half belongs to files alone.
    pub(crate) fn size(&self) -> u64 {
        let high = if self.is_file() {
            u32_at(&self.bytes, 108)
        } else {
            0
        };
        u64::from(u32_at(&self.bytes, 4)) | u64::from(high) << 32
    }

    pub(crate) fn set_size(&mut self, size: u64) {
        put_u32(&mut self.bytes, 4, size as u32);
        if self.is_file() {
            put_u32(&mut self.bytes, 108, (size >> 32) as u32);
        }
    }

    pub(crate) fn links(&self) -> u32 {
        u16_at(&self.bytes, 26).into()
    }

    pub(crate) fn set_links(&mut self, links: u32) {
        put_u16(
            &mut self.bytes,
            26,
            u16::try_from(links).unwrap_or(u16::MAX),
        );
    }

    /// What it takes, in units of 512 bytes.
    pub(crate) fn sectors(&self) -> u32 {
        u32_at(&self.bytes, 28)
    }

    pub(crate) fn set_sectors(&mut self, sectors: u32) {
        put_u32(&mut self.bytes, 28, sectors);
    }

    fn flags(&self) -> u32 {
        u32_at(&self.bytes, 32)
    }

    /// Whether its owner said that it must not change.
    pub(crate) fn is_immutable(&self) -> bool {
        self.flags() & FLAG_IMMUTABLE != 0
    }

    /// Whether its owner said that it must not change, but for growing.
    pub(crate) fn is_kept(&self) -> bool {
        self.flags() & (FLAG_IMMUTABLE | FLAG_APPEND) != 0
    }

    /// Says that a directory has no index, as it will not be kept up to date.
    pub(crate) fn drop_index(&mut self) {
        let flags = self.flags() & !FLAG_INDEX;
        put_u32(&mut self.bytes, 32, flags);
    }

    pub(crate) fn pointer(&self, index: usize) -> u32 {
        u32_at(&self.bytes, 40 + 4 * index)
    }

    pub(crate) fn set_pointer(&mut self, index: usize, block: u32) {
        put_u32(&mut self.bytes, 40 + 4 * index, block);
    }

    /// The place of a fast symbolic link's target.
    pub(crate) fn target(&self) -> &[u8] {
        &self.bytes[40..40 + FAST_SYMLINK]
    }

    pub(crate) fn set_target(&mut self, target: &[u8]) {
        self.bytes[40..40 + target.len()].copy_from_slice(target);
    }

    /// The block of extended attributes, or 0.
    pub(crate) fn attribute_block(&self) -> u32 {
        u32_at(&self.bytes, 104)
    }

    pub(crate) fn set_attribute_block(&mut self, block: u32) {
        put_u32(&mut self.bytes, 104, block);
    }

    /// The next in the list of inodes without a name.
    pub(crate) fn next_orphan(&self) -> u32 {
        u32_at(&self.bytes, 20)
    }

    /// It has no names. In the same place as the next in the list: the time of that, or 0 while it
    /// is in use, when it may be the last of the list.
    pub(crate) fn set_deleted(&mut self, at: Option<Timestamp>) {
        self.set_links(0);
        put_u32(&mut self.bytes, 20, at.map_or(0, |at| seconds(at).max(1)));
    }

    pub(crate) fn set_accessed(&mut self, time: Timestamp) {
        self.set_time(8, 140, time);
    }

    pub(crate) fn set_changed(&mut self, time: Timestamp) {
        self.set_time(12, 132, time);
    }

    /// The contents have changed, and with them the inode.
    pub(crate) fn set_modified(&mut self, time: Timestamp) {
        self.set_time(16, 136, time);
    }

    /// The contents and the inode have changed.
    pub(crate) fn touch(&mut self, now: Timestamp) {
        self.set_modified(now);
        self.set_changed(now);
    }

    /// It was made now.
    pub(crate) fn set_made(&mut self, now: Timestamp) {
        self.touch(now);
        self.set_accessed(now);
        self.set_time(144, 148, now);
    }

    /// Changes what a user changes.
    pub(crate) fn apply(&mut self, changes: Changes, now: Timestamp) {
        if let Some(mode) = changes.mode {
            self.set_permissions(mode);
        }
        if let Some(user) = changes.user {
            self.set_user(user);
        }
        if let Some(group) = changes.group {
            self.set_group(group);
        }
        if let Some(time) = changes.accessed {
            self.set_accessed(time);
        }
        if let Some(time) = changes.modified {
            self.set_modified(time);
        }
        self.set_changed(now);
    }

    fn extra(&self) -> usize {
        if self.large {
            u16_at(&self.bytes, CLASSIC).into()
        } else {
            0
        }
    }

    /// The rest of a time: 2 bits that extend its seconds, 30 of nanoseconds.
    fn has_extra(&self, at: usize) -> bool {
        CLASSIC + self.extra() >= at + 4
    }

    fn time(&self, at: usize, extra_at: usize) -> Timestamp {
        let low = i64::from(u32_at(&self.bytes, at).cast_signed());
        if !self.has_extra(extra_at) {
            return Timestamp {
                seconds: low,
                nanoseconds: 0,
            };
        }
        let extra = u32_at(&self.bytes, extra_at);
        Timestamp {
            seconds: low + (i64::from(extra & 3) << 32),
            nanoseconds: (extra >> 2).min(999_999_999),
        }
    }

    fn set_time(&mut self, at: usize, extra_at: usize, time: Timestamp) {
        let classic = at < CLASSIC;
        if !self.has_extra(extra_at) {
            if classic {
                put_u32(&mut self.bytes, at, seconds(time));
            }
            return;
        }
        let longest = i64::from(i32::MAX) + (3 << 32);
        let clamped = time.seconds.clamp(i64::from(i32::MIN), longest);
        let low = clamped as u32;
        let epoch = (clamped - i64::from(low.cast_signed())) >> 32;
        put_u32(&mut self.bytes, at, low);
        put_u32(
            &mut self.bytes,
            extra_at,
            time.nanoseconds << 2 | epoch as u32 & 3,
        );
    }

    /// What `stat` tells.
    pub(crate) fn attributes(&self) -> Result<Attributes, Error> {
        Ok(Attributes {
            inode: self.number,
            kind: self.kind()?,
            mode: self.permissions(),
            links: self.links(),
            user: self.user(),
            group: self.group(),
            size: self.size(),
            sectors: self.sectors().into(),
            accessed: self.time(8, 140),
            modified: self.time(16, 136),
            changed: self.time(12, 132),
            generation: u32_at(&self.bytes, 100),
        })
    }
}

/// Whole seconds, as far as 32 bits can tell.
pub(crate) fn seconds(time: Timestamp) -> u32 {
    time.seconds.clamp(i32::MIN.into(), i32::MAX.into()) as u32
}

/// The upper bits of the mode.
const fn format(kind: Kind) -> u16 {
    match kind {
        Kind::Fifo => 0o010_000,
        Kind::CharacterDevice(_) => 0o020_000,
        Kind::Directory => 0o040_000,
        Kind::BlockDevice(_) => 0o060_000,
        Kind::File => 0o100_000,
        Kind::Symlink => 0o120_000,
        Kind::Socket => 0o140_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inode(size: usize) -> Inode {
        Inode::new(InodeNumber(12), &alloc::vec![0xff; size], 77)
    }

    #[test]
    fn times_of_large_inodes_reach_beyond_2038() {
        let mut inode = inode(256);
        inode.set_kind(Kind::File, 0o644);
        for seconds in [-5, 0, 1_700_000_000, 5_000_000_000, 15_032_385_535] {
            let time = Timestamp {
                seconds,
                nanoseconds: 123_456_789,
            };
            inode.set_made(time);
            let attributes = inode.attributes().unwrap();
            assert_eq!(
                [attributes.accessed, attributes.modified, attributes.changed],
                [time; 3]
            );
        }
    }

    #[test]
    fn times_of_small_inodes_are_cut() {
        let mut inode = inode(128);
        inode.set_kind(Kind::Fifo, 0o600);
        inode.set_made(Timestamp {
            seconds: 5_000_000_000,
            nanoseconds: 5,
        });
        let modified = inode.attributes().unwrap().modified;
        assert_eq!(
            (modified.seconds, modified.nanoseconds),
            (i32::MAX.into(), 0)
        );
        let mut bytes = [0xee; 256];
        inode.write(&mut bytes);
        assert!(bytes[128..].iter().all(|byte| *byte == 0xee));
    }

    #[test]
    fn attributes_come_back() {
        for kind in [
            Kind::File,
            Kind::Socket,
            Kind::CharacterDevice(0x0501),
            Kind::BlockDevice(0x1234_5678),
        ] {
            let mut inode = inode(128);
            inode.set_kind(kind, 0o4755);
            inode.set_user(70_000);
            inode.set_group(80_000);
            inode.set_links(3);
            inode.set_size(5_000_000_000);
            let mut bytes = [0; 128];
            inode.write(&mut bytes);
            let found = Inode::read(InodeNumber(12), &bytes).attributes().unwrap();
            assert_eq!((found.kind, found.mode), (kind, 0o4755));
            assert_eq!((found.user, found.group, found.links), (70_000, 80_000, 3));
            if kind == Kind::File {
                assert_eq!(found.size, 5_000_000_000);
            }
        }
    }
}
