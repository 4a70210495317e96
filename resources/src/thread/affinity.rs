//! Which cores a thread runs on: `sched_setaffinity`(2), `sched_getaffinity`(2).
//!
//! The Thread Resource's load sharing binds each thread to a core; a thread that may not run there
//! binds itself to another when it is to run next. Cores from 64 on are always allowed.

use alloc::sync::Arc;
use alloc::vec;
use core::sync::atomic::Ordering;

use vortex_toolkit::Context;
use vortex_toolkit::ids::{ActivityId, CoreId, ResourceId};

use super::{Attention, Thread, attend, wait};
use crate::calls::{Caller, Outcome};
use crate::errno::Errno;
use crate::machine::Machine;
use crate::system::{Home, Shared, Vortex};

impl<M: Machine> Thread<M> {
    pub(super) fn may_run_on(&self, core: CoreId) -> bool {
        let allowed = self.allowed.load(Ordering::Relaxed);
        core.index() >= 64 || allowed >> core.index() & 1 != 0
    }

    /// Binds it to a core.
    pub(super) fn settle(
        &self,
        context: &mut Context<'_, Vortex<M>>,
        core: CoreId,
        resource: ResourceId,
        activity: ActivityId,
    ) {
        self.placed.store(u32::from(core.0) + 1, Ordering::Relaxed);
        if let Err(reason) = context.bind(resource, activity, self.label(), core) {
            log::debug!("thread {} is not bound: {reason}", self.id());
        }
    }

    /// The core that was chosen for it.
    fn place(&self) -> Option<CoreId> {
        let core = self.placed.load(Ordering::Relaxed).checked_sub(1)?;
        u16::try_from(core).ok().map(CoreId)
    }

    /// It is nowhere any more.
    pub(crate) fn unsettle(&self, shared: &Shared<M>, home: &Home) {
        if let Some(core) = self.place() {
            shared.displace(home, core);
        }
        self.placed.store(0, Ordering::Relaxed);
    }

    /// From one home to another, whose instance of the Thread Resource is `resource`.
    pub(crate) fn resettle(
        &self,
        shared: &Shared<M>,
        context: &mut Context<'_, Vortex<M>>,
        (from, to): (&Home, &Home),
        resource: ResourceId,
    ) {
        self.unsettle(shared, from);
        let may = |core| self.may_run_on(core);
        if let Some(core) = shared.place(to, context.core(), may) {
            self.settle(context, core, resource, to.activity);
        }
    }
}

/// Has a thread, which is ready, run on a core where it may.
pub(super) fn move_away<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    thread: &Arc<Thread<M>>,
) {
    let process = thread.process();
    let here = context.core();
    if !thread.may_run_on(here) && thread.place().is_none_or(|core| core == here) {
        let home = process.home();
        thread.unsettle(shared, &home);
        let may = |core| thread.may_run_on(core);
        let cores = u16::try_from(context.grid().cores()).unwrap_or(u16::MAX);
        let first = || (0..cores).map(CoreId).find(|core| may(*core));
        let placed = shared.place(&home, here, may);
        if let Some(core) = placed.or_else(first) {
            thread.settle(context, core, process.threads(), process.activity());
        }
        if placed.is_none() {
            // The policy places threads itself: this one is not counted.
            thread.placed.store(0, Ordering::Relaxed);
        }
    }
    wait::ready(context, thread);
}

/// The thread of a number that the caller may ask about; its own for 0.
pub(super) fn of_process<M: Machine>(
    caller: &Caller<'_, '_, M>,
    id: u64,
) -> Result<Arc<Thread<M>>, Errno> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the argument is 32 bits wide"
    )]
    match id as u32 {
        0 => Ok(caller.thread.clone()),
        id => caller.shared.processes.thread(id).ok_or(Errno::ESRCH),
    }
}

pub(super) fn set<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let [id, length, mask, ..] = arguments;
    let mut bytes = [0; 8];
    // The argument is 32 bits wide.
    let length = (length as u32).min(8) as usize;
    if length > 0 {
        caller.process.space().read(mask, &mut bytes[..length])?;
    }
    let thread = of_process(caller, id)?;
    if !caller.process.may_signal(thread.process()) {
        return Err(Errno::EPERM.into());
    }
    let asked = u64::from_le_bytes(bytes);
    let cores = caller.shared.grid.cores();
    let existing = if cores >= 64 {
        u64::MAX
    } else {
        (1 << cores) - 1
    };
    if asked & existing == 0 {
        return Err(Errno::EINVAL.into());
    }
    thread.allowed.store(asked & existing, Ordering::Relaxed);
    attend(caller.shared, caller.context, &thread, Attention::MOVE);
    Ok(0)
}

pub(super) fn get<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let [id, length, mask, ..] = arguments;
    let cores = caller.shared.grid.cores();
    let needed = cores.div_ceil(64) * 8;
    // Linux counts the bits in 32 bits.
    let length = length as u32;
    if (length.wrapping_mul(8) as usize) < cores || !length.is_multiple_of(8) {
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
