//! Suspending and resuming threads of one's own process.

use std::io;

use vortex_abi::calls;

use crate::stub;

/// The thread gets no more processor time until it is resumed.
///
/// # Errors
/// There is no such thread in this process, or it is the caller.
pub fn suspend(thread: u32) -> io::Result<()> {
    // SAFETY: the call takes no address.
    unsafe { stub::call(calls::THREAD_SUSPEND, [thread.into(), 0, 0, 0]) }.map(drop)
}

/// Undoes [`suspend`].
///
/// # Errors
/// There is no such thread in this process.
pub fn resume(thread: u32) -> io::Result<()> {
    // SAFETY: the call takes no address.
    unsafe { stub::call(calls::THREAD_RESUME, [thread.into(), 0, 0, 0]) }.map(drop)
}
