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
use vortex_hal::pci::{self, Function};
use vortex_resources::storage::adapter::Adapter;
use vortex_resources::storage::{ControllerId, DiskMessage};
use vortex_resources::system::{self, Message, Shared};
use vortex_toolkit::Request;
use vortex_toolkit::ids::ActivityId;

use crate::devices;
use crate::grid::{self, Hardware, Processor};
use crate::processes::System;

/// What is driven, by vendor and device.
const VIRTIO_SCSI: [u16; 2] = [0x1048, 0x1004];
const LSI: u16 = 0x1000;
const SAS_1078: u16 = 0x0060;
const SAS_2108: u16 = 0x0079;

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
        let resource = shared.destination(system::Kind::DiskInterrupt, ActivityId::INFRASTRUCTURE);
        let describe = |vector| Message::Disk(DiskMessage::Interrupt(vector));
        let interrupt = devices::interrupt(wired, resource, describe, &mut found.bus);
        let how = interrupt.map_or(Interrupts::Polled, |(_, how)| how);
        let Some(adapter) = found.start(wired, how) else {
            continue;
        };
        let id = shared.storage.attach(adapter);
        if let Some((vector, how)) = interrupt {
            shared
                .storage
                .set_vector(id, vector, how != Interrupts::Pin);
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
        (devices::VIRTIO, device) if VIRTIO_SCSI.contains(&device) => {
            Kind::VirtioScsi(devices::structures(function))
        }
        (LSI, SAS_1078) => Kind::MegaRaid(Generation::First),
        (LSI, SAS_2108) => Kind::MegaRaid(Generation::Second),
        _ => return None,
    };
    log::info!("PCI: {}: a disk controller", function.address);
    Some(Found {
        bus: devices::take(function),
        kind,
    })
}

impl Found {
    /// Has the driver start.
    fn start(
        self,
        wired: &grid::Shared<System>,
        interrupts: Interrupts,
    ) -> Option<Box<dyn Adapter>> {
        let Self { mut bus, kind } = self;
        let now_ns = devices::now_ns();
        match kind {
            Kind::VirtioScsi(structures) => {
                let rings = u16::try_from(wired.grid.cores()).unwrap_or(u16::MAX);
                let transport =
                    PciTransport::new(&mut bus, &structures, interrupts == Interrupts::Pin)
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
