//! POSIX timers: `timer_create`(2) and its kin, on the clocks of real time.
//!
//! Key types: [`PosixTimers`]. A timer that has an interval begins anew when its signal is taken, in
//! the time of the one who takes it; how often it was due meanwhile is its overrun.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use linux_raw_sys::general as linux;
use vortex_toolkit::Context;

use super::itimer::{UNSEEN_NS, next};
use super::memory::{Timespec, read_words};
use super::timers::{Alarm, TimerKey};
use crate::calls::{Caller, Outcome};
use crate::errno::Errno;
use crate::machine::Machine;
use crate::process::Process;
use crate::signals::{Cause, Info, Signal, send_info, send_to_thread};
use crate::system::{Shared, Vortex};

/// How many a process may have.
const MOST: usize = 256;
/// Bytes of `struct sigevent`.
pub(crate) const EVENT_SIZE: usize = 64;

/// Who is told that a timer is due.
#[derive(Clone, Copy, Debug)]
enum Told {
    Nobody,
    Process(Signal),
    Thread(Signal, u32),
}

/// One timer.
#[derive(Debug)]
struct Timer {
    /// It counts from 1970, not from the start of the machine.
    real_time: bool,
    told: Told,
    value: u64,
    /// When it is, or was, due; and the cycles from one time to the next, 0 for once.
    armed: Option<(TimerKey, u64)>,
    overrun: u32,
}

/// A process's timers by number.
#[derive(Debug)]
pub(crate) struct PosixTimers {
    timers: BTreeMap<u32, Timer>,
    next: u32,
}

impl PosixTimers {
    pub(crate) const fn new() -> Self {
        Self {
            timers: BTreeMap::new(),
            next: 0,
        }
    }

    fn get(&mut self, number: u64) -> Result<&mut Timer, Errno> {
        // The argument is 32 bits wide.
        self.timers.get_mut(&(number as u32)).ok_or(Errno::EINVAL)
    }
}

/// Arms a timer, here.
fn arm<M: Machine>(
    shared: &Shared<M>,
    context: &Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
    number: u32,
    deadline: u64,
) -> TimerKey {
    let alarm = Alarm::Posix(Arc::downgrade(process), number);
    shared.timers(context.core()).add(deadline, alarm)
}

/// A timer is due.
pub(super) fn expire<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
    number: u32,
) {
    let now = shared.machine.now();
    let mut timers = process.posix_timers.lock();
    let Some(timer) = timers.timers.get_mut(&number) else {
        return;
    };
    // Set anew meanwhile: the new one is still to come.
    let is_due = timer.armed.is_some_and(|(key, _)| key.deadline() <= now);
    if !is_due {
        return;
    }
    timer.overrun = 0;
    timer.armed.take_if(|(_, interval)| *interval == 0);
    let (told, cause) = (timer.told, Cause::Timer(number, 0, timer.value));
    drop(timers);
    let is_seen = match told {
        Told::Nobody => false,
        Told::Process(signal) => send_info(shared, context, process, Info::timer(signal, cause)),
        Told::Thread(signal, thread) => process.thread(thread).is_some_and(|thread| {
            send_to_thread(shared, context, &thread, Info::timer(signal, cause))
        }),
    };
    if !is_seen {
        begin_anew(
            shared,
            context,
            process,
            number,
            shared.clock.cycles(UNSEEN_NS),
        );
    }
}

/// A timer's signal has been taken: its overrun.
pub(super) fn taken<M: Machine>(
    shared: &Shared<M>,
    context: &Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
    number: u32,
) -> u32 {
    begin_anew(shared, context, process, number, 0)
}

/// A timer that was due is armed again for the next time, at least so many cycles from now.
fn begin_anew<M: Machine>(
    shared: &Shared<M>,
    context: &Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
    number: u32,
    pause: u64,
) -> u32 {
    let now = shared.machine.now();
    let mut timers = process.posix_timers.lock();
    let Some(timer) = timers.timers.get_mut(&number) else {
        return 0;
    };
    if let Some((key, interval)) = timer.armed
        && key.deadline() <= now
    {
        let (deadline, missed) = next(key.deadline(), interval, now + pause);
        timer.armed = Some((arm(shared, context, process, number, deadline), interval));
        timer.overrun = i32::try_from(missed).unwrap_or(i32::MAX).unsigned_abs();
    }
    timer.overrun
}

/// The process ends, or runs another program: its timers go.
pub(crate) fn delete_all<M: Machine>(shared: &Shared<M>, process: &Process<M>) {
    let timers = core::mem::take(&mut process.posix_timers.lock().timers);
    for (key, _) in timers.into_values().filter_map(|timer| timer.armed) {
        shared.cancel_timer(key);
    }
}

/// Whether a clock is that of real time; or why there are no timers on it.
fn is_real_time(clock: u64) -> Result<bool, Errno> {
    // The argument is 32 bits wide.
    match clock as u32 {
        linux::CLOCK_REALTIME | linux::CLOCK_TAI | linux::CLOCK_REALTIME_ALARM => Ok(true),
        linux::CLOCK_MONOTONIC | linux::CLOCK_BOOTTIME | linux::CLOCK_BOOTTIME_ALARM => Ok(false),
        linux::CLOCK_PROCESS_CPUTIME_ID
        | linux::CLOCK_THREAD_CPUTIME_ID
        | linux::CLOCK_MONOTONIC_RAW
        | linux::CLOCK_MONOTONIC_COARSE
        | linux::CLOCK_REALTIME_COARSE => Err(Errno::EOPNOTSUPP),
        _ => Err(Errno::EINVAL),
    }
}

/// Who is told, and the value, as `struct sigevent` says it.
fn event<M: Machine>(
    caller: &Caller<'_, '_, M>,
    address: u64,
    number: u32,
) -> Result<(Told, u64), crate::calls::Verdict> {
    if address == 0 {
        return Ok((Told::Process(Signal::ALRM), number.into()));
    }
    let words: [u64; EVENT_SIZE / 8] = read_words(caller.process.space(), address)?;
    let [value, how, thread, ..] = words;
    let signal = Signal::new(how & u64::from(u32::MAX)).ok_or(Errno::EINVAL);
    let told = match (how >> 32) as u32 {
        linux::SIGEV_NONE => Told::Nobody,
        linux::SIGEV_SIGNAL | linux::SIGEV_THREAD => Told::Process(signal?),
        linux::SIGEV_THREAD_ID => {
            // The member is 32 bits wide.
            let thread = caller.process.thread(thread as u32).ok_or(Errno::EINVAL)?;
            Told::Thread(signal?, thread.id())
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    Ok((told, value))
}

/// `timer_create`(2), without the clocks of processor time.
pub(super) fn create<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let [clock, address, number_at, ..] = arguments;
    let real_time = is_real_time(clock)?;
    let mut timers = caller.process.posix_timers.lock();
    if timers.timers.len() >= MOST {
        return Err(Errno::EAGAIN.into());
    }
    let mut number = timers.next;
    while timers.timers.contains_key(&number) {
        number = (number + 1) & i32::MAX.unsigned_abs();
    }
    let (told, value) = event(caller, address, number)?;
    let space = caller.process.space();
    space.write(number_at, &number.to_le_bytes())?;
    timers.next = (number + 1) & i32::MAX.unsigned_abs();
    let timer = Timer {
        real_time,
        told,
        value,
        armed: None,
        overrun: 0,
    };
    timers.timers.insert(number, timer);
    Ok(0)
}

impl Timer {
    /// What is left up to the next time, and the interval, in nanoseconds.
    fn read<M: Machine>(&self, shared: &Shared<M>) -> [u64; 2] {
        let now = shared.machine.now();
        self.armed.map_or([0, 0], |(key, interval)| {
            let left = key.deadline().saturating_sub(now);
            // One that is armed is not read as one that is not.
            let left = shared.clock.nanoseconds(left).max(1);
            [left, shared.clock.nanoseconds(interval)]
        })
    }
}

/// Writes `struct itimerspec`.
fn write<M: Machine>(
    caller: &Caller<'_, '_, M>,
    address: u64,
    [left, interval]: [u64; 2],
) -> Outcome {
    let space = caller.process.space();
    Timespec::of(interval).write(space, address)?;
    Timespec::of(left).write(space, address.wrapping_add(16))?;
    Ok(0)
}

/// `timer_settime`(2).
pub(super) fn set<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let [number, flags, new, old, ..] = arguments;
    if new == 0 {
        return Err(Errno::EINVAL.into());
    }
    let (shared, process) = (caller.shared, caller.process);
    let interval = Timespec::read(process.space(), new)?;
    let first = Timespec::read(process.space(), new.wrapping_add(16))?;
    let (interval, first) = (interval.nanoseconds()?, first.nanoseconds()?);
    let mut timers = process.posix_timers.lock();
    let timer = timers.get(number)?;
    let before = timer.read(shared);
    if let Some((key, _)) = timer.armed.take() {
        shared.cancel_timer(key);
    }
    timer.overrun = 0;
    if first > 0 {
        let clock = &shared.clock;
        let is_absolute = flags & u64::from(linux::TIMER_ABSTIME) != 0;
        let deadline = match (is_absolute, timer.real_time) {
            (false, _) => shared.machine.now().saturating_add(clock.cycles(first)),
            (true, true) => clock.at_real_time(first),
            (true, false) => clock.cycles(first),
        };
        // The argument is 32 bits wide.
        let key = arm(shared, caller.context, process, number as u32, deadline);
        timer.armed = Some((key, clock.cycles(interval)));
    }
    drop(timers);
    match old {
        0 => Ok(0),
        old => write(caller, old, before),
    }
}

/// `timer_gettime`(2).
pub(super) fn get<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let [number, current, ..] = arguments;
    let read = caller
        .process
        .posix_timers
        .lock()
        .get(number)?
        .read(caller.shared);
    write(caller, current, read)
}

/// `timer_getoverrun`(2).
pub(super) fn overrun<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let overrun = caller
        .process
        .posix_timers
        .lock()
        .get(arguments[0])?
        .overrun;
    Ok(overrun.into())
}

/// `timer_delete`(2).
pub(super) fn delete<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let mut timers = caller.process.posix_timers.lock();
    // The argument is 32 bits wide.
    let removed = timers.timers.remove(&(arguments[0] as u32));
    drop(timers);
    if let Some((key, _)) = removed.ok_or(Errno::EINVAL)?.armed {
        caller.shared.cancel_timer(key);
    }
    Ok(0)
}
