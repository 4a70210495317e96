//! System calls that tell about files: stat, statx, statfs. The structures are written byte by
//! byte, at the offsets that Linux's headers give.

use core::mem::offset_of;

use linux_raw_sys::general::{
    AT_EMPTY_PATH, AT_FDCWD, AT_NO_AUTOMOUNT, AT_STATX_SYNC_TYPE, AT_SYMLINK_NOFOLLOW,
    EXT2_SUPER_MAGIC, MS_RDONLY, PROC_SUPER_MAGIC, RAMFS_MAGIC, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK,
    S_IFREG, S_IFSOCK, STATX__RESERVED, STATX_BASIC_STATS, stat, statfs, statx, statx_timestamp,
};

use super::archive::{Kind, MAX_NAME, Node as ArchiveNode, NodeId};
use super::descriptors::{OpenFile, Opened};
use super::inode::{Inode, SystemId, Time};
use super::procfs::Place;
use super::tree::Node;
use super::{Call, Failure, Outcome, Usage};
use crate::errno::Errno;
use crate::machine::PAGE_SIZE;
use crate::object::Object;

/// The minor number of the root file system's device; the major one is 0, as for all that is on
/// no real device.
const DEVICE: u32 = 1;
/// That of the disk.
const DEVICE_OF_DISK: u32 = 4;
/// Those of what else is mounted begin here.
const DEVICE_OF_MOUNTS: u32 = 32;
/// Those of pipes, and of what else is in no directory.
const DEVICE_OF_PIPES: u32 = 2;
const DEVICE_OF_OTHERS: u32 = 3;
const DEVICE_OF_SOCKETS: u32 = 5;
/// That of `/proc`.
const DEVICE_OF_PROCESSES: u32 = 6;
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
        let file = self.descriptors.lock().get(descriptor)?;
        self.memory
            .write(buffer, &stat_of(&self.status_of(&file)))?;
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
        let status = self.status_at(directory, path, flags)?;
        self.memory.write(buffer, &stat_of(&status))?;
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
        let status = self.status_at(directory, path, flags)?;
        self.memory.write(buffer, &statx_of(&status))?;
        Ok(0)
    }

    /// `statfs(path, buffer)`.
    ///
    /// # Errors
    /// As statfs(2).
    pub fn file_system(&self, path: u64, buffer: u64) -> Outcome {
        let node = self.node_at(AT_FDCWD, path, 0)?;
        self.memory.write(buffer, &self.statfs(node.as_ref()))?;
        Ok(0)
    }

    /// `fstatfs(descriptor, buffer)`.
    ///
    /// # Errors
    /// EBADF, EFAULT.
    pub fn file_system_open(&self, descriptor: i32, buffer: u64) -> Outcome {
        let file = self.descriptors.lock().get(descriptor)?;
        self.memory
            .write(buffer, &self.statfs(file.node.as_ref()))?;
        Ok(0)
    }

    /// What is told of what a call with a directory, a path and `AT_…` flags means.
    fn status_at(&self, directory: i32, path: u64, flags: u32) -> Result<Status, Failure> {
        // An empty path stands for the descriptor, which need not be in any directory.
        let is_empty = flags & AT_EMPTY_PATH != 0 && directory != AT_FDCWD && {
            let mut first = [0];
            self.memory.read(path, &mut first)?;
            first == [0]
        };
        if is_empty {
            let file = self.descriptors.lock().get(directory)?;
            return Ok(self.status_of(&file));
        }
        let node = self.node_at(directory, path, flags)?;
        Ok(self.status_of_node(&node.ok_or(Errno::ENOENT)?))
    }

    fn status_of(&self, file: &OpenFile) -> Status {
        match &file.node {
            Some(node) => self.status_of_node(node),
            None => Status::of_nameless(&file.opened),
        }
    }

    fn status_of_node(&self, node: &Node) -> Status {
        match node {
            Node::Archive(id) => Status::of_archive(*id, self.archive.node(*id)),
            Node::Disk(inode) => Status::of_disk(inode),
            Node::Process(place) => Status::of_process(*place),
        }
    }

    fn statfs(&self, node: Option<&Node>) -> [u8; size_of::<statfs>()] {
        if let (Some(Node::Disk(inode)), Some(disk)) = (node, self.disk)
            && let Some(usage) = disk.usage(inode)
        {
            let flags = if disk.is_read_only(inode) {
                MS_RDONLY
            } else {
                0
            };
            return statfs_of(&usage, flags);
        }
        let kind = match node {
            Some(Node::Process(_)) => PROC_SUPER_MAGIC,
            _ => RAMFS_MAGIC,
        };
        let mut bytes = [0; size_of::<statfs>()];
        put!(bytes: statfs {
            f_type: u64::from(kind),
            f_bsize: PAGE_SIZE,
            f_files: self.archive.len() as u64,
            f_namelen: MAX_NAME as u64,
            f_frsize: PAGE_SIZE,
            f_flags: u64::from(MS_RDONLY),
        });
        bytes
    }
}

fn statfs_of(usage: &Usage, flags: u32) -> [u8; size_of::<statfs>()] {
    let mut bytes = [0; size_of::<statfs>()];
    let block = u64::from(usage.block_size);
    put!(bytes: statfs {
        f_type: u64::from(EXT2_SUPER_MAGIC),
        f_bsize: block,
        f_blocks: usage.blocks,
        f_bfree: usage.free_blocks,
        f_bavail: usage.available_blocks,
        f_files: usage.inodes,
        f_ffree: usage.free_inodes,
        f_namelen: u64::from(usage.longest_name),
        f_frsize: block,
        // As Linux has it: the first half of the identifier, mixed with the second.
        f_fsid: identifier(&usage.uuid),
        f_flags: u64::from(flags),
    });
    bytes
}

fn identifier(uuid: &[u8; 16]) -> u64 {
    let (first, second) = uuid.split_at(8);
    let word = |half: &[u8]| u64::from_le_bytes(half.try_into().unwrap_or_default());
    word(first) ^ word(second)
}

/// The type and permissions of a node, as in `st_mode`.
pub(super) fn mode(node: &ArchiveNode) -> u32 {
    let kind = match node.kind {
        Kind::File(_) => S_IFREG,
        Kind::Directory(_) => S_IFDIR,
        Kind::Link(_) | Kind::Program => S_IFLNK,
        Kind::Device(_) => S_IFCHR,
    };
    kind | u32::from(node.mode)
}

fn size(node: &ArchiveNode) -> u64 {
    match &node.kind {
        Kind::File(file) => file.length(),
        Kind::Directory(_) => PAGE_SIZE,
        Kind::Link(target) => target.len() as u64,
        Kind::Program | Kind::Device(_) => 0,
    }
}

fn device_numbers(node: &ArchiveNode) -> (u32, u32) {
    match node.kind {
        Kind::Device(device) => device.numbers(),
        _ => (0, 0),
    }
}

/// What stat(2) and statx(2) tell.
#[derive(Default)]
struct Status {
    /// Minor number of the device that it is on.
    device: u32,
    inode: u64,
    links: u32,
    mode: u32,
    owner: u32,
    group: u32,
    /// The device that it is.
    special: (u32, u32),
    size: u64,
    blocks: u64,
    accessed: Time,
    modified: Time,
    changed: Time,
}

impl Status {
    fn of_archive(id: NodeId, node: &ArchiveNode) -> Self {
        let changed = Time {
            seconds: node.changed,
            nanoseconds: 0,
        };
        Self {
            device: DEVICE,
            inode: id.inode(),
            links: node.links,
            mode: mode(node),
            owner: node.owner,
            group: node.group,
            special: device_numbers(node),
            size: size(node),
            blocks: size(node).div_ceil(BLOCK),
            accessed: changed,
            modified: changed,
            changed,
        }
    }

    fn of_process(place: Place) -> Self {
        Self {
            device: DEVICE_OF_PROCESSES,
            inode: place.inode(),
            links: 1 + u32::from(place.is_directory()),
            mode: place.mode(),
            ..Self::default()
        }
    }

    fn of_disk(inode: &Inode) -> Self {
        let of = inode.attributes();
        // As `makedev` of the C library, whose lower half is the kernel's own encoding.
        let special = (
            of.device >> 8 & 0xfff,
            of.device & 0xff | of.device >> 12 & 0xfff00,
        );
        Self {
            device: match inode.system() {
                SystemId::ROOT => DEVICE_OF_DISK,
                SystemId(number) => DEVICE_OF_MOUNTS + number,
            },
            inode: inode.number().into(),
            links: of.links,
            mode: of.mode.into(),
            owner: of.owner,
            group: of.group,
            special,
            size: of.size,
            blocks: of.blocks,
            accessed: of.accessed,
            modified: of.modified,
            changed: of.changed,
        }
    }

    /// Of what is in no directory: a pipe has its number, all else one number for all.
    fn of_nameless(opened: &Opened) -> Self {
        let (device, inode, kind) = match opened {
            Opened::Pipe(end) => (DEVICE_OF_PIPES, end.number(), S_IFIFO),
            Opened::Socket(socket) => (DEVICE_OF_SOCKETS, socket.number, S_IFSOCK),
            _ => (DEVICE_OF_OTHERS, 1, 0),
        };
        Self {
            device,
            inode,
            links: 1,
            mode: kind | 0o600,
            ..Self::default()
        }
    }
}

fn stat_of(of: &Status) -> [u8; size_of::<stat>()] {
    let mut bytes = [0; size_of::<stat>()];
    let (major, minor) = of.special;
    put!(bytes: stat {
        st_dev: u64::from(of.device),
        st_ino: of.inode,
        st_nlink: u64::from(of.links),
        st_mode: of.mode,
        st_uid: of.owner,
        st_gid: of.group,
        st_rdev: u64::from(minor & 0xff | major << 8 | (minor & !0xff) << 12),
        st_size: of.size,
        st_blksize: PAGE_SIZE,
        st_blocks: of.blocks,
        st_atime: of.accessed.seconds,
        st_atime_nsec: u64::from(of.accessed.nanoseconds),
        st_mtime: of.modified.seconds,
        st_mtime_nsec: u64::from(of.modified.nanoseconds),
        st_ctime: of.changed.seconds,
        st_ctime_nsec: u64::from(of.changed.nanoseconds),
    });
    bytes
}

fn statx_of(of: &Status) -> [u8; size_of::<statx>()] {
    let mut bytes = [0; size_of::<statx>()];
    let (major, minor) = of.special;
    put!(bytes: statx {
        stx_mask: STATX_BASIC_STATS,
        stx_blksize: PAGE_SIZE as u32,
        stx_nlink: of.links,
        stx_uid: of.owner,
        stx_gid: of.group,
        stx_mode: of.mode as u16,
        stx_ino: of.inode,
        stx_size: of.size,
        stx_blocks: of.blocks,
        stx_atime.tv_sec: of.accessed.seconds,
        stx_atime.tv_nsec: of.accessed.nanoseconds,
        stx_ctime.tv_sec: of.changed.seconds,
        stx_ctime.tv_nsec: of.changed.nanoseconds,
        stx_mtime.tv_sec: of.modified.seconds,
        stx_mtime.tv_nsec: of.modified.nanoseconds,
        stx_rdev_major: major,
        stx_rdev_minor: minor,
        stx_dev_minor: of.device,
        stx_mnt_id: u64::from(of.device),
    });
    bytes
}
