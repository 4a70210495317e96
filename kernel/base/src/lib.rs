//! The kernel's pure algorithms: everything boot needs that is not hardware.
//!
//! This is a crate of its own so that all of it is tested on the host. Nothing here reads a clock,
//! a register or memory that it was not handed as a slice.
//!
//! - [`address`]: physical frames and ranges of them.
//! - [`memory_map`]: the boot loader's regions → the frames that are really usable.
//! - [`frames`]: the physical frame allocator.
//! - [`ramdisk`]: the files of the boot ramdisk.
//! - [`options`]: the boot options in the ramdisk's `options` file.
//! - [`symbols`]: from a code address to the name of its function.
//! - [`report`]: words for traps, page faults and sizes.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod address;
pub mod frames;
pub mod memory_map;
pub mod options;
pub mod ramdisk;
pub mod report;
pub mod symbols;
mod text;
