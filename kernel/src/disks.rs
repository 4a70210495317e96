//! Disk controllers: from the PCI functions that there are to the resources of storage.
//!
//! Key function: [`attach`], once, on the boot core, when the grid runs. A controller that cannot be
//! driven is told of in the log, and left alone.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use vortex_bus::pci::{Interrupts, PciBus};
use vortex_bus::virtio::{PciTransport, Structure};
use vortex_drivers::megasas::Generation;
use vortex_drivers::{MegaRaid, VirtioScsi};
use vortex_hal::cores::{self, CoreIndex};
use vortex_hal::pci::{self, Function, Message as Interrupt};
use vortex_hal::{clock, cpu};
use vortex_resources::storage::adapter::Adapter;
use vortex_resources::storage::{ControllerId, DiskMessage};
use vortex_resources::system::{self, Message, Shared};
use vortex_toolkit::ids::{ActivityId, CoreId};
use vortex_toolkit::{Asker, Request};

use crate::grid::{self, Hardware, Processor, interrupts};
use crate::processes::System;

/// What is driven, by vendor and device.
const VIRTIO: u16 = 0x1af4;
const VIRTIO_SCSI: [u16; 2] = [0x1048, 0x1004];
const LSI: u16 = 0x1000;
const SAS_1078: u16 = 0x0060;
const SAS_2108: u16 = 0x0079;

/// Words of a capability that describes a structure of a virtio device.
const STRUCTURE_WORDS: u16 = 5;

/// Attaches all controllers there are.
pub(crate) fn attach(
    wired: &grid::Shared<System>,
    shared: &Arc<Shared<Hardware>>,
    platform: &Processor,
) {
    for function in pci::devices() {
        let Some(mut found) = drive(function) else {
            continue;
        };
        let vector = interrupt(wired, shared, &mut found.bus);
        let Some(adapter) = found.start(wired) else {
            continue;
        };
        let id = shared.storage.attach(adapter);
        if let Some(vector) = vector {
            shared.storage.set_vector(id, vector);
        }
        look_at(wired, shared, platform, id);
    }
    shared.storage.settle();
}

/// A function that there is a driver for.
struct Found {
    bus: PciBus,
    kind: Kind,
}

enum Kind {
    VirtioScsi(Vec<Structure>),
    MegaRaid(Generation),
}

/// Takes a function, if there is a driver for it.
fn drive(function: &Function) -> Option<Found> {
    let kind = match (function.vendor, function.device) {
        (VIRTIO, device) if VIRTIO_SCSI.contains(&device) => Kind::VirtioScsi(structures(function)),
        (LSI, SAS_1078) => Kind::MegaRaid(Generation::First),
        (LSI, SAS_2108) => Kind::MegaRaid(Generation::Second),
        _ => return None,
    };
    log::info!("PCI: {}: a disk controller", function.address);
    Some(Found {
        bus: take(function),
        kind,
    })
}

#[expect(unsafe_code, reason = "only here is it known who drives the function")]
fn take(function: &Function) -> PciBus {
    // SAFETY: each function is met once, here; the drivers of `vortex_drivers` tell a device no
    // addresses but those of their own memory, and of pinned frames while a command has them.
    unsafe { PciBus::new(function.clone()) }
}

/// The structures of a virtio device.
fn structures(function: &Function) -> Vec<Structure> {
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

impl Found {
    /// Has the driver start.
    fn start(self, wired: &grid::Shared<System>) -> Option<Box<dyn Adapter>> {
        let Self { mut bus, kind } = self;
        let now_ns = clock::rate().map_or(0, |rate| rate.nanoseconds(cpu::timestamp()));
        match kind {
            Kind::VirtioScsi(structures) => {
                let rings = u16::try_from(wired.grid.cores()).unwrap_or(u16::MAX);
                let transport = PciTransport::new(&mut bus, &structures)
                    .inspect_err(|error| log::error!("virtio-scsi: {error}"))
                    .ok()?;
                Some(Box::new(VirtioScsi::new(bus, transport, rings, now_ns)))
            }
            Kind::MegaRaid(generation) => {
                let controller = MegaRaid::new(bus, generation, now_ns)
                    .inspect_err(|error| log::error!("megasas: {error}"))
                    .ok()?;
                Some(Box::new(controller))
            }
        }
    }
}

/// Has a device's interrupts become requests; the vector, unless it has to be polled.
fn interrupt(
    wired: &grid::Shared<System>,
    shared: &Arc<Shared<Hardware>>,
    bus: &mut PciBus,
) -> Option<u8> {
    let infrastructure = ActivityId::INFRASTRUCTURE;
    let resource = shared.destination(system::Kind::DiskInterrupt, infrastructure);
    let describe = |vector| Message::Disk(DiskMessage::Interrupt(vector));
    let vector = interrupts::register(wired, resource, describe)
        .inspect_err(|error| log::warn!("a disk controller is polled: {error}"))
        .ok()?;
    let core = (0..u16::MAX)
        .take(wired.grid.cores())
        .map(CoreId)
        .find(|core| wired.grid.ask(Asker::Resource(resource), *core).is_some());
    let core = core.and_then(|core| wired.places.of(core));
    let apic_id = cores::get(core.unwrap_or(CoreIndex::BOOT)).apic_id();
    let message = Interrupt::new(vector, apic_id)
        .inspect_err(|error| log::warn!("a disk controller is polled: {error}"))
        .ok()?;
    let how = bus.interrupt_by(message);
    log::info!(
        "PCI: {}: interrupts {how:?}, vector {vector:#x}",
        bus.function().address
    );
    (how != Interrupts::Polled).then_some(vector)
}

/// Has the device interrupt resource look at a controller for the first time.
fn look_at(
    wired: &grid::Shared<System>,
    shared: &Arc<Shared<Hardware>>,
    platform: &Processor,
    id: ControllerId,
) {
    let infrastructure = ActivityId::INFRASTRUCTURE;
    let destination = shared.destination(system::Kind::DiskInterrupt, infrastructure);
    let message = Message::Disk(DiskMessage::Service(id));
    let request = Request::new(destination, infrastructure, message);
    if wired.grid.submit(platform, request).is_err() {
        log::error!("a disk controller is not looked at: the inbox is full");
    }
}
