//! Calls on files that have no method of their own in [`crate::files::Call`]: what is denied on a
//! file system that cannot be written.

use core::cell::Cell;

use super::argument::{Fd, Flags, In, Out, Path};
use super::layout::{Iovec, Layout};
use super::{Caller, Outcome};
use crate::errno::Errno;
use crate::files::Call;
use crate::machine::Machine;

use linux_raw_sys::general;

/// A call on files, by the caller.
pub(super) fn of<'a, M: Machine>(caller: &'a Caller<'_, '_, M>) -> Call<'a> {
    Call {
        memory: caller.process.space().as_ref(),
        devices: &caller.shared.machine,
        archive: &caller.shared.archive,
        descriptors: caller.process.descriptors(),
        done: Cell::new(caller.thread.kept.done()),
    }
}

const HERE: Fd = Fd(general::AT_FDCWD);

macro_rules! at_here {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*) = $at:ident($($given:expr),*);)*) => {$(
        $(#[$doc])*
        pub(super) fn $name<M: Machine>(
            caller: &mut Caller<'_, '_, M>,
            $($argument: $type),*
        ) -> Outcome {
            $at(caller, $($given),*)
        }
    )*};
}

at_here! {
    /// mkdir(2).
    mkdir(path: Path, _mode: Flags) = make(HERE, path);
    /// mkdirat(2).
    mkdirat(directory: Fd, path: Path, _mode: Flags) = make(directory, path);
    /// mknod(2).
    mknod(path: Path, _mode: Flags, _device: u32) = make(HERE, path);
    /// mknodat(2).
    mknodat(directory: Fd, path: Path, _mode: Flags, _device: u32) = make(directory, path);
    /// symlink(2).
    symlink(target: Path, path: Path) = make_from(target, HERE, path);
    /// symlinkat(2).
    symlinkat(target: Path, directory: Fd, path: Path) = make_from(target, directory, path);
    /// link(2).
    link(old: Path, new: Path) = link_from(HERE, old, HERE, new, 0);
    /// linkat(2).
    linkat(from: Fd, old: Path, to: Fd, new: Path, flags: Flags) = link_from(from, old, to, new, flags.0);
    /// unlink(2) and rmdir(2).
    unlink(path: Path) = remove(HERE, path);
    /// unlinkat(2).
    unlinkat(directory: Fd, path: Path, _flags: Flags) = remove(directory, path);
    /// rename(2).
    rename(old: Path, new: Path) = move_from(HERE, old, new);
    /// renameat(2).
    renameat(from: Fd, old: Path, _to: Fd, new: Path) = move_from(from, old, new);
    /// renameat2(2).
    renameat2(from: Fd, old: Path, _to: Fd, new: Path, _flags: Flags) = move_from(from, old, new);
    /// chmod(2).
    chmod(path: Path, _mode: Flags) = change(HERE, path, 0);
    /// fchmodat(2).
    fchmodat(directory: Fd, path: Path, _mode: Flags) = change(directory, path, 0);
    /// chown(2).
    chown(path: Path, _user: u32, _group: u32) = change(HERE, path, 0);
    /// lchown(2).
    lchown(path: Path, _user: u32, _group: u32) = change(HERE, path, general::AT_SYMLINK_NOFOLLOW);
    /// fchownat(2).
    fchownat(directory: Fd, path: Path, _user: u32, _group: u32, flags: Flags) = change(directory, path, flags.0);
    /// truncate(2).
    truncate(path: Path, length: i64) = truncate_to(path, length);
    /// utime(2).
    utime(path: Path, times: Option<In<[u8; 16]>>) = set_times(HERE, path, times, 0);
    /// utimes(2).
    utimes(path: Path, times: Option<In<[u8; 32]>>) = set_times(HERE, path, times, 0);
}

fn make<M: Machine>(caller: &Caller<'_, '_, M>, directory: Fd, path: Path) -> Outcome {
    Ok(of(caller).make(directory.0, path.address())?)
}

fn make_from<M: Machine>(
    caller: &Caller<'_, '_, M>,
    from: Path,
    directory: Fd,
    path: Path,
) -> Outcome {
    from.read(caller.process.space())?;
    make(caller, directory, path)
}

/// What is to be linked is looked up first.
fn link_from<M: Machine>(
    caller: &Caller<'_, '_, M>,
    from: Fd,
    old: Path,
    to: Fd,
    new: Path,
    flags: u32,
) -> Outcome {
    if flags & !(general::AT_SYMLINK_FOLLOW | general::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let follow = match flags & general::AT_SYMLINK_FOLLOW {
        0 => general::AT_SYMLINK_NOFOLLOW,
        _ => 0,
    };
    let flags = follow | flags & general::AT_EMPTY_PATH;
    of(caller).access_at(from.0, old.address(), general::F_OK, flags)?;
    make(caller, to, new)
}

fn remove<M: Machine>(caller: &Caller<'_, '_, M>, directory: Fd, path: Path) -> Outcome {
    Ok(of(caller).remove(directory.0, path.address())?)
}

fn move_from<M: Machine>(
    caller: &Caller<'_, '_, M>,
    directory: Fd,
    old: Path,
    new: Path,
) -> Outcome {
    old.read(caller.process.space())?;
    new.read(caller.process.space())?;
    remove(caller, directory, old)
}

fn change<M: Machine>(
    caller: &Caller<'_, '_, M>,
    directory: Fd,
    path: Path,
    flags: u32,
) -> Outcome {
    Ok(of(caller).change_at(directory.0, path.address(), flags)?)
}

fn truncate_to<M: Machine>(caller: &Caller<'_, '_, M>, path: Path, length: i64) -> Outcome {
    if length < 0 {
        return Err(Errno::EINVAL.into());
    }
    change(caller, HERE, path, 0)
}

fn set_times<M: Machine, T: Layout>(
    caller: &Caller<'_, '_, M>,
    directory: Fd,
    path: Path,
    times: Option<In<T>>,
    flags: u32,
) -> Outcome {
    if let Some(times) = times {
        times.read(caller.process.space())?;
    }
    change(caller, directory, path, flags)
}

/// futimesat(2); without a path, what the descriptor stands for.
pub(super) fn futimesat<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    directory: Fd,
    path: Path,
    times: Option<In<[u8; 32]>>,
) -> Outcome {
    utimensat(caller, directory, path, times, Flags(0))
}

/// utimensat(2); without a path, what the descriptor stands for.
pub(super) fn utimensat<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    directory: Fd,
    path: Path,
    times: Option<In<[u8; 32]>>,
    flags: Flags,
) -> Outcome {
    if path.address() != 0 {
        return set_times(caller, directory, path, times, flags.0);
    }
    if let Some(times) = times {
        times.read(caller.process.space())?;
    }
    Ok(of(caller).change(directory.0)?)
}

macro_rules! shortened {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*) = $method:ident($($given:expr),*);)*) => {$(
        $(#[$doc])*
        pub(super) fn $name<M: Machine>(
            caller: &mut Caller<'_, '_, M>,
            $($argument: $type),*
        ) -> Outcome {
            Ok(of(caller).$method($($given),*)?)
        }
    )*};
}

shortened! {
    /// open(2).
    open(path: Path, flags: Flags, _mode: Flags) = open(path.address(), flags.0);
    /// openat(2).
    openat(directory: Fd, path: Path, flags: Flags, _mode: Flags) = open_at(directory.0, path.address(), flags.0);
    /// flock(2).
    flock(fd: Fd, _operation: u32) = advise(fd.0);
    /// readahead(2).
    readahead(fd: Fd, _offset: i64, _count: u64) = advise(fd.0);
    /// fadvise64(2).
    fadvise64(fd: Fd, _offset: i64, _length: u64, _advice: i32) = advise(fd.0);
    /// fallocate(2).
    fallocate(fd: Fd, _mode: Flags, _offset: i64, _length: i64) = allocate(fd.0);
    /// fchmod(2).
    fchmod(fd: Fd, _mode: Flags) = change(fd.0);
    /// fchown(2).
    fchown(fd: Fd, _user: u32, _group: u32) = change(fd.0);
    /// getdents64(2).
    getdents64(fd: Fd, buffer: Out<u8, 2>, size: u32) = list(fd.0, buffer.address(), signed(size));
    /// preadv(2).
    preadv(fd: Fd, buffers: In<Iovec, 2>, count: u32, offset: i64) = read_vector_at(fd.0, buffers.address(), count.into(), offset);
    /// pwritev(2).
    pwritev(fd: Fd, buffers: In<Iovec, 2>, count: u32, offset: i64) = write_vector_at(fd.0, buffers.address(), count.into(), offset);
    /// readlink(2).
    readlink(path: Path, buffer: Out<u8, 2>, size: i32) = readlink(path.address(), buffer.address(), positive(size)?);
    /// readlinkat(2).
    readlinkat(directory: Fd, path: Path, buffer: Out<u8, 3>, size: i32) = readlink_at(directory.0, path.address(), buffer.address(), positive(size)?);
    /// faccessat(2).
    faccessat(directory: Fd, path: Path, mode: Flags) = access_at(directory.0, path.address(), mode.0, 0);
    /// creat(2).
    creat(path: Path, _mode: Flags) = open(path.address(), general::O_CREAT | general::O_WRONLY | general::O_TRUNC);
}

/// The size of a buffer for directory entries: Linux counts it down as a signed number, so that
/// nothing fits into one that is too large for that.
fn signed(size: u32) -> u64 {
    u64::try_from(size.cast_signed()).unwrap_or(0)
}

/// The size of a buffer that must not be empty.
fn positive(size: i32) -> Result<u64, Errno> {
    match u64::try_from(size) {
        Ok(size) if size > 0 => Ok(size),
        _ => Err(Errno::EINVAL),
    }
}

/// sync(2): there is nothing that is not where it belongs.
pub(super) fn sync<M: Machine>(_: &mut Caller<'_, '_, M>) -> Outcome {
    Ok(0)
}
