//! What came before its turn: received pieces after a gap, sorted and apart, in bounded memory.
//!
//! A packet at the end of the list, which is where most arrive, costs a binary search. What is here
//! was reported to the peer by SACK but may still be dropped (RFC 2018, section 8), which
//! [`Reassembly::prune`] does when memory is short.

use alloc::collections::VecDeque;

use crate::memory::{Buffer, Piece};
use crate::seq::Seq;

/// The most pieces in one list.
pub(crate) const MAX_PIECES: usize = 2048;

struct Early<B> {
    start: Seq,
    piece: Piece<B>,
}

impl<B: Buffer> Early<B> {
    fn end(&self) -> Seq {
        self.start + length(&self.piece)
    }
}

/// Payloads are shorter than 2³²: they come from IP packets.
fn length<B: Buffer>(piece: &Piece<B>) -> u32 {
    u32::try_from(piece.len()).unwrap_or(u32::MAX)
}

/// What became of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Insert {
    /// Some of it is new and kept.
    Kept,
    /// All of it was there.
    Duplicate,
    /// The list is full.
    Full,
}

/// Pieces after a gap.
pub(crate) struct Reassembly<B> {
    pieces: VecDeque<Early<B>>,
    footprint: usize,
}

impl<B> Default for Reassembly<B> {
    fn default() -> Self {
        Self {
            pieces: VecDeque::new(),
            footprint: 0,
        }
    }
}

impl<B: Buffer> Reassembly<B> {
    /// How much memory is held.
    pub(crate) fn footprint(&self) -> usize {
        self.footprint
    }

    /// Whether there is no gap.
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Adds a piece that starts at `start`. Where it overlaps others, the bytes that came first
    /// stay, unless the new piece covers all of theirs. Returns what became of it, and how much
    /// memory was given back by those that it covers.
    pub(crate) fn insert(&mut self, mut start: Seq, mut piece: Piece<B>) -> (Insert, usize) {
        let mut index = self.first_ending_after(start);
        if let Some(before) = self.pieces.get(index)
            && !before.start.after(start)
        {
            let overlap = before.end().since(start);
            piece.skip(overlap as usize);
            start += overlap;
            index += 1;
        }
        let end = start + length(&piece);
        let covered = self
            .pieces
            .range(index..)
            .take_while(|next| !next.end().after(end))
            .count();
        if let Some(after) = self.pieces.get(index + covered)
            && after.start.before(end)
        {
            piece.truncate(after.start.beyond(start) as usize);
        }
        if piece.is_empty() {
            return (Insert::Duplicate, 0);
        }
        if self.pieces.len() - covered >= MAX_PIECES {
            return (Insert::Full, 0);
        }
        let dropped = self.pieces.drain(index..index + covered);
        let freed = dropped.map(|early| early.piece.buffer.footprint()).sum();
        self.footprint = self.footprint + piece.buffer.footprint() - freed;
        self.pieces.insert(index, Early { start, piece });
        (Insert::Kept, freed)
    }

    fn first_ending_after(&self, start: Seq) -> usize {
        match self.pieces.back() {
            Some(last) if !last.end().after(start) => self.pieces.len(),
            _ => self
                .pieces
                .partition_point(|early| !early.end().after(start)),
        }
    }

    /// Takes the first piece, if `next` is in it or just before it. What comes before `next` is cut
    /// off; the piece may be empty.
    pub(crate) fn take(&mut self, next: Seq) -> Option<Piece<B>> {
        if self.pieces.front()?.start.after(next) {
            return None;
        }
        let Early { start, mut piece } = self.pieces.pop_front()?;
        self.footprint -= piece.buffer.footprint();
        piece.skip(next.since(start) as usize);
        Some(piece)
    }

    /// Drops the last piece. Returns how much memory that gave back.
    pub(crate) fn prune(&mut self) -> Option<usize> {
        let freed = self.pieces.pop_back()?.piece.buffer.footprint();
        self.footprint -= freed;
        Some(freed)
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;
    use alloc::vec;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug)]
    struct Bytes(Vec<u8>);

    impl Buffer for Bytes {
        fn length(&self) -> usize {
            self.0.len()
        }
    }

    proptest! {
        /// Whatever the cuts and the order, across the wrap, the stream comes out once.
        #[test]
        fn the_stream_comes_out_once(parts in prop::collection::vec((0_u32..200, 1_u32..40), 1..60)) {
            let base = Seq(u32::MAX - 100);
            let mut list = Reassembly::default();
            let mut seen = vec![false; 240];
            for &(start, len) in &parts {
                let bytes = Arc::new(Bytes((start..start + len).map(|byte| byte as u8).collect()));
                list.insert(base + start, Piece::whole(bytes));
                seen[start as usize..(start + len) as usize].fill(true);
            }
            let held: usize = list.pieces.iter().map(|early| early.piece.buffer.length()).sum();
            prop_assert_eq!(held, list.footprint());
            let mut next = 0_u32;
            while next < 240 {
                if let Some(piece) = list.take(base + next) {
                    prop_assert!(!piece.is_empty());
                    for &byte in &piece.buffer.0[piece.start..piece.end] {
                        prop_assert_eq!(u32::from(byte), next);
                        prop_assert!(seen[next as usize]);
                        next += 1;
                    }
                } else {
                    prop_assert!(!seen[next as usize]);
                    next += 1;
                }
            }
            prop_assert!(list.is_empty() && list.footprint() == 0);
        }
    }
}
