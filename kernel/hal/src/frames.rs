//! The machine's physical frames: the one allocator of [`vortex_kernel_base::frames`], shared by
//! all cores.
//!
//! Invariant: a frame handed out here is in the direct map and in nobody else's hands.

use vortex_kernel_base::address::{FRAME_SIZE, Frame};
use vortex_kernel_base::frames::{self, FrameAllocator, FrameStatistics, FreeError, Order};
use vortex_kernel_base::memory_map::MemoryMap;

use crate::paging;
use crate::sync::{IrqLock, Level};

static FRAMES: IrqLock<Option<FrameAllocator<'static>>> = IrqLock::new(Level::Frames, None);

/// Why the allocator could not be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupError {
    /// No range has room for the allocator's own bitmaps.
    NoRoom {
        /// The frames they need, contiguous.
        needed: u64,
    },
    /// The memory map is not as the allocator wants it.
    Map(frames::SetupError),
}

impl core::fmt::Display for SetupError {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoRoom { needed } => {
                write!(
                    formatter,
                    "no {needed} contiguous frames for the frame allocator"
                )
            }
            Self::Map(error) => error.fmt(formatter),
        }
    }
}

impl core::error::Error for SetupError {}

/// Gives the frames of `map` from 1 MiB up to the allocator; once, on the boot core. The
/// allocator's own memory is taken from the map first.
///
/// # Errors
/// When there is no room for it.
///
/// # Safety
/// Nobody else uses the map's frames, now or later, and all of them are in the direct map.
pub unsafe fn init(map: &mut MemoryMap) -> Result<(), SetupError> {
    // SAFETY: as the caller promises.
    if !unsafe { crate::user_frames::init(map) } {
        return Err(SetupError::NoRoom {
            needed: map.main_frames().div_ceil(FRAME_SIZE / 4),
        });
    }
    let words = frames::words_needed(map.main());
    let needed = (words as u64 * 8).div_ceil(FRAME_SIZE);
    let room = map.take(needed).ok_or(SetupError::NoRoom { needed })?;
    let start = paging::direct(room.start).cast::<u64>();
    // SAFETY: the caller promises that the frames are mapped there and nobody else's; any bytes
    // are valid as `u64`, and `words` of them fit in the frames taken.
    let storage = unsafe { core::slice::from_raw_parts_mut(start, words) };
    let allocator = FrameAllocator::new(map.main(), storage).map_err(SetupError::Map)?;
    *FRAMES.lock() = Some(allocator);
    Ok(())
}

/// One frame with whatever it held last, or `None` when all are taken.
#[must_use]
pub fn allocate() -> Option<Frame> {
    FRAMES.lock().as_mut()?.allocate()
}

/// One frame of zeros, or `None` when all are taken.
#[must_use]
pub fn allocate_zeroed() -> Option<Frame> {
    let frame = allocate()?;
    clear(frame);
    Some(frame)
}

/// One frame of zeros below `limit`, for hardware that reaches no further.
#[must_use]
pub fn allocate_zeroed_below(limit: Frame) -> Option<Frame> {
    let frame = FRAMES
        .lock()
        .as_mut()?
        .allocate_below(Order::FRAME, limit)?;
    clear(frame);
    Some(frame)
}

/// An aligned block of 2ⁿ frames with whatever they held last: its first frame.
#[must_use]
pub fn allocate_block(order: Order) -> Option<Frame> {
    FRAMES.lock().as_mut()?.allocate_block(order)
}

/// Gives back a frame.
///
/// # Errors
/// When it was not handed out, or was given back already.
pub fn free(frame: Frame) -> Result<(), FreeError> {
    free_block(frame, Order::FRAME)
}

/// Gives back a block that was handed out with the same `order`.
///
/// # Errors
/// When it was not handed out so, or was given back already.
pub fn free_block(frame: Frame, order: Order) -> Result<(), FreeError> {
    match FRAMES.lock().as_mut() {
        Some(allocator) => allocator.free_block(frame, order),
        None => Err(FreeError::Foreign(frame)),
    }
}

/// How the memory stands; `None` before [`init`].
#[must_use]
pub fn statistics() -> Option<FrameStatistics> {
    FRAMES.lock().as_ref().map(FrameAllocator::statistics)
}

/// Fills a frame that was just handed out with zeros.
fn clear(frame: Frame) {
    let start = paging::direct(frame);
    // SAFETY: the frame is ours alone and mapped writable in the direct map.
    unsafe { start.write_bytes(0, FRAME_SIZE as usize) };
}
