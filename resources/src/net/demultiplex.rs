//! The Network Device Read Resource: whom a packet is for (paper, section 4.4).
//!
//! Until that is known the infrastructure pays, and from then on the activity found, also for what
//! has been done so far (section 3.3.2). What is for nobody, and what its receiver has no room for,
//! is dropped here, as cheaply as can be: a flood costs the one that it is for.

use alloc::boxed::Box;

use smoltcp::wire::IpProtocol;
use vortex_tcp::Instant;
use vortex_toolkit::Context;
use vortex_toolkit::ids::ActivityId;

use super::label::Lane;
use super::message::NetMessage;
use super::packet::{Packet, Reason};
use super::tcp::{self, Found};
use crate::machine::Machine;
use crate::system::{Kind, Message, Shared, Vortex};

/// A packet has arrived.
pub(crate) fn demultiplex<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    mut packet: Box<Packet>,
) -> Option<Instant> {
    context.add_bytes(packet.length() as u64);
    // It has left its sender.
    packet.credit = None;
    let network = &shared.network;
    let reason = match packet.protocol() {
        _ if !network.accepts(packet.destination()) => Reason::Elsewhere,
        IpProtocol::Tcp => return to_tcp(shared, context, packet),
        IpProtocol::Udp => return to_udp(shared, context, packet),
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
    destination: vortex_toolkit::ids::ResourceId,
    message: NetMessage,
) {
    let request = context.request(destination, Message::Net(message));
    context.send(request);
}

fn to_tcp<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    packet: Box<Packet>,
) -> Option<Instant> {
    let network = &shared.network;
    let tuple = tcp::work::tuple_of(&packet);
    match network.tcp.find(&tuple) {
        Found::Stream(stream) => {
            context.attribute(stream.paid.activity());
            if !stream.admit(packet.length()) {
                network.drop_for(Reason::ReceiverFull);
                return None;
            }
            let tcp = stream.paid.destination(Kind::Tcp);
            pass_on(context, tcp, NetMessage::Segment(stream, packet));
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
        Found::Nobody => {
            tcp::work::handshake(shared, context, *packet)
        }
    }
}

fn to_udp<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    packet: Box<Packet>,
) -> Option<Instant> {
    let network = &shared.network;
    let (source, destination) = packet.ports();
    let (local, remote) = (
        (packet.destination(), destination),
        (packet.source(), source),
    );
    let Some(endpoint) = network.udp.find(local, remote) else {
        network.drop_for(Reason::NoSocket);
        if network.may_refuse() {
            let icmp = shared.destination(Kind::Icmp, ActivityId::INFRASTRUCTURE);
            pass_on(context, icmp, NetMessage::Refused(packet));
        }
        return None;
    };
    context.attribute(endpoint.paid.activity());
    if !endpoint.admit(&packet) {
        network.drop_for(Reason::ReceiverFull);
        return None;
    }
    let udp = endpoint.paid.destination(Kind::Udp);
    pass_on(context, udp, NetMessage::Datagram(endpoint, packet));
    None
}

/// A packet's flow, by which its requests are labelled.
pub(crate) fn lane_of(packet: &Packet) -> Lane {
    let (source, destination) = match packet.protocol() {
        IpProtocol::Tcp | IpProtocol::Udp => packet.ports(),
        _ => (0, 0),
    };
    Lane::of(
        (packet.source(), source),
        (packet.destination(), destination),
    )
}
