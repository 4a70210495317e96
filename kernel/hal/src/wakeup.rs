//! Sleeping until there is work, and waking a core that sleeps.
//!
//! Key functions: [`sleep`], [`sleep_unless`], [`wake`], [`interrupt`].
//!
//! Invariants: a wake-up is never lost: the sleeper says that it sleeps before it looks for
//! wake-ups, and the waker leaves its wake-up before it looks whether the core sleeps, both in
//! sequentially consistent order, so at least one of them sees the other. A core that is awake,
//! or that was woken already, gets no interrupt.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::apic::{self, Message};
use crate::cores::{self, Core};
use crate::cpu;
use crate::interrupts::{self, VectorError, vector};

/// One core's part in it.
pub(crate) struct State {
    /// Somebody has work for the core.
    wanted: AtomicBool,
    /// The core is halted, in user mode, or about to be.
    asleep: AtomicBool,
    /// How many wake-up interrupts it has taken.
    interrupts: AtomicU64,
}

impl State {
    pub(crate) const fn new() -> Self {
        Self {
            wanted: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            interrupts: AtomicU64::new(0),
        }
    }
}

/// Registers the wake-up interrupt; once.
///
/// # Errors
/// When its vector is taken.
pub fn init() -> Result<(), VectorError> {
    interrupts::register(vector::WAKE_UP, |_vector| {
        // Written by this core's interrupt alone.
        let taken = &cores::current().wakeup.interrupts;
        taken.store(taken.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    })
}

/// Has `core` return from [`sleep`], or not fall asleep the next time. An interrupt handler that
/// wakes its own core needs no further interrupt for it: it has ended the halt already.
pub fn wake(core: &Core) {
    let first = !core.wakeup.wanted.swap(true, Ordering::SeqCst);
    let halted = || core.wakeup.asleep.load(Ordering::SeqCst);
    if first && halted() && core.index() != cores::current_index() {
        apic::send(core.apic_id(), Message::Interrupt(vector::WAKE_UP));
    }
}

/// Says that this core is in user mode, or on its way there, and has to be interrupted to notice a
/// wake-up, as if it were halted; or no longer. The caller looks at [`take_wanted`] afterwards.
#[inline]
pub fn set_interruptible(interruptible: bool) {
    let state = &cores::current().wakeup;
    // This core's own: the store, which orders, is for a change only.
    if state.asleep.load(Ordering::Relaxed) != interruptible {
        state.asleep.store(interruptible, Ordering::SeqCst);
    }
}

/// Whether this core was woken by [`wake`] since it last slept or this was last asked.
#[inline]
#[must_use]
pub fn take_wanted() -> bool {
    let wanted = &cores::current().wakeup.wanted;
    wanted.load(Ordering::SeqCst) && wanted.swap(false, Ordering::SeqCst)
}

/// As [`wake`], and interrupts `core` whatever it does, so that it leaves user mode too.
pub fn interrupt(core: &Core) {
    core.wakeup.wanted.store(true, Ordering::SeqCst);
    apic::send(core.apic_id(), Message::Interrupt(vector::WAKE_UP));
}

/// Halts this core until any interrupt, at once when it was woken already. Returns whether it was
/// woken by [`wake`] since the last time. Interrupts are on when it returns.
pub fn sleep() -> bool {
    sleep_unless(|| false)
}

/// As [`sleep`], but does not halt if `over` says so. It is asked with interrupts off, so that an
/// interrupt which makes it true, such as the timer's, cannot come between the answer and the halt; and
/// before that, for who does not halt need not say so. One locked operation if it halts, one more if it
/// is woken.
pub fn sleep_unless(over: impl Fn() -> bool) -> bool {
    let state = &cores::current().wakeup;
    if !is_wanted() && !over() {
        cpu::disable_interrupts();
        state.asleep.store(true, Ordering::SeqCst);
        if state.wanted.load(Ordering::SeqCst) || over() {
            cpu::enable_interrupts();
        } else {
            cpu::wait_for_interrupt();
        }
        // Who sees this late sends an interrupt in vain.
        state.asleep.store(false, Ordering::Release);
    }
    take_wanted()
}

/// Whether this core was woken by [`wake`] since it last slept: it would not halt now.
#[must_use]
pub fn is_wanted() -> bool {
    cores::current().wakeup.wanted.load(Ordering::Acquire)
}

/// How many wake-up interrupts `core` has taken.
#[must_use]
pub fn interrupts_taken(core: &Core) -> u64 {
    core.wakeup.interrupts.load(Ordering::Relaxed)
}
