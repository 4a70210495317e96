//! Bindings of affinity labels to cores: what cores share about them (paper, section 3.1.1).
//!
//! A [`Binding`] is three words that every core may read. Its *owner*, the core it names, is the
//! only one that begins to change it; how it does so without losing the order of requests is told
//! in [`crate::migration`]. The table of a resource's bindings is locked, but only when a core
//! meets a label for the first time or a binding ends: each core keeps references of its own.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::sync::{self, Mutex};
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use crate::ids::{ActivityId, AffinityLabel, CoreId};

/// A map with a fast hash: keys are numbers that the kernel itself has given.
pub(crate) type FastMap<K, V> = HashMap<K, V, FxBuildHasher>;

/// What is bound, within a resource.
pub(crate) type Key = (ActivityId, AffinityLabel);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Requests go to the core named.
    Bound,
    /// Requests go to the core named, which holds them back until older ones have arrived.
    Moving,
    /// About to end: a sender must take it back to `Bound` before it uses it.
    Retiring,
    /// Over; the label is not bound.
    Dead,
}

/// One state of a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) core: CoreId,
    pub(crate) phase: Phase,
    /// Counts the changes.
    pub(crate) generation: u64,
}

impl Word {
    const fn pack(self) -> u64 {
        self.generation << 18 | (self.phase as u64) << 16 | self.core.0 as u64
    }

    #[inline]
    const fn unpack(word: u64) -> Self {
        let phase = match (word >> 16) & 3 {
            0 => Phase::Bound,
            1 => Phase::Moving,
            2 => Phase::Retiring,
            _ => Phase::Dead,
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the low 16 bits are the core"
        )]
        let core = CoreId(word as u16);
        Self {
            core,
            phase,
            generation: word >> 18,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Binding {
    word: sync::AtomicU64,
    /// The generation up to which the new owner has everything. Written by the owner alone.
    settled: AtomicU64,
    /// Cycles until it is reconsidered; `u64::MAX` for ever.
    lifetime_cycles: AtomicU64,
    /// The core that it is to name for ever, whatever the policy says; [`UNPINNED`] if none.
    pinned: AtomicU32,
}

const UNPINNED: u32 = u32::MAX;

impl Binding {
    fn new(core: CoreId, lifetime_cycles: u64) -> Self {
        let word = Word {
            core,
            phase: Phase::Bound,
            generation: 0,
        };
        Self {
            word: sync::AtomicU64::new(word.pack()),
            settled: AtomicU64::new(0),
            lifetime_cycles: AtomicU64::new(lifetime_cycles),
            pinned: AtomicU32::new(UNPINNED),
        }
    }

    pub(crate) fn pinned(&self) -> Option<CoreId> {
        let core = u16::try_from(self.pinned.load(Ordering::Relaxed));
        core.ok().map(CoreId)
    }

    pub(crate) fn pin(&self, core: Option<CoreId>) {
        let word = core.map_or(UNPINNED, |core| core.0.into());
        self.pinned.store(word, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn word(&self) -> Word {
        Word::unpack(self.word.load(Ordering::Acquire))
    }

    /// From one state to another, if it is still in the first.
    pub(crate) fn change(&self, from: Word, to: Word) -> bool {
        self.word
            .compare_exchange(from.pack(), to.pack(), Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    pub(crate) fn settled(&self) -> u64 {
        self.settled.load(Ordering::Relaxed)
    }

    pub(crate) fn settle(&self, generation: u64) {
        self.settled.store(generation, Ordering::Relaxed);
    }

    pub(crate) fn lifetime_cycles(&self) -> u64 {
        self.lifetime_cycles.load(Ordering::Relaxed)
    }

    pub(crate) fn set_lifetime_cycles(&self, cycles: u64) {
        self.lifetime_cycles.store(cycles, Ordering::Relaxed);
    }
}

fn is_current(table: &FastMap<Key, Arc<Binding>>, key: Key, binding: &Arc<Binding>) -> bool {
    let current = table.get(&key);
    current.is_some_and(|current| Arc::ptr_eq(current, binding))
}

/// All bindings of one resource.
#[derive(Debug)]
pub(crate) struct Bindings {
    table: Mutex<FastMap<Key, Arc<Binding>>>,
    /// Labels bound to each core.
    bound: Vec<AtomicU64>,
}

impl Bindings {
    pub(crate) fn new(cores: usize) -> Self {
        Self {
            table: Mutex::new(FastMap::default()),
            bound: core::iter::repeat_with(|| AtomicU64::new(0))
                .take(cores)
                .collect(),
        }
    }

    pub(crate) fn bound(&self, core: CoreId) -> u64 {
        self.bound
            .get(core.index())
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// The living binding of `key`. If there is none, one is made of `decide`'s answer: a core and
    /// a lifetime in cycles. The flag says whether that was so.
    pub(crate) fn find_or_bind(
        &self,
        key: Key,
        decide: impl FnOnce() -> (CoreId, u64),
    ) -> (Arc<Binding>, bool) {
        let mut table = self.table.lock();
        if let Some(binding) = table.get(&key)
            && binding.word().phase != Phase::Dead
        {
            return (binding.clone(), false);
        }
        let (core, lifetime_cycles) = decide();
        let binding = Arc::new(Binding::new(core, lifetime_cycles));
        table.insert(key, binding.clone());
        self.count(core, 1);
        (binding, true)
    }

    /// The living binding of `key`.
    pub(crate) fn find(&self, key: Key) -> Option<Arc<Binding>> {
        self.table.lock().get(&key).cloned()
    }

    /// Forgets a binding that is dead.
    pub(crate) fn forget(&self, key: Key, binding: &Arc<Binding>) {
        let mut table = self.table.lock();
        if is_current(&table, key, binding) {
            table.remove(&key);
            self.count(binding.word().core, u64::MAX);
        }
    }

    /// Forgets all bindings of an activity, which will not be used any more.
    pub(crate) fn forget_all_of(&self, activity: ActivityId) {
        let mut table = self.table.lock();
        table.retain(|key, binding| {
            let stays = key.0 != activity;
            if !stays {
                self.count(binding.word().core, u64::MAX);
            }
            stays
        });
    }

    /// Brings a binding from one state to another that names another core. False if it is not in
    /// the first any more, or has been forgotten.
    pub(crate) fn begin_move(
        &self,
        key: Key,
        binding: &Arc<Binding>,
        from: Word,
        to: Word,
    ) -> bool {
        let table = self.table.lock();
        let moves = is_current(&table, key, binding) && binding.change(from, to);
        if moves {
            self.count(from.core, u64::MAX);
            self.count(to.core, 1);
        }
        moves
    }

    /// Adds to a core's count, modulo 2^64.
    fn count(&self, core: CoreId, n: u64) {
        if let Some(count) = self.bound.get(core.index()) {
            count.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// Number of bindings.
    pub(crate) fn len(&self) -> usize {
        self.table.lock().len()
    }
}
