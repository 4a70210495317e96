//! The scheduler toolkit: what makes Vortex an isolation kernel (paper, section 3.1).
//!
//! Resources exchange [`Request`]s. Before every resource stands a [`scheduler`], before every core
//! a CPU multiplexor, which is a scheduler whose clients are schedulers. The toolkit keeps a queue
//! for each resource, activity and core, asks the schedulers whom to serve, lets the [`Resources`]
//! execute one request to completion, and books what it used.
//!
//! - [`Builder`] makes a [`Grid`]: what all cores share.
//! - [`Core`] is one core's part; nobody else touches it. [`Core::step`] is the whole loop.
//! - [`Context`] is what a resource sees while it handles a request.
//! - [`Platform`] is what the toolkit needs of the machine.
//!
//! Invariants: a request sent is executed exactly once or handed back with a [`Reason`]; requests
//! with one dependency label start in the order sent; every cycle of every core is in one account
//! or in one column of the core's [`statistics::Ledger`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod activity_map;
mod binding;
mod context;
mod core;
mod envelope;
mod governor;
mod grid;
pub mod ids;
pub mod memory;
mod migration;
pub mod record;
mod request;
pub mod scheduler;
mod slab;
mod span;
pub mod statistics;
mod sync;
mod system;
mod task;
mod tree;
mod waiting;
mod waker;

pub use self::core::{Core, Step};
pub use context::Context;
pub use envelope::{Control, NewPolicy};
pub use grid::{
    AccountReading, Ask, Asker, Builder, Grid, Parent, SchedulerId, SchedulerSpec, Seed, Snapshot,
};
pub use request::{Head, Message, Reason, Request, Trigger};
pub use system::{Outcome, Platform, PolicyPanicked, Resources, System};
pub use task::{Answer, Port, Task};
