//! The system calls about processes. Each takes the six arguments as they are in the registers.

use crate::calls::{Caller, Outcome};
use crate::machine::Machine;
use crate::process::Spawn;

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        pub fn $name<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
            unimplemented!()
        }
    )*};
}

calls! {
    /// getpid(2).
    getpid
    /// getppid(2).
    getppid
    /// fork(2).
    fork
    /// vfork(2).
    vfork
    /// execve(2).
    execve
    /// exit_group(2).
    exit_group
    /// wait4(2).
    wait4
    /// waitid(2).
    waitid
    /// kill(2).
    kill
    /// getpgid(2).
    getpgid
    /// getpgrp(2).
    getpgrp
    /// setpgid(2).
    setpgid
    /// getsid(2).
    getsid
    /// setsid(2).
    setsid
}

/// Starts a process for the caller, who then has its number, or an error: the native call `spawn`.
/// Activity and rights are as in `spawn` if the caller may do so, else EPERM.
pub fn spawn<M: Machine>(caller: &mut Caller<'_, '_, M>, spawn: Spawn<M>) -> Outcome {
    unimplemented!()
}

/// Moves a process to another activity: the native call (pid or 0 for the caller, activity).
pub fn move_to<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    unimplemented!()
}
