//! Which cores a thread runs on: `sched_setaffinity`(2), `sched_getaffinity`(2).
//!
//! The Thread Resource's load sharing binds each thread to a core; a thread that may not run there
//! binds itself to another when it is to run next. Cores from 64 on are always allowed.

use alloc::sync::Arc;
use alloc::vec;

use vortex_toolkit::Context;
use vortex_toolkit::ids::CoreId;

use super::{Attention, Thread, attend, wait};
use crate::calls::{Caller, Outcome};
use crate::errno::Errno;
use crate::machine::Machine;
use crate::system::Vortex;

impl<M: Machine> Thread<M> {
    pub(super) fn may_run_on(&self, core: CoreId) -> bool {
        let allowed = self.allowed.load(core::sync::atomic::Ordering::Relaxed);
        core.index() >= 64 || allowed >> core.index() & 1 != 0
    }
}

/// Has a thread, which is ready, run on a core where it may.
pub(super) fn move_away<M: Machine>(
    context: &mut Context<'_, Vortex<M>>,
    thread: &Arc<Thread<M>>,
) {
    let process = thread.process();
    let cores = u16::try_from(context.grid().cores()).unwrap_or(u16::MAX);
    let allowed = || (0..cores).map(CoreId).filter(|core| thread.may_run_on(*core));
    // Threads with the same choice do not all go to the same core.
    let turn = thread.id() as usize % allowed().count().max(1);
    for core in allowed().skip(turn).chain(allowed().take(turn)) {
        if context
            .bind(process.threads(), process.activity(), thread.label(), core)
            .is_ok()
        {
            break;
        }
    }
    wait::ready(context, thread);
}

/// The thread of a number that the caller may ask about; its own for 0.
pub(super) fn of_process<M: Machine>(caller: &Caller<'_, '_, M>, id: u64) -> Result<Arc<Thread<M>>, Errno> {
    #[expect(clippy::cast_possible_truncation, reason = "the argument is 32 bits wide")]
    match id as u32 {
        0 => Ok(caller.thread.clone()),
        id => caller.shared.processes.thread(id).ok_or(Errno::ESRCH),
    }
}

pub(super) fn set<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let [id, length, mask, ..] = arguments;
    let mut bytes = [0; 8];
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(8);
    caller.process.space().read(mask, &mut bytes[..length])?;
    let thread = of_process(caller, id)?;
    if !caller.process.may_signal(thread.process()) {
        return Err(Errno::EPERM.into());
    }
    let asked = u64::from_le_bytes(bytes);
    let cores = caller.shared.grid.cores();
    let existing = if cores >= 64 { u64::MAX } else { (1 << cores) - 1 };
    if asked & existing == 0 {
        return Err(Errno::EINVAL.into());
    }
    let order = core::sync::atomic::Ordering::Relaxed;
    thread.allowed.store(asked & existing, order);
    attend(caller.shared, caller.context, &thread, Attention::MOVE);
    Ok(0)
}

pub(super) fn get<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let [id, length, mask, ..] = arguments;
    let cores = caller.shared.grid.cores();
    let needed = cores.div_ceil(64) * 8;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length < needed || length % 8 != 0 {
        return Err(Errno::EINVAL.into());
    }
    let thread = of_process(caller, id)?;
    let mut bytes = vec![0_u8; needed];
    for core in 0..cores {
        let number = CoreId(u16::try_from(core).unwrap_or(u16::MAX));
        bytes[core / 8] |= u8::from(thread.may_run_on(number)) << (core % 8);
    }
    caller.process.space().write(mask, &bytes)?;
    Ok(needed as u64)
}
