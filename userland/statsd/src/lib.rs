//! The machine's statistics, read once and shown in three ways.
//!
//! - [`Statistics`]: a snapshot, its names in their places; serde makes the JSON of `/stats` of it, and
//!   who reads that gets the same type back.
//! - [`metrics`]: Prometheus' text format.
//! - [`http`]: the requests and answers of the server.
//! - [`server`]: a thread for each of a few clients.
//!
//! Neither of the first three reads a clock or makes a system call.
#![forbid(unsafe_code)]

pub mod http;
pub mod metrics;
pub mod server;
mod statistics;

pub use statistics::{Account, Activity, Core, Counter, Held, Process, Statistics};

/// The page at `/`: one file, with all that it needs.
pub const PAGE: &str = include_str!("page.html");
