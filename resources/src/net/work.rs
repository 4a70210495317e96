//! Each message of the network to its handler.

use alloc::sync::Arc;

use vortex_tcp::Instant;
use vortex_toolkit::ids::ActivityId;
use vortex_toolkit::{Context, Request};

use super::message::NetMessage;
use super::outbox::Post;
use super::{demultiplex, icmp, tcp, transmit, udp};
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
        NetMessage::Segment(stream, packet) => {
            tcp::work::segment(shared, context, &stream, *packet)
        }
        NetMessage::Handshake(listener, packet) => {
            listener.dealt_with();
            tcp::work::handshake(shared, context, *packet)
        }
        NetMessage::Output(stream) => tcp::work::output(shared, context, &stream),
        NetMessage::Alarm(stream) => tcp::work::alarm(shared, context, &stream),
        NetMessage::Timers => tcp::work::timers(shared, context),
        NetMessage::Datagram(endpoint, packet) => {
            udp::arrived(shared, context, &endpoint, *packet);
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
    }
}

/// Timers have ended, or may have.
pub(crate) fn run_timers<M: Machine>(shared: &Shared<M>, context: &mut Context<'_, Vortex<M>>) {
    let infrastructure = ActivityId::INFRASTRUCTURE;
    let destination = shared.destination(Kind::TcpTimer, infrastructure);
    let message = Message::Net(NetMessage::Timers);
    context.send(Request::new(destination, infrastructure, message));
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
                kind,
                payer,
                lane,
                message,
            } = post;
            let destination = self.destination(kind, payer);
            let request = Request::new(destination, payer, Message::Net(message));
            context.send(lane.mark(request));
        }
    }
}
