//! A place in a program's buffers, from which a transfer goes on.
//!
//! Key types: [`Cursor`], [`Buffer`].

use super::UserMemory;
use crate::machine::{Frame, PAGE_SIZE};
use crate::net::Environment;
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

    /// Bytes from here to the end of the page or of the buffer, whichever comes first.
    #[must_use]
    pub(super) fn left_in_page(&self) -> usize {
        let here = self.part(PAGE_SIZE as usize);
        here.map_or(0, |(address, length)| {
            length.min((PAGE_SIZE - address % PAGE_SIZE) as usize)
        })
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

    /// Goes through the next `bytes` bytes, as far as there are so many: `act` gets each part's place
    /// in them, address and length.
    fn each(
        &mut self,
        bytes: usize,
        mut act: impl FnMut(usize, u64, usize) -> Result<(), UserError>,
    ) -> Result<(), UserError> {
        let mut done = 0;
        while let Some((address, length)) = self.part(bytes - done)
            && length > 0
        {
            act(done, address, length)?;
            self.advance(length as u64);
            done += length;
        }
        Ok(())
    }

    /// Writes bytes to the program's memory, as many as there is room for, and goes on behind them.
    ///
    /// # Errors
    /// [`UserError`]; some may have been written.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), UserError> {
        let memory = self.memory;
        self.each(bytes.len(), |done, address, length| {
            memory.write(address, &bytes[done..done + length])
        })
    }

    /// As [`Self::put`], bytes that lie in a frame.
    ///
    /// # Errors
    /// [`UserError`]; some may have been written.
    pub(crate) fn put_from(
        &mut self,
        (frame, offset): (Frame, usize),
        length: usize,
        environment: &dyn Environment,
    ) -> Result<(), UserError> {
        let memory = self.memory;
        self.each(length, |done, address, length| {
            memory.write_from(address, (frame, offset + done), length, environment)
        })
    }

    /// Reads bytes from the program's memory, as many as there are, and goes on behind them.
    ///
    /// # Errors
    /// [`UserError`]; some may have been read.
    pub fn take(&mut self, bytes: &mut [u8]) -> Result<(), UserError> {
        let memory = self.memory;
        self.each(bytes.len(), |done, address, length| {
            memory.read(address, &mut bytes[done..done + length])
        })
    }

    /// As [`Self::take`], into a frame.
    ///
    /// # Errors
    /// [`UserError`]; some may have been read.
    pub(crate) fn take_to(
        &mut self,
        (frame, offset): (Frame, usize),
        length: usize,
        environment: &dyn Environment,
    ) -> Result<(), UserError> {
        let memory = self.memory;
        self.each(length, |done, address, length| {
            memory.read_to(address, (frame, offset + done), length, environment)
        })
    }
}
