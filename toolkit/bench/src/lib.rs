//! What a request costs, and what comparable operations of other libraries cost beside it.
//!
//! A [`Workload`] is one row of the table: it knows how to set itself up and how to perform its
//! operation `n` times. The same workload is run by criterion (`benches/`), which gives
//! nanoseconds, and under callgrind, which gives exact counts ([`counts`]): instructions, locked
//! operations and allocations. [`report`] joins the two and compares them with the targets.
#![forbid(unsafe_code)]

pub mod calibration;
pub mod callgrind;
pub mod comparators;
pub mod counts;
pub mod locked;
mod machine;
pub mod parts;
pub mod report;
pub mod time;
pub mod toolkit;
pub mod workload;

pub use workload::{Workload, all, find};
