//! Sending signals.

use alloc::sync::Arc;

use vortex_toolkit::Context;

use super::{Info, STOPS, Signal, Trap};
use crate::machine::Machine;
use crate::process::{self, ExitStatus, Process};
use crate::system::{Shared, Vortex};
use crate::thread::{Attention, Thread, attend};

/// Sends a signal to a process: one of its threads that does not block it gets it. False if nobody
/// will see it.
pub(crate) fn send_info<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
    info: Info,
) -> bool {
    if !prepare(shared, context, process, info.signal) {
        return false;
    }
    let threads = process.all_threads();
    let bit = info.signal.bit();
    let is_open = |thread: &&Arc<Thread<M>>| thread.signals.lock().open() & bit != 0;
    let mut signals = process.signals.lock();
    let is_blocked = |thread: &Arc<Thread<M>>| thread.signals.lock().mask & bit != 0;
    if signals.action(info.signal).drops(info.signal) && !threads.iter().any(is_blocked) {
        return false;
    }
    signals.pending.add(info);
    drop(signals);
    if let Some(thread) = threads.iter().find(is_open) {
        attend(shared, context, thread, Attention::SIGNAL);
    }
    true
}

/// Sends a signal to a thread. False if nobody will see it.
pub(crate) fn send_to_thread<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    thread: &Arc<Thread<M>>,
    info: Info,
) -> bool {
    if !prepare(shared, context, thread.process(), info.signal) {
        return false;
    }
    let action = *thread.process().signals.lock().action(info.signal);
    let mut signals = thread.signals.lock();
    let is_blocked = signals.mask & info.signal.bit() != 0;
    if action.drops(info.signal) && !is_blocked {
        return false;
    }
    signals.pending.add(info);
    let is_open = signals.open() & info.signal.bit() != 0;
    drop(signals);
    if is_open {
        attend(shared, context, thread, Attention::SIGNAL);
    }
    true
}

/// What a signal does at once, whatever becomes of it. False if that was all.
fn prepare<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
    signal: Signal,
) -> bool {
    match signal {
        Signal::KILL => {
            process::kill(shared, context, process, ExitStatus::killed(signal));
            return false;
        }
        Signal::CONT => {
            discard(process, STOPS);
            process::go_on(shared, context, process);
        }
        Signal::STOP => {
            discard(process, Signal::CONT.bit());
            process::stop(shared, context, process, signal);
            return false;
        }
        signal if signal.bit() & STOPS != 0 => discard(process, Signal::CONT.bit()),
        _ => {}
    }
    !process.is_dying()
}

fn discard<M: Machine>(process: &Arc<Process<M>>, set: u64) {
    let threads = process.all_threads();
    let mut signals = process.signals.lock();
    signals.pending.discard(set);
    for thread in threads {
        thread.signals.lock().pending.discard(set);
    }
}

/// A signal that the running thread has itself caused: it cannot be ignored, and if it is blocked
/// the default action is taken.
pub(crate) fn force<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    thread: &Arc<Thread<M>>,
    info: Info,
    trap: Trap,
) {
    let process = thread.process();
    let action = *process.signals.lock().action(info.signal);
    let mut signals = thread.signals.lock();
    signals.trap = trap.after(signals.trap);
    let has_handler = !action.is_default() && !action.is_ignored();
    if has_handler && signals.mask & info.signal.bit() == 0 {
        signals.pending.add(info);
        drop(signals);
        thread.raise(Attention::SIGNAL);
        return;
    }
    drop(signals);
    log::debug!("process {}: {info:?}", process.id());
    process::kill(shared, context, process, ExitStatus::by(info.signal));
}
