//! The resources of the grid: what a process sees of the kernel (paper, sections 3.2 to 3.4).
//!
//! Everything is generic over [`machine::Machine`]; the kernel gives it the hardware, tests a fake.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(any(test, feature = "fake"))]
extern crate std;

pub mod calls;
pub mod errand;
pub mod errno;
pub mod executable;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod files;
mod lock;
pub mod machine;
pub mod net;
pub mod object;
pub mod process;
pub mod signals;
pub mod space;
pub mod storage;
#[cfg(test)]
mod stories;
pub mod system;
pub mod thread;
mod vector;
