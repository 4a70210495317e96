//! Frames lent to user memory, and the only way to their content: by frame number, through the
//! direct map, never through a user's address.
//!
//! Key functions: [`allocate`], [`free`], [`read`], [`write()`], [`zero`], [`copy`] and the atomic
//! operations on words, for futexes. Key types: `States`, a counter for each frame.
//!
//! Invariants: what is touched here is a frame that [`allocate`] gave and [`free`] has not taken
//! back, and not a page table: each function checks that and panics otherwise, since the caller,
//! not a user, is then wrong. A frame that is mapped somewhere, or that a table is in, cannot be
//! freed. User mode may change a frame's bytes at any moment, so they are copied by instructions
//! that the compiler assumes nothing about, and never referred to.
//!
//! The caller sees to it that no core's TLB has a frame that is freed: after the last
//! [`AddressSpace::unmap`](crate::address_space::AddressSpace::unmap), flush, then free.

mod states;

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use spin::Once;
use vortex_kernel_base::address::{FRAME_SIZE, Frame};
use vortex_kernel_base::memory_map::MemoryMap;

pub(crate) use states::States;

use crate::frames;
use crate::paging;

/// Bytes of a frame.
const SIZE: usize = FRAME_SIZE as usize;

/// Up to so many bytes are copied word by word, if they are words: starting a string instruction
/// takes longer.
const FEW_BYTES: usize = 128;

static STATES: Once<States<'static>> = Once::new();

/// Takes memory from `map` to remember which frames are lent; once, on the boot core, before the
/// frame allocator takes the map. `false` when there is no room.
///
/// # Safety
/// Nobody else uses the map's frames, and all of them are in the direct map.
pub(crate) unsafe fn init(map: &mut MemoryMap) -> bool {
    let count = map.main().last().map_or(0, |range| range.end.number());
    let bytes = count * size_of::<AtomicU32>() as u64;
    let Some(room) = map.take(bytes.div_ceil(FRAME_SIZE)) else {
        return false;
    };
    let start = paging::direct(room.start);
    // SAFETY: the caller promises that the frames are mapped there and nobody else's.
    unsafe { start.write_bytes(0, room.bytes() as usize) };
    // SAFETY: as above, for good; zeros are valid counters, and `count` of them fit.
    let states = unsafe { core::slice::from_raw_parts(start.cast::<AtomicU32>(), count as usize) };
    STATES.call_once(|| States::new(states));
    true
}

/// The counters, once there are some.
pub(crate) fn states() -> &'static States<'static> {
    STATES
        .get()
        .expect("user frames are there once the frame allocator is")
}

/// All frames' numbers are below this.
#[must_use]
pub fn limit() -> usize {
    states().len()
}

/// A frame for user memory with whatever it held last, kernel data perhaps: [`zero`] or overwrite
/// it before it is mapped. `None` when all frames are taken.
#[must_use]
pub fn allocate() -> Option<Frame> {
    let frame = frames::allocate()?;
    states().lend(frame);
    Some(frame)
}

/// Gives back a frame that is mapped nowhere, neither in a table nor in any core's TLB.
///
/// # Panics
/// When it was not lent, is still mapped or is a page table.
pub fn free(frame: Frame) {
    states().take_back(frame);
    frames::free(frame).unwrap_or_else(|error| panic!("a user frame: {error}"));
}

/// The address of `length` bytes at `offset` of a frame, after all checks.
fn place(frame: Frame, offset: usize, length: usize) -> *mut u8 {
    assert!(
        offset <= SIZE && length <= SIZE - offset,
        "{length} bytes at {offset} are not in one frame"
    );
    states().check_lent(frame);
    // In bounds of the frame, or one past its end when the length is 0.
    paging::direct(frame).wrapping_add(offset)
}

/// The word at `offset`, a multiple of 4, of a frame.
fn word(frame: Frame, offset: usize) -> &'static AtomicU32 {
    assert!(
        offset.is_multiple_of(4),
        "a word at {offset} is not aligned"
    );
    let word = place(frame, offset, 4).cast::<u32>();
    // SAFETY: the direct map has it writable, it is aligned, lent frames stay in the direct map
    // for good, and the kernel makes no references to them but these atomic ones.
    unsafe { AtomicU32::from_ptr(word) }
}

/// Fills a frame with zeros.
///
/// # Panics
/// When the frame is not lent to user memory.
pub fn zero(frame: Frame) {
    let to = place(frame, 0, SIZE);
    // SAFETY: stays in the frame, which is user memory, so no Rust object; DF is clear.
    unsafe {
        core::arch::asm!(
            "rep stosq",
            inout("rdi") to => _,
            inout("rcx") SIZE / 8 => _,
            in("rax") 0_u64,
            options(nostack, preserves_flags)
        );
    }
}

/// Copies a whole frame.
///
/// # Panics
/// When one of the two is not lent to user memory.
pub fn copy(from: Frame, to: Frame) {
    let from = place(from, 0, SIZE);
    let to = place(to, 0, SIZE);
    // SAFETY: both are whole user frames.
    unsafe { copy_bytes(from, to, SIZE) };
}

/// Copies `length` bytes between two frames, each place given by frame and offset.
///
/// # Panics
/// When one of the two is not lent to user memory, or the bytes are not all in it.
pub fn copy_part(from: (Frame, usize), to: (Frame, usize), length: usize) {
    let from = place(from.0, from.1, length);
    let to = place(to.0, to.1, length);
    // SAFETY: both places were checked to be in user frames.
    unsafe { copy_bytes(from, to, length) };
}

/// Copies what is at `offset` of a frame. Not one step: user mode may write meanwhile.
///
/// # Panics
/// When the frame is not lent to user memory or the bytes are not all in it.
pub fn read(frame: Frame, offset: usize, into: &mut [u8]) {
    let from = place(frame, offset, into.len());
    // SAFETY: `into` is the kernel's and as long, and `from` was checked to be in a user frame.
    unsafe { copy_bytes(from, into.as_mut_ptr(), into.len()) };
}

/// Overwrites what is at `offset` of a frame. Not one step: user mode may read meanwhile.
///
/// # Panics
/// When the frame is not lent to user memory or the bytes are not all in it.
pub fn write(frame: Frame, offset: usize, from: &[u8]) {
    let to = place(frame, offset, from.len());
    // SAFETY: as in `read`, the other way.
    unsafe { copy_bytes(from.as_ptr(), to, from.len()) };
}

/// The four bytes at `offset`, in one step.
///
/// # Panics
/// When the frame is not lent to user memory, or `offset` is not a multiple of 4 in it.
#[must_use]
pub fn load_u32(frame: Frame, offset: usize) -> u32 {
    word(frame, offset).load(Ordering::SeqCst)
}

/// Puts `new` at `offset` if `current` is there, in one step; what was there.
///
/// # Errors
/// What was there, when it was not `current`.
///
/// # Panics
/// As [`load_u32`].
pub fn compare_exchange_u32(
    frame: Frame,
    offset: usize,
    current: u32,
    new: u32,
) -> Result<u32, u32> {
    word(frame, offset).compare_exchange(current, new, Ordering::SeqCst, Ordering::SeqCst)
}

/// Sets the bits of `bits` at `offset`, in one step; what was there.
///
/// # Panics
/// As [`load_u32`].
pub fn fetch_or_u32(frame: Frame, offset: usize, bits: u32) -> u32 {
    word(frame, offset).fetch_or(bits, Ordering::SeqCst)
}

/// Adds `value`, wrapping, at `offset`, in one step; what was there.
///
/// # Panics
/// As [`load_u32`].
pub fn fetch_add_u32(frame: Frame, offset: usize, value: u32) -> u32 {
    word(frame, offset).fetch_add(value, Ordering::SeqCst)
}

/// Copies `length` bytes, of which user mode may be changing some.
///
/// # Safety
/// Both ends are mapped for so many bytes, one of them in a user frame, and what is written is
/// referred to by the caller alone or by nobody.
unsafe fn copy_bytes(from: *const u8, to: *mut u8, length: usize) {
    let aligned = (from as usize | to as usize | length).is_multiple_of(8);
    if aligned && length <= FEW_BYTES {
        for at in (0..length).step_by(8) {
            let from = from.wrapping_add(at).cast::<u64>().cast_mut();
            let to = to.wrapping_add(at).cast::<u64>();
            // SAFETY: mapped, aligned, and only ever read as an atomic here.
            let from = unsafe { AtomicU64::from_ptr(from) };
            // SAFETY: as above; the caller's if it is not a user's.
            let to = unsafe { AtomicU64::from_ptr(to) };
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        return;
    }
    // By words as far as they go: where it is emulated, each step costs the same.
    // SAFETY: the caller vouches for both ends; DF is clear.
    unsafe {
        core::arch::asm!(
            "rep movsq",
            "mov ecx, {rest:e}",
            "rep movsb",
            rest = in(reg) length % 8,
            inout("rsi") from => _,
            inout("rdi") to => _,
            inout("rcx") length / 8 => _,
            options(nostack, preserves_flags)
        );
    }
}
