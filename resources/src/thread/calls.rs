//! The system calls about threads, waiting and time. Each takes the six arguments as they are in
//! the registers.

use core::sync::atomic::Ordering;

use super::{Attention, attend, unpark};
use super::{affinity, create, end, futex as futexes, itimer, posix_timers as posix, sleep};
use crate::calls::{Caller, Outcome, Verdict};
use crate::errno::Errno;
use crate::machine::Machine;

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident = $function:path;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// As the manual says; or what becomes of the thread.
        pub fn $name<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
            $function(caller, arguments)
        }
    )*};
}

calls! {
    /// clone(2): threads, and what fork(2) and vfork(2) do.
    clone = create::clone_call;
    /// clone3(2).
    clone3 = create::clone3;
    /// exit(2): of the calling thread.
    exit = end::exit;
    /// futex(2).
    futex = futexes::futex;
    /// `sched_setaffinity`(2).
    sched_setaffinity = affinity::set;
    /// `sched_getaffinity`(2).
    sched_getaffinity = affinity::get;
    /// nanosleep(2).
    nanosleep = sleep::nanosleep;
    /// `clock_nanosleep`(2).
    clock_nanosleep = sleep::clock_nanosleep;
    /// pause(2).
    pause = sleep::pause_call;
    /// alarm(2).
    alarm = itimer::alarm;
    /// setitimer(2).
    setitimer = itimer::setitimer;
    /// getitimer(2).
    getitimer = itimer::getitimer;
    /// `timer_create`(2).
    timer_create = posix::create;
    /// `timer_settime`(2).
    timer_settime = posix::set;
    /// `timer_gettime`(2).
    timer_gettime = posix::get;
    /// `timer_getoverrun`(2).
    timer_getoverrun = posix::overrun;
    /// `timer_delete`(2).
    timer_delete = posix::delete;
}

/// gettid(2).
///
/// # Errors
/// None.
pub fn gettid<M: Machine>(caller: &mut Caller<'_, '_, M>, _: [u64; 6]) -> Outcome {
    Ok(u64::from(caller.thread.id()))
}

/// `set_tid_address`(2).
///
/// # Errors
/// None.
pub fn set_tid_address<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let address = &caller.thread.clear_child_tid;
    address.store(arguments[0], Ordering::Relaxed);
    Ok(u64::from(caller.thread.id()))
}

/// Bytes of `struct robust_list_head`.
const ROBUST_HEAD: u64 = 24;

/// `set_robust_list`(2).
///
/// # Errors
/// EINVAL for a length that is not that of the head.
pub fn set_robust_list<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let [head, length, ..] = arguments;
    if length != ROBUST_HEAD {
        return Err(Errno::EINVAL.into());
    }
    caller.thread.robust_list.store(head, Ordering::Relaxed);
    Ok(0)
}

/// `get_robust_list`(2).
///
/// # Errors
/// ESRCH, EPERM, EFAULT.
pub fn get_robust_list<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let [id, head, length, ..] = arguments;
    let thread = affinity::of_process(caller, id)?;
    if !caller.process.may_signal(thread.process()) {
        return Err(Errno::EPERM.into());
    }
    let space = caller.process.space();
    let list = thread.robust_list.load(Ordering::Relaxed);
    space.write(length, &ROBUST_HEAD.to_le_bytes())?;
    space.write(head, &list.to_le_bytes())?;
    Ok(0)
}

/// `sched_yield`(2).
///
/// # Errors
/// Never; the verdict lets others go first.
pub fn sched_yield<M: Machine>(_: &mut Caller<'_, '_, M>, _: [u64; 6]) -> Outcome {
    Err(Verdict::Yield(0))
}

/// The native call suspend (thread number): the thread does not run until it is resumed. One of
/// another process needs the right to signal that.
///
/// # Errors
/// ESRCH, EPERM.
pub fn suspend<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let thread = affinity::of_process(caller, arguments[0])?;
    if !caller.process.may_signal(thread.process()) {
        return Err(Errno::EPERM.into());
    }
    thread.control.lock().is_suspended = true;
    attend(caller.shared, caller.context, &thread, Attention::PARK);
    Ok(0)
}

/// The native call resume (thread number).
///
/// # Errors
/// ESRCH, EPERM.
pub fn resume<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    let thread = affinity::of_process(caller, arguments[0])?;
    if !caller.process.may_signal(thread.process()) {
        return Err(Errno::EPERM.into());
    }
    thread.control.lock().is_suspended = false;
    unpark(caller.context, &thread);
    Ok(0)
}
