//! The interval timer of a process: alarm(2), setitimer(2) and getitimer(2) with `ITIMER_REAL`.

use alloc::sync::Arc;

use linux_raw_sys::general as linux;
use vortex_toolkit::Context;

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

/// The timer is due.
pub(super) fn expire<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
) {
    let mut timer = process.interval_timer.lock();
    let now = shared.machine.now();
    // Set anew meanwhile: the new one is still to come.
    let Some(current) = *timer else { return };
    if current.key.deadline() > now {
        return;
    }
    *timer = match current.interval_ns {
        0 => None,
        interval_ns => {
            let interval = shared.clock.cycles(interval_ns).max(1);
            let missed = (now - current.key.deadline()) / interval;
            let next = current.key.deadline() + (missed + 1) * interval;
            Some(IntervalTimer {
                key: arm(shared, context, process, next),
                interval_ns,
            })
        }
    };
    drop(timer);
    signals::send(shared, context, process, Signal::ALRM);
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

fn is_real(which: u64) -> Result<(), Errno> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the argument is 32 bits wide"
    )]
    match which as u32 {
        linux::ITIMER_REAL => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

/// setitimer(2).
pub(super) fn setitimer<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    arguments: [u64; 6],
) -> Outcome {
    let [which, new, old, ..] = arguments;
    is_real(which)?;
    let space = caller.process.space().clone();
    let (mut interval, mut first) = (0, 0);
    if new != 0 {
        interval = read_timeval(&space, new)?;
        first = read_timeval(&space, new.wrapping_add(16))?;
    }
    if old != 0 {
        getitimer(caller, [which, old, 0, 0, 0, 0])?;
    }
    // Below a microsecond there is no time in the structure; a timer of one is not "never".
    set(caller, first, interval);
    Ok(0)
}

/// getitimer(2).
pub(super) fn getitimer<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    arguments: [u64; 6],
) -> Outcome {
    let [which, current, ..] = arguments;
    is_real(which)?;
    let (left, interval) = read(caller.shared, caller.process.interval_timer.lock().as_ref());
    let space = caller.process.space();
    write_timeval(space, current, interval)?;
    write_timeval(space, current.wrapping_add(16), left)?;
    Ok(0)
}
