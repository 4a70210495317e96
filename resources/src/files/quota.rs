//! A number of things that may be had, such as the watches of one activity's epolls.
//!
//! Key types: [`Quota`], [`Share`] (one of them, until it is dropped).

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

/// How many there may be, and how many there are.
#[derive(Debug)]
pub struct Quota {
    limit: u32,
    used: AtomicU32,
}

impl Quota {
    /// Of so many.
    #[must_use]
    pub fn new(limit: u32) -> Arc<Self> {
        let used = AtomicU32::new(0);
        Arc::new(Self { limit, used })
    }

    /// One, if there is one left.
    #[must_use]
    pub fn take(self: &Arc<Self>) -> Option<Share> {
        let up = |used: u32| (used < self.limit).then_some(used + 1);
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, up);
        taken.ok().map(|_| Share(self.clone()))
    }

    /// Whether there is one left; there may be none any more when it is taken.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.used() < self.limit
    }

    /// How many are taken.
    #[must_use]
    pub fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }
}

/// One of a [`Quota`], given back when this is dropped.
#[derive(Debug)]
pub struct Share(Arc<Quota>);

impl Drop for Share {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::Relaxed);
    }
}
