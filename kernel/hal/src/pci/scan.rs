//! The scan: from the host bridges through all bridges to all functions.
//!
//! The firmware has numbered the buses; the scan follows these numbers and visits each bus once,
//! so bridges that lie, or lead in a circle, cannot keep it going.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use pci_types::capability::PciCapability;
use pci_types::{EndpointHeader, HeaderType, PciAddress, PciHeader};

use super::config::{Access, ConfigSpace};
use super::{Function, bar};

const DEVICES: u8 = 32;
const FUNCTIONS: u8 = 8;

/// More capabilities than fit in the 192 bytes that they share.
const MAX_CAPABILITIES: usize = 48;

/// The base class of bridges. A host bridge may stand for the memory controller: it is left to
/// decode its addresses undisturbed.
const BRIDGE: u8 = 0x06;

/// Finds all functions that can be reached from these buses, in the order of the walk.
pub(super) fn all(config: &impl ConfigSpace, first_buses: &[PciAddress]) -> Vec<Function> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut buses: Vec<(u16, u8)> = first_buses
        .iter()
        .rev()
        .map(|first| (first.segment(), first.bus()))
        .collect();
    while let Some((segment, bus)) = buses.pop() {
        if !seen.insert((segment, bus)) {
            continue;
        }
        for device in 0..DEVICES {
            for address in functions(config, segment, bus, device) {
                if let Some(secondary) = secondary_bus(config, address) {
                    buses.push((segment, secondary));
                }
                found.push(describe(config, address));
            }
        }
    }
    found
}

/// The functions of one device.
fn functions(
    config: &impl ConfigSpace,
    segment: u16,
    bus: u8,
    device: u8,
) -> impl Iterator<Item = PciAddress> {
    let first = PciAddress::new(segment, bus, device, 0);
    let count = match (present(config, first), PciHeader::new(first)) {
        (false, _) => 0,
        (true, header) if header.has_multiple_functions(Access(config)) => FUNCTIONS,
        (true, _) => 1,
    };
    (0..count)
        .map(move |function| PciAddress::new(segment, bus, device, function))
        .filter(move |&address| present(config, address))
}

/// Whether a function answers.
fn present(config: &impl ConfigSpace, address: PciAddress) -> bool {
    let (vendor, _) = PciHeader::new(address).id(Access(config));
    vendor != u16::MAX && vendor != 0
}

/// The bus behind a bridge; `None` for other functions, and for a bridge that has no bus yet.
fn secondary_bus(config: &impl ConfigSpace, address: PciAddress) -> Option<u8> {
    let header = PciHeader::new(address);
    if header.header_type(Access(config)) != HeaderType::PciPciBridge {
        return None;
    }
    let [_primary, secondary, _subordinate, _timer] = config.read(address, 0x18).to_le_bytes();
    (secondary != 0).then_some(secondary)
}

fn describe(config: &impl ConfigSpace, address: PciAddress) -> Function {
    let header = PciHeader::new(address);
    let (vendor, device) = header.id(Access(config));
    let (revision, class, subclass, interface) = header.revision_and_class(Access(config));
    let [_line, pin, _, _] = config.read(address, 0x3c).to_le_bytes();
    let mut function = Function {
        address,
        vendor,
        device,
        class: [class, subclass, interface],
        revision,
        subsystem: [0; 2],
        bars: [None; 6],
        interrupt_pin: (1..=4).contains(&pin).then_some(pin),
        msi: None,
        msix: None,
        vendor_capabilities: Vec::new(),
    };
    if let Some(endpoint) = EndpointHeader::from_header(header, Access(config)) {
        let (subsystem, subsystem_vendor) = endpoint.subsystem(Access(config));
        function.subsystem = [subsystem_vendor, subsystem];
        if class != BRIDGE {
            function.bars = bar::find(config, address);
        }
        add_capabilities(config, &endpoint, &mut function);
    }
    function
}

/// Notes the capabilities that are used. A damaged list counts as empty.
fn add_capabilities(config: &impl ConfigSpace, endpoint: &EndpointHeader, function: &mut Function) {
    let first = endpoint.capability_pointer(Access(config));
    if !list_is_sound(config, function.address, first) {
        log::warn!(
            "PCI: {}: the list of capabilities is damaged",
            function.address
        );
        return;
    }
    for capability in endpoint.capabilities(Access(config)) {
        let offset = capability.address().offset;
        match capability {
            PciCapability::Msi(msi) => function.msi = Some((offset, msi)),
            PciCapability::MsiX(msix) => function.msix = Some((offset, msix)),
            PciCapability::Vendor(_) => function.vendor_capabilities.push(offset),
            _ => {}
        }
    }
}

/// Whether the list ends, within the space it has, and all its places are aligned: `pci_types`
/// follows it blindly.
fn list_is_sound(config: &impl ConfigSpace, address: PciAddress, first: u16) -> bool {
    let mut offset = first;
    for _ in 0..MAX_CAPABILITIES {
        if offset == 0 {
            return true;
        }
        if !(0x40..=0xfc).contains(&offset) || !offset.is_multiple_of(4) {
            return false;
        }
        let [_id, next, _, _] = config.read(address, offset).to_le_bytes();
        offset = next.into();
    }
    false
}
