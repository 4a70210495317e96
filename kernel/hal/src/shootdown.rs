//! TLB shootdown: having every core forget translations that are no longer true.
//!
//! Key functions: [`flush`].
//!
//! Invariants: there is one request at a time, and it ends when all cores that are online have
//! carried it out; a core that waits, for its turn or for the others, carries out requests
//! meanwhile, so that two that ask at once do not wait for each other. The caller holds no
//! [`IrqLock`](crate::sync::IrqLock): a core that waits for such a lock has its interrupts off
//! and does not answer.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use vortex_kernel_base::address::FRAME_SIZE;
use x86_64::VirtAddr;
use x86_64::instructions::tlb;

use crate::apic::{self, Message};
use crate::cores::{self, Core};
use crate::cpu;
use crate::interrupts::{self, VectorError, vector};

/// Above so many pages a core drops its whole TLB: cheaper than page by page.
const FLUSH_ALL_ABOVE: u64 = 32;

/// How long a core may take to answer, in cycles: seconds. Under emulation with more cores than
/// the host has, one can be without a host core for long.
const PATIENCE: u64 = 1 << 34;

/// Some core's request is under way.
static BUSY: AtomicBool = AtomicBool::new(false);
/// The request's number; set last, when the range is there.
static NUMBER: AtomicU64 = AtomicU64::new(0);
/// Its first page's address.
static START: AtomicU64 = AtomicU64::new(0);
/// How many pages it has.
static PAGES: AtomicU64 = AtomicU64::new(0);

/// Registers the interrupt for it; once.
///
/// # Errors
/// When its vector is taken.
pub fn init() -> Result<(), VectorError> {
    interrupts::register(vector::SHOOTDOWN, |_vector| serve())
}

/// Makes this core take part: what it forgets from now on is up to date. Before it goes online.
pub(crate) fn join() {
    let core = cores::current();
    core.flushed
        .store(NUMBER.load(Ordering::Acquire), Ordering::Release);
}

/// Has all cores forget the translations of `pages` pages from the address `start` on; when it
/// returns no core uses the old ones.
///
/// # Panics
/// When a core does not answer within seconds (going on would leave it with wrong translations),
/// and when this core holds a lock.
pub fn flush(start: u64, pages: u64) {
    let held = cores::current().held_levels.load(Ordering::Relaxed);
    assert!(held == 0, "TLB shootdown with locks held: {held:#b}");
    while BUSY.swap(true, Ordering::Acquire) {
        serve();
        core::hint::spin_loop();
    }
    START.store(start, Ordering::Relaxed);
    PAGES.store(pages, Ordering::Relaxed);
    let number = NUMBER.fetch_add(1, Ordering::AcqRel) + 1;
    serve();
    for core in cores::online_others() {
        apic::send(core.apic_id(), Message::Interrupt(vector::SHOOTDOWN));
    }
    let slow = wait_for_all(number);
    BUSY.store(false, Ordering::Release);
    if let Some(core) = slow {
        panic!("core {} does not answer a TLB shootdown", core.index());
    }
}

/// Waits until all cores have carried out request `number`; returns one that does not.
fn wait_for_all(number: u64) -> Option<&'static Core> {
    let begin = cpu::timestamp();
    loop {
        let behind =
            cores::online_others().find(|core| core.flushed.load(Ordering::Acquire) < number)?;
        if cpu::timestamp().wrapping_sub(begin) > PATIENCE {
            return Some(behind);
        }
        core::hint::spin_loop();
    }
}

/// Carries out the current request, when this core has not yet.
fn serve() {
    let core = cores::current();
    let number = NUMBER.load(Ordering::Acquire);
    if core.flushed.load(Ordering::Relaxed) < number {
        forget(START.load(Ordering::Relaxed), PAGES.load(Ordering::Relaxed));
        core.flushed.store(number, Ordering::Release);
    }
}

/// Drops translations from this core's TLB.
fn forget(start: u64, pages: u64) {
    if pages > FLUSH_ALL_ABOVE {
        forget_everything();
        return;
    }
    for page in 0..pages {
        tlb::flush(VirtAddr::new_truncate(start + page * FRAME_SIZE));
    }
}

/// Drops all translations, global ones too, by turning global pages off and on (Intel SDM volume
/// 3, 4.10.4.1); without global pages, by loading the root again.
fn forget_everything() {
    use x86_64::registers::control::{Cr4, Cr4Flags};
    let with = Cr4::read();
    if with.contains(Cr4Flags::PAGE_GLOBAL) {
        // SAFETY: changes only what the TLB keeps.
        unsafe { Cr4::write(with & !Cr4Flags::PAGE_GLOBAL) };
        // SAFETY: puts back what was there.
        unsafe { Cr4::write(with) };
    } else {
        tlb::flush_all();
    }
}
