//! Moving a process to another activity.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use vortex_toolkit::ids::ActivityId;
use vortex_toolkit::{Context, Control};

use super::{Process, Rights, suspend};
use crate::calls::{Caller, Outcome};
use crate::errno::Errno;
use crate::machine::Machine;
use crate::space::Progress;
use crate::system::{Kind, Message, Shared, Vortex};
use crate::thread::{Attention, attend};

/// The native call (process or 0 for the caller's, activity).
pub(super) fn call<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let [id, activity, ..] = arguments;
    let process = match u32::try_from(id).map_err(|_| Errno::ESRCH)? {
        0 => caller.process.clone(),
        id => caller.shared.processes.find(id).ok_or(Errno::ESRCH)?,
    };
    let activity = ActivityId(u32::try_from(activity).map_err(|_| Errno::EINVAL)?);
    if !caller.process.rights().contains(Rights::CHOOSE_ACTIVITY) {
        return Err(Errno::EPERM.into());
    }
    if caller.shared.grid.activity_params(activity).is_none() {
        return Err(Errno::EINVAL.into());
    }
    if process.is_dying() {
        return Err(Errno::ESRCH.into());
    }
    relocate(caller.shared, caller.context, &process, activity);
    Ok(0)
}

/// Has another activity pay for a process from now on. Its threads get another instance of the
/// Thread Resource; those that wait in the old one are sent there when they come back.
fn relocate<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
    activity: ActivityId,
) {
    let home = shared.home(activity);
    let threads = process.all_threads();
    let mut own = process.home.lock();
    if own.activity == activity {
        return;
    }
    home.adopt(&own, u32::try_from(threads.len()).unwrap_or(u32::MAX));
    let resource = home.thread_resource(&shared.grid);
    for thread in &threads {
        thread.resettle(shared, context, (&own, &home), resource);
    }
    *own = home.clone();
    let old = process.threads();
    process.activity.store(activity.0, Ordering::Relaxed);
    process.timeslice.store(home.timeslice(), Ordering::Relaxed);
    process.threads.store(resource.0, Ordering::SeqCst);
    drop(own);
    for thread in &threads {
        attend(shared, context, thread, Attention::MOVE);
    }
    suspend::follow_home(shared, context, process);
    context.control(&Control::RemoveResource(old));
    recharge(shared, context, process);
}

/// Has the new activity pay for a portion of what the process has: the address-space resource's
/// work. What it may not have stays with the old one.
pub(crate) fn recharge<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
) {
    match process.space().move_to(process.activity()) {
        Ok(Progress::Done) => {}
        Ok(Progress::More) => {
            let message = Message::Recharge(process.clone());
            let request = process.request(shared, context, Kind::AddressSpace, message);
            context.send(request);
        }
        Err(refusal) => log::warn!(
            "process {}: some of its memory stays with its old activity ({refusal:?})",
            process.id()
        ),
    }
}
