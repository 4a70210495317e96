//! Timers as files: `timerfd_create`(2), `timerfd_settime`(2), `timerfd_gettime`(2).

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use core::any::Any;

use linux_raw_sys::general as linux;

use super::argument::{Fd, Flags, In, Out};
use super::layout::{Itimerspec, Timespec};
use super::{Caller, Outcome, Verdict};
use crate::errno::Errno;
use crate::files::{Alarms, OpenFile, Opened, Setting, Timer};
use crate::machine::Machine;
use crate::system::{Clock, Shared};
use crate::thread::timers::{Alarm, TimerKey};

/// The timers of all cores.
struct Cores<M: Machine>(Weak<Shared<M>>);

impl<M: Machine> core::fmt::Debug for Cores<M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Cores")
    }
}

/// An alarm that is cancelled when this is dropped.
struct Armed<M: Machine> {
    shared: Weak<Shared<M>>,
    key: TimerKey,
}

impl<M: Machine> Drop for Armed<M> {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.cancel_timer(self.key);
        }
    }
}

impl<M: Machine> Alarms for Cores<M> {
    fn now(&self) -> u64 {
        self.0.upgrade().map_or(0, |shared| shared.machine.now())
    }

    fn arm(&self, timer: &Arc<Timer>, at: u64) -> Box<dyn Any + Send> {
        let Some(shared) = self.0.upgrade() else {
            return Box::new(());
        };
        let timers = shared.timers(shared.machine.here());
        let key = timers.add(at, Alarm::File(Arc::downgrade(timer)));
        let shared = self.0.clone();
        Box::new(Armed { shared, key })
    }
}

/// `timerfd_create`(2).
pub(super) fn timerfd_create<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    clock: i32,
    flags: Flags,
) -> Outcome {
    let is_real = match clock.cast_unsigned() {
        linux::CLOCK_REALTIME | linux::CLOCK_REALTIME_ALARM => true,
        linux::CLOCK_MONOTONIC | linux::CLOCK_BOOTTIME | linux::CLOCK_BOOTTIME_ALARM => false,
        _ => return Err(Errno::EINVAL.into()),
    };
    if flags.0 & !(linux::TFD_CLOEXEC | linux::TFD_NONBLOCK) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let timer = Timer::new(Box::new(Cores(Arc::downgrade(caller.shared))), is_real);
    let closes = flags.0 & linux::TFD_CLOEXEC != 0;
    let status = flags.0 & linux::TFD_NONBLOCK;
    super::epoll::open(caller, Opened::Timer(timer), status, closes)
}

fn find<M: Machine>(caller: &Caller<'_, '_, M>, fd: Fd) -> Result<Arc<OpenFile>, Verdict> {
    let file = caller.process.descriptors().lock().get(fd.0)?;
    match &file.opened {
        Opened::Timer(_) => Ok(file),
        Opened::Place => Err(Errno::EBADF.into()),
        _ => Err(Errno::EINVAL.into()),
    }
}

fn told(setting: Setting, clock: &Clock) -> Itimerspec {
    Itimerspec {
        interval: Timespec::from_ns(clock.nanoseconds(setting.interval)),
        // One that is to ring has a time.
        value: Timespec::from_ns(match setting.left {
            0 => 0,
            left => clock.nanoseconds(left).max(1),
        }),
    }
}

/// `timerfd_settime`(2). The clock is never set, so nothing is cancelled when it is.
pub(super) fn timerfd_settime<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    fd: Fd,
    flags: Flags,
    new: In<Itimerspec>,
    old: Option<Out<Itimerspec>>,
) -> Outcome {
    let space = caller.process.space();
    let new = new.read(space)?;
    if flags.0 & !(linux::TFD_TIMER_ABSTIME | linux::TFD_TIMER_CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (value, interval) = (new.value.to_ns(), new.interval.to_ns());
    let (value, interval) = value.zip(interval).ok_or(Errno::EINVAL)?;
    let file = find(caller, fd)?;
    let Opened::Timer(timer) = &file.opened else {
        return Err(Errno::EINVAL.into());
    };
    if let Some(old) = old {
        // The place first: what is set is not taken back.
        old.write(space, &told(Setting::default(), &caller.shared.clock))?;
    }
    let clock = &caller.shared.clock;
    let deadline = match flags.0 & linux::TFD_TIMER_ABSTIME {
        0 => caller
            .shared
            .machine
            .now()
            .saturating_add(clock.cycles(value)),
        _ if timer.is_real() => clock.at_real_time(value),
        _ => clock.cycles(value),
    };
    let before = timer.set((value > 0).then_some(deadline), clock.cycles(interval));
    if let Some(old) = old {
        old.write(space, &told(before, clock))?;
    }
    Ok(0)
}

/// `timerfd_gettime`(2).
pub(super) fn timerfd_gettime<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    fd: Fd,
    current: Out<Itimerspec>,
) -> Outcome {
    let file = find(caller, fd)?;
    let Opened::Timer(timer) = &file.opened else {
        return Err(Errno::EINVAL.into());
    };
    let now = told(timer.setting(), &caller.shared.clock);
    current.write(caller.process.space(), &now)?;
    Ok(0)
}
