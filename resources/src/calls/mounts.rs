//! mount(2) and umount2(2).
//!
//! A source is the name of a volume in `/dev`; there is nothing but ext2 to mount. Who may create
//! activities may mount and unmount, since that changes what all programs see.

use linux_raw_sys::general;

use super::argument::{Flags, In, LongFlags, Path};
use super::{Caller, Outcome, Verdict, files};
use crate::errno::Errno;
use crate::files::{FileType, Mounting, Node, Operation};
use crate::machine::Machine;
use crate::process::Rights;

/// What cannot be done: change what is mounted, or show it somewhere else as well.
const NOT_NEW: u32 = general::MS_REMOUNT
    | general::MS_BIND
    | general::MS_MOVE
    | general::MS_SHARED
    | general::MS_PRIVATE
    | general::MS_SLAVE
    | general::MS_UNBINDABLE;

fn may<M: Machine>(caller: &Caller<'_, '_, M>) -> Result<(), Verdict> {
    match caller.process.rights().contains(Rights::CHOOSE_ACTIVITY) {
        true => Ok(()),
        false => Err(Errno::EPERM.into()),
    }
}

/// mount(2).
pub(super) fn mount<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    source: Path,
    target: Path,
    kind: Path,
    flags: LongFlags,
    data: Option<In<u8>>,
) -> Outcome {
    let space = caller.process.space();
    let (kind, source) = (kind.read(space)?, source.read(space)?);
    let asks_more = match data {
        None => false,
        Some(data) => data.read(space)? != 0,
    };
    may(caller)?;
    let flags = flags.0 as u32;
    let volumes = caller.shared.storage.volumes();
    files::make(caller, |call| {
        let node = call.node_at(general::AT_FDCWD, target.address(), 0)?;
        if flags & NOT_NEW != 0 || asks_more {
            return Err(Errno::EINVAL.into());
        }
        if kind != b"ext2" {
            return Err(Errno::ENODEV.into());
        }
        let name = source.strip_prefix(b"/dev/").ok_or(Errno::ENOTBLK)?;
        let volume = volumes.iter().find(|one| one.name.as_bytes() == name);
        let volume = volume.ok_or(Errno::ENOENT)?.clone();
        let over = match node {
            Some(Node::Disk(inode)) if inode.kind() == FileType::Directory => inode,
            Some(node) if !call.names().is_directory(&node) => return Err(Errno::ENOTDIR.into()),
            _ => return Err(Errno::EINVAL.into()),
        };
        let mounting = Mounting {
            volume,
            over,
            read_only: flags & general::MS_RDONLY != 0,
        };
        Err(Operation::Mount(mounting.into()).into())
    })
}

/// umount2(2).
pub(super) fn umount2<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    target: Path,
    flags: Flags,
) -> Outcome {
    // What is in use is not taken away by force either.
    if flags.0 & !(general::MNT_FORCE | general::UMOUNT_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let follow = match flags.0 & general::UMOUNT_NOFOLLOW {
        0 => 0,
        _ => general::AT_SYMLINK_NOFOLLOW,
    };
    may(caller)?;
    files::make(caller, |call| {
        match call.node_at(general::AT_FDCWD, target.address(), follow)? {
            Some(Node::Disk(inode)) if inode.is_mounted_root() => {
                Err(Operation::Unmount(inode.system()).into())
            }
            _ => Err(Errno::EINVAL.into()),
        }
    })
}
