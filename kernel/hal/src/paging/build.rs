//! Making the kernel's page tables from what the boot loader left, and switching to them.
//!
//! Key types: [`Segment`] (a part of the kernel image), [`DirectRange`].

use vortex_kernel_base::address::{FRAME_SIZE, Frame, FrameRange};
use x86_64::VirtAddr;
use x86_64::structures::paging::{OffsetPageTable, PageTable, Translate};

use super::{Access, DEVICES, DIRECT_MAP, HEAP, Largest, MapError, STACKS, TABLES, Tables};
use crate::cpu::Features;
use crate::frames;

/// The most ranges the direct map is made of.
pub(super) const MAX_DIRECT_RANGES: usize = 512;

/// A loadable part of the kernel image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The address of its first byte.
    pub start: u64,
    /// Its size in memory, in bytes.
    pub length: u64,
    /// What may be done with it.
    pub access: Access,
}

/// Physical memory that the direct map shows, in bytes; both ends multiples of 4096.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectRange {
    /// The first address.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// [`Access::Write`], or [`Access::Read`] for what must stay as it is.
    pub access: Access,
}

/// Builds the kernel's page tables while the boot loader's are still in force; [`enter`] switches
/// to them.
///
/// # Errors
/// When memory for tables runs out, or `segments` and `direct` overlap or are not mapped now.
pub fn build(
    features: &Features,
    segments: impl IntoIterator<Item = Segment>,
    direct: impl IntoIterator<Item = DirectRange>,
) -> Result<(), MapError> {
    let root = frames::allocate_zeroed().ok_or(MapError::OutOfFrames)?;
    let mut tables = Tables {
        root,
        next_device: DEVICES,
        direct: arrayvec::ArrayVec::new(),
    };
    let largest = match features.gibibyte_pages {
        true => Largest::OneGibibyte,
        false => Largest::TwoMebibytes,
    };
    for range in direct {
        tables.map_direct(range, largest)?;
        // A range too many is mapped all the same, only `copy_physical` does not know of it.
        let _ = tables.direct.try_push(range);
    }
    for segment in segments {
        tables.map_segment(&segment)?;
    }
    tables.create_top_level_entries()?;
    super::ROOT.store(root.address(), core::sync::atomic::Ordering::Release);
    *TABLES.lock() = Some(tables);
    Ok(())
}

impl Tables {
    /// Maps a range of the direct map.
    fn map_direct(&mut self, range: DirectRange, largest: Largest) -> Result<(), MapError> {
        let frames = FrameRange::new(Frame::containing(range.start), Frame::containing(range.end));
        self.map_range(DIRECT_MAP + range.start, frames, range.access, largest)
    }

    /// Maps a part of the kernel image to the frames where it is now.
    fn map_segment(&mut self, segment: &Segment) -> Result<(), MapError> {
        let first = segment.start & !(FRAME_SIZE - 1);
        let mut page = first;
        while page < segment.start + segment.length {
            let physical = current_translation(page).ok_or(MapError::NotMapped(page))?;
            self.map(page, Frame::containing(physical), segment.access)?;
            page += FRAME_SIZE;
        }
        Ok(())
    }

    /// Gives every region of the address space its top-level entry.
    fn create_top_level_entries(&mut self) -> Result<(), MapError> {
        use x86_64::structures::paging::PageTableFlags as Flags;
        for region in [DEVICES, HEAP, STACKS] {
            let table = frames::allocate_zeroed().ok_or(MapError::OutOfFrames)?;
            let address = x86_64::PhysAddr::new(table.address());
            let index = VirtAddr::new(region).p4_index();
            let mut mapper = self.mapper();
            mapper.level_4_table_mut()[index].set_addr(address, Flags::PRESENT | Flags::WRITABLE);
        }
        Ok(())
    }
}

/// Where `address` is mapped to by the tables now in force, whose frames are in the direct map.
#[must_use]
pub fn current_translation(address: u64) -> Option<u64> {
    let (root, _) = x86_64::registers::control::Cr3::read();
    let root = super::phys_to_virt(root.start_address().as_u64()).cast::<PageTable>();
    // SAFETY: the boot loader has its tables in the direct map at the same address as ours, and
    // nothing changes them while the boot core reads them here.
    let root = unsafe { &mut *root };
    // SAFETY: as above, for the tables below.
    let tables = unsafe { OffsetPageTable::new(root, VirtAddr::new(DIRECT_MAP)) };
    let physical = tables.translate_addr(VirtAddr::try_new(address).ok()?)?;
    Some(physical.as_u64())
}

/// Switches this core to the kernel's tables and to the stack that ends at `stack_top`, and goes
/// on at `next`; what was on the old stack is gone.
///
/// # Errors
/// When [`build`] has not been done; otherwise it does not return.
///
/// # Safety
/// `stack_top` is the end of a mapped stack that nobody else uses.
pub unsafe fn enter(
    stack_top: u64,
    next: extern "C" fn() -> !,
) -> Result<core::convert::Infallible, MapError> {
    let root = super::root()?.address();
    super::OWN.store(true, core::sync::atomic::Ordering::Relaxed);
    // SAFETY: the new tables map the kernel image, which this code is in, at the same addresses;
    // the caller vouches for the stack. The zero return address ends backtraces.
    unsafe {
        core::arch::asm!(
            "mov cr3, {root}",
            "mov rsp, {stack}",
            "xor ebp, ebp",
            "push rbp",
            "jmp {next}",
            root = in(reg) root,
            stack = in(reg) stack_top,
            next = in(reg) next,
            options(noreturn)
        )
    }
}
