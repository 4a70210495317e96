//! Delivery: what a thread does about its signals before it goes back to user mode.

use alloc::sync::Arc;

use linux_raw_sys::general as linux;
use vortex_toolkit::Context;

use super::frame::{self, Saved};
use super::{Action, Default, Info, Signal};
use crate::errno::Errno;
use crate::machine::{Machine, Registers};
use crate::process::{self, ExitStatus};
use crate::space::UserError;
use crate::system::{Shared, Vortex};
use crate::thread::timers::signal_taken;
use crate::thread::{Attention, Interruption, Resumption, Thread, write_remaining};

/// Has a thread look at its signals if one is pending that it does not block.
pub(super) fn look_again<M: Machine>(thread: &Thread<M>) {
    let of_process = thread.process().signals.lock().pending.set;
    let signals = thread.signals.lock();
    if (signals.pending.set | of_process) & signals.open() != 0 {
        thread.raise(Attention::SIGNAL);
    }
}

/// How the delivery ended.
pub(crate) enum Delivery {
    /// All is done that could be.
    Done,
    /// The page at this address must be there, to be written; then again.
    Absent(u64),
}

/// A wait that a signal has ended, and whose call has no result yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interrupted {
    pub(crate) interruption: Interruption,
    /// When the wait would have ended.
    pub(crate) until: Option<u64>,
    /// Where a sleep writes what is left of it; 0 for nowhere.
    pub(crate) remain: u64,
}

impl Interrupted {
    pub(crate) const fn resumption(self) -> Resumption {
        Resumption::Interrupted(self.interruption, self.until)
    }
}

/// Delivers what is pending for the running thread. One handler at a time: the frame of the first
/// is what the second is entered from.
pub(crate) fn deliver<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    thread: &Arc<Thread<M>>,
    registers: &mut M::Registers,
    interrupted: &mut Option<Interrupted>,
) -> Delivery {
    let process = thread.process();
    while let Some((mut info, action, of_process)) = take(thread) {
        signal_taken(shared, context, process, &mut info);
        if action.is_ignored() {
            continue;
        }
        if action.is_default() {
            match Default::of(info.signal) {
                Default::Ignore | Default::Continue => {}
                Default::Stop => process::stop(shared, context, process, info.signal),
                Default::Terminate | Default::Core => {
                    process::kill(shared, context, process, ExitStatus::by(info.signal));
                    return Delivery::Done;
                }
            }
            continue;
        }
        if let Some(interrupted) = interrupted.take() {
            settle(shared, thread, registers, interrupted, &action);
        }
        match enter(thread, registers, &info, &action) {
            Ok(()) => {}
            Err(UserError::Absent(address, _)) => {
                put_back(thread, info, of_process);
                return Delivery::Absent(address);
            }
            Err(UserError::Bad) => {
                let status = ExitStatus::by(Signal::SEGV);
                process::kill(shared, context, process, status);
                return Delivery::Done;
            }
        }
    }
    Delivery::Done
}

/// The next signal to deliver, what the process does with it, and whether it was the process's.
fn take<M: Machine>(thread: &Thread<M>) -> Option<(Info, Action, bool)> {
    let mut of_process = thread.process().signals.lock();
    let mut signals = thread.signals.lock();
    let open = !signals.mask;
    let own = signals.pending.take(open).map(|info| (info, false));
    let (info, is_process) = own.or_else(|| {
        let shared = of_process.pending.take(open);
        shared.map(|info| (info, true))
    })?;
    let action = *of_process.action(info.signal);
    Some((info, action, is_process))
}

fn put_back<M: Machine>(thread: &Thread<M>, info: Info, of_process: bool) {
    if of_process {
        thread.process().signals.lock().pending.put_back(info);
    } else {
        thread.signals.lock().pending.put_back(info);
    }
}

/// The result of a call that a handler interrupts.
fn settle<M: Machine>(
    shared: &Shared<M>,
    thread: &Thread<M>,
    registers: &mut M::Registers,
    interrupted: Interrupted,
    action: &Action,
) {
    let done = thread.kept.done();
    thread.kept.forget();
    if done > 0 {
        // What has been moved before the signal counts.
        return registers.set_result(done);
    }
    if interrupted.interruption == Interruption::Restart && action.has(linux::SA_RESTART) {
        let number = registers.number();
        return registers.restart_call(number);
    }
    registers.set_result(Errno::EINTR.result());
    if let Some(until) = interrupted.until
        && interrupted.remain != 0
    {
        write_remaining(shared, thread, until, interrupted.remain);
    }
}

/// Has the thread enter a handler.
fn enter<M: Machine>(
    thread: &Thread<M>,
    registers: &mut M::Registers,
    info: &Info,
    action: &Action,
) -> Result<(), UserError> {
    let signals = thread.signals.lock();
    let saved = Saved {
        mask: signals.saved_mask.unwrap_or(signals.mask),
        stack: signals.stack,
    };
    let trap = signals.trap;
    drop(signals);
    let space = thread.process().space();
    frame::push(space, registers, info, action, &saved, &trap)?;
    if action.has(linux::SA_RESETHAND) {
        let index = info.signal.number() as usize - 1;
        thread.process().signals.lock().actions[index].handler = Action::DEFAULT.handler;
    }
    let mut signals = thread.signals.lock();
    signals.saved_mask = None;
    let own = match action.has(linux::SA_NODEFER) {
        true => 0,
        false => info.signal.bit(),
    };
    let mask = signals.mask | action.mask | own;
    signals.set_mask(mask);
    Ok(())
}
