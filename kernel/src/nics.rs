//! Network interfaces: from the PCI functions that there are to the resources of the network.
//!
//! Key function: [`attach`], once, on the boot core, when the grid runs. An interface that cannot be
//! driven is told of in the log, and left alone.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use vortex_bus::pci::{Interrupts, PciBus};
use vortex_bus::virtio::{PciTransport, Structure};
use vortex_drivers::{E1000e, VirtioNet};
use vortex_hal::pci::{self, Function};
use vortex_resources::net::interface::Interface;
use vortex_resources::net::{InterfaceId, NetMessage};
use vortex_resources::system::{self, Message, Shared};
use vortex_toolkit::Request;
use vortex_toolkit::ids::ActivityId;

use crate::devices;
use crate::grid::{self, Hardware, Processor};
use crate::processes::System;

/// What is driven, by vendor and device.
const VIRTIO_NET: [u16; 2] = [0x1041, 0x1000];
const INTEL: u16 = 0x8086;
const I_82574L: u16 = 0x10d3;

/// Attaches all interfaces there are.
pub(crate) fn attach(
    wired: &grid::Shared<System>,
    shared: &Arc<Shared<Hardware>>,
    platform: &Processor,
) {
    let infrastructure = ActivityId::INFRASTRUCTURE;
    for function in pci::devices() {
        let Some(mut found) = drive(function) else {
            continue;
        };
        let resource = shared.destination(system::Kind::NetInterrupt, infrastructure);
        let describe = |vector| Message::Net(NetMessage::Interrupt(vector));
        let interrupt = devices::interrupt(wired, resource, describe, &mut found.bus);
        let how = interrupt.map_or(Interrupts::Polled, |(_, how)| how);
        let Some(interface) = found.start(wired, how) else {
            continue;
        };
        let Some(id) = shared.nics.attach(interface) else {
            log::error!("PCI: {}: one network interface too many", function.address);
            continue;
        };
        if let Some((vector, how)) = interrupt {
            shared.nics.set_vector(id, vector, how != Interrupts::Pin);
        }
        look_at(wired, shared, platform, id);
    }
}

/// A function that there is a driver for.
struct Found {
    bus: PciBus,
    kind: Kind,
}

enum Kind {
    VirtioNet(Vec<Structure>),
    E1000e,
}

/// Takes a function, if there is a driver for it.
fn drive(function: &Function) -> Option<Found> {
    let kind = match (function.vendor, function.device) {
        (devices::VIRTIO, device) if VIRTIO_NET.contains(&device) => {
            Kind::VirtioNet(devices::structures(function))
        }
        (INTEL, I_82574L) => Kind::E1000e,
        _ => return None,
    };
    log::info!("PCI: {}: a network interface", function.address);
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
    ) -> Option<Box<dyn Interface>> {
        let Self { mut bus, kind } = self;
        let now_ns = devices::now_ns();
        match kind {
            Kind::VirtioNet(structures) => {
                let pairs = u16::try_from(wired.grid.cores()).unwrap_or(u16::MAX);
                let transport =
                    PciTransport::new(&mut bus, &structures, interrupts == Interrupts::Pin)
                        .inspect_err(|error| log::error!("virtio-net: {error}"))
                        .ok()?;
                Some(Box::new(VirtioNet::new(bus, transport, pairs, now_ns)))
            }
            Kind::E1000e => {
                let interface = E1000e::new(bus, interrupts, now_ns)
                    .inspect_err(|error| log::error!("e1000e: {error}"))
                    .ok()?;
                Some(Box::new(interface))
            }
        }
    }
}

/// Has the device interrupt resource look at an interface for the first time.
fn look_at(
    wired: &grid::Shared<System>,
    shared: &Arc<Shared<Hardware>>,
    platform: &Processor,
    id: InterfaceId,
) {
    let infrastructure = ActivityId::INFRASTRUCTURE;
    let destination = shared.destination(system::Kind::NetInterrupt, infrastructure);
    let message = Message::Net(NetMessage::Service(id));
    let request = Request::new(destination, infrastructure, message);
    if wired.grid.submit(platform, request).is_err() {
        log::error!("a network interface is not looked at: the inbox is full");
    }
}
