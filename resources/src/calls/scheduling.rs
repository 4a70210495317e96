//! Calls about priorities and policies. Shares belong to activities: inside one, threads take
//! turns, and there are no other policies to choose.

use alloc::sync::Arc;

use super::argument::{Address, In, Out};
use super::layout::{SchedParam, Timespec};
use super::{Caller, Outcome};
use crate::errno::Errno;
use crate::machine::Machine;
use crate::process::Process;

use linux_raw_sys::general;

const FIFO: i32 = general::SCHED_FIFO.cast_signed();
const ROUND_ROBIN: i32 = general::SCHED_RR.cast_signed();
const OTHER: i32 = general::SCHED_NORMAL.cast_signed();
const BATCH: i32 = general::SCHED_BATCH.cast_signed();
const IDLE: i32 = general::SCHED_IDLE.cast_signed();
const DEADLINE: i32 = general::SCHED_DEADLINE.cast_signed();

/// Whether there is a thread of that number, 0 being the caller.
fn find<M: Machine>(caller: &Caller<'_, '_, M>, pid: i32) -> Result<(), Errno> {
    let number = u32::try_from(pid).map_err(|_| Errno::EINVAL)?;
    if number == 0 || number == caller.thread.id() || thread_exists(caller, number) {
        return Ok(());
    }
    Err(Errno::ESRCH)
}

fn thread_exists<M: Machine>(caller: &Caller<'_, '_, M>, number: u32) -> bool {
    let threads = caller.process.all_threads();
    threads.iter().any(|thread| thread.id() == number)
        || caller.shared.processes.find(number).is_some()
}

/// What a policy allows as priority; `None` if there is no such policy.
const fn priorities(policy: i32) -> Option<(i32, i32)> {
    match policy {
        FIFO | ROUND_ROBIN => Some((1, 99)),
        OTHER | BATCH | IDLE | DEADLINE => Some((0, 0)),
        _ => None,
    }
}

/// `sched_setscheduler`(2).
pub(super) fn sched_setscheduler<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    pid: i32,
    policy: i32,
    parameters: Option<In<SchedParam>>,
) -> Outcome {
    if policy < 0 {
        return Err(Errno::EINVAL.into());
    }
    set(caller, pid, policy, parameters)
}

/// `sched_setparam`(2).
pub(super) fn sched_setparam<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    pid: i32,
    parameters: Option<In<SchedParam>>,
) -> Outcome {
    set(caller, pid, OTHER, parameters)
}

/// What there is already can be set; what there is not is denied.
fn set<M: Machine>(
    caller: &Caller<'_, '_, M>,
    pid: i32,
    policy: i32,
    parameters: Option<In<SchedParam>>,
) -> Outcome {
    const RESET_ON_FORK: i32 = general::SCHED_RESET_ON_FORK.cast_signed();
    let (Some(parameters), true) = (parameters, pid >= 0) else {
        return Err(Errno::EINVAL.into());
    };
    let priority = parameters.read(caller.process.space())?.priority;
    find(caller, pid)?;
    let policy = policy & !RESET_ON_FORK;
    let (least, most) = priorities(policy).ok_or(Errno::EINVAL)?;
    if !(least..=most).contains(&priority) || policy == DEADLINE {
        return Err(Errno::EINVAL.into());
    }
    if policy == OTHER {
        Ok(0)
    } else {
        Err(Errno::EPERM.into())
    }
}

/// `sched_getscheduler`(2).
pub(super) fn sched_getscheduler<M: Machine>(caller: &mut Caller<'_, '_, M>, pid: i32) -> Outcome {
    find(caller, pid)?;
    Ok(0)
}

/// `sched_getparam`(2).
pub(super) fn sched_getparam<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    pid: i32,
    parameters: Option<Out<SchedParam>>,
) -> Outcome {
    let Some(parameters) = parameters else {
        return Err(Errno::EINVAL.into());
    };
    find(caller, pid)?;
    parameters.write(caller.process.space(), &SchedParam { priority: 0 })?;
    Ok(0)
}

/// `sched_get_priority_max`(2).
pub(super) fn sched_get_priority_max<M: Machine>(
    _: &mut Caller<'_, '_, M>,
    policy: i32,
) -> Outcome {
    let (_, most) = priorities(policy).ok_or(Errno::EINVAL)?;
    Ok(u64::from(most.cast_unsigned()))
}

/// `sched_get_priority_min`(2).
pub(super) fn sched_get_priority_min<M: Machine>(
    _: &mut Caller<'_, '_, M>,
    policy: i32,
) -> Outcome {
    let (least, _) = priorities(policy).ok_or(Errno::EINVAL)?;
    Ok(u64::from(least.cast_unsigned()))
}

/// `sched_rr_get_interval`(2): the timeslice.
pub(super) fn sched_rr_get_interval<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    pid: i32,
    interval: Out<Timespec>,
) -> Outcome {
    find(caller, pid)?;
    let timeslice = Timespec::from_ns(caller.shared.clock.nanoseconds(caller.process.timeslice()));
    interval.write(caller.process.space(), &timeslice)?;
    Ok(0)
}

/// The process that getpriority(2) and setpriority(2) name.
fn named<M: Machine>(
    caller: &Caller<'_, '_, M>,
    which: i32,
    who: i32,
) -> Result<Arc<Process<M>>, Errno> {
    const PROCESS: i32 = general::PRIO_PROCESS.cast_signed();
    const USER: i32 = general::PRIO_USER.cast_signed();
    if !(PROCESS..=USER).contains(&which) {
        return Err(Errno::EINVAL);
    }
    if who == 0 {
        return Ok(caller.process.clone());
    }
    let who = u32::try_from(who).map_err(|_| Errno::ESRCH)?;
    caller.shared.processes.find(who).ok_or(Errno::ESRCH)
}

/// getpriority(2): 20 for a nice value of 0, which everybody has.
pub(super) fn getpriority<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    which: i32,
    who: i32,
) -> Outcome {
    named(caller, which, who)?;
    Ok(20)
}

/// setpriority(2): as if by a user who may not change it.
pub(super) fn setpriority<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    which: i32,
    who: i32,
    nice: i32,
) -> Outcome {
    named(caller, which, who)?;
    if nice == 0 {
        Ok(0)
    } else {
        Err(Errno::EACCES.into())
    }
}

/// getcpu(2).
pub(super) fn getcpu<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    cpu: Option<Out<u32>>,
    node: Option<Out<u32>>,
    _unused: Address,
) -> Outcome {
    let space = caller.process.space();
    if let Some(cpu) = cpu {
        cpu.write(space, &caller.context.core().0.into())?;
    }
    if let Some(node) = node {
        node.write(space, &0)?;
    }
    Ok(0)
}
