//! Calls that may become requests: written once, as steps of bounded work.
//!
//! Key types: [`Work`], what a step has at hand. The same function is the first portion, on the
//! caller's core, and every further one, in the resource that the table names. Between portions
//! nothing is kept but the arguments, which a step may change, and [`Work::kept`].

use alloc::sync::Arc;
use alloc::vec::Vec;

use vortex_toolkit::Context;

use super::{Caller, Outcome, Verdict};
use crate::machine::Machine;
use crate::process::Process;
use crate::space::{Progress, Space};
use crate::system::{Kind, Shared, Vortex};
use crate::thread::{self, Thread};

/// A step of a call.
pub struct Work<'a, 'c, M: Machine> {
    /// Who called.
    pub thread: &'a Arc<Thread<M>>,
    /// What all cores share.
    pub shared: &'a Arc<Shared<M>>,
    /// The toolkit, in the request that this step is done in.
    pub context: &'a mut Context<'c, Vortex<M>>,
    /// The arguments: at first the caller's, then what the step before has made of them.
    pub arguments: &'a mut [u64; 6],
    /// What the steps hand on to each other, where the call is a request from the start.
    pub kept: &'a mut Vec<u8>,
    /// This is not the first step.
    pub resumed: bool,
}

impl<M: Machine> Work<'_, '_, M> {
    /// The caller's process.
    pub fn process(&self) -> &Arc<Process<M>> {
        self.thread.process()
    }

    /// The caller's address space.
    pub fn space(&self) -> &Arc<Space<M>> {
        self.thread.process().space()
    }
}

/// The verdict of a step after which there is more to do.
pub const MORE: Verdict = Verdict::Yield(0);

/// A step's outcome: `result` if it was the last.
pub fn done(progress: Progress, result: u64) -> Outcome {
    match progress {
        Progress::Done => Ok(result),
        Progress::More => Err(MORE),
    }
}

/// Makes the first step of a call; if there is more to do, the call becomes a request.
pub(super) fn first_step<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    number: u64,
    registers: &[u64; 6],
    kind: Kind,
    step: impl FnOnce(&mut Work<'_, '_, M>) -> Outcome,
) -> Outcome {
    let mut arguments = *registers;
    let outcome = step(&mut Work {
        thread: caller.thread,
        shared: caller.shared,
        context: caller.context,
        arguments: &mut arguments,
        kept: &mut Vec::new(),
        resumed: false,
    });
    match outcome {
        Err(Verdict::Yield(_)) => Err(thread::request(caller, kind, number, arguments, None)),
        outcome => outcome,
    }
}
