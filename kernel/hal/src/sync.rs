//! Locks that hold off interrupts, know their owner and declare their place in the order.
//!
//! Key types: [`IrqLock`], its guard [`IrqGuard`], [`Level`].
//!
//! Invariants: while a core holds an `IrqLock` its interrupts are off, so a handler never waits
//! for what it interrupted; a core takes locks in rising [`Level`]s only, so cores cannot wait
//! for each other in a circle; taking a lock twice or out of order panics instead of hanging.

use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering};

use spin::mutex::{SpinMutex, SpinMutexGuard};

use crate::{cores, cpu};

/// The order in which one core may take locks: each level only while all it holds are lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Anything above the hardware layer.
    Kernel = 0,
    /// Device configuration (PCI, I/O APICs, vectors).
    Devices = 1,
    /// The kernel heap.
    Heap = 2,
    /// The kernel's page tables.
    PageTables = 3,
    /// The physical frames.
    Frames = 4,
    /// The log's outputs: everything may log.
    Log = 5,
}

/// That `core`, which is this one, may take a lock of this level now.
///
/// # Panics
/// When it holds one of the same or a higher level.
#[inline]
pub(crate) fn check_order(core: &cores::Core, level: Level) {
    let held = core.held_levels.load(Ordering::Relaxed);
    assert!(
        held >> (level as u8) == 0,
        "core {} takes a {level:?} lock while it holds levels {held:#b}",
        core.index()
    );
}

/// That this core holds a lock of this level from now on, or no more. Interrupts are off: no other code
/// of this core changes it meanwhile, and no other core ever does.
fn note_level(level: Level, holds: bool) {
    let levels = &cores::current().held_levels;
    let (bit, held) = (1 << level as u8, levels.load(Ordering::Relaxed));
    let now = if holds { held | bit } else { held & !bit };
    levels.store(now, Ordering::Relaxed);
}

/// No core: the lock is free.
const FREE: u32 = u32::MAX;

/// A spin lock whose holder takes no interrupts.
pub struct IrqLock<T> {
    level: Level,
    owner: AtomicU32,
    mutex: SpinMutex<T>,
}

impl<T> IrqLock<T> {
    /// A free lock around `value`, taken after locks of lower levels only.
    pub const fn new(level: Level, value: T) -> Self {
        Self {
            level,
            owner: AtomicU32::new(FREE),
            mutex: SpinMutex::new(value),
        }
    }

    /// Waits for the lock with interrupts off; they come back when the guard goes.
    ///
    /// # Panics
    /// When this core holds the lock already, or one of the same or a higher level: both would
    /// be a deadlock sooner or later.
    pub fn lock(&self) -> IrqGuard<'_, T> {
        let interrupts = InterruptsOff::new();
        let core = cores::current();
        let me = cores::current_index().as_usize() as u32;
        assert!(
            self.owner.load(Ordering::Relaxed) != me,
            "core {me} takes its own {:?} lock again",
            self.level
        );
        check_order(core, self.level);
        let inner = self.mutex.lock();
        self.own(me, inner, interrupts)
    }

    /// For a core that reports its own death: waits at most `spins` polls, not at all when the
    /// holder is this core itself, then takes the lock from whoever has it. No check of order or
    /// owner, never panics.
    ///
    /// # Safety
    /// The previous holder must never run on inside its guard (it is stopped, or is this very
    /// core in a frame that is never returned to), and `T` must be usable from any state that an
    /// operation on it, cut short, leaves behind.
    pub unsafe fn seize(&self, spins: u64) -> IrqGuard<'_, T> {
        let interrupts = InterruptsOff::new();
        let me = cores::current_index().as_usize() as u32;
        let mine = self.owner.load(Ordering::Relaxed) == me;
        let spins = if mine { 0 } else { spins };
        if !cpu::spin_until(spins, || !self.mutex.is_locked()) {
            // SAFETY: the caller promises that the holder does not go on with its guard.
            unsafe { self.mutex.force_unlock() };
        }
        let inner = self.mutex.lock();
        self.own(me, inner, interrupts)
    }

    /// Whether some core holds it just now.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.mutex.is_locked()
    }

    fn own<'a>(
        &'a self,
        me: u32,
        inner: SpinMutexGuard<'a, T>,
        interrupts: InterruptsOff,
    ) -> IrqGuard<'a, T> {
        self.owner.store(me, Ordering::Relaxed);
        note_level(self.level, true);
        IrqGuard {
            lock: self,
            inner: Some(inner),
            _interrupts: interrupts,
        }
    }
}

/// Access to what an [`IrqLock`] guards, on the core that took it.
pub struct IrqGuard<'a, T> {
    lock: &'a IrqLock<T>,
    /// `None` only inside `drop`.
    inner: Option<SpinMutexGuard<'a, T>>,
    /// Dropped last: interrupts come back when the lock is free.
    _interrupts: InterruptsOff,
}

impl<T> Deref for IrqGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.inner.as_deref().expect("the guard is alive")
    }
}

impl<T> DerefMut for IrqGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.inner.as_deref_mut().expect("the guard is alive")
    }
}

impl<T> Drop for IrqGuard<'_, T> {
    fn drop(&mut self) {
        note_level(self.lock.level, false);
        self.lock.owner.store(FREE, Ordering::Relaxed);
        drop(self.inner.take());
    }
}

/// Interrupts are off on this core while this lives; not to be sent to another core.
pub(crate) struct InterruptsOff {
    were_enabled: bool,
    _not_send: core::marker::PhantomData<*const ()>,
}

impl InterruptsOff {
    /// Holds them off until this is dropped, then puts them back as they were.
    pub(crate) fn new() -> Self {
        let were_enabled = cpu::interrupts_enabled();
        cpu::disable_interrupts();
        Self {
            were_enabled,
            _not_send: core::marker::PhantomData,
        }
    }
}

impl Drop for InterruptsOff {
    fn drop(&mut self) {
        if self.were_enabled {
            cpu::enable_interrupts();
        }
    }
}

#[cfg(test)]
mod tests;
