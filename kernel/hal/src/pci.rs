//! PCI: which devices there are, where their registers are, and their message-signalled
//! interrupts (PCI Local Bus Specification 3.0; PCI Express Base Specification 5.0, section 7).
//!
//! [`init`] finds all functions once and logs them; [`devices`] lists them. Drivers then use
//! [`Function::enable`], [`Function::enable_msi`] and [`Function::enable_msix`].
//!
//! - `config`: reaching configuration space, in memory (ECAM) or by two ports.
//! - `scan`: from the host bridge through all bridges to all functions.
//! - `bar`: where a function's registers are and how large.
//! - `msi`: interrupts as messages.
//!
//! Devices are not trusted to tell the truth: every list is walked with a bound, and what makes no
//! sense is left out with a word in the log.

mod bar;
mod config;
mod msi;
mod scan;

use alloc::vec::Vec;
use core::fmt;

pub use pci_types::PciAddress;
use pci_types::capability::{MsiCapability, MsixCapability};
use pci_types::device_type::DeviceType;
use pci_types::{CommandRegister, PciHeader};
use spin::Once;

use crate::acpi::{Acpi, EcamRegion};
use crate::paging::MapError;

pub use self::bar::{Bar, BarKind};
use self::config::{Access, ConfigSpace, MachineConfig};
pub use self::msi::{Message, MsixTable};

/// One function of a device, as the scan found it.
#[derive(Clone, Debug)]
pub struct Function {
    /// Where it is.
    pub address: PciAddress,
    /// Who made it.
    pub vendor: u16,
    /// What the maker calls it.
    pub device: u16,
    /// The class, the subclass and the programming interface.
    pub class: [u8; 3],
    /// The revision.
    pub revision: u8,
    /// The subsystem's vendor and id; zero in bridges.
    pub subsystem: [u16; 2],
    /// Its register ranges by the number of their base address register.
    pub bars: [Option<Bar>; 6],
    /// The interrupt pin, 1 for INTA; `None` when it has none.
    pub interrupt_pin: Option<u8>,
    /// MSI, and the offset of its first word in configuration space.
    msi: Option<(u16, MsiCapability)>,
    /// MSI-X, likewise.
    msix: Option<(u16, MsixCapability)>,
    /// The offsets of its vendor-specific capabilities, in their order.
    pub vendor_capabilities: Vec<u16>,
}

/// Why a function cannot be used as wished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PciError {
    /// There is no base address register of this number, or it is empty.
    NoBar(u8),
    /// The registers are ports and cannot be mapped.
    NotMemory(u8),
    /// The registers cannot be mapped.
    Map(MapError),
    /// The function has no MSI.
    NoMsi,
    /// The function has no MSI-X.
    NoMsix,
    /// The MSI-X table does not lie within its register range.
    BadMsixTable,
    /// The MSI-X table has no such entry.
    NoMsixEntry(u16),
    /// The core's APIC id has more than 8 bits, which needs interrupt remapping.
    FarCore(u32),
}

impl fmt::Display for PciError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBar(number) => write!(f, "PCI: there are no registers at BAR {number}"),
            Self::NotMemory(number) => write!(f, "PCI: BAR {number} is not in memory"),
            Self::Map(error) => write!(f, "PCI: {error}"),
            Self::NoMsi => f.write_str("PCI: the function has no MSI"),
            Self::NoMsix => f.write_str("PCI: the function has no MSI-X"),
            Self::BadMsixTable => f.write_str("PCI: the MSI-X table is outside its registers"),
            Self::NoMsixEntry(entry) => write!(f, "PCI: the MSI-X table has no entry {entry}"),
            Self::FarCore(id) => write!(
                f,
                "PCI: core with APIC id {id} cannot take messages; expected an id below 255"
            ),
        }
    }
}

impl core::error::Error for PciError {}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [class, subclass, _] = self.class;
        let kind = DeviceType::from((class, subclass));
        write!(
            f,
            "{} {:04x}:{:04x} {kind:?}",
            self.address, self.vendor, self.device
        )?;
        for (number, bar) in self.bars.iter().enumerate() {
            if let Some(bar) = bar {
                write!(f, ", BAR {number} {bar}")?;
            }
        }
        if let Some((_, msix)) = &self.msix {
            write!(f, ", MSI-X {}", msix.table_size())?;
        } else if self.msi.is_some() {
            f.write_str(", MSI")?;
        }
        Ok(())
    }
}

impl Function {
    /// Reads a word of its configuration space; `offset` is rounded down to a multiple of 4. All
    /// ones where there is none.
    #[must_use]
    pub fn read(&self, offset: u16) -> u32 {
        machine().read(self.address, offset & !3)
    }

    /// How many MSI-X vectors it has; 0 without MSI-X.
    #[must_use]
    pub fn msix_vectors(&self) -> u16 {
        self.msix.map_or(0, |(_, msix)| msix.table_size())
    }

    /// The interrupt line of the PC's old interrupt controllers that the firmware has wired its pin
    /// to, 1 to 15; `None` when it has no pin or the firmware says nothing (PCI Local Bus
    /// Specification 3.0, section 6.2.4).
    #[must_use]
    pub fn interrupt_line(&self) -> Option<u8> {
        /// Where the line's number is: in the low byte.
        const INTERRUPT: u16 = 0x3c;
        self.interrupt_pin?;
        let line = self.read(INTERRUPT) as u8;
        (1..16).contains(&line).then_some(line)
    }

    /// Lets the function use its interrupt pin, or no more.
    pub fn set_pin_enabled(&self, enabled: bool) {
        update_command(machine(), self.address, |mut command| {
            command.set(CommandRegister::INTERRUPT_DISABLE, !enabled);
            command
        });
    }

    /// Lets the function decode its registers and, with `bus_master`, reach memory by itself.
    ///
    /// # Safety
    /// With `bus_master`, the function is in a state in which it writes to no memory that Rust
    /// uses, and its driver keeps it so.
    pub unsafe fn enable(&self, bus_master: bool) {
        update_command(machine(), self.address, |command| {
            let decode = CommandRegister::MEMORY_ENABLE | CommandRegister::IO_ENABLE;
            let mut wanted = command | decode;
            wanted.set(CommandRegister::BUS_MASTER_ENABLE, bus_master);
            wanted
        });
    }
}

/// Changes a function's command register.
fn update_command(
    config: &impl ConfigSpace,
    address: PciAddress,
    change: impl FnOnce(CommandRegister) -> CommandRegister,
) {
    PciHeader::new(address).update_command(Access(config), change);
}

static CONFIG: Once<MachineConfig> = Once::new();
static DEVICES: Once<Vec<Function>> = Once::new();

/// The machine's configuration space; the two ports when [`init`] has not run.
fn machine() -> &'static MachineConfig {
    CONFIG.call_once(|| MachineConfig::new(&[]))
}

/// Finds and logs all functions. Once; needs the heap and the kernel's page tables.
///
/// Configuration space is reached in memory where the ACPI tables say so, else by ports.
pub fn init(acpi: Option<&Acpi>) {
    let regions: &[EcamRegion] = acpi
        .and_then(|acpi| acpi.pci.as_ref().ok())
        .map_or(&[], Vec::as_slice);
    let config = CONFIG.call_once(|| MachineConfig::new(regions));
    let devices = DEVICES.call_once(|| scan::all(config, &config.first_buses()));
    log::info!("PCI: {} functions, {config}", devices.len());
    for device in devices {
        log::info!("PCI: {device}");
    }
}

/// All functions that [`init`] found; none before it.
#[must_use]
pub fn devices() -> &'static [Function] {
    DEVICES.get().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests;
