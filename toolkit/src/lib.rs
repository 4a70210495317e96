//! The scheduler toolkit: what makes Vortex an isolation kernel (paper, section 3.1).
//!
//! Resources exchange requests; before every resource stands a [`scheduler`], before every
//! core a CPU multiplexor, which is a scheduler whose clients are schedulers.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod ids;
pub mod record;
pub mod scheduler;
