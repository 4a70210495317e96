//! Storage for what is queued on one core: slots in one table, linked into chains.
//!
//! A slot that has been used is used again, so a core that has seen its peak load allocates no
//! more. Invariant: every slot is in exactly one chain or in the free list.
//!
//! A request's head and message lie apart, so that each is moved but once on its way through.

use alloc::vec::Vec;

use crate::request::{Head, Message, Request};
use crate::scheduler::RequestView;
use crate::waiting::WaiterId;

/// No slot.
const NIL: u32 = u32::MAX;

/// What stands in a queue.
#[derive(Debug)]
pub(crate) enum Work<M> {
    /// A request to be handled.
    Request(Request<M>),
    /// A waiting task or request, to be gone on with.
    Resume(WaiterId),
}

/// A first-in-first-out list of slots. Belongs to the slab it was filled from. `tail` has no meaning
/// while the list is empty.
#[derive(Debug)]
pub(crate) struct Chain {
    head: u32,
    tail: u32,
    len: u32,
}

impl Chain {
    pub(crate) const EMPTY: Self = Self {
        head: NIL,
        tail: NIL,
        len: 0,
    };

    #[inline]
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// One slot. It holds a request if it has a message, and else a waiter if it is in a chain.
#[derive(Debug)]
pub(crate) struct Slot<M> {
    next: u32,
    message: Option<M>,
    head: Head,
    waiter: WaiterId,
}

impl<M: Message> Slot<M> {
    /// The head of the request, if it is one.
    #[inline]
    pub(crate) fn head(&self) -> Option<&Head> {
        self.message.is_some().then_some(&self.head)
    }

    pub(crate) fn view(&self) -> Option<RequestView> {
        let message = self.message.as_ref()?;
        Some(self.head.view(message.sort_key()))
    }
}

/// A table of slots.
#[derive(Debug)]
pub(crate) struct Slab<M> {
    slots: Vec<Slot<M>>,
    free: u32,
}

impl<M> Slab<M> {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            slots: Vec::with_capacity(capacity),
            free: NIL,
        }
    }

    /// A slot with this message and head, linked to nothing.
    #[inline(always)]
    fn occupy(&mut self, message: Option<M>, head: Head) -> u32 {
        if self.free as usize >= self.slots.len() {
            self.grow();
        }
        let index = self.free;
        if let Some(slot) = self.slots.get_mut(index as usize) {
            self.free = slot.next;
            slot.next = NIL;
            slot.message = message;
            slot.head = head;
        }
        index
    }

    /// Makes a free slot. It has nothing of the request that needs it, so that this one is never
    /// put together in memory but in its slot.
    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let index = u32::try_from(self.slots.len());
        let index = index.ok().filter(|&index| index != NIL);
        self.slots.push(Slot {
            next: NIL,
            message: None,
            head: Head::NONE,
            waiter: WaiterId::default(),
        });
        self.free = index.expect("fewer than 2^32 - 1 requests queued on one core");
    }

    #[inline(always)]
    fn append(&mut self, chain: &mut Chain, index: u32) {
        if chain.is_empty() {
            chain.head = index;
        } else if let Some(tail) = self.slots.get_mut(chain.tail as usize) {
            tail.next = index;
        }
        chain.tail = index;
        chain.len += 1;
    }

    #[inline(always)]
    pub(crate) fn push_request(&mut self, chain: &mut Chain, request: Request<M>) {
        let index = self.occupy(Some(request.message), request.head);
        self.append(chain, index);
    }

    pub(crate) fn push_back(&mut self, chain: &mut Chain, work: Work<M>) {
        match work {
            Work::Request(request) => self.push_request(chain, request),
            Work::Resume(waiter) => {
                let index = self.occupy(None, Head::NONE);
                self.slots[index as usize].waiter = waiter;
                self.append(chain, index);
            }
        }
    }

    /// Takes the request at the front: returns its message, and sets `head`. `None`, and nothing is
    /// changed, if there is no request at the front.
    #[inline(always)]
    pub(crate) fn pop_request(&mut self, chain: &mut Chain, head: &mut Head) -> Option<M> {
        let index = chain.head;
        let slot = self.slots.get_mut(index as usize)?;
        let message = slot.message.take()?;
        *head = slot.head;
        chain.head = slot.next;
        slot.next = self.free;
        self.free = index;
        chain.len -= 1;
        Some(message)
    }

    pub(crate) fn pop_front(&mut self, chain: &mut Chain) -> Option<Work<M>> {
        let mut head = Head::NONE;
        if let Some(message) = self.pop_request(chain, &mut head) {
            return Some(Work::Request(Request { head, message }));
        }
        let slot = self.slots.get_mut(chain.head as usize)?;
        let index = core::mem::replace(&mut chain.head, slot.next);
        slot.next = core::mem::replace(&mut self.free, index);
        chain.len -= 1;
        Some(Work::Resume(slot.waiter))
    }

    #[inline(always)]
    pub(crate) fn front(&self, chain: &Chain) -> Option<&Slot<M>> {
        self.slots.get(chain.head as usize)
    }

    /// When the request at the front was sent; `now` for a waiter. `None` if nothing is there.
    #[inline(always)]
    pub(crate) fn more_since(&self, chain: &Chain, now: u64) -> Option<u64> {
        // Before the slot is looked for: most queues are empty when this is asked.
        if chain.is_empty() {
            return None;
        }
        let slot = self.front(chain)?;
        Some(if slot.message.is_some() {
            slot.head.sent_at
        } else {
            now
        })
    }

    pub(crate) fn iter(&self, chain: &Chain) -> impl Iterator<Item = &Slot<M>> + use<'_, M> {
        let mut next = chain.head;
        core::iter::from_fn(move || {
            let slot = self.slots.get(next as usize)?;
            next = slot.next;
            Some(slot)
        })
    }

    /// Moves what is at `position` to the front. The position exists.
    pub(crate) fn promote(&mut self, chain: &mut Chain, position: usize) {
        if position == 0 {
            return;
        }
        let mut before = chain.head;
        for _ in 1..position {
            before = self.slots[before as usize].next;
        }
        let index = self.slots[before as usize].next;
        let after = self.slots[index as usize].next;
        self.slots[before as usize].next = after;
        if after == NIL {
            chain.tail = before;
        }
        self.slots[index as usize].next = chain.head;
        chain.head = index;
    }

    /// Puts all of `first`, which is empty then, before all of `chain`.
    pub(crate) fn prepend(&mut self, chain: &mut Chain, first: &mut Chain) {
        let first = core::mem::replace(first, Chain::EMPTY);
        if first.is_empty() {
            return;
        }
        self.slots[first.tail as usize].next = chain.head;
        if chain.is_empty() {
            chain.tail = first.tail;
        }
        chain.head = first.head;
        chain.len += first.len;
    }

    /// Takes out, in order, what `wanted` says; the rest keeps its order.
    pub(crate) fn extract(
        &mut self,
        chain: &mut Chain,
        wanted: impl Fn(&Work<M>) -> bool,
    ) -> Vec<Work<M>> {
        let mut taken = Vec::new();
        let mut kept = Chain::EMPTY;
        while let Some(work) = self.pop_front(chain) {
            if wanted(&work) {
                taken.push(work);
            } else {
                self.push_back(&mut kept, work);
            }
        }
        *chain = kept;
        taken
    }
}

#[cfg(test)]
mod tests;
