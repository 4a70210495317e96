//! The ARP Resource (RFC 826): questions for neighbours' addresses of Ethernet, and answers.

use alloc::boxed::Box;

use core::net::Ipv4Addr;
use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress};
use vortex_toolkit::Context;

use super::InterfaceId;
use super::interface::{Mac, Outgoing};
use super::packet::Reason;
use super::transmit::{ethernet, put};
use crate::machine::Machine;
use crate::system::{Shared, Vortex};

/// Bytes of a packet of ARP for Ethernet and IPv4.
pub(crate) const LENGTH: usize = 28;
/// What Ethernet calls ARP.
pub(crate) const TYPE: u16 = 0x0806;

/// A packet of ARP has arrived.
pub(crate) fn arrived<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    id: InterfaceId,
    bytes: &[u8; LENGTH],
) {
    let network = &shared.network;
    let parsed = ArpPacket::new_checked(&bytes[..]).and_then(|packet| ArpRepr::parse(&packet));
    let Ok(ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: EthernetAddress(mac),
        source_protocol_addr: sender,
        target_protocol_addr: target,
        ..
    }) = parsed
    else {
        return network.drop_for(Reason::Malformed);
    };
    let Some((link, own)) = network
        .links
        .get(id)
        .and_then(|link| Some((link, link.address()?)))
    else {
        return;
    };
    let is_for_us = target == own && sender != own;
    if !is_for_us || sender.is_unspecified() || sender.is_multicast() || sender.is_broadcast() {
        return;
    }
    let asks = operation == ArpOperation::Request;
    let now = network.environment.now();
    let waiting = link.neighbours.lock().heard(sender, Mac(mac), asks, now);
    for (packet, activity) in waiting {
        put(shared, context, id, Mac(mac), packet, activity);
    }
    if asks {
        say(
            shared,
            context,
            id,
            ArpOperation::Reply,
            Mac(mac),
            (own, sender),
        );
    }
}

/// Asks who has an address.
pub(crate) fn ask<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    id: InterfaceId,
    (own, wanted): (Ipv4Addr, Ipv4Addr),
) {
    let ends = (own, wanted);
    say(
        shared,
        context,
        id,
        ArpOperation::Request,
        Mac::BROADCAST,
        ends,
    );
}

fn say<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    id: InterfaceId,
    operation: ArpOperation,
    to: Mac,
    (own, target): (Ipv4Addr, Ipv4Addr),
) {
    let Some(properties) = shared
        .network
        .links
        .get(id)
        .and_then(|link| link.properties())
    else {
        return;
    };
    let target_mac = match operation {
        ArpOperation::Request => Mac([0; 6]),
        _ => to,
    };
    let repr = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: EthernetAddress(properties.mac.0),
        source_protocol_addr: own,
        target_hardware_addr: EthernetAddress(target_mac.0),
        target_protocol_addr: target,
    };
    let mut frame = Box::<Outgoing>::default();
    ethernet(&mut frame, to, properties.mac, TYPE);
    let mut bytes = [0; LENGTH];
    repr.emit(&mut ArpPacket::new_unchecked(&mut bytes[..]));
    frame.head.extend(bytes);
    super::transmit::insert(shared, context, id, frame, None);
}
