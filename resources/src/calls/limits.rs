//! Calls about resource limits: they are kept for the process and told to whoever asks.
//! Of these, descriptors keep to `RLIMIT_NOFILE` and address spaces to `RLIMIT_AS`; what limits
//! processes otherwise is their activity's budget.

use alloc::sync::Arc;

use super::argument::{In, Out};
use super::layout::Rlimit;
use super::{Caller, Outcome, Verdict};
use crate::errno::Errno;
use crate::files::MAX_LIMIT;
use crate::machine::Machine;
use crate::process::Process;

use linux_raw_sys::general;

/// getrlimit(2).
pub(super) fn getrlimit<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    resource: u32,
    limit: Out<Rlimit>,
) -> Outcome {
    let current = caller.process.settings().limit(resource);
    limit.write(caller.process.space(), &current.ok_or(Errno::EINVAL)?)?;
    Ok(0)
}

/// setrlimit(2).
pub(super) fn setrlimit<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    resource: u32,
    limit: In<Rlimit>,
) -> Outcome {
    let limit = limit.read(caller.process.space())?;
    set(caller.process, resource, limit)?;
    Ok(0)
}

/// prlimit(2).
pub(super) fn prlimit64<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    pid: i32,
    resource: u32,
    new: Option<In<Rlimit>>,
    old: Option<Out<Rlimit>>,
) -> Outcome {
    let space = caller.process.space();
    let new = new.map(|new| new.read(space)).transpose()?;
    let process = process(caller, pid)?;
    let before = match new {
        Some(new) => set(&process, resource, new)?,
        None => process.settings().limit(resource).ok_or(Errno::EINVAL)?,
    };
    if let Some(old) = old {
        old.write(space, &before)?;
    }
    Ok(0)
}

/// The process of a number, 0 being the caller's; only one of the caller's activity.
fn process<M: Machine>(caller: &Caller<'_, '_, M>, pid: i32) -> Result<Arc<Process<M>>, Verdict> {
    if pid == 0 {
        return Ok(caller.process.clone());
    }
    let pid = u32::try_from(pid).map_err(|_| Errno::ESRCH)?;
    let process = caller.shared.processes.find(pid).ok_or(Errno::ESRCH)?;
    if process.activity() != caller.process.activity() {
        return Err(Errno::EPERM.into());
    }
    Ok(process)
}

fn set<M: Machine>(process: &Process<M>, resource: u32, new: Rlimit) -> Result<Rlimit, Errno> {
    let old = process.settings().limit(resource).ok_or(Errno::EINVAL)?;
    if new.soft > new.hard {
        return Err(Errno::EINVAL);
    }
    if resource == general::RLIMIT_NOFILE {
        if new.hard > u64::from(MAX_LIMIT) {
            return Err(Errno::EPERM);
        }
        // It fits: it is at most what was just checked.
        let soft = u32::try_from(new.soft).map_err(|_| Errno::EPERM)?;
        process.descriptors().lock().set_limit(soft)?;
    }
    if resource == general::RLIMIT_AS {
        process.space().set_limit(new.soft);
    }
    Ok(process.settings().set_limit(resource, new).unwrap_or(old))
}
