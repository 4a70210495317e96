//! Calls that tell the time: from the platform's counter, by one multiplication.

use super::argument::{In, Out};
use super::layout::{Rusage, Timespec, Timeval, Timezone, Tms};
use super::{Caller, Outcome};
use crate::errno::Errno;
use crate::machine::Machine;
use crate::process::Consumption;
use crate::system::Clock;

use linux_raw_sys::general;

/// Clock ticks of times(2) in a second (`USER_HZ`).
const TICK_NS: u64 = 10_000_000;

/// What a clock of clock_gettime(2) shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// Time since 1970.
    Real,
    /// Time since boot.
    SinceBoot,
    /// What the process has used.
    Process,
    /// What the thread has used.
    Thread,
    /// What another process has used, or one of its threads: `clock_getcpuclockid`(3).
    Other {
        /// Its number; 0 for the caller's own.
        id: u32,
        /// It is a thread.
        is_thread: bool,
    },
}

/// The clock of a number.
const fn shown(clock: i32) -> Result<Shown, Errno> {
    /// In a negative number: of a thread; and what kind of clock, here as the scheduler counts.
    const THREAD: i32 = 1 << 2;
    const KIND: i32 = 3;
    if clock < 0 {
        // Other kinds would be user time alone, and clocks that are files.
        if clock & KIND == KIND {
            return Err(Errno::EINVAL);
        }
        return Ok(Shown::Other {
            id: (!(clock >> 3)).cast_unsigned(),
            is_thread: clock & THREAD != 0,
        });
    }
    Ok(match clock.cast_unsigned() {
        general::CLOCK_MONOTONIC
        | general::CLOCK_MONOTONIC_RAW
        | general::CLOCK_MONOTONIC_COARSE
        | general::CLOCK_BOOTTIME
        | general::CLOCK_BOOTTIME_ALARM => Shown::SinceBoot,
        general::CLOCK_REALTIME
        | general::CLOCK_REALTIME_COARSE
        | general::CLOCK_REALTIME_ALARM
        | general::CLOCK_TAI => Shown::Real,
        general::CLOCK_PROCESS_CPUTIME_ID => Shown::Process,
        general::CLOCK_THREAD_CPUTIME_ID => Shown::Thread,
        _ => return Err(Errno::EINVAL),
    })
}

/// `clock_gettime`(2).
pub(super) fn clock_gettime<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    clock: i32,
    time: Out<Timespec>,
) -> Outcome {
    let now = caller.shared.machine.now();
    let clocks = &caller.shared.clock;
    let ns = match shown(clock)? {
        Shown::SinceBoot => clocks.nanoseconds(now),
        Shown::Real => clocks.real_time(now),
        Shown::Process => clocks.nanoseconds(caller.process.consumption(now).cycles),
        Shown::Thread => clocks.nanoseconds(caller.thread.consumption(now).cycles),
        Shown::Other { id, is_thread } => clocks.nanoseconds(used(caller, id, is_thread, now)?),
    };
    time.write(caller.process.space(), &Timespec::from_ns(ns))?;
    Ok(0)
}

/// Cycles that another process has used, or another thread of the caller's.
fn used<M: Machine>(
    caller: &Caller<'_, '_, M>,
    id: u32,
    is_thread: bool,
    now: u64,
) -> Result<u64, Errno> {
    let consumption = match (id, is_thread) {
        (0, true) => Some(caller.thread.consumption(now)),
        (0, false) => Some(caller.process.consumption(now)),
        (id, true) => {
            let thread = caller.shared.processes.thread(id);
            let own = thread.filter(|thread| thread.process().id() == caller.process.id());
            own.map(|thread| thread.consumption(now))
        }
        (id, false) => {
            let process = caller.shared.processes.find(id);
            process.map(|process| process.consumption(now))
        }
    };
    consumption.map(|used| used.cycles).ok_or(Errno::EINVAL)
}

/// `clock_getres`(2).
pub(super) fn clock_getres<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    clock: i32,
    resolution: Option<Out<Timespec>>,
) -> Outcome {
    if let Shown::Other { id, is_thread } = shown(clock)? {
        used(caller, id, is_thread, 0)?;
    }
    if let Some(resolution) = resolution {
        resolution.write(caller.process.space(), &Timespec::from_ns(1))?;
    }
    Ok(0)
}

/// `clock_settime`(2): nobody may.
pub(super) fn clock_settime<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    clock: i32,
    time: In<Timespec>,
) -> Outcome {
    if clock.cast_unsigned() != general::CLOCK_REALTIME {
        shown(clock)?;
        return Err(Errno::EINVAL.into());
    }
    let time = time.read(caller.process.space())?;
    time.to_ns().ok_or(Errno::EINVAL)?;
    Err(Errno::EPERM.into())
}

/// gettimeofday(2).
pub(super) fn gettimeofday<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    time: Option<Out<Timeval>>,
    zone: Option<Out<Timezone>>,
) -> Outcome {
    let space = caller.process.space();
    if let Some(time) = time {
        let now = caller.shared.clock.real_time(caller.shared.machine.now());
        time.write(space, &Timeval::from_ns(now))?;
    }
    if let Some(zone) = zone {
        let universal = Timezone {
            minutes_west: 0,
            daylight_saving: 0,
        };
        zone.write(space, &universal)?;
    }
    Ok(0)
}

/// settimeofday(2): nobody may.
pub(super) fn settimeofday<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    time: Option<In<Timeval>>,
    zone: Option<In<Timezone>>,
) -> Outcome {
    let space = caller.process.space();
    if let Some(time) = time {
        let time = time.read(space)?;
        if !(0..=1_000_000).contains(&time.microseconds) {
            return Err(Errno::EINVAL.into());
        }
    }
    if let Some(zone) = zone {
        zone.read(space)?;
    }
    Err(Errno::EPERM.into())
}

/// time(2).
pub(super) fn time<M: Machine>(caller: &mut Caller<'_, '_, M>, time: Option<Out<i64>>) -> Outcome {
    let now = caller.shared.clock.real_time(caller.shared.machine.now());
    let seconds = Timespec::from_ns(now).seconds;
    if let Some(time) = time {
        time.write(caller.process.space(), &seconds)?;
    }
    Ok(seconds.cast_unsigned())
}

/// times(2). What a process uses in calls is not told from what it uses in user mode.
pub(super) fn times<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    times: Option<Out<Tms>>,
) -> Outcome {
    let now = caller.shared.machine.now();
    let clock = &caller.shared.clock;
    let ticks = |cycles| clock.nanoseconds(cycles) / TICK_NS;
    if let Some(times) = times {
        let tms = Tms {
            user: ticks(caller.process.consumption(now).cycles).cast_signed(),
            system: 0,
            children_user: ticks(caller.process.children_consumption().cycles).cast_signed(),
            children_system: 0,
        };
        times.write(caller.process.space(), &tms)?;
    }
    Ok(ticks(now))
}

/// getrusage(2).
pub(super) fn getrusage<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    who: i32,
    usage: Out<Rusage>,
) -> Outcome {
    const SELF: i32 = general::RUSAGE_SELF.cast_signed();
    const THREAD: i32 = general::RUSAGE_THREAD.cast_signed();
    const CHILDREN: i32 = general::RUSAGE_CHILDREN;
    let now = caller.shared.machine.now();
    let consumption = match who {
        SELF => caller.process.consumption(now),
        THREAD => caller.thread.consumption(now),
        CHILDREN => caller.process.children_consumption(),
        _ => return Err(Errno::EINVAL.into()),
    };
    let resident = match who {
        CHILDREN => 0,
        _ => caller.process.space().usage().0,
    };
    let encoded = rusage(&consumption, resident, &caller.shared.clock);
    usage.write(caller.process.space(), &encoded)?;
    Ok(0)
}

/// As `struct rusage`, with so many resident pages.
pub(crate) fn rusage(consumption: &Consumption, resident: u64, clock: &Clock) -> Rusage {
    let none = Timeval::from_ns(0);
    Rusage {
        user: Timeval::from_ns(clock.nanoseconds(consumption.cycles)),
        system: none,
        max_resident: (resident * 4).cast_signed(),
        shared_text: 0,
        unshared_data: 0,
        unshared_stack: 0,
        minor_faults: consumption.minor_faults.cast_signed(),
        major_faults: consumption.major_faults.cast_signed(),
        swaps: 0,
        blocks_in: 0,
        blocks_out: 0,
        messages_sent: 0,
        messages_received: 0,
        signals: 0,
        voluntary_switches: consumption.voluntary_switches.cast_signed(),
        involuntary_switches: consumption.involuntary_switches.cast_signed(),
    }
}
