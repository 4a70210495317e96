//! The scheduler configuration of Vortex: one XML file into typed, checked values.
//!
//! Section 3.1.2 of the paper describes the file and shows one (figure 6); the README of this crate
//! documents every element. The kernel reads the file at boot and `cargo xtask config check` reads
//! it on the host, with this same code.
//!
//! - [`load`]: from the bytes of a file to all of the below, or to a [`Report`] of its faults.
//! - [`Configuration`]: what the file says, one type per element.
//! - [`Plan`]: what is to be built, every name resolved and every default filled in.
//! - [`Known`]: the algorithms, resources and cores that a file may refer to.
//!
//! ```
//! use vortex_sched_config::{Configuration, Known, load};
//!
//! let known = Known::standard(2);
//! let file = include_bytes!("../examples/figure-6.xml");
//! let plan = match load(file, &known) {
//!     Ok(loaded) => loaded.plan,
//!     Err(report) => {
//!         eprintln!("{report}the built-in configuration is used");
//!         Configuration::builtin(2).plan(&known).expect("it has no faults")
//!     }
//! };
//! assert_eq!(plan.cores.len(), 2);
//! assert_eq!(plan.schedulers[0].resource.as_deref(), Some("resource.tcp"));
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod builtin;
mod check;
mod config;
mod finding;
mod graph;
mod known;
mod load;
mod plan;
mod read;
mod scan;
pub mod schema;
mod structure;
mod syntax;
pub mod value;

pub use config::{
    Activity, Client, Configuration, CpuBudget, INFRASTRUCTURE, LoadSharing, Multiplexor, Network,
    Parent, Process, Scheduler, Variable,
};
pub use finding::{Finding, Kind, Location, Place, Report};
pub use known::{ALGORITHMS, Algorithm, Known, RESOURCES, Resource, Takes};
pub use load::{Loaded, load, load_within, parse};
pub use plan::{
    ActivityIndex, ActivityPlan, Asker, Asks, Budget, CorePlan, Instance, LoadSharingPlan,
    Parameters, Plan, ProcessPlan, SchedulerIndex, SchedulerPlan,
};
pub use scan::Limits;
