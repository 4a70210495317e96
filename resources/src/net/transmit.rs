//! The Network Device Write Resource: where a packet goes out (paper, section 4.4).

use alloc::boxed::Box;

use vortex_toolkit::Context;
use vortex_toolkit::Request;
use vortex_toolkit::ids::ActivityId;

use super::demultiplex::lane_of;
use super::message::NetMessage;
use super::packet::{Packet, Reason};
use crate::machine::Machine;
use crate::system::{Kind, Message, Shared, Vortex};

/// A packet is to be sent. What is for this machine arrives at once, on the account of the
/// infrastructure until it is known whose it is.
pub(crate) fn transmit<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    packet: Box<Packet>,
) {
    context.add_bytes(packet.length() as u64);
    let network = &shared.network;
    if !network.accepts(packet.destination()) {
        return network.drop_for(Reason::Unreachable);
    }
    let infrastructure = ActivityId::INFRASTRUCTURE;
    let find = || shared.destination(Kind::NetRead, infrastructure);
    let reader = *network.reader.call_once(find);
    let lane = lane_of(&packet);
    let message = Message::Net(NetMessage::Arrived(packet));
    context.send(lane.mark(Request::new(reader, infrastructure, message)));
}
