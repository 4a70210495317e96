//! PCI functions and their interrupts, as drivers of all kinds get them.
//!
//! Key functions: [`take`], [`interrupt`].

use alloc::vec::Vec;

use vortex_bus::pci::{Interrupts, PciBus};
use vortex_bus::virtio::Structure;
use vortex_hal::cores::{self, CoreIndex};
use vortex_hal::pci::{Function, Message};
use vortex_hal::{clock, cpu, ioapic};
use vortex_toolkit::Asker;
use vortex_toolkit::ids::{CoreId, ResourceId};

use crate::grid::{self, interrupts, interrupts::Waiting};
use crate::processes::System;

/// The vendor of virtio devices.
pub(crate) const VIRTIO: u16 = 0x1af4;

/// Words of a capability that describes a structure of a virtio device.
const STRUCTURE_WORDS: u16 = 5;

/// Takes a function for a driver; each is to be taken once.
#[expect(unsafe_code, reason = "only here is it known who drives the function")]
pub(crate) fn take(function: &Function) -> PciBus {
    // SAFETY: each function is met once, by the one that drives functions of its vendor and device;
    // the drivers of `vortex_drivers` tell a device no addresses but those of their own memory, of
    // pinned frames while a command or an outgoing frame has them, and of buffers for packets.
    unsafe { PciBus::new(function.clone()) }
}

/// The structures of a virtio device.
pub(crate) fn structures(function: &Function) -> Vec<Structure> {
    let offsets = function.vendor_capabilities.iter();
    let words = |offset: &u16| {
        let mut words = [0; STRUCTURE_WORDS as usize];
        for (word, number) in words.iter_mut().zip(0..STRUCTURE_WORDS) {
            *word = function.read(offset + 4 * number);
        }
        Structure::parse(words)
    };
    offsets.map(words).collect()
}

/// The time, as drivers are told it.
pub(crate) fn now_ns() -> u64 {
    clock::rate().map_or(0, |rate| rate.nanoseconds(cpu::timestamp()))
}

/// Has a device's interrupts become requests to `resource`; the vector and how it interrupts, unless
/// it has to be polled.
pub(crate) fn interrupt(
    wired: &grid::Shared<System>,
    resource: ResourceId,
    describe: interrupts::Describe<System>,
    bus: &mut PciBus,
) -> Option<(u8, Interrupts)> {
    let address = bus.function().address;
    let vector = interrupts::register(wired, resource, describe, Waiting::One)
        .inspect_err(|error| log::warn!("{address} is polled: {error}"))
        .ok()?;
    let apic_id = apic_id_for(wired, resource);
    let message = Message::new(vector, apic_id)
        .inspect_err(|error| log::warn!("{address} is polled: {error}"))
        .ok()?;
    let mut how = bus.interrupt_by(message);
    if how == Interrupts::Polled && connect_pin(bus, vector, apic_id) {
        how = Interrupts::Pin;
    }
    log::info!("PCI: {address}: interrupts {how:?}, vector {vector:#x}");
    (how != Interrupts::Polled).then_some((vector, how))
}

/// The APIC id of the core that a resource's interrupts go to: the first that executes its requests.
pub(crate) fn apic_id_for(wired: &grid::Shared<System>, resource: ResourceId) -> u32 {
    let core = (0..u16::MAX)
        .take(wired.grid.cores())
        .map(CoreId)
        .find(|core| wired.grid.ask(Asker::Resource(resource), *core).is_some());
    let core = core.and_then(|core| wired.places.of(core));
    cores::get(core.unwrap_or(CoreIndex::BOOT)).apic_id()
}

/// Has a device interrupt by its pin, if it has one and another device does not have its line.
fn connect_pin(bus: &mut PciBus, vector: u8, apic_id: u32) -> bool {
    let Some(line) = bus.function().interrupt_line() else {
        return false;
    };
    match ioapic::connect_pin(line, vector, apic_id) {
        Ok(input) => {
            interrupts::is_of_line(vector, input);
            bus.interrupt_by_pin();
            true
        }
        Err(error) => {
            log::warn!("{} is polled: {error}", bus.function().address);
            false
        }
    }
}
