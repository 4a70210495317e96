//! The I/O APICs: which vector on which core each interrupt line of the machine raises
//! (Intel 82093AA datasheet, section 3).
//!
//! [`init`] takes over all of them with every input masked and silences the old 8259 pair;
//! [`connect`] then opens one input, [`connect_pin`] that of a PCI device which has no MSI
//! ([`crate::pci`]).
//!
//! Invariants: an input is either masked or fully programmed: the half with the destination is
//! written while the input is masked. One that was connected is not connected again.

use alloc::vec::Vec;
use core::fmt;

use crate::acpi::{Interrupts, Polarity, Route, Trigger};
use crate::io::{CpuPorts, Mmio, Ports, Registers};
use crate::paging::MapError;
use crate::sync::{IrqLock, Level};

/// The offset of the register that selects an indirect register.
const SELECT: usize = 0x00;
/// The offset of the window to the selected register.
const WINDOW: usize = 0x10;
/// Bytes of a chip's directly reachable registers.
const REGISTERS: usize = 0x20;

/// The indirect registers.
const VERSION: u32 = 0x01;
const REDIRECTIONS: u32 = 0x10;

/// Bits in the low half of a redirection entry.
const ACTIVE_LOW: u32 = 1 << 13;
const LEVEL: u32 = 1 << 15;
const MASKED: u32 = 1 << 16;

/// Why an interrupt line cannot be connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoApicError {
    /// The registers cannot be mapped.
    Map(MapError),
    /// No I/O APIC has this input.
    NoSuchInput(u32),
    /// The input raises another vector already.
    Taken(u32),
    /// The core's APIC id has more than 8 bits, which needs interrupt remapping.
    FarCore(u32),
    /// The chip does not answer: its registers read as all ones.
    Absent {
        /// The physical address of its registers.
        address: u64,
    },
}

impl fmt::Display for IoApicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map(error) => write!(f, "I/O APIC: {error}"),
            Self::NoSuchInput(input) => write!(f, "no I/O APIC has input {input}"),
            Self::Taken(input) => write!(f, "another device has input {input} of the I/O APICs"),
            Self::FarCore(id) => write!(
                f,
                "core with APIC id {id} cannot take interrupts of lines; expected an id below 255"
            ),
            Self::Absent { address } => write!(f, "no I/O APIC answers at {address:#x}"),
        }
    }
}

impl core::error::Error for IoApicError {}

/// One chip.
struct Chip<R> {
    registers: R,
    first_input: u32,
    inputs: u32,
}

impl<R: Registers> Chip<R> {
    /// Takes over the chip: counts its inputs and masks them all. `None` when nothing answers.
    fn new(registers: R, first_input: u32) -> Option<Self> {
        let mut chip = Self {
            registers,
            first_input,
            inputs: 0,
        };
        let version = chip.read(VERSION);
        if version == u32::MAX {
            return None;
        }
        chip.inputs = ((version >> 16) & 0xff) + 1;
        for input in 0..chip.inputs {
            chip.write(low_half(input), MASKED);
        }
        Some(chip)
    }

    /// The chip's own number of a global input, if it is one of its.
    fn local(&self, input: u32) -> Option<u32> {
        input
            .checked_sub(self.first_input)
            .filter(|&local| local < self.inputs)
    }

    fn connect(&mut self, input: u32, route: Route, vector: u8, destination: u8) {
        self.write(low_half(input), MASKED);
        self.write(low_half(input) + 1, u32::from(destination) << 24);
        let polarity = match route.polarity {
            Polarity::ActiveHigh => 0,
            Polarity::ActiveLow => ACTIVE_LOW,
        };
        let trigger = match route.trigger {
            Trigger::Edge => 0,
            Trigger::Level => LEVEL,
        };
        self.write(low_half(input), u32::from(vector) | polarity | trigger);
    }

    fn set_masked(&mut self, input: u32, masked: bool) {
        let entry = self.read(low_half(input));
        let entry = if masked {
            entry | MASKED
        } else {
            entry & !MASKED
        };
        self.write(low_half(input), entry);
    }

    fn read(&mut self, register: u32) -> u32 {
        self.registers.write32(SELECT, register);
        self.registers.read32(WINDOW)
    }

    fn write(&mut self, register: u32, value: u32) {
        self.registers.write32(SELECT, register);
        self.registers.write32(WINDOW, value);
    }
}

/// The register with the low half of an input's redirection entry; the high half follows it.
fn low_half(input: u32) -> u32 {
    REDIRECTIONS + 2 * input
}

/// All chips of a machine, and where the old lines arrive.
struct Chips<R> {
    all: Vec<Chip<R>>,
    lines: Option<Interrupts>,
    /// The inputs that are connected.
    taken: Vec<u32>,
}

impl<R: Registers> Chips<R> {
    const fn none() -> Self {
        Self {
            all: Vec::new(),
            lines: None,
            taken: Vec::new(),
        }
    }

    fn with<T>(
        &mut self,
        input: u32,
        action: impl FnOnce(&mut Chip<R>, u32) -> T,
    ) -> Result<T, IoApicError> {
        let mut owners = self
            .all
            .iter_mut()
            .filter_map(|chip| chip.local(input).zip(Some(chip)));
        let (local, chip) = owners.next().ok_or(IoApicError::NoSuchInput(input))?;
        Ok(action(chip, local))
    }

    fn connect(&mut self, route: Route, vector: u8, apic_id: u32) -> Result<(), IoApicError> {
        // 255 addresses all cores.
        let destination = u8::try_from(apic_id).ok().filter(|&id| id != u8::MAX);
        let destination = destination.ok_or(IoApicError::FarCore(apic_id))?;
        if self.taken.contains(&route.input) {
            return Err(IoApicError::Taken(route.input));
        }
        self.with(route.input, |chip, input| {
            chip.connect(input, route, vector, destination);
        })?;
        self.taken.push(route.input);
        Ok(())
    }

    /// An old line arrives where the tables say, or else as on every PC.
    fn connect_line(&mut self, line: u8, vector: u8, apic_id: u32) -> Result<(), IoApicError> {
        let lines = self.lines.as_ref();
        let lines = lines.ok_or(IoApicError::NoSuchInput(line.into()))?;
        self.connect(lines.route(line), vector, apic_id)
    }

    /// PCI's lines are low and level-triggered where the tables do not say otherwise.
    fn connect_pin(&mut self, line: u8, vector: u8, apic_id: u32) -> Result<u32, IoApicError> {
        let listed = self.lines.as_ref();
        let listed = listed.and_then(|lines| lines.listed_route(line));
        let route = listed.unwrap_or(Route {
            input: line.into(),
            polarity: Polarity::ActiveLow,
            trigger: Trigger::Level,
        });
        self.connect(route, vector, apic_id)?;
        Ok(route.input)
    }
}

static CHIPS: IrqLock<Chips<Mmio>> = IrqLock::new(Level::Devices, Chips::none());

/// Takes over the machine's interrupt controllers; until [`connect`] no line interrupts.
/// Returns how many inputs there are.
///
/// # Errors
/// When a chip cannot be mapped or does not answer; those before it are taken over.
pub fn init(interrupts: &Interrupts) -> Result<u32, IoApicError> {
    if interrupts.has_8259 {
        silence_legacy();
    }
    let mut inputs = 0;
    for described in &interrupts.io_apics {
        // SAFETY: the MADT says that an I/O APIC's registers are there; it writes no memory but
        // interrupt messages.
        let registers = unsafe { Mmio::map(described.address, REGISTERS) };
        let chip = Chip::new(registers.map_err(IoApicError::Map)?, described.first_input).ok_or(
            IoApicError::Absent {
                address: described.address,
            },
        )?;
        inputs += chip.inputs;
        CHIPS.lock().all.push(chip);
    }
    CHIPS.lock().lines = Some(interrupts.clone());
    Ok(inputs)
}

/// Masks all lines of the old pair of 8259s. [`init`] does this where the tables say that there is
/// one; where there are no tables, do it in any case: without a pair it does nothing.
pub fn silence_legacy() {
    // SAFETY: only the 8259s' ports are touched, which this module owns.
    let mut ports = unsafe { CpuPorts::new() };
    silence_8259(&mut ports);
}

/// Lets the line that arrives by `route` (see [`Interrupts::route`]) raise `vector` on the core
/// with this APIC id.
///
/// # Errors
/// When there is no such input, it is connected already, or the core cannot be reached.
pub fn connect(route: Route, vector: u8, apic_id: u32) -> Result<(), IoApicError> {
    CHIPS.lock().connect(route, vector, apic_id)
}

/// Lets this line of the old controllers raise `vector` on the core with this APIC id.
///
/// # Errors
/// As [`connect`]; so too where there are no I/O APICs.
pub fn connect_line(line: u8, vector: u8, apic_id: u32) -> Result<(), IoApicError> {
    CHIPS.lock().connect_line(line, vector, apic_id)
}

/// Lets a PCI device's pin, which the firmware has wired to this line of the old controllers, raise
/// `vector` on the core with this APIC id; the input at which it arrives. Where a pin arrives without
/// the old controllers is said in the firmware's AML only: on some machines nothing comes this way.
///
/// # Errors
/// As [`connect`]; so too when another device's pin is wired to the same line.
pub fn connect_pin(line: u8, vector: u8, apic_id: u32) -> Result<u32, IoApicError> {
    CHIPS.lock().connect_pin(line, vector, apic_id)
}

/// Masks or unmasks a connected input.
///
/// # Errors
/// When there is no such input.
pub fn set_masked(input: u32, masked: bool) -> Result<(), IoApicError> {
    CHIPS
        .lock()
        .with(input, |chip, local| chip.set_masked(local, masked))
}

/// Moves the 8259s' vectors off the exceptions and masks all their lines: even a masked 8259 may
/// raise a spurious interrupt (Intel 8259A datasheet, "Spurious").
fn silence_8259(ports: &mut impl Ports) {
    /// Command and data ports, the first vector, and the wiring word of both chips.
    const PAIR: [(u16, u16, u8, u8); 2] = [(0x20, 0x21, 0x20, 0b100), (0xa0, 0xa1, 0x28, 2)];
    for (command, data, first_vector, wiring) in PAIR {
        ports.write8(command, 0x11);
        ports.write8(data, first_vector);
        ports.write8(data, wiring);
        ports.write8(data, 1);
        ports.write8(data, 0xff);
    }
}

#[cfg(test)]
mod tests;
