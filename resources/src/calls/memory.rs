//! Calls about memory: they check what Linux checks, in its order, and let the address space do it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::argument::{Address, Fd, Flags, LongFlags, Out};
use super::work::{MORE, Work, done};
use super::{Caller, Outcome};
use crate::errno::Errno;
use crate::files::{Device, Opened, Operation};
use crate::machine::{Access, Machine, PAGE_SIZE, USER_END};
use crate::object::{Object, Part};
use crate::space::{Backing, Fault, Mapping, Place, Placed, Protection, Space};

use linux_raw_sys::general;

/// Pages that are brought in beforehand in one step.
const POPULATED_IN_A_STEP: u64 = 64;

/// In the flags of a mapping whose region exists: it is being populated. Linux has flags in the
/// lower half only; what a program sets here is dropped.
const POPULATING: u64 = 1 << 63;

const READ: u64 = general::PROT_READ as u64;
const WRITE: u64 = general::PROT_WRITE as u64;
const EXECUTE: u64 = general::PROT_EXEC as u64;

/// On x86-64 what can be written or executed can be read.
const fn protection(bits: u64) -> Protection {
    Protection {
        read: bits & (READ | WRITE | EXECUTE) != 0,
        write: bits & WRITE != 0,
        execute: bits & EXECUTE != 0,
    }
}

/// A length in whole pages, in bytes; `None` if there is no such number.
const fn whole_pages(length: u64) -> Option<u64> {
    length.checked_next_multiple_of(PAGE_SIZE)
}

const fn is_aligned(address: u64) -> bool {
    address.is_multiple_of(PAGE_SIZE)
}

/// mmap(2).
pub(super) fn mmap<M: Machine>(
    work: &mut Work<'_, '_, M>,
    address: Address,
    length: u64,
    bits: LongFlags,
    flags: LongFlags,
    fd: Fd,
    offset: u64,
) -> Outcome {
    if work.resumed && flags.0 & POPULATING != 0 {
        return populate(work, address.0, length, protection(bits.0));
    }
    let flags = u32::try_from(flags.0 & u64::from(u32::MAX)).unwrap_or_default();
    if !is_aligned(offset) {
        return Err(Errno::EINVAL.into());
    }
    let backing = if flags & general::MAP_ANONYMOUS != 0 {
        Backing::Anonymous
    } else {
        file(work, fd, offset, (length, flags))?
    };
    let mapping = mapping(address.0, length, bits.0, flags, offset, backing)?;
    let Placed::At(start) = work.space().map(&mapping)? else {
        return Err(MORE);
    };
    let populates = general::MAP_POPULATE | general::MAP_LOCKED;
    if flags & populates == 0 || flags & general::MAP_NONBLOCK != 0 {
        return Ok(start);
    }
    *work.arguments = [start, mapping.length, bits.0, POPULATING, start, 0];
    populate(work, start, mapping.length, mapping.protection)
}

/// What a file mapping shows; `/dev/zero` shows zeros.
fn file<M: Machine>(
    work: &Work<'_, '_, M>,
    fd: Fd,
    offset: u64,
    (length, flags): (u64, u32),
) -> Result<Backing, Errno> {
    let file = work.process().descriptors().lock().get(fd.0)?;
    let object: Arc<dyn Object> = match &file.opened {
        Opened::Place => return Err(Errno::EBADF),
        Opened::Device(Device::Zero) => return Ok(Backing::Anonymous),
        Opened::Directory
        | Opened::Device(_)
        | Opened::Pipe(_)
        | Opened::Counter(_)
        | Opened::Timer(_)
        | Opened::Epoll(_)
        | Opened::Socket(_)
        | Opened::Terminal(_)
        | Opened::Text(_) => return Err(Errno::ENODEV),
        Opened::File(_) if file.flags() & general::O_ACCMODE == general::O_WRONLY => {
            return Err(Errno::EACCES);
        }
        Opened::Disk(_) if file.flags() & general::O_ACCMODE == general::O_WRONLY => {
            return Err(Errno::EACCES);
        }
        Opened::File(file) => file.clone(),
        Opened::Disk(inode) => inode.clone(),
    };
    let is_shared = flags & general::MAP_TYPE != general::MAP_PRIVATE;
    let length = match is_shared {
        // It shows the file as it is at any time, also when that has become longer.
        true => whole_pages(length).unwrap_or(length),
        false => object.length().saturating_sub(offset).min(length),
    };
    let is_writable = matches!(file.opened, Opened::Disk(_))
        && file.flags() & general::O_ACCMODE == general::O_RDWR;
    Ok(Backing::File(Part {
        length,
        object,
        offset,
        writable: is_shared && is_writable,
    }))
}

/// The checks of mmap(2) that need nothing but its arguments.
fn mapping(
    address: u64,
    length: u64,
    bits: u64,
    flags: u32,
    offset: u64,
    backing: Backing,
) -> Result<Mapping, Errno> {
    if length == 0 {
        return Err(Errno::EINVAL);
    }
    let length = whole_pages(length).ok_or(Errno::ENOMEM)?;
    let place = place(address, length, flags)?;
    let is_file = matches!(backing, Backing::File(_));
    let end = offset.checked_add(length);
    if is_file && end.is_none_or(|end| end > i64::MAX.cast_unsigned()) {
        return Err(Errno::EOVERFLOW);
    }
    let shared = match flags & general::MAP_TYPE {
        general::MAP_PRIVATE => false,
        general::MAP_SHARED => true,
        general::MAP_SHARED_VALIDATE if is_file => true,
        _ => return Err(Errno::EINVAL),
    };
    // A shared mapping that can be written needs a file that is open for writing.
    let is_read_only = matches!(&backing, Backing::File(part) if !part.writable);
    if is_read_only && shared && bits & WRITE != 0 {
        return Err(Errno::EACCES);
    }
    let grows_down = flags & general::MAP_GROWSDOWN != 0;
    if grows_down && (is_file || shared) {
        return Err(Errno::EINVAL);
    }
    Ok(Mapping {
        place,
        length,
        protection: protection(bits),
        backing,
        shared,
        grows: None,
        name: if is_file { "file" } else { "mmap" },
    })
}

fn place(address: u64, length: u64, flags: u32) -> Result<Place, Errno> {
    if length > USER_END {
        return Err(Errno::ENOMEM);
    }
    let exactly = general::MAP_FIXED | general::MAP_FIXED_NOREPLACE;
    if flags & exactly == 0 {
        return Ok(Place::Anywhere(address & !(PAGE_SIZE - 1)));
    }
    if address > USER_END - length {
        return Err(Errno::ENOMEM);
    }
    if !is_aligned(address) {
        return Err(Errno::EINVAL);
    }
    Ok(if flags & general::MAP_FIXED_NOREPLACE == 0 {
        Place::Fixed(address)
    } else {
        Place::Vacant(address)
    })
}

/// Brings in pages of a mapping that is made already, from the fifth argument on; where that fails
/// it ends, and mmap(2) has succeeded all the same. A file's page that is not in memory is left to
/// a fault.
fn populate<M: Machine>(
    work: &mut Work<'_, '_, M>,
    start: u64,
    length: u64,
    protection: Protection,
) -> Outcome {
    if !protection.read {
        return Ok(start);
    }
    let next = &mut work.arguments[4];
    let step = (start + length - *next).min(POPULATED_IN_A_STEP * PAGE_SIZE);
    let end = *next + step;
    let access = Access {
        write: protection.write,
        execute: false,
    };
    while *next < end {
        match work.thread.process().space().fault(*next, access) {
            Fault::Resolved | Fault::Fetch(..) => *next += PAGE_SIZE,
            Fault::Refused(_) | Fault::Violation(_) | Fault::BeyondEnd => return Ok(start),
        }
    }
    if end < start + length {
        return Err(MORE);
    }
    Ok(start)
}

/// A step's outcome, of a call that returns an address.
fn placed(placed: Placed) -> Outcome {
    match placed {
        Placed::At(address) => Ok(address),
        Placed::More => Err(MORE),
    }
}

/// munmap(2).
pub(super) fn munmap<M: Machine>(
    work: &mut Work<'_, '_, M>,
    address: Address,
    length: u64,
) -> Outcome {
    done(work.space().unmap(address.0, length)?, 0)
}

/// mprotect(2).
pub(super) fn mprotect<M: Machine>(
    work: &mut Work<'_, '_, M>,
    address: Address,
    length: u64,
    bits: LongFlags,
) -> Outcome {
    let directions = u64::from(general::PROT_GROWSDOWN | general::PROT_GROWSUP);
    if bits.0 & directions == directions || !is_aligned(address.0) {
        return Err(Errno::EINVAL.into());
    }
    if length == 0 {
        return Ok(0);
    }
    let length = end_of(address.0, length).ok_or(Errno::ENOMEM)? - address.0;
    let known = READ | WRITE | EXECUTE | u64::from(general::PROT_SEM);
    if bits.0 & !known != 0 {
        return Err(Errno::EINVAL.into());
    }
    done(
        work.space()
            .protect(address.0, length, protection(bits.0))?,
        0,
    )
}

/// One past the last byte of the pages of a range that is not empty; `None` if it wraps.
fn end_of(address: u64, length: u64) -> Option<u64> {
    let end = address.wrapping_add(whole_pages(length).unwrap_or(0));
    (end > address).then_some(end)
}

/// brk(2).
pub(super) fn brk<M: Machine>(work: &mut Work<'_, '_, M>, end: Address) -> Outcome {
    placed(work.space().set_break(end.0))
}

/// mremap(2), without `MREMAP_FIXED` and `MREMAP_DONTUNMAP`.
pub(super) fn mremap<M: Machine>(
    work: &mut Work<'_, '_, M>,
    old: Address,
    old_length: u64,
    new_length: u64,
    flags: LongFlags,
    _new: Address,
) -> Outcome {
    let may_move = u64::from(general::MREMAP_MAYMOVE);
    if flags.0 & !may_move != 0 {
        return Err(Errno::EINVAL.into());
    }
    let may_move = flags.0 & may_move != 0;
    placed(
        work.space()
            .remap(old.0, old_length, new_length, may_move)?,
    )
}

/// madvise(2): what gives memory back is done, the rest is advice that there is no use for.
pub(super) fn madvise<M: Machine>(
    work: &mut Work<'_, '_, M>,
    address: Address,
    length: u64,
    advice: i32,
) -> Outcome {
    let advice = u32::try_from(advice).map_err(|_| Errno::EINVAL)?;
    let discards = match advice {
        general::MADV_DONTNEED | general::MADV_FREE => true,
        general::MADV_NORMAL
        | general::MADV_RANDOM
        | general::MADV_SEQUENTIAL
        | general::MADV_WILLNEED
        | general::MADV_DONTFORK
        | general::MADV_DOFORK
        | general::MADV_HUGEPAGE
        | general::MADV_NOHUGEPAGE
        | general::MADV_DONTDUMP
        | general::MADV_DODUMP
        | general::MADV_COLD
        | general::MADV_PAGEOUT => false,
        _ => return Err(Errno::EINVAL.into()),
    };
    if !is_aligned(address.0) {
        return Err(Errno::EINVAL.into());
    }
    if length == 0 {
        return Ok(0);
    }
    let end = end_of(address.0, length).ok_or(Errno::EINVAL)?;
    if discards {
        return done(work.space().discard(address.0, end - address.0)?, 0);
    }
    covered(work.space(), address.0, end)?;
    Ok(0)
}

/// ENOMEM if something from `start` to `end` is not in any region.
fn covered<M: Machine>(space: &Space<M>, start: u64, end: u64) -> Result<(), Errno> {
    if space.is_mapped(start, end) {
        Ok(())
    } else {
        Err(Errno::ENOMEM)
    }
}

/// msync(2). What is written is kept in any case; with `MS_SYNC` the call waits until it is on the
/// disk.
pub(super) fn msync<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    address: Address,
    length: u64,
    flags: Flags,
) -> Outcome {
    let both = general::MS_ASYNC | general::MS_SYNC;
    if flags.0 & !(both | general::MS_INVALIDATE) != 0
        || !is_aligned(address.0)
        || flags.0 & both == both
    {
        return Err(Errno::EINVAL.into());
    }
    if length == 0 {
        return Ok(0);
    }
    let end = end_of(address.0, length).ok_or(Errno::ENOMEM)?;
    covered(caller.process.space(), address.0, end)?;
    if flags.0 & general::MS_SYNC == 0 {
        return Ok(0);
    }
    let objects = caller.process.space().written_objects(address.0, end);
    let inode = |number| caller.shared.disk.get()?.tree.object(number);
    let inodes: Vec<_> = objects.into_iter().filter_map(inode).collect();
    match inodes.is_empty() {
        true => Ok(0),
        false => super::files::make(caller, |_| Err(Operation::Sync(inodes).into())),
    }
}

/// Pages that one step of mincore looks at.
const LOOKED_AT: u64 = 4096;

/// mincore(2). The fourth argument, which the program does not have, counts the pages done.
pub(super) fn mincore<M: Machine>(
    work: &mut Work<'_, '_, M>,
    address: Address,
    length: u64,
    vector: Out<u8>,
) -> Outcome {
    if !work.resumed {
        work.arguments[3] = 0;
    }
    if !is_aligned(address.0) {
        return Err(Errno::EINVAL.into());
    }
    let end = match length {
        0 => address.0,
        length => end_of(address.0, length).ok_or(Errno::ENOMEM)?,
    };
    let pages = (end - address.0) / PAGE_SIZE;
    let last = vector.address().checked_add(pages);
    if last.is_none_or(|last| last > USER_END) {
        return Err(Errno::EFAULT.into());
    }
    if pages > 0 {
        covered(work.space(), address.0, end)?;
    }
    let step = pages.min(work.arguments[3] + LOOKED_AT);
    while work.arguments[3] < step {
        let page = work.arguments[3];
        let resident = work.space().is_resident(address.0 + page * PAGE_SIZE);
        let place = Out::<u8>::at(vector.address() + page);
        place.write(work.space(), &u8::from(resident))?;
        work.arguments[3] += 1;
    }
    if step < pages { Err(MORE) } else { Ok(0) }
}

/// mlock(2) and munlock(2): nothing is ever paged out.
pub(super) fn mlock<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    address: Address,
    length: u64,
) -> Outcome {
    let start = address.0 & !(PAGE_SIZE - 1);
    let length = whole_pages(length.wrapping_add(address.0 - start)).unwrap_or(0);
    if length == 0 {
        return Ok(0);
    }
    let end = end_of(start, length).ok_or(Errno::EINVAL)?;
    covered(caller.process.space(), start, end)?;
    Ok(0)
}

/// mlock2(2).
pub(super) fn mlock2<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    address: Address,
    length: u64,
    flags: Flags,
) -> Outcome {
    if flags.0 & !general::MLOCK_ONFAULT != 0 {
        return Err(Errno::EINVAL.into());
    }
    mlock(caller, address, length)
}

/// mlockall(2).
pub(super) fn mlockall<M: Machine>(_: &mut Caller<'_, '_, M>, flags: Flags) -> Outcome {
    let known = general::MCL_CURRENT | general::MCL_FUTURE | general::MCL_ONFAULT;
    if flags.0 == 0 || flags.0 & !known != 0 || flags.0 == general::MCL_ONFAULT {
        return Err(Errno::EINVAL.into());
    }
    Ok(0)
}

/// munlockall(2).
pub(super) fn munlockall<M: Machine>(_: &mut Caller<'_, '_, M>) -> Outcome {
    Ok(0)
}
