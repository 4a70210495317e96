//! A page of address space whose frame can be changed under all cores' eyes.
//!
//! Key types: [`ScratchPage`]. The self-test of TLB shootdowns reads it on every core while it
//! is pointed elsewhere.

use core::sync::atomic::{AtomicU64, Ordering};

use vortex_kernel_base::address::Frame;

use crate::paging::{self, Access, MapError};
use crate::shootdown;

/// A page that is always mapped, to one of two frames that hold different words.
pub struct ScratchPage {
    address: u64,
    spare: AtomicU64,
}

impl ScratchPage {
    /// Maps a page to a frame that begins with `first`; [`switch`](Self::switch) goes to a frame
    /// that begins with `second`, and back.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn new(first: u64, second: u64) -> Result<Self, MapError> {
        let frame = frame_with(first)?;
        let spare = frame_with(second)?;
        let address = paging::reserve_page()?;
        paging::map(address, frame, Access::Read)?;
        Ok(Self {
            address,
            spare: AtomicU64::new(spare.address()),
        })
    }

    /// Points the page at its other frame; when it returns, no core reads the old one. Only one
    /// core may do so at a time, and no core may read meanwhile.
    ///
    /// # Errors
    /// When the page tables are not as expected.
    pub fn switch(&self) -> Result<(), MapError> {
        let old = paging::unmap(self.address)?;
        let spare = self.spare.swap(old.address(), Ordering::AcqRel);
        paging::map(self.address, Frame::containing(spare), Access::Read)?;
        shootdown::flush(self.address, 1);
        Ok(())
    }

    /// The word at the start of the page, as this core's TLB has it.
    #[must_use]
    pub fn read(&self) -> u64 {
        let word = core::ptr::with_exposed_provenance::<u64>(self.address as usize);
        // SAFETY: the page is mapped, to a frame that nobody writes, but for moments in which
        // the caller of `switch` sees to it that nobody reads.
        unsafe { word.read_volatile() }
    }
}

/// A frame of zeros after the word `first`.
fn frame_with(first: u64) -> Result<Frame, MapError> {
    let frame = crate::frames::allocate_zeroed().ok_or(MapError::OutOfFrames)?;
    let word = paging::direct(frame).cast::<u64>();
    // SAFETY: the frame is ours alone and in the direct map.
    unsafe { word.write(first) };
    Ok(frame)
}
