//! What a connection holds of memory that is not its own: outgoing data that is referred to until
//! it is acknowledged, and received packets until they are read.
//!
//! The kernel gives pinned pages and packet buffers, tests give bytes. Nothing here looks into
//! them: the engine knows lengths only, and the device reads and writes the content.

/// A reference to memory with data; dropping it gives the reference back.
pub trait Buffer {
    /// How many bytes of data there are.
    fn length(&self) -> usize;

    /// How many bytes are held by the reference, at least [`Buffer::length`]: this is what limits
    /// and accounts count, so that many small packets do not hold more than a few large ones.
    fn footprint(&self) -> usize {
        self.length()
    }

    /// Where the fragment of memory ends that byte `at` is in: after `at`, and at most at
    /// [`Buffer::length`]. A device takes each fragment by itself.
    fn fragment_end(&self, _at: usize) -> usize {
        self.length()
    }
}

impl<T: Buffer> Buffer for alloc::sync::Arc<T> {
    fn length(&self) -> usize {
        (**self).length()
    }

    fn footprint(&self) -> usize {
        (**self).footprint()
    }

    fn fragment_end(&self, at: usize) -> usize {
        (**self).fragment_end(at)
    }
}

/// Who pays for the memory that a connection holds: an activity. Every [`Account::charge`] that
/// returned true is undone by [`Account::release`], at the latest when the connection is dropped.
pub trait Account {
    /// Takes over `bytes` more, unless that is too much.
    #[must_use]
    fn charge(&mut self, bytes: usize) -> bool;

    /// Gives `bytes` back.
    fn release(&mut self, bytes: usize);
}

/// No limit, and nothing counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unaccounted;

impl Account for Unaccounted {
    fn charge(&mut self, _bytes: usize) -> bool {
        true
    }

    fn release(&mut self, _bytes: usize) {}
}

/// The types of the machine that a connection runs on.
pub trait Host {
    /// Data to send. Cloning it is cheap: the device needs a reference too, which it may hold for
    /// longer than the connection.
    type Outgoing: Buffer + Clone;
    /// A received packet, or a part of one.
    type Incoming: Buffer;
    /// Who pays.
    type Account: Account;
}

/// A part of a buffer.
#[derive(Clone, Debug)]
pub struct Piece<B> {
    /// The whole of it.
    pub buffer: B,
    /// Where the part starts, in bytes.
    pub start: usize,
    /// Where it ends; at least `start`, and at most the buffer's length.
    pub end: usize,
}

impl<B: Buffer> Piece<B> {
    /// All of a buffer.
    pub fn whole(buffer: B) -> Self {
        let end = buffer.length();
        Self {
            buffer,
            start: 0,
            end,
        }
    }

    /// `start..end` of a buffer, as far as the buffer goes.
    pub fn part(buffer: B, start: usize, end: usize) -> Self {
        let end = end.min(buffer.length());
        let start = start.min(end);
        Self { buffer, start, end }
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Drops up to `bytes` at its start.
    pub(crate) fn skip(&mut self, bytes: usize) {
        self.start += bytes.min(self.len());
    }

    /// Keeps no more than `bytes`.
    pub(crate) fn truncate(&mut self, bytes: usize) {
        self.end = self.start + bytes.min(self.len());
    }
}
