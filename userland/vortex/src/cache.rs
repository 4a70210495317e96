//! The file cache.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use vortex_abi::calls;

use crate::stub;

/// Has the file cache give back the pages of `file` that are clean and not mapped; how many.
///
/// # Errors
/// It is no file of a disk.
pub fn evict(file: BorrowedFd<'_>) -> io::Result<u64> {
    call(file.as_raw_fd())
}

/// As [`evict`], of all files: the pages that the caller's activity has brought in.
///
/// # Errors
/// None on Vortex.
pub fn evict_all() -> io::Result<u64> {
    call(calls::EVERY_FILE)
}

fn call(descriptor: i32) -> io::Result<u64> {
    // SAFETY: the call takes no address.
    unsafe { stub::call(calls::CACHE_EVICT, [u64::from(descriptor as u32), 0, 0, 0]) }
}
