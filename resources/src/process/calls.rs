//! The system calls about processes. Each takes the six arguments as they are in the registers.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{ExitStatus, Process, Rights, Spawn, end, move_to as activity, suspend, wait};
use crate::calls::{Caller, Outcome, Verdict};
use crate::errno::Errno;
use crate::machine::Machine;
use crate::signals::calls::signal_or_none;
use crate::signals::{Info, send_info};
use crate::system::{Kind, Message};
use crate::thread::{Clone, call_for, say_farewell};

use linux_raw_sys::general as linux;

/// A number that is 32 bits wide and may be negative.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the argument is 32 bits wide"
)]
const fn number(argument: u64) -> i32 {
    (argument as u32).cast_signed()
}

/// getpid(2).
///
/// # Errors
/// None.
pub fn getpid<M: Machine>(caller: &mut Caller<'_, '_, M>, _: [u64; 6]) -> Outcome {
    Ok(u64::from(caller.process.id()))
}

/// getppid(2).
///
/// # Errors
/// None.
pub fn getppid<M: Machine>(caller: &mut Caller<'_, '_, M>, _: [u64; 6]) -> Outcome {
    Ok(u64::from(caller.process.parent()))
}

/// fork(2).
///
/// # Errors
/// As the manual says.
pub fn fork<M: Machine>(caller: &mut Caller<'_, '_, M>, _: [u64; 6]) -> Outcome {
    super::fork(caller, &Clone::process(0))
}

/// vfork(2).
///
/// # Errors
/// As the manual says.
pub fn vfork<M: Machine>(caller: &mut Caller<'_, '_, M>, _: [u64; 6]) -> Outcome {
    super::fork(
        caller,
        &Clone::process(linux::CLONE_VM | linux::CLONE_VFORK),
    )
}

/// execve(2).
///
/// # Errors
/// As the manual says; else the verdict is that the thread does not come back.
pub fn execve<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    super::execve(caller, arguments)
}

/// `exit_group`(2).
///
/// # Errors
/// The verdict is that the thread has ended.
pub fn exit_group<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    say_farewell(caller)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the status is the lowest byte"
    )]
    let status = ExitStatus::Exited(arguments[0] as u8);
    end::kill(caller.shared, caller.context, caller.process, status);
    Err(Verdict::Exited)
}

/// wait4(2).
///
/// # Errors
/// ECHILD, EINVAL, ESRCH, EFAULT; or the thread waits.
pub fn wait4<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    wait::wait4(caller, arguments)
}

/// waitid(2).
///
/// # Errors
/// ECHILD, EINVAL, EFAULT; or the thread waits.
pub fn waitid<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    wait::waitid(caller, arguments)
}

/// kill(2).
///
/// # Errors
/// EINVAL, ESRCH, EPERM.
pub fn kill<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let signal = signal_or_none(arguments[1])?;
    let all = || caller.shared.processes.with_zombies();
    let of_group = |group: u32| -> Vec<Arc<Process<M>>> {
        let is_in = |process: &Arc<Process<M>>| process.family.lock().group == group;
        all().into_iter().filter(is_in).collect()
    };
    let own_group = caller.process.family.lock().group;
    let targets = match number(arguments[0]) {
        0 => of_group(own_group),
        -1 => {
            let own = caller.process.id();
            let is_other = |process: &Arc<Process<M>>| process.id() != 1 && process.id() != own;
            all().into_iter().filter(is_other).collect()
        }
        i32::MIN => return Err(Errno::ESRCH.into()),
        id if id < 0 => of_group(id.unsigned_abs()),
        id => caller
            .shared
            .processes
            .find(id.unsigned_abs())
            .into_iter()
            .collect(),
    };
    if targets.is_empty() {
        return Err(Errno::ESRCH.into());
    }
    let allowed = targets
        .iter()
        .filter(|target| caller.process.may_signal(target));
    let mut sent = 0;
    for target in allowed {
        sent += 1;
        if let Some(signal) = signal {
            let info = Info::user(signal, caller.process.id());
            send_info(caller.shared, caller.context, target, info);
        }
    }
    match sent {
        0 => Err(Errno::EPERM.into()),
        _ => Ok(0),
    }
}

/// The process that a number means; the caller for 0.
fn process<M: Machine>(caller: &Caller<'_, '_, M>, id: u64) -> Result<Arc<Process<M>>, Errno> {
    match number(id) {
        0 => Ok(caller.process.clone()),
        id if id < 0 => Err(Errno::ESRCH),
        id => caller
            .shared
            .processes
            .find(id.unsigned_abs())
            .ok_or(Errno::ESRCH),
    }
}

/// getpgid(2).
///
/// # Errors
/// ESRCH.
pub fn getpgid<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let process = process(caller, arguments[0])?;
    let group = process.family.lock().group;
    Ok(u64::from(group))
}

/// getpgrp(2).
///
/// # Errors
/// None.
pub fn getpgrp<M: Machine>(caller: &mut Caller<'_, '_, M>, _: [u64; 6]) -> Outcome {
    getpgid(caller, [0; 6])
}

/// setpgid(2): of the caller or a child of its.
///
/// # Errors
/// EINVAL, ESRCH, EPERM.
pub fn setpgid<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let target = process(caller, arguments[0])?;
    if target.id() != caller.process.id() && target.parent() != caller.process.id() {
        return Err(Errno::ESRCH.into());
    }
    let group = match number(arguments[1]) {
        0 => target.id(),
        group if group < 0 => return Err(Errno::EINVAL.into()),
        group => group.unsigned_abs(),
    };
    let session = caller.process.family.lock().session;
    let all = caller.shared.processes.with_zombies();
    let is_there = all.iter().any(|process| {
        let family = process.family.lock();
        family.group == group && family.session == session
    });
    let mut family = target.family.lock();
    let leads = family.session == target.id();
    if leads || family.session != session || group != target.id() && !is_there {
        return Err(Errno::EPERM.into());
    }
    family.group = group;
    Ok(0)
}

/// getsid(2).
///
/// # Errors
/// ESRCH.
pub fn getsid<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let process = process(caller, arguments[0])?;
    let session = process.family.lock().session;
    Ok(u64::from(session))
}

/// setsid(2).
///
/// # Errors
/// EPERM for one that leads a group.
pub fn setsid<M: Machine>(caller: &mut Caller<'_, '_, M>, _: [u64; 6]) -> Outcome {
    let id = caller.process.id();
    let mut family = caller.process.family.lock();
    if family.group == id {
        return Err(Errno::EPERM.into());
    }
    family.group = id;
    family.session = id;
    Ok(u64::from(id))
}

/// Starts a process for the caller, who then has its number, or an error: the native call `spawn`.
/// The activity is the caller's, unless it has the right to choose; rights are as asked, if the
/// caller has them.
///
/// # Errors
/// EPERM, EINVAL for an activity that there is not; or the thread waits.
pub fn spawn<M: Machine>(caller: &mut Caller<'_, '_, M>, mut spawn: Spawn<M>) -> Outcome {
    let own = caller.process.rights();
    let chooses = spawn.activity != caller.process.activity();
    if chooses && !own.contains(Rights::CHOOSE_ACTIVITY) || !own.contains(spawn.rights) {
        return Err(Errno::EPERM.into());
    }
    if caller.shared.grid.activity_params(spawn.activity).is_none() {
        return Err(Errno::EINVAL.into());
    }
    spawn.caller = Some(caller.thread.clone());
    Err(call_for(
        caller,
        Kind::Process,
        Message::Spawn(Box::new(spawn)),
    ))
}

/// Holds the processes of an activity: the native call (activity).
///
/// # Errors
/// EPERM without the right to signal others, and for the infrastructure; EDEADLK for one's own; ESRCH.
pub fn suspend<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    suspend::suspend(caller, arguments)
}

/// Undoes [`suspend`]: the native call (activity).
///
/// # Errors
/// EPERM without the right to signal others; ESRCH.
pub fn resume<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    suspend::resume(caller, arguments)
}

/// Moves a process to another activity: the native call (process or 0 for the caller's, activity).
///
/// # Errors
/// EPERM without the right to choose; ESRCH, EINVAL.
pub fn move_to<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    activity::call(caller, arguments)
}
