//! What the firmware says about the machine: its cores, interrupt controllers, PCI configuration
//! space, timers and power registers, from the ACPI tables.
//!
//! [`Acpi::read`] walks the tables once and keeps plain values. Tables are untrusted: each is
//! copied, bounded and checked (`tables`) before the `acpi` crate's types are laid over it, and
//! one that is missing or damaged makes only its own part an [`AcpiError`]. Nothing panics or
//! loops on any content. Specification: ACPI 6.5.

mod fixed;
mod madt;
mod tables;

use alloc::vec::Vec;
use core::fmt;

use acpi::sdt::hpet::HpetTable;
use acpi::sdt::mcfg::Mcfg;

pub use self::fixed::{FixedHardware, PmTimer, Register, SleepTypes};
pub use self::madt::{Interrupts, IoApic, LocalNmi, Polarity, Processor, Route, Trigger};
use self::tables::RootTable;
pub use self::tables::{PhysicalMemory, Signature};

/// The machine as the firmware describes it; a part whose table is missing or damaged says so.
#[derive(Clone, Debug)]
pub struct Acpi {
    /// Cores and interrupt controllers, from the MADT.
    pub interrupts: Result<Interrupts, AcpiError>,
    /// The memory-mapped PCI configuration space, from the MCFG. Machines without PCI Express
    /// have none.
    pub pci: Result<Vec<EcamRegion>, AcpiError>,
    /// The high precision event timer.
    pub hpet: Result<Hpet, AcpiError>,
    /// Power management registers, from the FADT.
    pub fixed: Result<FixedHardware, AcpiError>,
}

/// The PCI configuration space of some buses, in memory (ECAM; PCI Firmware Specification 4.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EcamRegion {
    /// The physical address of bus 0's registers, be bus 0 in the region or not.
    pub base: u64,
    /// The PCI segment group.
    pub segment: u16,
    /// The first bus.
    pub first_bus: u8,
    /// The last bus.
    pub last_bus: u8,
}

/// A high precision event timer (HPET specification 1.0a, section 3.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hpet {
    /// The physical address of its registers, 1 KiB of them.
    pub address: u64,
}

/// Why a table, or all of them, cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcpiError {
    /// The boot loader found no ACPI tables.
    NoTables,
    /// The root pointer is not one: wrong signature or checksum, or not in memory.
    RootPointer {
        /// The physical address of it.
        address: u64,
    },
    /// There is no table of this kind.
    Missing(Signature),
    /// The table does not lie in memory.
    NotInMemory {
        /// Which table.
        table: Signature,
        /// Its physical address.
        address: u64,
    },
    /// The table's signature is another one.
    WrongSignature {
        /// Which table was expected.
        expected: Signature,
        /// What is written there.
        found: Signature,
    },
    /// The table's length is below or above what is sound.
    Length {
        /// Which table.
        table: Signature,
        /// The length it claims in bytes.
        len: u32,
    },
    /// The table's bytes do not add up to 0.
    Checksum(Signature),
    /// There is not enough memory for a copy of the table.
    OutOfMemory(Signature),
    /// An entry of the table is damaged.
    Entry {
        /// Which table.
        table: Signature,
        /// The entry's offset in bytes.
        offset: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A value in the table makes no sense.
    Value {
        /// Which table.
        table: Signature,
        /// Which value, and what was expected.
        problem: &'static str,
    },
}

impl fmt::Display for AcpiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTables => f.write_str("ACPI: the firmware gives no tables"),
            Self::RootPointer { address } => {
                write!(f, "ACPI: no sound root pointer at {address:#x}")
            }
            Self::Missing(table) => write!(f, "ACPI: there is no {table} table"),
            Self::NotInMemory { table, address } => {
                write!(
                    f,
                    "ACPI: the {table} table at {address:#x} is not in memory"
                )
            }
            Self::WrongSignature { expected, found } => {
                write!(f, "ACPI: expected the {expected} table, found {found}")
            }
            Self::Length { table, len } => {
                write!(f, "ACPI: the {table} table cannot have {len} bytes")
            }
            Self::Checksum(table) => write!(f, "ACPI: the {table} table's checksum is wrong"),
            Self::OutOfMemory(table) => {
                write!(f, "ACPI: not enough memory to copy the {table} table")
            }
            Self::Entry {
                table,
                offset,
                problem,
            } => {
                write!(
                    f,
                    "ACPI: the {table} table's entry at byte {offset} {problem}"
                )
            }
            Self::Value { table, problem } => write!(f, "ACPI: the {table} table: {problem}"),
        }
    }
}

impl core::error::Error for AcpiError {}

impl Acpi {
    /// Reads the tables that the root pointer at physical address `rsdp` leads to. Needs a heap.
    ///
    /// # Errors
    /// When the root pointer or the root table is missing or damaged. Faults of other tables are
    /// in the result.
    pub fn read(memory: &impl PhysicalMemory, rsdp: Option<u64>) -> Result<Self, AcpiError> {
        let root = RootTable::find(memory, rsdp.ok_or(AcpiError::NoTables)?)?;
        Ok(Self {
            interrupts: root
                .table(memory, Signature::MADT)
                .and_then(|t| madt::parse(&t)),
            pci: root
                .table(memory, Signature::MCFG)
                .and_then(|t| ecam_regions(&t)),
            hpet: root.table(memory, Signature::HPET).and_then(|t| hpet(&t)),
            fixed: fixed::read(memory, &root),
        })
    }
}

fn ecam_regions(table: &tables::Table) -> Result<Vec<EcamRegion>, AcpiError> {
    let mcfg = table.view::<Mcfg>()?;
    let entries = mcfg.get_ref().entries().iter().map(|entry| EcamRegion {
        base: entry.base_address,
        segment: entry.pci_segment_group,
        first_bus: entry.bus_number_start,
        last_bus: entry.bus_number_end,
    });
    let regions: Vec<EcamRegion> = entries.collect();
    let sound = |region: &EcamRegion| {
        region.first_bus <= region.last_bus
            && region.base.is_multiple_of(1 << 20)
            && region.base < vortex_kernel_base::address::PHYSICAL_END
            && region.base != 0
    };
    if !regions.iter().all(sound) {
        let problem = "a region has no buses, or its address is zero, unaligned or too high";
        return Err(AcpiError::Value {
            table: Signature::MCFG,
            problem,
        });
    }
    Ok(regions)
}

fn hpet(table: &tables::Table) -> Result<Hpet, AcpiError> {
    let hpet = table.view::<HpetTable>()?;
    let register = hpet.base_address;
    match Register::memory(register) {
        Some(address) if address.is_multiple_of(8) => Ok(Hpet { address }),
        _ => Err(AcpiError::Value {
            table: Signature::HPET,
            problem: "its registers are not at an aligned address in memory",
        }),
    }
}

#[cfg(test)]
mod tests;
