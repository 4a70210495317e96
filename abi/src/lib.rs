//! Vortex's native system calls: what kernel and programs must agree on besides Linux's interface.
//!
//! - [`calls`]: the numbers, and what each takes and gives.
//! - [`rights`]: what a process may be allowed.
//! - [`SpawnArguments`]: what a process is started with.
//! - [`snapshot`]: the statistics that one call returns (paper, section 4.1).
//!
//! Everything is 64-bit little-endian words, so structures have no padding and C sees the same.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod calls;
mod name;
mod record;
pub mod rights;
pub mod snapshot;

pub use name::Name;
pub use record::{Record, TooShort};

record::record! {
    /// What [`calls::SPAWN`] takes: where the program and its arguments are, and whose it will be.
    pub struct SpawnArguments {
        /// Address of the path, ending with a zero byte.
        pub path: u64,
        /// Address of the argument vector: addresses of strings, ending with 0.
        pub arguments: u64,
        /// Address of the environment: addresses of strings, ending with 0.
        pub environment: u64,
        /// The activity's number; [`INHERIT`] for the caller's. Another one needs
        /// [`rights::ACTIVITIES`].
        pub activity: u64,
        /// The rights it gets, none that the caller has not: see [`rights`].
        pub rights: u64,
        /// The caller's descriptor that becomes its standard input; [`INHERIT`] for the same
        /// number.
        pub stdin: u64,
        /// The same for its standard output.
        pub stdout: u64,
        /// The same for its standard error.
        pub stderr: u64,
    }
}

/// In [`SpawnArguments`]: as the caller has it.
pub const INHERIT: u64 = u64::MAX;
