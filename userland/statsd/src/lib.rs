//! The machine's statistics, read once and shown in three ways.
//!
//! - [`Statistics`]: a snapshot, its names in their places; serde makes the JSON of `/stats` of it, and
//!   who reads that gets the same type back.
//! - [`metrics`]: Prometheus' text format.
//! - [`control`]: what can be changed while the system runs, and [`Token`], the secret for it.
//! - [`http`]: the requests and answers of the server.
//! - [`server`]: a thread for each of a few clients.
//!
//! Statistics, their texts, requests and answers read no clock and make no system call.
#![forbid(unsafe_code)]

pub mod control;
pub mod http;
pub mod metrics;
pub mod server;
mod statistics;
mod token;

pub use statistics::{Account, Activity, Core, Counter, Held, Process, Statistics};
pub use token::{NoToken, Token};

/// The page at `/`: one file, with all that it needs.
pub const PAGE: &str = include_str!("page.html");
