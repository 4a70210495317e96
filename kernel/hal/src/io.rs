//! Ports and memory-mapped registers, behind traits so that their users are tested on the host
//! against fakes.
//!
//! - [`Ports`] and its real form `CpuPorts`: the x86 I/O address space.
//! - [`Registers`] and its real form [`Mmio`]: registers in mapped device memory.
//!
//! Invariant: an [`Mmio`] is mapped for good and every access is checked against its length.

use core::ptr::NonNull;

use x86_64::instructions::port::Port;

use crate::paging::{self, MapError};

/// The I/O address space. Reading a port where there is no device gives all ones.
pub trait Ports {
    /// Reads 8 bits.
    fn read8(&mut self, port: u16) -> u8;
    /// Reads 16 bits.
    fn read16(&mut self, port: u16) -> u16;
    /// Reads 32 bits.
    fn read32(&mut self, port: u16) -> u32;
    /// Writes 8 bits.
    fn write8(&mut self, port: u16, value: u8);
    /// Writes 16 bits.
    fn write16(&mut self, port: u16, value: u16);
    /// Writes 32 bits.
    fn write32(&mut self, port: u16, value: u32);
}

/// The registers of one device, by their offset in bytes, which has to be aligned to the access.
pub trait Registers {
    /// Reads 8 bits.
    fn read8(&self, offset: usize) -> u8;
    /// Reads 16 bits.
    fn read16(&self, offset: usize) -> u16;
    /// Reads 32 bits.
    fn read32(&self, offset: usize) -> u32;
    /// Writes 8 bits.
    fn write8(&mut self, offset: usize, value: u8);
    /// Writes 16 bits.
    fn write16(&mut self, offset: usize, value: u16);
    /// Writes 32 bits.
    fn write32(&mut self, offset: usize, value: u32);
}

/// The I/O ports of the CPU this runs on.
#[derive(Debug)]
pub(crate) struct CpuPorts {
    _only_by_new: (),
}

impl CpuPorts {
    /// Access to all ports.
    ///
    /// # Safety
    /// The caller touches only ports of devices that it drives, and no device behind them is told
    /// to write to memory that Rust uses.
    pub(crate) const unsafe fn new() -> Self {
        Self { _only_by_new: () }
    }
}

/// One method pair of [`CpuPorts`].
macro_rules! port_access {
    ($read:ident, $write:ident, $type:ty) => {
        fn $read(&mut self, port: u16) -> $type {
            // SAFETY: the creator of `self` vouched for the ports it uses; the kernel runs in the
            // privilege level that may use them.
            unsafe { Port::<$type>::new(port).read() }
        }

        fn $write(&mut self, port: u16, value: $type) {
            // SAFETY: as for reading.
            unsafe { Port::<$type>::new(port).write(value) }
        }
    };
}

impl Ports for CpuPorts {
    port_access!(read8, write8, u8);
    port_access!(read16, write16, u16);
    port_access!(read32, write32, u32);
}

/// Registers in device memory.
#[derive(Debug)]
pub struct Mmio {
    base: NonNull<u8>,
    length: usize,
}

// SAFETY: the registers are mapped in every address space, for good; they belong to no core.
unsafe impl Send for Mmio {}

// SAFETY: through a shared reference registers are only read, as volatile as a device demands.
unsafe impl Sync for Mmio {}

impl Mmio {
    /// Maps `length` bytes of registers at `physical`, uncached and for good.
    ///
    /// # Errors
    /// As [`paging::map_mmio`].
    ///
    /// # Safety
    /// The range is registers of a device, not memory that Rust uses, and the device is not told
    /// to write to memory that Rust uses.
    pub unsafe fn map(physical: u64, length: usize) -> Result<Self, MapError> {
        let base = paging::map_mmio(physical, length)?;
        Ok(Self { base, length })
    }

    /// A second access to the same registers, for contexts that cannot take the first one's lock.
    pub(crate) fn alias(&self) -> Self {
        Self { ..*self }
    }

    /// Where the register is; checks it is within the mapping and aligned.
    fn place<T>(&self, offset: usize) -> *mut T {
        let end = offset.checked_add(size_of::<T>());
        assert!(
            end.is_some_and(|end| end <= self.length) && offset.is_multiple_of(size_of::<T>()),
            "register at offset {offset:#x} of {:#x} bytes",
            self.length
        );
        self.base.as_ptr().wrapping_add(offset).cast()
    }
}

/// One method pair of [`Mmio`].
macro_rules! register_access {
    ($read:ident, $write:ident, $type:ty) => {
        fn $read(&self, offset: usize) -> $type {
            let place = self.place::<$type>(offset);
            // SAFETY: `place` is inside the mapping and aligned for the access (checked there), as
            // the mapping starts at an address aligned to what its device demands; the mapping
            // stays for good, and the creator of `self` vouched for what is behind it.
            unsafe { place.read_volatile() }
        }

        fn $write(&mut self, offset: usize, value: $type) {
            let place = self.place::<$type>(offset);
            // SAFETY: as for reading.
            unsafe { place.write_volatile(value) }
        }
    };
}

impl Registers for Mmio {
    register_access!(read8, write8, u8);
    register_access!(read16, write16, u16);
    register_access!(read32, write32, u32);
}
