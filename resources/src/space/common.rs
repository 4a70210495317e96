//! Anonymous memory that several address spaces share (`MAP_SHARED`, inherited by forks).
//!
//! Invariants: it holds one reference to each of its frames, and every page table entry that shows
//! one holds another; a page's frame never changes.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::Mutex;
use vortex_toolkit::memory::{Multiplexor, Refusal};

use crate::machine::{Frame, Machine};

/// A number that nothing else in the system has got from here.
pub(super) fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The pages, by number.
pub(super) struct Common<M: Machine> {
    number: u64,
    memory: Arc<Multiplexor<M>>,
    pages: Mutex<BTreeMap<u64, Frame>>,
}

impl<M: Machine> Common<M> {
    pub(super) fn new(memory: Arc<Multiplexor<M>>) -> Self {
        Self {
            number: unique(),
            memory,
            pages: Mutex::new(BTreeMap::new()),
        }
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// The frame of a page, with a reference for the caller; made by `make` at first use.
    pub(super) fn page(
        &self,
        page: u64,
        make: impl FnOnce() -> Result<Frame, Refusal>,
    ) -> Result<Frame, Refusal> {
        let mut pages = self.pages.lock();
        let frame = match pages.get(&page) {
            Some(&frame) => frame,
            None => {
                let frame = make()?;
                pages.insert(page, frame);
                frame
            }
        };
        self.memory.share(frame);
        Ok(frame)
    }

    /// Gives up to `limit` pages back; true when none is left. For the last user.
    pub(super) fn drain(&self, limit: usize) -> bool {
        let mut pages = self.pages.lock();
        for _ in 0..limit {
            match pages.pop_first() {
                Some((_, frame)) => _ = self.memory.release(frame),
                None => return true,
            }
        }
        pages.is_empty()
    }
}

impl<M: Machine> Drop for Common<M> {
    fn drop(&mut self) {
        while !self.drain(usize::MAX) {}
    }
}
