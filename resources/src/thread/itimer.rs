//! The interval timers of a process: alarm(2), setitimer(2) and getitimer(2). What is here is the
//! one of real time (`ITIMER_REAL`); the others are in [`cpu_timers`].

use alloc::sync::Arc;

use linux_raw_sys::general as linux;
use vortex_toolkit::Context;

use super::cpu_timers::{self, Counted};
use super::memory::{read_timeval, write_timeval};
use super::timers::{Alarm, TimerKey};
use crate::calls::{Caller, Outcome};
use crate::errno::Errno;
use crate::machine::Machine;
use crate::process::Process;
use crate::signals::{self, Signal};
use crate::system::{Shared, Vortex};

/// A process's interval timer, armed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IntervalTimer {
    key: TimerKey,
    /// Nanoseconds from one to the next; 0 for once.
    interval_ns: u64,
}

/// After how long a timer is due again whose signal is ignored, at least.
pub(super) const UNSEEN_NS: u64 = 10_000_000;

/// Sets the timer (nanoseconds to the first, 0 for never; interval), and says what it was.
fn set<M: Machine>(caller: &mut Caller<'_, '_, M>, first_ns: u64, interval_ns: u64) -> (u64, u64) {
    let (shared, process) = (caller.shared, caller.process);
    let mut timer = process.interval_timer.lock();
    let before = read(shared, timer.as_ref());
    if let Some(old) = timer.take() {
        shared.cancel_timer(old.key);
    }
    if first_ns > 0 {
        let deadline = shared
            .machine
            .now()
            .saturating_add(shared.clock.cycles(first_ns));
        *timer = Some(IntervalTimer {
            key: arm(shared, caller.context, process, deadline),
            interval_ns,
        });
    }
    before
}

fn arm<M: Machine>(
    shared: &Shared<M>,
    context: &Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
    deadline: u64,
) -> TimerKey {
    let alarm = Alarm::Interval(Arc::downgrade(process));
    shared.timers(context.core()).add(deadline, alarm)
}

fn read<M: Machine>(shared: &Shared<M>, timer: Option<&IntervalTimer>) -> (u64, u64) {
    let now = shared.machine.now();
    timer.map_or((0, 0), |timer| {
        let left = timer.key.deadline().saturating_sub(now);
        // One that is armed is not read as one that is not.
        let left = shared.clock.nanoseconds(left).max(1000);
        (left, timer.interval_ns)
    })
}

/// The timer is due. It begins anew when its signal is taken, in the time of the one who takes it:
/// so a short interval costs nobody else anything.
pub(super) fn expire<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
) {
    let mut timer = process.interval_timer.lock();
    let now = shared.machine.now();
    // Set anew meanwhile: the new one is still to come.
    let Some(current) = timer.take_if(|timer| timer.key.deadline() <= now) else {
        return;
    };
    if current.interval_ns > 0 {
        *timer = Some(current);
    }
    drop(timer);
    if !signals::send(shared, context, process, Signal::ALRM) {
        begin_anew(shared, context, process, shared.clock.cycles(UNSEEN_NS));
    }
}

/// The timer's signal has been taken.
pub(super) fn taken<M: Machine>(
    shared: &Shared<M>,
    context: &Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
) {
    begin_anew(shared, context, process, 0);
}

/// A timer that was due is armed again for the next time, at least so many cycles from now.
fn begin_anew<M: Machine>(
    shared: &Shared<M>,
    context: &Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
    pause: u64,
) {
    let mut timer = process.interval_timer.lock();
    let now = shared.machine.now();
    if let Some(current) = timer.as_mut()
        && current.key.deadline() <= now
    {
        let interval = shared.clock.cycles(current.interval_ns);
        let (next, _) = next(current.key.deadline(), interval, now + pause);
        current.key = arm(shared, context, process, next);
    }
}

/// When a timer is due again after a time, and how often it was meanwhile.
pub(super) fn next(due: u64, interval: u64, after: u64) -> (u64, u64) {
    let interval = interval.max(1);
    let missed = after.saturating_sub(due) / interval;
    (
        due.saturating_add((missed + 1).saturating_mul(interval)),
        missed,
    )
}

/// Another program takes the place of the timer's: it runs on.
pub(crate) fn hand_on<M: Machine>(
    shared: &Shared<M>,
    context: &Context<'_, Vortex<M>>,
    from: &Process<M>,
    to: &Arc<Process<M>>,
) {
    if let Some(timer) = from.interval_timer.lock().take() {
        shared.cancel_timer(timer.key);
        *to.interval_timer.lock() = Some(IntervalTimer {
            key: arm(shared, context, to, timer.key.deadline()),
            ..timer
        });
    }
    to.cpu_timers.take_over(&from.cpu_timers);
}

/// The process has ended.
pub(crate) fn disarm<M: Machine>(shared: &Shared<M>, process: &Process<M>) {
    if let Some(timer) = process.interval_timer.lock().take() {
        shared.cancel_timer(timer.key);
    }
}

/// alarm(2).
pub(super) fn alarm<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    const NS: u64 = 1_000_000_000;
    let seconds = arguments[0] & u64::from(u32::MAX);
    let (before, _) = set(caller, seconds * NS, 0);
    // What is left of a second counts as one.
    Ok(before.div_ceil(NS))
}

/// Which timer a number means: the one of real time, or one of the process's own.
fn which(which: u64) -> Result<Option<Counted>, Errno> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the argument is 32 bits wide"
    )]
    match which as u32 {
        linux::ITIMER_REAL => Ok(None),
        linux::ITIMER_VIRTUAL => Ok(Some(Counted::Virtual)),
        linux::ITIMER_PROF => Ok(Some(Counted::Profiling)),
        _ => Err(Errno::EINVAL),
    }
}

/// setitimer(2).
pub(super) fn setitimer<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    arguments: [u64; 6],
) -> Outcome {
    let [number, new, old, ..] = arguments;
    let counted = which(number)?;
    let space = caller.process.space().clone();
    let (mut interval, mut first) = (0, 0);
    if new != 0 {
        interval = read_timeval(&space, new)?;
        first = read_timeval(&space, new.wrapping_add(16))?;
    }
    if old != 0 {
        getitimer(caller, [number, old, 0, 0, 0, 0])?;
    }
    match counted {
        Some(counted) => cpu_timers::set(caller, counted, first, interval),
        None => {
            set(caller, first, interval);
        }
    }
    Ok(0)
}

/// getitimer(2).
pub(super) fn getitimer<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    arguments: [u64; 6],
) -> Outcome {
    let [number, current, ..] = arguments;
    let (left, interval) = match which(number)? {
        Some(counted) => cpu_timers::read(caller, counted),
        None => read(caller.shared, caller.process.interval_timer.lock().as_ref()),
    };
    let space = caller.process.space();
    write_timeval(space, current, interval)?;
    write_timeval(space, current.wrapping_add(16), left)?;
    Ok(0)
}
