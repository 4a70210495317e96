//! The Device Write Resource, which inserts frames into an interface's ring, and the Device Interrupt
//! Resource, which takes out what was received and what is sent (paper, section 4.4).
//!
//! Where the configuration gives the two no scheduler they get one of their own, charging by bytes,
//! on the first core, so that a link is shared by weight in any case.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use vortex_toolkit::ids::{ActivityId, ResourceId};
use vortex_toolkit::{Context, Outcome, Request};

use super::flow::{Flow, LOOK_AT};
use super::interface::{Notice, Outgoing, Packet, Refusal};
use super::nic::{Inserted, Nic};
use super::{InterfaceId, NetMessage};
use crate::machine::Machine;
use crate::system::{Kind, Message, Shared, Vortex};

/// Inserts a frame, whose bytes are recorded if the ring accepts it. One that cannot be sent is
/// dropped, and the interface counts it. Also when to look at the interface, in nanoseconds.
pub(crate) fn insert<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    id: InterfaceId,
    frame: Box<Outgoing>,
) -> (Outcome<Message<M>>, Option<u64>) {
    let Some(nic) = shared.nics.get(id) else {
        return (Outcome::Done, None);
    };
    let resource = context.head().destination;
    let bytes = frame.length() as u64;
    let now_ns = shared.clock.nanoseconds(context.now());
    let core = context.core().index();
    let Inserted { result, deadline } = nic.insert(frame, resource, core, now_ns);
    match result {
        Ok(()) => context.add_bytes(bytes),
        Err((frame, Refusal::Full)) => {
            let message = Message::Net(NetMessage::Transmit(id, frame));
            return (Outcome::Rejected(message), deadline);
        }
        Err((_, Refusal::Unfit | Refusal::NoLink | Refusal::Gone)) => {}
    }
    (Outcome::Done, deadline)
}

/// An interrupt.
pub(crate) fn interrupt<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    vector: u8,
) -> Option<u64> {
    shared.machine.interrupt_begins(vector);
    let nic = shared.nics.interrupting(vector)?;
    let due = service(shared, context, nic, 1);
    shared.machine.interrupt_seen_to(vector);
    due
}

/// Takes what an interface has to say. When to come again, in nanoseconds.
pub(crate) fn look<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    id: InterfaceId,
) -> Option<u64> {
    let nic = shared.nics.get(id)?;
    service(shared, context, nic, 0)
}

/// Has the interfaces looked at for which it is time. When it is for the next of the others, in
/// nanoseconds.
pub(crate) fn look_at_due<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
) -> Option<u64> {
    let now_ns = shared.clock.nanoseconds(context.now());
    let mut next = u64::MAX;
    for nic in shared.nics.all() {
        if nic.due_ns() > now_ns {
            next = next.min(nic.due_ns());
            continue;
        }
        if nic.is_to_be_sent_for() {
            let infrastructure = ActivityId::INFRASTRUCTURE;
            let destination = shared.destination(Kind::NetInterrupt, infrastructure);
            let message = Message::Net(NetMessage::Service(nic.id));
            context.send(Request::new(destination, infrastructure, message));
        }
    }
    (next != u64::MAX).then_some(next)
}

fn service<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    nic: &Nic,
    interrupts: u64,
) -> Option<u64> {
    let now_ns = shared.clock.nanoseconds(context.now());
    let serviced = nic.service(&shared.machine, shared.packets(), (now_ns, interrupts));
    let reader = shared.destination(Kind::NetRead, ActivityId::INFRASTRUCTURE);
    for notice in serviced.notices {
        tell(context, reader, nic, notice);
    }
    hand_on(shared, context, reader, nic.id, serviced.packets);
    for refused in serviced.resume {
        context.resume(refused);
    }
    if serviced.has_more && nic.is_to_be_sent_for() {
        let message = Message::Net(NetMessage::Service(nic.id));
        let again = context.head().destination;
        context.send(Request::new(again, ActivityId::INFRASTRUCTURE, message));
    }
    serviced.deadline
}

/// Packets that are handed on by one request, at most.
const TOGETHER: usize = 16;

/// Packets of one flow, which have come one after another.
struct Run {
    /// `None` for what belongs to nothing: then there is one packet.
    flow: Option<Flow>,
    first: Packet,
    more: Vec<Packet>,
}

impl Run {
    const fn of(flow: Option<Flow>, first: Packet) -> Self {
        let more = Vec::new();
        Self { flow, first, more }
    }

    fn takes(&self, flow: Option<Flow>) -> bool {
        flow.is_some() && self.flow == flow && self.more.len() + 1 < TOGETHER
    }
}

/// Hands packets to the network device read resource, each in order with those it belongs to. Those of
/// one flow that have come one after another are for the same receiver, and go together.
fn hand_on<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    reader: ResourceId,
    id: InterfaceId,
    packets: Vec<Packet>,
) {
    let send = |context: &mut Context<'_, Vortex<M>>, Run { flow, first, more }: Run| {
        let (dependency, affinity) = shared.labels().of(flow.as_ref());
        let message = Message::Net(NetMessage::Received(id, first, more));
        let request = Request::new(reader, ActivityId::INFRASTRUCTURE, message);
        context.send(request.ordered(dependency).near(affinity));
    };
    let mut run: Option<Run> = None;
    for packet in packets {
        if let Some(tap) = shared.nics.tap() {
            tap(id, &packet);
        }
        context.add_bytes(packet.length() as u64);
        let mut head = [0; LOOK_AT];
        let length = packet.read(&shared.machine, 0, &mut head);
        let flow = Flow::of(&head[..length]);
        match &mut run {
            Some(run) if run.takes(flow) => run.more.push(packet),
            _ => {
                if let Some(before) = run.replace(Run::of(flow, packet)) {
                    send(context, before);
                }
            }
        }
    }
    if let Some(last) = run {
        send(context, last);
    }
}

/// Hands a notice to it.
fn tell<M: Machine>(
    context: &mut Context<'_, Vortex<M>>,
    reader: ResourceId,
    nic: &Nic,
    notice: Notice,
) {
    match notice {
        Notice::Ready => {
            let properties = nic.properties();
            log::info!(
                "net: interface {} ({}): {}, MTU {}, {} pairs of rings{}{}",
                nic.id.0,
                nic.name,
                properties.mac,
                properties.mtu,
                properties.queues,
                if properties.checksum {
                    ", checksums"
                } else {
                    ""
                },
                if properties.segmentation > 0 {
                    ", segmentation"
                } else {
                    ""
                },
            );
        }
        Notice::Link(true) => log::info!("net: interface {} has a link", nic.id.0),
        Notice::Link(false) => log::info!("net: interface {} has no link", nic.id.0),
        Notice::Gone => log::error!("net: interface {} is gone", nic.id.0),
    }
    let message = Message::Net(NetMessage::Changed(nic.id, notice));
    context.send(Request::new(reader, ActivityId::INFRASTRUCTURE, message));
}
