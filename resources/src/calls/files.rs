//! Calls on files that have no method of their own in [`crate::files::Call`]: what is denied on a
//! file system that cannot be written, and waiting for descriptors.

use super::argument::{Fd, Flags, In, InOut, Out, Path};
use super::layout::{Iovec, Layout, Pollfd, SelectMask, Timespec, Timeval};
use super::{Caller, Outcome, Verdict};
use crate::errno::Errno;
use crate::files::Call;
use crate::machine::Machine;
use crate::space::Space;
use crate::thread::{self, Interruption};

use linux_raw_sys::general;

/// A call on files, by the caller.
pub(super) fn of<'a, M: Machine>(caller: &'a Caller<'_, '_, M>) -> Call<'a> {
    Call {
        memory: caller.process.space().as_ref(),
        devices: &caller.shared.machine,
        archive: &caller.shared.archive,
        descriptors: caller.process.descriptors(),
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
    /// readv(2).
    readv(fd: Fd, buffers: In<Iovec, 2>, count: u32) = read_vector(fd.0, buffers.address(), count.into());
    /// writev(2).
    writev(fd: Fd, buffers: In<Iovec, 2>, count: u32) = write_vector(fd.0, buffers.address(), count.into());
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

/// poll(2).
pub(super) fn poll<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    entries: InOut<Pollfd, 1>,
    count: u32,
    timeout_ms: i32,
) -> Outcome {
    let ready = of(caller).poll(entries.address(), count.into())?;
    let timeout = u64::try_from(timeout_ms).ok().map(|ms| ms * 1_000_000);
    wait(caller, ready, timeout)
}

/// ppoll(2). The signal mask is checked and not put in force: a signal that it would have let
/// through waits until the call is over.
pub(super) fn ppoll<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    entries: InOut<Pollfd, 1>,
    count: u32,
    timeout: Option<In<Timespec>>,
    mask: Option<In<u64>>,
    size: u64,
) -> Outcome {
    let space = caller.process.space();
    let timeout = duration(space, timeout)?;
    check_mask(space, mask, size)?;
    let ready = of(caller).poll(entries.address(), count.into())?;
    wait(caller, ready, timeout)
}

fn check_mask<M: Machine>(
    space: &Space<M>,
    mask: Option<In<u64>>,
    size: u64,
) -> Result<(), Verdict> {
    if let Some(mask) = mask {
        if size != 8 {
            return Err(Errno::EINVAL.into());
        }
        mask.read(space)?;
    }
    Ok(())
}

fn duration<M: Machine>(
    space: &Space<M>,
    timeout: Option<In<Timespec>>,
) -> Result<Option<u64>, Verdict> {
    let Some(timeout) = timeout else {
        return Ok(None);
    };
    let ns = timeout.read(space)?.to_ns();
    Ok(Some(ns.ok_or(Errno::EINVAL)?))
}

/// Returns what is ready; if nothing is, nothing will be, and the thread waits for so many
/// nanoseconds, or for a signal.
fn wait<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    ready: u64,
    timeout_ns: Option<u64>,
) -> Outcome {
    if ready > 0 || timeout_ns == Some(0) {
        return Ok(ready);
    }
    let deadline = timeout_ns.map(|ns| {
        let cycles = caller.shared.clock.cycles(ns);
        let at = caller.shared.machine.now().saturating_add(cycles);
        (at, Ok(0))
    });
    thread::block(caller, Interruption::Fail, deadline);
    Err(Verdict::Blocked)
}

/// The three sets of select(2).
type Sets = [Option<InOut<u8>>; 3];

/// What is asked of the descriptors in each of them.
const ASKED: [u32; 3] = [
    general::POLLIN | general::POLLRDNORM,
    general::POLLOUT | general::POLLWRNORM,
    general::POLLPRI,
];

/// select(2).
pub(super) fn select<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    count: i32,
    read: Option<InOut<u8>>,
    write: Option<InOut<u8>>,
    special: Option<InOut<u8>>,
    timeout: Option<InOut<Timeval>>,
) -> Outcome {
    let timeout_ns = match timeout {
        None => None,
        Some(timeout) => {
            let timeout = timeout.read(caller.process.space())?;
            Some(timeout.to_ns().ok_or(Errno::EINVAL)?)
        }
    };
    let ready = selected(caller, count, [read, write, special])?;
    wait(caller, ready, timeout_ns)
}

/// pselect6(2), with the mask as in [`ppoll`].
pub(super) fn pselect6<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    count: i32,
    read: Option<InOut<u8>>,
    write: Option<InOut<u8>>,
    special: Option<InOut<u8>>,
    timeout: Option<In<Timespec>>,
    mask: Option<In<SelectMask>>,
) -> Outcome {
    let space = caller.process.space();
    if let Some(mask) = mask {
        let mask = mask.read(space)?;
        let address = (mask.mask != 0).then(|| In::at(mask.mask));
        check_mask(space, address, mask.size)?;
    }
    let timeout = duration(space, timeout)?;
    let ready = selected(caller, count, [read, write, special])?;
    wait(caller, ready, timeout)
}

/// Leaves in the sets those descriptors that are ready; how many they are.
fn selected<M: Machine>(caller: &Caller<'_, '_, M>, count: i32, sets: Sets) -> Outcome {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    let limit = caller.process.descriptors().lock().limit() as usize;
    let count = count.min(limit);
    let bytes = count.div_ceil(64) * 8;
    let space = caller.process.space();
    let mut all = [const { alloc::vec::Vec::new() }; 3];
    for (bits, set) in all.iter_mut().zip(sets) {
        bits.resize(bytes, 0u8);
        if let Some(set) = set {
            space.read(set.address(), bits)?;
        }
    }
    let files = of(caller);
    let mut ready = 0;
    for (bits, asked) in all.iter_mut().zip(ASKED) {
        for descriptor in 0..bytes * 8 {
            let bit = 1 << (descriptor % 8);
            let byte = &mut bits[descriptor / 8];
            if *byte & bit == 0 {
                continue;
            }
            let asked = asked as u16;
            let is = match i32::try_from(descriptor) {
                Ok(number) if descriptor < count => files.ready(number, asked),
                _ => 0,
            };
            if u32::from(is) & general::POLLNVAL != 0 {
                return Err(Errno::EBADF.into());
            }
            if is & asked == 0 {
                *byte &= !bit;
            } else {
                ready += 1;
            }
        }
    }
    for (bits, set) in all.iter().zip(sets) {
        if let Some(set) = set {
            space.write(set.address(), bits)?;
        }
    }
    Ok(ready)
}
