//! The MADT: cores, IOAPICs, and how interrupt lines reach them (ACPI 6.5, section 5.2.12).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use acpi::sdt::madt::{Madt, MadtEntry, parse_mps_inti_flags};
use acpi::sdt::madt::{Polarity as RawPolarity, TriggerMode as RawTrigger};

use super::tables::{Signature, Table};
use super::{AcpiError, fixed};

/// Cores and interrupt controllers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interrupts {
    /// The physical address of every core's local APIC.
    pub local_apic: u64,
    /// Whether there is a pair of 8259 interrupt controllers, to be masked.
    pub has_8259: bool,
    /// The cores, in the table's order; no APIC id twice.
    pub processors: Vec<Processor>,
    /// The IOAPICs.
    pub io_apics: Vec<IoApic>,
    /// Where the legacy lines go that do not go where their number says.
    overrides: Vec<(u8, Route)>,
    /// The IOAPIC inputs that are non-maskable interrupts.
    pub nmi_sources: Vec<Route>,
    /// The local APIC inputs that are non-maskable interrupts.
    pub local_nmis: Vec<LocalNmi>,
}

/// A core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processor {
    /// Its local APIC's id.
    pub apic_id: u32,
    /// The number that other tables know it by.
    pub uid: u32,
    /// Whether it may be started.
    pub enabled: bool,
    /// Whether it is absent now and could be plugged in later.
    pub online_capable: bool,
}

/// An IOAPIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApic {
    /// Its id.
    pub id: u8,
    /// The physical address of its registers.
    pub address: u64,
    /// The global number of its first input.
    pub first_input: u32,
}

/// How an interrupt line arrives at an IOAPIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The global number of the input ("global system interrupt").
    pub input: u32,
    /// Which level means "interrupt".
    pub polarity: Polarity,
    /// Whether a change or a level means "interrupt".
    pub trigger: Trigger,
}

/// Which level of a line means "interrupt".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polarity {
    /// The high one: ISA's habit.
    ActiveHigh,
    /// The low one: PCI's habit.
    ActiveLow,
}

/// What makes an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A change of the line: ISA's habit.
    Edge,
    /// The line's level: PCI's habit.
    Level,
}

/// A local APIC input that is a non-maskable interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalNmi {
    /// The core's [`Processor::uid`]; `None` for all cores.
    pub processor: Option<u32>,
    /// The input, LINT0 or LINT1.
    pub lint: u8,
    /// Which level means "interrupt".
    pub polarity: Polarity,
    /// What makes an interrupt.
    pub trigger: Trigger,
}

impl Interrupts {
    /// Where the legacy interrupt line `irq` arrives.
    #[must_use]
    pub fn route(&self, irq: u8) -> Route {
        self.listed_route(irq).unwrap_or(Route {
            input: irq.into(),
            polarity: Polarity::ActiveHigh,
            trigger: Trigger::Edge,
        })
    }

    /// The same, if the table says anything of the line.
    pub(crate) fn listed_route(&self, irq: u8) -> Option<Route> {
        let listed = self.overrides.iter().find(|(line, _)| *line == irq);
        listed.map(|(_, route)| *route)
    }
}

/// Reads the table.
pub(super) fn parse(table: &Table) -> Result<Interrupts, AcpiError> {
    check_entries(table)?;
    let madt = table.view::<Madt>()?;
    let mut found = Interrupts {
        local_apic: madt.local_apic_address.into(),
        has_8259: madt.supports_8259(),
        ..Interrupts::default()
    };
    let mut ids = BTreeSet::new();
    for entry in madt.entries() {
        add(&mut found, &mut ids, &entry)?;
    }
    let plausible = found.local_apic != 0 && found.local_apic.is_multiple_of(4096);
    if !plausible || !fixed::addressable(found.local_apic) {
        let problem = "the local APIC's address is zero, unaligned or too high";
        return Err(AcpiError::Value {
            table: Signature::MADT,
            problem,
        });
    }
    if !found.processors.iter().any(|processor| processor.enabled) {
        let problem = "it lists no enabled core";
        return Err(AcpiError::Value {
            table: Signature::MADT,
            problem,
        });
    }
    Ok(found)
}

/// Checks that every entry has a length, is as long as its kind has to be, and ends within the
/// table: the `acpi` crate's walk trusts all three.
fn check_entries(table: &Table) -> Result<(), AcpiError> {
    let error = |offset, problem| AcpiError::Entry {
        table: Signature::MADT,
        offset,
        problem,
    };
    let mut offset = size_of::<Madt>();
    while let Some(kind) = table.byte(offset) {
        let least = match kind {
            0 | 3 => 8,
            1 | 5 => 12,
            2 => 10,
            4 => 6,
            9 => 16,
            10 => 12,
            _ => 2,
        };
        let Some(len) = table.byte(offset + 1) else {
            return Err(error(offset, "is cut off by the table's end"));
        };
        if len < least {
            return Err(error(offset, "is too short for its kind"));
        }
        let end = offset + usize::from(len);
        if end > table.len() {
            return Err(error(offset, "reaches past the table's end"));
        }
        offset = end;
    }
    Ok(())
}

/// Adds what one entry says.
fn add(
    found: &mut Interrupts,
    ids: &mut BTreeSet<u32>,
    entry: &MadtEntry<'_>,
) -> Result<(), AcpiError> {
    match entry {
        // Firmware fills unused places of type 0 with id 255, which addresses all cores.
        MadtEntry::LocalApic(core) if core.apic_id != u8::MAX => {
            let (id, uid) = (core.apic_id.into(), core.processor_id.into());
            add_processor(found, ids, id, uid, core.flags);
        }
        MadtEntry::LocalX2Apic(core) if core.x2apic_id != u32::MAX => {
            add_processor(found, ids, core.x2apic_id, core.processor_uid, core.flags);
        }
        MadtEntry::IoApic(chip) => found.io_apics.push(IoApic {
            id: chip.io_apic_id,
            address: chip.io_apic_address.into(),
            first_input: chip.global_system_interrupt_base,
        }),
        MadtEntry::InterruptSourceOverride(line) => {
            let (polarity, trigger) = line_flags(line.flags)?;
            let route = Route {
                input: line.global_system_interrupt,
                polarity,
                trigger,
            };
            found.overrides.push((line.irq, route));
        }
        MadtEntry::NmiSource(source) => {
            let (polarity, trigger) = line_flags(source.flags)?;
            let input = source.global_system_interrupt;
            found.nmi_sources.push(Route {
                input,
                polarity,
                trigger,
            });
        }
        MadtEntry::LocalApicNmi(nmi) => {
            let all = nmi.processor_id == u8::MAX;
            let processor = (!all).then_some(nmi.processor_id.into());
            add_local_nmi(found, processor, nmi.nmi_line, nmi.flags)?;
        }
        MadtEntry::X2ApicNmi(nmi) => {
            let all = nmi.processor_uid == u32::MAX;
            let processor = (!all).then_some(nmi.processor_uid);
            add_local_nmi(found, processor, nmi.nmi_line, nmi.flags)?;
        }
        MadtEntry::LocalApicAddressOverride(address) => {
            found.local_apic = address.local_apic_address;
        }
        _ => {}
    }
    Ok(())
}

fn add_processor(
    found: &mut Interrupts,
    ids: &mut BTreeSet<u32>,
    apic_id: u32,
    uid: u32,
    flags: u32,
) {
    // A core may be listed in both forms.
    if ids.insert(apic_id) {
        let (enabled, online_capable) = (flags & 1 != 0, flags & 2 != 0);
        found.processors.push(Processor {
            apic_id,
            uid,
            enabled,
            online_capable,
        });
    }
}

fn add_local_nmi(
    found: &mut Interrupts,
    processor: Option<u32>,
    lint: u8,
    flags: u16,
) -> Result<(), AcpiError> {
    let (polarity, trigger) = line_flags(flags)?;
    if lint > 1 {
        let problem = "a local NMI is at neither LINT0 nor LINT1";
        return Err(AcpiError::Value {
            table: Signature::MADT,
            problem,
        });
    }
    found.local_nmis.push(LocalNmi {
        processor,
        lint,
        polarity,
        trigger,
    });
    Ok(())
}

/// Polarity and trigger; "as the bus has it" means ISA, the only bus there is here.
fn line_flags(flags: u16) -> Result<(Polarity, Trigger), AcpiError> {
    let (polarity, trigger) = parse_mps_inti_flags(flags).map_err(|_| AcpiError::Value {
        table: Signature::MADT,
        problem: "an interrupt line has a reserved polarity or trigger mode",
    })?;
    let polarity = match polarity {
        RawPolarity::SameAsBus | RawPolarity::ActiveHigh => Polarity::ActiveHigh,
        RawPolarity::ActiveLow => Polarity::ActiveLow,
    };
    let trigger = match trigger {
        RawTrigger::SameAsBus | RawTrigger::Edge => Trigger::Edge,
        RawTrigger::Level => Trigger::Level,
    };
    Ok((polarity, trigger))
}
