//! Starting the other cores (Intel SDM volume 3, 8.4.4: INIT, then STARTUP).
//!
//! Key functions: [`reset_others`], [`start_others`]. `trampoline` is the code from real mode to the kernel.
//!
//! All cores are started at once: each has its stacks ready and finds its own by its APIC ID, so
//! they need not take turns.
//!
//! Invariant: a core is online only when its tables, stacks, local APIC, user mode and part in TLB
//! shootdowns are set up.

mod trampoline;

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;

use vortex_kernel_base::address::Frame;

use crate::apic::{self, Message};
use crate::cores::{self, Core, CoreIndex};
use crate::cpu::{self, Features};
use crate::paging::MapError;
use crate::{clock, gdt, shootdown, stacks, timer, traps, user};

/// Between INIT and STARTUP: 10 ms, says the manual.
const AFTER_INIT: Duration = Duration::from_millis(10);
/// How long the first STARTUP has to show an effect before there is a second one.
const AFTER_STARTUP: Duration = Duration::from_millis(20);
/// How long all cores together have to come up.
const PATIENCE: Duration = Duration::from_secs(5);

/// When [`reset_others`] was, by this core's time-stamp counter.
static RESET_AT: AtomicU64 = AtomicU64::new(0);

/// The [`CoreMain`] of the cores that are started, as an address.
static MAIN: AtomicUsize = AtomicUsize::new(0);

/// What a core does once it is up.
pub type CoreMain = fn() -> !;

/// Resets all other cores; once, as soon as this core's local APIC is on. Until then they are in
/// the firmware's hands: some firmware has them spin, others have them halted.
pub fn reset_others() {
    apic::broadcast(Message::Init);
    RESET_AT.store(cpu::timestamp(), Ordering::Relaxed);
}

/// Waits for what is left of the time that a reset takes.
fn wait_after_reset() {
    let cycles = cpu::timestamp().saturating_sub(RESET_AT.load(Ordering::Relaxed));
    let passed = clock::rate().map_or(0, |rate| rate.nanoseconds(cycles));
    clock::busy_wait(AFTER_INIT.saturating_sub(Duration::from_nanos(passed)));
}

/// Brings up all cores of [`cores::all`] but this one, on the code page `page` below 1 MiB; each
/// ends up in `main`. After [`reset_others`]. Returns when all are online, or after some seconds: those that are not
/// online then never came up.
///
/// # Errors
/// When memory runs out.
pub fn start_others(page: Frame, main: CoreMain) -> Result<(), MapError> {
    let others = &cores::all()[1..];
    if others.is_empty() {
        return Ok(());
    }
    for core in others {
        stacks::create(core.index())?;
    }
    MAIN.store(main as usize, Ordering::Release);
    let trampoline = trampoline::prepare(page)?;
    let waiting = || others.iter().filter(|core| !core.is_online());
    wait_after_reset();
    for _ in 0..2 {
        for core in waiting() {
            apic::send(core.apic_id(), Message::Startup(trampoline.page()));
        }
        if clock::wait_for(AFTER_STARTUP, || waiting().next().is_none()) {
            break;
        }
    }
    // A core that comes late still needs the trampoline, so it goes only when all are here.
    if clock::wait_for(PATIENCE, || waiting().next().is_none()) {
        trampoline.remove();
    }
    Ok(())
}

/// A started core's first Rust code, on its own stack and the kernel's tables.
extern "C" fn enter(index: usize) -> ! {
    let Some(index) = CoreIndex::new(index) else {
        cpu::halt_forever()
    };
    cores::install(index);
    gdt::load();
    gdt::set_trap_stacks(stacks::trap_stack_tops(index));
    traps::load();
    cpu::protect(&Features::detect());
    apic::init_core();
    timer::init_core();
    join(cores::current());
    let main = MAIN.load(Ordering::Acquire);
    // SAFETY: `start_others` stored a `CoreMain` there before it started this core.
    let main = unsafe { core::mem::transmute::<usize, CoreMain>(main) };
    main()
}

/// Makes this core, all set up, one that the others reckon with.
pub fn join(core: &Core) {
    user::init_core();
    shootdown::join();
    core.set_online();
}
