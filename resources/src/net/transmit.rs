//! The Network Device Write Resource: where a packet goes out, and its Ethernet header (paper,
//! section 4.4).

use alloc::boxed::Box;

use smoltcp::wire::IpProtocol;
use vortex_toolkit::Context;
use vortex_toolkit::Request;
use vortex_toolkit::ids::ActivityId;

use super::interface::{Mac, Offload, Outgoing, Part, Properties};
use super::link::Route;
use super::message::NetMessage;
use super::packet::{Packet, Reason};
use super::{InterfaceId, arp};
use crate::machine::Machine;
use crate::system::{Kind, Message, Shared, Vortex};

/// What Ethernet calls IPv4.
pub(crate) const IPV4: u16 = 0x0800;

/// A packet is to be sent.
pub(crate) fn transmit<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    packet: Box<Packet>,
) {
    context.add_bytes(packet.length() as u64);
    let network = &shared.network;
    if network.accepts(packet.destination()) {
        return come_back(shared, context, packet);
    }
    let Some(Route { id, source, next }) = network.links.route(packet.destination()) else {
        return network.drop_for(Reason::Unreachable);
    };
    let Some(link) = network.links.get(id) else {
        return network.drop_for(Reason::Unreachable);
    };
    let activity = context.head().activity;
    if network.links.is_broadcast(packet.destination()) {
        return put(shared, context, id, Mac::BROADCAST, packet, activity);
    }
    let now = network.environment.now();
    let way = link.neighbours.lock().send(next, (packet, activity), now);
    if way.dropped.is_some() {
        network.drop_for(Reason::Unreachable);
    }
    if way.asks {
        arp::ask(shared, context, id, (source, next));
    }
    if let Some((mac, (packet, activity))) = way.to {
        put(shared, context, id, mac, packet, activity);
    }
}

/// What is for this machine arrives at once, on the account of the infrastructure until it is known
/// whose it is.
fn come_back<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    packet: Box<Packet>,
) {
    let infrastructure = ActivityId::INFRASTRUCTURE;
    let reader = shared.reader();
    let lane = shared.network.lane_of(&packet);
    let message = Message::Net(NetMessage::Arrived(packet));
    context.send(lane.mark(Request::new(reader, infrastructure, message)));
}

/// Puts a packet into a frame, and has that inserted.
pub(crate) fn put<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    id: InterfaceId,
    to: Mac,
    packet: Box<Packet>,
    activity: ActivityId,
) {
    let Some(properties) = shared
        .network
        .links
        .get(id)
        .and_then(|link| link.properties())
    else {
        return shared.network.drop_for(Reason::Unreachable);
    };
    match frame(properties, to, packet) {
        Some(frame) => insert(shared, context, id, frame, Some(activity)),
        None => shared.network.drop_for(Reason::Unreachable),
    }
}

/// Has a frame inserted into an interface's ring, on the account of an activity, or of whoever this
/// request is of.
pub(crate) fn insert<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    id: InterfaceId,
    frame: Box<Outgoing>,
    activity: Option<ActivityId>,
) {
    let find = || shared.destination(Kind::NetWrite, ActivityId::INFRASTRUCTURE);
    let writer = *shared.network.writer.call_once(find);
    let message = Message::Net(NetMessage::Transmit(id, frame));
    let request = context.request(writer, message);
    let request = match activity {
        Some(activity) => request.paid_by(activity),
        None => request,
    };
    context.send(request);
}

/// Writes an Ethernet header.
pub(crate) fn ethernet(frame: &mut Outgoing, to: Mac, from: Mac, kind: u16) {
    frame.head.extend(to.0);
    frame.head.extend(from.0);
    frame.head.extend(kind.to_be_bytes());
}

/// A packet as a frame, which keeps it until the device is done; `None` if the interface cannot send
/// it.
fn frame(properties: &Properties, to: Mac, mut packet: Box<Packet>) -> Option<Box<Outgoing>> {
    let segments = packet.segment.is_some();
    packet.complete(properties.checksum || segments);
    let mut frame = Box::<Outgoing>::default();
    ethernet(&mut frame, to, properties.mac, IPV4);
    let start = (frame.head.len() + packet.header().len() - packet.transport().len()) as u16;
    frame.head.try_extend_from_slice(packet.header()).ok()?;
    let field = match packet.protocol() {
        IpProtocol::Tcp => Some(start + 16),
        IpProtocol::Udp => Some(start + 6),
        _ => None,
    };
    frame.offload = match (packet.segment, field) {
        (Some(mss), _) => Offload::Segmentation { start, mss },
        (None, Some(field)) if properties.checksum => Offload::Checksum { start, field },
        _ => Offload::Nothing,
    };
    for part in packet.payload.parts() {
        for (place, offset, length) in part.buffer.fragments(part.start, part.end) {
            let part = Part {
                frame: place,
                offset: offset as u32,
                length: length as u32,
            };
            if !frame.push(part) {
                return None;
            }
        }
    }
    frame.keep = Some(packet);
    frame.fits(properties).then_some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::data::Data;
    use core::net::Ipv4Addr;
    use vortex_tcp::checksum::Sum;

    fn properties(checksum: bool) -> Properties {
        Properties {
            mtu: 1500,
            checksum,
            ..Properties::NONE
        }
    }

    fn packet() -> Box<Packet> {
        let ends = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let header = [0, 53, 1, 0, 0, 8, 0, 0];
        Packet::new(ends, IpProtocol::Udp, &header, Data::default())
    }

    #[test]
    fn checksums_are_right_or_left_to_the_device() {
        let mac = Mac([2; 6]);
        let frame_by = |checksum| frame(&properties(checksum), mac, packet());
        let whole = frame_by(false).expect("it fits");
        assert_eq!(whole.head.len(), 14 + 20 + 8);
        assert_eq!(whole.offload, Offload::Nothing);
        let mut sum = Sum::default();
        sum.add(&whole.head[14..34]);
        assert_eq!(sum.folded(), 0xffff, "the header's");
        let (one, other) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let pseudo = || Sum::pseudo_header(17, one, other, 8);
        let mut sum = pseudo();
        sum.add(&whole.head[34..]);
        assert_eq!(sum.folded(), 0xffff, "the datagram's");
        let left = frame_by(true).expect("it fits");
        let expected = Offload::Checksum {
            start: 34,
            field: 40,
        };
        assert_eq!(left.offload, expected);
        assert_eq!(left.head[40..42], pseudo().folded().to_be_bytes());
    }
}
