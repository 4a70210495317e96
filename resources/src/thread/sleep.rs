//! Sleeping: nanosleep(2), `clock_nanosleep`(2), pause(2).

use linux_raw_sys::general as linux;

use super::memory::Timespec;
use super::{Interruption, Thread, wait};
use crate::calls::{Caller, Outcome, Verdict};
use crate::errno::Errno;
use crate::machine::Machine;
use crate::system::Shared;

/// The deadline, in cycles, of a time in nanoseconds from now on; that of the first attempt, if the
/// call is made again after it was interrupted.
pub(crate) fn relative<M: Machine>(caller: &Caller<'_, '_, M>, nanoseconds: u64) -> u64 {
    caller.thread.kept.deadline().unwrap_or_else(|| {
        let length = caller.shared.clock.cycles(nanoseconds);
        caller.shared.machine.now().saturating_add(length)
    })
}

/// nanosleep(2).
pub(super) fn nanosleep<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    arguments: [u64; 6],
) -> Outcome {
    let [request, remain, ..] = arguments;
    sleep_for(caller, request, remain)
}

/// `clock_nanosleep`(2).
pub(super) fn clock_nanosleep<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    arguments: [u64; 6],
) -> Outcome {
    let [clock, flags, request, remain, ..] = arguments;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the arguments are 32 bits wide"
    )]
    let (clock, flags) = (clock as u32, flags as u32);
    let real_time = match clock {
        linux::CLOCK_REALTIME | linux::CLOCK_TAI => true,
        linux::CLOCK_MONOTONIC | linux::CLOCK_BOOTTIME => false,
        linux::CLOCK_PROCESS_CPUTIME_ID => return Err(Errno::EOPNOTSUPP.into()),
        _ => return Err(Errno::EINVAL.into()),
    };
    if flags & linux::TIMER_ABSTIME == 0 {
        return sleep_for(caller, request, remain);
    }
    let time = Timespec::read(caller.process.space(), request)?.nanoseconds()?;
    let deadline = match real_time {
        true => caller.shared.clock.at_real_time(time),
        false => caller.shared.clock.cycles(time),
    };
    sleep_until(caller, deadline)
}

fn sleep_for<M: Machine>(caller: &mut Caller<'_, '_, M>, request: u64, remain: u64) -> Outcome {
    let time = Timespec::read(caller.process.space(), request)?.nanoseconds()?;
    let deadline = relative(caller, time);
    let verdict = sleep_until(caller, deadline);
    caller.thread.set_remain(remain);
    verdict
}

fn sleep_until<M: Machine>(caller: &mut Caller<'_, '_, M>, deadline: u64) -> Outcome {
    if deadline <= caller.shared.machine.now() {
        return Ok(0);
    }
    wait::block(caller, Interruption::Fail, Some((deadline, Ok(0))));
    Err(Verdict::Blocked)
}

/// pause(2).
pub(super) fn pause_call<M: Machine>(caller: &mut Caller<'_, '_, M>, _: [u64; 6]) -> Outcome {
    wait::block(caller, Interruption::Fail, None);
    Err(Verdict::Blocked)
}

/// Writes what is left of a sleep that a handler has ended, if that can be written.
pub(crate) fn write_remaining<M: Machine>(
    shared: &Shared<M>,
    thread: &Thread<M>,
    until: u64,
    address: u64,
) {
    let left = until.saturating_sub(shared.machine.now());
    let time = Timespec::of(shared.clock.nanoseconds(left));
    if let Err(error) = time.write(thread.process().space(), address) {
        log::debug!("thread {}: what is left of a sleep: {error:?}", thread.id());
    }
}
