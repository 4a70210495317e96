//! A PCI function as a place on the bus.
//!
//! Key types: [`PciBus`], [`Interrupts`] (how a function was made to interrupt).
//!
//! Where there is neither MSI-X nor MSI a device interrupts by its pin, if the kernel has found where
//! that arrives ([`PciBus::interrupt_by_pin`]). Otherwise its driver is polled, and it keeps its pin
//! still: others may have the same line.

use core::sync::atomic::{Ordering, fence};

use vortex_hal::io::Mmio;
use vortex_hal::pci::{BarKind, Function, Message, MsixTable, PciError};

use crate::{Bus, BusError, DmaMemory};

/// A function of a PCI device, which a driver has for itself.
#[derive(Debug)]
pub struct PciBus {
    function: Function,
    /// The table of messages, once there are some.
    table: Option<MsixTable>,
}

/// How a function interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupts {
    /// By MSI-X: by entry 0 of its table.
    Msix,
    /// By MSI.
    Msi,
    /// By its pin, until the driver has asked the device for what.
    Pin,
    /// Not at all: it has to be polled.
    Polled,
}

impl PciBus {
    /// Takes a function: it decodes its registers from now on, and does not reach memory.
    ///
    /// # Safety
    /// Nobody else drives this function. The driver tells it no addresses but those of its own
    /// [`DmaMemory`] and of frames that it was given for the transfers it makes.
    #[must_use]
    pub unsafe fn new(function: Function) -> Self {
        // SAFETY: it is no bus master.
        unsafe { function.enable(false) };
        function.set_pin_enabled(false);
        Self {
            function,
            table: None,
        }
    }

    /// The function.
    #[must_use]
    pub const fn function(&self) -> &Function {
        &self.function
    }

    /// Has the function interrupt by `message`, in the best way that it has.
    pub fn interrupt_by(&mut self, message: Message) -> Interrupts {
        match self.by_msix(message) {
            Ok(()) => return Interrupts::Msix,
            Err(PciError::NoMsix) => {}
            Err(error) => log::warn!("{}: {error}", self.function.address),
        }
        match self.function.enable_msi(message) {
            Ok(()) => Interrupts::Msi,
            Err(PciError::NoMsi) => Interrupts::Polled,
            Err(error) => {
                log::warn!("{}: {error}", self.function.address);
                Interrupts::Polled
            }
        }
    }

    /// Has the function interrupt by its pin, the line of which has been connected.
    pub fn interrupt_by_pin(&mut self) {
        self.function.set_pin_enabled(true);
    }

    fn by_msix(&mut self, message: Message) -> Result<(), PciError> {
        let mut table = self.function.enable_msix()?;
        table.set(0, message)?;
        self.table = Some(table);
        Ok(())
    }
}

impl Bus for PciBus {
    type Memory = DmaMemory;
    type Registers = Mmio;

    fn allocate(&mut self, bytes: usize) -> Result<DmaMemory, BusError> {
        DmaMemory::allocate(bytes)
    }

    fn registers(&mut self, bar: u8, offset: u64, length: usize) -> Result<Mmio, BusError> {
        let missing = BusError::NoRegisters { bar };
        let found = self.function.bars.get(usize::from(bar)).copied().flatten();
        let found = found.ok_or(missing)?;
        let end = offset.checked_add(length as u64).ok_or(missing)?;
        let in_memory = matches!(found.kind, BarKind::Memory { .. });
        if !in_memory || found.address == 0 || end > found.size || !offset.is_multiple_of(4) {
            return Err(missing);
        }
        // SAFETY: the range lies within the function's registers; that its driver tells it no
        // memory but its own, the creator of `self` has vouched for.
        unsafe { Mmio::map(found.address + offset, length) }.map_err(|error| {
            log::warn!("{}: {error}", self.function.address);
            missing
        })
    }

    fn set_master(&mut self, allowed: bool) {
        // SAFETY: the driver has just reset the device or is about to set it up, and its creator
        // has vouched for the addresses that it is told.
        unsafe { self.function.enable(allowed) };
    }

    fn barrier() {
        fence(Ordering::SeqCst);
    }
}
