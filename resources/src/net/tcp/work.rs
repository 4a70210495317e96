//! The TCP Resource and the TCP Timer Resource: what they do with a request.
//!
//! Whatever happens to a connection, the same follows ([`follow`]): segments are sent, its timer is
//! set, and those who wait are told.

use alloc::boxed::Box;
use alloc::sync::Arc;

use arrayvec::ArrayVec;
use smoltcp::wire::IpProtocol;
use vortex_tcp::{
    Action, Buffer, Connection, Events as Happened, Expired, FourTuple, Instant,
    MAX_HEADER as MAX_TCP_HEADER, Segment, State, TimeWait, Verify,
};
use vortex_toolkit::Context;
use vortex_toolkit::ids::{ActivityId, ResourceId};

use super::stream::{Inner, error_of};
use super::{Listener, Stream};
use crate::files::Events;
use crate::machine::Machine;
use crate::net::data::{Data, Types};
use crate::net::message::NetMessage;
use crate::net::packet::{Packet, Reason, Train};
use crate::system::{Kind, Message, Shared, Vortex};

/// Segments that are sent by one request; others by the next.
const BATCH: usize = 8;
/// Timers that are dealt with by one request.
const TIMERS: usize = 32;

/// The two ends of a packet that has arrived.
pub(crate) fn tuple_of(packet: &Packet) -> FourTuple {
    let (source, destination) = packet.ports();
    FourTuple {
        local: (packet.destination(), destination),
        remote: (packet.source(), source),
    }
}

/// The header of a packet that has arrived.
fn parse(packet: &Packet) -> Result<Segment, Reason> {
    if !packet.is_intact() {
        return Err(Reason::Checksum);
    }
    let (source, destination) = (packet.source(), packet.destination());
    let parsed = Segment::parse(packet.transport(), source, destination, Verify::Nothing);
    parsed
        .map(|(segment, _)| segment)
        .map_err(|_| Reason::Malformed)
}

/// A packet with a segment.
fn packet_of(tuple: &FourTuple, segment: &Segment, payload: Data) -> Box<Packet> {
    let mut header = [0; MAX_TCP_HEADER];
    let length = segment.emit(&mut header);
    let ends = (tuple.local.0, tuple.remote.0);
    Packet::new(ends, IpProtocol::Tcp, &header[..length], payload)
}

/// Packets of a connection. What is to be sent because of them is sent when all have been looked at, but for
/// acknowledgments: the peer counts on the number of those.
pub(crate) fn segments<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    stream: &Arc<Stream>,
    packets: Train,
) -> Option<Instant> {
    for packet in packets.iter() {
        stream.dealt_with(packet.length());
        context.add_bytes(packet.length() as u64);
    }
    let mut packets = packets.into_packets().peekable();
    follow(shared, context, stream, |connection, now| {
        for packet in packets.by_ref() {
            match parse(&packet) {
                Ok(segment) => {
                    let piece = vortex_tcp::Piece::whole(packet.payload);
                    connection.segment(&segment, piece, now);
                }
                Err(reason) => shared.network.drop_for(reason),
            }
            if connection.owes_acknowledgment(now) {
                break;
            }
        }
        packets.peek().is_some()
    })
}

fn deliver<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    stream: &Arc<Stream>,
    segment: &Segment,
    payload: Data,
) -> Option<Instant> {
    let mut piece = Some(vortex_tcp::Piece::whole(payload));
    follow(shared, context, stream, |connection, now| {
        if let Some(piece) = piece.take() {
            connection.segment(segment, piece, now);
        }
        false
    })
}

/// Something of a connection may have to be sent.
pub(crate) fn output<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    stream: &Arc<Stream>,
) -> Option<Instant> {
    stream.output_begins();
    follow(shared, context, stream, |_, _| false)
}

/// A connection's timer has ended.
pub(crate) fn alarm<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    stream: &Arc<Stream>,
) -> Option<Instant> {
    stream.inner.lock().armed = None;
    follow(shared, context, stream, |connection, now| {
        connection.expired(now);
        false
    })
}

/// The time of a request, as the engine has it.
fn now<M: Machine>(shared: &Shared<M>, context: &Context<'_, Vortex<M>>) -> Instant {
    Instant(shared.clock.nanoseconds(context.now()) / 1_000)
}

/// Does something to a connection, again as long as there is more, and what follows from it. When this core
/// is to look at timers again, if that is to be earlier than before.
fn follow<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    stream: &Arc<Stream>,
    mut act: impl FnMut(&mut Connection<Types>, Instant) -> bool,
) -> Option<Instant> {
    let now = now(shared, context);
    let limits = shared.network.limits(stream.tuple().remote.0);
    let mut packets = ArrayVec::<_, BATCH>::new();
    let mut inner = stream.inner.lock();
    let mut has_more = true;
    let mut is_over = false;
    while has_more {
        has_more = act(&mut inner.connection, now);
        is_over = false;
        while packets.len() < BATCH {
            let Some(outgoing) = inner.connection.transmit(&limits, now) else {
                is_over = true;
                break;
            };
            packets.push(outgoing_packet(stream.tuple(), outgoing));
        }
    }
    let happened = inner.connection.take_events();
    note_failure(&mut inner, happened);
    note_losses(shared, &mut inner);
    let (deadline, leaves) = inner.what_next(now, is_over);
    drop(inner);
    let write = stream.paid.destination(Kind::NetSend);
    for packet in packets {
        transmit(context, write, packet);
    }
    if !is_over {
        stream.expect_output();
    }
    tell(stream, happened);
    match leaves {
        Some(record) => {
            leave(shared, stream, record);
            shared.network.tcp.next_due()
        }
        None => {
            let deadline = deadline?;
            let mut locked = shared.network.tcp.lock(stream.tuple());
            locked.table.set_deadline(stream.tuple(), Some(deadline));
            Some(deadline)
        }
    }
}

/// How a connection leaves the table.
enum Leaving {
    /// For this.
    TimeWait(Box<TimeWait>),
    /// For ever.
    Gone,
}

impl Inner {
    /// The deadline that is to be set, and whether the connection leaves the table.
    fn what_next(&mut self, now: Instant, is_over: bool) -> (Option<Instant>, Option<Leaving>) {
        let state = self.connection.state();
        let leaves = match state {
            _ if self.has_left || !is_over => None,
            State::TimeWait => TimeWait::of(&self.connection, now)
                .map(|record| Leaving::TimeWait(Box::new(record))),
            State::Closed => Some(Leaving::Gone),
            _ => None,
        };
        self.has_left |= leaves.is_some();
        let deadline = self.connection.deadline();
        let is_earlier = deadline.is_some_and(|at| self.armed.is_none_or(|armed| at < armed));
        if self.has_left || !is_earlier {
            return (None, leaves);
        }
        self.armed = deadline;
        (deadline, leaves)
    }
}

fn leave<M: Machine>(shared: &Shared<M>, stream: &Stream, leaving: Leaving) {
    let mut locked = shared.network.tcp.lock(stream.tuple());
    let gone = match leaving {
        Leaving::TimeWait(record) => locked.table.retire(stream.tuple(), *record),
        Leaving::Gone => locked.table.remove(stream.tuple()),
    };
    drop(locked);
    drop(gone);
}

fn note_failure(inner: &mut Inner, happened: Happened) {
    if happened.contains(Happened::CLOSED) && inner.error.is_none() {
        inner.error = inner.connection.failure().map(error_of);
    }
}

/// Counts what the connection has lost since it was looked at last.
fn note_losses<M: Machine>(shared: &Shared<M>, inner: &mut Inner) {
    let losses = inner.connection.losses();
    if losses != inner.losses {
        shared.network.note_losses(inner.losses, losses);
        inner.losses = losses;
    }
}

/// Tells those who wait.
fn tell(stream: &Stream, happened: Happened) {
    let mut events = Events::empty();
    for (event, told) in [
        (Happened::CONNECTED, Events::WRITABLE),
        (Happened::READABLE, Events::READABLE),
        (Happened::WRITABLE, Events::WRITABLE),
        (Happened::PEER_CLOSED, Events::READABLE | Events::RDHUP),
        (
            Happened::CLOSED,
            Events::READABLE | Events::WRITABLE | Events::RDHUP | Events::ALWAYS,
        ),
    ] {
        if happened.contains(event) {
            events |= told;
        }
    }
    if !events.is_empty() {
        stream.queue.notify(events);
    }
}

fn outgoing_packet(
    tuple: &FourTuple,
    outgoing: vortex_tcp::Outgoing<'_, Arc<crate::net::chunk::Chunk>>,
) -> Box<Packet> {
    let mut payload = Data::default();
    for (buffer, start, end) in outgoing.payload {
        payload.push(vortex_tcp::Piece::part(buffer.clone(), start, end));
    }
    let length = payload.length();
    let mut packet = packet_of(tuple, &outgoing.segment, payload);
    if length > outgoing.mss {
        packet.segment = u16::try_from(outgoing.mss).ok();
    }
    packet
}

fn transmit<M: Machine>(
    context: &mut Context<'_, Vortex<M>>,
    write: ResourceId,
    packet: Box<Packet>,
) {
    let message = Message::Net(NetMessage::Send(packet));
    let request = context.request(write, message);
    context.send(request);
}

/// A packet of no connection: for somebody who listens, or for nobody.
pub(crate) fn handshake<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    packet: Box<Packet>,
) -> Option<Instant> {
    context.add_bytes(packet.length() as u64);
    let segment = match parse(&packet) {
        Ok(segment) => segment,
        Err(reason) => {
            shared.network.drop_for(reason);
            return None;
        }
    };
    let (tuple, now) = (tuple_of(&packet), now(shared, context));
    let mut locked = shared.network.tcp.lock(&tuple);
    if segment.flags.syn
        && let Some(listener) = locked.table.listener(tuple.local)
        && !listener.owner.has_room()
    {
        // As with a backlog that is full: the peer tries again.
        drop(locked);
        shared.network.drop_for(Reason::ReceiverFull);
        return None;
    }
    let length = packet.payload.length();
    let accepted = match locked.table.segment(&tuple, &segment, length, now) {
        Action::Deliver(stream) => {
            let stream = stream.clone();
            drop(locked);
            return deliver(shared, context, &stream, &segment, packet.payload);
        }
        Action::Reply(reply) => {
            drop(locked);
            reply_with(shared, context, &tuple, &reply);
            return shared.network.tcp.next_due();
        }
        Action::Drop(_) => {
            drop(locked);
            shared.network.drop_for(Reason::Meaningless);
            return None;
        }
        Action::Accept(half, listener) => {
            let owner = listener.owner.clone();
            // A listener everywhere does not know the interface.
            let config = shared.network.fit(listener.config, tuple.remote.0);
            let made = owner.make(tuple, |account| {
                Connection::accept(config, &half, account, now)
            });
            let entered = made.filter(|made| locked.table.insert(tuple, made.clone()).is_ok());
            if entered.is_none() {
                locked.table.accepted(owner.local());
            }
            entered.map(|stream| (stream, owner))
        }
    };
    drop(locked);
    let Some((stream, listener)) = accepted else {
        shared.network.drop_for(Reason::ReceiverFull);
        return None;
    };
    let due = deliver(shared, context, &stream, &segment, packet.payload);
    enter(shared, &stream, &listener);
    due
}

/// A new connection waits to be accepted, unless it has ended already.
fn enter<M: Machine>(shared: &Shared<M>, stream: &Arc<Stream>, listener: &Listener) {
    match stream.state() {
        State::Closed | State::SynReceived => {
            let mut locked = shared.network.tcp.lock(stream.tuple());
            locked.table.accepted(listener.local());
            drop(locked);
            stream.abort();
        }
        _ => listener.arrived(stream.clone()),
    }
}

/// Sends a segment of no connection, on the account of whoever this request is of.
fn reply_with<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    tuple: &FourTuple,
    segment: &Segment,
) {
    let activity = context.head().activity;
    let write = shared.destination(Kind::NetSend, activity);
    transmit(context, write, packet_of(tuple, segment, Data::default()));
}

/// Some timers have ended: each connection's is dealt with on its own account.
pub(crate) fn timers<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
) -> Option<Instant> {
    let tcp = &shared.network.tcp;
    let now = now(shared, context);
    let mut left = TIMERS;
    for shard in &tcp.shards {
        while left > 0 && shard.due.load(core::sync::atomic::Ordering::Relaxed) <= now.0 {
            left -= 1;
            let mut locked = shard.lock();
            match locked.table.expired(now) {
                None => {}
                Some(Expired::Connection(tuple)) => {
                    let stream = locked.table.get(&tuple).cloned();
                    drop(locked);
                    if let Some(stream) = stream {
                        ring(context, &stream);
                    }
                }
                Some(Expired::Send(tuple, segment)) => {
                    let listener = locked.table.listener(tuple.local);
                    let paid = listener.map(|listener| listener.owner.paid.clone());
                    drop(locked);
                    let packet = packet_of(&tuple, &segment, Data::default());
                    let (activity, write) = match paid {
                        Some(paid) => (paid.activity(), paid.destination(Kind::NetSend)),
                        None => {
                            let infrastructure = ActivityId::INFRASTRUCTURE;
                            let write = shared.destination(Kind::NetSend, infrastructure);
                            (infrastructure, write)
                        }
                    };
                    let message = Message::Net(NetMessage::Send(packet));
                    let request = context.request(write, message).paid_by(activity);
                    context.send(shared.network.lane_of_tuple(&tuple).mark(request));
                }
            }
        }
    }
    tcp.next_due()
}

fn ring<M: Machine>(context: &mut Context<'_, Vortex<M>>, stream: &Arc<Stream>) {
    let message = Message::Net(NetMessage::Alarm(stream.clone()));
    let destination = stream.paid.destination(Kind::TcpTimer);
    let request = context.request(destination, message);
    let request = request.paid_by(stream.paid.activity());
    context.send(stream.lane().mark(request));
}
