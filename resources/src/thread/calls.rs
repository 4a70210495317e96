//! The system calls about threads, waiting and time. Each takes the six arguments as they are in
//! the registers.

use crate::calls::{Caller, Outcome};
use crate::machine::Machine;

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        pub fn $name<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
            unimplemented!()
        }
    )*};
}

calls! {
    /// clone(2).
    clone
    /// clone3(2).
    clone3
    /// exit(2): of the calling thread.
    exit
    /// gettid(2).
    gettid
    /// `set_tid_address`(2).
    set_tid_address
    /// `set_robust_list`(2).
    set_robust_list
    /// `get_robust_list`(2).
    get_robust_list
    /// futex(2).
    futex
    /// `sched_yield`(2).
    sched_yield
    /// `sched_setaffinity`(2).
    sched_setaffinity
    /// `sched_getaffinity`(2).
    sched_getaffinity
    /// nanosleep(2).
    nanosleep
    /// `clock_nanosleep`(2).
    clock_nanosleep
    /// pause(2).
    pause
    /// alarm(2).
    alarm
    /// setitimer(2): `ITIMER_REAL`.
    setitimer
    /// getitimer(2): `ITIMER_REAL`.
    getitimer
    /// The native call suspend (thread number): the thread does not run until resumed.
    suspend
    /// The native call resume (thread number).
    resume
}
