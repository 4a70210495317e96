//! Each core's sleepers, by deadline.
//!
//! Timers of a core are added and run on that core alone, and may be cancelled from anywhere. A
//! cancelled timer is gone at once: there are never more than one for each thread that waits and for
//! each timer that is a file, and for each asynchronous operation on a socket with a time limit, and
//! for each process its interval timer and the POSIX timers that it
//! may have.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicU64, Ordering};

use spin::Mutex;
use vortex_toolkit::Context;
use vortex_toolkit::ids::CoreId;

use super::wait::end;
use super::{Resumption, Thread, WaitId};
use crate::calls::asynchronous::StreamIo;
use crate::files;
use crate::machine::Machine;
use crate::process::Process;
use crate::signals::{Cause, Info, Signal};
use crate::system::{Shared, Vortex};

/// Timers run at once, so that many that are due together do not hold up the core.
const BATCH: usize = 32;

/// Where a timer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey {
    core: CoreId,
    deadline: u64,
    serial: u64,
}

impl TimerKey {
    pub(crate) const fn deadline(self) -> u64 {
        self.deadline
    }
}

/// What happens at a deadline.
pub(crate) enum Alarm<M: Machine> {
    /// The thread's wait ends, and it goes on so.
    Wake(Arc<Thread<M>>, WaitId, Resumption),
    /// The process's interval timer is due.
    Interval(Weak<Process<M>>),
    /// What has been dirty of files for a while is written back.
    Flush,
    /// A timer that is a file is due.
    File(Weak<files::Timer>),
    /// An operation on a stream has waited for as long as it may.
    Stream(Weak<StreamIo<M>>),
    /// The process's timer of this number is due.
    Posix(Weak<Process<M>>, u32),
}

struct Queue<M: Machine> {
    alarms: BTreeMap<(u64, u64), Alarm<M>>,
    serial: u64,
}

/// One core's timers.
pub(crate) struct Timers<M: Machine> {
    core: CoreId,
    queue: Mutex<Queue<M>>,
    /// The first deadline; `u64::MAX` for none.
    first: AtomicU64,
}

impl<M: Machine> Timers<M> {
    pub(crate) fn new(core: CoreId) -> Self {
        Self {
            core,
            queue: Mutex::new(Queue {
                alarms: BTreeMap::new(),
                serial: 0,
            }),
            first: AtomicU64::new(u64::MAX),
        }
    }

    /// The first deadline, in cycles; `u64::MAX` for none.
    pub(crate) fn first(&self) -> u64 {
        self.first.load(Ordering::Relaxed)
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.lock().alarms.len()
    }

    /// Adds a timer; on this core only.
    pub(crate) fn add(&self, deadline: u64, alarm: Alarm<M>) -> TimerKey {
        let mut queue = self.queue.lock();
        queue.serial += 1;
        let serial = queue.serial;
        queue.alarms.insert((deadline, serial), alarm);
        self.note_first(&queue);
        TimerKey {
            core: self.core,
            deadline,
            serial,
        }
    }

    /// Takes a timer out; nothing happens if it has run.
    fn cancel(&self, key: TimerKey) {
        let mut queue = self.queue.lock();
        let alarm = queue.alarms.remove(&(key.deadline, key.serial));
        self.note_first(&queue);
        drop(queue);
        // A thread may go with it.
        drop(alarm);
    }

    fn take_due(&self, now: u64) -> Option<Alarm<M>> {
        if self.first() > now {
            return None;
        }
        let mut queue = self.queue.lock();
        let entry = queue.alarms.first_entry()?;
        let alarm = (entry.key().0 <= now).then(|| entry.remove());
        self.note_first(&queue);
        alarm
    }

    fn note_first(&self, queue: &Queue<M>) {
        let first = queue.alarms.first_key_value();
        let first = first.map_or(u64::MAX, |((deadline, _), _)| *deadline);
        self.first.store(first, Ordering::Relaxed);
    }
}

impl<M: Machine> Shared<M> {
    /// Takes a timer out, wherever it is; nothing happens if it has run.
    pub(crate) fn cancel_timer(&self, key: TimerKey) {
        self.timers(key.core).cancel(key);
    }
}

/// A process has taken a signal: if a timer has sent it, that begins anew.
pub(crate) fn signal_taken<M: Machine>(
    shared: &Shared<M>,
    context: &Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
    info: &mut Info,
) {
    match &mut info.cause {
        Cause::Timer(number, overrun, _) => {
            *overrun = super::posix_timers::taken(shared, context, process, *number);
        }
        _ if info.signal == Signal::ALRM => super::itimer::taken(shared, context, process),
        _ => {}
    }
}

/// Runs timers of this core that are due, some at a time.
pub(crate) fn run_due<M: Machine>(shared: &Arc<Shared<M>>, context: &mut Context<'_, Vortex<M>>) {
    let timers = shared.timers(context.core());
    let now = shared.machine.now();
    for _ in 0..BATCH {
        match timers.take_due(now) {
            Some(Alarm::Wake(thread, wait, resumption)) => {
                let _ = end(shared, context, &thread, wait, resumption);
            }
            Some(Alarm::Interval(process)) => {
                if let Some(process) = process.upgrade() {
                    super::itimer::expire(shared, context, &process);
                }
            }
            Some(Alarm::Flush) => crate::files::flush(shared, context),
            Some(Alarm::File(timer)) => {
                if let Some(timer) = timer.upgrade() {
                    timer.ring();
                }
            }
            Some(Alarm::Stream(operation)) => {
                if let Some(operation) = operation.upgrade() {
                    operation.ask(shared, context);
                }
            }
            Some(Alarm::Posix(process, number)) => {
                if let Some(process) = process.upgrade() {
                    super::posix_timers::expire(shared, context, &process, number);
                }
            }
            None => return,
        }
    }
}
