//! Storage for what is queued on one core: slots in one table, linked into chains.
//!
//! A slot that has been used is used again, so a core that has seen its peak load allocates no
//! more. Invariant: every slot is in exactly one chain or in the free list.

use alloc::vec::Vec;

/// No slot.
const NIL: u32 = u32::MAX;

/// A first-in-first-out list of slots. Belongs to the slab it was filled from.
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

#[derive(Debug)]
struct Slot<T> {
    next: u32,
    value: Option<T>,
}

/// A table of slots.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: u32,
}

impl<T> Slab<T> {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            slots: Vec::with_capacity(capacity),
            free: NIL,
        }
    }

    /// The slot for `value`, linked nowhere.
    #[inline(always)]
    fn occupy(&mut self, value: T, next: u32) -> u32 {
        let index = self.free;
        if let Some(slot) = self.slots.get_mut(index as usize) {
            self.free = slot.next;
            slot.next = next;
            slot.value = Some(value);
            return index;
        }
        self.grow(value, next)
    }

    #[cold]
    fn grow(&mut self, value: T, next: u32) -> u32 {
        let index = u32::try_from(self.slots.len())
            .ok()
            .filter(|&index| index != NIL);
        let index = index.expect("fewer than 2^32 - 1 requests queued on one core");
        self.slots.push(Slot {
            next,
            value: Some(value),
        });
        index
    }

    #[inline(always)]
    pub(crate) fn push_back(&mut self, chain: &mut Chain, value: T) {
        let index = self.occupy(value, NIL);
        match self.slots.get_mut(chain.tail as usize) {
            Some(tail) => tail.next = index,
            None => chain.head = index,
        }
        chain.tail = index;
        chain.len += 1;
    }

    #[inline(always)]
    pub(crate) fn pop_front(&mut self, chain: &mut Chain) -> Option<T> {
        let index = chain.head;
        let slot = self.slots.get_mut(index as usize)?;
        chain.head = slot.next;
        slot.next = self.free;
        self.free = index;
        chain.len -= 1;
        if chain.head == NIL {
            chain.tail = NIL;
        }
        slot.value.take()
    }

    #[inline(always)]
    pub(crate) fn front<'a>(&'a self, chain: &Chain) -> Option<&'a T> {
        self.slots.get(chain.head as usize)?.value.as_ref()
    }

    pub(crate) fn iter<'a>(&'a self, chain: &Chain) -> impl Iterator<Item = &'a T> {
        let mut next = chain.head;
        core::iter::from_fn(move || {
            let slot = self.slots.get(next as usize)?;
            next = slot.next;
            slot.value.as_ref()
        })
    }

    /// Moves the value at `position` to the front. The position exists.
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
        let Some(last) = self.slots.get_mut(first.tail as usize) else {
            return;
        };
        last.next = chain.head;
        if chain.is_empty() {
            chain.tail = first.tail;
        }
        chain.head = first.head;
        chain.len += first.len;
    }

    /// Takes out, in order, what `wanted` says; the rest keeps its order.
    pub(crate) fn extract(&mut self, chain: &mut Chain, wanted: impl Fn(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        let mut kept = Chain::EMPTY;
        while let Some(value) = self.pop_front(chain) {
            if wanted(&value) {
                taken.push(value);
            } else {
                self.push_back(&mut kept, value);
            }
        }
        *chain = kept;
        taken
    }
}

#[cfg(test)]
mod tests;
