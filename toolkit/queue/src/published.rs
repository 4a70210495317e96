//! Several numbers that one core writes and every core reads as they were at one instant.
//!
//! [`published`] gives the two ends: the one [`Publisher`], and [`Published`] for the readers. It
//! is a sequence lock whose data are atomic words, so that it needs no unsafe code (H.-J. Boehm,
//! "Can seqlocks get along with programming language memory models?", MSPC 2012, section 4). The
//! writer never waits, and has no locked operation; a reader that meets a write tries again.
//!
//! Invariant: the version is odd while a write is under way and changes with every write, so words
//! read between two equal even versions belong together.

use crate::sync::{Arc, AtomicU64, Ordering, fence};

/// Makes a publication of `N` numbers, all zero at first.
#[must_use]
pub fn published<const N: usize>() -> (Publisher<N>, Published<N>) {
    let shared = Arc::new(Shared {
        version: AtomicU64::new(0),
        words: core::array::from_fn(|_| AtomicU64::new(0)),
    });
    (
        Publisher {
            shared: shared.clone(),
        },
        Published { shared },
    )
}

/// In one piece of memory of its own, so that the version and the words travel together.
#[derive(Debug)]
struct Shared<const N: usize> {
    version: AtomicU64,
    words: [AtomicU64; N],
}

/// The writing end; there is only one.
#[derive(Debug)]
pub struct Publisher<const N: usize> {
    shared: Arc<Shared<N>>,
}

impl<const N: usize> Publisher<N> {
    /// From here to the next [`Self::write`], readers find no words: for a change of other relaxed
    /// words that belong to the published ones ([`Published::read_with`]).
    pub fn begin(&mut self) {
        let version = self.shared.version.load(Ordering::Relaxed);
        self.shared.version.store(version | 1, Ordering::Relaxed);
        // A reader that sees a word written from here on also sees the odd version.
        fence(Ordering::Release);
    }

    /// Publishes `words` in the place of those before. Takes N + 3 plain loads and stores.
    pub fn write(&mut self, words: &[u64; N]) {
        let Shared {
            version,
            words: cells,
        } = &*self.shared;
        // Nobody else writes it, so this is the newest.
        let odd = version.load(Ordering::Relaxed) | 1;
        version.store(odd, Ordering::Relaxed);
        // A reader that sees one of the words below also sees the odd version above.
        fence(Ordering::Release);
        for (cell, word) in cells.iter().zip(words) {
            cell.store(*word, Ordering::Relaxed);
        }
        // A reader that starts from this version sees all the words above.
        version.store(odd.wrapping_add(1), Ordering::Release);
    }
}

/// The reading end, to be cloned for every reader.
#[derive(Debug, Clone)]
pub struct Published<const N: usize> {
    shared: Arc<Shared<N>>,
}

impl<const N: usize> Published<N> {
    /// The words of one [`Publisher::write`], not older than the last one this reader knows of.
    ///
    /// Tries at most `attempts` times, and gives `None` if each one met a write. One attempt is
    /// all that makes sense in an interrupt handler on the writer's own core, which may have
    /// interrupted a write; elsewhere a handful fail only if the core writes without pause.
    #[must_use]
    pub fn read(&self, attempts: usize) -> Option<[u64; N]> {
        (0..attempts).find_map(|_| self.attempt(|| true))
    }

    /// As [`Self::read`], and calls `others` in each attempt, which reads relaxed words of the same
    /// writer: if the writer changes them only between [`Publisher::begin`] and
    /// [`Publisher::write`], they belong to the words that are returned. An attempt in which
    /// `others` says false fails.
    #[must_use]
    pub fn read_with(&self, attempts: usize, mut others: impl FnMut() -> bool) -> Option<[u64; N]> {
        (0..attempts).find_map(|_| self.attempt(&mut others))
    }

    fn attempt(&self, others: impl FnOnce() -> bool) -> Option<[u64; N]> {
        let before = self.shared.version.load(Ordering::Acquire);
        if before & 1 != 0 {
            core::hint::spin_loop();
            return None;
        }
        let words = core::array::from_fn(|i| self.shared.words[i].load(Ordering::Relaxed));
        if !others() {
            return None;
        }
        // The words above are read before the version below.
        fence(Ordering::Acquire);
        let after = self.shared.version.load(Ordering::Relaxed);
        (before == after).then_some(words)
    }
}
