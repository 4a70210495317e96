//! The kernel's checks of itself on the real machine, each behind `selftest=…`: what host tests
//! cannot show. Each prints `selftest NAME: ok` or panics with what is wrong.

mod disk;
mod grid;
mod ipi;
mod net;
mod page_tables;
mod timer;
mod tlb;
mod user;

use vortex_hal::{clock, logging};
use vortex_kernel_base::options::SelfTests;
use vortex_kernel_base::ramdisk::Ramdisk;

use self::grid::SelfTest;
use crate::grid::{self as grid_of, Local};
use crate::processes::System;

/// How long cores may take to answer, in nanoseconds. Generous: under emulation all of them share
/// few host cores.
const PATIENCE: u64 = 10_000_000_000;

/// Runs the checks that are asked for and need no grid, on core 0 with all cores up.
pub(crate) fn run(wanted: SelfTests) {
    run_one(wanted.page_tables, "page-tables", page_tables::check);
    run_one(wanted.tlb, "tlb", tlb::check);
    run_one(wanted.ipi, "ipi", ipi::check);
    run_one(wanted.timer, "timer", timer::check);
    run_one(wanted.user, "user", user::check);
}

/// Runs the check of the grid, on a grid of its own, on core 0 with all cores up. The cores stay in
/// that grid; returns this one's part of it.
pub(crate) fn run_on_grid(ramdisk: Option<&Ramdisk<'_>>) -> Local<SelfTest> {
    let (shared, mut local) = crate::grid::start(ramdisk);
    run_one(true, "grid", || grid::check(shared, &mut local));
    local
}

/// Runs the check of disks, on the system's own grid.
pub(crate) fn run_on_disks(shared: &grid_of::Shared<System>, local: &mut Local<System>) {
    run_one(true, "disk", || disk::check(shared, local));
}

/// Runs the check of network interfaces, on the system's own grid.
pub(crate) fn run_on_interfaces(shared: &grid_of::Shared<System>, local: &mut Local<System>) {
    run_one(true, "net", || net::check(shared, local));
}

fn run_one(wanted: bool, name: &str, check: impl FnOnce() -> Result<(), Failure>) {
    if !wanted {
        return;
    }
    match check() {
        Ok(()) => logging::print_line(format_args!("selftest {name}: ok")),
        Err(failure) => panic!("selftest {name}: {failure}"),
    }
}

/// What a check found wrong.
#[derive(Debug)]
pub(crate) struct Failure(alloc::string::String);

impl core::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Failure {
    fn new(what: core::fmt::Arguments<'_>) -> Self {
        Self(alloc::fmt::format(what))
    }
}

/// Fails with `what` unless `condition` holds.
fn ensure(condition: bool, what: core::fmt::Arguments<'_>) -> Result<(), Failure> {
    if condition {
        Ok(())
    } else {
        Err(Failure::new(what))
    }
}

/// Waits until `condition` holds; fails with `what` when it does not in time.
fn wait_for(condition: impl Fn() -> bool, what: core::fmt::Arguments<'_>) -> Result<(), Failure> {
    let end = clock::now_ns() + PATIENCE;
    while !condition() {
        ensure(clock::now_ns() < end, what)?;
        core::hint::spin_loop();
    }
    Ok(())
}
