//! The ICMP Resource (RFC 792): echo, and ports at which nobody is.
//!
//! Key functions: [`control`] (a message has arrived), [`refused`] (one is to be sent). The
//! infrastructure pays, so both are limited: by the demultiplexer, and by [`MAX_ECHO`].

use core::net::Ipv4Addr;

use smoltcp::wire::{IpProtocol, Ipv4Packet};
use vortex_tcp::{Buffer, Piece, Seq};
use vortex_toolkit::Context;

use super::chunk::Chunk;
use super::data::Data;
use super::message::NetMessage;
use super::packet::{IP_HEADER, MAX_HEADER, Packet, Reason, UDP_HEADER};
use super::tcp::Found;
use crate::errno::Errno;
use crate::machine::Machine;
use crate::system::{Kind, Message, Shared, Vortex};
use alloc::sync::Arc;

const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const ECHO: u8 = 8;

/// "Port unreachable".
const NO_PORT: u8 = 3;
/// "Fragmentation needed" (RFC 1191).
const TOO_BIG: u8 = 4;

/// Data of an echo that is answered, at most.
const MAX_ECHO: usize = 8 << 10;
/// What is quoted of a packet besides its IP header (RFC 792).
const QUOTED: usize = 8;

/// A message of ICMP has arrived.
pub(crate) fn control<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    packet: Packet,
) {
    context.add_bytes(packet.length() as u64);
    if !packet.is_intact() {
        return shared.network.drop_for(Reason::Checksum);
    }
    match *packet.transport() {
        [ECHO, 0, _, _, a, b, c, d] if packet.payload.length() <= MAX_ECHO => {
            let ends = (packet.destination(), packet.source());
            if shared.network.is_local(ends.0) && shared.network.may_echo() {
                let header = [ECHO_REPLY, 0, 0, 0, a, b, c, d];
                send(shared, context, ends, &header, packet.payload);
            }
        }
        [UNREACHABLE, code, _, _, _, _, high, low] => {
            let mtu = usize::from(u16::from_be_bytes([high, low]));
            unreachable(shared, code, mtu, &packet.payload);
        }
        _ => shared.network.drop_for(Reason::Meaningless),
    }
}

/// What was sent has not arrived: `quoted` says what it was.
fn unreachable<M: Machine>(shared: &Shared<M>, code: u8, mtu: usize, quoted: &Data) {
    let mut bytes = [0; MAX_HEADER];
    let length = quoted.copy_to(&mut bytes);
    let bytes = &bytes[..length];
    let Some((ip, rest)) = header_of(bytes) else {
        return shared.network.drop_for(Reason::Malformed);
    };
    let [a, b, c, d, e, f, g, h, ..] = *rest else {
        return shared.network.drop_for(Reason::Malformed);
    };
    let local = (ip.src_addr(), u16::from_be_bytes([a, b]));
    let remote = (ip.dst_addr(), u16::from_be_bytes([c, d]));
    match ip.next_header() {
        IpProtocol::Udp => {
            let error = match code {
                NO_PORT => Errno::ECONNREFUSED,
                TOO_BIG => Errno::EMSGSIZE,
                _ => Errno::EHOSTUNREACH,
            };
            if let Some(endpoint) = shared.network.udp.find(local, remote) {
                endpoint.refused(remote, error);
            }
        }
        IpProtocol::Tcp => {
            let tuple = vortex_tcp::FourTuple { local, remote };
            let seq = Seq(u32::from_be_bytes([e, f, g, h]));
            if let Found::Stream(stream) = shared.network.tcp.find(&tuple) {
                let too_big = (code == TOO_BIG).then_some(mtu);
                stream.unreachable(seq, too_big);
            }
        }
        _ => shared.network.drop_for(Reason::Meaningless),
    }
}

fn header_of(bytes: &[u8]) -> Option<(Ipv4Packet<&[u8]>, &[u8])> {
    let length = usize::from(bytes.first()? & 0xf) * 4;
    let (header, rest) = bytes.split_at_checked(length)?;
    (length >= IP_HEADER).then(|| (Ipv4Packet::new_unchecked(header), rest))
}

/// Nobody is at the port that a packet is for: its sender is told.
pub(crate) fn refused<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    packet: &Packet,
) {
    let network = &shared.network;
    let (source, destination) = (packet.source(), packet.destination());
    let is_one = |address: Ipv4Addr| !address.is_multicast() && !address.is_broadcast();
    if !network.is_local(destination) || !is_one(source) || source.is_unspecified() {
        return;
    }
    let ip_header = packet.header().len() - UDP_HEADER;
    let quoted = &packet.header()[..ip_header + QUOTED];
    let owner = shared.own_frames();
    let mut left = quoted;
    let filled = Chunk::filled(network.environment, owner, quoted.len(), |part| {
        let (now, later) = left.split_at(part.len());
        part.copy_from_slice(now);
        left = later;
        Ok::<(), core::convert::Infallible>(())
    });
    let Ok(Ok(chunk)) = filled else {
        return network.drop_for(Reason::NoMemory);
    };
    let mut payload = Data::default();
    payload.push(Piece::whole(Arc::new(chunk)));
    let header = [UNREACHABLE, NO_PORT, 0, 0, 0, 0, 0, 0];
    send(shared, context, (destination, source), &header, payload);
}

fn send<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    ends: (Ipv4Addr, Ipv4Addr),
    header: &[u8],
    payload: Data,
) {
    let packet = Packet::new(ends, IpProtocol::Icmp, header, payload);
    let write = shared.destination(Kind::NetSend, context.head().activity);
    let message = Message::Net(NetMessage::Send(packet));
    let request = context.request(write, message);
    context.send(request);
}
