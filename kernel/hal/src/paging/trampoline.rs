//! Page tables for cores that come out of real mode.
//!
//! Key types: [`TrampolineTables`]: the kernel's half as everywhere, and one page below 1 MiB at
//! its own physical address, where a core's code goes on when it turns paging on.

use alloc::boxed::Box;

use vortex_kernel_base::address::Frame;
use x86_64::structures::paging::PageTable;
use x86_64::{PhysAddr, VirtAddr};

use super::{Access, DEVICES, MapError, TABLES, Tables, direct};
use crate::frames;

/// A core in real mode can load only 32 bits into CR3.
const ROOT_LIMIT: Frame = Frame::containing(1 << 32);

/// The tables' root; the tables below it are found from there.
pub(crate) struct TrampolineTables {
    /// Apart: they are too large for a stack to hold several times.
    tables: Box<Tables>,
    page: Frame,
}

impl TrampolineTables {
    /// Tables that map `page` to itself, to be run, and the kernel's half.
    ///
    /// # Errors
    /// When memory runs out, below 4 GiB or at all, or before there are kernel tables.
    pub(crate) fn new(page: Frame) -> Result<Self, MapError> {
        let root = frames::allocate_zeroed_below(ROOT_LIMIT).ok_or(MapError::OutOfFrames)?;
        let mut tables = Box::new(Tables {
            root,
            next_device: DEVICES,
            direct: arrayvec::ArrayVec::new(),
        });
        copy_kernel_half(&mut tables)?;
        tables.map(page.address(), page, Access::Execute)?;
        Ok(Self { tables, page })
    }

    /// The top-level table, below 4 GiB.
    pub(crate) fn root(&self) -> Frame {
        self.tables.root
    }

    /// Gives back the frames of the tables, which no core may be using any more.
    pub(crate) fn free(self) {
        let address = VirtAddr::new(self.page.address());
        let indices = [address.p4_index(), address.p3_index(), address.p2_index()];
        let mut table = self.tables.root;
        let mut frames = arrayvec::ArrayVec::<Frame, 4>::new();
        frames.push(table);
        for index in indices {
            // SAFETY: the walk stays in these tables, which are borrowed mutably and in the
            // direct map.
            let entries = unsafe { &*direct(table).cast::<PageTable>() };
            table = Frame::containing(entries[index].addr().as_u64());
            frames.push(table);
        }
        for frame in frames {
            frames::free(frame).unwrap_or_else(|error| panic!("the trampoline's tables: {error}"));
        }
    }
}

/// Shares the tables below the kernel's upper half.
fn copy_kernel_half(tables: &mut Tables) -> Result<(), MapError> {
    let mut guard = TABLES.lock();
    let kernel = guard.as_mut().ok_or(MapError::NotReady)?;
    let kernel = kernel.mapper();
    let mut mapper = tables.mapper();
    let target = mapper.level_4_table_mut();
    for (index, entry) in kernel.level_4_table().iter().enumerate().skip(256) {
        if !entry.is_unused() {
            let address = PhysAddr::new(entry.addr().as_u64());
            target[index].set_addr(address, entry.flags());
        }
    }
    Ok(())
}
