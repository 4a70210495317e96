//! The kernel heap: a free list over its own region of the address space, grown by mapping fresh
//! frames when it is full.
//!
//! For boot and other rare work: an allocation takes time linear in the number of holes. What is
//! done for each request allocates nothing.
//!
//! Invariant: `[HEAP, HEAP + size)` is mapped, and nothing else in the region.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;

use linked_list_allocator::Heap;
use vortex_kernel_base::address::FRAME_SIZE;

use crate::paging::{self, Access, MapError};
use crate::sync::{IrqLock, Level};

/// What the heap starts with.
const INITIAL_BYTES: u64 = 1 << 20;

/// The least the heap grows by, so that it grows rarely.
const GROWTH_BYTES: u64 = 1 << 20;

/// The most the heap may take: far more than the kernel needs.
const LIMIT_BYTES: u64 = 1 << 38;

static HEAP: IrqLock<Heap> = IrqLock::new(Level::Heap, Heap::empty());

/// The `#[global_allocator]`'s type.
pub struct KernelHeap;

/// Maps the first piece of the heap; once, on the kernel's own page tables.
///
/// # Errors
/// When memory runs out.
pub fn init() -> Result<(), MapError> {
    let mut heap = HEAP.lock();
    paging::map_fresh(paging::HEAP, INITIAL_BYTES / FRAME_SIZE, Access::Write)?;
    let start = core::ptr::with_exposed_provenance_mut(paging::HEAP as usize);
    // SAFETY: the region was mapped just now and is the heap's alone, for good.
    unsafe { heap.init(start, INITIAL_BYTES as usize) };
    Ok(())
}

/// The heap's size and how much of it is in use, in bytes.
#[must_use]
pub fn usage() -> (usize, usize) {
    let heap = HEAP.lock();
    (heap.size(), heap.used())
}

/// Makes room for `layout` at the heap's end.
fn grow(heap: &mut Heap, layout: Layout) -> Option<()> {
    let size = heap.size() as u64;
    if size == 0 {
        return None;
    }
    let wanted = (layout.size() as u64).checked_add(layout.align() as u64)?;
    let bytes = wanted
        .max(GROWTH_BYTES)
        .checked_next_multiple_of(FRAME_SIZE)?;
    if size.checked_add(bytes)? > LIMIT_BYTES {
        return None;
    }
    // Page by page, so that what could be mapped is used even when memory runs out on the way.
    for _ in 0..bytes / FRAME_SIZE {
        let end = paging::HEAP + heap.size() as u64;
        paging::map_fresh(end, 1, Access::Write).ok()?;
        // SAFETY: the page was mapped just now, at the heap's end, and is the heap's alone.
        unsafe { heap.extend(FRAME_SIZE as usize) };
    }
    Some(())
}

// SAFETY: the free list hands out disjoint blocks of mapped memory that fit their layouts, and
// takes them back only from `dealloc`; the lock keeps cores and interrupts apart.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut heap = HEAP.lock();
        let block = heap.allocate_first_fit(layout).or_else(|()| {
            grow(&mut heap, layout)
                .ok_or(())
                .and_then(|()| heap.allocate_first_fit(layout))
        });
        block.map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller promises that `alloc` gave the block for this layout.
            unsafe { HEAP.lock().deallocate(block, layout) };
        }
    }
}
