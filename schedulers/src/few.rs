//! A short line in order of keys: the priority queue of those who are few.
//!
//! [`Few`] is a sorted ring in an array. Who is taken out is at the head; who comes in is compared
//! with the last ones first, for the keys of fair queueing mostly come in near the end. Nothing
//! that is in memory in order is slower than that, as long as it is short.
//!
//! Invariants:
//! - From the head on, keys ascend, on a circle of 2^64 of which they take up less than one half;
//!   equal ones are in order of insertion.
//! - Before the head stands the key taken out last. None that comes in is less, so that whoever
//!   comes in finds his place by that one at the latest.

/// How many fit: a power of two.
pub(crate) const FEW: usize = 16;

/// Places in the ring: for those who fit and the key before them.
const PLACES: usize = 2 * FEW;

/// Elements in order of their keys.
pub(crate) struct Few {
    keys: [u64; PLACES],
    elements: [u32; PLACES],
    /// Where the first one is; counts on without end, modulo [`PLACES`].
    head: u32,
    len: u32,
    /// With fewer than this, the line is open: [`FEW`] or none.
    limit: u32,
}

const fn index(position: u32) -> usize {
    position as usize % PLACES
}

impl Few {
    /// An empty line with room.
    pub(crate) const fn new() -> Self {
        Self {
            keys: [0; PLACES],
            elements: [0; PLACES],
            head: 0,
            len: 0,
            limit: FEW as u32,
        }
    }

    #[inline(always)]
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether anyone may come in, and there is room.
    #[inline(always)]
    pub(crate) const fn is_open(&self) -> bool {
        self.len < self.limit
    }

    /// Opens the line for all, or closes it.
    pub(crate) const fn open(&mut self, open: bool) {
        self.limit = if open { FEW as u32 } else { 0 };
    }

    /// The key taken out last.
    pub(crate) const fn last(&self) -> u64 {
        self.keys[index(self.head.wrapping_sub(1))]
    }

    /// Starts a new course of keys, as if `key` had been taken out last. The line is empty.
    pub(crate) const fn restart(&mut self, key: u64) {
        self.keys[index(self.head.wrapping_sub(1))] = key;
    }

    /// Puts an element in its place; there is room. `key` is less than half the circle above the one
    /// taken out last.
    #[inline(always)]
    pub(crate) fn insert(&mut self, element: u32, key: u64) {
        debug_assert!(key.wrapping_sub(self.last()).cast_signed() >= 0);
        let mut place = index(self.head.wrapping_add(self.len));
        self.len += 1;
        loop {
            let before = place.wrapping_sub(1) % PLACES;
            let other = self.keys[before];
            if key.wrapping_sub(other).cast_signed() >= 0 {
                break;
            }
            self.keys[place] = other;
            self.elements[place] = self.elements[before];
            place = before;
        }
        self.keys[place] = key;
        self.elements[place] = element;
    }

    /// Takes out the first one.
    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<u32> {
        self.len = self.len.checked_sub(1)?;
        let first = index(self.head);
        self.head = self.head.wrapping_add(1);
        Some(self.elements[first])
    }

    /// Whether the greatest key here is greater than this.
    #[inline(always)]
    pub(crate) fn is_before_last(&self, key: u64) -> bool {
        let last = self.head.wrapping_add(self.len).wrapping_sub(1);
        self.len > 0 && key.wrapping_sub(self.keys[index(last)]).cast_signed() < 0
    }

    /// Takes out the last one, if the line is full.
    pub(crate) fn make_room(&mut self) -> Option<(u32, u64)> {
        if self.len < FEW as u32 {
            return None;
        }
        self.len -= 1;
        let last = index(self.head.wrapping_add(self.len));
        Some((self.elements[last], self.keys[last]))
    }

    /// Takes out `element`; says whether it was there.
    pub(crate) fn remove(&mut self, element: u32) -> bool {
        let end = self.head.wrapping_add(self.len);
        let mut position = self.head;
        while position != end && self.elements[index(position)] != element {
            position = position.wrapping_add(1);
        }
        if position == end {
            return false;
        }
        self.len -= 1;
        for _ in 1..end.wrapping_sub(position) {
            let next = position.wrapping_add(1);
            self.keys[index(position)] = self.keys[index(next)];
            self.elements[index(position)] = self.elements[index(next)];
            position = next;
        }
        true
    }
}
