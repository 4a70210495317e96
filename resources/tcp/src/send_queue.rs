//! The send queue: references to the data that is not yet acknowledged, in order.
//!
//! Bytes are named by their offset in the stream, which does not wrap. Any range that is still here
//! can be read as a list of pieces, for a first transmission or a later one; finding its start
//! takes a binary search, and nothing is copied.

use alloc::collections::VecDeque;

use crate::memory::{Buffer, Piece};

/// The most buffers in one queue, whatever their size.
pub(crate) const MAX_CHUNKS: usize = 4096;

struct Chunk<B> {
    /// The offset in the stream of the piece's first byte.
    at: u64,
    piece: Piece<B>,
}

/// Data from the first byte that is not acknowledged to the last that was written.
pub(crate) struct SendQueue<B> {
    chunks: VecDeque<Chunk<B>>,
    start: u64,
    end: u64,
    footprint: usize,
}

impl<B> Default for SendQueue<B> {
    fn default() -> Self {
        Self {
            chunks: VecDeque::new(),
            start: 0,
            end: 0,
            footprint: 0,
        }
    }
}

impl<B: Buffer> SendQueue<B> {
    /// The offset of the first byte that is not acknowledged.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        usize::try_from(self.end - self.start).unwrap_or(usize::MAX)
    }

    /// How much memory is held.
    pub(crate) fn footprint(&self) -> usize {
        self.footprint
    }

    /// Whether there are as many buffers as there may be.
    pub(crate) fn is_crowded(&self) -> bool {
        self.chunks.len() >= MAX_CHUNKS
    }

    /// Adds data at the end.
    pub(crate) fn push(&mut self, piece: Piece<B>) {
        if piece.is_empty() {
            return;
        }
        let at = self.end;
        self.end += piece.len() as u64;
        self.footprint += piece.buffer.footprint();
        self.chunks.push_back(Chunk { at, piece });
    }

    /// Lets go of all before `offset`. Returns how much memory that was.
    pub(crate) fn acknowledge(&mut self, offset: u64) -> usize {
        self.start = offset.clamp(self.start, self.end);
        let before = self.footprint;
        while let Some(chunk) = self.chunks.front()
            && chunk.at + chunk.piece.len() as u64 <= self.start
        {
            self.footprint -= chunk.piece.buffer.footprint();
            self.chunks.pop_front();
        }
        before - self.footprint
    }

    /// How many of the `length` bytes at `offset` lie in at most `most` fragments of memory.
    pub(crate) fn fitting(&self, offset: u64, length: usize, most: usize) -> usize {
        let (mut bytes, mut left) = (0, most);
        for (buffer, start, end) in self.pieces(offset, length) {
            let mut at = start;
            while at < end && left > 0 {
                at = buffer.fragment_end(at).min(end);
                left -= 1;
            }
            bytes += at - start;
            if left == 0 {
                break;
            }
        }
        bytes
    }

    /// The `length` bytes at `offset`, as far as they are here.
    pub(crate) fn pieces(&self, offset: u64, length: usize) -> Pieces<'_, B> {
        let offset = offset.clamp(self.start, self.end);
        let index = self
            .chunks
            .partition_point(|chunk| chunk.at + chunk.piece.len() as u64 <= offset);
        let skip = self.chunks.get(index).map_or(0, |chunk| offset - chunk.at);
        Pieces {
            queue: self,
            index,
            skip: usize::try_from(skip).unwrap_or(0),
            left: length.min(usize::try_from(self.end - offset).unwrap_or(usize::MAX)),
        }
    }
}

/// The pieces of a segment's payload: buffer, start, end.
pub struct Pieces<'a, B> {
    queue: &'a SendQueue<B>,
    index: usize,
    skip: usize,
    left: usize,
}

impl<B> Pieces<'_, B> {
    /// How many bytes are left.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.left
    }
}

impl<'a, B: Buffer> Iterator for Pieces<'a, B> {
    type Item = (&'a B, usize, usize);

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let piece = &self.queue.chunks.get(self.index)?.piece;
        let start = piece.start + self.skip;
        let end = piece.end.min(start + self.left);
        self.left -= end - start;
        self.skip = 0;
        self.index += 1;
        Some((&piece.buffer, start, end))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    impl Buffer for &'static [u8] {
        fn length(&self) -> usize {
            self.len()
        }
    }

    fn bytes(queue: &SendQueue<&'static [u8]>, offset: u64, length: usize) -> Vec<u8> {
        let pieces = queue.pieces(offset, length);
        pieces
            .flat_map(|(buffer, start, end)| buffer[start..end].to_vec())
            .collect()
    }

    /// Bytes in fragments of three.
    struct Scattered(usize);

    impl Buffer for Scattered {
        fn length(&self) -> usize {
            self.0
        }

        fn fragment_end(&self, at: usize) -> usize {
            (at / 3 * 3 + 3).min(self.0)
        }
    }

    #[test]
    fn what_fits_is_counted_in_fragments() {
        let mut queue = SendQueue::default();
        queue.push(Piece::part(Scattered(10), 2, 10));
        queue.push(Piece::whole(Scattered(2)));
        let fitting = |offset, length| {
            let by_most = (0..=5).map(|most| queue.fitting(offset, length, most));
            by_most.collect::<Vec<_>>()
        };
        assert_eq!(fitting(0, 100), [0, 1, 4, 7, 8, 10]);
        assert_eq!(fitting(2, 100), [0, 2, 5, 6, 8, 8]);
        assert_eq!(fitting(0, 5), [0, 1, 4, 5, 5, 5]);
    }

    #[test]
    fn any_range_is_there_until_it_is_acknowledged() {
        let mut queue = SendQueue::default();
        queue.push(Piece::whole(&b"abcd"[..]));
        queue.push(Piece::part(&b"xxefghxx"[..], 2, 6));
        queue.push(Piece::whole(&b""[..]));
        queue.push(Piece::whole(&b"ij"[..]));
        assert_eq!(bytes(&queue, 0, 100), b"abcdefghij");
        assert_eq!(bytes(&queue, 3, 2), b"de");
        assert_eq!((queue.fitting(3, 7, 1), queue.fitting(3, 7, 2)), (1, 5));
        assert_eq!(queue.footprint(), 14);
        assert_eq!(queue.acknowledge(5), 4);
        assert_eq!(bytes(&queue, 5, 100), b"fghij");
        assert_eq!(queue.acknowledge(3), 0, "an old acknowledgment");
        assert_eq!(queue.acknowledge(100), 10);
        assert_eq!((queue.len(), queue.footprint(), queue.start()), (0, 0, 10));
        assert_eq!(bytes(&queue, 0, 100), b"");
    }
}
