//! Every core's deadline timer goes off, not before its deadline and not long after it.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use vortex_hal::{clock, cores, timer};

use super::{Failure, ensure, wait_for};
use crate::jobs;

/// How far away the deadline is, in nanoseconds.
const AWAY: u64 = 20_000_000;
/// How late the interrupt may be, in nanoseconds: under emulation a core can be without a host
/// core for a while.
const LATE: u64 = 2_000_000_000;

/// How many cores' timers have gone off.
static DONE: AtomicUsize = AtomicUsize::new(0);
/// The earliest of them, in nanoseconds after arming.
static EARLIEST: AtomicU64 = AtomicU64::new(u64::MAX);
/// The latest of them.
static LATEST: AtomicU64 = AtomicU64::new(0);

pub(super) fn check() -> Result<(), Failure> {
    let cores = cores::online().count();
    for core in cores::online_others() {
        jobs::give(core, measure);
    }
    measure();
    wait_for(
        || DONE.load(Ordering::Acquire) == cores,
        format_args!("not all of {cores} timers went off"),
    )?;
    let earliest = EARLIEST.load(Ordering::Acquire);
    let latest = LATEST.load(Ordering::Acquire);
    log::info!("deadline of {AWAY} ns met after {earliest} to {latest} ns");
    ensure(
        earliest >= AWAY,
        format_args!(
            "a timer went off {} ns early",
            AWAY.saturating_sub(earliest)
        ),
    )?;
    ensure(
        latest <= AWAY + LATE,
        format_args!("a timer went off {} ns late", latest.saturating_sub(AWAY)),
    )
}

/// On each core: arms the timer and sleeps until it goes off, or much too long.
fn measure() {
    let core = cores::current();
    let before = timer::ticks(core);
    let start = clock::now_ns();
    timer::arm(start + AWAY);
    while timer::ticks(core) == before && clock::now_ns() < start + super::PATIENCE {
        core::hint::spin_loop();
    }
    let taken = clock::now_ns() - start;
    EARLIEST.fetch_min(taken, Ordering::AcqRel);
    LATEST.fetch_max(taken, Ordering::AcqRel);
    DONE.fetch_add(1, Ordering::AcqRel);
}
