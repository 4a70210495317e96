//! The machine's end: power-off, reboot, and leaving an emulator with a status.
//!
//! [`init`] keeps what the ACPI tables say; after it [`off`], [`reboot`] and [`exit_failure`]
//! work from any context, also inside a panic: they take no lock but the log's and allocate
//! nothing. Each tries its means one after the other with bounded waits; [`off`] and [`reboot`] in
//! the end say so and halt this core.
//!
//! QEMU's `isa-debug-exit` device at [`DEBUG_EXIT`] ends the emulator with status `2 v + 1` when
//! `v` is written there. Nothing can be asked about whether it is there; where it is not, the
//! write does nothing.

use core::fmt;
use core::time::Duration;

use arrayvec::ArrayVec;
use spin::Once;

use crate::acpi::{AcpiError, FixedHardware, Register};
use crate::io::{CpuPorts, Mmio, Ports, Registers};
use crate::{clock, cpu};

/// The port of `isa-debug-exit`.
pub const DEBUG_EXIT: u16 = 0xf4;

/// What is written to `isa-debug-exit` for success, where there is no ACPI power-off.
pub const SUCCESS: u8 = 0x40;

/// The status for panics and fatal traps.
pub const FATAL: u8 = 101;

/// How long a means may take before the next one is tried.
const PATIENCE: Duration = Duration::from_millis(500);

/// Bits of the PM1 control registers (ACPI 6.5, section 4.8.3.2).
const SCI_ENABLE: u16 = 1;
const SLEEP_TYPE: u16 = 7 << 10;
const SLEEP_ENABLE: u16 = 1 << 13;

/// The keyboard controller's status and command port, and its commands.
const KEYBOARD: u16 = 0x64;
const INPUT_FULL: u8 = 1 << 1;
const PULSE_RESET: u8 = 0xfe;

/// What the tables say about ending, with the registers that are in memory mapped.
struct Means {
    fixed: FixedHardware,
    memory: ArrayVec<(u64, Mmio), MAX_REGISTERS>,
}

/// At most: PM1a, PM1b, sleep control, reset.
const MAX_REGISTERS: usize = 4;

static MEANS: Once<Means> = Once::new();

/// Keeps what power-off and reset need, and maps registers that are in memory.
pub fn init(fixed: &FixedHardware) {
    let registers = [
        fixed.pm1a_control,
        fixed.pm1b_control,
        fixed.sleep_control,
        fixed.reset.map(|(r, _)| r),
    ];
    let mut memory = ArrayVec::new();
    for register in registers.into_iter().flatten() {
        if let Register::Memory(address) = register {
            // SAFETY: the FADT says that a power management register is there, and that writing
            // it does nothing but change the machine's power state.
            match unsafe { Mmio::map(address, size_of::<u32>()) } {
                Ok(mapped) => memory.push((address, mapped)),
                Err(error) => log::warn!("power: the register at {address:#x}: {error}"),
            }
        }
    }
    MEANS.call_once(|| Means {
        fixed: *fixed,
        memory,
    });
}

/// Turns the machine off: by ACPI, else by the emulator's exit device with [`SUCCESS`].
///
/// Where neither works, says so and halts this core.
pub fn off() -> ! {
    let mut hardware = Hardware::new();
    if let Some(means) = MEANS.get()
        && let Err(error) = soft_off(&means.fixed, &mut hardware)
    {
        log::warn!("{error}");
    }
    hardware.write(Register::Port(DEBUG_EXIT), Width::Double, SUCCESS.into());
    log::error!("power: the machine cannot be turned off by software; it may be switched off now");
    cpu::halt_forever();
}

/// Restarts the machine: by the ACPI reset register, else by the keyboard controller, else by a
/// fault that the CPU cannot handle, which always restarts it.
pub fn reboot() -> ! {
    let mut hardware = Hardware::new();
    if let Some(means) = MEANS.get() {
        reset_by_register(&means.fixed, &mut hardware);
    }
    reset_by_keyboard_controller(&mut hardware);
    triple_fault();
}

/// Ends the emulator with failure status `status` (1 to 127, else [`FATAL`]): QEMU then exits with
/// `2 * status + 1`. Takes no lock and allocates nothing. Returns where there is no emulator.
pub fn exit_failure(status: u8) {
    let status = if (1..128).contains(&status) {
        status
    } else {
        FATAL
    };
    Hardware::new().write(Register::Port(DEBUG_EXIT), Width::Double, status.into());
}

/// Why the machine is still on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PowerError {
    /// The tables name no sleep type for soft-off.
    SleepTypeUnknown(AcpiError),
    /// The tables name no register for it.
    RegisterUnknown,
    /// It was asked for in time and did not happen.
    WithoutEffect,
}

impl fmt::Display for PowerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SleepTypeUnknown(error) => write!(f, "power: no soft-off: {error}"),
            Self::RegisterUnknown => {
                f.write_str("power: no soft-off: ACPI names no register for it")
            }
            Self::WithoutEffect => f.write_str("power: ACPI soft-off has no effect"),
        }
    }
}

/// How many bits an access has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    Byte,
    Word,
    Double,
}

/// What ending a machine needs of it.
trait Machine {
    fn read(&mut self, register: Register, width: Width) -> u32;
    fn write(&mut self, register: Register, width: Width, value: u32);
    /// Waits until `condition` holds, [`PATIENCE`] at most; says whether it does.
    fn wait(&mut self, condition: impl FnMut(&mut Self) -> bool) -> bool;
}

/// Asks for soft-off; returns when it does not come.
fn soft_off(fixed: &FixedHardware, machine: &mut impl Machine) -> Result<(), PowerError> {
    let types = fixed.soft_off.map_err(PowerError::SleepTypeUnknown)?;
    match (fixed.sleep_control, fixed.pm1a_control) {
        (_, Some(pm1a)) => {
            enter_acpi_mode(fixed, pm1a, machine);
            sleep(machine, pm1a, types.a);
            if let Some(pm1b) = fixed.pm1b_control {
                sleep(machine, pm1b, types.b);
            }
        }
        (Some(register), None) => {
            /// Bits of the sleep control register (ACPI 6.5, section 4.8.3.7).
            const ENABLE: u32 = 1 << 5;
            machine.write(register, Width::Byte, ENABLE | u32::from(types.a) << 2);
        }
        (None, None) => return Err(PowerError::RegisterUnknown),
    }
    machine.wait(|_| false);
    Err(PowerError::WithoutEffect)
}

/// Makes the chipset heed the PM1 registers, if the firmware left it in legacy mode.
fn enter_acpi_mode(fixed: &FixedHardware, pm1a: Register, machine: &mut impl Machine) {
    let enabled =
        |machine: &mut _| Machine::read(machine, pm1a, Width::Word) & u32::from(SCI_ENABLE) != 0;
    if enabled(machine) {
        return;
    }
    if let Some((port, command)) = fixed.enable {
        machine.write(Register::Port(port), Width::Byte, command.into());
        machine.wait(enabled);
    }
}

/// Writes a sleep type into a PM1 control register, and that it counts.
fn sleep(machine: &mut impl Machine, register: Register, sleep_type: u8) {
    let kept = machine.read(register, Width::Word) & !u32::from(SLEEP_TYPE | SLEEP_ENABLE);
    let chosen = kept | u32::from(sleep_type) << 10;
    machine.write(register, Width::Word, chosen);
    machine.write(register, Width::Word, chosen | u32::from(SLEEP_ENABLE));
}

/// Resets by the FADT's register, where there is one; returns when it does not happen.
fn reset_by_register(fixed: &FixedHardware, machine: &mut impl Machine) {
    if let Some((register, value)) = fixed.reset {
        machine.write(register, Width::Byte, value.into());
        machine.wait(|_| false);
    }
}

/// Resets by the line that the keyboard controller holds; returns when it does not happen.
fn reset_by_keyboard_controller(machine: &mut impl Machine) {
    let port = Register::Port(KEYBOARD);
    let ready =
        |machine: &mut _| Machine::read(machine, port, Width::Byte) & u32::from(INPUT_FULL) == 0;
    // Where there is no controller the status reads as all ones and the wait runs out.
    if machine.wait(ready) {
        machine.write(port, Width::Byte, PULSE_RESET.into());
        machine.wait(|_| false);
    }
}

/// Faults without a table of handlers: the CPU shuts down, and the chipset resets it.
fn triple_fault() -> ! {
    #[cfg(target_os = "none")]
    {
        use x86_64::structures::DescriptorTablePointer;
        let none = DescriptorTablePointer {
            limit: 0,
            base: x86_64::VirtAddr::zero(),
        };
        // SAFETY: from here on no handler is to run: the next exception resets the machine.
        unsafe { x86_64::instructions::tables::lidt(&none) };
        x86_64::instructions::interrupts::int3();
    }
    cpu::halt_forever();
}

/// The machine this runs on.
struct Hardware {
    ports: CpuPorts,
}

impl Hardware {
    fn new() -> Self {
        // SAFETY: only ports that power management owns are touched, and none leads to memory.
        let ports = unsafe { CpuPorts::new() };
        Self { ports }
    }

    /// The mapped register at a physical address.
    fn memory(address: u64) -> Option<Mmio> {
        let mapped = MEANS.get()?.memory.iter().find(|(at, _)| *at == address);
        mapped.map(|(_, registers)| registers.alias())
    }
}

impl Machine for Hardware {
    fn read(&mut self, register: Register, width: Width) -> u32 {
        match (register, width) {
            (Register::Port(port), Width::Byte) => self.ports.read8(port).into(),
            (Register::Port(port), Width::Word) => self.ports.read16(port).into(),
            (Register::Port(port), Width::Double) => self.ports.read32(port),
            (Register::Memory(address), width) => {
                Self::memory(address).map_or(u32::MAX, |memory| match width {
                    Width::Byte => memory.read8(0).into(),
                    Width::Word => memory.read16(0).into(),
                    Width::Double => memory.read32(0),
                })
            }
        }
    }

    fn write(&mut self, register: Register, width: Width, value: u32) {
        match (register, width) {
            (Register::Port(port), Width::Byte) => self.ports.write8(port, value as u8),
            (Register::Port(port), Width::Word) => self.ports.write16(port, value as u16),
            (Register::Port(port), Width::Double) => self.ports.write32(port, value),
            (Register::Memory(address), width) => {
                let Some(mut memory) = Self::memory(address) else {
                    return;
                };
                match width {
                    Width::Byte => memory.write8(0, value as u8),
                    Width::Word => memory.write16(0, value as u16),
                    Width::Double => memory.write32(0, value),
                }
            }
        }
    }

    fn wait(&mut self, mut condition: impl FnMut(&mut Self) -> bool) -> bool {
        clock::wait_for(PATIENCE, || condition(self))
    }
}

#[cfg(test)]
mod tests;
