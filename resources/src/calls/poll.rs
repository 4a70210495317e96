//! Waiting for several files: poll(2), select(2), and what they have in common with
//! `epoll_wait`(2).
//!
//! Key types: [`Wait`]. A call looks at its files, and if none is ready it waits until one may be,
//! and then is made again from its beginning; when it is late it looks a last time. The signal mask
//! that some of them take is in force from the first time to the last, or until a handler has run.

use super::argument::{In, InOut};
use super::layout::{Pollfd, SelectMask, Timespec, Timeval};
use super::{Caller, Outcome, Verdict};
use crate::errno::Errno;
use crate::files::{Asked, Events, Polled};
use crate::machine::Machine;
use crate::signals;
use crate::space::Space;
use crate::thread::{self, Interruption};

/// How long a call waits, and what signals come through meanwhile.
pub(super) struct Wait {
    /// The deadline in cycles of the clock; 0 for not at all, `None` for ever.
    deadline: Option<u64>,
    mask: Option<u64>,
    /// Where the time that is left is written (`struct timespec`); 0 for nowhere.
    remain: u64,
}

impl Wait {
    /// For so many nanoseconds from the first time on, or for ever.
    pub(super) fn new<M: Machine>(
        caller: &Caller<'_, '_, M>,
        timeout_ns: Option<u64>,
        mask: Option<u64>,
    ) -> Self {
        let deadline = timeout_ns.map(|ns| match ns {
            0 => 0,
            ns => thread::relative_deadline(caller, ns),
        });
        Self {
            deadline,
            mask,
            remain: 0,
        }
    }

    /// Has what is left of the time be written, as ppoll(2) and pselect(2) do.
    fn tells(mut self, timeout: Option<In<Timespec>>) -> Self {
        self.remain = timeout.map_or(0, In::address);
        self
    }

    /// Begins an attempt: the mask is in force.
    fn begin<M: Machine>(&self, caller: &Caller<'_, '_, M>) {
        caller.thread.kept.set_deadline(self.deadline);
        if let Some(mask) = self.mask {
            signals::borrow_mask(caller.thread, mask);
        }
    }

    /// The call is about to end: the mask is what it was.
    fn end<M: Machine>(&self, caller: &Caller<'_, '_, M>) {
        if self.mask.is_some() {
            signals::give_back_mask(caller.thread);
        }
    }

    /// Whether there is no time left. A signal that is there ends the call otherwise.
    fn is_over<M: Machine>(&self, caller: &Caller<'_, '_, M>) -> bool {
        let now = caller.shared.machine.now();
        self.deadline.is_some_and(|at| at <= now) && !caller.thread.has_signal()
    }

    /// What is left, in nanoseconds.
    fn left<M: Machine>(&self, caller: &Caller<'_, '_, M>) -> Option<u64> {
        let now = caller.shared.machine.now();
        let deadline = self.deadline.filter(|at| *at > 0)?;
        let left = deadline.saturating_sub(now);
        Some(caller.shared.clock.nanoseconds(left))
    }

    /// Makes an attempt. `look` says what is ready, and what to wait for if nothing is; `Ok` if the
    /// call is over.
    pub(super) fn attempt<M: Machine>(
        &self,
        caller: &mut Caller<'_, '_, M>,
        look: impl FnOnce(&Caller<'_, '_, M>) -> Result<Polled, Verdict>,
    ) -> Result<Polled, Verdict> {
        self.begin(caller);
        let found = match look(caller) {
            Ok(found) if found.ready > 0 || self.is_over(caller) => Ok(found),
            Ok(found) => {
                let files = found.waits.iter().map(|(file, events)| (&**file, *events));
                let verdict = thread::wait_for(caller, files, Interruption::Fail, self.deadline);
                caller.thread.set_remain(self.remain);
                return Err(verdict);
            }
            Err(verdict) => Err(verdict),
        };
        self.end(caller);
        found
    }
}

/// Looks with `look`, waits if nothing is ready, and writes the answers.
fn poll_by<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    wait: &Wait,
    look: impl FnOnce(&Caller<'_, '_, M>) -> Result<Polled, Verdict>,
) -> Outcome {
    let found = wait.attempt(caller, look)?;
    let space = caller.process.space();
    for (address, bytes) in &found.answers {
        space.write(*address, bytes)?;
    }
    if wait.remain != 0
        && let Some(left) = wait.left(caller)
    {
        // As on Linux, it does not matter if that cannot be written.
        let left = Timespec::from_ns(left);
        let _ = InOut::<Timespec>::at(wait.remain).write(space, &left);
    }
    Ok(found.ready)
}

/// poll(2).
pub(super) fn poll<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    entries: InOut<Pollfd, 1>,
    count: u32,
    timeout_ms: i32,
) -> Outcome {
    let timeout = u64::try_from(timeout_ms).ok().map(|ms| ms * 1_000_000);
    let wait = Wait::new(caller, timeout, None);
    poll_by(caller, &wait, |caller| {
        let call = super::files::of(caller);
        Ok(call.poll(entries.address(), count.into())?)
    })
}

/// ppoll(2).
pub(super) fn ppoll<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    entries: InOut<Pollfd, 1>,
    count: u32,
    timeout: Option<In<Timespec>>,
    mask: Option<In<u64>>,
    size: u64,
) -> Outcome {
    let space = caller.process.space();
    let timeout_ns = duration(space, timeout)?;
    let mask = read_mask(space, mask, size)?;
    let wait = Wait::new(caller, timeout_ns, mask).tells(timeout);
    poll_by(caller, &wait, |caller| {
        let call = super::files::of(caller);
        Ok(call.poll(entries.address(), count.into())?)
    })
}

/// A signal mask that a call is to put in force.
pub(super) fn read_mask<M: Machine>(
    space: &Space<M>,
    mask: Option<In<u64>>,
    size: u64,
) -> Result<Option<u64>, Verdict> {
    let Some(mask) = mask else { return Ok(None) };
    if size != 8 {
        return Err(Errno::EINVAL.into());
    }
    Ok(Some(mask.read(space)?))
}

pub(super) fn duration<M: Machine>(
    space: &Space<M>,
    timeout: Option<In<Timespec>>,
) -> Result<Option<u64>, Verdict> {
    let Some(timeout) = timeout else {
        return Ok(None);
    };
    let ns = timeout.read(space)?.to_ns();
    Ok(Some(ns.ok_or(Errno::EINVAL)?))
}

/// The three sets of select(2).
type Sets = [Option<InOut<u8>>; 3];

/// What is asked of the descriptors in each of them.
const ASKED: [Events; 3] = [Events::READABLE, Events::WRITABLE, Events::PRI];

/// select(2). What is left of the time is written, as Linux does.
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
    let wait = Wait::new(caller, timeout_ns, None);
    let ready = poll_by(caller, &wait, |caller| {
        look_at_sets(caller, count, [read, write, special])
    })?;
    if let Some(timeout) = timeout
        && let Some(left) = wait.left(caller)
    {
        // As on Linux, it does not matter if that cannot be written.
        let _ = timeout.write(caller.process.space(), &Timeval::from_ns(left));
    }
    Ok(ready)
}

/// pselect6(2).
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
    let mask = match mask {
        None => None,
        Some(mask) => {
            let mask = mask.read(space)?;
            let address = (mask.mask != 0).then(|| In::at(mask.mask));
            read_mask(space, address, mask.size)?
        }
    };
    let timeout_ns = duration(space, timeout)?;
    let wait = Wait::new(caller, timeout_ns, mask).tells(timeout);
    poll_by(caller, &wait, |caller| {
        look_at_sets(caller, count, [read, write, special])
    })
}

fn look_at_sets<M: Machine>(
    caller: &Caller<'_, '_, M>,
    count: i32,
    sets: Sets,
) -> Result<Polled, Verdict> {
    let mut asked = ASKED.map(|events| Asked { set: 0, events });
    for (asked, set) in asked.iter_mut().zip(sets) {
        asked.set = set.map_or(0, InOut::address);
    }
    Ok(super::files::of(caller).select(count, asked)?)
}
