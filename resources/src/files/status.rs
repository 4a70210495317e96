//! System calls that tell about files: stat, statx, statfs. The structures are written byte by
//! byte, at the offsets that Linux's headers give.

use core::mem::offset_of;

use linux_raw_sys::general::{
    AT_EMPTY_PATH, AT_FDCWD, AT_NO_AUTOMOUNT, AT_STATX_SYNC_TYPE, AT_SYMLINK_NOFOLLOW, MS_RDONLY,
    RAMFS_MAGIC, S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG, STATX__RESERVED, STATX_BASIC_STATS, stat,
    statfs, statx, statx_timestamp,
};

use super::archive::{Kind, MAX_NAME, Node, NodeId};
use super::{Call, Outcome};
use crate::errno::Errno;
use crate::machine::PAGE_SIZE;
use crate::object::Object;

/// The minor number of the root file system's device; the major one is 0, as for all that is on
/// no real device.
const DEVICE: u32 = 1;
/// Bytes of a block in `st_blocks`.
const BLOCK: u64 = 512;

/// Writes fields of a structure into its bytes: each value in its own width.
macro_rules! put {
    ($bytes:ident: $structure:ident { $($field:ident $(. $inner:ident)?: $value:expr,)* }) => {$(
        let value = $value.to_le_bytes();
        let start = offset_of!($structure, $field) $(+ offset_of!(statx_timestamp, $inner))?;
        $bytes[start..start + value.len()].copy_from_slice(&value);
    )*};
}

impl Call<'_> {
    /// `stat(path, buffer)`.
    ///
    /// # Errors
    /// As stat(2).
    pub fn stat(&self, path: u64, buffer: u64) -> Outcome {
        self.stat_at(AT_FDCWD, path, buffer, 0)
    }

    /// `lstat(path, buffer)`.
    ///
    /// # Errors
    /// As lstat(2).
    pub fn stat_link(&self, path: u64, buffer: u64) -> Outcome {
        self.stat_at(AT_FDCWD, path, buffer, AT_SYMLINK_NOFOLLOW)
    }

    /// `fstat(descriptor, buffer)`.
    ///
    /// # Errors
    /// EBADF, EFAULT.
    pub fn stat_open(&self, descriptor: i32, buffer: u64) -> Outcome {
        let node = self.descriptors.lock().get(descriptor)?.node;
        self.memory
            .write(buffer, &stat_of(node, self.archive.node(node)))?;
        Ok(0)
    }

    /// `newfstatat(directory, path, buffer, flags)`.
    ///
    /// # Errors
    /// As fstatat(2).
    pub fn stat_at(&self, directory: i32, path: u64, buffer: u64, flags: u32) -> Outcome {
        if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let node = self.node_at(directory, path, flags)?;
        self.memory
            .write(buffer, &stat_of(node, self.archive.node(node)))?;
        Ok(0)
    }

    /// `statx(directory, path, flags, mask, buffer)`.
    ///
    /// # Errors
    /// As statx(2).
    pub fn statx(&self, directory: i32, path: u64, flags: u32, mask: u32, buffer: u64) -> Outcome {
        let known = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE;
        let both_ways = flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE;
        if flags & !known != 0 || both_ways || mask & STATX__RESERVED != 0 {
            return Err(Errno::EINVAL.into());
        }
        let node = self.node_at(directory, path, flags)?;
        self.memory
            .write(buffer, &statx_of(node, self.archive.node(node)))?;
        Ok(0)
    }

    /// `statfs(path, buffer)`.
    ///
    /// # Errors
    /// As statfs(2).
    pub fn file_system(&self, path: u64, buffer: u64) -> Outcome {
        self.node_at(AT_FDCWD, path, 0)?;
        self.memory.write(buffer, &self.statfs())?;
        Ok(0)
    }

    /// `fstatfs(descriptor, buffer)`.
    ///
    /// # Errors
    /// EBADF, EFAULT.
    pub fn file_system_open(&self, descriptor: i32, buffer: u64) -> Outcome {
        self.descriptors.lock().get(descriptor)?;
        self.memory.write(buffer, &self.statfs())?;
        Ok(0)
    }

    fn statfs(&self) -> [u8; size_of::<statfs>()] {
        let mut bytes = [0; size_of::<statfs>()];
        put!(bytes: statfs {
            f_type: u64::from(RAMFS_MAGIC),
            f_bsize: PAGE_SIZE,
            f_files: self.archive.len() as u64,
            f_namelen: MAX_NAME as u64,
            f_frsize: PAGE_SIZE,
            f_flags: u64::from(MS_RDONLY),
        });
        bytes
    }
}

/// The type and permissions of a node, as in `st_mode`.
pub(super) fn mode(node: &Node) -> u32 {
    let kind = match node.kind {
        Kind::File(_) => S_IFREG,
        Kind::Directory(_) => S_IFDIR,
        Kind::Link(_) | Kind::Program => S_IFLNK,
        Kind::Device(_) => S_IFCHR,
    };
    kind | u32::from(node.mode)
}

fn size(node: &Node) -> u64 {
    match &node.kind {
        Kind::File(file) => file.length(),
        Kind::Directory(_) => PAGE_SIZE,
        Kind::Link(target) => target.len() as u64,
        Kind::Program | Kind::Device(_) => 0,
    }
}

fn device_numbers(node: &Node) -> (u32, u32) {
    match node.kind {
        Kind::Device(device) => device.numbers(),
        _ => (0, 0),
    }
}

fn stat_of(id: NodeId, node: &Node) -> [u8; size_of::<stat>()] {
    let mut bytes = [0; size_of::<stat>()];
    let (major, minor) = device_numbers(node);
    put!(bytes: stat {
        st_dev: u64::from(DEVICE),
        st_ino: id.inode(),
        st_nlink: u64::from(node.links),
        st_mode: mode(node),
        st_uid: node.owner,
        st_gid: node.group,
        // Both are below 256: the old encoding is the new one.
        st_rdev: u64::from(major << 8 | minor),
        st_size: size(node),
        st_blksize: PAGE_SIZE,
        st_blocks: size(node).div_ceil(BLOCK),
        st_atime: node.changed,
        st_mtime: node.changed,
        st_ctime: node.changed,
    });
    bytes
}

fn statx_of(id: NodeId, node: &Node) -> [u8; size_of::<statx>()] {
    let mut bytes = [0; size_of::<statx>()];
    let (major, minor) = device_numbers(node);
    put!(bytes: statx {
        stx_mask: STATX_BASIC_STATS,
        stx_blksize: PAGE_SIZE as u32,
        stx_nlink: node.links,
        stx_uid: node.owner,
        stx_gid: node.group,
        stx_mode: mode(node) as u16,
        stx_ino: id.inode(),
        stx_size: size(node),
        stx_blocks: size(node).div_ceil(BLOCK),
        stx_atime.tv_sec: node.changed,
        stx_ctime.tv_sec: node.changed,
        stx_mtime.tv_sec: node.changed,
        stx_rdev_major: major,
        stx_rdev_minor: minor,
        stx_dev_minor: DEVICE,
        stx_mnt_id: 1_u64,
    });
    bytes
}
