//! TLB shootdown: having cores forget translations that are no longer true.
//!
//! Key functions: [`flush`] for the kernel's pages, on all cores; `flush_space` for those of a
//! user's address space, on the cores that have it loaded, and `evict` to have them unload it.
//!
//! Invariants: there is one request at a time, and it ends when all cores that it is for have
//! carried it out. Any core may carry it out: for one that it does not concern it is without
//! effect. A core that waits, for its turn or for the others, carries out requests meanwhile, so
//! that two that ask at once do not wait for each other. The caller holds no
//! [`IrqLock`](crate::sync::IrqLock): a core that waits for such a lock has its interrupts off
//! and does not answer.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use vortex_kernel_base::address::FRAME_SIZE;
use x86_64::VirtAddr;
use x86_64::instructions::tlb;

use crate::address_space;
use crate::apic::{self, Message};
use crate::core_set::{CoreSet, Snapshot};
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
/// How many pages it has; [`EVICT`] to unload the address space.
static PAGES: AtomicU64 = AtomicU64::new(0);
/// Which address space it is about, by the physical address of its top-level table; [`KERNEL`] for
/// the kernel's half.
static SPACE: AtomicU64 = AtomicU64::new(0);

const KERNEL: u64 = 0;
const EVICT: u64 = u64::MAX;

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

/// Has all cores forget the translations of `pages` pages of the kernel's from the address `start`
/// on; when it returns no core uses the old ones.
///
/// # Panics
/// When a core does not answer within seconds (going on would leave it with wrong translations),
/// and when this core holds a lock.
pub fn flush(start: u64, pages: u64) {
    request(KERNEL, Snapshot::ALL, start, pages);
}

/// Has those of `cores`, which may have the tables at `space` loaded, forget translations of
/// theirs; when it returns none uses the old ones.
///
/// # Panics
/// As [`flush`].
pub(crate) fn flush_space(space: u64, cores: &CoreSet, start: u64, pages: u64) {
    // What was written to the tables comes before the look at who has them loaded; a core that
    // puts itself in later reads the tables later.
    fence(Ordering::SeqCst);
    request(space, cores.snapshot(), start, pages.min(EVICT - 1));
}

/// Has those of `cores` that have the tables at `space` loaded load the kernel's.
///
/// # Panics
/// As [`flush`].
pub(crate) fn evict(space: u64, cores: &CoreSet) {
    request(space, cores.snapshot(), 0, EVICT);
}

/// Has `targets` carry out a request.
fn request(space: u64, targets: Snapshot, start: u64, pages: u64) {
    let held = cores::current().held_levels.load(Ordering::Relaxed);
    assert!(held == 0, "TLB shootdown with locks held: {held:#b}");
    carry_out(space, start, pages);
    let others = || cores::online_others().filter(|core| targets.contains(core.index()));
    if others().next().is_none() {
        return;
    }
    while BUSY.swap(true, Ordering::Acquire) {
        serve();
        core::hint::spin_loop();
    }
    SPACE.store(space, Ordering::Relaxed);
    START.store(start, Ordering::Relaxed);
    PAGES.store(pages, Ordering::Relaxed);
    let number = NUMBER.fetch_add(1, Ordering::AcqRel) + 1;
    for core in others() {
        apic::send(core.apic_id(), Message::Interrupt(vector::SHOOTDOWN));
    }
    let slow = wait_for(number, others);
    BUSY.store(false, Ordering::Release);
    if let Some(core) = slow {
        panic!("core {} does not answer a TLB shootdown", core.index());
    }
}

/// Waits until all of `others` have carried out request `number`; returns one that does not.
fn wait_for<I: Iterator<Item = &'static Core>>(
    number: u64,
    others: impl Fn() -> I,
) -> Option<&'static Core> {
    let begin = cpu::timestamp();
    loop {
        let behind = others().find(|core| core.flushed.load(Ordering::Acquire) < number)?;
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
        let space = SPACE.load(Ordering::Relaxed);
        let start = START.load(Ordering::Relaxed);
        carry_out(space, start, PAGES.load(Ordering::Relaxed));
        // An interrupt may have carried out this request and the next one meanwhile.
        core.flushed.fetch_max(number, Ordering::Release);
    }
}

/// Does on this core what a request asks for.
fn carry_out(space: u64, start: u64, pages: u64) {
    match (space, pages) {
        (KERNEL, _) => forget(start, pages, forget_everything),
        _ if !address_space::is_loaded(space) => {}
        (_, EVICT) => address_space::evict(space),
        // No page of a user's is global.
        _ => forget(start, pages, tlb::flush_all),
    }
}

/// Drops translations from this core's TLB, one by one or with `all`.
fn forget(start: u64, pages: u64, all: fn()) {
    if pages > FLUSH_ALL_ABOVE {
        all();
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
