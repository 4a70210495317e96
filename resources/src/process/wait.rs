//! Waiting for children: wait4(2), waitid(2).

use alloc::sync::Arc;

use linux_raw_sys::general as linux;

use super::{Consumption, ExitStatus, Process};
use crate::calls::{Caller, Outcome, Verdict};
use crate::errno::Errno;
use crate::machine::Machine;
use crate::signals::Info;
use crate::space::UserError;
use crate::thread::{Interruption, block};

/// Whom a call waits for.
#[derive(Clone, Copy, Debug)]
enum Whom {
    Any,
    One(u32),
    Group(u32),
}

/// What of children a call waits for.
#[derive(Clone, Copy, Debug)]
struct What {
    ended: bool,
    stopped: bool,
    continued: bool,
    /// Not to wait.
    poll: bool,
    /// Who is found stays to be found again.
    keep: bool,
}

impl What {
    const fn new(options: u32, ended: bool) -> Self {
        Self {
            ended,
            stopped: options & linux::WUNTRACED != 0,
            continued: options & linux::WCONTINUED != 0,
            poll: options & linux::WNOHANG != 0,
            keep: options & linux::WNOWAIT != 0,
        }
    }

    fn of<M: Machine>(&self, child: &Process<M>) -> Option<ExitStatus> {
        if let Some(status) = child.end_status() {
            return self.ended.then_some(status);
        }
        let report = child.family.lock().report;
        report.filter(|report| match report {
            ExitStatus::Stopped(_) => self.stopped,
            _ => self.continued,
        })
    }
}

/// What a wait has found.
struct Found<M: Machine> {
    child: Arc<Process<M>>,
    status: ExitStatus,
}

/// Looks for a child; if there is none yet, the caller waits, unless it is not to.
fn look<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    whom: Whom,
    what: &What,
) -> Result<Option<Found<M>>, Verdict> {
    let process = caller.process.clone();
    let mut own = process.family.lock();
    let mut has_any = false;
    for child in own.children.values() {
        let matches = match whom {
            Whom::Any => true,
            Whom::One(id) => child.id() == id,
            Whom::Group(group) => child.family.lock().group == group,
        };
        if !matches {
            continue;
        }
        has_any = true;
        if let Some(status) = what.of(child) {
            let child = child.clone();
            return Ok(Some(Found { child, status }));
        }
    }
    if !has_any {
        return Err(Errno::ECHILD.into());
    }
    if what.poll {
        return Ok(None);
    }
    // With the family locked: a child that ends from here on finds the entry.
    let wait = block(caller, Interruption::Restart, None);
    own.waiters
        .retain(|(thread, _)| !Arc::ptr_eq(thread, caller.thread));
    own.waiters.push((caller.thread.clone(), wait));
    Err(Verdict::Blocked)
}

/// The caller has been told of a child.
fn take<M: Machine>(caller: &Caller<'_, '_, M>, found: &Found<M>, what: &What) {
    if what.keep {
        return;
    }
    let child = &found.child;
    if !child.has_ended() {
        child.family.lock().report = None;
        return;
    }
    let mut own = caller.process.family.lock();
    // Another thread may have been faster.
    if own.children.remove(&child.id()).is_none() {
        return;
    }
    drop(own);
    let mut used = child.life().used;
    used += child.children_consumption();
    *caller.process.children_used.lock() += used;
    caller.shared.processes.forget(child.id());
}

/// Writes a `struct rusage`, if the caller wants one.
fn write_usage<M: Machine>(
    caller: &Caller<'_, '_, M>,
    address: u64,
    child: &Process<M>,
) -> Result<(), UserError> {
    if address == 0 {
        return Ok(());
    }
    let mut used: Consumption = child.consumption(caller.shared.machine.now());
    used += child.children_consumption();
    crate::calls::write_rusage(caller, address, &used)
}

/// wait4(2).
pub(super) fn wait4<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let [id, status, options, usage, ..] = arguments;
    let options = check(
        options,
        linux::WNOHANG | linux::WUNTRACED | linux::WCONTINUED,
    )?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the argument is 32 bits wide"
    )]
    let id = (id as u32).cast_signed();
    let own_group = caller.process.family.lock().group;
    let whom = match id {
        -1 => Whom::Any,
        0 => Whom::Group(own_group),
        i32::MIN => return Err(Errno::ESRCH.into()),
        id if id < 0 => Whom::Group(id.unsigned_abs()),
        id => Whom::One(id.unsigned_abs()),
    };
    let what = What::new(options, true);
    let Some(found) = look(caller, whom, &what)? else {
        return Ok(0);
    };
    if status != 0 {
        let bytes = found.status.wait_status().to_le_bytes();
        caller.process.space().write(status, &bytes)?;
    }
    write_usage(caller, usage, &found.child)?;
    take(caller, &found, &what);
    Ok(u64::from(found.child.id()))
}

/// waitid(2).
pub(super) fn waitid<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let [which, id, information, options, usage, _] = arguments;
    let known = linux::WNOHANG | linux::WEXITED | linux::WSTOPPED | linux::WCONTINUED;
    let options = check(options, known | linux::WNOWAIT)?;
    if options & (linux::WEXITED | linux::WSTOPPED | linux::WCONTINUED) == 0 {
        return Err(Errno::EINVAL.into());
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the arguments are 32 bits wide"
    )]
    let (which, id) = (which as u32, id as u32);
    let own_group = caller.process.family.lock().group;
    let whom = match which {
        linux::P_ALL => Whom::Any,
        linux::P_PID => Whom::One(id),
        linux::P_PGID if id == 0 => Whom::Group(own_group),
        linux::P_PGID => Whom::Group(id),
        _ => return Err(Errno::EINVAL.into()),
    };
    let what = What::new(options, options & linux::WEXITED != 0);
    let found = match look(caller, whom, &what) {
        Err(Verdict::Fail(error)) => {
            // As on Linux, there is nothing to be told of, and that is told.
            if information != 0 {
                caller.process.space().write(information, &[0; 28])?;
            }
            return Err(error.into());
        }
        found => found?,
    };
    if information != 0 {
        let bytes = match &found {
            Some(found) => Info::child(found.child.id(), found.status).encode(),
            None => [0; 128],
        };
        caller.process.space().write(information, &bytes)?;
    }
    if let Some(found) = &found {
        write_usage(caller, usage, &found.child)?;
        take(caller, found, &what);
    }
    Ok(0)
}

/// The options, of which these are known; those about threads and clones make no difference.
fn check(options: u64, known: u32) -> Result<u32, Errno> {
    let indifferent = linux::__WALL | linux::__WCLONE | linux::__WNOTHREAD;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the argument is 32 bits wide"
    )]
    let options = options as u32;
    match options & !(known | indifferent) {
        0 => Ok(options),
        _ => Err(Errno::EINVAL),
    }
}
