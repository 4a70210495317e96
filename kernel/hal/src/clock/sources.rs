//! The timers of known rate, best first: HPET, ACPI PM timer, 8254.

use super::calibrate::{CalibrationError, Reference, measure};
use super::{Source, cpuid};
use crate::acpi::{Acpi, PmTimer, Register};
use crate::cpu;
use crate::io::{CpuPorts, Mmio, Ports, Registers};

/// Finds the time-stamp counter's rate in hertz by the first means that works.
///
/// # Errors
/// When none works: the error of the last one tried.
pub(super) fn find_rate(acpi: Option<&Acpi>) -> Result<(u64, Source), CalibrationError> {
    if let Some(found) = cpuid::rate() {
        return Ok(found);
    }
    // SAFETY: only the ports of the PM timer, which only counts, and of the 8254's channel 2 are
    // touched; neither writes memory.
    let mut ports = unsafe { CpuPorts::new() };
    let mut failure = CalibrationError::NoTimer;
    for source in [Source::Hpet, Source::PmTimer, Source::Pit] {
        let measured = match source {
            Source::Hpet => hpet(acpi).map(|mut hpet| measure(&mut hpet, cpu::timestamp)),
            Source::PmTimer => pm_timer(acpi)
                .map(|(port, wide)| PmTimerPort {
                    ports: &mut ports,
                    port,
                    wide,
                })
                .map(|mut timer| measure(&mut timer, cpu::timestamp)),
            _ => Some(measure(&mut Pit::start(&mut ports), cpu::timestamp)),
        };
        match measured {
            Some(Ok(hertz)) => return Ok((hertz, source)),
            Some(Err(error)) => {
                log::warn!("{error} ({source})");
                failure = error;
            }
            None => {}
        }
    }
    Err(failure)
}

/// The high precision event timer's main counter (HPET specification 1.0a, section 2.3).
pub(super) struct HpetCounter<R> {
    registers: R,
    hertz: u64,
}

/// The HPET's registers: the period in femtoseconds, whether it counts, the counter's low half.
const HPET_PERIOD: usize = 0x04;
const HPET_CONFIGURATION: usize = 0x10;
const HPET_COUNTER: usize = 0xf0;
const HPET_REGISTERS: usize = 0x400;
/// Bit in the configuration: the counter runs.
const HPET_ENABLE: u32 = 1;
/// The longest period that the specification allows: 100 ns.
const HPET_MAX_PERIOD: u32 = 100_000_000;

impl<R: Registers> HpetCounter<R> {
    /// Starts the counter; `None` when the registers are not an HPET's.
    pub(super) fn start(mut registers: R) -> Option<Self> {
        let period = registers.read32(HPET_PERIOD);
        if period == 0 || period > HPET_MAX_PERIOD {
            return None;
        }
        let configuration = registers.read32(HPET_CONFIGURATION);
        registers.write32(HPET_CONFIGURATION, configuration | HPET_ENABLE);
        Some(Self {
            registers,
            hertz: 1_000_000_000_000_000 / u64::from(period),
        })
    }
}

impl<R: Registers> Reference for HpetCounter<R> {
    fn hertz(&self) -> u64 {
        self.hertz
    }

    fn mask(&self) -> u64 {
        u32::MAX.into()
    }

    fn read(&mut self) -> u64 {
        self.registers.read32(HPET_COUNTER).into()
    }
}

fn hpet(acpi: Option<&Acpi>) -> Option<HpetCounter<Mmio>> {
    let described = acpi?.hpet.as_ref().ok()?;
    // SAFETY: the HPET table says that an HPET's registers are there; it writes no memory unless
    // one of its comparators is programmed to, which nothing does.
    match unsafe { Mmio::map(described.address, HPET_REGISTERS) } {
        Ok(registers) => HpetCounter::start(registers),
        Err(error) => {
            log::warn!("clock: the HPET's registers cannot be mapped: {error}");
            None
        }
    }
}

/// The ACPI power management timer (ACPI 6.5, section 4.8.3.3) at a port.
pub(super) struct PmTimerPort<'a, P> {
    pub(super) ports: &'a mut P,
    pub(super) port: u16,
    /// Whether it counts in 32 bits; else in 24.
    pub(super) wide: bool,
}

impl<P: Ports> Reference for PmTimerPort<'_, P> {
    fn hertz(&self) -> u64 {
        3_579_545
    }

    fn mask(&self) -> u64 {
        if self.wide { 0xffff_ffff } else { 0xff_ffff }
    }

    fn read(&mut self) -> u64 {
        u64::from(self.ports.read32(self.port)) & self.mask()
    }
}

/// The PM timer, where it is at a port, as it is on every machine with the fixed hardware.
fn pm_timer(acpi: Option<&Acpi>) -> Option<(u16, bool)> {
    match acpi?.fixed.as_ref().ok()?.pm_timer? {
        PmTimer {
            register: Register::Port(port),
            wide,
        } => Some((port, wide)),
        PmTimer {
            register: Register::Memory(_),
            ..
        } => None,
    }
}

/// Channel 2 of the 8254 interval timer (Intel 8254 datasheet), which drives nothing but the
/// speaker; it counts down through 16 bits.
pub(super) struct Pit<'a, P> {
    ports: &'a mut P,
}

/// The channel's counter, the command register, and the port with the channel's gate.
const PIT_COUNTER: u16 = 0x42;
const PIT_COMMAND: u16 = 0x43;
const PIT_GATE: u16 = 0x61;

impl<'a, P: Ports> Pit<'a, P> {
    /// Starts the channel with the speaker off.
    pub(super) fn start(ports: &'a mut P) -> Self {
        /// Channel 2, low byte then high byte, mode 2 (rate generator), binary.
        const COMMAND: u8 = 0b1011_0100;
        let gate = ports.read8(PIT_GATE);
        ports.write8(PIT_GATE, (gate & !0b10) | 0b01);
        ports.write8(PIT_COMMAND, COMMAND);
        // 0 counts as 65536.
        ports.write8(PIT_COUNTER, 0);
        ports.write8(PIT_COUNTER, 0);
        Self { ports }
    }
}

impl<P: Ports> Reference for Pit<'_, P> {
    fn hertz(&self) -> u64 {
        1_193_182
    }

    fn mask(&self) -> u64 {
        0xffff
    }

    fn read(&mut self) -> u64 {
        /// Latch channel 2, so that both bytes are of one moment.
        const LATCH: u8 = 0b1000_0000;
        self.ports.write8(PIT_COMMAND, LATCH);
        let low = self.ports.read8(PIT_COUNTER);
        let high = self.ports.read8(PIT_COUNTER);
        // Counting down is counting up seen from the other end.
        u64::from(!u16::from_le_bytes([low, high]))
    }
}
