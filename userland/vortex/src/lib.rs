//! The native system calls of Vortex, for programs.
//!
//! - [`Snapshot`]: who has used what, where (paper, section 4.1).
//! - [`activity`]: creating activities, what they are to schedulers, suspending them.
//! - [`Spawn`]: starting a program, in an activity, with rights.
//! - [`aio`]: several reads of files at once, as on Linux.
//! - [`nop`]: a request that does nothing, to measure what a request costs.
//!
//! On a kernel that does not have them, every function fails with the error that
//! [`is_unsupported`] recognises.
#![expect(
    unsafe_code,
    reason = "a system call is an instruction that the compiler does not know"
)]

pub mod activity;
pub mod aio;
pub mod cache;
mod snapshot;
pub mod socket;
mod spawn;
mod stub;
pub mod thread;

pub use snapshot::{Scope, Snapshot};
pub use spawn::Spawn;
pub use vortex_abi as abi;

use std::io;

use vortex_abi::calls;

/// Has the Process Resource handle a request that does nothing.
///
/// # Errors
/// Only where the call does not exist.
pub fn nop() -> io::Result<()> {
    // SAFETY: the call takes no address.
    unsafe { stub::call(calls::NOP, [0; 4]) }.map(drop)
}

/// Whether an error says that the kernel is another one than Vortex: `ENOSYS`.
#[must_use]
pub fn is_unsupported(error: &io::Error) -> bool {
    const ENOSYS: i32 = 38;
    error.raw_os_error() == Some(ENOSYS)
}
