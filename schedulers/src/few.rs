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
    /// Where the next one would be behind all; likewise.
    end: u32,
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
            end: 0,
            limit: FEW as u32,
        }
    }

    #[inline(always)]
    const fn len(&self) -> u32 {
        self.end.wrapping_sub(self.head)
    }

    #[inline(always)]
    pub(crate) const fn is_empty(&self) -> bool {
        self.head == self.end
    }

    /// Whether anyone may come in, and there is room.
    #[inline(always)]
    pub(crate) const fn is_open(&self) -> bool {
        self.len() < self.limit
    }

    /// Opens the line for all, or closes it.
    pub(crate) const fn open(&mut self, open: bool) {
        self.limit = if open { FEW as u32 } else { 0 };
    }

    const fn key(&self, position: u32) -> u64 {
        self.keys[index(position)]
    }

    /// The key taken out last.
    pub(crate) const fn last(&self) -> u64 {
        self.key(self.head.wrapping_sub(1))
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
        let mut place = index(self.end);
        self.end = self.end.wrapping_add(1);
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
        if self.is_empty() {
            return None;
        }
        let first = self.element(self.head);
        self.head = self.head.wrapping_add(1);
        Some(first)
    }

    #[inline(always)]
    const fn element(&self, position: u32) -> u32 {
        self.elements[index(position)]
    }

    /// Whether the greatest key here is greater than this.
    #[inline(always)]
    pub(crate) fn is_before_last(&self, key: u64) -> bool {
        let last = self.key(self.end.wrapping_sub(1));
        !self.is_empty() && key.wrapping_sub(last).cast_signed() < 0
    }

    /// Takes out the last one, if the line is full.
    pub(crate) fn make_room(&mut self) -> Option<(u32, u64)> {
        if self.len() < FEW as u32 {
            return None;
        }
        self.end = self.end.wrapping_sub(1);
        Some((self.element(self.end), self.key(self.end)))
    }

    fn position(&self, element: u32) -> Option<u32> {
        let mut positions = (0..self.len()).map(|place| self.head.wrapping_add(place));
        positions.find(|&position| self.element(position) == element)
    }

    /// Whether `element` is here.
    pub(crate) fn contains(&self, element: u32) -> bool {
        self.position(element).is_some()
    }

    /// Takes out `element`; says whether it was there.
    pub(crate) fn remove(&mut self, element: u32) -> bool {
        let Some(mut position) = self.position(element) else {
            return false;
        };
        self.end = self.end.wrapping_sub(1);
        while position != self.end {
            let next = position.wrapping_add(1);
            self.keys[index(position)] = self.keys[index(next)];
            self.elements[index(position)] = self.elements[index(next)];
            position = next;
        }
        true
    }
}
