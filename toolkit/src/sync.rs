//! What cores share under a lock or as a bare word: the real things, or under `--cfg loom` those of
//! the loom model checker, which then runs whole cores through their interleavings
//! (`tests/loom/`).

#[cfg(not(loom))]
mod real {
    pub(crate) use core::sync::atomic::AtomicU64;
    pub(crate) use spin::{Mutex, RwLock};
}

#[cfg(loom)]
mod modelled {
    pub(crate) use vortex_queue::sync::AtomicU64;

    use loom::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

    /// Loom's lock with `spin`'s interface.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("no model panics with a lock held")
        }
    }

    /// Loom's lock with `spin`'s interface.
    #[derive(Debug)]
    pub(crate) struct RwLock<T>(loom::sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::RwLock::new(value))
        }

        pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
            self.0.read().expect("no model panics with a lock held")
        }

        pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
            self.0.write().expect("no model panics with a lock held")
        }
    }
}

#[cfg(loom)]
pub(crate) use modelled::{AtomicU64, Mutex, RwLock};
#[cfg(not(loom))]
pub(crate) use real::{AtomicU64, Mutex, RwLock};
