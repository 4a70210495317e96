//! Calls that make event counters and epolls, and wait for the latter.

use alloc::sync::Arc;

use linux_raw_sys::general as linux;

use super::argument::{Fd, Flags, In, Out};
use super::layout::Timespec;
use super::poll::{Wait, duration, read_mask};
use super::{Caller, Outcome, Verdict};
use crate::errno::Errno;
use crate::files::{Epoll, Event, EventCounter, Events, OpenFile, Opened, Polled};
use crate::machine::{Machine, USER_END};

/// A new descriptor for what is in no directory.
pub(super) fn open<M: Machine>(
    caller: &Caller<'_, '_, M>,
    opened: Opened,
    status: u32,
    closes: bool,
) -> Outcome {
    let file = OpenFile::new(opened, None, linux::O_RDWR | status);
    let number = caller.process.descriptors().lock().add(file, closes, 0)?;
    Ok(u64::from(number.unsigned_abs()))
}

/// eventfd(2).
pub(super) fn eventfd<M: Machine>(caller: &mut Caller<'_, '_, M>, count: u32) -> Outcome {
    eventfd2(caller, count, Flags(0))
}

/// eventfd2(2).
pub(super) fn eventfd2<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    count: u32,
    flags: Flags,
) -> Outcome {
    const KNOWN: u32 = linux::EFD_SEMAPHORE | linux::EFD_CLOEXEC | linux::EFD_NONBLOCK;
    if flags.0 & !KNOWN != 0 {
        return Err(Errno::EINVAL.into());
    }
    let counter = EventCounter::new(count, flags.0 & linux::EFD_SEMAPHORE != 0);
    let closes = flags.0 & linux::EFD_CLOEXEC != 0;
    open(
        caller,
        Opened::Counter(counter),
        flags.0 & linux::EFD_NONBLOCK,
        closes,
    )
}

/// `epoll_create`(2): the size says nothing any more.
pub(super) fn epoll_create<M: Machine>(caller: &mut Caller<'_, '_, M>, size: i32) -> Outcome {
    if size <= 0 {
        return Err(Errno::EINVAL.into());
    }
    epoll_create1(caller, Flags(0))
}

/// `epoll_create1`(2).
pub(super) fn epoll_create1<M: Machine>(caller: &mut Caller<'_, '_, M>, flags: Flags) -> Outcome {
    if flags.0 & !linux::EPOLL_CLOEXEC != 0 {
        return Err(Errno::EINVAL.into());
    }
    let closes = flags.0 & linux::EPOLL_CLOEXEC != 0;
    let epoll = Epoll::new(caller.process.home().watches.clone());
    open(caller, Opened::Epoll(epoll), 0, closes)
}

/// `epoll_ctl`(2).
pub(super) fn epoll_ctl<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    epoll: Fd,
    operation: u32,
    fd: Fd,
    event: Option<In<[u8; Event::SIZE]>>,
) -> Outcome {
    let event = match event {
        _ if operation == linux::EPOLL_CTL_DEL => Event::default(),
        event => {
            let event = event.unwrap_or(In::at(0));
            Event::decode(event.read(caller.process.space())?)
        }
    };
    let table = caller.process.descriptors().lock();
    let (watcher, file) = (table.get(epoll.0)?, table.get(fd.0)?);
    drop(table);
    if matches!(file.opened, Opened::Place) || matches!(watcher.opened, Opened::Place) {
        return Err(Errno::EBADF.into());
    }
    if !file.can_be_watched() {
        return Err(Errno::EPERM.into());
    }
    let Opened::Epoll(epoll) = &watcher.opened else {
        return Err(Errno::EINVAL.into());
    };
    if Arc::ptr_eq(&watcher, &file) {
        return Err(Errno::EINVAL.into());
    }
    match operation {
        linux::EPOLL_CTL_ADD => epoll.add(fd.0, &file, event)?,
        linux::EPOLL_CTL_MOD => epoll.change(fd.0, &file, event)?,
        linux::EPOLL_CTL_DEL => epoll.remove(fd.0, &file)?,
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}

/// `epoll_wait`(2).
pub(super) fn epoll_wait<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    epoll: Fd,
    events: Out<[u8; Event::SIZE], 2>,
    count: i32,
    timeout_ms: i32,
) -> Outcome {
    epoll_pwait(caller, epoll, events, count, timeout_ms, None, 0)
}

/// `epoll_pwait`(2).
pub(super) fn epoll_pwait<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    epoll: Fd,
    events: Out<[u8; Event::SIZE], 2>,
    count: i32,
    timeout_ms: i32,
    mask: Option<In<u64>>,
    size: u64,
) -> Outcome {
    let timeout = u64::try_from(timeout_ms).ok().map(|ms| ms * 1_000_000);
    let mask = read_mask(caller.process.space(), mask, size)?;
    let wait = Wait::new(caller, timeout, mask);
    wait_by(caller, &wait, epoll, events.address(), count)
}

/// `epoll_pwait2`(2).
pub(super) fn epoll_pwait2<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    epoll: Fd,
    events: Out<[u8; Event::SIZE], 2>,
    count: i32,
    timeout: Option<In<Timespec>>,
    mask: Option<In<u64>>,
    size: u64,
) -> Outcome {
    let space = caller.process.space();
    let timeout = duration(space, timeout)?;
    let mask = read_mask(space, mask, size)?;
    let wait = Wait::new(caller, timeout, mask);
    wait_by(caller, &wait, epoll, events.address(), count)
}

fn wait_by<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    wait: &Wait,
    epoll: Fd,
    address: u64,
    count: i32,
) -> Outcome {
    let limit = usize::try_from(count).ok().filter(|count| *count > 0);
    let limit = limit.filter(|count| *count <= i32::MAX as usize / Event::SIZE);
    let limit = limit.ok_or(Errno::EINVAL)?;
    let end = address.checked_add((limit * Event::SIZE) as u64);
    if end.is_none_or(|end| end > USER_END) {
        return Err(Errno::EFAULT.into());
    }
    let file = caller.process.descriptors().lock().get(epoll.0)?;
    let Opened::Epoll(epoll) = &file.opened else {
        return Err(match file.opened {
            Opened::Place => Errno::EBADF.into(),
            _ => Errno::EINVAL.into(),
        });
    };
    let found = wait.attempt(caller, |caller| {
        let mut found = Polled {
            ready: tell(caller, epoll, address, limit)?,
            ..Polled::default()
        };
        if found.ready == 0 {
            found.waits.push((file.clone(), Events::READABLE));
        }
        Ok(found)
    })?;
    Ok(found.ready)
}

/// Writes up to `limit` events; how many it were.
fn tell<M: Machine>(
    caller: &Caller<'_, '_, M>,
    epoll: &Epoll,
    address: u64,
    limit: usize,
) -> Result<u64, Verdict> {
    let limit = limit.min(epoll.listed());
    if limit == 0 {
        return Ok(0);
    }
    let space = caller.process.space();
    let mut bytes = alloc::vec![0; limit * Event::SIZE];
    // The place for them first: what is taken out of the list need not be put back.
    space.read(address, &mut bytes)?;
    space.write(address, &bytes)?;
    let taken = epoll.take(limit);
    let parts = bytes.as_chunks_mut::<{ Event::SIZE }>().0;
    for (part, event) in parts.iter_mut().zip(&taken.events) {
        *part = event.encode();
    }
    let count = taken.events.len();
    if let Err(error) = space.write(address, &bytes[..count * Event::SIZE]) {
        taken.put_back();
        return Err(error.into());
    }
    Ok(count as u64)
}
