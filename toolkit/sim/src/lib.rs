//! The simulated machine: the toolkit and the schedulers on cores with virtual time.
//!
//! - [`machine`]: cores with clocks of their own, in one thread, the same every time.
//! - [`Simulation`]: a machine under a [`workload`]; [`readings`] says what came out.
//! - [`experiment`]: the grid of a configuration file under a workload known by name.
//! - [`conformance`]: the suite that every scheduler must pass.
//! - [`threads`]: the toolkit on real threads.
//! - [`stress`]: random grids that do everything the toolkit offers, and the [`audit`] that finds
//!   out what it did wrong.
#![forbid(unsafe_code)]

pub mod audit;
pub mod conformance;
pub mod experiment;
pub mod machine;
mod panics;
pub mod readings;
pub mod simulation;
pub mod stress;
pub mod threads;
mod trace;
pub mod workload;

pub use machine::{Interrupts, Machine, Timing, VirtualCore, World};
pub use simulation::Simulation;

/// The worked examples of `docs/`, compiled and run with the other examples.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../../../docs/writing-a-scheduler.md")]
    mod scheduler {}
    #[doc = include_str!("../../../docs/writing-a-resource.md")]
    mod resource {}
}
