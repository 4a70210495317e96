//! Each message of the network to its handler.

use alloc::sync::Arc;

use vortex_tcp::Instant;
use vortex_toolkit::ids::ActivityId;
use vortex_toolkit::{Context, Request};

use super::message::NetMessage;
use super::outbox::Post;
use super::{arp, demultiplex, icmp, leases, tcp, transmit, udp};
use crate::machine::Machine;
use crate::system::{Kind, Message, Shared, Vortex};

/// Handles a message. When this core is to look at timers again, if that may be earlier than it
/// knows.
pub(crate) fn handle<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    message: NetMessage,
) -> Option<Instant> {
    match message {
        NetMessage::Arrived(packet) => demultiplex::demultiplex(shared, context, packet),
        NetMessage::Segments(stream, packets) => {
            tcp::work::segments(shared, context, &stream, packets)
        }
        NetMessage::Handshake(listener, packet) => {
            listener.dealt_with();
            tcp::work::handshake(shared, context, packet)
        }
        NetMessage::Output(stream) => tcp::work::output(shared, context, &stream),
        NetMessage::Alarm(stream) => tcp::work::alarm(shared, context, &stream),
        NetMessage::Timers => {
            let connections = tcp::work::timers(shared, context);
            let leases = shared.network.leases_due();
            connections.into_iter().chain(leases).min()
        }
        NetMessage::Datagrams(endpoint, packets) => {
            udp::arrived(shared, context, &endpoint, packets);
            None
        }
        NetMessage::Depart(departing) => {
            udp::depart(shared, context, *departing);
            None
        }
        NetMessage::Control(packet) => {
            icmp::control(shared, context, *packet);
            None
        }
        NetMessage::Refused(packet) => {
            icmp::refused(shared, context, &packet);
            None
        }
        NetMessage::Send(packet) => {
            transmit::transmit(shared, context, packet);
            None
        }
        NetMessage::Received(id, first, more) => {
            let packets = core::iter::once(first).chain(more);
            demultiplex::received(shared, context, id, packets)
        }
        NetMessage::Arp(id, bytes) => {
            arp::arrived(shared, context, id, &bytes);
            None
        }
        NetMessage::Changed(id, notice) => leases::changed(shared, context, id, notice),
        NetMessage::Dhcp(id, packet) => leases::heard(shared, context, id, &packet),
        NetMessage::Leases => leases::due(shared, context),
        // Those are the rings'.
        NetMessage::Transmit(..) | NetMessage::Interrupt(_) | NetMessage::Service(_) => None,
    }
}

/// Timers have ended, or may have.
pub(crate) fn run_timers<M: Machine>(shared: &Shared<M>, context: &mut Context<'_, Vortex<M>>) {
    let infrastructure = ActivityId::INFRASTRUCTURE;
    for (kind, message) in [
        (Kind::TcpTimer, NetMessage::Timers),
        (Kind::Dhcp, NetMessage::Leases),
    ] {
        let now = shared.network.environment.now();
        let is_due = |due: Instant| due <= now;
        if kind == Kind::TcpTimer || shared.network.leases_due().is_some_and(is_due) {
            let destination = shared.destination(kind, infrastructure);
            let request = Request::new(destination, infrastructure, Message::Net(message));
            context.send(request);
        }
    }
}

impl<M: Machine> Shared<M> {
    /// Sends what has been noted down on this core.
    #[inline]
    pub(crate) fn send_posts(&self, context: &mut Context<'_, Vortex<M>>) {
        if self.network.has_posts(context.core()) {
            self.send_all_posts(context);
        }
    }

    #[cold]
    fn send_all_posts(&self, context: &mut Context<'_, Vortex<M>>) {
        for post in self.network.outbox.take(context.core()) {
            let Post {
                destination,
                payer,
                lane,
                message,
            } = post;
            let request = Request::new(destination, payer, Message::Net(message));
            context.send(lane.mark(request));
        }
    }
}
