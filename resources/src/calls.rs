//! System calls: the table, and what each call does.
//!
//! Key types: [`table::TABLE`] (what calls there are), [`Caller`] (who calls), [`Verdict`] (what
//! becomes of the thread), [`work::Work`] (a call that may become a request).

use alloc::sync::Arc;

use vortex_toolkit::Context;

use crate::errno::Errno;
use crate::machine::{Machine, Registers};
use crate::process::{Consumption, Process};
use crate::space::UserError;
use crate::system::{Call, Shared, Vortex};
use crate::thread::Thread;

pub mod argument;
pub mod document;
#[cfg(any(test, feature = "fake"))]
pub mod hostile;
pub mod layout;
pub mod names;
pub mod program;
pub mod settings;
pub mod table;
pub mod work;

/// Functions of calls that are methods of [`files::Call`](crate::files::Call), which `by` makes and
/// sees to what has to wait.
macro_rules! passed_on {
    (by $by:ident; $($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*) = $method:ident($($given:expr),*);)*) => {$(
        $(#[$doc])*
        pub(super) fn $name<M: Machine>(
            caller: &mut Caller<'_, '_, M>,
            $($argument: $type),*
        ) -> Outcome {
            $by(caller, |call| call.$method($($given),*))
        }
    )*};
}
use passed_on;

pub mod asynchronous;
mod epoll;
mod files;
mod identity;
mod limits;
mod locks;
mod memory;
mod mounts;
mod native;
mod poll;
mod scheduling;
mod snapshot;
mod sockets;
mod system;
pub(crate) use system::RELEASE;
mod time;
mod timerfd;
mod transfer;
mod unknown;

/// A thread in a system call.
pub struct Caller<'a, 'c, M: Machine> {
    /// The thread.
    pub thread: &'a Arc<Thread<M>>,
    /// Its process.
    pub process: &'a Arc<Process<M>>,
    /// Its registers.
    pub registers: &'a mut M::Registers,
    /// What all cores share.
    pub shared: &'a Arc<Shared<M>>,
    /// The toolkit, in the request that runs the thread.
    pub context: &'a mut Context<'c, Vortex<M>>,
}

/// What becomes of a thread that has made a call.
#[derive(Debug)]
pub enum Verdict {
    /// It goes on with this in `rax`.
    Return(u64),
    /// It goes on with an error.
    Fail(Errno),
    /// It goes on with its registers as they are (sigreturn).
    Resume,
    /// It waits; whoever completes the call has been told of it and sets `rax`.
    Blocked,
    /// It goes on, but lets others go first (sched_yield).
    Yield(u64),
    /// The page at this address must be brought in (true: for writing), then the call is made
    /// again.
    Absent(u64, bool),
    /// It makes the call again at once.
    Again,
    /// The thread has ended.
    Exited,
}

impl From<Errno> for Verdict {
    fn from(error: Errno) -> Self {
        Self::Fail(error)
    }
}

impl From<UserError> for Verdict {
    fn from(error: UserError) -> Self {
        match error {
            UserError::Bad => Self::Fail(Errno::EFAULT),
            UserError::Absent(address, write) => Self::Absent(address, write),
        }
    }
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Ok(result) => Self::Return(result),
            Err(verdict) => verdict,
        }
    }
}

/// A call's outcome where `?` is wanted: `Ok(rax)` or the verdict.
pub type Outcome = Result<u64, Verdict>;

/// Makes the call whose number and arguments are in the registers.
#[inline]
pub fn dispatch<M: Machine>(caller: &mut Caller<'_, '_, M>) -> Verdict {
    let arguments = caller.registers.arguments();
    // As on Linux, the upper half of the number is ignored.
    let number = caller.registers.number() as u32;
    table::enter(caller, number, &arguments).into()
}

/// Performs a call that has become a request, in the resource that it was sent to. `Return` and
/// `Fail` end it; `Yield` means that there is more to do: a request is sent again for it; `Absent`
/// has the page brought in and then the thread make the call again; after `Blocked` somebody
/// completes it by `crate::thread::complete`.
pub fn perform<M: Machine>(
    call: &mut Call<M>,
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
) -> Verdict {
    let mut work = work::Work {
        thread: &call.thread,
        shared,
        context,
        arguments: &mut call.arguments,
        kept: &mut call.kept,
        resumed: true,
    };
    table::step(&mut work, call.number).into()
}

/// Writes what a process has used, as `struct rusage`.
pub(crate) fn write_rusage<M: Machine>(
    caller: &Caller<'_, '_, M>,
    address: u64,
    used: &Consumption,
) -> Result<(), UserError> {
    let usage = time::rusage(used, 0, &caller.shared.clock);
    argument::Out::<_, { argument::ONE }>::at(address).write(caller.process.space(), &usage)
}

#[cfg(test)]
mod tests;
