//! A short line in order of keys: the priority queue of those who are few.
//!
//! [`Few`] is a sorted ring in an array. Who is taken out is at the head; who comes in is compared
//! with the last ones first, for the keys of fair queueing mostly come in near the end. Nothing
//! that is in memory in order is slower than that, as long as it is short.
//!
//! Invariant: from the head on, keys ascend, on a circle of 2^64 of which they take up less than one
//! half; equal ones are in order of insertion.

/// How many fit: a power of two.
pub(crate) const FEW: usize = 16;

/// Elements in order of their keys.
pub(crate) struct Few {
    keys: [u64; FEW],
    elements: [u32; FEW],
    /// Where the first one is; counts on without end, modulo [`FEW`].
    head: u32,
    len: u32,
    /// With fewer than this, the line is open: [`FEW`] or none.
    limit: u32,
}

const fn index(position: u32) -> usize {
    position as usize % FEW
}

impl Few {
    /// An empty line with room.
    pub(crate) const fn new() -> Self {
        Self {
            keys: [0; FEW],
            elements: [0; FEW],
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

    /// Puts an element in its place; there is room.
    #[inline(always)]
    pub(crate) fn insert(&mut self, element: u32, key: u64) {
        let head = index(self.head);
        let mut place = index(self.head.wrapping_add(self.len));
        self.len += 1;
        while place != head {
            let before = place.wrapping_sub(1) % FEW;
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

    /// Takes out the first one, with its key.
    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<(u32, u64)> {
        self.len = self.len.checked_sub(1)?;
        let first = index(self.head);
        self.head = self.head.wrapping_add(1);
        Some((self.elements[first], self.keys[first]))
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
        let len = self.len;
        for _ in 0..len {
            if let Some((other, key)) = self.pop()
                && other != element
            {
                let last = index(self.head.wrapping_add(self.len));
                self.keys[last] = key;
                self.elements[last] = other;
                self.len += 1;
            }
        }
        self.len < len
    }
}
