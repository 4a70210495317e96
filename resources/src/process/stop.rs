//! Stopping processes and letting them go on: job control.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use vortex_toolkit::Context;

use super::{ExitStatus, Process, family};
use crate::machine::Machine;
use crate::signals::Signal;
use crate::system::{Shared, Vortex};
use crate::thread::{Attention, attend, unpark};

/// Stops a process: its threads do not run from their next entry into the kernel on.
pub(crate) fn stop<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
    signal: Signal,
) {
    if process.is_dying() || process.stopped.swap(true, Ordering::SeqCst) {
        return;
    }
    for thread in process.all_threads() {
        attend(shared, context, &thread, Attention::PARK);
    }
    report(shared, context, process, ExitStatus::Stopped(signal));
}

/// Lets a process go on, if it was stopped.
pub(crate) fn go_on<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
) {
    if !process.stopped.swap(false, Ordering::SeqCst) {
        return;
    }
    for thread in process.all_threads() {
        unpark(context, &thread);
    }
    report(shared, context, process, ExitStatus::Continued);
}

fn report<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
    status: ExitStatus,
) {
    process.family.lock().report = Some(status);
    family::tell_parent(shared, context, process, status);
}
