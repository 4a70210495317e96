//! How a process ends.

use alloc::sync::Arc;

use vortex_toolkit::{Context, Control};

use super::{ExitStatus, Process, console, family};
use crate::files;
use crate::machine::Machine;
use crate::signals::Signal;
use crate::space::Progress;
use crate::system::{Kind, Message, Shared, Vortex};
use crate::thread::{Attention, Thread, attend, delete_timers, disarm, feed, retry};

/// Threads that are told at a time.
const PORTION: usize = 64;

impl<M: Machine> Process<M> {
    /// It is to end so. False if it ends already.
    fn begin_dying(&self, status: ExitStatus) -> bool {
        let mut life = self.life();
        if self.is_dying() {
            return false;
        }
        life.status = Some(status);
        // With the lock held: no thread is added from here on.
        self.dying.store(true, core::sync::atomic::Ordering::SeqCst);
        true
    }

    /// A thread ends by itself; if it is the first, this is the process's status, unless all are
    /// ended by something else.
    pub(crate) fn note_exit(&self, thread: &Thread<M>, status: ExitStatus) {
        let mut life = self.life();
        if !self.is_dying() && (thread.id() == self.id() || life.status.is_none()) {
            life.status = Some(status);
        }
    }
}

/// Ends a process: its threads end when they next enter the kernel, or at once if they wait. Those
/// that run on other cores are interrupted.
pub(crate) fn kill<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
    status: ExitStatus,
) {
    if process.begin_dying(status) {
        kill_more(shared, context, process, 0);
    }
}

/// Ends threads of a dying process, those with numbers above `after`.
pub(crate) fn kill_more<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
    after: u32,
) {
    let threads = process.threads_after(after, PORTION);
    for thread in &threads {
        attend(shared, context, thread, Attention::DYING);
    }
    if let Some(last) = threads.get(PORTION - 1) {
        let message = Message::Kill(process.clone(), last.id());
        let request = process.request(shared, context, Kind::Process, message);
        context.send(request);
    }
}

/// A thread has ended. With the last one, the process does.
pub(crate) fn thread_ended<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    thread: &Arc<Thread<M>>,
) {
    let process = thread.process();
    let used = thread.consumption(shared.machine.now());
    let mut life = process.life();
    life.threads.remove(&thread.id());
    life.used += used;
    let is_last = life.threads.is_empty();
    let is_next_to_last = life.threads.len() == 1;
    if is_last {
        life.status.get_or_insert(ExitStatus::Exited(0));
        process
            .dying
            .store(true, core::sync::atomic::Ordering::SeqCst);
    }
    drop(life);
    process.home().remove_threads(1);
    if thread.id() != process.id() {
        shared.processes.forget(thread.id());
    }
    if is_next_to_last && let Some((thread, wait)) = process.lonely.lock().take() {
        let _ = retry(shared, context, &thread, wait);
    }
    if is_last {
        process.release_vfork_parent(context);
        disarm(shared, process);
        delete_timers(shared, process);
        let message = Message::Teardown(process.clone());
        let request = process.request(shared, context, Kind::AddressSpace, message);
        context.send(request);
    }
}

/// Gives back a portion of a process's memory: the address-space resource's work.
pub(crate) fn tear_down<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
) {
    let progress = match process.borrows {
        true => Progress::Done,
        false => process.space().destroy(),
    };
    let (kind, message) = match progress {
        Progress::More => (Kind::AddressSpace, Message::Teardown(process.clone())),
        Progress::Done if process.is_replaced() => return,
        Progress::Done => (Kind::Process, Message::Ended(process.clone())),
    };
    let request = process.request(shared, context, kind, message);
    context.send(request);
}

/// All of a process has been given back.
pub(crate) fn end<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
) {
    context.control(&Control::RemoveResource(process.threads()));
    process.rings.forget(shared);
    let gone = process.descriptors().lock().close_range(0, u32::MAX, false);
    for file in gone {
        shared.locks.closed(process.id(), &file);
    }
    files::clear_up(shared, context, process);
    let mut life = process.life();
    life.has_ended = true;
    let status = life.status.unwrap_or(ExitStatus::Exited(0));
    drop(life);
    process.home().leave();
    process.family.lock().waiters.clear();
    family::orphan(shared, context, process);
    console::hang_up(shared, context, process);
    feed(shared, context);
    if family::tell_parent(shared, context, process, status) {
        family::forget(shared, process);
    }
    let mut kept = shared.first_status.lock();
    if process.id() == 1 {
        *kept = Some(status);
    }
    let first = kept.unwrap_or(status);
    drop(kept);
    if process.id() == 1 {
        // As on Linux in a namespace: without the first process there is nobody whose system it is.
        for other in shared.processes.all() {
            kill(shared, context, &other, ExitStatus::killed(Signal::KILL));
        }
    }
    if shared.processes.leave() {
        files::end(shared, context, first);
    }
}
