//! The simulated machine: the toolkit and the schedulers on cores with virtual time.
//!
//! - [`machine`]: cores with clocks of their own, in one thread, the same every time.
//! - [`stress`]: random grids that do everything the toolkit offers, and the [`audit`] that finds
//!   out what it did wrong.
#![forbid(unsafe_code)]

pub mod audit;
pub mod machine;
mod panics;
pub mod stress;

pub use machine::{Interrupts, Machine, Timing, VirtualCore, World};
