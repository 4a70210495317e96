//! What each core does until it enters the grid, and for good if it never does: sleep, and do the
//! odd job that another core gives it.
//!
//! Key types: [`Job`]. There is one slot for each core, enough for boot's own needs: whoever
//! gives a job waits for it to be done before giving the next.

use core::sync::atomic::{AtomicU64, Ordering};

use spin::Mutex;
use vortex_hal::cores::{self, Core, CoreIndex, MAX_CORES};
use vortex_hal::wakeup;

/// Something to do on a given core.
pub(crate) type Job = fn();

/// One core's mailbox.
struct Slot {
    job: Mutex<Option<Job>>,
    /// How often the core was woken by another one.
    woken: AtomicU64,
}

static SLOTS: [Slot; MAX_CORES] = [const {
    Slot {
        job: Mutex::new(None),
        woken: AtomicU64::new(0),
    }
}; MAX_CORES];

/// Has `core` run `job` soon.
pub(crate) fn give(core: &Core, job: Job) {
    *SLOTS[core.index().as_usize()].job.lock() = Some(job);
    wakeup::wake(core);
}

/// How often `core` was woken by another one.
pub(crate) fn times_woken(core: CoreIndex) -> u64 {
    SLOTS[core.as_usize()].woken.load(Ordering::Acquire)
}

/// Sleeps until something happens and does the job there is, if any.
pub(crate) fn step() {
    let slot = &SLOTS[cores::current_index().as_usize()];
    if wakeup::sleep() {
        slot.woken.fetch_add(1, Ordering::AcqRel);
    }
    let job = slot.job.lock().take();
    if let Some(job) = job {
        job();
    }
}

/// The life of a core outside the grid.
pub(crate) fn idle() -> ! {
    loop {
        step();
    }
}
