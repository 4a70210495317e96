//! A place in a program's buffers, from which a transfer goes on.
//!
//! Key types: [`Cursor`], [`Buffer`].

use super::UserMemory;
use crate::space::UserError;

/// A part of the program's memory: address and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Where it begins.
    pub address: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// A place in a row of buffers.
#[derive(Clone)]
pub struct Cursor<'a> {
    memory: &'a dyn UserMemory,
    buffers: &'a [Buffer],
    /// In the first of them.
    offset: u64,
    left: u64,
}

impl<'a> Cursor<'a> {
    /// Behind the first `done` bytes.
    #[must_use]
    pub fn new(memory: &'a dyn UserMemory, buffers: &'a [Buffer], done: u64) -> Self {
        let mut cursor = Self {
            memory,
            buffers,
            offset: 0,
            left: buffers.iter().map(|buffer| buffer.length).sum(),
        };
        cursor.advance(done);
        cursor
    }

    /// Bytes from here to the end.
    #[must_use]
    pub const fn left(&self) -> u64 {
        self.left
    }

    /// Goes on by so many bytes, at most to the end.
    fn advance(&mut self, bytes: u64) {
        let mut bytes = bytes.min(self.left);
        self.left -= bytes;
        while let [first, rest @ ..] = self.buffers
            && bytes >= first.length - self.offset
        {
            bytes -= first.length - self.offset;
            self.buffers = rest;
            self.offset = 0;
        }
        self.offset += bytes;
    }

    /// The next part that lies in one buffer, of at most so many bytes.
    fn part(&self, limit: usize) -> Option<(u64, usize)> {
        let first = self.buffers.first()?;
        let length = (first.length - self.offset).min(limit as u64);
        Some((first.address + self.offset, usize::try_from(length).ok()?))
    }

    /// Writes bytes to the program's memory, as many as there is room for, and goes on behind them.
    ///
    /// # Errors
    /// [`UserError`]; some may have been written.
    pub fn put(&mut self, mut bytes: &[u8]) -> Result<(), UserError> {
        while let Some((address, length)) = self.part(bytes.len())
            && length > 0
        {
            let (now, later) = bytes.split_at(length);
            self.memory.write(address, now)?;
            self.advance(length as u64);
            bytes = later;
        }
        Ok(())
    }

    /// Reads bytes from the program's memory, as many as there are, and goes on behind them.
    ///
    /// # Errors
    /// [`UserError`]; some may have been read.
    pub fn take(&mut self, mut bytes: &mut [u8]) -> Result<(), UserError> {
        while let Some((address, length)) = self.part(bytes.len())
            && length > 0
        {
            let (now, later) = bytes.split_at_mut(length);
            self.memory.read(address, now)?;
            self.advance(length as u64);
            bytes = later;
        }
        Ok(())
    }
}
