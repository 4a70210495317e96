//! The Thread Resource's data (paper, section 3.4).

use alloc::sync::Arc;

use crate::calls::{Caller, Verdict};
use crate::errno::Errno;
use crate::machine::Machine;
use crate::process::{Consumption, Process};
use crate::space::Pinned;
use crate::system::{Kind, Shared, Vortex};

use vortex_toolkit::Context;

pub mod calls;

/// Who waits on which word.
pub struct Futexes<M: Machine>(core::marker::PhantomData<M>);

/// A thread.
pub struct Thread<M: Machine> {
    process: Arc<Process<M>>,
}

/// One wait of a thread: who wakes it says which, so that nobody who comes late wakes it from
/// another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitId(u64);

/// What a signal does to a thread that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// The call fails with EINTR, unless the handler has `SA_RESTART`.
    Restart,
    /// The call fails with EINTR (sleeps, and waits with a timeout).
    Fail,
    /// The thread waits on; only what kills it takes it out.
    Never,
}

impl<M: Machine> Thread<M> {
    /// Its number; that of the process, for its first thread.
    pub fn id(&self) -> u32 {
        unimplemented!()
    }

    /// Its process.
    pub fn process(&self) -> &Arc<Process<M>> {
        &self.process
    }

    /// What it has used up to now.
    pub fn consumption(&self, now: u64) -> Consumption {
        unimplemented!()
    }

    /// Its name (prctl `PR_GET_NAME`), ended by a zero byte.
    pub fn name(&self) -> [u8; 16] {
        unimplemented!()
    }

    /// Sets its name; cut to 15 bytes.
    pub fn set_name(&self, name: &[u8]) {
        unimplemented!()
    }
}

/// The calling thread is about to wait, until [`wake`] or the deadline (in cycles of the clock; then
/// the call returns `late`). From here on it can be woken; return [`Verdict::Blocked`] next, or
/// [`cancel`] the wait. A signal that is pending already takes it out at once.
pub fn block<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    interruption: Interruption,
    deadline: Option<(u64, Result<u64, Errno>)>,
) -> WaitId {
    unimplemented!()
}

/// The calling thread goes on after all. False if somebody has woken it already: then it must
/// return [`Verdict::Blocked`].
#[must_use]
pub fn cancel<M: Machine>(caller: &mut Caller<'_, '_, M>, wait: WaitId) -> bool {
    unimplemented!()
}

/// A thread that waits goes on with this result. False if it is not in this wait any more.
pub fn wake<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    thread: &Arc<Thread<M>>,
    wait: WaitId,
    result: Result<u64, Errno>,
) -> bool {
    unimplemented!()
}

/// Turns the call into a request to a resource of this kind, which performs it by
/// [`crate::calls::perform`]; the thread waits for that. Return the verdict.
pub fn request<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    kind: Kind,
    number: u64,
    arguments: [u64; 6],
    pinned: Option<Pinned<M>>,
) -> Verdict {
    unimplemented!()
}

/// A call that was turned into a request, and whose performance said `Blocked`, has ended: its
/// thread goes on with this result.
pub fn complete<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    thread: &Arc<Thread<M>>,
    result: Result<u64, Errno>,
) {
    unimplemented!()
}
