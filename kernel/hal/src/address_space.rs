//! User address spaces: page tables whose lower half is a process's and whose upper half is the
//! kernel's, shared by all.
//!
//! Key types: [`AddressSpace`] (changes the tables; keep it under the process's lock), [`Root`]
//! (a handle to run on them, see [`crate::user::run`]), [`Mapped`].
//!
//! Invariants:
//! - the kernel's top-level entries exist from boot on and never change, so a copy of them stays
//!   right for good ([`crate::paging`]);
//! - tables and pages are in frames lent to user memory ([`crate::user_frames`]), so nothing of the
//!   kernel can be mapped;
//! - a core that has the tables loaded is in the space's set of cores before it loads them and until
//!   after it has loaded others. It leaves them loaded until it needs others (switching to the
//!   kernel's would buy nothing), so before the tables are taken apart those cores are told to
//!   switch, and no core loads them afterwards.

mod tables;

use alloc::sync::Arc;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use vortex_kernel_base::address::Frame;

use self::tables::{Table, TableMemory, Tables};
use crate::core_set::CoreSet;
use crate::cores::{self, Core, CoreIndex, MAX_CORES};
use crate::sync::InterruptsOff;
use crate::{paging, shootdown, user_frames};

/// One past the last address that can be mapped: 47 bits, less one page, so that no instruction
/// ends where addresses stop being canonical.
pub const USER_END: u64 = (1 << 47) - 4096;

/// What user mode may do with a page; reading goes without saying.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    /// Write it.
    pub write: bool,
    /// Run it.
    pub execute: bool,
}

/// A page that is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// The frame it is mapped to.
    pub frame: Frame,
    /// What user mode may do with it.
    pub access: Access,
    /// It has been used since the mark was taken last.
    pub accessed: bool,
    /// It has been written since it was mapped.
    pub dirty: bool,
}

/// Why a page could not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceError {
    /// There was no frame for a table.
    OutOfFrames,
    /// A page is mapped at this address already.
    Mapped(u64),
    /// The address is none of user mode's: not below [`USER_END`].
    NotUser(u64),
    /// The tables have been taken apart.
    Released,
}

impl core::fmt::Display for SpaceError {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::OutOfFrames => write!(formatter, "out of memory for a process's page tables"),
            Self::Mapped(address) => write!(formatter, "{address:#x} is mapped already"),
            Self::NotUser(address) => write!(formatter, "{address:#x} is no user address"),
            Self::Released => write!(formatter, "the page tables have been taken apart"),
        }
    }
}

impl core::error::Error for SpaceError {}

/// What cores share of an address space.
struct Shared {
    /// The physical address of the top-level table.
    root: u64,
    /// The cores on which it may be loaded.
    cores: CoreSet,
    /// No core may load it any more.
    closed: AtomicBool,
}

/// A handle to run on an address space. Outlives it harmlessly: user mode is then not entered.
#[derive(Clone)]
pub struct Root(Arc<Shared>);

/// Tables in the machine's memory.
struct Machine;

impl TableMemory for Machine {
    fn table(&self, frame: Frame) -> &Table {
        let table = paging::direct(frame).cast::<Table>();
        // SAFETY: only frames that were adopted get here, so it is a table, in the direct map
        // until it is dismissed by the space's only owner; all access is atomic.
        unsafe { &*table }
    }

    fn adopt(&self, frame: Frame) {
        user_frames::zero(frame);
        user_frames::states().make_table(frame);
    }

    fn dismiss(&self, frame: Frame) {
        user_frames::states().unmake_table(frame);
    }

    fn retain(&self, frame: Frame) {
        user_frames::states().retain(frame);
    }

    fn release(&self, frame: Frame) {
        user_frames::states().release(frame);
    }
}

/// A process's page tables.
///
/// All frames that are given to it, for tables and for pages, must come from
/// [`user_frames::allocate`]; methods panic on others.
pub struct AddressSpace {
    tables: Tables<Machine>,
    root: Root,
}

impl AddressSpace {
    /// Tables without pages; `allocate` gives the frame of the first table. `None` when it gives
    /// none.
    pub fn new(allocate: &mut dyn FnMut() -> Option<Frame>) -> Option<Self> {
        let kernel_half = paging::kernel_half().ok()?;
        let root = allocate()?;
        let shared = Shared {
            root: root.address(),
            cores: CoreSet::default(),
            closed: AtomicBool::new(false),
        };
        Some(Self {
            tables: Tables::new(Machine, root, &kernel_half),
            root: Root(Arc::new(shared)),
        })
    }

    /// The handle to run on these tables.
    #[must_use]
    pub fn root(&self) -> Root {
        self.root.clone()
    }

    /// Maps `frame` at the page of `address`, which is not mapped; `allocate` gives frames for
    /// tables. After an error nothing more is mapped than before, tables made on the way stay.
    ///
    /// # Errors
    /// When `allocate` gives no frame, a page is mapped there already, the address is not a
    /// user's, or the tables have been released.
    pub fn map(
        &mut self,
        address: u64,
        frame: Frame,
        access: Access,
        allocate: &mut dyn FnMut() -> Option<Frame>,
    ) -> Result<(), SpaceError> {
        self.tables.map(address, frame, access, allocate)
    }

    /// Unmaps a page and tells what it was; `None` when none was mapped. Cores may go on using it
    /// until [`Root::flush`]: the frame must not be freed or used otherwise before.
    pub fn unmap(&mut self, address: u64) -> Option<Mapped> {
        self.tables.unmap(address)
    }

    /// Changes what may be done with a page; `false` when none is mapped. What is taken away is
    /// gone after [`Root::flush`] only; what is added may cause a fault once more on a core that
    /// remembers the page without it.
    pub fn protect(&mut self, address: u64, access: Access) -> bool {
        self.tables.protect(address, access)
    }

    /// The page at `address`.
    #[must_use]
    pub fn lookup(&self, address: u64) -> Option<Mapped> {
        self.tables.lookup(address)
    }

    /// Clears the accessed mark of a page, and says what it was. A core that has the page in its
    /// TLB sets the mark again only when it has forgotten it.
    pub fn take_accessed(&mut self, address: u64) -> bool {
        self.tables.take_accessed(address)
    }

    /// The first page that is mapped from that of `start` on and below `end`, with its address.
    /// Parts of the range without tables are skipped in steps of what a table maps.
    #[must_use]
    pub fn next_mapped(&self, start: u64, end: u64) -> Option<(u64, Mapped)> {
        self.tables.next_mapped(start, end)
    }

    /// [`Root::flush`].
    pub fn flush(&self, start: u64, pages: u64) {
        self.root.flush(start, pages);
    }

    /// Takes the tables apart when no page is mapped any more: gives up to `limit` of their frames
    /// to `free`, the first one's last. `true` when none is left. Cores that still have the
    /// tables loaded are made to switch to the kernel's first; no thread can run on them after.
    ///
    /// # Panics
    /// When pages are mapped, or as [`Root::flush`] does.
    pub fn release(&mut self, limit: usize, free: &mut dyn FnMut(Frame)) -> bool {
        self.root.close();
        self.tables.release(limit, free)
    }
}

impl Drop for AddressSpace {
    /// Without [`AddressSpace::release`] the tables' frames are lost, but nothing uses them.
    fn drop(&mut self) {
        self.root.close();
    }
}

impl Root {
    /// Has every core on which the tables are loaded forget its translations of `pages` pages from
    /// `start` on. When it returns none uses what was there before.
    ///
    /// # Panics
    /// When this core holds an [`IrqLock`](crate::sync::IrqLock), and when a core does not answer
    /// within seconds.
    pub fn flush(&self, start: u64, pages: u64) {
        shootdown::flush_space(self.0.root, &self.0.cores, start, pages);
    }

    /// No core loads the tables from now on, and those that have them loaded switch.
    fn close(&self) {
        if !self.0.closed.swap(true, Ordering::SeqCst) {
            shootdown::evict(self.0.root, &self.0.cores);
        }
    }

    /// Loads the tables on `core`, which is this one, with interrupts off; `false` when they are no
    /// more.
    #[inline]
    pub(crate) fn load(&self, core: &Core) -> bool {
        core.space.load(Ordering::Relaxed) == self.0.root || self.load_other(core.index())
    }

    #[cold]
    fn load_other(&self, me: CoreIndex) -> bool {
        self.0.cores.insert(me);
        if self.0.closed.load(Ordering::SeqCst) {
            self.0.cores.remove(me);
            return false;
        }
        set_root(self.0.root);
        replace_loaded(Some(self.clone()));
        true
    }
}

/// Makes this core load the kernel's own tables if it has those at `root` loaded.
pub(crate) fn evict(root: u64) {
    let _interrupts = InterruptsOff::new();
    if is_loaded(root) {
        set_root(paging::root_address());
        replace_loaded(None);
    }
}

/// Whether this core has the tables at `root` loaded.
pub(crate) fn is_loaded(root: u64) -> bool {
    cores::current().space.load(Ordering::Relaxed) == root
}

/// Whose tables a core has loaded.
struct Loaded(UnsafeCell<Option<Root>>);

// SAFETY: element `n` is touched by core `n` only, with interrupts off.
unsafe impl Sync for Loaded {}

static LOADED: [Loaded; MAX_CORES] = [const { Loaded(UnsafeCell::new(None)) }; MAX_CORES];

/// Notes that this core has loaded `new`, and takes it out of the set of what it had before. With
/// interrupts off.
fn replace_loaded(new: Option<Root>) {
    let core = cores::current();
    let root = new.as_ref().map_or(0, |root| root.0.root);
    core.space.store(root, Ordering::Relaxed);
    let slot = LOADED[core.index().as_usize()].0.get();
    // SAFETY: this core's own, and interrupts are off, so nothing here runs twice at once.
    let old = unsafe { core::mem::replace(&mut *slot, new) };
    if let Some(old) = old {
        old.0.cores.remove(core.index());
    }
}

/// Loads page tables on this core.
fn set_root(address: u64) {
    // SAFETY: the tables have the kernel's half as it always is, and are alive: a user's are until
    // this core is out of the space's set of cores.
    unsafe {
        core::arch::asm!("mov cr3, {}", in(reg) address, options(nostack, preserves_flags));
    }
}

/// One core's tables: the physical address of the user's, 0 for the kernel's.
pub(crate) type LoadedRoot = AtomicU64;
