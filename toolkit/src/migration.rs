//! How a label's binding ends or moves to another core, with the order of requests kept.
//!
//! The owner of a binding, the core it names, is the only one that begins a change. When a
//! binding's time is over, the owner asks the governing scheduler anew (paper, section 3.1.1):
//!
//! - Requests are queued and the answer is another core: the binding *moves*. The owner sets its
//!   word to `Moving`, naming the new core, and sends it all queued requests of the label, in
//!   order. From the next send on, every sender sends to the new core; but an older request of the
//!   same sender may still be on its way through the old owner. So what is sent under a `Moving`
//!   word is marked *early*, and the new core keeps it aside. The old owner sends a barrier to
//!   every core and gets an echo. Behind its echo nothing follows that was sent under the old word,
//!   for inboxes are first-in-first-out. So when all echoes have come, everything older has been
//!   forwarded; the old owner says `Settled` to the new one, which lets go what it has kept and
//!   makes the word `Bound`.
//! - Nothing is queued: the binding *retires*. The word becomes `Retiring`; a sender that needs it
//!   takes it back to `Bound` before it sends. If all echoes have come and the word is still
//!   `Retiring`, and still nothing is queued, nobody uses the label: the binding is dead, and the
//!   next request of the label makes a new one.
//!
//! A binding may be *pinned* to a core, by [`crate::Context::bind`]: then it does not retire, and
//! whenever it is reconsidered that core is the answer.
//!
//! Changes are made in rounds, one at a time for each owner, so a round's barrier serves all
//! bindings that have become due. A label of which a request waits in a resource on this core does
//! not change until that has ended, and none does while values wait in the outboxes.

use alloc::collections::BinaryHeap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::binding::{Binding, FastMap, Key, Phase, Word};
use crate::core::CoreState;
use crate::envelope::{Envelope, Migration};
use crate::grid::Resource;
use crate::ids::{CoreId, ResourceId};
use crate::request::{Head, Request};
use crate::slab::{Slot, Work};
use crate::system::System;

/// A binding that this core owns, and when it is to be reconsidered.
struct Due {
    at: u64,
    /// Makes the order of those due at the same time the order in which they came.
    number: u64,
    resource: ResourceId,
    key: Key,
    binding: Arc<Binding>,
    /// The label was used while its binding was about to retire: it is not to retire now.
    in_use: bool,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    /// The earliest is the greatest, for the heap.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

/// One change of a round.
struct Change {
    resource: ResourceId,
    key: Key,
    binding: Arc<Binding>,
    /// The word during the round.
    word: Word,
}

/// What a core keeps for the bindings it owns, and for those on their way to it.
pub(crate) struct Owned<Y: System> {
    due: BinaryHeap<Due>,
    numbers: u64,
    round: u64,
    /// Echoes that are missing.
    missing: usize,
    changes: Vec<Change>,
    /// Where the labels moving in this round go.
    moving: FastMap<(ResourceId, Key), CoreId>,
    /// Early requests, in the order of arrival.
    early: FastMap<(ResourceId, Key), Vec<Request<Y::Message>>>,
}

impl<Y: System> Owned<Y> {
    pub(crate) fn new() -> Self {
        Self {
            due: BinaryHeap::new(),
            numbers: 0,
            round: 0,
            missing: 0,
            changes: Vec::new(),
            moving: FastMap::default(),
            early: FastMap::default(),
        }
    }

    #[inline]
    pub(crate) fn is_moving(&self) -> bool {
        !self.moving.is_empty()
    }

    /// Where a request goes that has come to a core its label is leaving.
    pub(crate) fn moved_to(&self, head: &Head) -> Option<CoreId> {
        if head.is_reply() {
            return None;
        }
        let key = (head.activity, head.affinity);
        self.moving.get(&(head.destination, key)).copied()
    }

    /// When to tend the bindings next.
    pub(crate) fn next_due(&self) -> u64 {
        let next = self.due.peek().filter(|_| self.changes.is_empty());
        next.map_or(u64::MAX, |due| due.at)
    }

    fn push(&mut self, at: u64, resource: ResourceId, key: Key, binding: Arc<Binding>) {
        self.push_due(Due {
            at,
            number: 0,
            resource,
            key,
            binding,
            in_use: false,
        });
    }

    fn push_due(&mut self, due: Due) {
        self.numbers += 1;
        self.due.push(Due {
            number: self.numbers,
            ..due
        });
    }
}

impl<Y: System> CoreState<Y> {
    /// This core owns a binding from now on.
    pub(crate) fn adopt(&mut self, resource: ResourceId, key: Key, binding: Arc<Binding>) {
        let lifetime = binding.lifetime_cycles();
        if lifetime != u64::MAX {
            let at = self.books.mark.saturating_add(lifetime);
            self.owned.push(at, resource, key, binding);
            self.note_timers();
        }
    }

    /// Begins a round for the bindings that are due.
    pub(crate) fn tend_bindings(&mut self, now: u64) {
        if self.owned.next_due() > now || !self.outboxes.is_empty() {
            return;
        }
        while self.owned.due.peek().is_some_and(|due| due.at <= now) {
            let Some(due) = self.owned.due.pop() else {
                break;
            };
            self.reconsider(due, now);
        }
        if self.owned.changes.is_empty() {
            return;
        }
        self.owned.round += 1;
        let (from, round) = (self.id, self.owned.round);
        for core in self.all_cores().filter(|core| *core != from) {
            self.owned.missing += 1;
            self.push(
                core,
                Envelope::Migration(Migration::Barrier { from, round }),
            );
        }
        if self.owned.missing == 0 {
            self.end_round();
        }
    }

    /// A binding's time is over.
    fn reconsider(&mut self, due: Due, now: u64) {
        let Due {
            resource,
            key,
            binding,
            in_use,
            ..
        } = due;
        let word = binding.word();
        if word.core != self.id || word.phase == Phase::Dead {
            return;
        }
        // With the resource, its bindings have gone; with the activity, those of it.
        if !self.grid.is_live(key.0) {
            return;
        }
        let Ok(local) = self.learn(resource) else {
            return;
        };
        let shared = local.shared.clone();
        if self.is_awaited(resource, key) || word.phase != Phase::Bound {
            // Not yet settled here, or not now: later.
            let at = self.later(&binding, now);
            return self.owned.push_due(Due {
                at,
                number: 0,
                resource,
                key,
                binding,
                in_use,
            });
        }
        if in_use || binding.pinned().is_some() || self.is_queued(resource, key) {
            return self.rebind(&shared, key, binding, word);
        }
        let generation = word.generation + 1;
        let retiring = Word {
            phase: Phase::Retiring,
            generation,
            ..word
        };
        if binding.change(word, retiring) {
            self.owned.changes.push(Change {
                resource,
                key,
                binding,
                word: retiring,
            });
        }
    }

    /// Asks the governing scheduler for a new core; the binding stays or moves.
    fn rebind(&mut self, shared: &Resource<Y>, key: Key, binding: Arc<Binding>, word: Word) {
        let resource = shared.id;
        let (core, lifetime_cycles) = match binding.pinned() {
            Some(core) => (core, u64::MAX),
            None => shared.load_share(&self.platform, key),
        };
        binding.set_lifetime_cycles(lifetime_cycles);
        if core == self.id {
            return self.adopt(resource, key, binding);
        }
        let moving = Word {
            core,
            phase: Phase::Moving,
            generation: word.generation + 1,
        };
        if shared.bindings.begin_move(key, &binding, word, moving) {
            self.owned.moving.insert((resource, key), core);
            self.forward_queued(resource, key, core);
            self.owned.changes.push(Change {
                resource,
                key,
                binding,
                word: moving,
            });
        }
    }

    /// When a binding is reconsidered that cannot change now.
    fn later(&self, binding: &Binding, now: u64) -> u64 {
        /// Cycles for a label that is released while a request of it still waits.
        const RETRY_CYCLES: u64 = 1_000_000;
        now.saturating_add(binding.lifetime_cycles().min(RETRY_CYCLES))
    }

    /// Whether a request of the label waits in the resource on this core.
    fn is_awaited(&mut self, resource: ResourceId, key: Key) -> bool {
        let Some(place) = self.place(resource, key.0) else {
            return false;
        };
        self.tree.client(place).waiters > 0 && self.waiting.any_with_affinity(place, key.1)
    }

    fn is_queued(&self, resource: ResourceId, key: Key) -> bool {
        let Some(place) = self.place(resource, key.0) else {
            return false;
        };
        let mut heads = self.tree.works(place).filter_map(Slot::head);
        heads.any(|head| moves_with(head, key))
    }

    /// Sends the queued requests of a label to its new core.
    fn forward_queued(&mut self, resource: ResourceId, key: Key, core: CoreId) {
        let Some(place) = self.place(resource, key.0) else {
            return;
        };
        let taken = self.tree.extract(&self.platform, place, |work| match work {
            Work::Request(request) => moves_with(&request.head, key),
            Work::Resume(_) => false,
        });
        for work in taken {
            if let Work::Request(request) = work {
                self.push(core, Envelope::Migration(Migration::Forwarded(request)));
            }
        }
    }

    /// All echoes have come.
    fn end_round(&mut self) {
        self.owned.moving.clear();
        for change in core::mem::take(&mut self.owned.changes) {
            let Change {
                resource,
                key,
                binding,
                word,
            } = change;
            match word.phase {
                Phase::Moving => {
                    let generation = word.generation;
                    let settled = Migration::Settled {
                        resource,
                        key,
                        binding: binding.clone(),
                        generation,
                    };
                    self.push(word.core, Envelope::Migration(settled));
                }
                Phase::Retiring => self.end_retirement(resource, key, binding, word),
                Phase::Bound | Phase::Dead => {}
            }
        }
        self.note_timers();
    }

    fn end_retirement(
        &mut self,
        resource: ResourceId,
        key: Key,
        binding: Arc<Binding>,
        word: Word,
    ) {
        // What was under way when the retirement began may be queued, or wait, by now.
        let queued = self.is_queued(resource, key) || self.is_awaited(resource, key);
        let phase = if queued { Phase::Bound } else { Phase::Dead };
        let generation = word.generation + 1;
        let changed = binding.change(
            word,
            Word {
                phase,
                generation,
                ..word
            },
        );
        if changed && !queued {
            if let Some(local) = self.local(resource) {
                local.shared.bindings.forget(key, &binding);
            }
        } else {
            // It is in use after all, but its time is over.
            let at = self.books.mark;
            self.owned.push_due(Due {
                at,
                number: 0,
                resource,
                key,
                binding,
                in_use: true,
            });
        }
    }

    /// Everything older has come: what was kept aside goes into its queue, in order.
    fn let_early_go(&mut self, resource: ResourceId, key: Key, binding: &Binding) {
        let early = self.owned.early.remove(&(resource, key));
        for request in early.unwrap_or_default() {
            self.accept(request);
        }
        // Not before: what is sent under `Bound` is not kept aside.
        let word = binding.word();
        let phase = Phase::Bound;
        binding.change(word, Word { phase, ..word });
    }

    /// A message of the protocol has come.
    pub(crate) fn migrate(&mut self, message: Migration<Y>) {
        match message {
            Migration::Own {
                resource,
                key,
                binding,
            } => {
                if self.learn(resource).is_ok() {
                    self.adopt(resource, key, binding);
                }
            }
            Migration::Forwarded(request) => self.accept(request),
            Migration::Early {
                request,
                binding,
                generation,
            } => {
                if binding.settled() >= generation {
                    // Settled here meanwhile, and perhaps on its way to yet another core.
                    return self.arrive(request);
                }
                let head = &request.head;
                let label = (head.destination, (head.activity, head.affinity));
                self.owned.early.entry(label).or_default().push(request);
            }
            Migration::Settled {
                resource,
                key,
                binding,
                generation,
            } => {
                binding.settle(generation);
                self.let_early_go(resource, key, &binding);
                self.adopt(resource, key, binding);
            }
            Migration::Barrier { from, round } => {
                self.push(from, Envelope::Migration(Migration::Echo { round }));
            }
            Migration::Echo { round } => {
                if round == self.owned.round {
                    self.owned.missing -= 1;
                    if self.owned.missing == 0 {
                        self.end_round();
                    }
                }
            }
            Migration::Release { resource, key } => self.retire_soon(resource, key),
            Migration::Pin {
                resource,
                key,
                core,
            } => self.pin(resource, key, core),
        }
    }

    /// A label will not be used any more: its binding is due.
    fn retire_soon(&mut self, resource: ResourceId, key: Key) {
        let Some(shared) = self.grid.resource(resource) else {
            return;
        };
        let Some(binding) = shared.bindings.find(key) else {
            return;
        };
        let word = binding.word();
        if word.core != self.id {
            let release = Migration::Release { resource, key };
            return self.push(word.core, Envelope::Migration(release));
        }
        binding.pin(None);
        self.owned.push(self.books.mark, resource, key, binding);
        self.call_attention();
    }

    /// Binds a label to one of its resource's cores for ever. If another core owns the binding,
    /// that one is told to.
    pub(crate) fn pin(&mut self, resource: ResourceId, key: Key, core: CoreId) {
        let Ok(local) = self.learn(resource) else {
            return;
        };
        let shared = local.shared.clone();
        if !self.grid.is_live(key.0) {
            return;
        }
        let (binding, is_new) = shared.bindings.find_or_bind(key, || (core, u64::MAX));
        binding.pin(Some(core));
        if is_new {
            return;
        }
        let word = binding.word();
        let pin = Migration::Pin {
            resource,
            key,
            core,
        };
        if word.core != self.id {
            return self.push(word.core, Envelope::Migration(pin));
        }
        if word.phase == Phase::Retiring {
            // As a sender does that needs it.
            let bound = Word {
                phase: Phase::Bound,
                generation: word.generation + 1,
                ..word
            };
            binding.change(word, bound);
        }
        self.owned.push_due(Due {
            at: self.books.mark,
            number: 0,
            resource,
            key,
            binding,
            in_use: true,
        });
        self.call_attention();
    }
}

/// Whether a request queued for an activity goes where its label goes: replies belong to this core.
fn moves_with(head: &Head, key: Key) -> bool {
    head.affinity == key.1 && !head.is_reply()
}
