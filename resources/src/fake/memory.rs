//! Fake frames and fake page tables.
//!
//! Key types: [`Memory`] (the frames; clones are the same memory), [`Tables`] (one address space's),
//! [`Root`] (what a fake processor reaches user memory through, with a TLB of its own).
//!
//! Noticed by a panic: a frame given back twice, or used while it is free; a frame that is given
//! back while a translation to it has not been flushed, or while it is still a table; a page mapped
//! twice, or at a kernel address; tables released with pages in them. A frame that is taken is full of
//! [`POISON`], so memory that was not cleared shows. A translation used before stays usable until it
//! is flushed, as in a TLB, so rights taken away without a flush show.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::sync::Arc;
use alloc::vec::Vec;

use spin::Mutex;
use vortex_toolkit::memory::Frames;

use crate::machine::{Access, Frame, Mapped, PAGE_SIZE, PageTables, USER_END};

/// What frames are full of that nobody has written.
pub const POISON: u8 = 0xDB;

const PAGE: usize = PAGE_SIZE as usize;

/// One frame.
#[derive(Debug, Default)]
struct Slot {
    taken: bool,
    table: bool,
    /// Translations that were unmapped but not flushed.
    stale: u32,
    /// [`POISON`] if it has not been written.
    contents: Option<Box<[u8; PAGE]>>,
}

#[derive(Debug)]
struct State {
    slots: Vec<Slot>,
    free: Vec<Frame>,
    /// So many can still be taken.
    allowance: Option<usize>,
}

impl State {
    #[track_caller]
    fn used(&mut self, frame: Frame) -> &mut Slot {
        let slot = &mut self.slots[frame.index()];
        assert!(slot.taken, "{frame:?} is used while it is free");
        slot
    }

    #[track_caller]
    fn bytes(&mut self, frame: Frame) -> &mut [u8; PAGE] {
        let slot = self.used(frame);
        assert!(
            !slot.table,
            "{frame:?} is used as a page while it is a table"
        );
        slot.contents
            .get_or_insert_with(|| Box::new([POISON; PAGE]))
    }
}

/// The frames. The methods named like those of [`crate::machine::Machine`] do what it says there.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Mutex<State>>);

impl Memory {
    /// So many frames, all free.
    #[must_use]
    pub fn new(frames: u32) -> Self {
        Self(Arc::new(Mutex::new(State {
            slots: (0..frames).map(|_| Slot::default()).collect(),
            free: (0..frames).rev().map(Frame).collect(),
            allowance: None,
        })))
    }

    /// After so many more, no frame can be taken, as if others had been faster; `None` for as many
    /// as there are.
    pub fn set_allowance(&self, frames: Option<usize>) {
        self.0.lock().allowance = frames;
    }

    /// Frames that are not free.
    #[must_use]
    pub fn taken(&self) -> usize {
        let state = self.0.lock();
        state.slots.len() - state.free.len()
    }

    /// As `Machine::zero_frame`.
    pub fn zero_frame(&self, frame: Frame) {
        self.0.lock().bytes(frame).fill(0);
    }

    /// As `Machine::copy_frame`.
    pub fn copy_frame(&self, from: Frame, to: Frame) {
        let mut state = self.0.lock();
        let copy = *state.bytes(from);
        *state.bytes(to) = copy;
    }

    /// As `Machine::copy_part`.
    pub fn copy_part(&self, from: (Frame, usize), to: (Frame, usize), length: usize) {
        let mut state = self.0.lock();
        let copy = *state.bytes(from.0);
        let part = &copy[from.1..from.1 + length];
        state.bytes(to.0)[to.1..to.1 + length].copy_from_slice(part);
    }

    /// As `Machine::read_frame`.
    pub fn read_frame(&self, frame: Frame, offset: usize, into: &mut [u8]) {
        into.copy_from_slice(&self.0.lock().bytes(frame)[offset..offset + into.len()]);
    }

    /// As `Machine::write_frame`.
    pub fn write_frame(&self, frame: Frame, offset: usize, from: &[u8]) {
        self.0.lock().bytes(frame)[offset..offset + from.len()].copy_from_slice(from);
    }

    /// As `Machine::load_u32`.
    #[must_use]
    pub fn load_u32(&self, frame: Frame, offset: usize) -> u32 {
        word(self.0.lock().bytes(frame), offset)
    }

    /// As `Machine::compare_exchange_u32`.
    ///
    /// # Errors
    /// What was there, if it was not `current`.
    pub fn compare_exchange_u32(
        &self,
        frame: Frame,
        offset: usize,
        current: u32,
        new: u32,
    ) -> Result<u32, u32> {
        let mut state = self.0.lock();
        let bytes = state.bytes(frame);
        let was = word(bytes, offset);
        if was != current {
            return Err(was);
        }
        bytes[offset..offset + 4].copy_from_slice(&new.to_le_bytes());
        Ok(was)
    }

    /// As `Machine::new_tables`.
    pub fn new_tables(&self, frames: &mut dyn FnMut() -> Option<Frame>) -> Option<Tables> {
        let mut tables = Translations::default();
        let root = frames()?;
        self.make_table(root);
        tables.tables.insert(TOP, root);
        Some(Tables(Root {
            memory: self.clone(),
            shared: Arc::new(Mutex::new(tables)),
        }))
    }

    fn make_table(&self, frame: Frame) {
        let mut state = self.0.lock();
        let slot = state.used(frame);
        assert!(!slot.table, "{frame:?} is two tables");
        slot.table = true;
        slot.contents = None;
    }
}

fn word(bytes: &[u8; PAGE], offset: usize) -> u32 {
    assert!(offset.is_multiple_of(4), "a word is aligned");
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_le_bytes(word)
}

impl Frames for Memory {
    fn take(&self) -> Option<Frame> {
        let mut state = self.0.lock();
        if let Some(left) = &mut state.allowance {
            *left = left.checked_sub(1)?;
        }
        let frame = state.free.pop()?;
        let slot = &mut state.slots[frame.index()];
        assert!(!slot.taken, "{frame:?} is free and taken");
        slot.taken = true;
        Some(frame)
    }

    fn give(&self, frame: Frame) {
        let mut state = self.0.lock();
        let slot = &mut state.slots[frame.index()];
        assert!(slot.taken, "{frame:?} is given back twice");
        assert!(!slot.table, "{frame:?} is given back while it is a table");
        assert_eq!(slot.stale, 0, "{frame:?} is given back before its flush");
        *slot = Slot::default();
        state.free.push(frame);
    }

    fn limit(&self) -> usize {
        self.0.lock().slots.len()
    }

    fn available(&self) -> usize {
        self.0.lock().free.len()
    }
}

/// A table's place: how many bits of an address one entry of it covers, and its number among those.
type Place = (u32, u64);

/// The top-level table, which is always there.
const TOP: Place = (39, 0);

/// The tables that the translation of an address goes through, the top-level one first.
fn walk(address: u64) -> [Place; 4] {
    [39, 30, 21, 12].map(|bits| (bits, address >> (bits + 9)))
}

/// What the tables of an address space say, and what a processor remembers of it.
#[derive(Debug, Default)]
struct Translations {
    pages: BTreeMap<u64, Mapped>,
    tables: BTreeMap<Place, Frame>,
    /// Unmapped since the last flush.
    stale: Vec<(u64, Frame)>,
    /// What processors remember.
    remembered: BTreeMap<u64, (Frame, Access)>,
    flushes: u64,
}

/// A user access that is not possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageFault {
    /// The address.
    pub address: u64,
    /// What was wanted.
    pub access: Access,
}

/// What a fake processor runs on.
#[derive(Clone, Debug)]
pub struct Root {
    memory: Memory,
    shared: Arc<Mutex<Translations>>,
}

impl Root {
    /// Reads as a program in user mode does.
    ///
    /// # Errors
    /// At the first address that cannot be read.
    pub fn load(&self, address: u64, into: &mut [u8]) -> Result<(), PageFault> {
        let access = Access {
            write: false,
            execute: false,
        };
        for (at, byte) in (address..).zip(into) {
            let frame = self.translate(at, access)?;
            self.memory.read_frame(
                frame,
                (at % PAGE_SIZE) as usize,
                core::slice::from_mut(byte),
            );
        }
        Ok(())
    }

    /// Writes as a program in user mode does.
    ///
    /// # Errors
    /// At the first address that cannot be written.
    pub fn store(&self, address: u64, from: &[u8]) -> Result<(), PageFault> {
        let access = Access {
            write: true,
            execute: false,
        };
        for (at, byte) in (address..).zip(from) {
            let frame = self.translate(at, access)?;
            self.memory.write_frame(
                frame,
                (at % PAGE_SIZE) as usize,
                core::slice::from_ref(byte),
            );
        }
        Ok(())
    }

    /// The frame of an address, for an access in user mode; sets the marks.
    ///
    /// # Errors
    /// If the access is not possible.
    pub fn translate(&self, address: u64, access: Access) -> Result<Frame, PageFault> {
        let page = page_of(address);
        let allows = |allowed: Access| {
            (!access.write || allowed.write) && (!access.execute || allowed.execute)
        };
        let mut shared = self.shared.lock();
        let known = shared.remembered.get(&page).copied();
        if let Some((frame, allowed)) = known
            && allows(allowed)
        {
            if access.write
                && let Some(mapped) = shared.pages.get_mut(&page)
            {
                mapped.dirty = true;
            }
            return Ok(frame);
        }
        let fault = PageFault { address, access };
        let mapped = shared.pages.get_mut(&page).ok_or(fault)?;
        if !allows(mapped.access) {
            return Err(fault);
        }
        mapped.accessed = true;
        mapped.dirty |= access.write;
        let (frame, allowed) = (mapped.frame, mapped.access);
        shared.remembered.insert(page, (frame, allowed));
        Ok(frame)
    }

    /// Flushes so far.
    #[must_use]
    pub fn flushes(&self) -> u64 {
        self.shared.lock().flushes
    }

    /// Pages that are mapped.
    #[must_use]
    pub fn mapped(&self) -> usize {
        self.shared.lock().pages.len()
    }
}

const fn page_of(address: u64) -> u64 {
    address / PAGE_SIZE * PAGE_SIZE
}

/// Fake page tables.
#[derive(Debug)]
pub struct Tables(Root);

impl PageTables for Tables {
    type Root = Root;

    fn root(&self) -> Root {
        self.0.clone()
    }

    fn map(
        &mut self,
        address: u64,
        frame: Frame,
        access: Access,
        frames: &mut dyn FnMut() -> Option<Frame>,
    ) -> bool {
        assert!(address < USER_END, "{address:#x} is not a user's");
        let mut shared = self.0.shared.lock();
        for place in walk(address) {
            if let Entry::Vacant(vacant) = shared.tables.entry(place) {
                let Some(table) = frames() else {
                    return false;
                };
                self.0.memory.make_table(table);
                vacant.insert(table);
            }
        }
        let mut memory = self.0.memory.0.lock();
        assert!(!memory.used(frame).table, "{frame:?} is a table");
        let mapped = Mapped {
            frame,
            access,
            accessed: false,
            dirty: false,
        };
        let before = shared.pages.insert(page_of(address), mapped);
        assert_eq!(before, None, "{address:#x} is mapped already");
        true
    }

    fn unmap(&mut self, address: u64) -> Option<Mapped> {
        let page = page_of(address);
        let mut shared = self.0.shared.lock();
        let mapped = shared.pages.remove(&page)?;
        shared.stale.push((page, mapped.frame));
        self.0.memory.0.lock().used(mapped.frame).stale += 1;
        Some(mapped)
    }

    fn protect(&mut self, address: u64, access: Access) -> bool {
        let mut shared = self.0.shared.lock();
        let Some(mapped) = shared.pages.get_mut(&page_of(address)) else {
            return false;
        };
        mapped.access = access;
        true
    }

    fn lookup(&self, address: u64) -> Option<Mapped> {
        self.0.shared.lock().pages.get(&page_of(address)).copied()
    }

    fn take_accessed(&mut self, address: u64) -> bool {
        let mut shared = self.0.shared.lock();
        let page = page_of(address);
        shared.remembered.remove(&page);
        shared
            .pages
            .get_mut(&page)
            .is_some_and(|mapped| core::mem::take(&mut mapped.accessed))
    }

    fn next_mapped(&self, address: u64, end: u64) -> Option<(u64, Mapped)> {
        let from = page_of(address);
        if from >= end {
            return None;
        }
        let shared = self.0.shared.lock();
        let (&page, &mapped) = shared.pages.range(from..end).next()?;
        Some((page, mapped))
    }

    fn flush(&self, start: u64, pages: u64) {
        let range = page_of(start)..page_of(start) + pages * PAGE_SIZE;
        let mut shared = self.0.shared.lock();
        shared.flushes += 1;
        shared.remembered.retain(|page, _| !range.contains(page));
        let mut memory = self.0.memory.0.lock();
        shared.stale.retain(|&(page, frame)| {
            let flushed = range.contains(&page);
            if flushed {
                memory.used(frame).stale -= 1;
            }
            !flushed
        });
    }

    fn release(&mut self, limit: usize, free: &mut dyn FnMut(Frame)) -> bool {
        for _ in 0..limit {
            let mut shared = self.0.shared.lock();
            assert!(shared.pages.is_empty(), "tables are released with pages");
            let Some((_, frame)) = shared.tables.pop_first() else {
                return true;
            };
            self.0.memory.0.lock().used(frame).table = false;
            drop(shared);
            free(frame);
        }
        self.0.shared.lock().tables.is_empty()
    }
}
