//! The receive queue: received packets in order, until the application has read them.

use alloc::collections::VecDeque;

use crate::memory::{Buffer, Piece};

/// Data that is ready to be read.
pub(crate) struct ReceiveQueue<B> {
    pieces: VecDeque<Piece<B>>,
    bytes: usize,
    footprint: usize,
}

impl<B> Default for ReceiveQueue<B> {
    fn default() -> Self {
        Self {
            pieces: VecDeque::new(),
            bytes: 0,
            footprint: 0,
        }
    }
}

impl<B: Buffer> ReceiveQueue<B> {
    /// How many bytes are ready.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    /// How much memory is held.
    pub(crate) fn footprint(&self) -> usize {
        self.footprint
    }

    /// Adds data at the end; it is not empty.
    pub(crate) fn push(&mut self, piece: Piece<B>) {
        self.bytes += piece.len();
        self.footprint += piece.buffer.footprint();
        self.pieces.push_back(piece);
    }

    /// What is ready, in order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (&B, usize, usize)> {
        self.pieces
            .iter()
            .map(|piece| (&piece.buffer, piece.start, piece.end))
    }

    /// Takes the first buffer with what is left in it.
    pub(crate) fn take(&mut self) -> Option<Piece<B>> {
        let piece = self.pieces.pop_front()?;
        self.bytes -= piece.len();
        self.footprint -= piece.buffer.footprint();
        Some(piece)
    }

    /// Lets go of the first `bytes`. Returns how much memory that was.
    pub(crate) fn consume(&mut self, bytes: usize) -> usize {
        let before = self.footprint;
        let mut left = bytes.min(self.bytes);
        self.bytes -= left;
        while left > 0
            && let Some(piece) = self.pieces.front_mut()
        {
            let part = left.min(piece.len());
            piece.skip(part);
            left -= part;
            if piece.is_empty() {
                self.footprint -= piece.buffer.footprint();
                self.pieces.pop_front();
            }
        }
        before - self.footprint
    }
}
