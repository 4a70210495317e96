//! Whole-system tests: the kernel in QEMU, seen from the outside.
//!
//! A test describes a [`Machine`], starts it, and waits for lines of the [`RunningMachine`]'s log
//! and for its end, always with a deadline:
//!
//! ```no_run
//! use vortex_tests::{Exit, Machine};
//!
//! let mut machine = Machine::new().smp(4).memory("1G").start();
//! machine.wait_for("vortex: 4 cores up");
//! assert_eq!(machine.wait_for_exit(), Exit::PowerOff);
//! ```
//!
//! What fails, fails by a panic that says where the log is kept. Invariants:
//! - QEMU never outlives the test, however that ends (see [`xtask::process`]);
//! - tests share no file that one of them changes, no port and no name, so they run side by side;
//! - never more guests run than [`slots`] allows, in all test processes together.
#![forbid(unsafe_code)]

pub mod disks;
mod log_file;
mod machine;
pub mod monitored;
pub mod programs;
pub mod root_disk;
mod running;
pub mod sampled;
pub mod slots;

pub use machine::{BootFrom, Machine, parts};
pub use running::{DEADLINE, RunningMachine};
pub use xtask::qemu::{Exit, Line, Machine as Mainboard};
