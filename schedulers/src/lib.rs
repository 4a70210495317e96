//! Scheduling policies for the toolkit's [`Scheduler`](vortex_toolkit::scheduler::Scheduler)
//! interface, one file each; [`policy`] is the table of their dotted names.
//!
//! A policy decides and nothing else: it reads no clock, touches no hardware and never sees a
//! request's content, so the same code runs in the kernel and in the simulator. No policy panics
//! on what the toolkit tells it: calls that name a client which is not registered, or is ready
//! already, change nothing.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod capped;
pub mod edf;
mod few;
pub mod fifo;
mod heap;
pub mod instantiate;
mod lists;
pub mod load_share;
pub mod policy;
pub mod round_robin;
pub mod strict;
pub mod wfq;
mod wheel;

pub use instantiate::{InstantiateError, Instantiated, instantiate};
pub use policy::{Policy, UnknownPolicy};

/// Property tests that run the same cases every time.
#[cfg(test)]
fn same_every_time() -> proptest::test_runner::Config {
    proptest::test_runner::Config {
        rng_seed: proptest::test_runner::RngSeed::Fixed(201_170),
        failure_persistence: None,
        ..Default::default()
    }
}
