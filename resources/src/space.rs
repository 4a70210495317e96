//! The Address Space Resource's data: regions, and what is in them (paper, section 3.2).
//!
//! Key types: [`Space`] (one address space, shared by its threads), [`Mapping`], [`Fault`],
//! [`UserError`], [`Pinned`]. Parts: `region` (what is where), `pages` (frames and tables), `fault`
//! (demand paging), `change`, `heap` and `remap` (mmap and its like), `user` (user memory as the
//! kernel reaches it), `fork`, `upkeep` (marks, reclaiming, the end).
//!
//! Invariants: one spin lock a space, under which at most [`PORTION`] pages are touched; longer
//! operations say [`Progress::More`] or [`Placed::More`] and are called again with the same
//! arguments. A page is mapped only where a region is. Frames, tables included, are had from the
//! memory multiplexor in the name of (resource, activity), and given back only after the flush.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use spin::Mutex;

use crate::errno::Errno;
use crate::machine::{Access, Frame, Machine, PAGE_SIZE, PageTables, USER_END};
use crate::object::{Object, Part};
use vortex_toolkit::ids::{ActivityId, ResourceId};
use vortex_toolkit::memory::{Multiplexor, Owner, Refusal};

mod change;
mod common;
mod fault;
mod fork;
mod heap;
mod pages;
mod pinned;
mod region;
mod remap;
#[cfg(test)]
mod tests;
mod upkeep;
mod user;

pub use pinned::Pinned;

/// Pages that one call of an operation works on, at most; regions likewise.
pub const PORTION: usize = 64;

/// Regions that an address space may have.
pub const MAX_REGIONS: usize = 65_536;

/// Regions whose records the activity pays for as for one frame.
const REGIONS_A_FRAME: u64 = 32;

/// Pages that one page fault maps, at most.
const AROUND: u64 = 16;

/// Kept free for the first stack above what is placed anywhere.
const TOP_GAP: u64 = 16 << 30;

/// Bits by which the place of mappings varies, in pages.
const RANDOM_BITS: u32 = 28;

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
    /// A file's pages: a private copy, once they are written, or the file itself.
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
    /// Grows downwards (the stack of the first thread), until it is so many bytes long.
    pub grows: Option<u64>,
    /// For messages and statistics: "stack", "heap", "text" …
    pub name: &'static str,
}

/// How a page fault ends.
#[derive(Debug)]
pub enum Fault {
    /// The page is there: go on.
    Resolved,
    /// The region's owner must bring the page in: a request to it, then again. True: it is to be
    /// written where it is, which the owner must note first.
    Fetch(Arc<dyn Object>, u64, bool),
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
#[must_use]
pub enum Progress {
    /// To its end.
    Done,
    /// There is more to do: call again.
    More,
}

/// How far an operation got that ends with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Placed {
    /// Done: it is here.
    At(u64),
    /// There is more to do: call again, with the same arguments.
    More,
}

/// One address space.
pub struct Space<M: Machine> {
    machine: M,
    memory: Arc<Multiplexor<M>>,
    resource: ResourceId,
    /// Tells it from all others.
    number: u64,
    root: <M::Tables as PageTables>::Root,
    inner: Mutex<Inner<M>>,
}

/// What is under the lock.
struct Inner<M: Machine> {
    regions: region::Regions<M>,
    pages: pages::Pages<M>,
    /// What is booked for the records of regions, in frames.
    booked: u64,
    ahead: fault::Ahead,
    heap: Option<heap::Heap>,
    /// Mappings on their way to another place.
    moves: Vec<remap::Move>,
    /// Shared memory that nobody shows any more.
    doomed: Vec<common::Common<M>>,
    /// The most bytes that all regions may have together.
    limit: u64,
    /// Where collecting goes on.
    hand: u64,
    /// Where a fork goes on.
    inherited: u64,
    moving: Option<upkeep::Moving>,
    /// It is being taken apart, or has been.
    closed: bool,
}

impl<M: Machine> Space<M> {
    /// An empty address space whose memory `activity` pays for; `resource` is who asks for it.
    /// Mappings are placed below a fixed address until [`Self::set_seed`] is called.
    ///
    /// # Errors
    /// No memory for its tables.
    pub fn new(
        machine: M,
        memory: Arc<Multiplexor<M>>,
        resource: ResourceId,
        activity: ActivityId,
    ) -> Result<Arc<Self>, Refusal> {
        let owner = Owner {
            resource,
            activity,
            cookie: 0,
        };
        let pages = pages::Pages::new(machine.clone(), memory.clone(), owner)?;
        Ok(Arc::new(Self {
            machine,
            memory,
            resource,
            number: common::unique(),
            root: pages.tables.root(),
            inner: Mutex::new(Inner {
                regions: region::Regions::new(USER_END - TOP_GAP),
                pages,
                booked: 0,
                ahead: fault::Ahead::default(),
                heap: None,
                moves: Vec::new(),
                doomed: Vec::new(),
                limit: u64::MAX,
                hand: 0,
                inherited: USER_END,
                moving: None,
                closed: false,
            }),
        }))
    }

    /// Makes the place of later mappings unpredictable: `random` is to be.
    pub fn set_seed(&self, random: u64) {
        let pages = random & ((1 << RANDOM_BITS) - 1);
        let ceiling = USER_END - TOP_GAP - pages * PAGE_SIZE;
        self.inner.lock().regions.set_ceiling(ceiling);
    }

    /// The most bytes that all regions may have together (`RLIMIT_AS`); no limit at first. What is
    /// there already stays.
    pub fn set_limit(&self, bytes: u64) {
        self.inner.lock().limit = bytes;
    }

    /// What a processor runs on.
    pub fn root(&self) -> <M::Tables as PageTables>::Root {
        self.root.clone()
    }

    /// Who pays for it.
    pub fn activity(&self) -> ActivityId {
        self.inner.lock().pages.owner.activity
    }

    /// `mmap`: makes a region and says where it is. Nothing is mapped yet (demand paging). What a
    /// fixed place replaces is unmapped first, in portions.
    ///
    /// # Errors
    /// As mmap(2); `EPERM` for a fixed place in the lowest 64 KiB; `EACCES` for a shared mapping of
    /// an object that could be written.
    pub fn map(&self, mapping: &Mapping) -> Result<Placed, Errno> {
        self.inner.lock().map(mapping)
    }

    /// `munmap`, in portions.
    ///
    /// # Errors
    /// As munmap(2).
    pub fn unmap(&self, address: u64, length: u64) -> Result<Progress, Errno> {
        self.inner.lock().unmap(address, length)
    }

    /// `mprotect`, in portions.
    ///
    /// # Errors
    /// As mprotect(2).
    pub fn protect(
        &self,
        address: u64,
        length: u64,
        protection: Protection,
    ) -> Result<Progress, Errno> {
        self.inner.lock().protect(address, length, protection)
    }

    /// `madvise` with `MADV_DONTNEED` and `MADV_FREE`: gives pages back, keeps regions. In portions.
    ///
    /// # Errors
    /// As madvise(2).
    pub fn discard(&self, address: u64, length: u64) -> Result<Progress, Errno> {
        self.inner.lock().discard(address, length)
    }

    /// `mremap`: grows or shrinks a mapping, moving it if it `may_move`; in portions.
    ///
    /// # Errors
    /// As mremap(2). `ENOMEM` also if it ran out of memory for tables on the way: what has not been
    /// moved is still in the old place.
    pub fn remap(
        &self,
        old: u64,
        old_length: u64,
        new_length: u64,
        may_move: bool,
    ) -> Result<Placed, Errno> {
        self.inner
            .lock()
            .remap(old, old_length, new_length, may_move)
    }

    /// Where the heap begins: right after the program, in whole pages. Once, by the program's
    /// loader.
    pub fn set_heap(&self, start: u64) {
        self.inner.lock().set_heap(start);
    }

    /// `brk`: sets the heap's end if that can be done; where it is then. Lowering it goes in
    /// portions.
    pub fn set_break(&self, end: u64) -> Placed {
        self.inner.lock().set_break(end)
    }

    /// Sets a frame aside for the next page faults, if there is one: for whom frames have just been
    /// given back, so that others do not take them all before it comes to that.
    pub fn set_aside(&self) {
        let mut inner = self.inner.lock();
        if !inner.closed {
            inner.pages.set_aside();
        }
    }

    /// A page fault of a thread.
    pub fn fault(&self, address: u64, access: Access) -> Fault {
        self.inner.lock().fault(address, access)
    }

    /// Reads user memory, bringing in pages as needed.
    ///
    /// # Errors
    /// [`UserError`]; some of `into` may have been read.
    pub fn read(&self, address: u64, into: &mut [u8]) -> Result<(), UserError> {
        self.read_user(address, into)
    }

    /// Writes user memory, bringing in pages as needed.
    ///
    /// # Errors
    /// [`UserError`]; some of `from` may have been written.
    pub fn write(&self, address: u64, from: &[u8]) -> Result<(), UserError> {
        self.write_user(address, from)
    }

    /// Reads `length` bytes into a frame, from a place in it on; all of them are to be in it.
    ///
    /// # Errors
    /// [`UserError`]; some may have been read.
    pub fn read_to(
        &self,
        address: u64,
        to: (Frame, usize),
        length: usize,
    ) -> Result<(), UserError> {
        self.read_user_to(address, to, length)
    }

    /// Writes `length` bytes that lie in a frame, from a place in it on.
    ///
    /// # Errors
    /// [`UserError`]; some may have been written.
    pub fn write_from(
        &self,
        address: u64,
        from: (Frame, usize),
        length: usize,
    ) -> Result<(), UserError> {
        self.write_user_from(address, from, length)
    }

    /// Reads a string that ends with a zero byte, of at most `limit` bytes without it.
    ///
    /// # Errors
    /// [`UserError`]; `Ok(None)` if it is longer.
    pub fn read_string(&self, address: u64, limit: usize) -> Result<Option<Vec<u8>>, UserError> {
        self.read_user_string(address, limit)
    }

    /// Reads an aligned word at once (futex).
    ///
    /// # Errors
    /// [`UserError`]; [`UserError::Bad`] also if it is not aligned.
    pub fn load_u32(&self, address: u64) -> Result<u32, UserError> {
        self.at_word(address, false, M::load_u32)
    }

    /// Compares and exchanges an aligned word at once; what was there, either way.
    ///
    /// # Errors
    /// [`UserError`]; [`UserError::Bad`] also if it is not aligned.
    pub fn exchange_u32(&self, address: u64, current: u32, new: u32) -> Result<u32, UserError> {
        self.at_word(address, true, |machine, frame, offset| {
            self.memory.inform(frame, true, true);
            machine
                .compare_exchange_u32(frame, offset, current, new)
                .unwrap_or_else(|was| was)
        })
    }

    /// What tells a shared futex's word from all others, whichever address spaces see it: in memory
    /// that is shared, the object's number with an offset; in private memory, the space's with the
    /// address.
    ///
    /// # Errors
    /// [`UserError::Bad`] if nothing readable is there.
    pub fn shared_key(&self, address: u64) -> Result<(u64, u64), UserError> {
        self.key(address)
    }

    /// Pins the pages of a buffer, so that a request can use them on any core while the space
    /// changes; writing needs the right to. Of a longer one, the first [`Pinned::MAX`] bytes.
    ///
    /// # Errors
    /// [`UserError`].
    pub fn pin(&self, address: u64, length: usize, write: bool) -> Result<Pinned<M>, UserError> {
        self.pin_user(address, length, write)
    }

    /// As [`Self::pin`], but where only the first pages of the buffer can be used, those are pinned.
    ///
    /// # Errors
    /// [`UserError`]; [`UserError::Bad`] if not even the first page can be used.
    pub fn pin_part(
        &self,
        address: u64,
        length: usize,
        write: bool,
    ) -> Result<Pinned<M>, UserError> {
        self.pin_user_part(address, length, write)
    }

    /// Whether regions cover all of a range, in whole pages.
    #[must_use]
    pub fn is_mapped(&self, start: u64, end: u64) -> bool {
        self.inner.lock().regions.cover(start, end)
    }

    /// Whether the page of an address is mapped now.
    #[must_use]
    pub fn is_resident(&self, address: u64) -> bool {
        address < USER_END && self.inner.lock().pages.tables.lookup(address).is_some()
    }

    /// Resident pages, and bytes in regions.
    pub fn usage(&self) -> (u64, u64) {
        let inner = self.inner.lock();
        (inner.pages.resident, inner.regions.bytes())
    }

    /// Regions.
    pub fn regions(&self) -> usize {
        self.inner.lock().regions.len()
    }

    /// A second address space that shows the same memory, for `activity`: what is private is copied
    /// when either writes it. It has the regions from the start and gets the pages by calls of
    /// [`Self::inherit`] on it; until those are done no thread may run in it.
    ///
    /// # Errors
    /// No memory for its tables and regions.
    pub fn fork(&self, activity: ActivityId) -> Result<Arc<Self>, Refusal> {
        let child = Self::new(
            self.machine.clone(),
            self.memory.clone(),
            self.resource,
            activity,
        )?;
        let parent = self.inner.lock();
        child.inner.lock().inherit_regions(&parent)?;
        Ok(child)
    }

    /// Takes over pages of the address space that this is a fork of, in portions.
    ///
    /// # Errors
    /// No memory: reclaim and call again, or destroy it.
    pub fn inherit(&self, parent: &Self) -> Result<Progress, Refusal> {
        let mut parent = parent.inner.lock();
        self.inner.lock().inherit(&mut parent)
    }

    /// Collects the marks of up to `limit` mapped pages, from where the last call stopped, and
    /// informs the multiplexor; [`Progress::Done`] when it came to the end of the space, from where
    /// it begins anew.
    pub fn collect(&self, limit: usize) -> Progress {
        self.inner.lock().collect(limit)
    }

    /// Unmaps an object's page wherever `frame` shows it, because its owner is to give it back. A
    /// private copy stays.
    pub fn evict(&self, object: u64, page: u64, frame: Frame) -> Progress {
        self.inner.lock().evict(object, page, frame)
    }

    /// The numbers of the objects that are shown between two addresses and can be written there.
    pub fn written_objects(&self, start: u64, end: u64) -> Vec<u64> {
        self.inner.lock().regions.written_objects(start, end)
    }

    /// Has another activity pay from now on, also for what the space has by itself already; in
    /// portions.
    ///
    /// # Errors
    /// The new one is over its budget: some pages are still the old one's. Reclaim and call again.
    pub fn move_to(&self, activity: ActivityId) -> Result<Progress, Refusal> {
        self.inner.lock().move_to(activity)
    }

    /// Gives everything back, in portions, when no thread runs in it any more. Afterwards there is
    /// nothing in it, and nothing can be mapped.
    pub fn destroy(&self) -> Progress {
        self.inner.lock().destroy()
    }
}

impl<M: Machine> Drop for Space<M> {
    /// Gives back what [`Space::destroy`] has not, all at once.
    fn drop(&mut self) {
        while self.inner.get_mut().destroy() == Progress::More {}
    }
}

impl<M: Machine> fmt::Debug for Space<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}
