//! One address space's page tables as a data structure: walking, mapping, taking apart
//! (Intel SDM volume 3, 4.5).
//!
//! Key types: [`Tables`], over a [`TableMemory`] so that host tests run it on plain memory.
//!
//! Invariants: entries are atomic, since processors set accessed and dirty marks at any moment;
//! only the lower half's entries are ever written; a table that was made stays until all are
//! taken apart.

use core::sync::atomic::{AtomicU64, Ordering};

use vortex_kernel_base::address::{FRAME_SIZE, Frame};

use super::{Access, Mapped, SpaceError, USER_END};

/// The entries of a table.
pub(super) const ENTRIES: usize = 512;
/// The top-level entries of the lower half.
const LOWER_HALF: usize = ENTRIES / 2;
/// The top level.
const TOP: u32 = 4;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// A page table.
pub(super) type Table = [AtomicU64; ENTRIES];

/// Where tables are, and who knows what a frame is used for.
pub(super) trait TableMemory {
    /// The table in a frame that was adopted.
    fn table(&self, frame: Frame) -> &Table;
    /// Makes a frame a table, all entries zero.
    fn adopt(&self, frame: Frame);
    /// A frame is a table no longer.
    fn dismiss(&self, frame: Frame);
    /// A frame is mapped once more.
    fn retain(&self, frame: Frame);
    /// A frame is mapped once less.
    fn release(&self, frame: Frame);
}

/// The tables of one address space.
pub(super) struct Tables<M> {
    memory: M,
    /// `None` once taken apart.
    root: Option<Frame>,
    /// How many pages are mapped.
    pages: u64,
}

/// Which entry of a table of `level` (4 at the top, 1 for pages) maps `address`.
fn index(address: u64, level: u32) -> usize {
    (address >> span_bits(level)) as usize % ENTRIES
}

/// The binary logarithm of the bytes that an entry of a table of `level` maps.
const fn span_bits(level: u32) -> u32 {
    12 + 9 * (level - 1)
}

/// The frame an entry names.
fn target(entry: u64) -> Frame {
    Frame::containing(entry & ADDRESS)
}

/// The bits of an entry for a page.
fn rights(access: Access) -> u64 {
    let write = if access.write { WRITABLE } else { 0 };
    let execute = if access.execute { 0 } else { NO_EXECUTE };
    write | execute
}

fn describe(entry: u64) -> Mapped {
    Mapped {
        frame: target(entry),
        access: Access {
            write: entry & WRITABLE != 0,
            execute: entry & NO_EXECUTE == 0,
        },
        accessed: entry & ACCESSED != 0,
        dirty: entry & DIRTY != 0,
    }
}

impl<M: TableMemory> Tables<M> {
    /// No pages; the upper half's entries are `kernel_half`'s.
    pub(super) fn new(memory: M, root: Frame, kernel_half: &[u64]) -> Self {
        memory.adopt(root);
        let entries = &memory.table(root)[LOWER_HALF..];
        for (entry, value) in entries.iter().zip(kernel_half) {
            entry.store(*value, Ordering::Relaxed);
        }
        Self {
            memory,
            root: Some(root),
            pages: 0,
        }
    }

    /// The entry of the page at `address`; or, if a table is missing on the way, how many bits an
    /// address has below the entry where it is missing.
    fn entry(&self, address: u64) -> Result<&AtomicU64, u32> {
        let mut frame = self.root.ok_or(63_u32)?;
        for level in (2..=TOP).rev() {
            let entry = self.memory.table(frame)[index(address, level)].load(Ordering::Acquire);
            if entry & PRESENT == 0 {
                return Err(span_bits(level));
            }
            frame = target(entry);
        }
        Ok(&self.memory.table(frame)[index(address, 1)])
    }

    /// The entry of a page that is mapped.
    fn mapped_entry(&self, address: u64) -> Option<&AtomicU64> {
        if address >= USER_END {
            return None;
        }
        let entry = self.entry(address).ok()?;
        (entry.load(Ordering::Relaxed) & PRESENT != 0).then_some(entry)
    }

    /// See [`super::AddressSpace::map`].
    pub(super) fn map(
        &mut self,
        address: u64,
        frame: Frame,
        access: Access,
        allocate: &mut dyn FnMut() -> Option<Frame>,
    ) -> Result<(), SpaceError> {
        if address >= USER_END {
            return Err(SpaceError::NotUser(address));
        }
        let mut table = self.root.ok_or(SpaceError::Released)?;
        for level in (2..=TOP).rev() {
            let entry = &self.memory.table(table)[index(address, level)];
            let value = entry.load(Ordering::Relaxed);
            table = if value & PRESENT != 0 {
                target(value)
            } else {
                let next = allocate().ok_or(SpaceError::OutOfFrames)?;
                self.memory.adopt(next);
                // Rights are the pages' own.
                let value = next.address() | PRESENT | WRITABLE | USER;
                entry.store(value, Ordering::Release);
                next
            };
        }
        let entry = &self.memory.table(table)[index(address, 1)];
        if entry.load(Ordering::Relaxed) & PRESENT != 0 {
            return Err(SpaceError::Mapped(address));
        }
        self.memory.retain(frame);
        self.pages += 1;
        let value = frame.address() | PRESENT | USER | rights(access);
        entry.store(value, Ordering::Release);
        Ok(())
    }

    /// See [`super::AddressSpace::unmap`].
    pub(super) fn unmap(&mut self, address: u64) -> Option<Mapped> {
        // A processor sets a mark only in an entry that is present at that moment, so none is
        // lost between reading and clearing.
        let old = self.mapped_entry(address)?.swap(0, Ordering::AcqRel);
        self.memory.release(target(old));
        self.pages -= 1;
        Some(describe(old))
    }

    /// See [`super::AddressSpace::protect`].
    pub(super) fn protect(&mut self, address: u64, access: Access) -> bool {
        let Some(entry) = self.mapped_entry(address) else {
            return false;
        };
        let change = |old| Some(old & !(WRITABLE | NO_EXECUTE) | rights(access));
        entry
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, change)
            .is_ok()
    }

    /// See [`super::AddressSpace::lookup`].
    pub(super) fn lookup(&self, address: u64) -> Option<Mapped> {
        let entry = self.mapped_entry(address)?;
        Some(describe(entry.load(Ordering::Relaxed)))
    }

    /// See [`super::AddressSpace::take_accessed`].
    pub(super) fn take_accessed(&mut self, address: u64) -> bool {
        let entry = self.mapped_entry(address);
        entry.is_some_and(|entry| entry.fetch_and(!ACCESSED, Ordering::AcqRel) & ACCESSED != 0)
    }

    /// See [`super::AddressSpace::next_mapped`].
    pub(super) fn next_mapped(&self, start: u64, end: u64) -> Option<(u64, Mapped)> {
        let end = end.min(USER_END);
        let mut address = start & !(FRAME_SIZE - 1);
        while address < end {
            let step = match self.entry(address) {
                Ok(entry) => {
                    let value = entry.load(Ordering::Relaxed);
                    if value & PRESENT != 0 {
                        return Some((address, describe(value)));
                    }
                    span_bits(1)
                }
                Err(missing) => missing,
            };
            // The start of the next entry of that size.
            address = ((address >> step) + 1) << step;
        }
        None
    }

    /// See [`super::AddressSpace::release`].
    pub(super) fn release(&mut self, limit: usize, free: &mut dyn FnMut(Frame)) -> bool {
        assert!(
            self.pages == 0,
            "page tables taken apart with {} pages mapped",
            self.pages
        );
        for _ in 0..limit {
            match self.take_lowest() {
                Some(frame) => {
                    self.memory.dismiss(frame);
                    free(frame);
                }
                None => return true,
            }
        }
        self.root.is_none()
    }

    /// Takes out a table that leads to no other; the root last.
    fn take_lowest(&mut self) -> Option<Frame> {
        let mut frame = self.root?;
        let mut link: Option<&AtomicU64> = None;
        for level in (2..=TOP).rev() {
            let entries = &self.memory.table(frame)[..];
            let entries = if level == TOP {
                &entries[..LOWER_HALF]
            } else {
                entries
            };
            let is_present = |entry: &&AtomicU64| entry.load(Ordering::Relaxed) & PRESENT != 0;
            let Some(entry) = entries.iter().find(is_present) else {
                break;
            };
            frame = target(entry.load(Ordering::Relaxed));
            link = Some(entry);
        }
        match link {
            Some(link) => link.store(0, Ordering::Relaxed),
            None => self.root = None,
        }
        Some(frame)
    }
}

#[cfg(test)]
mod tests;
