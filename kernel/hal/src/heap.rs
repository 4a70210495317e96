//! The kernel heap: lists of small free blocks, filled from a region of the address space that is
//! grown by mapping fresh frames when it is full.
//!
//! Small blocks (`classes`) take constant time, and mostly no lock: each core keeps some of its own
//! (`magazine`). Larger ones come from one list of holes, in time
//! linear in their number; they are few: tables of boot time, chunks of small blocks, stacks of
//! buffers.
//!
//! Invariant: `[HEAP, HEAP + size)` is mapped, and nothing else in the region.

mod classes;
mod magazine;

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;

use linked_list_allocator::Heap;
use vortex_kernel_base::address::FRAME_SIZE;

use self::classes::{CLASSES, Class, FreeList};
use self::magazine::Magazine;
use crate::paging::{self, Access, MapError};
use crate::sync::{IrqLock, Level};

/// What the heap starts with.
const INITIAL_BYTES: u64 = 1 << 20;

/// The least the heap grows by, so that it grows rarely.
const GROWTH_BYTES: u64 = 1 << 20;

/// The most the heap may take: far more than the kernel needs.
const LIMIT_BYTES: u64 = 1 << 38;

static HEAP: IrqLock<Heap> = IrqLock::new(Level::Heap, Heap::empty());

/// The free blocks of each class. Their locks and the region's are of one level: a core has one of
/// them at a time.
static SMALL: [IrqLock<FreeList>; CLASSES] =
    [const { IrqLock::new(Level::Heap, FreeList::new()) }; CLASSES];

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

/// The heap's size and how much of it is in use, in bytes; free small blocks count as used.
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

/// A block from the region.
fn allocate_large(layout: Layout) -> Option<NonNull<u8>> {
    let mut heap = HEAP.lock();
    let block = heap.allocate_first_fit(layout).or_else(|()| {
        grow(&mut heap, layout)
            .ok_or(())
            .and_then(|()| heap.allocate_first_fit(layout))
    });
    block.ok()
}

/// A block of a class: from this core's, from the list, or from a new chunk.
fn allocate_small(class: Class) -> Option<NonNull<u8>> {
    let list = &SMALL[class.index()];
    let take = |magazine: &mut Magazine| {
        let block = magazine.pop();
        block.or_else(|| magazine.fill(&mut list.lock(), class))
    };
    let taken = magazine::here(class, take);
    if let Some(block) = taken.unwrap_or_else(|| list.lock().pop()) {
        return Some(block);
    }
    let chunk = allocate_large(class.chunk())?;
    let mut list = list.lock();
    // SAFETY: the chunk was allocated with that layout just now and is never freed.
    unsafe { list.refill(class, chunk) };
    list.pop()
}

/// Takes a block of a class back.
///
/// # Safety
/// The block is of that class, and nobody uses it any more.
unsafe fn free_small(class: Class, block: NonNull<u8>) {
    let list = &SMALL[class.index()];
    let put = |magazine: &mut Magazine| {
        // SAFETY: the caller's promises.
        unsafe { magazine.push(block) };
        if magazine.is_full(class) {
            magazine.empty(&mut list.lock(), class);
        }
    };
    if magazine::here(class, put).is_none() {
        // SAFETY: the caller's promises; it was not pushed.
        unsafe { list.lock().push(block) };
    }
}

// SAFETY: the lists hand out disjoint blocks of mapped memory that fit their layouts, and take
// them back only from `dealloc`; the locks keep cores and interrupts apart.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = match Class::of(layout) {
            Some(class) => allocate_small(class),
            None => allocate_large(layout),
        };
        block.map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(block) = NonNull::new(block) else {
            return;
        };
        match Class::of(layout) {
            // SAFETY: the caller promises that `alloc` gave the block for this layout, so it is of
            // this class, and that it is used no more.
            Some(class) => unsafe { free_small(class, block) },
            // SAFETY: as above, so it is the region's.
            None => unsafe { HEAP.lock().deallocate(block, layout) },
        }
    }
}
