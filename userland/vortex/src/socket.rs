//! Sockets, and who pays for them.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use vortex_abi::calls;

use crate::stub;

/// From now on the activity of this number pays for what a socket does, and for the connections that
/// are accepted by it.
///
/// # Errors
/// EPERM without the right to choose activities; there is no such activity; it is no socket.
pub fn assign(socket: BorrowedFd<'_>, activity: u32) -> io::Result<()> {
    let descriptor = u64::from(socket.as_raw_fd().cast_unsigned());
    // SAFETY: the call takes no address.
    unsafe { stub::call(calls::SOCKET_ASSIGN, [descriptor, activity.into(), 0, 0]) }.map(|_| ())
}
