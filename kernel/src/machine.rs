//! Bringing up the machine: what the firmware says of it, clock, interrupts, cores.

use alloc::vec::Vec;

use vortex_hal::acpi::{Acpi, AcpiError, Interrupts, PhysicalMemory};
use vortex_hal::cpu::{self, Features};
use vortex_hal::{apic, clock, cores, ioapic, paging, pci, power, shootdown, smp, timer, wakeup};

use crate::{boot, jobs};

/// Brings up everything up to all cores in their idle loops.
pub(crate) fn bring_up(features: &Features) {
    apic::init(features).unwrap_or_else(|error| panic!("the local APIC: {error}"));
    apic::init_core();
    smp::reset_others();
    let acpi = read_acpi();
    let acpi = acpi.as_ref();
    match acpi.map(|acpi| &acpi.fixed) {
        Some(Ok(fixed)) => power::init(fixed),
        Some(Err(error)) => log::warn!("{error}; ACPI cannot turn the machine off"),
        None => {}
    }
    if let Err(error) = clock::init(acpi) {
        panic!("no clock: {error}");
    }
    let interrupts = acpi.and_then(|acpi| {
        let interrupts = acpi.interrupts.as_ref();
        let tell = |error: &&AcpiError| log::warn!("{error}; going on with one core");
        interrupts.inspect_err(tell).ok()
    });
    match interrupts {
        Some(interrupts) => init_lines(interrupts),
        None => ioapic::silence_legacy(),
    }
    init_interrupts(features);
    start_cores(interrupts);
    pci::init(acpi);
}

/// Physical memory as the ACPI parser reads it.
struct FirmwareMemory;

impl PhysicalMemory for FirmwareMemory {
    fn copy(&self, address: u64, to: &mut [u8]) -> bool {
        paging::copy_physical(address, to)
    }
}

/// The firmware's tables; without them the kernel goes on with what every PC has.
fn read_acpi() -> Option<Acpi> {
    let rsdp = boot::Handover::get().and_then(|handover| handover.rsdp);
    Acpi::read(&FirmwareMemory, rsdp)
        .inspect_err(|error| log::warn!("{error}; going on with one core"))
        .ok()
}

/// The interrupt lines of devices, all masked.
fn init_lines(interrupts: &Interrupts) {
    match ioapic::init(interrupts) {
        Ok(inputs) => log::info!("{inputs} interrupt lines"),
        Err(error) => log::warn!("{error}; going on without interrupt lines"),
    }
}

/// The deadline timer, and what other cores can ask of it.
fn init_interrupts(features: &Features) {
    wakeup::init()
        .and_then(|()| shootdown::init())
        .and_then(|()| apic::watch_errors())
        .and_then(|()| timer::init(features))
        .unwrap_or_else(|error| panic!("interrupt vectors: {error}"));
    timer::init_core();
    smp::join(cores::current());
    cpu::enable_interrupts();
    let mode = if apic::is_x2apic() { "x2APIC" } else { "xAPIC" };
    log::info!("{mode}, deadlines by {}", timer::describe());
}

/// Starts the cores that the firmware lists.
fn start_cores(listed: Option<&Interrupts>) {
    let boot_core = cpu::apic_id();
    let others: Vec<u32> = listed
        .into_iter()
        .flat_map(|interrupts| &interrupts.processors)
        .filter(|processor| processor.enabled && processor.apic_id != boot_core)
        .map(|processor| processor.apic_id)
        .collect();
    let all = others.len() + 1;
    let reachable = |id: &u32| apic::is_x2apic() || *id < 0xff;
    let ids = core::iter::once(boot_core).chain(others.into_iter().filter(reachable));
    let count = cores::enumerate(ids);
    if count < all {
        log::warn!(
            "{} of {all} cores cannot be addressed and stay off",
            all - count
        );
    }
    if count == 1 {
        return;
    }
    let Some(page) = boot::startup_page() else {
        log::warn!("no memory below 1 MiB to start other cores; going on with one core");
        return;
    };
    smp::start_others(page, jobs::idle).unwrap_or_else(|error| panic!("starting cores: {error}"));
    for core in cores::all().iter().filter(|core| !core.is_online()) {
        log::error!(
            "core {} (APIC ID {}) does not start",
            core.index(),
            core.apic_id()
        );
    }
}
