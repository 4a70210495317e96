//! A monotone priority queue in constant time: a circular hierarchical bucket queue.
//!
//! [`Wheel`] is a table of elements (the clients, by number), of which those that are queued are
//! ordered by a key that never falls below what was taken out last, as start tags of fair queueing
//! do. Those with the least keys, or all if they are few, stand in a short sorted line ([`Few`]).
//! The others are in a radix heap (Ahuja, Mehlhorn, Orlin, Tarjan 1990) with the levels of a
//! hierarchical timing wheel (Varghese, Lauck 1987): eight levels of 256 slots, one bit for each
//! slot that holds something, one bit for each group of 64 slots that does. A slot's elements form a
//! ring; the slot names the first.
//!
//! # Invariants
//! - Keys go round in a circle of 2^64, in which all of them lie in
//!   `base ..= base + 2^62 + 2^56`.
//! - No key in the line is greater than one in the slots; if they are equal, the one in the line was
//!   inserted before.
//! - An element in the slots lies at the level of the highest byte in which its key differs from
//!   `base`, in the slot which that byte names. So the lowest level that is occupied holds the least
//!   keys, the first slot there holds the least of them, and equal keys share a slot.
//! - A slot is in order of keys, equal keys in order of insertion; or it is marked as unsorted, and
//!   then only equal keys are in order of insertion.
//! - `base` moves only to the least key, and only when no element's place depends on the old one.
//!
//! # Cost
//! Insertion and removal take constant time. Taking out the least element takes constant time but
//! for an unsorted slot with more elements than fit into the line, which all move to lower levels. That
//! happens to an element at most seven times; if the keys of n elements are spread evenly, fewer
//! than log256(n) times. Nothing allocates once an element has its place in the table.

use alloc::vec::Vec;
use core::mem;

use crate::few::{FEW, Few};

const DIGIT_BITS: u32 = u8::BITS;
const LEVELS: u32 = u64::BITS / DIGIT_BITS;
const LEVEL_SLOTS: u32 = 1 << DIGIT_BITS;
const GROUP_SLOTS: u32 = u64::BITS;
const GROUPS: usize = (LEVELS * LEVEL_SLOTS / GROUP_SLOTS) as usize;
const SLOTS: usize = (LEVELS * LEVEL_SLOTS) as usize;
/// The first slot of the highest level, and its group.
const TOP_SLOT: usize = ((LEVELS - 1) * LEVEL_SLOTS) as usize;
const TOP_GROUP: u32 = (LEVELS - 1) * LEVEL_SLOTS / GROUP_SLOTS;

/// No element.
const NONE: u32 = u32::MAX;

/// The mark of a slot that is not sorted, beside the number of its first element.
const UNSORTED: u32 = 1 << 31;

/// Where a key lies: level and digit in one number.
#[inline(always)]
fn slot_of(key: u64, base: u64) -> usize {
    let level_bits = ((key ^ base) | 1).ilog2() & !(DIGIT_BITS - 1);
    let digit = (key >> level_bits) as u8;
    ((level_bits * (LEVEL_SLOTS / DIGIT_BITS)) as usize | usize::from(digit)) % SLOTS
}

struct Entry<T> {
    key: u64,
    /// The next element of the ring, or `NONE` if the element is not in a slot.
    next: u32,
    prev: u32,
    value: T,
}

/// The table and the queue; elements are dense numbers below 2^31 and carry a `T`.
pub(crate) struct Wheel<T> {
    entries: Vec<Entry<T>>,
    /// No key in the slots is below it.
    base: u64,
    /// One bit for each group of slots that holds something.
    groups: u32,
    /// Those with the least keys. It is open if the slots are empty.
    few: Few,
    /// One bit for each slot that holds something.
    occupied: [u64; GROUPS],
    /// The first element of each slot or `NONE`.
    slots: [u32; SLOTS],
}

impl<T: Default> Wheel<T> {
    /// How far above the key taken out last a new key may lie.
    pub(crate) const WINDOW: u64 = 1 << 62;

    /// An empty table.
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::new(),
            base: 0,
            groups: 0,
            few: Few::new(),
            occupied: [0; GROUPS],
            slots: [NONE; SLOTS],
        }
    }

    /// Makes room for `element`.
    pub(crate) fn reserve(&mut self, element: u32) {
        let needed = element as usize + 1;
        if self.entries.len() < needed {
            self.entries.resize_with(needed, || Entry {
                key: 0,
                next: NONE,
                prev: NONE,
                value: T::default(),
            });
        }
    }

    /// What `element` carries, if there is room for it.
    #[inline]
    pub(crate) fn get(&self, element: u32) -> Option<&T> {
        self.entries.get(element as usize).map(|entry| &entry.value)
    }

    /// What `element` carries, if there is room for it.
    #[inline]
    pub(crate) fn get_mut(&mut self, element: u32) -> Option<&mut T> {
        let entry = self.entries.get_mut(element as usize);
        entry.map(|entry| &mut entry.value)
    }

    /// True if nothing is queued.
    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.groups == 0 && self.few.is_empty()
    }

    /// True if `element` is queued.
    #[inline]
    pub(crate) fn contains(&self, element: u32) -> bool {
        let entry = self.entries.get(element as usize);
        entry.is_some_and(|entry| entry.next != NONE) || self.few.contains(element)
    }

    /// Starts a new course of keys at `key`. The queue is empty.
    pub(crate) fn restart(&mut self, key: u64) {
        debug_assert!(
            self.is_empty(),
            "keys in the queue are relative to the old base"
        );
        self.few.restart(key);
    }

    /// Queues `element`, which has room and is not queued. `key` is not below the key taken out
    /// last and at most [`Self::WINDOW`] above it.
    #[inline(always)]
    pub(crate) fn insert(&mut self, element: u32, key: u64) {
        if self.few.is_open() {
            self.few.insert(element, key);
        } else {
            self.insert_among_many(element, key);
        }
    }

    /// Takes out the element with the least key; of several, the one inserted first.
    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<(u32, &mut T)> {
        if self.few.is_empty() {
            self.refill();
        }
        let first = self.few.pop()?;
        // Rather than index: without a panic, nothing on this path needs a stack.
        let entry = self.entries.get_mut(first as usize)?;
        Some((first, &mut entry.value))
    }

    /// Queues an element when not all fit into the line.
    #[inline(never)]
    fn insert_among_many(&mut self, element: u32, key: u64) {
        if self.groups == 0 || self.few.is_before_last(key) {
            self.insert_into_line(element, key);
        } else {
            self.place(element, key);
        }
    }

    /// Queues an element that belongs into the line, unless that is full of lesser ones.
    #[inline(never)]
    fn insert_into_line(&mut self, element: u32, key: u64) {
        if self.groups == 0 {
            self.base = self.few.last();
        }
        if self.few.is_before_last(key) {
            if let Some((element, key)) = self.few.make_room() {
                self.place(element, key);
                // It was before all that are in the slots.
                let slot = &mut self.slots[slot_of(key, self.base)];
                *slot = element | *slot & UNSORTED;
            }
            self.few.insert(element, key);
        } else {
            self.place(element, key);
        }
        self.few.open(self.groups == 0);
    }

    /// Moves the least elements from the slots to the line, which is empty: those of one slot.
    #[inline(never)]
    fn refill(&mut self) {
        let slot = loop {
            if self.groups == 0 {
                return;
            }
            let group = self.groups.trailing_zeros();
            let bit = self.occupied[group as usize % GROUPS].trailing_zeros();
            let slot = (group * GROUP_SLOTS + bit) as usize % SLOTS;
            let is_sorted = self.slots[slot] & UNSORTED == 0;
            if group < TOP_GROUP && (is_sorted || !self.is_crowd(slot)) {
                break slot;
            }
            self.sort_out(slot);
        };
        let mut element = self.slots[slot] & !UNSORTED;
        let last = self.entry(element).prev;
        for _ in 0..FEW {
            let entry = self.entry_mut(element);
            let next = mem::replace(&mut entry.next, NONE);
            let key = entry.key;
            self.few.insert(element, key);
            if element == last {
                self.clear(slot);
                self.few.open(self.groups == 0);
                return;
            }
            element = next;
        }
        let marked = &mut self.slots[slot];
        *marked = element | *marked & UNSORTED;
        self.entry_mut(element).prev = last;
        self.entry_mut(last).next = element;
    }

    /// Whether there are more in an occupied slot than the line has room for.
    fn is_crowd(&self, slot: usize) -> bool {
        let first = self.slots[slot] & !UNSORTED;
        let mut element = first;
        for _ in 0..FEW {
            element = self.entry(element).next;
            if element == first {
                return false;
            }
        }
        true
    }

    /// Takes `element`, which is queued, out.
    pub(crate) fn remove(&mut self, element: u32) {
        let entry = self.entry_mut(element);
        let (key, next, prev) = (entry.key, entry.next, entry.prev);
        entry.next = NONE;
        if self.few.remove(element) {
            return;
        }
        let slot = slot_of(key, self.base);
        if next == element {
            self.clear(slot);
            self.few.open(self.groups == 0);
            return;
        }
        let first = &mut self.slots[slot];
        if *first & !UNSORTED == element {
            *first = next | *first & UNSORTED;
        }
        self.entry_mut(next).prev = prev;
        self.entry_mut(prev).next = next;
    }

    /// Moves the elements of the slot with the least keys to lower levels. `slot` is that slot, or
    /// on the highest level any: there the circle of keys closes, so that slots below the base's
    /// are ahead of it, and `base` has to follow the least key.
    #[inline(never)]
    fn sort_out(&mut self, slot: usize) {
        let slot = if slot < TOP_SLOT {
            slot
        } else {
            self.first_top_slot()
        };
        let level_bits = (slot / LEVEL_SLOTS as usize) as u32 * DIGIT_BITS;
        let first = self.slots[slot] & !UNSORTED;
        self.base = self.entry(first).key >> level_bits << level_bits;
        self.clear(slot);
        let mut element = first;
        loop {
            let entry = self.entry(element);
            let (key, next) = (entry.key, entry.next);
            self.place(element, key);
            if next == first {
                break;
            }
            element = next;
        }
    }

    /// The slot with the least keys on the highest level, which is occupied.
    fn first_top_slot(&self) -> usize {
        let start = (self.base >> (u64::BITS - DIGIT_BITS)) as usize;
        let mut slots = (start..).map(|digit| TOP_SLOT + digit % LEVEL_SLOTS as usize);
        slots
            .find(|&slot| self.slots[slot] != NONE)
            .unwrap_or(TOP_SLOT)
    }

    /// Puts `element` into its slot, behind those that are there.
    #[inline(always)]
    fn place(&mut self, element: u32, key: u64) {
        let slot = slot_of(key, self.base);
        let entries = self.entries.as_mut_slice();
        let marked = self.slots[slot];
        let (next, prev) = if marked == NONE {
            self.slots[slot] = element;
            let group = slot / GROUP_SLOTS as usize;
            self.groups |= 1 << group;
            self.occupied[group] |= 1 << (slot % GROUP_SLOTS as usize);
            (element, element)
        } else {
            let first = marked & !UNSORTED;
            let last = mem::replace(&mut entries[first as usize].prev, element);
            let end = &mut entries[last as usize];
            end.next = element;
            if end.key > key {
                self.slots[slot] = first | UNSORTED;
            }
            (first, last)
        };
        // Rather than index: without a panic, nothing on this path needs a stack.
        if let Some(entry) = entries.get_mut(element as usize) {
            entry.key = key;
            entry.next = next;
            entry.prev = prev;
        }
    }

    /// Marks a slot that has lost its last element.
    fn clear(&mut self, slot: usize) {
        self.slots[slot] = NONE;
        let group = slot / GROUP_SLOTS as usize;
        self.occupied[group] &= !(1 << (slot % GROUP_SLOTS as usize));
        if self.occupied[group] == 0 {
            self.groups &= !(1 << group);
        }
    }

    #[inline]
    fn entry(&self, element: u32) -> &Entry<T> {
        &self.entries[element as usize]
    }

    #[inline]
    fn entry_mut(&mut self, element: u32) -> &mut Entry<T> {
        &mut self.entries[element as usize]
    }
}

#[cfg(test)]
mod tests;
