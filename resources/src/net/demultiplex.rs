//! The Network Device Read Resource: whom a packet is for (paper, section 4.4).
//!
//! Until that is known the infrastructure pays, and from then on the activity found, also for what
//! has been done so far (section 3.3.2). What is for nobody, and what its receiver has no room for,
//! is dropped here, as cheaply as can be: a flood costs the one that it is for.

use alloc::boxed::Box;
use alloc::sync::Arc;

use smoltcp::wire::IpProtocol;
use vortex_tcp::{FourTuple, Instant};
use vortex_toolkit::Context;
use vortex_toolkit::ids::{ActivityId, ResourceId};

use super::buffer::Spent;
use super::interface::{self, ETHERNET, Mac};
use super::message::NetMessage;
use super::packet::{Headers, MAX_HEADER, Packet, Reason, Train};
use super::tcp::{self, Found, Stream};
use super::transmit::IPV4;
use super::udp::Endpoint;
use super::{InterfaceId, Network, arp, dhcp};
use crate::machine::Machine;
use crate::system::{Kind, Message, Shared, Vortex};

/// Who takes packets: a connection, or a socket of UDP.
enum Receiver {
    Stream(Arc<Stream>),
    Endpoint(Arc<Endpoint>),
}

impl Receiver {
    fn payer(&self) -> ActivityId {
        match self {
            Self::Stream(stream) => stream.paid.activity(),
            Self::Endpoint(endpoint) => endpoint.paid.activity(),
        }
    }

    /// Whether there is room for a packet.
    fn admit(&self, packet: &Packet) -> bool {
        match self {
            Self::Stream(stream) => stream.admit(packet.length()),
            Self::Endpoint(endpoint) => endpoint.admit(packet),
        }
    }

    /// What is sent to whom, for packets to get to it.
    fn message(self, packets: Train) -> (ResourceId, NetMessage) {
        match self {
            Self::Stream(stream) => {
                let tcp = stream.paid.destination(Kind::Tcp);
                (tcp, NetMessage::Segments(stream, packets))
            }
            Self::Endpoint(endpoint) => {
                let udp = endpoint.paid.destination(Kind::Udp);
                (udp, NetMessage::Datagrams(endpoint, packets))
            }
        }
    }
}

/// A protocol, and the two ends of a packet: what is equal for packets of one receiver.
type Key = (IpProtocol, FourTuple);

/// Packets for one receiver, which go to it by one request.
struct Group {
    key: Key,
    receiver: Receiver,
    /// Those for which it has room.
    packets: Option<Train>,
}

impl Group {
    /// One more, if the receiver has room for it.
    fn push(&mut self, network: &Network, packet: Box<Packet>) {
        if !self.receiver.admit(&packet) {
            network.drop_for(Reason::ReceiverFull);
        } else if let Some(packets) = &mut self.packets {
            packets.push(packet);
        } else {
            self.packets = Some(Train::new(packet));
        }
    }

    fn into_parts(self) -> Option<(Receiver, Train)> {
        self.packets.map(|packets| (self.receiver, packets))
    }
}

/// Packets that have come one after another.
#[derive(Default)]
struct Batch {
    /// Those for whom the last one was.
    group: Option<Group>,
    /// The buffers of which nothing is needed any more.
    spent: Spent,
}

impl Batch {
    /// Adds a packet if it is for whom the last one was; otherwise it comes back.
    fn add(&mut self, network: &Network, key: &Key, packet: Box<Packet>) -> Option<Box<Packet>> {
        match &mut self.group {
            Some(group) if group.key == *key => {
                group.push(network, packet);
                None
            }
            _ => Some(packet),
        }
    }

    /// A packet is for this receiver, who pays for it: the first of a group.
    fn begin<M: Machine>(
        &mut self,
        shared: &Shared<M>,
        context: &mut Context<'_, Vortex<M>>,
        (key, receiver): (Key, Receiver),
        packet: Box<Packet>,
    ) {
        self.send(context);
        context.attribute(receiver.payer());
        let packets = None;
        let mut group = Group {
            key,
            receiver,
            packets,
        };
        group.push(&shared.network, packet);
        self.group = Some(group);
    }

    /// Sends what it has.
    fn send<M: Machine>(&mut self, context: &mut Context<'_, Vortex<M>>) {
        let group = self.group.take();
        if let Some((receiver, packets)) = group.and_then(Group::into_parts) {
            let (destination, message) = receiver.message(packets);
            pass_on(context, destination, message);
        }
    }
}

/// An interface has received packets, which are for one receiver.
pub(crate) fn received<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    id: InterfaceId,
    packets: impl Iterator<Item = interface::Packet>,
) -> Option<Instant> {
    let mut batch = Batch::default();
    let due = packets.filter_map(|packet| received_one(shared, context, id, packet, &mut batch));
    let due = due.min();
    batch.send(context);
    due
}

fn received_one<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    id: InterfaceId,
    packet: interface::Packet,
    batch: &mut Batch,
) -> Option<Instant> {
    let network = &shared.network;
    let mut head = [0; ETHERNET + MAX_HEADER];
    let length = packet.read(&shared.machine, 0, &mut head);
    let head = &head[..length];
    let properties = network.links.get(id)?.properties()?;
    let Some((to, kind)) = ethernet_of(head) else {
        network.drop_for(Reason::Malformed);
        return None;
    };
    if to != properties.mac && to.is_unicast() {
        network.drop_for(Reason::Elsewhere);
        return None;
    }
    match kind {
        arp::TYPE => {
            context.add_bytes(packet.length() as u64);
            match head[ETHERNET..].first_chunk() {
                Some(bytes) => {
                    let arp = shared.destination(Kind::Arp, ActivityId::INFRASTRUCTURE);
                    pass_on(context, arp, NetMessage::Arp(id, *bytes));
                }
                None => network.drop_for(Reason::Malformed),
            }
            None
        }
        IPV4 => match Headers::of(head, packet.length()) {
            Ok(headers) => received_ip(shared, context, id, (&headers, packet), batch),
            Err(reason) => {
                network.drop_for(reason);
                None
            }
        },
        _ => {
            network.drop_for(Reason::Protocol);
            None
        }
    }
}

/// A packet of IPv4 was received. What is for nobody is dropped before anything is kept of it.
fn received_ip<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    id: InterfaceId,
    (headers, packet): (&Headers<'_>, interface::Packet),
    batch: &mut Batch,
) -> Option<Instant> {
    let network = &shared.network;
    let reason = if headers.source().is_loopback() && !is_dhcp(headers) {
        Reason::Elsewhere
    } else if network.is_for_nobody(headers) {
        context.add_bytes(headers.length() as u64);
        Reason::NoSocket
    } else {
        let packet_of = Packet::received(network.environment, headers, packet, &mut batch.spent);
        if !is_dhcp(headers) {
            return pass_by_protocol(shared, context, packet_of, batch);
        }
        context.add_bytes(packet_of.length() as u64);
        let dhcp = shared.destination(Kind::Dhcp, ActivityId::INFRASTRUCTURE);
        pass_on(context, dhcp, NetMessage::Dhcp(id, packet_of));
        return None;
    };
    network.drop_for(reason);
    None
}

/// Whom an Ethernet frame is for, and the type of what is in it.
fn ethernet_of(head: &[u8]) -> Option<(Mac, u16)> {
    let header = head.first_chunk::<ETHERNET>()?;
    let [a, b, c, d, e, f, .., high, low] = *header;
    Some((Mac([a, b, c, d, e, f]), u16::from_be_bytes([high, low])))
}

/// Whether a packet is for the client of DHCP.
fn is_dhcp(headers: &Headers<'_>) -> bool {
    headers.protocol() == IpProtocol::Udp && headers.ports() == (dhcp::SERVER, dhcp::CLIENT)
}

/// A packet has arrived.
pub(crate) fn demultiplex<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    packet: Box<Packet>,
) -> Option<Instant> {
    let mut batch = Batch::default();
    let due = pass_by_protocol(shared, context, packet, &mut batch);
    batch.send(context);
    due
}

fn pass_by_protocol<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    mut packet: Box<Packet>,
    batch: &mut Batch,
) -> Option<Instant> {
    context.add_bytes(packet.length() as u64);
    // It has left its sender.
    packet.credit = None;
    let network = &shared.network;
    let reason = match packet.protocol() {
        IpProtocol::Udp if network.links.is_broadcast(packet.destination()) => {
            return to_udp(shared, context, packet, batch);
        }
        _ if !network.accepts(packet.destination()) => Reason::Elsewhere,
        IpProtocol::Tcp => return to_tcp(shared, context, packet, batch),
        IpProtocol::Udp => return to_udp(shared, context, packet, batch),
        IpProtocol::Icmp => {
            let icmp = shared.destination(Kind::Icmp, ActivityId::INFRASTRUCTURE);
            pass_on(context, icmp, NetMessage::Control(packet));
            return None;
        }
        _ => Reason::Protocol,
    };
    network.drop_for(reason);
    None
}

fn pass_on<M: Machine>(
    context: &mut Context<'_, Vortex<M>>,
    destination: ResourceId,
    message: NetMessage,
) {
    let request = context.request(destination, Message::Net(message));
    context.send(request);
}

fn to_tcp<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    packet: Box<Packet>,
    batch: &mut Batch,
) -> Option<Instant> {
    let network = &shared.network;
    let key = (IpProtocol::Tcp, tcp::work::tuple_of(&packet));
    let packet = batch.add(network, &key, packet)?;
    match network.tcp.find(&key.1) {
        Found::Stream(stream) => {
            batch.begin(shared, context, (key, Receiver::Stream(stream)), packet);
            None
        }
        Found::Listener(listener) => {
            context.attribute(listener.paid.activity());
            if !listener.admit() {
                network.drop_for(Reason::ReceiverFull);
                return None;
            }
            let tcp = listener.paid.destination(Kind::Tcp);
            pass_on(context, tcp, NetMessage::Handshake(listener, packet));
            None
        }
        // For who has gone, or never was: a reset, unless there were many.
        Found::Nobody => tcp::work::handshake(shared, context, packet),
    }
}

fn to_udp<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    packet: Box<Packet>,
    batch: &mut Batch,
) -> Option<Instant> {
    let network = &shared.network;
    let tuple = tcp::work::tuple_of(&packet);
    let key = (IpProtocol::Udp, tuple);
    let packet = batch.add(network, &key, packet)?;
    let Some(endpoint) = network.udp.find(tuple.local, tuple.remote) else {
        network.drop_for(Reason::NoSocket);
        if network.may_refuse(tuple.remote.0) {
            let icmp = shared.destination(Kind::Icmp, ActivityId::INFRASTRUCTURE);
            pass_on(context, icmp, NetMessage::Refused(packet));
        }
        return None;
    };
    batch.begin(shared, context, (key, Receiver::Endpoint(endpoint)), packet);
    None
}
