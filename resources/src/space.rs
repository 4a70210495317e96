//! The Address Space Resource's data: regions, and what is in them (paper, section 3.2).
//!
//! Key types: [`Space`] (one address space, shared by its threads), [`Mapping`], [`Fault`],
//! [`UserError`]. The signatures here are the agreement between the parts of this crate.

use alloc::sync::Arc;

use crate::errno::Errno;
use crate::machine::{Access, Machine, PageTables};
use crate::object::{Object, Part};
use vortex_toolkit::ids::ActivityId;
use vortex_toolkit::memory::{Multiplexor, Refusal};

/// What may be done with a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection {
    /// May read.
    pub read: bool,
    /// May write.
    pub write: bool,
    /// May execute.
    pub execute: bool,
}

/// Where a mapping goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where there is room; near this address if it is not 0.
    Anywhere(u64),
    /// Exactly there; what is there is replaced (`MAP_FIXED`).
    Fixed(u64),
    /// Exactly there, if nothing is there (`MAP_FIXED_NOREPLACE`).
    Vacant(u64),
}

/// What a region shows.
#[derive(Clone, Debug)]
pub enum Backing {
    /// Zeros.
    Anonymous,
    /// A private copy of a file's pages.
    File(Part),
}

/// A mapping to make.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// Where.
    pub place: Place,
    /// How long, in bytes.
    pub length: u64,
    /// What may be done with it.
    pub protection: Protection,
    /// What it shows.
    pub backing: Backing,
    /// Whether forks share it (`MAP_SHARED`).
    pub shared: bool,
    /// Grows downwards (the stack of the first thread), down to so many bytes.
    pub grows: Option<u64>,
    /// For messages and statistics: "stack", "heap", "text" …
    pub name: &'static str,
}

/// How a page fault ends.
#[derive(Debug)]
pub enum Fault {
    /// The page is there: go on.
    Resolved,
    /// The region's owner must bring the page in: a request to it, then again.
    Fetch(Arc<dyn Object>, u64),
    /// No memory: reclaim, then again.
    Refused(Refusal),
    /// SIGSEGV; true if there is a region (`SEGV_ACCERR`), false if not (`SEGV_MAPERR`).
    Violation(bool),
    /// SIGBUS: beyond the end of the file.
    BeyondEnd,
}

/// Why user memory could not be read or written.
#[derive(Debug)]
pub enum UserError {
    /// EFAULT.
    Bad,
    /// The page at this address must be brought in first, then the call is made again. Write: it
    /// is to be written.
    Absent(u64, bool),
}

/// How far a long operation got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// To its end.
    Done,
    /// There is more to do: call again.
    More,
}

/// One address space.
pub struct Space<M: Machine> {
    machine: M,
}

impl<M: Machine> Space<M> {
    /// An empty address space whose memory `activity` pays for.
    ///
    /// # Errors
    /// No memory for its tables.
    pub fn new(
        machine: M,
        memory: Arc<Multiplexor<M>>,
        activity: ActivityId,
    ) -> Result<Arc<Self>, Refusal> {
        unimplemented!()
    }

    /// What a processor runs on.
    pub fn root(&self) -> <M::Tables as PageTables>::Root {
        unimplemented!()
    }

    /// `mmap`: makes a region and says where it is. Nothing is mapped yet (demand paging). What a
    /// fixed place replaces is unmapped first, so it may have to be called again.
    ///
    /// # Errors
    /// As mmap(2).
    pub fn map(&self, mapping: &Mapping) -> Result<u64, Errno> {
        unimplemented!()
    }

    /// `munmap`: up to a bounded number of pages at a time.
    ///
    /// # Errors
    /// As munmap(2).
    pub fn unmap(&self, address: u64, length: u64) -> Result<Progress, Errno> {
        unimplemented!()
    }

    /// `mprotect`, in bounded portions.
    ///
    /// # Errors
    /// As mprotect(2).
    pub fn protect(
        &self,
        address: u64,
        length: u64,
        protection: Protection,
    ) -> Result<Progress, Errno> {
        unimplemented!()
    }

    /// `madvise` with `MADV_DONTNEED` and `MADV_FREE`: gives pages back, keeps regions.
    ///
    /// # Errors
    /// As madvise(2).
    pub fn discard(&self, address: u64, length: u64) -> Result<Progress, Errno> {
        unimplemented!()
    }

    /// `mremap`: grows or shrinks a mapping, moving it if it `may_move`.
    ///
    /// # Errors
    /// As mremap(2).
    pub fn remap(
        &self,
        old: u64,
        old_length: u64,
        new_length: u64,
        may_move: bool,
    ) -> Result<u64, Errno> {
        unimplemented!()
    }

    /// Where the heap begins: right after the program. Once, by the program's loader.
    pub fn set_heap(&self, start: u64) {
        unimplemented!()
    }

    /// `brk`: sets the heap's end if that can be done; where it is then.
    pub fn set_break(&self, end: u64) -> u64 {
        unimplemented!()
    }

    /// A page fault of a thread.
    pub fn fault(&self, address: u64, access: Access) -> Fault {
        unimplemented!()
    }

    /// Reads user memory, bringing in pages as needed.
    ///
    /// # Errors
    /// [`UserError`]; some of `into` may have been read.
    pub fn read(&self, address: u64, into: &mut [u8]) -> Result<(), UserError> {
        unimplemented!()
    }

    /// Writes user memory, bringing in pages as needed.
    ///
    /// # Errors
    /// [`UserError`]; some of `from` may have been written.
    pub fn write(&self, address: u64, from: &[u8]) -> Result<(), UserError> {
        unimplemented!()
    }

    /// Reads a string that ends with a zero byte, of at most `limit` bytes without it.
    ///
    /// # Errors
    /// [`UserError`]; `Ok(None)` if it is longer.
    pub fn read_string(
        &self,
        address: u64,
        limit: usize,
    ) -> Result<Option<alloc::vec::Vec<u8>>, UserError> {
        unimplemented!()
    }

    /// Reads an aligned word at once (futex).
    ///
    /// # Errors
    /// [`UserError`].
    pub fn load_u32(&self, address: u64) -> Result<u32, UserError> {
        unimplemented!()
    }

    /// Compares and exchanges an aligned word at once; what was there, either way.
    ///
    /// # Errors
    /// [`UserError`].
    pub fn exchange_u32(&self, address: u64, current: u32, new: u32) -> Result<u32, UserError> {
        unimplemented!()
    }

    /// What tells a shared futex's word from all others, whichever address spaces see it: a frame
    /// or an object's number with an offset.
    ///
    /// # Errors
    /// [`UserError`].
    pub fn shared_key(&self, address: u64) -> Result<(u64, u64), UserError> {
        unimplemented!()
    }

    /// Pins the pages of a buffer, so that a request can use them on any core while the space
    /// changes; writing needs the right to.
    ///
    /// # Errors
    /// [`UserError`].
    pub fn pin(&self, address: u64, length: usize, write: bool) -> Result<Pinned<M>, UserError> {
        unimplemented!()
    }

    /// Resident pages, and bytes in regions.
    pub fn usage(&self) -> (u64, u64) {
        unimplemented!()
    }

    /// Gives everything back, in bounded portions, when no thread runs in it any more.
    pub fn destroy(&self) -> Progress {
        unimplemented!()
    }
}

/// Pages that stay where they are until this is dropped (paper, section 3.4).
pub struct Pinned<M: Machine> {
    machine: M,
}

impl<M: Machine> Pinned<M> {
    /// Reads from `offset` on.
    pub fn read(&self, offset: usize, into: &mut [u8]) {
        unimplemented!()
    }

    /// Writes from `offset` on.
    pub fn write(&self, offset: usize, from: &[u8]) {
        unimplemented!()
    }
}
