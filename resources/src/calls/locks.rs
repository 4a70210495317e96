//! Advisory locks: flock(2), and the commands of fcntl(2) on ranges.

use alloc::sync::Arc;

use linux_raw_sys::general::{
    F_GETLK, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_RDLCK, F_SETLK, F_SETLKW, F_UNLCK, F_WRLCK,
    LOCK_EX, LOCK_MAND, LOCK_NB, LOCK_SH, LOCK_UN, O_ACCMODE, O_RDONLY, O_RDWR, O_WRONLY, SEEK_CUR,
    SEEK_END, SEEK_SET,
};

use super::argument::{Address, Fd};
use super::{Caller, Outcome, Verdict, files};
use crate::errno::Errno;
use crate::files::{Holder, LAST, OpenFile, Opened, Place, Request, Table};
use crate::machine::Machine;
use crate::object::Object;
use crate::thread::{self, Interruption};

/// Bytes of `struct flock`: type and whence, start, length, process.
const FLOCK: usize = 32;

/// An open file that can be locked.
fn open<M: Machine>(caller: &Caller<'_, '_, M>, fd: Fd) -> Result<Arc<OpenFile>, Errno> {
    let file = caller.process.descriptors().lock().get(fd.0)?;
    match file.opened {
        Opened::Place => Err(Errno::EBADF),
        _ => Ok(file),
    }
}

/// Takes a lock. If something is in its way the thread waits, and then makes its call again, or the
/// call fails.
fn lock<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    place: Place,
    request: &Request,
    may_wait: bool,
) -> Outcome {
    let locks = &caller.shared.locks;
    let quota = &caller.process.home().locks;
    match locks.lock(place, request, quota) {
        Ok(()) => return Ok(0),
        Err(Errno::EAGAIN) if may_wait => {}
        Err(error) => return Err(error.into()),
    }
    let queue = locks.wait(place, request)?;
    let must_wait = || locks.must_wait(place, &queue);
    Err(thread::wait_on(
        caller,
        &queue,
        must_wait,
        Interruption::Restart,
    ))
}

/// flock(2).
pub(super) fn flock<M: Machine>(caller: &mut Caller<'_, '_, M>, fd: Fd, operation: u32) -> Outcome {
    // Such locks have never kept anybody from anything; Linux ignores them.
    if operation & LOCK_MAND != 0 {
        return Ok(0);
    }
    let kind = operation & !LOCK_NB;
    if !matches!(kind, LOCK_SH | LOCK_EX | LOCK_UN) {
        return Err(Errno::EINVAL.into());
    }
    let file = open(caller, fd)?;
    let (place, holder) = caller.shared.locks.of(&file);
    let request = Request {
        table: Table::Whole,
        holder,
        exclusive: kind == LOCK_EX,
        first: 0,
        last: LAST,
    };
    if kind == LOCK_UN {
        let quota = &caller.process.home().locks;
        caller.shared.locks.unlock(place, &request, quota)?;
        return Ok(0);
    }
    lock(caller, place, &request, operation & LOCK_NB == 0)
}

/// fcntl(2).
pub(super) fn fcntl<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    fd: Fd,
    command: u32,
    argument: Address,
) -> Outcome {
    match command {
        F_GETLK | F_OFD_GETLK => get(caller, fd, command, argument),
        F_SETLK | F_SETLKW | F_OFD_SETLK | F_OFD_SETLKW => set(caller, fd, command, argument),
        _ => files::make(caller, |call| call.control(fd.0, command, argument.0)),
    }
}

/// A `struct flock`.
struct Flock {
    kind: u32,
    whence: u32,
    start: i64,
    length: i64,
    process: u32,
}

impl Flock {
    fn read<M: Machine>(caller: &Caller<'_, '_, M>, at: u64) -> Result<Self, Verdict> {
        let mut bytes = [0; FLOCK];
        caller.process.space().read(at, &mut bytes)?;
        let (words, _) = bytes.as_chunks::<8>();
        let [first, start, length, process] =
            [0, 1, 2, 3].map(|word| u64::from_le_bytes(words[word]));
        Ok(Self {
            kind: first as u32 & 0xffff,
            whence: (first >> 16) as u32 & 0xffff,
            start: start.cast_signed(),
            length: length.cast_signed(),
            process: process as u32,
        })
    }

    fn write<M: Machine>(&self, caller: &Caller<'_, '_, M>, at: u64) -> Result<(), Verdict> {
        let [kind, whence] = [self.kind, self.whence].map(|half| (half as u16).to_le_bytes());
        let space = caller.process.space();
        space.write(at, [kind, whence].as_flattened())?;
        let place = [self.start, self.length].map(i64::to_le_bytes);
        space.write(at.wrapping_add(8), place.as_flattened())?;
        Ok(space.write(at.wrapping_add(24), &self.process.to_le_bytes())?)
    }

    /// The first and the last byte that it names.
    fn range(&self, file: &OpenFile) -> Result<(u64, u64), Errno> {
        let base = match self.whence {
            SEEK_SET => 0,
            SEEK_CUR => *file.position.lock(),
            SEEK_END => match &file.opened {
                Opened::Disk(inode) => inode.size(),
                Opened::File(content) => content.length(),
                _ => 0,
            },
            _ => return Err(Errno::EINVAL),
        };
        let start = base.cast_signed().checked_add(self.start);
        let start = start.ok_or(Errno::EOVERFLOW)?;
        let from = u64::try_from(start).map_err(|_| Errno::EINVAL)?;
        match self.length {
            0 => Ok((from, LAST)),
            1.. => {
                let last = start.checked_add(self.length - 1);
                Ok((from, last.ok_or(Errno::EOVERFLOW)?.cast_unsigned()))
            }
            // The bytes before that place.
            _ => {
                let first = u64::try_from(start.saturating_add(self.length));
                Ok((first.map_err(|_| Errno::EINVAL)?, from - 1))
            }
        }
    }

    /// The lock that it names.
    fn request(&self, file: &OpenFile, holder: Holder) -> Result<Request, Errno> {
        let (first, last) = self.range(file)?;
        if !matches!(self.kind, F_RDLCK | F_WRLCK | F_UNLCK) {
            return Err(Errno::EINVAL);
        }
        Ok(Request {
            table: Table::Ranges,
            holder,
            exclusive: self.kind == F_WRLCK,
            first,
            last,
        })
    }
}

/// Whose locks a command is about, and of which file.
fn holder<M: Machine>(
    caller: &Caller<'_, '_, M>,
    file: &OpenFile,
    command: u32,
) -> (Place, Holder) {
    let (place, description) = caller.shared.locks.of(file);
    match command {
        F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW => (place, description),
        _ => (place, Holder::Process(caller.process.id())),
    }
}

/// What is in the way of a lock, if anything is.
fn get<M: Machine>(caller: &Caller<'_, '_, M>, fd: Fd, command: u32, argument: Address) -> Outcome {
    let file = open(caller, fd)?;
    let mut flock = Flock::read(caller, argument.0)?;
    if !matches!(flock.kind, F_RDLCK | F_WRLCK) {
        return Err(Errno::EINVAL.into());
    }
    let (place, holder) = holder(caller, &file, command);
    let request = flock.request(&file, holder)?;
    if command == F_OFD_GETLK && flock.process != 0 {
        return Err(Errno::EINVAL.into());
    }
    match caller.shared.locks.conflict(place, &request) {
        None => flock.kind = F_UNLCK,
        Some(is) => {
            flock = Flock {
                kind: if is.exclusive { F_WRLCK } else { F_RDLCK },
                whence: SEEK_SET,
                start: is.first.cast_signed(),
                length: match is.last {
                    LAST => 0,
                    last => (last - is.first + 1).cast_signed(),
                },
                process: match is.holder {
                    Holder::Process(id) => id,
                    Holder::Description(_) => u32::MAX,
                },
            };
        }
    }
    flock.write(caller, argument.0)?;
    Ok(0)
}

/// Takes a lock, or gives it back.
fn set<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    fd: Fd,
    command: u32,
    argument: Address,
) -> Outcome {
    let file = open(caller, fd)?;
    let flock = Flock::read(caller, argument.0)?;
    let (place, holder) = holder(caller, &file, command);
    let request = flock.request(&file, holder)?;
    let may = match (file.flags() & O_ACCMODE, flock.kind) {
        (_, F_UNLCK) | (O_RDWR, _) => true,
        (O_RDONLY, kind) => kind == F_RDLCK,
        (O_WRONLY, kind) => kind == F_WRLCK,
        _ => false,
    };
    if !may {
        return Err(Errno::EBADF.into());
    }
    if !matches!(command, F_SETLK | F_SETLKW) && flock.process != 0 {
        return Err(Errno::EINVAL.into());
    }
    if flock.kind == F_UNLCK {
        let quota = &caller.process.home().locks;
        caller.shared.locks.unlock(place, &request, quota)?;
        return Ok(0);
    }
    let may_wait = matches!(command, F_SETLKW | F_OFD_SETLKW);
    let locked = lock(caller, place, &request, may_wait)?;
    // Another thread may have closed it meanwhile; then the lock would be left.
    let is_open = open(caller, fd).is_ok_and(|now| Arc::ptr_eq(&now, &file));
    if !is_open && let Holder::Process(id) = holder {
        caller.shared.locks.closed(id, &file);
        return Err(Errno::EBADF.into());
    }
    Ok(locked)
}
