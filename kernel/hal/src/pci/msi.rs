//! Message-signalled interrupts: a device interrupts a core by writing to an address
//! (PCI Local Bus Specification 3.0, section 6.8; Intel SDM volume 3, section 11.11).
//!
//! MSI has one message in configuration space, MSI-X a table of messages in the function's
//! registers, each with a mask of its own.
//!
//! Invariant: an entry of the table is masked while it is changed.

use pci_types::CommandRegister;

use super::bar::BarKind;
use super::config::{Access, ConfigSpace};
use super::{Bar, Function, PciError, machine, update_command};
use crate::io::{Mmio, Registers};

/// The interrupt that a message raises: an edge, on one core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    address: u64,
    data: u32,
}

impl Message {
    /// Raises `vector` on the core with this APIC id.
    ///
    /// # Errors
    /// When the core cannot be addressed.
    pub fn new(vector: u8, apic_id: u32) -> Result<Self, PciError> {
        /// Where all cores' local APICs take messages.
        const BASE: u64 = 0xfee0_0000;
        // 255 addresses all cores.
        let core = u8::try_from(apic_id).ok().filter(|&id| id != u8::MAX);
        let core = core.ok_or(PciError::FarCore(apic_id))?;
        Ok(Self {
            address: BASE | u64::from(core) << 12,
            data: vector.into(),
        })
    }
}

/// Bits of MSI-X's message control, in the capability's first word.
const MSIX_ENABLE: u32 = 1 << 31;
const MSIX_MASK_ALL: u32 = 1 << 30;

/// Bits of MSI's message control: enabled, how many vectors are enabled.
const MSI_ENABLE: u32 = 1 << 16;
const MSI_VECTORS: u32 = 0b111 << 20;

impl Function {
    /// Makes the function interrupt by MSI with `message` from now on, and not by its line.
    ///
    /// # Errors
    /// When it has no MSI.
    pub fn enable_msi(&self, message: Message) -> Result<(), PciError> {
        self.enable_msi_in(machine(), message)
    }

    pub(super) fn enable_msi_in(
        &self,
        config: &impl ConfigSpace,
        message: Message,
    ) -> Result<(), PciError> {
        let (control, msi) = self.msi.ok_or(PciError::NoMsi)?;
        let off = config.read(self.address, control) & !(MSI_ENABLE | MSI_VECTORS);
        config.write(self.address, control, off);
        msi.set_message_info(message.address, message.data, Access(config));
        config.write(self.address, control, off | MSI_ENABLE);
        self.silence_line(config);
        Ok(())
    }

    /// Makes the function interrupt by MSI-X from now on, all messages masked, and not by its
    /// line; returns the table of its messages.
    ///
    /// # Errors
    /// When it has no MSI-X, or a table that is not where it says.
    pub fn enable_msix(&self) -> Result<MsixTable, PciError> {
        let (physical, bytes) = self.msix_table()?;
        // SAFETY: the table lies within the function's registers; it makes the device write to the
        // local APICs' addresses only, as every `Message` has such a one.
        let registers = unsafe { Mmio::map(physical, bytes) }.map_err(PciError::Map)?;
        self.enable_msix_in(machine(), registers)
    }

    /// Where the table is, and its bytes; within the range that it says it is in.
    pub(super) fn msix_table(&self) -> Result<(u64, usize), PciError> {
        let (_, msix) = self.msix.ok_or(PciError::NoMsix)?;
        let number = msix.table_bar();
        let bar = self.bars.get(usize::from(number)).copied().flatten();
        let bar = bar.ok_or(PciError::NoBar(number))?;
        let Bar {
            address,
            size,
            kind: BarKind::Memory { .. },
        } = bar
        else {
            return Err(PciError::NotMemory(number));
        };
        let bytes = usize::from(msix.table_size()) * ENTRY;
        let (offset, length) = (u64::from(msix.table_offset()), bytes as u64);
        if address == 0 || offset + length > size {
            return Err(PciError::BadMsixTable);
        }
        Ok((address + offset, bytes))
    }

    pub(super) fn enable_msix_in<R: Registers>(
        &self,
        config: &impl ConfigSpace,
        registers: R,
    ) -> Result<MsixTable<R>, PciError> {
        let (control, msix) = self.msix.ok_or(PciError::NoMsix)?;
        // The table can be reached only while the function decodes memory.
        update_command(config, self.address, |command| {
            command | CommandRegister::MEMORY_ENABLE
        });
        let off = config.read(self.address, control) & !MSIX_ENABLE;
        config.write(self.address, control, off | MSIX_MASK_ALL);
        config.write(self.address, control, off | MSIX_MASK_ALL | MSIX_ENABLE);
        let mut table = MsixTable {
            registers,
            entries: msix.table_size(),
        };
        for entry in 0..table.entries {
            table.set_masked(entry, true)?;
        }
        self.silence_line(config);
        config.write(self.address, control, (off & !MSIX_MASK_ALL) | MSIX_ENABLE);
        Ok(table)
    }

    fn silence_line(&self, config: &impl ConfigSpace) {
        update_command(config, self.address, |command| {
            command | CommandRegister::INTERRUPT_DISABLE
        });
    }
}

/// Bytes of an entry, and the places in it.
const ENTRY: usize = 16;
const ADDRESS_LOW: usize = 0;
const ADDRESS_HIGH: usize = 4;
const DATA: usize = 8;
const CONTROL: usize = 12;
/// Bit in an entry's control word.
const MASKED: u32 = 1;

/// A function's table of MSI-X messages.
#[derive(Debug)]
pub struct MsixTable<R = Mmio> {
    pub(super) registers: R,
    entries: u16,
}

impl<R: Registers> MsixTable<R> {
    /// How many entries it has.
    #[must_use]
    pub fn len(&self) -> u16 {
        self.entries
    }

    /// Whether it has none, which no function's table has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Makes `entry` send `message` from now on.
    ///
    /// # Errors
    /// When there is no such entry.
    pub fn set(&mut self, entry: u16, message: Message) -> Result<(), PciError> {
        self.set_masked(entry, true)?;
        let place = usize::from(entry) * ENTRY;
        self.registers
            .write32(place + ADDRESS_LOW, message.address as u32);
        self.registers
            .write32(place + ADDRESS_HIGH, (message.address >> 32) as u32);
        self.registers.write32(place + DATA, message.data);
        self.set_masked(entry, false)
    }

    /// Masks or unmasks `entry`. What happens while it is masked is kept and sent afterwards.
    ///
    /// # Errors
    /// When there is no such entry.
    pub fn set_masked(&mut self, entry: u16, masked: bool) -> Result<(), PciError> {
        if entry >= self.entries {
            return Err(PciError::NoMsixEntry(entry));
        }
        let place = usize::from(entry) * ENTRY + CONTROL;
        let others = self.registers.read32(place) & !MASKED;
        self.registers
            .write32(place, if masked { others | MASKED } else { others });
        Ok(())
    }
}
