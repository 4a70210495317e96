//! Calls on files whose arguments are not those of a method of [`crate::files::Call`].

use core::cell::Cell;

use super::argument::{Fd, Flags, In, Out, Path};
use super::layout::Iovec;
use super::{Caller, Outcome, Verdict};
use crate::errno::Errno;
use crate::files::{self, Call, Changes, Mounted, PageOwner, Time};
use crate::machine::Machine;
use crate::system::Kind;

use linux_raw_sys::general;
use vortex_toolkit::ids::{ActivityId, ResourceId};

/// A call on files, by the caller.
pub(super) fn of<'a, M: Machine>(caller: &'a Caller<'_, '_, M>) -> Call<'a> {
    Call {
        memory: caller.process.space().as_ref(),
        devices: &caller.shared.machine,
        console: &caller.shared.console,
        archive: &caller.shared.archive,
        disk: caller.shared.disk.get().map(|disk| &**disk as &dyn Mounted),
        descriptors: caller.process.descriptors(),
        owner: (&caller.shared.locks, caller.process.id()),
        creation_mask: caller.process.settings().umask(),
        done: Cell::new(caller.thread.kept.done()),
        pages: caller,
        terminal: caller.shared.terminal.get(),
        jobs: caller,
        processes: Some(&**caller.shared),
    }
}

/// The pages of the archive's files are the Executable Resource's, as those that are mapped.
impl<M: Machine> PageOwner for Caller<'_, '_, M> {
    fn owner(&self) -> Option<(ResourceId, ActivityId)> {
        let home = self.process.home();
        let resource = self.shared.destination_at(&home, Kind::Executable);
        Some((resource, home.activity))
    }
}

/// Makes a call on files, to its end or until what is left of it is the resources' to do.
pub(super) fn make<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    call: impl FnOnce(&Call<'_>) -> files::Outcome,
) -> Outcome {
    let outcome = call(&of(caller));
    files::conclude(caller, outcome)
}

const HERE: i32 = general::AT_FDCWD;

/// Reads the times of utime(2), whose first is that of the last reading: so many numbers of 64 bits,
/// of which `time` makes times.
fn times<M: Machine, const N: usize>(
    caller: &Caller<'_, '_, M>,
    address: Option<u64>,
    time: impl Fn(&[i64]) -> Result<Option<Time>, Errno>,
) -> Result<Changes, Verdict> {
    let Some(address) = address else {
        return Ok(Changes {
            accessed: Some(Time::NOW),
            modified: Some(Time::NOW),
            ..Changes::default()
        });
    };
    let mut bytes = [[0; 8]; N];
    let space = caller.process.space();
    space.read(address, bytes.as_flattened_mut())?;
    let numbers = bytes.map(i64::from_le_bytes);
    let (accessed, modified) = numbers.split_at(N / 2);
    Ok(Changes {
        accessed: time(accessed)?,
        modified: time(modified)?,
        ..Changes::default()
    })
}

/// Microseconds, as utimes(2) has them.
fn microseconds(numbers: &[i64]) -> Result<Option<Time>, Errno> {
    match *numbers {
        [seconds, microseconds @ 0..1_000_000] => Ok(Some(Time {
            seconds,
            nanoseconds: microseconds as u32 * 1000,
        })),
        _ => Err(Errno::EINVAL),
    }
}

/// Nanoseconds, as utimensat(2) has them.
fn nanoseconds(numbers: &[i64]) -> Result<Option<Time>, Errno> {
    const NOW: i64 = general::UTIME_NOW as i64;
    const OMIT: i64 = general::UTIME_OMIT as i64;
    match *numbers {
        [_, NOW] => Ok(Some(Time::NOW)),
        [_, OMIT] => Ok(None),
        [seconds, nanoseconds @ 0..1_000_000_000] => Ok(Some(Time {
            seconds,
            nanoseconds: nanoseconds as u32,
        })),
        _ => Err(Errno::EINVAL),
    }
}

/// utime(2).
pub(super) fn utime<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    path: Path,
    given: Option<In<[u8; 16]>>,
) -> Outcome {
    let second = |numbers: &[i64]| {
        Ok(numbers.first().map(|&seconds| Time {
            seconds,
            nanoseconds: 0,
        }))
    };
    let changes = times::<M, 2>(caller, given.map(In::address), second)?;
    make(caller, |call| {
        call.change(HERE, Some(path.address()), 0, changes)
    })
}

/// utimes(2).
pub(super) fn utimes<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    path: Path,
    given: Option<In<[u8; 32]>>,
) -> Outcome {
    let changes = times::<M, 4>(caller, given.map(In::address), microseconds)?;
    make(caller, |call| {
        call.change(HERE, Some(path.address()), 0, changes)
    })
}

/// futimesat(2); without a path, what the descriptor stands for.
pub(super) fn futimesat<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    directory: Fd,
    path: Path,
    given: Option<In<[u8; 32]>>,
) -> Outcome {
    let changes = times::<M, 4>(caller, given.map(In::address), microseconds)?;
    let path = (path.address() != 0).then_some(path.address());
    make(caller, |call| call.change(directory.0, path, 0, changes))
}

/// utimensat(2); without a path, what the descriptor stands for.
pub(super) fn utimensat<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    directory: Fd,
    path: Path,
    given: Option<In<[u8; 32]>>,
    flags: Flags,
) -> Outcome {
    if flags.0 & !(general::AT_SYMLINK_NOFOLLOW | general::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let changes = times::<M, 4>(caller, given.map(In::address), nanoseconds)?;
    // Linux does not even look for it.
    if changes == Changes::default() {
        return Ok(0);
    }
    let path = (path.address() != 0).then_some(path.address());
    make(caller, |call| {
        call.change(directory.0, path, flags.0, changes)
    })
}

super::passed_on! {
    by make;
    /// open(2).
    open(path: Path, flags: Flags, mode: Flags) = open(path.address(), flags.0, mode.0);
    /// openat(2).
    openat(directory: Fd, path: Path, flags: Flags, mode: Flags) = open_at(directory.0, path.address(), flags.0, mode.0);
    /// mkdir(2).
    mkdir(path: Path, mode: Flags) = make_directory(HERE, path.address(), mode.0);
    /// mkdirat(2).
    mkdirat(directory: Fd, path: Path, mode: Flags) = make_directory(directory.0, path.address(), mode.0);
    /// mknod(2).
    mknod(path: Path, mode: Flags, device: u32) = make_node(HERE, path.address(), mode.0, device);
    /// mknodat(2).
    mknodat(directory: Fd, path: Path, mode: Flags, device: u32) = make_node(directory.0, path.address(), mode.0, device);
    /// symlink(2).
    symlink(target: Path, path: Path) = make_link(target.address(), HERE, path.address());
    /// symlinkat(2).
    symlinkat(target: Path, directory: Fd, path: Path) = make_link(target.address(), directory.0, path.address());
    /// link(2).
    link(old: Path, new: Path) = link(HERE, old.address(), HERE, new.address(), 0);
    /// linkat(2).
    linkat(from: Fd, old: Path, to: Fd, new: Path, flags: Flags) = link(from.0, old.address(), to.0, new.address(), flags.0);
    /// unlink(2).
    unlink(path: Path) = remove(HERE, path.address(), 0);
    /// rmdir(2).
    rmdir(path: Path) = remove(HERE, path.address(), general::AT_REMOVEDIR);
    /// unlinkat(2).
    unlinkat(directory: Fd, path: Path, flags: Flags) = remove(directory.0, path.address(), flags.0);
    /// rename(2).
    rename(old: Path, new: Path) = rename(HERE, old.address(), HERE, new.address(), 0);
    /// renameat(2).
    renameat(from: Fd, old: Path, to: Fd, new: Path) = rename(from.0, old.address(), to.0, new.address(), 0);
    /// renameat2(2).
    renameat2(from: Fd, old: Path, to: Fd, new: Path, flags: Flags) = rename(from.0, old.address(), to.0, new.address(), flags.0);
    /// chmod(2).
    chmod(path: Path, mode: Flags) = change_mode(HERE, Some(path.address()), mode.0);
    /// fchmodat(2).
    fchmodat(directory: Fd, path: Path, mode: Flags) = change_mode(directory.0, Some(path.address()), mode.0);
    /// fchmod(2).
    fchmod(fd: Fd, mode: Flags) = change_mode(fd.0, None, mode.0);
    /// chown(2).
    chown(path: Path, user: u32, group: u32) = change_owner(HERE, Some(path.address()), [user, group], 0);
    /// lchown(2).
    lchown(path: Path, user: u32, group: u32) = change_owner(HERE, Some(path.address()), [user, group], general::AT_SYMLINK_NOFOLLOW);
    /// fchownat(2).
    fchownat(directory: Fd, path: Path, user: u32, group: u32, flags: Flags) = change_owner(directory.0, Some(path.address()), [user, group], flags.0);
    /// fchown(2).
    fchown(fd: Fd, user: u32, group: u32) = change_owner(fd.0, None, [user, group], 0);
    /// truncate(2).
    truncate(path: Path, length: i64) = truncate_at(path.address(), length);
    /// readahead(2).
    readahead(fd: Fd, _offset: i64, _count: u64) = advise(fd.0);
    /// fadvise64(2).
    fadvise64(fd: Fd, offset: i64, length: i64, advice: u32) = advise_of(fd.0, offset, length, advice);
    /// fallocate(2).
    fallocate(fd: Fd, mode: Flags, offset: i64, length: i64) = allocate(fd.0, mode.0, offset, length);
    /// sync(2).
    sync() = synchronise_system();
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
    creat(path: Path, mode: Flags) = open(path.address(), general::O_CREAT | general::O_WRONLY | general::O_TRUNC, mode.0);
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
