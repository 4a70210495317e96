//! The system calls about signals. Each takes the six arguments as they are in the registers.

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
    /// `rt_sigaction`(2).
    rt_sigaction
    /// `rt_sigprocmask`(2).
    rt_sigprocmask
    /// `rt_sigpending`(2).
    rt_sigpending
    /// `rt_sigsuspend`(2).
    rt_sigsuspend
    /// `rt_sigtimedwait`(2).
    rt_sigtimedwait
    /// `rt_sigqueueinfo`(2).
    rt_sigqueueinfo
    /// `rt_sigreturn`(2).
    rt_sigreturn
    /// sigaltstack(2).
    sigaltstack
    /// tkill(2).
    tkill
    /// tgkill(2).
    tgkill
}
