//! One place of the ring: a value and the *stamp* that says whose turn it is.
//!
//! Positions count pushes in steps of two ([`STEP`]), so that bit 0 is free for a flag. The slot
//! for position `p` goes through
//!
//! | stamp          | meaning                         | who may touch the value         |
//! |----------------|---------------------------------|---------------------------------|
//! | `p`            | free for position `p`           | the producer that reserves `p`  |
//! | `p + FILLED`   | holds the value of position `p` | the receiver                    |
//! | `p + 2 * ring` | free, one lap later             | the producer of that position   |
//!
//! Each hand-over is a store with `Release` of the new stamp, read by the next party with
//! `Acquire`, so the value itself needs no atomic access. Stamps and positions wrap around at 2^64
//! together: the length of the ring divides it, so nothing happens there.

use core::mem::MaybeUninit;

use crate::sync::{AtomicU64, Ordering, UnsafeCell};

/// The distance from one position to the next.
pub(crate) const STEP: u64 = 2;

/// Set in a stamp while the slot holds a value.
const FILLED: u64 = 1;

pub(crate) struct Slot<T> {
    stamp: AtomicU64,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: a shared slot moves a `T` from one thread to another and never hands out a reference to
// it, so `T: Send` is enough; which thread may touch the value at a time is what the contracts of
// `fill` and `take` ask of their callers.
unsafe impl<T: Send> Sync for Slot<T> {}

/// What a slot is to a producer that wants to fill position `p`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Free for `p`.
    Free,
    /// The value of the lap before is still there, or still being written: the ring is full.
    Full,
    /// Position `p` is taken: the producer looked at an old tail.
    Passed,
}

impl<T> Slot<T> {
    /// An empty slot, free for `position`.
    pub(crate) fn new(position: u64) -> Self {
        Self {
            stamp: AtomicU64::new(position),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Whose turn the slot is, seen from a producer at `position`.
    #[inline]
    pub(crate) fn turn(&self, position: u64) -> Turn {
        // Acquire: the receiver's reading of the value before ends before a new one is written.
        // Ahead or behind is the sign of the difference, which stays right across the wrap.
        match self
            .stamp
            .load(Ordering::Acquire)
            .wrapping_sub(position)
            .cast_signed()
        {
            0 => Turn::Free,
            ..0 => Turn::Full,
            1.. => Turn::Passed,
        }
    }

    /// Whether the value of `position` is there to be taken.
    #[inline]
    pub(crate) fn is_filled(&self, position: u64) -> bool {
        // Acquire: the writing of the value ends before it is read.
        self.stamp.load(Ordering::Acquire) == position.wrapping_add(FILLED)
    }

    /// Writes the value of `position` and hands the slot to the receiver.
    ///
    /// # Safety
    /// 1. [`turn`](Self::turn) said `Free` for this position, to this thread.
    /// 2. The caller alone has reserved this position, and calls this once for it.
    #[inline]
    pub(crate) unsafe fn fill(&self, position: u64, value: T) {
        self.value.with_mut(|cell| {
            // SAFETY:
            // 1. `cell` is valid and aligned: it comes from the `UnsafeCell`.
            // 2. Nobody else touches it: the slot is free for `position`, which is the caller's.
            unsafe { cell.write(MaybeUninit::new(value)) }
        });
        self.stamp
            .store(position.wrapping_add(FILLED), Ordering::Release);
    }

    /// Moves the value of `position` out and frees the slot for the position one lap of `slots`
    /// slots later.
    ///
    /// # Safety
    /// 1. [`is_filled`](Self::is_filled) was true for this position, seen by this thread.
    /// 2. The caller is the only receiver.
    #[inline]
    pub(crate) unsafe fn take(&self, position: u64, slots: usize) -> T {
        let value = self.value.with(|cell| {
            // SAFETY:
            // 1. `cell` is valid and aligned: it comes from the `UnsafeCell`.
            // 2. Nobody writes it: a filled slot is the receiver's, and the caller is that.
            // 3. It holds a value, and this is the only copy: the stamp below says that it does not
            //    any more, and nothing panics before.
            unsafe { cell.cast::<T>().read() }
        });
        self.stamp.store(
            position.wrapping_add(STEP * slots as u64),
            Ordering::Release,
        );
        value
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        if self.stamp.load(Ordering::Relaxed) & FILLED == 0 {
            return;
        }
        self.value.with_mut(|cell| {
            // SAFETY: `cell` is valid, aligned and, by `&mut self`, ours alone.
            let value = unsafe { &mut *cell };
            // SAFETY: the stamp says that there is a value, and it is not used again.
            unsafe { value.assume_init_drop() };
        });
    }
}
