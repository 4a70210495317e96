//! Event counters (eventfd(2)).
//!
//! Key types: [`EventCounter`].

use alloc::sync::Arc;

use spin::Mutex;

use super::ready::{Events, WaitQueue};
use crate::errno::Errno;

/// The most that a counter counts up to.
const MAX: u64 = u64::MAX - 1;

/// A counter that is read and written like a file.
#[derive(Debug)]
pub struct EventCounter {
    count: Mutex<u64>,
    /// A read takes one (`EFD_SEMAPHORE`), not all.
    takes_one: bool,
    queue: Arc<WaitQueue>,
}

impl EventCounter {
    /// That begins with `count`.
    #[must_use]
    pub fn new(count: u32, takes_one: bool) -> Arc<Self> {
        Arc::new(Self {
            count: Mutex::new(count.into()),
            takes_one,
            queue: WaitQueue::new(),
        })
    }

    /// Who waits for it.
    #[must_use]
    pub fn queue(&self) -> &Arc<WaitQueue> {
        &self.queue
    }

    /// What it is ready for.
    #[must_use]
    pub fn readiness(&self) -> Events {
        let count = *self.count.lock();
        let mut ready = Events::empty();
        // As on Linux, the normal kinds of reading and writing are not told of.
        ready.set(Events::IN, count > 0);
        ready.set(Events::OUT, count < MAX);
        ready
    }

    /// Takes what has been counted, or one of it; `None` if that is nothing.
    #[must_use]
    pub fn take(&self) -> Option<u64> {
        let mut count = self.count.lock();
        let taken = match self.takes_one {
            true => 1.min(*count),
            false => *count,
        };
        *count -= taken;
        drop(count);
        if taken == 0 {
            return None;
        }
        self.queue.notify(Events::OUT);
        Some(taken)
    }

    /// Counts up; false if there is no room for that now.
    ///
    /// # Errors
    /// EINVAL for what there can never be room for.
    pub fn add(&self, more: u64) -> Result<bool, Errno> {
        if more > MAX {
            return Err(Errno::EINVAL);
        }
        let mut count = self.count.lock();
        if MAX - *count < more {
            return Ok(false);
        }
        *count += more;
        drop(count);
        self.queue.notify(Events::IN);
        Ok(true)
    }
}
