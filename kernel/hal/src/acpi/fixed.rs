//! The FADT's fixed hardware: the power management timer, the sleep and reset registers
//! (ACPI 6.5, sections 4.8 and 5.2.9), and the DSDT's values for soft-off.

use acpi::address::RawGenericAddress;
use acpi::sdt::ExtendedField;
use acpi::sdt::fadt::Fadt;
use vortex_kernel_base::address::PHYSICAL_END;

use super::AcpiError;
use super::tables::{PhysicalMemory, RootTable, Signature, Table};

/// The registers that power-off, reset and time-keeping use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedHardware {
    /// The power management timer, 3.579545 MHz.
    pub pm_timer: Option<PmTimer>,
    /// The PM1a control register, 16 bits.
    pub pm1a_control: Option<Register>,
    /// The PM1b control register, 16 bits.
    pub pm1b_control: Option<Register>,
    /// The sleep control register of hardware-reduced ACPI, 8 bits.
    pub sleep_control: Option<Register>,
    /// The reset register, 8 bits, and what to write there.
    pub reset: Option<(Register, u8)>,
    /// The port and value that switch the chipset from legacy to ACPI mode.
    pub enable: Option<(u16, u8)>,
    /// What to write for soft-off (S5), from the DSDT.
    pub soft_off: Result<SleepTypes, AcpiError>,
}

/// The power management timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PmTimer {
    /// Its register, 32 bits.
    pub register: Register,
    /// Whether it counts in 32 bits; else in 24.
    pub wide: bool,
}

/// The place of a hardware register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// An I/O port.
    Port(u16),
    /// A physical address.
    Memory(u64),
}

/// The sleep types of a sleeping state, for the PM1a and PM1b control registers; 3 bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SleepTypes {
    /// For PM1a.
    pub a: u8,
    /// For PM1b.
    pub b: u8,
}

impl Register {
    /// The place that a generic address names, if it is a port or in memory; `None` for address 0,
    /// which means "not there".
    fn new(raw: RawGenericAddress) -> Option<Self> {
        match raw.address_space {
            0 => Self::memory(raw).map(Self::Memory),
            1 => u16::try_from(raw.address)
                .ok()
                .filter(|&port| port != 0)
                .map(Self::Port),
            _ => None,
        }
    }

    /// The physical address that a generic address names, if it is in memory.
    pub(super) fn memory(raw: RawGenericAddress) -> Option<u64> {
        let address = raw.address;
        (raw.address_space == 0 && address != 0 && addressable(address)).then_some(address)
    }
}

/// Whether a page of registers may start at `address`.
pub(super) fn addressable(address: u64) -> bool {
    address < PHYSICAL_END - 4096
}

/// Reads the FADT and the tables it leads to.
pub(super) fn read(
    memory: &impl PhysicalMemory,
    root: &RootTable,
) -> Result<FixedHardware, AcpiError> {
    let table = root.table(memory, Signature::FADT)?;
    let fadt = *table.view::<Fadt>()?;
    let pm_timer = register(fadt.x_pm_timer_block, fadt.pm_timer_block);
    let wide = { fadt.flags }.pm_timer_is_32_bit();
    let reset = { fadt.flags }
        .supports_system_reset_via_fadt()
        .then_some(fadt.reset_reg);
    let reset = reset.and_then(Register::new);
    let command = u16::try_from(fadt.smi_cmd_port).unwrap_or(0);
    let enable = (command, fadt.acpi_enable);
    Ok(FixedHardware {
        pm_timer: pm_timer.map(|register| PmTimer { register, wide }),
        pm1a_control: register(fadt.x_pm1a_control_block, fadt.pm1a_control_block),
        pm1b_control: register(fadt.x_pm1b_control_block, fadt.pm1b_control_block),
        sleep_control: Register::new(extended(fadt.sleep_control_reg)),
        reset: reset.map(|register| (register, fadt.reset_value)),
        enable: (enable.0 != 0 && enable.1 != 0).then_some(enable),
        soft_off: soft_off(memory, root, &fadt),
    })
}

/// A register block that the table names in two forms; the wide one counts when it is not zero.
fn register(wide: ExtendedField<RawGenericAddress, 2>, port: u32) -> Option<Register> {
    let narrow = || {
        u16::try_from(port)
            .ok()
            .filter(|&port| port != 0)
            .map(Register::Port)
    };
    Register::new(extended(wide)).or_else(narrow)
}

/// A field of later revisions; zero where the table is shorter.
fn extended<T: Copy>(field: ExtendedField<T, 2>) -> T {
    // SAFETY: the field was copied out of a `Table`, all of whose bytes, the padding included, are
    // initialised, and it is made of integers. Revision 255 says that it is there.
    let value = unsafe { field.access(u8::MAX) };
    value.unwrap_or_else(|| unreachable!("revision 255 has every field"))
}

/// Looks for the sleep types of S5 in the DSDT, then in the SSDTs.
fn soft_off(
    memory: &impl PhysicalMemory,
    root: &RootTable,
    fadt: &Fadt,
) -> Result<SleepTypes, AcpiError> {
    let dsdt = match (extended(fadt.x_dsdt_address), fadt.dsdt_address) {
        (0, 0) => Err(AcpiError::Missing(Signature::DSDT)),
        (0, narrow) => Table::read(memory, Signature::DSDT, narrow.into()),
        (wide, _) => Table::read(memory, Signature::DSDT, wide),
    };
    let error = match dsdt.and_then(|table| find_s5(&table)) {
        Ok(types) => return Ok(types),
        Err(error) => error,
    };
    let others = root.tables(memory, Signature::SSDT).flatten();
    others
        .map(|table| find_s5(&table))
        .find_map(Result::ok)
        .ok_or(error)
}

/// Finds `Name (_S5, Package () { a, b, ... })` by its bytes.
///
/// The name is a constant package in every machine's tables (section 7.4.2 demands one), so its
/// encoding (section 20.2) stands there literally and no interpreter is needed.
fn find_s5(table: &Table) -> Result<SleepTypes, AcpiError> {
    const NAME_OP: u8 = 0x08;
    const ROOT_PREFIX: u8 = 0x5c;
    const PACKAGE_OP: u8 = 0x12;
    let mut before = [0; 2];
    let mut rest = table.body();
    while let Some(byte) = rest.next() {
        let named = byte == NAME_OP || (byte == ROOT_PREFIX && before[1] == NAME_OP);
        before = [before[1], byte];
        if !named {
            continue;
        }
        let mut ahead = rest.clone();
        if !b"_S5_".iter().all(|&letter| ahead.next() == Some(letter))
            || ahead.next() != Some(PACKAGE_OP)
        {
            continue;
        }
        if let Some(types) = package(ahead) {
            return Ok(types);
        }
    }
    let problem = "it names no sleep types for soft-off (_S5)";
    Err(AcpiError::Value {
        table: table.signature(),
        problem,
    })
}

/// The first two elements of a package, from behind its opcode.
fn package(mut bytes: impl Iterator<Item = u8>) -> Option<SleepTypes> {
    // The length takes one byte and as many more as its two top bits say; it does not matter here.
    let more = bytes.next()? >> 6;
    let count = bytes.nth(more.into())?;
    let a = small_integer(&mut bytes)?;
    // Old tables give one element, which has both in its two low bytes; those machines have no
    // PM1b register.
    let b = if count > 1 {
        small_integer(&mut bytes)?
    } else {
        0
    };
    Some(SleepTypes { a: a & 7, b: b & 7 })
}

/// An integer constant; its low byte, as more is not there in a sleep type.
fn small_integer(bytes: &mut impl Iterator<Item = u8>) -> Option<u8> {
    match bytes.next()? {
        zero_or_one @ (0 | 1) => Some(zero_or_one),
        0xff => Some(0xff),
        0x0a => bytes.next(),
        0x0b => bytes.next().zip(bytes.next()).map(|(low, _)| low),
        0x0c => bytes.next().filter(|_| bytes.nth(2).is_some()),
        _ => None,
    }
}
