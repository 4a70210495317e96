//! The kernel's address space: what is where, with which access.
//!
//! | from | what | access |
//! | --- | --- | --- |
//! | `0xffff_8000_0000_0000` | direct map: physical memory, in the largest pages that fit | RW (the boot loader's leftovers, kernel image included: R) |
//! | `0xffff_c000_0000_0000` | device registers ([`map_mmio`]) | RW, uncached |
//! | `0xffff_d000_0000_0000` | the kernel heap | RW |
//! | `0xffff_e000_0000_0000` | kernel stacks, each above an unmapped guard page | RW |
//! | `0xffff_ffff_8000_0000` | the kernel image: code RX, constants R, data RW | |
//!
//! Key types: [`Access`], [`MapError`]. `build` makes the tables at boot, `check` walks them.
//!
//! Invariants: no page is both writable and executable ([`Access`] cannot say that); nothing is
//! mapped in the lower half, so a null pointer always faults; the top-level entries of all
//! regions exist from the start, so every address space can share them.

mod build;
mod check;
mod trampoline;

use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use vortex_kernel_base::address::{FRAME_SIZE, Frame, FrameRange};
use x86_64::structures::paging::mapper::{MapToError, MapperFlush, UnmapError};
use x86_64::structures::paging::{
    FrameAllocator, Mapper, OffsetPageTable, Page, PageSize, PageTable, PageTableFlags, PhysFrame,
    Size1GiB, Size2MiB, Size4KiB,
};
use x86_64::{PhysAddr, VirtAddr};

pub use build::enter;
pub use build::{DirectRange, Segment, build, current_translation};
pub use check::{Census, census};
pub(crate) use trampoline::TrampolineTables;

use crate::frames;
use crate::sync::{IrqLock, Level};

/// Where physical address 0 is in the direct map.
pub const DIRECT_MAP: u64 = 0xffff_8000_0000_0000;
/// The window for device registers.
const DEVICES: u64 = 0xffff_c000_0000_0000;
/// The kernel heap.
pub(crate) const HEAP: u64 = 0xffff_d000_0000_0000;
/// Kernel stacks.
pub(crate) const STACKS: u64 = 0xffff_e000_0000_0000;
/// The size of the window for device registers: one top-level entry's.
const DEVICES_BYTES: u64 = 1 << 39;

/// What may be done with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Run it and read it: code.
    Execute,
    /// Read it: constants.
    Read,
    /// Read and write it: data.
    Write,
    /// Read and write it, past the caches: device registers.
    Device,
}

impl Access {
    /// The page-table bits. Kernel pages are global: they are the same in every address space.
    fn flags(self) -> PageTableFlags {
        let flags = PageTableFlags::PRESENT | PageTableFlags::GLOBAL;
        let data = flags | PageTableFlags::NO_EXECUTE;
        match self {
            Self::Execute => flags,
            Self::Read => data,
            Self::Write => data | PageTableFlags::WRITABLE,
            Self::Device => {
                let uncached = PageTableFlags::NO_CACHE | PageTableFlags::WRITE_THROUGH;
                data | PageTableFlags::WRITABLE | uncached
            }
        }
    }
}

/// Why something could not be mapped or unmapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// There are no tables yet, or (on the host) never will be.
    NotReady,
    /// No physical frame is left for the page or for a table on the way to it.
    OutOfFrames,
    /// The page at this address is mapped already.
    Mapped(u64),
    /// The page at this address is not mapped.
    NotMapped(u64),
    /// The window for device registers is full.
    WindowFull,
    /// No such physical address.
    BadAddress(u64),
}

impl core::fmt::Display for MapError {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotReady => write!(formatter, "the kernel's page tables are not there yet"),
            Self::OutOfFrames => write!(formatter, "out of physical memory for page tables"),
            Self::Mapped(address) => write!(formatter, "{address:#x} is mapped already"),
            Self::NotMapped(address) => write!(formatter, "{address:#x} is not mapped"),
            Self::WindowFull => write!(formatter, "no address space is left for devices"),
            Self::BadAddress(address) => write!(formatter, "no physical address {address:#x}"),
        }
    }
}

impl core::error::Error for MapError {}

/// The largest pages to map with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Largest {
    /// What every CPU has.
    TwoMebibytes,
    /// What most CPUs have.
    OneGibibyte,
}

/// The kernel's page tables.
struct Tables {
    root: Frame,
    /// The first free address of the window for device registers.
    next_device: u64,
    /// The direct map's ranges, for [`copy_physical`].
    direct: arrayvec::ArrayVec<DirectRange, { build::MAX_DIRECT_RANGES }>,
}

/// Set when the boot core leaves the boot loader's tables.
static OWN: AtomicBool = AtomicBool::new(false);

/// The physical address of the top-level table; 0 until there is one.
static ROOT: AtomicU64 = AtomicU64::new(0);

static TABLES: IrqLock<Option<Tables>> = IrqLock::new(Level::PageTables, None);

/// A frame's bytes in the direct map: mapped only when the frame is memory of the boot loader's
/// map.
#[must_use]
pub fn direct(frame: Frame) -> *mut u8 {
    phys_to_virt(frame.address())
}

/// A physical address in the direct map: mapped only when it is in memory of the boot loader's
/// map.
#[must_use]
pub fn phys_to_virt(physical: u64) -> *mut u8 {
    core::ptr::with_exposed_provenance_mut((DIRECT_MAP + physical) as usize)
}

/// Maps the device registers at `physical` for good and returns where; `length` bytes, neither of
/// them needs to be aligned.
///
/// # Errors
/// Before the kernel's tables are there, without memory for tables, with an address no CPU has.
pub fn map_mmio(physical: u64, length: usize) -> Result<NonNull<u8>, MapError> {
    let last = physical
        .checked_add(length.max(1) as u64 - 1)
        .filter(|&last| last < vortex_kernel_base::address::PHYSICAL_END)
        .ok_or(MapError::BadAddress(physical))?;
    let mut guard = TABLES.lock();
    let tables = guard.as_mut().ok_or(MapError::NotReady)?;
    let frames = FrameRange::new(Frame::containing(physical), Frame::containing(last).plus(1));
    let start = tables.reserve(frames)?;
    tables.map_range(start, frames, Access::Device, Largest::TwoMebibytes)?;
    let address = start + physical % FRAME_SIZE;
    NonNull::new(core::ptr::with_exposed_provenance_mut(address as usize))
        .ok_or(MapError::BadAddress(physical))
}

/// A page's worth of address space that nothing else is ever mapped at.
///
/// # Errors
/// Before the kernel's tables are there, or when the window is full.
pub(crate) fn reserve_page() -> Result<u64, MapError> {
    let mut guard = TABLES.lock();
    let one = FrameRange::new(Frame::new(0), Frame::new(1));
    guard.as_mut().ok_or(MapError::NotReady)?.reserve(one)
}

/// Copies firmware's data from physical `address`; `false`, and nothing is copied, when not all of
/// it is in the direct map.
#[must_use]
pub fn copy_physical(address: u64, to: &mut [u8]) -> bool {
    let length = to.len() as u64;
    let Some(end) = address.checked_add(length) else {
        return false;
    };
    let guard = TABLES.lock();
    let Some(tables) = guard.as_ref() else {
        return false;
    };
    // Ranges that touch each other count as one.
    let mut covered = address;
    while covered < end {
        let next = tables
            .direct
            .iter()
            .find(|range| (range.start..range.end).contains(&covered));
        match next {
            Some(range) => covered = range.end,
            None => return false,
        }
    }
    let from = phys_to_virt(address);
    // SAFETY: all of it is mapped and `to` is not: frames in use are in the direct map too, but
    // the firmware's are nobody's.
    unsafe { to.as_mut_ptr().copy_from(from, to.len()) };
    true
}

/// Maps the page at `page` (a multiple of 4096) to `frame`.
///
/// # Errors
/// When it is mapped already or a frame for a table is missing.
pub(crate) fn map(page: u64, frame: Frame, access: Access) -> Result<(), MapError> {
    let mut guard = TABLES.lock();
    guard
        .as_mut()
        .ok_or(MapError::NotReady)?
        .map(page, frame, access)
}

/// Maps `count` pages from `page` on to fresh frames of zeros. After an error the pages before the
/// failing one stay mapped.
///
/// Zeros not only because leftovers are nobody's business: firmware code was executed in some of
/// these frames, and an emulator that has translated it (QEMU's TCG) checks every write to such a
/// page for a change of code, until the whole page has been written. Heap and stacks would be many
/// times slower.
///
/// # Errors
/// As [`map`], or when the frames run out.
pub(crate) fn map_fresh(page: u64, count: u64, access: Access) -> Result<(), MapError> {
    for number in 0..count {
        let frame = frames::allocate_zeroed().ok_or(MapError::OutOfFrames)?;
        map(page + number * FRAME_SIZE, frame, access)?;
    }
    Ok(())
}

/// Takes the page at `page` out of the tables and returns its frame. This core's and the other
/// cores' TLBs may still have it: see [`crate::shootdown`].
///
/// # Errors
/// When it is not mapped.
pub(crate) fn unmap(page: u64) -> Result<Frame, MapError> {
    let mut guard = TABLES.lock();
    guard.as_mut().ok_or(MapError::NotReady)?.unmap(page)
}

/// Whether this core runs on the kernel's own tables, no longer on the boot loader's. Takes no
/// lock: panics ask.
pub(crate) fn is_own() -> bool {
    OWN.load(Ordering::Relaxed)
}

/// The frame of the top-level table, for other cores to load.
pub(crate) fn root() -> Result<Frame, MapError> {
    let guard = TABLES.lock();
    guard
        .as_ref()
        .map(|tables| tables.root)
        .ok_or(MapError::NotReady)
}

/// Where the kernel's top-level table is, once there is one. Takes no lock: interrupts ask.
pub(crate) fn root_address() -> u64 {
    ROOT.load(Ordering::Acquire)
}

/// The top-level entries of the kernel's half: what every address space shares, for good.
///
/// # Errors
/// Before there are tables.
pub(crate) fn kernel_half() -> Result<[u64; 256], MapError> {
    let mut guard = TABLES.lock();
    let mut mapper = guard.as_mut().ok_or(MapError::NotReady)?.mapper();
    let root = mapper.level_4_table_mut();
    Ok(core::array::from_fn(|index| {
        let entry = &root[256 + index];
        entry.addr().as_u64() | entry.flags().bits()
    }))
}

impl Tables {
    /// The tables as the `x86_64` crate's mapper sees them.
    fn mapper(&mut self) -> OffsetPageTable<'_> {
        let root = direct(self.root).cast::<PageTable>();
        // SAFETY: the root is a page table in the direct map that only `self`, borrowed for as
        // long as the result lives, gives access to.
        let root = unsafe { &mut *root };
        // SAFETY: all tables below it are frames of the allocator, so they too are in the direct
        // map at that offset.
        unsafe { OffsetPageTable::new(root, VirtAddr::new(DIRECT_MAP)) }
    }

    /// Address space for `frames` in the window for devices, with the same offset in a 2 MiB page
    /// when there are that many, so that large pages can be used.
    fn reserve(&mut self, frames: FrameRange) -> Result<u64, MapError> {
        let start = if frames.bytes() < Size2MiB::SIZE {
            self.next_device
        } else {
            let offset = frames.start.address() % Size2MiB::SIZE;
            self.next_device.next_multiple_of(Size2MiB::SIZE) + offset
        };
        let end = start + frames.bytes();
        if end > DEVICES + DEVICES_BYTES {
            return Err(MapError::WindowFull);
        }
        self.next_device = end;
        Ok(start)
    }

    fn map(&mut self, page: u64, frame: Frame, access: Access) -> Result<(), MapError> {
        self.map_sized::<Size4KiB>(page, frame, access)
    }

    /// Maps `frames` from the address `page` on, in the largest pages that fit both.
    fn map_range(
        &mut self,
        page: u64,
        frames: FrameRange,
        access: Access,
        largest: Largest,
    ) -> Result<(), MapError> {
        let mut at = frames.start;
        while at < frames.end {
            let rest = FrameRange::new(at, frames.end);
            let page = page + (at.address() - frames.start.address());
            let fits =
                |size: u64| (page | at.address()).is_multiple_of(size) && rest.bytes() >= size;
            let size = if largest == Largest::OneGibibyte && fits(Size1GiB::SIZE) {
                self.map_sized::<Size1GiB>(page, at, access)?;
                Size1GiB::SIZE
            } else if fits(Size2MiB::SIZE) {
                self.map_sized::<Size2MiB>(page, at, access)?;
                Size2MiB::SIZE
            } else {
                self.map_sized::<Size4KiB>(page, at, access)?;
                Size4KiB::SIZE
            };
            at = at.plus(size / FRAME_SIZE);
        }
        Ok(())
    }

    /// Maps a page of any size; `page` and `frame` must be multiples of it.
    fn map_sized<S: PageSize>(
        &mut self,
        page: u64,
        frame: Frame,
        access: Access,
    ) -> Result<(), MapError>
    where
        for<'a> OffsetPageTable<'a>: Mapper<S>,
    {
        let mut flags = access.flags();
        if S::SIZE > Size4KiB::SIZE {
            flags |= PageTableFlags::HUGE_PAGE;
        }
        let target = Page::<S>::containing_address(VirtAddr::new(page));
        let physical = PhysFrame::containing_address(PhysAddr::new(frame.address()));
        let parents = PageTableFlags::PRESENT | PageTableFlags::WRITABLE;
        let mut mapper = self.mapper();
        // SAFETY: `Access` allows no page that is writable and executable, and the callers, all
        // in this crate, map frames that are theirs, at addresses of their own region.
        let mapped = unsafe {
            mapper.map_to_with_table_flags(target, physical, flags, parents, &mut TableFrames)
        };
        mapped
            // A page that was not there is in no TLB.
            .map(MapperFlush::ignore)
            .map_err(|error| match error {
                MapToError::FrameAllocationFailed => MapError::OutOfFrames,
                MapToError::ParentEntryHugePage | MapToError::PageAlreadyMapped(_) => {
                    MapError::Mapped(page)
                }
            })
    }

    fn unmap(&mut self, page: u64) -> Result<Frame, MapError> {
        let target = Page::<Size4KiB>::containing_address(VirtAddr::new(page));
        match self.mapper().unmap(target) {
            Ok((frame, flush)) => {
                flush.flush();
                Ok(Frame::containing(frame.start_address().as_u64()))
            }
            Err(
                UnmapError::PageNotMapped
                | UnmapError::ParentEntryHugePage
                | UnmapError::InvalidFrameAddress(_),
            ) => Err(MapError::NotMapped(page)),
        }
    }
}

/// Where new tables come from.
struct TableFrames;

// SAFETY: the frame allocator hands every frame out once.
unsafe impl FrameAllocator<Size4KiB> for TableFrames {
    fn allocate_frame(&mut self) -> Option<PhysFrame> {
        let frame = frames::allocate_zeroed()?;
        Some(PhysFrame::containing_address(PhysAddr::new(
            frame.address(),
        )))
    }
}
