//! The pages of an address space: which frames it has references to, and its page tables.
//!
//! Key types: [`Pages`]; [`Batch`], what has been unmapped and can be freed after the flush.
//!
//! Invariants: every mapped page and every parked one holds one reference to its frame; a page is
//! mapped writable only if its frame is nobody else's or is meant to be shared; a frame is released
//! only after the translations that lead to it have been flushed. A page whose region allows nothing
//! is *parked*: it keeps its frame, but is not in the tables, which cannot forbid reading.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use arrayvec::ArrayVec;
use vortex_toolkit::memory::{Multiplexor, Owner, Refusal};

use super::{PORTION, Protection};
use crate::machine::{Access, Frame, Machine, Mapped, PAGE_SIZE, PageTables};

/// The cookie of frames that tables are in; that of a page is its address.
pub(super) const TABLE_COOKIE: u64 = u64::MAX;

/// Frames set aside for an address space, at most: what one page fault may need, a page and tables.
const ASIDE: usize = 4;

/// What has been taken out of the tables but not flushed yet.
pub(super) struct Batch {
    frames: ArrayVec<Frame, PORTION>,
    /// The range to flush; empty if there is nothing.
    start: u64,
    end: u64,
}

impl Batch {
    pub(super) const fn new() -> Self {
        Self {
            frames: ArrayVec::new_const(),
            start: u64::MAX,
            end: 0,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.frames.is_full()
    }

    /// A frame to be released after the flush; there must be room.
    pub(super) fn hold(&mut self, frame: Frame) {
        self.frames.push(frame);
    }

    /// The translation of this page is out of date.
    pub(super) fn touch(&mut self, page: u64) {
        self.start = self.start.min(page);
        self.end = self.end.max(page + PAGE_SIZE);
    }
}

/// An address space's pages.
pub(super) struct Pages<M: Machine> {
    pub(super) machine: M,
    pub(super) memory: Arc<Multiplexor<M>>,
    /// Who pays; the cookie is set for each frame.
    pub(super) owner: Owner,
    pub(super) tables: M::Tables,
    /// The frames that tables are in.
    pub(super) table_frames: Vec<Frame>,
    pub(super) parked: BTreeMap<u64, Frame>,
    pub(super) resident: u64,
    /// Frames that were given back for this address space: its own, even if others take all the rest.
    aside: ArrayVec<Frame, ASIDE>,
    /// No page is mapped between these: what a long operation has seen already.
    swept: (u64, u64),
}

impl<M: Machine> Pages<M> {
    pub(super) fn new(
        machine: M,
        memory: Arc<Multiplexor<M>>,
        owner: Owner,
    ) -> Result<Self, Refusal> {
        let mut table_frames = Vec::new();
        let mut refusal = Refusal::OutOfMemory;
        let tables = machine.new_tables(&mut || {
            let mut none = ArrayVec::new();
            take_table(&memory, owner, &mut table_frames, &mut none, &mut refusal)
        });
        let Some(tables) = tables else {
            for frame in table_frames {
                memory.release(frame);
            }
            return Err(refusal);
        };
        Ok(Self {
            machine,
            memory,
            owner,
            tables,
            table_frames,
            parked: BTreeMap::new(),
            resident: 0,
            aside: ArrayVec::new_const(),
            swept: (0, 0),
        })
    }

    /// A frame for the page at an address; its contents are undefined.
    pub(super) fn allocate(&mut self, page: u64) -> Result<Frame, Refusal> {
        let owner = Owner {
            cookie: page,
            ..self.owner
        };
        take(&self.memory, owner, &mut self.aside)
    }

    /// Has one of the frames that others have given back, so that the address space can go on.
    pub(super) fn set_aside(&mut self) {
        if !self.aside.is_full()
            && let Ok(frame) = self.memory.allocate(self.owner)
        {
            self.aside.push(frame);
        }
    }

    /// Gives back what is set aside.
    pub(super) fn release_aside(&mut self) {
        for frame in self.aside.drain(..) {
            self.memory.release(frame);
        }
    }

    /// A frame of zeros.
    pub(super) fn allocate_zeroed(&mut self, page: u64) -> Result<Frame, Refusal> {
        let frame = self.allocate(page)?;
        self.machine.zero_frame(frame);
        Ok(frame)
    }

    /// A frame with a copy of another.
    pub(super) fn allocate_copy(&mut self, page: u64, of: Frame) -> Result<Frame, Refusal> {
        let frame = self.allocate(page)?;
        self.machine.copy_frame(of, frame);
        Ok(frame)
    }

    /// Maps a frame, the reference to which is the tables' from now on. After an error there is no
    /// such reference any more.
    pub(super) fn map(&mut self, page: u64, frame: Frame, access: Access) -> Result<(), Refusal> {
        self.enter(page, frame, access).inspect_err(|_| {
            self.memory.release(frame);
        })
    }

    /// As [`Self::map`], but after an error the reference is still the caller's.
    fn enter(&mut self, page: u64, frame: Frame, access: Access) -> Result<(), Refusal> {
        let mut refusal = Refusal::OutOfMemory;
        let Self {
            memory,
            table_frames,
            owner,
            aside,
            ..
        } = self;
        let mapped = self.tables.map(page, frame, access, &mut || {
            take_table(memory, *owner, table_frames, aside, &mut refusal)
        });
        if !mapped {
            return Err(refusal);
        }
        self.resident += 1;
        if (self.swept.0..self.swept.1).contains(&page) {
            self.swept.1 = page;
        }
        Ok(())
    }

    /// What is mapped at a page, taking it out of the parking place if it is there.
    pub(super) fn present(
        &mut self,
        page: u64,
        protection: Protection,
    ) -> Result<Option<Mapped>, Refusal> {
        if let Some(mapped) = self.tables.lookup(page) {
            return Ok(Some(mapped));
        }
        if self.parked.is_empty() {
            return Ok(None);
        }
        let Some(&frame) = self.parked.get(&page) else {
            return Ok(None);
        };
        let access = Access {
            write: false,
            execute: protection.execute,
        };
        self.enter(page, frame, access)?;
        self.parked.remove(&page);
        self.resident -= 1;
        Ok(self.tables.lookup(page))
    }

    /// Makes a page that is mapped read-only a private, writable one: by a copy, if anybody else
    /// has the frame.
    pub(super) fn make_private(
        &mut self,
        page: u64,
        mapped: Mapped,
        access: Access,
    ) -> Result<(), Refusal> {
        let cookie = page;
        if self.memory.is_exclusive(mapped.frame) {
            self.memory.transfer(
                mapped.frame,
                Owner {
                    cookie,
                    ..self.owner
                },
            )?;
            self.tables.protect(page, access);
            return Ok(());
        }
        let copy = self.allocate_copy(page, mapped.frame)?;
        self.tables.unmap(page);
        self.tables.flush(page, 1);
        self.memory.release(mapped.frame);
        self.resident -= 1;
        self.map(page, copy, access)
    }

    /// Whether a frame is this address space's alone, and paid by who pays for it.
    pub(super) fn owns(&self, frame: Frame) -> bool {
        self.memory.is_exclusive(frame)
            && self.memory.owner(frame).is_some_and(|owner| {
                owner.activity == self.owner.activity && owner.resource == self.owner.resource
            })
    }

    /// The first page between two addresses that is mapped or parked.
    pub(super) fn first(&self, start: u64, end: u64) -> Option<(u64, Option<Mapped>)> {
        let from = if (self.swept.0..self.swept.1).contains(&start) {
            self.swept.1.min(end)
        } else {
            start
        };
        let mapped = self.tables.next_mapped(from, end);
        let parked = (start < end && !self.parked.is_empty())
            .then(|| self.parked.range(start..end).next())
            .flatten()
            .map(|(&page, _)| page);
        match (mapped, parked) {
            (Some((page, mapped)), parked) if parked.is_none_or(|other| page < other) => {
                Some((page, Some(mapped)))
            }
            (_, parked) => parked.map(|page| (page, None)),
        }
    }

    /// Takes pages out, as many as fit into the batch; where it stopped, `end` if nothing is left.
    pub(super) fn clear(&mut self, start: u64, end: u64, batch: &mut Batch) -> u64 {
        let mut at = start;
        while let Some((page, mapped)) = self.first(at, end) {
            if batch.is_full() {
                self.note_swept(start, page);
                return page;
            }
            let frame = match mapped {
                Some(mapped) => {
                    self.tables.unmap(page);
                    self.memory
                        .inform(mapped.frame, mapped.accessed, mapped.dirty);
                    batch.touch(page);
                    Some(mapped.frame)
                }
                None => self.parked.remove(&page),
            };
            if let Some(frame) = frame {
                self.resident -= 1;
                batch.hold(frame);
            }
            at = page + PAGE_SIZE;
        }
        self.note_swept(start, end);
        end
    }

    /// There is nothing mapped between these addresses.
    fn note_swept(&mut self, start: u64, end: u64) {
        if self.swept.0 <= start && start <= self.swept.1 {
            self.swept.1 = self.swept.1.max(end);
        } else {
            self.swept = (start, end);
        }
    }

    /// Flushes what has changed, then frees what has been unmapped.
    pub(super) fn finish(&mut self, batch: Batch) {
        if batch.start < batch.end {
            self.tables
                .flush(batch.start, (batch.end - batch.start) / PAGE_SIZE);
        }
        for frame in batch.frames {
            self.memory.release(frame);
        }
    }

    /// Takes a mapped page out of the tables, but keeps its frame.
    pub(super) fn park(&mut self, page: u64, batch: &mut Batch) {
        if let Some(mapped) = self.tables.unmap(page) {
            self.memory
                .inform(mapped.frame, mapped.accessed, mapped.dirty);
            self.parked.insert(page, mapped.frame);
            batch.touch(page);
        }
    }

    /// Gives frames of tables back, when no page is left; true when it is done.
    pub(super) fn release_tables(&mut self) -> bool {
        let memory = &self.memory;
        let done = self.tables.release(PORTION, &mut |frame| {
            memory.release(frame);
        });
        if done {
            self.table_frames = Vec::new();
        }
        done
    }
}

/// A frame, of those that are set aside if there is no other.
fn take<M: Machine>(
    memory: &Multiplexor<M>,
    owner: Owner,
    aside: &mut ArrayVec<Frame, ASIDE>,
) -> Result<Frame, Refusal> {
    memory.allocate(owner).or_else(|refusal| {
        let frame = aside.pop().ok_or(refusal)?;
        memory.transfer(frame, owner).inspect_err(|_| {
            memory.release(frame);
        })?;
        Ok(frame)
    })
}

fn take_table<M: Machine>(
    memory: &Multiplexor<M>,
    owner: Owner,
    frames: &mut Vec<Frame>,
    aside: &mut ArrayVec<Frame, ASIDE>,
    refusal: &mut Refusal,
) -> Option<Frame> {
    let cookie = TABLE_COOKIE;
    match take(memory, Owner { cookie, ..owner }, aside) {
        Ok(frame) => {
            frames.push(frame);
            Some(frame)
        }
        Err(why) => {
            *refusal = why;
            None
        }
    }
}
