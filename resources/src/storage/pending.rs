//! One activity's requests to one disk that wait: in the order of the disk (C-LOOK), with neighbours
//! merged, and those with one dependency label in the order they came.
//!
//! Key types: [`Pending`], [`Waiting`] (what it needs to know of a request).
//!
//! Invariant: of the requests with one label only the first is in `sorted`; the others wait in
//! `held`, in their order.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

/// A request that waits.
pub(crate) trait Waiting {
    /// Its first block.
    fn first(&self) -> u64;
    /// Its blocks.
    fn blocks(&self) -> u64;
    /// Bytes, and parts of memory.
    fn size(&self) -> (u64, usize);
    /// Requests with one key do the same and may be merged; `None` for one that stands alone.
    fn kind(&self) -> Option<u8>;
    /// Its dependency label; 0 without one.
    fn label(&self) -> u64;
}

/// How far neighbours are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Merging {
    /// Bytes of what is merged.
    pub(crate) bytes: u64,
    /// Parts of memory of it.
    pub(crate) parts: usize,
}

/// The requests.
#[derive(Debug)]
pub(crate) struct Pending<T> {
    /// By first block and number.
    sorted: BTreeMap<(u64, u64), T>,
    held: BTreeMap<u64, VecDeque<T>>,
    /// The next request's number.
    number: u64,
    /// Where the last one that was taken ended.
    position: u64,
    /// Requests that were taken and are not done.
    pub(crate) outstanding: usize,
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self {
            sorted: BTreeMap::new(),
            held: BTreeMap::new(),
            number: 0,
            position: 0,
            outstanding: 0,
        }
    }
}

impl<T: Waiting> Pending<T> {
    /// Adds a request.
    pub(crate) fn add(&mut self, request: T) {
        let label = request.label();
        if label != 0 {
            if let Some(held) = self.held.get_mut(&label) {
                held.push_back(request);
                return;
            }
            self.held.insert(label, VecDeque::new());
        }
        self.sort_in(request);
    }

    fn sort_in(&mut self, request: T) {
        self.sorted.insert((request.first(), self.number), request);
        self.number += 1;
    }

    /// Takes the next request: the first at or above where the last one ended, else the first of
    /// all; and its neighbours, as far as they may be merged. Empty if none waits.
    pub(crate) fn take(&mut self, merging: Merging) -> Vec<T> {
        let above = self.sorted.range((self.position, 0)..).next();
        let key = above.or_else(|| self.sorted.iter().next());
        let Some(key) = key.map(|(key, _)| *key) else {
            return Vec::new();
        };
        let mut taken = Vec::new();
        let Some(first) = self.take_at(key) else {
            return taken;
        };
        self.position = first.first() + first.blocks();
        let (mut bytes, mut parts) = first.size();
        let (kind, label) = (first.kind(), first.label());
        taken.push(first);
        while kind.is_some() {
            let next = self.sorted.range((self.position, 0)..).next();
            let Some((&key, next)) = next else { break };
            let (more_bytes, more_parts) = next.size();
            let fits = bytes + more_bytes <= merging.bytes && parts + more_parts <= merging.parts;
            // One label keeps the order of what is merged with it.
            let ordered = next.label() == 0 || next.label() == label;
            if key.0 != self.position || next.kind() != kind || !fits || !ordered {
                break;
            }
            let Some(next) = self.take_at(key) else { break };
            self.position += next.blocks();
            bytes += more_bytes;
            parts += more_parts;
            taken.push(next);
        }
        taken
    }

    /// Takes a request, and lets the next one with its label follow.
    fn take_at(&mut self, key: (u64, u64)) -> Option<T> {
        let request = self.sorted.remove(&key)?;
        let label = request.label();
        if label != 0 {
            let next = self.held.get_mut(&label).and_then(VecDeque::pop_front);
            match next {
                Some(next) => self.sort_in(next),
                None => {
                    self.held.remove(&label);
                }
            }
        }
        Some(request)
    }

    /// Whether nothing waits, and nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.sorted.is_empty() && self.outstanding == 0
    }
}

#[cfg(test)]
mod tests;
