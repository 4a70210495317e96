//! Stopping all other cores, for a core that reports the kernel's death.
//!
//! Key functions: [`claim`], [`others`]; [`obey`] is the other cores' side.
//!
//! Invariants: one core gets the report, the first to ask; everyone else stops, by a
//! non-maskable interrupt wherever they are, interrupts off or not. Nothing here waits without a
//! bound or takes a lock.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::apic::{self, Message};
use crate::cores;
use crate::cpu;

/// No core has claimed the report.
const NOBODY: u32 = u32::MAX;

/// The core that reports.
static REPORTER: AtomicU32 = AtomicU32::new(NOBODY);

/// How long to wait for the others, in cycles: about a second.
const PATIENCE: u64 = 1 << 31;

/// What a core that dies is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Report: it is the first.
    Report,
    /// Be brief: it died again, while it was reporting.
    Again,
    /// Stop with [`obey`]: another core reports.
    Stop,
}

/// Asks for the report on behalf of this core.
pub fn claim() -> Claim {
    let me = cores::current_index().as_usize() as u32;
    match REPORTER.compare_exchange(NOBODY, me, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Claim::Report,
        Err(reporter) if reporter == me => Claim::Again,
        Err(_) => Claim::Stop,
    }
}

/// Whether some core is reporting, so that a non-maskable interrupt means [`obey`].
#[must_use]
pub fn is_claimed() -> bool {
    REPORTER.load(Ordering::Acquire) != NOBODY
}

/// Stops all other cores that are online; returns how many did not confirm in time.
pub fn others() -> usize {
    for core in cores::online_others() {
        apic::send(core.apic_id(), Message::NonMaskable);
    }
    let running = || cores::online_others().filter(|core| !core.stopped.load(Ordering::Acquire));
    let start = cpu::timestamp();
    while running().next().is_some() && cpu::timestamp().wrapping_sub(start) < PATIENCE {
        core::hint::spin_loop();
    }
    running().count()
}

/// Stops this core for good.
pub fn obey() -> ! {
    cores::current().stopped.store(true, Ordering::Release);
    cpu::halt_forever()
}
