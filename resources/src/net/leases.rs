//! The DHCP Resource: interfaces get their addresses.

use core::net::Ipv4Addr;

use smoltcp::wire::IpProtocol;
use vortex_tcp::{Buffer, Instant};
use vortex_toolkit::Context;

use super::InterfaceId;
use super::data::Data;
use super::dhcp::{CLIENT, Client, MAX_MESSAGE, SERVER, Step};
use super::interface::{Mac, Notice};
use super::link::{Addressing, Settings};
use super::packet::{Packet, Reason, UDP_HEADER};
use super::transmit::put;
use crate::machine::Machine;
use crate::system::{Shared, Vortex};

/// An interface has changed: one that is ready gets the address that was set for it, or asks for one.
pub(crate) fn changed<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    id: InterfaceId,
    notice: Notice,
) -> Option<Instant> {
    let network = &shared.network;
    let link = network.links.get(id)?;
    match notice {
        Notice::Ready => {
            let (_, properties, ..) = shared.nics.describe(id)?;
            link.is_ready(properties);
            match network.addressing.call_once(Addressing::default) {
                Addressing::None => return None,
                Addressing::Fixed(settings) if id.0 == 0 => {
                    configure(shared, id, Some(*settings));
                    return None;
                }
                Addressing::Fixed(_) | Addressing::Dhcp => {}
            }
            let mut random = [0; 4];
            network.environment.random(&mut random);
            let number = u32::from_ne_bytes(random);
            let mut client = link.client.lock();
            client.get_or_insert_with(|| {
                Client::new(properties.mac, number, network.environment.now())
            });
            drop(client);
            due(shared, context)
        }
        Notice::Link(_) | Notice::Gone => None,
    }
}

/// What is due is done.
pub(crate) fn due<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
) -> Option<Instant> {
    let network = &shared.network;
    let now = network.environment.now();
    for (id, link) in network.links.ready() {
        let step = link
            .client
            .lock()
            .as_mut()
            .map(|client| client.expired(now));
        if let Some(step) = step {
            take(shared, context, id, step);
        }
    }
    network.leases_due()
}

/// A server has said something.
pub(crate) fn heard<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    id: InterfaceId,
    packet: &Packet,
) -> Option<Instant> {
    let network = &shared.network;
    let link = network.links.get(id)?;
    if !packet.is_intact() || packet.payload.length() > MAX_MESSAGE {
        network.drop_for(Reason::Malformed);
        return None;
    }
    let mut message = [0; MAX_MESSAGE];
    let length = packet.payload.copy_to(&mut message);
    let now = network.environment.now();
    let mut client = link.client.lock();
    let step = client.as_mut()?.heard(&message[..length], now);
    drop(client);
    take(shared, context, id, step);
    network.leases_due()
}

/// Does what a client wants done.
fn take<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    id: InterfaceId,
    step: Step,
) {
    if let Some(settings) = step.configure {
        configure(shared, id, settings);
    }
    if let Some(message) = step.send {
        send(shared, context, id, &message);
    }
}

fn configure<M: Machine>(shared: &Shared<M>, id: InterfaceId, settings: Option<Settings>) {
    match settings {
        Some(settings) => log::info!(
            "net: interface {} has address {}/{}{}",
            id.0,
            settings.address,
            settings.prefix,
            Gateway(settings.gateway)
        ),
        None => log::warn!("net: interface {} has no address any more", id.0),
    }
    if let Some(link) = shared.network.links.get(id) {
        link.configure(settings);
    }
}

/// A way out, for the log.
struct Gateway(Option<Ipv4Addr>);

impl core::fmt::Display for Gateway {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(gateway) => write!(f, ", gateway {gateway}"),
            None => Ok(()),
        }
    }
}

/// Sends a message to all servers.
fn send<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    id: InterfaceId,
    message: &[u8],
) {
    let network = &shared.network;
    let mut left = message;
    let owner = shared.own_frames();
    let filled = Data::gathered(network.environment, owner, message.len(), |part| {
        let (now, later) = left.split_at(part.len());
        part.copy_from_slice(now);
        left = later;
        Ok::<(), core::convert::Infallible>(())
    });
    let Ok(Ok(data)) = filled else {
        return network.drop_for(Reason::NoMemory);
    };
    let mut header = [0; UDP_HEADER];
    let length = (UDP_HEADER + message.len()) as u16;
    header[..2].copy_from_slice(&CLIENT.to_be_bytes());
    header[2..4].copy_from_slice(&SERVER.to_be_bytes());
    header[4..6].copy_from_slice(&length.to_be_bytes());
    let ends = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST);
    let packet = Packet::new(ends, IpProtocol::Udp, &header, data);
    let activity = context.head().activity;
    put(shared, context, id, Mac::BROADCAST, packet, activity);
}
