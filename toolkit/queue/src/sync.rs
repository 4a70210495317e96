//! The primitives the crate is built on: those of `core`, or under `--cfg loom` those of the loom
//! model checker, which runs the same code through the interleavings and reorderings there are.

#[cfg(not(loom))]
mod real {
    pub(crate) use alloc::sync::Arc;
    pub(crate) use core::sync::atomic::{AtomicU64, Ordering, fence};

    /// `core`'s cell with loom's way in, so that loom sees how long a pointer is in use.
    pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(core::cell::UnsafeCell::new(value))
        }

        #[inline]
        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        #[inline]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

#[cfg(loom)]
mod modelled {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::{
        Arc,
        atomic::{Ordering, fence},
    };

    /// Loom's atomic word, with its loads in every order.
    ///
    /// Loom remembers of each atomic only the last access, so a thread that loads a word and then
    /// stores to it hides that another thread had loaded it before, and the run where that load
    /// comes last is left out: just what a producer and the receiver do with a stamp. So each load
    /// first touches a second word by a relaxed read-modify-write: loom tries those in every
    /// order, and they make nothing visible to anyone.
    #[derive(Debug)]
    pub struct AtomicU64 {
        loads: loom::sync::atomic::AtomicU64,
        word: loom::sync::atomic::AtomicU64,
    }

    impl AtomicU64 {
        /// As `core`'s.
        pub fn new(value: u64) -> Self {
            let [loads, word] = [0, value].map(loom::sync::atomic::AtomicU64::new);
            Self { loads, word }
        }

        /// As `core`'s.
        pub fn load(&self, order: Ordering) -> u64 {
            self.loads.fetch_add(1, Ordering::Relaxed);
            self.word.load(order)
        }

        /// As `core`'s.
        pub fn store(&self, value: u64, order: Ordering) {
            self.word.store(value, order);
        }

        /// As `core`'s.
        pub fn swap(&self, value: u64, order: Ordering) -> u64 {
            self.word.swap(value, order)
        }

        /// As `core`'s.
        pub fn fetch_and(&self, value: u64, order: Ordering) -> u64 {
            self.word.fetch_and(value, order)
        }

        /// As `core`'s.
        pub fn fetch_or(&self, value: u64, order: Ordering) -> u64 {
            self.word.fetch_or(value, order)
        }

        /// As `core`'s.
        pub fn compare_exchange(
            &self,
            current: u64,
            new: u64,
            success: Ordering,
            failure: Ordering,
        ) -> Result<u64, u64> {
            self.word.compare_exchange(current, new, success, failure)
        }

        /// As `core`'s.
        pub fn compare_exchange_weak(
            &self,
            current: u64,
            new: u64,
            success: Ordering,
            failure: Ordering,
        ) -> Result<u64, u64> {
            self.word
                .compare_exchange_weak(current, new, success, failure)
        }
    }
}

#[cfg(loom)]
pub use modelled::AtomicU64;
#[cfg(loom)]
pub(crate) use modelled::{Arc, Ordering, UnsafeCell, fence};
#[cfg(not(loom))]
pub(crate) use real::{Arc, AtomicU64, Ordering, UnsafeCell, fence};
