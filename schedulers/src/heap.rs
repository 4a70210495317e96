//! A binary heap from which any element can be taken out: the ready sets in which keys may come
//! in any order.
//!
//! [`Heap`] keeps for each element its place in the heap. All operations take O(log n) steps, and
//! allocate nothing once the element has room. Elements with equal keys leave in the order of their
//! numbers, so the order is the same in every run.

use alloc::vec::Vec;

/// The place of an element that is not in the heap.
const NOWHERE: u32 = u32::MAX;

/// A heap of elements, which are dense numbers, with the least key first.
pub(crate) struct Heap<K> {
    entries: Vec<(K, u32)>,
    /// Where in `entries` each element is.
    places: Vec<u32>,
}

impl<K: Ord + Copy> Heap<K> {
    /// An empty heap.
    pub(crate) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            places: Vec::new(),
        }
    }

    /// Makes room for `element`.
    pub(crate) fn reserve(&mut self, element: u32) {
        let needed = element as usize + 1;
        if self.places.len() < needed {
            self.places.resize(needed, NOWHERE);
            self.entries.reserve(needed - self.entries.len());
        }
    }

    /// True if nothing is in the heap.
    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The element with the least key.
    #[inline]
    pub(crate) fn first(&self) -> Option<(u32, K)> {
        self.entries.first().map(|&(key, element)| (element, key))
    }

    /// True if `element` is in the heap.
    #[inline]
    pub(crate) fn contains(&self, element: u32) -> bool {
        self.place_of(element).is_some()
    }

    /// Puts `element`, which has room and is not in the heap, into it.
    pub(crate) fn insert(&mut self, element: u32, key: K) {
        self.entries.push((key, element));
        self.rise(self.entries.len() - 1);
    }

    /// Takes out the element with the least key.
    pub(crate) fn pop(&mut self) -> Option<(u32, K)> {
        let first = self.first()?;
        self.take(0);
        Some(first)
    }

    /// Takes `element` out, if it is in the heap; says whether it was.
    pub(crate) fn remove(&mut self, element: u32) -> bool {
        let place = self.place_of(element);
        if let Some(place) = place {
            self.take(place);
        }
        place.is_some()
    }

    fn place_of(&self, element: u32) -> Option<usize> {
        self.places
            .get(element as usize)
            .filter(|&&place| place != NOWHERE)
            .map(|&place| place as usize)
    }

    fn take(&mut self, place: usize) {
        let Some(last) = self.entries.pop() else {
            return;
        };
        let taken = match self.entries.get_mut(place) {
            Some(entry) => core::mem::replace(entry, last),
            None => last,
        };
        note(&mut self.places, taken.1, NOWHERE as usize);
        // One of both does nothing.
        if place > 0 {
            self.rise(place);
        }
        self.sink(place);
    }

    /// Moves the entry at `place` up to where it belongs, and notes where that is. What is on its
    /// way moves down one by one, into the hole that the entry has left.
    fn rise(&mut self, mut place: usize) {
        let entries = self.entries.as_mut_slice();
        let Some(&entry) = entries.get(place) else {
            return;
        };
        while place > 0 {
            let parent = (place - 1) / 2;
            let above = entries[parent];
            if above <= entry {
                break;
            }
            entries[place] = above;
            note(&mut self.places, above.1, place);
            place = parent;
        }
        entries[place] = entry;
        note(&mut self.places, entry.1, place);
    }

    /// Moves the entry at `place` down to where it belongs, in the same way.
    fn sink(&mut self, mut place: usize) {
        let entries = self.entries.as_mut_slice();
        let Some(&entry) = entries.get(place) else {
            return;
        };
        loop {
            let left = 2 * place + 1;
            let (child, below) = match entries.get(left..) {
                Some(&[one, other, ..]) if other < one => (left + 1, other),
                Some(&[one, ..]) => (left, one),
                _ => break,
            };
            if entry <= below {
                break;
            }
            entries[place] = below;
            note(&mut self.places, below.1, place);
            place = child;
        }
        entries[place] = entry;
        note(&mut self.places, entry.1, place);
    }
}

#[inline]
fn note(places: &mut [u32], element: u32, place: usize) {
    if let Some(noted) = places.get_mut(element as usize) {
        *noted = place as u32;
    }
}

#[cfg(test)]
mod tests;
