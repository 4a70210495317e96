//! What drivers need of the machine: a device's registers, memory that the device reaches, its
//! interrupts, and virtqueues in such memory.
//!
//! Key types: [`Bus`] (one device's place on it: [`pci::PciBus`], or a fake), [`Memory`],
//! [`Registers`], [`virtqueue::Virtqueue`], [`virtio::Transport`].
//!
//! Invariants: the only unsafe code of drivers is here. No reference is ever made to memory that a
//! device may write: it is read and written by volatile or atomic accesses, and drivers work on
//! copies. A device's memory is given back only with its driver, after its access to memory was
//! taken away.
#![cfg_attr(target_os = "none", no_std)]
#![expect(
    unsafe_code,
    reason = "memory that devices write is reached through raw pointers"
)]

extern crate alloc;

pub mod dma;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod pci;
pub mod virtio;
pub mod virtqueue;

use core::fmt;

pub use vortex_hal::io::Registers;

pub use dma::DmaMemory;

/// Memory that a device reads and writes, of the driver alone. It begins at a page's boundary and
/// is contiguous for the device. Numbers in it are little-endian.
///
/// Every access panics where it is out of bounds, and the accesses to numbers where they are not
/// aligned: the offsets are the driver's, never the device's.
pub trait Memory: Send + fmt::Debug + 'static {
    /// What the device calls its first byte.
    fn address(&self) -> u64;
    /// Its length in bytes.
    fn length(&self) -> usize;
    /// Copies out of it.
    fn read(&self, offset: usize, into: &mut [u8]);
    /// Copies into it.
    fn write(&mut self, offset: usize, from: &[u8]);
    /// Reads 16 bits at once; what is read later was written later, or before by the device.
    fn load16(&self, offset: usize) -> u16;
    /// As [`Self::load16`], 32 bits.
    fn load32(&self, offset: usize) -> u32;
    /// Writes 16 bits at once, after all that was written before.
    fn store16(&mut self, offset: usize, value: u16);
    /// As [`Self::store16`], 32 bits.
    fn store32(&mut self, offset: usize, value: u32);
}

/// One device's place on the bus.
pub trait Bus: Send + 'static {
    /// Memory for the device.
    type Memory: Memory;
    /// Registers of the device.
    type Registers: Registers + Send + 'static;

    /// So many bytes of zeros for the device.
    ///
    /// # Errors
    /// [`BusError::NoMemory`].
    fn allocate(&mut self, bytes: usize) -> Result<Self::Memory, BusError>;
    /// A range of the device's registers: `length` bytes from `offset` of base address register
    /// `bar`.
    ///
    /// # Errors
    /// [`BusError::NoRegisters`].
    fn registers(
        &mut self,
        bar: u8,
        offset: u64,
        length: usize,
    ) -> Result<Self::Registers, BusError>;
    /// Lets the device reach memory by itself, or forbids it. After forbidding it touches no memory.
    fn set_master(&mut self, allowed: bool);
    /// What has been written is visible to the device before anything that is read from here on.
    fn barrier();
}

/// Why a device cannot be driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusError {
    /// There is not so much contiguous memory.
    NoMemory {
        /// The bytes that were wanted.
        bytes: usize,
    },
    /// The device has no such registers, or they cannot be mapped.
    NoRegisters {
        /// The number of the base address register.
        bar: u8,
    },
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMemory { bytes } => write!(f, "no {bytes} contiguous bytes for the device"),
            Self::NoRegisters { bar } => write!(f, "no such registers at BAR {bar}"),
        }
    }
}

impl core::error::Error for BusError {}
