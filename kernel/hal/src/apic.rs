//! Each core's local APIC, in x2APIC mode (registers are MSRs) where the CPU has it, else in
//! xAPIC mode (registers in memory): Intel SDM volume 3, chapter 10.
//!
//! Key functions: [`init`] once, [`init_core`] on each core, [`send`] for interrupts between
//! cores, [`end_of_interrupt`].
//!
//! Invariant: the mode is chosen once and is the same on all cores.

use core::sync::atomic::{AtomicUsize, Ordering};

use x86_64::registers::model_specific::Msr;

use crate::cpu::{self, Features};
use crate::interrupts::{self, VectorError, vector};
use crate::paging::{self, MapError};

/// Where and how the local APIC is (Intel SDM volume 3, 10.4.4).
const BASE_MSR: u32 = 0x1b;
const BASE_ENABLE: u64 = 1 << 11;
const BASE_X2APIC: u64 = 1 << 10;
const BASE_ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// The MSR of the register at offset 0 in x2APIC mode; one for each 16 bytes of offset.
const X2APIC_MSRS: u32 = 0x800;

/// The registers' offsets (Intel SDM volume 3, table 10-1).
mod register {
    pub(super) const TASK_PRIORITY: u32 = 0x80;
    pub(super) const END_OF_INTERRUPT: u32 = 0xb0;
    pub(super) const SPURIOUS: u32 = 0xf0;
    pub(super) const ERROR_STATUS: u32 = 0x280;
    pub(super) const COMMAND_LOW: u32 = 0x300;
    pub(super) const COMMAND_HIGH: u32 = 0x310;
    pub(super) const LVT_TIMER: u32 = 0x320;
    pub(super) const LVT_ERROR: u32 = 0x370;
    pub(super) const TIMER_INITIAL: u32 = 0x380;
    pub(super) const TIMER_CURRENT: u32 = 0x390;
    pub(super) const TIMER_DIVIDE: u32 = 0x3e0;
}

/// In the spurious-vector register: the APIC is on.
const SOFTWARE_ENABLE: u32 = 1 << 8;
/// In the command register: the xAPIC has not taken the last command yet.
const COMMAND_PENDING: u32 = 1 << 12;
/// Polls to wait for that: it takes a few bus cycles.
const COMMAND_POLLS: u64 = 1_000_000;

/// [`REGISTERS`] when they are MSRs.
const IN_MSRS: usize = 1;
/// The address of the registers, [`IN_MSRS`], or 0 before [`init`].
static REGISTERS: AtomicUsize = AtomicUsize::new(0);

/// What is sent to another core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// An interrupt with that vector.
    Interrupt(u8),
    /// A non-maskable interrupt.
    NonMaskable,
    /// Reset, and wait for [`Message::Startup`].
    Init,
    /// Run real-mode code at this page number, below 1 MiB.
    Startup(u8),
}

impl Message {
    /// The command register's low half, edge-triggered, to a physical destination.
    fn command(self) -> u32 {
        const ASSERT: u32 = 1 << 14;
        let mode = match self {
            Self::Interrupt(vector) => u32::from(vector),
            Self::NonMaskable => 0b100 << 8,
            Self::Init => 0b101 << 8,
            Self::Startup(page) => 0b110 << 8 | u32::from(page),
        };
        mode | ASSERT
    }
}

/// Chooses the mode for all cores; once, on the boot core.
///
/// # Errors
/// When the registers cannot be mapped.
pub fn init(features: &Features) -> Result<(), MapError> {
    // SAFETY: every x86-64 CPU has this MSR; reading it changes nothing.
    let base = unsafe { Msr::new(BASE_MSR).read() };
    let registers = if features.x2apic || base & BASE_X2APIC != 0 {
        IN_MSRS
    } else {
        paging::map_mmio(base & BASE_ADDRESS, 4096)?.as_ptr() as usize
    };
    REGISTERS.store(registers, Ordering::Release);
    Ok(())
}

/// Whether the cores' APICs are in x2APIC mode, and so have 32-bit IDs.
#[must_use]
pub fn is_x2apic() -> bool {
    REGISTERS.load(Ordering::Acquire) == IN_MSRS
}

/// Turns this core's local APIC on, its timer off; on each core, after [`init`].
pub fn init_core() {
    let mut base = Msr::new(BASE_MSR);
    // SAFETY: as in `init`.
    let before = unsafe { base.read() };
    let mode = if is_x2apic() { BASE_X2APIC } else { 0 };
    // SAFETY: turns the APIC on where the firmware put it, in the mode it is in; from off that is
    // xAPIC mode.
    unsafe { base.write(before | BASE_ENABLE) };
    // SAFETY: the CPU has the mode. The APIC is on now, which the change to x2APIC mode needs.
    unsafe { base.write(before | BASE_ENABLE | mode) };
    write(register::TASK_PRIORITY, 0);
    write(register::LVT_ERROR, u32::from(vector::APIC_ERROR));
    write(
        register::SPURIOUS,
        SOFTWARE_ENABLE | u32::from(vector::SPURIOUS),
    );
    // What the firmware left pending would else keep lower vectors away.
    end_of_interrupt();
}

/// Tells the local APIC that the interrupt is handled.
pub fn end_of_interrupt() {
    write(register::END_OF_INTERRUPT, 0);
}

/// Has errors of the local APICs logged; once.
///
/// # Errors
/// When the vector for it is taken.
pub fn watch_errors() -> Result<(), VectorError> {
    interrupts::register(vector::APIC_ERROR, |_vector| {
        // Writing has the bits since the last time shown (Intel SDM volume 3, 10.5.3).
        write(register::ERROR_STATUS, 0);
        log::error!("local APIC errors {:#x}", read(register::ERROR_STATUS));
    })
}

/// Sends a message to the core whose local APIC has that ID. Nothing is sent before [`init`].
pub fn send(apic_id: u32, message: Message) {
    write_command(apic_id, message.command());
}

/// Sends a message to all cores of the machine but this one, those that never started too.
pub fn broadcast(message: Message) {
    const ALL_BUT_SELF: u32 = 0b11 << 18;
    write_command(0, message.command() | ALL_BUT_SELF);
}

/// Writes the command register, which sends.
fn write_command(destination: u32, command: u32) {
    match REGISTERS.load(Ordering::Acquire) {
        0 => {}
        IN_MSRS => {
            // Unlike memory, MSR writes do not wait for earlier stores to be seen (10.12.3).
            core::sync::atomic::fence(Ordering::SeqCst);
            let mut msr = Msr::new(X2APIC_MSRS + (register::COMMAND_LOW >> 4));
            // SAFETY: in x2APIC mode this is the whole command register, and the message is one
            // that the receiving core expects.
            unsafe { msr.write(u64::from(destination) << 32 | u64::from(command)) };
        }
        _ => {
            // One at a time, and no interrupt handler of ours may send in between.
            let enabled = cpu::interrupts_enabled();
            cpu::disable_interrupts();
            wait_for_command();
            write(register::COMMAND_HIGH, destination << 24);
            write(register::COMMAND_LOW, command);
            wait_for_command();
            if enabled {
                cpu::enable_interrupts();
            }
        }
    }
}

fn wait_for_command() {
    cpu::spin_until(COMMAND_POLLS, || {
        read(register::COMMAND_LOW) & COMMAND_PENDING == 0
    });
}

/// How the timer's interrupt comes: the timer register's value. Its countdown counts once every 16 bus cycles.
pub(crate) fn set_timer_mode(entry: u32) {
    const DIVIDE_BY_16: u32 = 0b0011;
    write(register::TIMER_DIVIDE, DIVIDE_BY_16);
    write(register::LVT_TIMER, entry);
}

/// Starts the timer's countdown from `count`; 0 stops it.
pub(crate) fn start_countdown(count: u32) {
    write(register::TIMER_INITIAL, count);
}

/// What is left of the countdown.
pub(crate) fn countdown() -> u32 {
    read(register::TIMER_CURRENT)
}

fn read(offset: u32) -> u32 {
    match REGISTERS.load(Ordering::Acquire) {
        0 => 0,
        // SAFETY: this mode has the register as that MSR; the ones we read have no side effects.
        IN_MSRS => unsafe { Msr::new(X2APIC_MSRS + (offset >> 4)).read() as u32 },
        base => {
            let register = core::ptr::with_exposed_provenance::<u32>(base + offset as usize);
            // SAFETY: `init` mapped the registers there, for good.
            unsafe { register.read_volatile() }
        }
    }
}

fn write(offset: u32, value: u32) {
    match REGISTERS.load(Ordering::Acquire) {
        0 => {}
        // SAFETY: this mode has the register as that MSR; the values are what this module's
        // callers mean for their own core.
        IN_MSRS => unsafe { Msr::new(X2APIC_MSRS + (offset >> 4)).write(u64::from(value)) },
        base => {
            let register = core::ptr::with_exposed_provenance_mut::<u32>(base + offset as usize);
            // SAFETY: `init` mapped the registers there, for good.
            unsafe { register.write_volatile(value) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Message;

    #[test]
    fn commands_are_as_the_manual_has_them() {
        assert_eq!(Message::Interrupt(0xf1).command(), 0x40f1);
        assert_eq!(Message::NonMaskable.command(), 0x4400);
        assert_eq!(Message::Init.command(), 0x4500);
        assert_eq!(Message::Startup(0x9d).command(), 0x469d);
    }
}
