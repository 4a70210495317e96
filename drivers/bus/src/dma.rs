//! Memory for devices, out of the kernel's frames.
//!
//! Key type: [`DmaMemory`]. Invariant: the frames are this object's alone, and stay in the direct
//! map; nothing refers to them but through it, by volatile and atomic accesses.

use core::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use vortex_hal::{frames, paging};
use vortex_kernel_base::address::{FRAME_SIZE, Frame};
use vortex_kernel_base::frames::Order;

use crate::{BusError, Memory};

/// Bytes that are copied at once.
const WORD: usize = 8;

/// Contiguous frames that a device may read and write.
#[derive(Debug)]
pub struct DmaMemory {
    first: Frame,
    order: Order,
    length: usize,
}

impl DmaMemory {
    /// So many bytes of zeros, at least one.
    ///
    /// # Errors
    /// [`BusError::NoMemory`].
    pub fn allocate(bytes: usize) -> Result<Self, BusError> {
        let missing = BusError::NoMemory { bytes };
        let wanted = (bytes.max(1) as u64).div_ceil(FRAME_SIZE);
        let order = Order::for_frames(wanted).ok_or(missing)?;
        let first = frames::allocate_block(order).ok_or(missing)?;
        let length = (order.frames() * FRAME_SIZE) as usize;
        let start = paging::direct(first);
        // SAFETY: the frames were just handed out, so they are ours alone, and are mapped writable
        // in the direct map, all in a row.
        unsafe { start.write_bytes(0, length) };
        Ok(Self {
            first,
            order,
            length,
        })
    }

    /// The address of `length` bytes at `offset`; checks that they are inside.
    fn place(&self, offset: usize, length: usize) -> *mut u8 {
        assert!(
            offset <= self.length && length <= self.length - offset,
            "{length} bytes at {offset} of {}",
            self.length
        );
        paging::direct(self.first).wrapping_add(offset)
    }

    fn word16(&self, offset: usize) -> &AtomicU16 {
        assert!(offset.is_multiple_of(2), "16 bits at {offset}");
        let place = self.place(offset, 2).cast();
        // SAFETY: inside the frames, which are ours and stay mapped as long as `self` lives;
        // aligned, as frames are; all accesses in Rust are atomic or volatile.
        unsafe { AtomicU16::from_ptr(place) }
    }

    fn word32(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4), "32 bits at {offset}");
        let place = self.place(offset, 4).cast();
        // SAFETY: as for 16 bits.
        unsafe { AtomicU32::from_ptr(place) }
    }
}

impl Drop for DmaMemory {
    fn drop(&mut self) {
        if let Err(error) = frames::free_block(self.first, self.order) {
            log::error!("memory of a device: {error}");
        }
    }
}

impl Memory for DmaMemory {
    fn address(&self) -> u64 {
        self.first.address()
    }

    fn length(&self) -> usize {
        self.length
    }

    fn read(&self, offset: usize, into: &mut [u8]) {
        let from = self.place(offset, into.len());
        let (words, rest) = into.as_chunks_mut::<WORD>();
        let behind = from.wrapping_add(WORD * words.len());
        for (index, word) in words.iter_mut().enumerate() {
            let place = from.wrapping_add(WORD * index).cast::<[u8; WORD]>();
            // SAFETY: inside the frames (checked above); volatile, as the device may write it.
            *word = unsafe { place.read_volatile() };
        }
        for (index, byte) in rest.iter_mut().enumerate() {
            // SAFETY: as above.
            *byte = unsafe { behind.wrapping_add(index).read_volatile() };
        }
    }

    fn write(&mut self, offset: usize, from: &[u8]) {
        let to = self.place(offset, from.len());
        let (words, rest) = from.as_chunks::<WORD>();
        let behind = to.wrapping_add(WORD * words.len());
        for (index, word) in words.iter().enumerate() {
            let place = to.wrapping_add(WORD * index).cast::<[u8; WORD]>();
            // SAFETY: as for reading.
            unsafe { place.write_volatile(*word) };
        }
        for (index, byte) in rest.iter().enumerate() {
            // SAFETY: as for reading.
            unsafe { behind.wrapping_add(index).write_volatile(*byte) };
        }
    }

    fn load16(&self, offset: usize) -> u16 {
        self.word16(offset).load(Ordering::Acquire)
    }

    fn load32(&self, offset: usize) -> u32 {
        self.word32(offset).load(Ordering::Acquire)
    }

    fn store16(&mut self, offset: usize, value: u16) {
        self.word16(offset).store(value, Ordering::Release);
    }

    fn store32(&mut self, offset: usize, value: u32) {
        self.word32(offset).store(value, Ordering::Release);
    }
}
