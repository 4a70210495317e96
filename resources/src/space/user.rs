//! User memory as the kernel reaches it: through the tables, never by a user's address.

use alloc::vec;
use alloc::vec::Vec;

use super::fault::page_of;
use super::region::Content;
use super::{Fault, Inner, Pinned, Space, UserError};
use crate::machine::{Access, Frame, Machine, PAGE_SIZE, PageTables, USER_END};

impl From<(Fault, u64, bool)> for UserError {
    fn from((fault, address, write): (Fault, u64, bool)) -> Self {
        match fault {
            Fault::Fetch(..) | Fault::Refused(_) | Fault::Resolved => Self::Absent(address, write),
            Fault::Violation(_) | Fault::BeyondEnd => Self::Bad,
        }
    }
}

/// Whether all of a range is in user space.
fn check(address: u64, length: usize) -> Result<(), UserError> {
    let length = u64::try_from(length).map_err(|_| UserError::Bad)?;
    match address.checked_add(length) {
        Some(end) if end <= USER_END => Ok(()),
        _ => Err(UserError::Bad),
    }
}

/// The parts of a range by pages: address, and where it is in the buffer.
fn by_page(address: u64, length: usize) -> impl Iterator<Item = (u64, core::ops::Range<usize>)> {
    let mut at = 0;
    core::iter::from_fn(move || {
        if at == length {
            return None;
        }
        let from = address + at as u64;
        let in_page = (PAGE_SIZE - from % PAGE_SIZE) as usize;
        let part = at..length.min(at + in_page);
        at = part.end;
        Some((from, part))
    })
}

const fn offset(address: u64) -> usize {
    (address % PAGE_SIZE) as usize
}

impl<M: Machine> Inner<M> {
    /// The frame that an address is in, ready for the access.
    fn frame(&mut self, address: u64, write: bool) -> Result<Frame, UserError> {
        let wanted = Access {
            write,
            execute: false,
        };
        // What is mapped may be used by whoever asks: most of what is asked for is.
        if let Some(mapped) = self.pages.tables.lookup(page_of(address))
            && (mapped.access.write || !write)
        {
            return Ok(mapped.frame);
        }
        match self.bring_in(address, wanted) {
            Ok(mapped) => Ok(mapped.frame),
            Err(fault) => Err(UserError::from((fault, address, write))),
        }
    }
}

impl<M: Machine> Space<M> {
    pub(super) fn read_user(&self, address: u64, into: &mut [u8]) -> Result<(), UserError> {
        check(address, into.len())?;
        for (from, part) in by_page(address, into.len()) {
            let mut inner = self.inner.lock();
            let frame = inner.frame(from, false)?;
            self.machine
                .read_frame(frame, offset(from), &mut into[part]);
        }
        Ok(())
    }

    pub(super) fn write_user(&self, address: u64, bytes: &[u8]) -> Result<(), UserError> {
        check(address, bytes.len())?;
        for (to, part) in by_page(address, bytes.len()) {
            let mut inner = self.inner.lock();
            let frame = inner.frame(to, true)?;
            self.machine.write_frame(frame, offset(to), &bytes[part]);
            self.memory.inform(frame, true, true);
        }
        Ok(())
    }

    pub(super) fn read_user_to(
        &self,
        address: u64,
        (to, start): (Frame, usize),
        length: usize,
    ) -> Result<(), UserError> {
        check(address, length)?;
        for (from, part) in by_page(address, length) {
            let mut inner = self.inner.lock();
            let frame = inner.frame(from, false)?;
            let to = (to, start + part.start);
            self.machine
                .copy_part((frame, offset(from)), to, part.len());
        }
        Ok(())
    }

    pub(super) fn write_user_from(
        &self,
        address: u64,
        (from, start): (Frame, usize),
        length: usize,
    ) -> Result<(), UserError> {
        check(address, length)?;
        for (to, part) in by_page(address, length) {
            let mut inner = self.inner.lock();
            let frame = inner.frame(to, true)?;
            let from = (from, start + part.start);
            self.machine
                .copy_part(from, (frame, offset(to)), part.len());
            self.memory.inform(frame, true, true);
        }
        Ok(())
    }

    pub(super) fn read_user_string(
        &self,
        address: u64,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, UserError> {
        let mut string = Vec::new();
        let mut at = address;
        while string.len() <= limit {
            check(at, 1)?;
            let in_page = (PAGE_SIZE as usize) - offset(at);
            let mut part = vec![0; in_page.min(limit + 1 - string.len())];
            self.read_user(at, &mut part)?;
            if let Some(end) = part.iter().position(|&byte| byte == 0) {
                string.extend_from_slice(&part[..end]);
                return Ok(Some(string));
            }
            at += part.len() as u64;
            string.append(&mut part);
        }
        Ok(None)
    }

    /// Does something with the frame that an aligned word is in.
    pub(super) fn at_word<T>(
        &self,
        address: u64,
        write: bool,
        act: impl FnOnce(&M, Frame, usize) -> T,
    ) -> Result<T, UserError> {
        if !address.is_multiple_of(4) {
            return Err(UserError::Bad);
        }
        check(address, 4)?;
        let mut inner = self.inner.lock();
        let frame = inner.frame(address, write)?;
        Ok(act(&self.machine, frame, offset(address)))
    }

    pub(super) fn key(&self, address: u64) -> Result<(u64, u64), UserError> {
        check(address, 1)?;
        let inner = self.inner.lock();
        let (_, region) = inner.regions.at(address).ok_or(UserError::Bad)?;
        let readable = Access {
            write: false,
            execute: false,
        };
        if !region.protection.allows(readable) {
            return Err(UserError::Bad);
        }
        Ok(match &region.content {
            Content::Common(common, origin) => {
                (KIND_COMMON | common.number(), address.wrapping_sub(*origin))
            }
            Content::File(part, origin) if region.shared => (
                KIND_OBJECT | part.object.number(),
                part.offset + address.wrapping_sub(*origin),
            ),
            _ => (KIND_PRIVATE | self.number, address),
        })
    }

    pub(super) fn pin_user(
        &self,
        address: u64,
        length: usize,
        write: bool,
    ) -> Result<Pinned<M>, UserError> {
        let pinned = self.pin_user_part(address, length, write)?;
        if pinned.length < length.min(Pinned::<M>::MAX) {
            return Err(UserError::Bad);
        }
        Ok(pinned)
    }

    pub(super) fn pin_user_part(
        &self,
        address: u64,
        length: usize,
        write: bool,
    ) -> Result<Pinned<M>, UserError> {
        check(address, length)?;
        let length = length.min(Pinned::<M>::MAX);
        let mut pinned = Pinned {
            machine: self.machine.clone(),
            memory: self.memory.clone(),
            frames: Vec::new(),
            first: offset(address),
            length,
        };
        let mut at = page_of(address);
        while length > 0 && at < address + length as u64 {
            let mut inner = self.inner.lock();
            let frame = match inner.frame(at.max(address), write) {
                Err(UserError::Bad) if at > address => {
                    pinned.length = (at - address) as usize;
                    break;
                }
                frame => frame?,
            };
            self.memory.pin(frame);
            pinned.frames.push(frame);
            at += PAGE_SIZE;
        }
        Ok(pinned)
    }
}

/// The top bits of a futex's key say what it counts from; numbers stay far below them.
const KIND_PRIVATE: u64 = 1 << 62;
const KIND_COMMON: u64 = 2 << 62;
const KIND_OBJECT: u64 = 3 << 62;
