//! What a sender has on its way: bounded, so that one that sends faster than its interface fills
//! nobody's memory.
//!
//! Key types: [`Sending`] (a sender's bytes), [`Credit`] (those of one packet, until it is dropped).

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::files::{Events, WaitQueue};

/// The bytes that one sender has on their way.
#[derive(Debug)]
pub(crate) struct Sending {
    bytes: AtomicUsize,
    limit: AtomicUsize,
    /// Who waits for room.
    queue: Arc<WaitQueue>,
}

impl Sending {
    pub(crate) fn new(limit: usize, queue: Arc<WaitQueue>) -> Arc<Self> {
        Arc::new(Self {
            bytes: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
            queue,
        })
    }

    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Whether there is room for more.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) < self.limit()
    }

    /// So many more are on their way; the last ones may go beyond the limit.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Option<Credit> {
        if !self.has_room() {
            return None;
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let sending = self.clone();
        Some(Credit { sending, bytes })
    }
}

/// The bytes of one packet.
#[derive(Debug)]
pub(crate) struct Credit {
    sending: Arc<Sending>,
    bytes: usize,
}

impl Drop for Credit {
    fn drop(&mut self) {
        let Self { sending, bytes } = self;
        let before = sending.bytes.fetch_sub(*bytes, Ordering::Relaxed);
        let limit = sending.limit();
        if before >= limit && before - *bytes < limit {
            sending.queue.notify(Events::WRITABLE);
        }
    }
}
