//! Locks that say how often somebody had to wait for one.
//!
//! Key types: [`Lock`]. Labels keep what belongs together on one core, so on the way of a packet nobody
//! should ever wait (paper, section 3.1.1); that is counted instead of believed.

use core::sync::atomic::{AtomicU64, Ordering};

use spin::{Mutex, MutexGuard};

/// How often one was found taken by another core, since boot.
static WAITS: AtomicU64 = AtomicU64::new(0);

/// How often a [`Lock`] was found taken by another core, since boot.
pub(crate) fn waits() -> u64 {
    WAITS.load(Ordering::Relaxed)
}

/// A spin lock.
#[derive(Debug, Default)]
pub(crate) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Waits until it is free, and takes it.
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.try_lock().unwrap_or_else(|| self.wait())
    }

    #[cold]
    fn wait(&self) -> MutexGuard<'_, T> {
        WAITS.fetch_add(1, Ordering::Relaxed);
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    #[test]
    fn who_waits_is_counted() {
        let lock = Lock::new(0);
        let (sender, receiver) = channel();
        let before = waits();
        *lock.lock() += 1;
        thread::scope(|scope| {
            let taken = lock.lock();
            scope.spawn(|| {
                sender.send(()).expect("somebody listens");
                *lock.lock() += 1;
            });
            receiver.recv().expect("it runs");
            // It cannot go on before it was counted.
            while waits() == before {
                thread::yield_now();
            }
            drop(taken);
        });
        assert_eq!(*lock.lock(), 2);
    }
}
