//! Reaching configuration space: in memory (ECAM, PCI Express Base Specification 7.2.2), or by
//! the ports 0xcf8 and 0xcfc (PCI Local Bus Specification 3.0, section 3.2.2.3.2).
//!
//! Where nothing is there, reads give all ones and writes do nothing.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use pci_types::{ConfigRegionAccess, PciAddress};

use crate::acpi::EcamRegion;
use crate::io::{CpuPorts, Mmio, Ports, Registers};
use crate::sync::{IrqLock, Level};

/// Configuration space, in words of 32 bits at offsets that are multiples of 4.
pub(super) trait ConfigSpace {
    /// Reads a register.
    fn read(&self, address: PciAddress, offset: u16) -> u32;
    /// Writes a register.
    fn write(&self, address: PciAddress, offset: u16, value: u32);
}

/// A configuration space as `pci_types` wants it.
pub(super) struct Access<'a, C>(pub(super) &'a C);

impl<C: ConfigSpace> ConfigRegionAccess for Access<'_, C> {
    unsafe fn read(&self, address: PciAddress, offset: u16) -> u32 {
        self.0.read(address, offset)
    }

    unsafe fn write(&self, address: PciAddress, offset: u16, value: u32) {
        self.0.write(address, offset, value);
    }
}

/// The configuration space of the machine this runs on.
pub(super) struct MachineConfig {
    regions: Vec<EcamRegion>,
    /// What has been used of the regions, bus by bus: mapping them whole would take 256 MiB.
    /// `None` for a bus that cannot be mapped.
    buses: IrqLock<BTreeMap<(u16, u8), Option<Mmio>>>,
    ports: IrqLock<ConfigPorts<CpuPorts>>,
}

impl MachineConfig {
    /// Reaches configuration space through these regions; without any, by ports.
    pub(super) fn new(regions: &[EcamRegion]) -> Self {
        // SAFETY: only the two configuration ports are touched; what is written to devices is the
        // responsibility of those who write it.
        let ports = unsafe { CpuPorts::new() };
        Self {
            regions: regions.to_vec(),
            buses: IrqLock::new(Level::Devices, BTreeMap::new()),
            ports: IrqLock::new(Level::Devices, ConfigPorts(ports)),
        }
    }

    /// The first bus of every segment: where the scan begins.
    pub(super) fn first_buses(&self) -> Vec<PciAddress> {
        if self.regions.is_empty() {
            return [PciAddress::new(0, 0, 0, 0)].to_vec();
        }
        let first = |region: &EcamRegion| PciAddress::new(region.segment, region.first_bus, 0, 0);
        self.regions.iter().map(first).collect()
    }

    /// Calls `use_registers` with the registers of a bus and an offset in them; `None` when the
    /// bus is in no region.
    fn in_memory<T>(
        &self,
        address: PciAddress,
        offset: u16,
        use_registers: impl FnOnce(&mut Mmio, usize) -> T,
    ) -> Option<T> {
        let place = (address.segment(), address.bus());
        let mut buses = self.buses.lock();
        let bus = buses.entry(place).or_insert_with(|| self.map_bus(address));
        Some(use_registers(bus.as_mut()?, offset_in_bus(address, offset)))
    }

    fn map_bus(&self, address: PciAddress) -> Option<Mmio> {
        let physical = bus_address(&self.regions, address)?;
        // SAFETY: the MCFG says that configuration space is there; writing it tells a device
        // nothing but what the writer is responsible for.
        match unsafe { Mmio::map(physical, BUS_BYTES) } {
            Ok(registers) => Some(registers),
            Err(error) => {
                log::warn!("PCI: bus {:#x} cannot be reached: {error}", address.bus());
                None
            }
        }
    }
}

impl ConfigSpace for MachineConfig {
    fn read(&self, address: PciAddress, offset: u16) -> u32 {
        if self.regions.is_empty() {
            return self.ports.lock().read(address, offset);
        }
        let value = self.in_memory(address, offset, |bus, at| bus.read32(at));
        value.unwrap_or(u32::MAX)
    }

    fn write(&self, address: PciAddress, offset: u16, value: u32) {
        if self.regions.is_empty() {
            self.ports.lock().write(address, offset, value);
        } else {
            // A bus that is not there takes no writes.
            let _absent = self.in_memory(address, offset, |bus, at| bus.write32(at, value));
        }
    }
}

impl fmt::Display for MachineConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.regions.first() {
            Some(region) => write!(f, "configuration in memory at {:#x}", region.base),
            None => f.write_str("configuration by ports"),
        }
    }
}

/// Bytes of one bus's configuration space in memory.
const BUS_BYTES: usize = 1 << 20;

/// Where a bus's configuration space is, when one of the regions has it.
pub(super) fn bus_address(regions: &[EcamRegion], address: PciAddress) -> Option<u64> {
    let has = |region: &&EcamRegion| {
        region.segment == address.segment()
            && (region.first_bus..=region.last_bus).contains(&address.bus())
    };
    let region = regions.iter().find(has)?;
    Some(region.base + u64::from(address.bus()) * BUS_BYTES as u64)
}

/// Where a register is in its bus's configuration space.
pub(super) fn offset_in_bus(address: PciAddress, offset: u16) -> usize {
    let offset = usize::from(offset & 0xffc);
    usize::from(address.device()) << 15 | usize::from(address.function()) << 12 | offset
}

/// Configuration space by two ports: one takes the address, the other is the register there.
pub(super) struct ConfigPorts<P>(pub(super) P);

const ADDRESS_PORT: u16 = 0xcf8;
const DATA_PORT: u16 = 0xcfc;

impl<P: Ports> ConfigPorts<P> {
    pub(super) fn read(&mut self, address: PciAddress, offset: u16) -> u32 {
        if !Self::reaches(address, offset) {
            return u32::MAX;
        }
        self.select(address, offset);
        self.0.read32(DATA_PORT)
    }

    pub(super) fn write(&mut self, address: PciAddress, offset: u16, value: u32) {
        if Self::reaches(address, offset) {
            self.select(address, offset);
            self.0.write32(DATA_PORT, value);
        }
    }

    /// The ports know one segment and the first 256 bytes of each function.
    fn reaches(address: PciAddress, offset: u16) -> bool {
        address.segment() == 0 && offset < 256
    }

    fn select(&mut self, address: PciAddress, offset: u16) {
        /// The bit that makes it an address of configuration space.
        const ENABLE: u32 = 1 << 31;
        let bus = u32::from(address.bus()) << 16;
        let function = u32::from(address.device()) << 11 | u32::from(address.function()) << 8;
        self.0.write32(
            ADDRESS_PORT,
            ENABLE | bus | function | u32::from(offset & 0xfc),
        );
    }
}
