//! Timers that count what a process uses of processors: setitimer(2) with `ITIMER_VIRTUAL` and
//! `ITIMER_PROF`. What it uses in calls is not told from what it uses in user mode.
//!
//! Key types: [`CpuTimers`]. A turn of a thread ends no later than the first of its process's timers
//! is due, if it runs alone; if others run on other cores it may be late by a timeslice.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::Mutex;
use vortex_toolkit::Context;

use super::Thread;
use super::itimer::next;
use crate::calls::Caller;
use crate::machine::Machine;
use crate::signals::{self, Signal};
use crate::system::{Shared, Vortex};

/// Which timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// `ITIMER_VIRTUAL`: `SIGVTALRM`.
    Virtual,
    /// `ITIMER_PROF`: `SIGPROF`.
    Profiling,
}

impl Counted {
    const ALL: [Self; 2] = [Self::Virtual, Self::Profiling];

    const fn signal(self) -> Signal {
        match self {
            Self::Virtual => Signal::VTALRM,
            Self::Profiling => Signal::PROF,
        }
    }
}

/// One that is armed.
#[derive(Clone, Copy, Debug)]
struct Armed {
    /// Due when the process has used so many cycles.
    at: u64,
    /// Cycles from one to the next; 0 for once.
    interval: u64,
}

/// A process's timers of this kind.
#[derive(Debug)]
pub(crate) struct CpuTimers {
    /// The first that is due, in cycles used; `u64::MAX` for none.
    first: AtomicU64,
    armed: Mutex<[Option<Armed>; Counted::ALL.len()]>,
}

impl CpuTimers {
    pub(crate) const fn new() -> Self {
        Self {
            first: AtomicU64::new(u64::MAX),
            armed: Mutex::new([None; Counted::ALL.len()]),
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut [Option<Armed>; 2]) -> T) -> T {
        let mut armed = self.armed.lock();
        let changed = change(&mut armed);
        let first = armed.iter().flatten().map(|timer| timer.at).min();
        self.first
            .store(first.unwrap_or(u64::MAX), Ordering::Relaxed);
        changed
    }

    /// Those of a program whose place another takes.
    pub(super) fn take_over(&self, from: &Self) {
        let armed = *from.armed.lock();
        self.change(|own| *own = armed);
    }

    /// Takes out what is due; what has an interval is armed anew.
    fn expire(&self, used: u64) -> impl Iterator<Item = Counted> {
        let due = self.change(|armed| {
            armed.each_mut().map(|timer| {
                let current = timer.take_if(|timer| timer.at <= used)?;
                if current.interval > 0 {
                    let (at, _) = next(current.at, current.interval, used);
                    *timer = Some(Armed { at, ..current });
                }
                Some(())
            })
        });
        let all = Counted::ALL.into_iter().zip(due);
        all.filter_map(|(counted, due)| due.map(|()| counted))
    }
}

/// Sends the signals of what is due of the running thread's process; the cycles up to what is due
/// next, `u64::MAX` for nothing.
pub(super) fn see_to<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    thread: &Arc<Thread<M>>,
) -> u64 {
    let process = thread.process();
    let first = process.cpu_timers.first.load(Ordering::Relaxed);
    if first == u64::MAX {
        return u64::MAX;
    }
    let used = process.consumption(shared.machine.now()).cycles;
    if first > used {
        return first - used;
    }
    for counted in process.cpu_timers.expire(used) {
        signals::send(shared, context, process, counted.signal());
    }
    let first = process.cpu_timers.first.load(Ordering::Relaxed);
    first.saturating_sub(used)
}

/// Sets a timer: nanoseconds to the first (0 for never), and from one to the next.
pub(super) fn set<M: Machine>(
    caller: &Caller<'_, '_, M>,
    counted: Counted,
    first_ns: u64,
    interval_ns: u64,
) {
    let clock = &caller.shared.clock;
    let used = caller
        .process
        .consumption(caller.shared.machine.now())
        .cycles;
    let timer = (first_ns > 0).then(|| Armed {
        at: used.saturating_add(clock.cycles(first_ns)),
        interval: clock.cycles(interval_ns),
    });
    let timers = &caller.process.cpu_timers;
    timers.change(|armed| armed[counted as usize] = timer);
}

/// What is left up to the next time, and the interval, in nanoseconds.
pub(super) fn read<M: Machine>(caller: &Caller<'_, '_, M>, counted: Counted) -> (u64, u64) {
    let clock = &caller.shared.clock;
    let used = caller
        .process
        .consumption(caller.shared.machine.now())
        .cycles;
    let timer = caller.process.cpu_timers.armed.lock()[counted as usize];
    timer.map_or((0, 0), |timer| {
        let left = clock.nanoseconds(timer.at.saturating_sub(used));
        // One that is armed is not read as one that is not.
        (left.max(1000), clock.nanoseconds(timer.interval))
    })
}
