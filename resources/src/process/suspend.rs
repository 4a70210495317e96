//! Suspending an activity: its processes are held, whichever they are.
//!
//! The home says whether it is suspended; each process has a copy, so that a thread that begins to run
//! takes no lock for it. The copy is made whenever either changes: by who suspends or resumes, for all
//! processes there are, and by who starts or moves a process, once it can be found by the former. So
//! whoever of two comes second sees what the first has done.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use vortex_toolkit::Context;
use vortex_toolkit::ids::ActivityId;

use super::{Process, Rights};
use crate::calls::{Caller, Outcome};
use crate::errno::Errno;
use crate::machine::Machine;
use crate::system::{Shared, Vortex};
use crate::thread::{Attention, attend, unpark};

/// The native call (activity).
pub(super) fn suspend<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let activity = named(caller, arguments[0])?;
    if activity == ActivityId::INFRASTRUCTURE {
        return Err(Errno::EPERM.into());
    }
    if activity == caller.process.activity() {
        return Err(Errno::EDEADLK.into());
    }
    set(caller, activity, true);
    Ok(0)
}

/// The native call (activity).
pub(super) fn resume<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let activity = named(caller, arguments[0])?;
    set(caller, activity, false);
    Ok(0)
}

/// The activity of a number, for who may hold it.
fn named<M: Machine>(caller: &Caller<'_, '_, M>, number: u64) -> Result<ActivityId, Errno> {
    if !caller.process.rights().contains(Rights::SIGNAL_OTHERS) {
        return Err(Errno::EPERM);
    }
    let activity = ActivityId(u32::try_from(number).map_err(|_| Errno::ESRCH)?);
    let exists = caller.shared.grid.activity_params(activity).is_some();
    exists.then_some(activity).ok_or(Errno::ESRCH)
}

fn set<M: Machine>(caller: &mut Caller<'_, '_, M>, activity: ActivityId, is_suspended: bool) {
    let home = caller.shared.home(activity);
    home.is_suspended.store(is_suspended, Ordering::SeqCst);
    for process in caller.shared.processes.all() {
        if process.activity() == activity {
            follow_home(caller.shared, caller.context, &process);
        }
    }
}

/// Holds a process, or lets it go on, as its home says.
pub(super) fn follow_home<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
) {
    let home = process.home.lock();
    let is_suspended = home.is_suspended.load(Ordering::SeqCst);
    let was_suspended = process.suspended.swap(is_suspended, Ordering::SeqCst);
    drop(home);
    if is_suspended == was_suspended {
        return;
    }
    for thread in process.all_threads() {
        if is_suspended {
            attend(shared, context, &thread, Attention::PARK);
        } else {
            unpark(context, &thread);
        }
    }
}
