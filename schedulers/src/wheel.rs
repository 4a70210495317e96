//! A monotone priority queue in constant time: a circular hierarchical bucket queue.
//!
//! [`Wheel`] orders the ready clients by a number that never falls below what was taken out last,
//! as start tags of fair queueing do. It is a radix heap (Ahuja, Mehlhorn, Orlin, Tarjan 1990)
//! with the levels of a hierarchical timing wheel (Varghese, Lauck 1987): ten levels of 64 slots,
//! one bit for each slot that holds something.
//!
//! # Invariants
//! - A key's place depends on its low 60 bits: keys go round in a circle, in which all of them lie
//!   in `base ..= base + 2^59 + 2^54`.
//! - An element lies at the level of the highest 6-bit digit in which its key differs from `base`,
//!   in the slot which that digit names. So the lowest level that is occupied holds the least
//!   keys, the first slot there holds the least of them, and equal keys share a slot.
//! - `base` moves only to the least key, and only when no element's place depends on the old one.
//! - A slot keeps the order of insertion, so equal keys leave first in, first out.
//!
//! # Cost
//! Insertion and removal take constant time. Taking out the least element takes constant time if
//! its slot holds at most [`FEW`] elements; otherwise all of the slot's elements move to lower
//! levels, which happens to an element at most nine times, and about log64(n) times if the keys
//! of n elements are spread evenly.

use crate::lists::Lists;

const DIGIT_BITS: u32 = 6;
const SLOTS: u32 = 1 << DIGIT_BITS;
const LEVELS: u32 = 10;
const TOP: u32 = LEVELS - 1;
const KEY_MASK: u64 = (1 << (DIGIT_BITS * LEVELS)) - 1;
/// Room for the levels' bitmaps, a power of two so that indexing needs no check.
const LEVEL_ROOM: usize = 16;

/// Up to this many elements of one slot are searched rather than moved to lower levels.
const FEW: u32 = 4;

/// The queue; elements are dense numbers such as clients have.
pub(crate) struct Wheel {
    lists: Lists<u64, { LEVELS * SLOTS }>,
    /// One bit for each level that holds something.
    levels: u32,
    /// One bit for each slot that holds something.
    slots: [u64; LEVEL_ROOM],
    /// No key is below it.
    base: u64,
}

impl Wheel {
    /// How far above the key taken out last a new key may lie.
    pub(crate) const WINDOW: u64 = 1 << 59;

    /// An empty queue.
    pub(crate) fn new() -> Self {
        Self {
            lists: Lists::new(),
            levels: 0,
            slots: [0; LEVEL_ROOM],
            base: 0,
        }
    }

    /// Makes room for `element`.
    pub(crate) fn reserve(&mut self, element: u32) {
        self.lists.reserve(element);
    }

    /// True if nothing is queued.
    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.levels == 0
    }

    /// True if `element` is queued.
    #[inline]
    pub(crate) fn contains(&self, element: u32) -> bool {
        self.lists.contains(element)
    }

    /// Starts a new course of keys at `key`. The queue is empty.
    pub(crate) fn restart(&mut self, key: u64) {
        debug_assert!(
            self.is_empty(),
            "keys in the queue are relative to the old base"
        );
        self.base = key;
    }

    /// Queues `element`, which has room and is not queued. `key` is not below the key taken out
    /// last and at most [`Self::WINDOW`] above it.
    #[inline]
    pub(crate) fn insert(&mut self, element: u32, key: u64) {
        self.place(element, key);
    }

    /// Takes `element` out, wherever it is.
    #[inline]
    pub(crate) fn remove(&mut self, element: u32) {
        if let Some(head) = self.lists.unlink(element) {
            self.mark_empty(head);
        }
    }

    /// Takes out the element with the least key; of several, the one inserted first.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<(u32, u64)> {
        if self.is_empty() {
            return None;
        }
        let level = self.levels.trailing_zeros();
        let head = level * SLOTS + self.first_slot(level);
        let first = self.lists.first(head)?;
        // All keys of one slot on the lowest level are equal.
        if level == 0 || self.lists.after(first).is_none() {
            self.base = self.lists.key(first);
            self.remove(first);
            return Some((first, self.base));
        }
        Some(self.pop_crowded(level, head, first))
    }

    /// Takes the least element out of a slot that holds several.
    #[inline(never)]
    fn pop_crowded(&mut self, level: u32, head: u32, first: u32) -> (u32, u64) {
        let (least, key, count) = self.least(first);
        // On the top level `base` has to follow, or keys could lap it.
        if count <= FEW && level != TOP {
            self.lists.unlink(least);
            return (least, key);
        }
        self.base = key;
        self.lists.unlink(least);
        let mut moving = self.lists.first(head);
        while let Some(element) = moving {
            moving = self.lists.after(element);
            self.lists.unlink(element);
            self.place(element, self.lists.key(element));
        }
        self.mark_empty(head);
        (least, key)
    }

    /// The first element with the least key of the list that starts with `first`, that key, and
    /// the list's length.
    fn least(&self, first: u32) -> (u32, u64, u32) {
        let mut least = first;
        let mut least_key = self.lists.key(first);
        let mut count = 1;
        let mut next = self.lists.after(first);
        while let Some(element) = next {
            let key = self.lists.key(element);
            if key < least_key {
                least = element;
                least_key = key;
            }
            count += 1;
            next = self.lists.after(element);
        }
        (least, least_key, count)
    }

    #[inline]
    fn place(&mut self, element: u32, key: u64) {
        let level = ((key ^ self.base) & KEY_MASK | 1).ilog2() / DIGIT_BITS;
        let slot = (key >> (level * DIGIT_BITS)) as u32 % SLOTS;
        self.lists.push_back(level * SLOTS + slot, element, key);
        self.levels |= 1 << level;
        self.slots[level as usize % LEVEL_ROOM] |= 1 << slot;
    }

    #[inline]
    fn mark_empty(&mut self, head: u32) {
        let (level, slot) = (head / SLOTS, head % SLOTS);
        let slots = &mut self.slots[level as usize % LEVEL_ROOM];
        *slots &= !(1 << slot);
        if *slots == 0 {
            self.levels &= !(1 << level);
        }
    }

    /// The first occupied slot of a level, which has one.
    #[inline]
    fn first_slot(&self, level: u32) -> u32 {
        let occupied = self.slots[level as usize % LEVEL_ROOM];
        if level == TOP {
            // The circle of keys closes here: slots below the base's are ahead of it.
            let start = (self.base >> (TOP * DIGIT_BITS)) as u32 % SLOTS;
            return (occupied.rotate_right(start).trailing_zeros() + start) % SLOTS;
        }
        occupied.trailing_zeros()
    }
}

#[cfg(test)]
mod tests;
