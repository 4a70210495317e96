//! The UDP Resource, and the sockets that it works for (RFC 768).
//!
//! Key types: [`Endpoint`] (a socket's end), [`Endpoints`] (all of them, by port), [`Datagram`] (one
//! that has arrived), [`Departing`] (one that is to be sent).
//!
//! A receiver has room for so many bytes, from the demultiplexer on: what comes beyond that is
//! dropped there, as cheaply as can be.

mod endpoints;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicUsize, Ordering};

use smoltcp::wire::IpProtocol;
use vortex_tcp::Buffer;
use vortex_toolkit::Context;

use super::Network;
use super::credit::{Credit, Sending};
use super::data::{Data, Paid};
use super::message::NetMessage;
use super::outbox::Post;
use super::packet::{IP_HEADER, MAX_PACKET, Packet, Reason, Train, UDP_HEADER};
use super::ports::{Bound, Sharing};
use crate::errno::Errno;
use crate::files::{Events, WaitQueue};
use crate::lock::Lock;
use crate::machine::Machine;
use crate::system::{Kind, Message, Shared, Vortex};

pub(crate) use endpoints::Endpoints;

/// The most data in a datagram.
pub(crate) const MAX_DATA: usize = MAX_PACKET - IP_HEADER - UDP_HEADER;
/// Bytes of a receiver and of a sender, unless its options say otherwise: as on Linux.
pub(crate) const BUFFER: usize = 212_992;
/// What a datagram counts for besides its data: about as much as on Linux, so that as many small ones
/// fit as programs expect there. Each has a frame at least, so that a receiver may hold five times its
/// room in memory.
const OVERHEAD: usize = 768;

/// An address and a port.
pub(crate) type End = (Ipv4Addr, u16);

/// A datagram that has arrived.
#[derive(Debug)]
pub(crate) struct Datagram {
    pub(crate) from: End,
    pub(crate) data: Data,
    /// What it counts for.
    cost: usize,
}

/// A datagram that is to be sent.
#[derive(Debug)]
pub struct Departing {
    from: End,
    to: End,
    data: Data,
    credit: Credit,
}

#[derive(Debug, Default)]
struct State {
    bound: Option<Bound>,
    /// Where it is, once it is anywhere.
    local: Option<End>,
    remote: Option<End>,
    arrived: VecDeque<Datagram>,
    error: Option<Errno>,
    /// The program wants to read no more, or to write.
    is_deaf: bool,
    is_mute: bool,
}

/// A socket's end.
#[derive(Debug)]
pub struct Endpoint {
    network: Arc<Network>,
    pub(crate) paid: Paid,
    queue: Arc<WaitQueue>,
    state: Lock<State>,
    /// What has arrived counts for so much, from the demultiplexer on.
    arriving: AtomicUsize,
    room: AtomicUsize,
    pub(crate) sending: Arc<Sending>,
}

impl Endpoint {
    pub(crate) fn new(network: Arc<Network>, paid: Paid) -> Arc<Self> {
        let queue = WaitQueue::new();
        Arc::new(Self {
            network,
            paid,
            sending: Sending::new(BUFFER, queue.clone()),
            queue,
            state: Lock::default(),
            arriving: AtomicUsize::new(0),
            room: AtomicUsize::new(BUFFER),
        })
    }

    pub(crate) const fn queue(&self) -> &Arc<WaitQueue> {
        &self.queue
    }

    /// How well it is the one for such a datagram; 0 if not at all.
    fn fits(&self, local: End, remote: End) -> u8 {
        let state = self.state.lock();
        let Some((address, _)) = state.local else {
            return 0;
        };
        let at_address = match address {
            address if address == local.0 => 2,
            address if address.is_unspecified() => 1,
            _ => return 0,
        };
        match state.remote {
            None => at_address,
            Some(peer) if peer == remote => at_address + 2,
            Some(_) => 0,
        }
    }

    /// Takes a port at an address.
    ///
    /// # Errors
    /// EINVAL if it has one, EADDRINUSE, EADDRNOTAVAIL.
    pub(crate) fn bind(self: &Arc<Self>, local: End, sharing: Sharing) -> Result<(), Errno> {
        if !self.network.is_local(local.0) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let mut state = self.state.lock();
        if state.bound.is_some() {
            return Err(Errno::EINVAL);
        }
        let bound = self.network.udp.ports.bind(local.0, local.1, sharing)?;
        let local = bound.local();
        state.local = Some(local);
        state.bound = Some(bound);
        drop(state);
        self.network.udp.enter(local.1, self);
        Ok(())
    }

    fn bind_any(self: &Arc<Self>) -> Result<(), Errno> {
        let is_bound = self.state.lock().bound.is_some();
        match is_bound {
            true => Ok(()),
            false => self.bind((Ipv4Addr::UNSPECIFIED, 0), Sharing::default()),
        }
    }

    /// From now on it talks to this one only; to everybody for `None`.
    ///
    /// # Errors
    /// ENETUNREACH, EADDRINUSE.
    pub(crate) fn connect(self: &Arc<Self>, remote: Option<End>) -> Result<(), Errno> {
        self.bind_any()?;
        let source = match remote {
            Some((address, _)) => {
                let source = self.network.source_for(address);
                Some(source.ok_or(Errno::ENETUNREACH)?)
            }
            None => None,
        };
        let mut state = self.state.lock();
        let bound = state.bound.as_ref().map(Bound::local);
        state.local = bound.map(|(address, port)| match source {
            Some(source) if address.is_unspecified() => (source, port),
            _ => (address, port),
        });
        state.remote = remote;
        Ok(())
    }

    /// Where it is, and whom it talks to.
    pub(crate) fn ends(&self) -> (Option<End>, Option<End>) {
        let state = self.state.lock();
        (state.local, state.remote)
    }

    /// What it is ready for.
    pub(crate) fn readiness(&self) -> Events {
        let state = self.state.lock();
        let mut ready = Events::empty();
        ready.set(Events::READABLE, !state.arrived.is_empty() || state.is_deaf);
        ready.set(Events::WRITABLE, self.sending.has_room());
        ready.set(Events::ERR, state.error.is_some());
        ready.set(Events::RDHUP, state.is_deaf);
        ready.set(Events::HUP, state.is_deaf && state.is_mute);
        ready
    }

    /// Sets how much may wait to be read.
    pub(crate) fn set_room(&self, bytes: usize) {
        self.room.store(bytes, Ordering::Relaxed);
    }

    /// How much may wait to be read.
    pub(crate) fn room(&self) -> usize {
        self.room.load(Ordering::Relaxed)
    }

    /// Whether there is room for a packet that has arrived.
    pub(crate) fn admit(&self, packet: &Packet) -> bool {
        let cost = cost(&packet.payload);
        let before = self.arriving.fetch_add(cost, Ordering::Relaxed);
        // As on Linux, one always fits.
        let admitted = before == 0 || before + cost <= self.room();
        if !admitted {
            self.arriving.fetch_sub(cost, Ordering::Relaxed);
        }
        admitted
    }

    /// A datagram has arrived.
    ///
    /// # Errors
    /// The socket has been closed meanwhile.
    fn take_in(&self, datagram: Datagram) -> Result<(), Reason> {
        let mut state = self.state.lock();
        if state.local.is_none() {
            return Err(Reason::NoSocket);
        }
        state.arrived.push_back(datagram);
        Ok(())
    }

    fn let_go(&self, cost: usize) {
        self.arriving.fetch_sub(cost, Ordering::Relaxed);
    }

    /// What nobody has been told of yet.
    pub(crate) fn take_error(&self) -> Option<Errno> {
        self.state.lock().error.take()
    }

    /// The datagram that has waited longest; `None` if it has to be waited for, or if nothing comes
    /// any more (true).
    ///
    /// # Errors
    /// What has happened to one that was sent.
    pub(crate) fn receive(&self) -> Result<Result<Datagram, bool>, Errno> {
        let mut state = self.state.lock();
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        let is_deaf = state.is_deaf;
        let Some(datagram) = state.arrived.pop_front() else {
            return Ok(Err(is_deaf));
        };
        drop(state);
        self.let_go(datagram.cost);
        Ok(Ok(datagram))
    }

    /// Puts one back that could not be read, or was only looked at.
    pub(crate) fn put_back(&self, datagram: Datagram) {
        self.arriving.fetch_add(datagram.cost, Ordering::Relaxed);
        self.state.lock().arrived.push_front(datagram);
    }

    /// Bytes of the next one (`FIONREAD`).
    pub(crate) fn next_length(&self) -> usize {
        let state = self.state.lock();
        let next = state.arrived.front();
        next.map_or(0, |datagram| datagram.data.length())
    }

    /// Whom a datagram goes to, and from where; binds the socket if it is nowhere.
    ///
    /// # Errors
    /// EDESTADDRREQ, EPIPE, ENETUNREACH, or what has happened to one before.
    pub(crate) fn address(self: &Arc<Self>, to: Option<End>) -> Result<(End, End), Errno> {
        if let Some(error) = self.take_error() {
            return Err(error);
        }
        self.bind_any()?;
        let state = self.state.lock();
        if state.is_mute {
            return Err(Errno::EPIPE);
        }
        let to = to.or(state.remote).ok_or(Errno::EDESTADDRREQ)?;
        let (address, port) = state.local.ok_or(Errno::EINVAL)?;
        drop(state);
        let to = match to.0.is_unspecified() {
            true => (Ipv4Addr::LOCALHOST, to.1),
            false => to,
        };
        let source = self.network.source_for(to.0).ok_or(Errno::ENETUNREACH)?;
        let from = match address.is_unspecified() {
            true => (source, port),
            false => (address, port),
        };
        Ok((from, to))
    }

    /// Sends a datagram; false if it has to wait for room.
    pub(crate) fn send(self: &Arc<Self>, (from, to): (End, End), data: Data) -> bool {
        let Some(credit) = self.sending.take(cost(&data)) else {
            return false;
        };
        let message = NetMessage::Depart(Box::new(Departing {
            from,
            to,
            data,
            credit,
        }));
        self.network.post(Post {
            destination: self.paid.destination(Kind::Udp),
            payer: self.paid.activity(),
            lane: self.network.lane(IpProtocol::Udp, from, to),
            message,
        });
        true
    }

    /// One that was sent to this one has come to nobody; told to who talks to it only.
    pub(crate) fn refused(&self, to: End, error: Errno) {
        let mut state = self.state.lock();
        if state.remote == Some(to) {
            state.error = Some(error);
            drop(state);
            let told = Events::READABLE | Events::WRITABLE | Events::ERR;
            self.queue.notify(told);
        }
    }

    /// No more is read, or written.
    ///
    /// # Errors
    /// ENOTCONN, as on Linux, if it talks to nobody; it has an effect all the same.
    pub(crate) fn shut_down(&self, reads: bool, writes: bool) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let is_connected = state.remote.is_some();
        if is_connected {
            state.is_deaf |= reads;
            state.is_mute |= writes;
        }
        drop(state);
        if !is_connected {
            return Err(Errno::ENOTCONN);
        }
        let told = Events::READABLE | Events::WRITABLE | Events::RDHUP | Events::ALWAYS;
        self.queue.notify(told);
        Ok(())
    }

    /// The socket is gone.
    pub(crate) fn close(self: &Arc<Self>) {
        let bound = self.state.lock().bound.take();
        if let Some(bound) = bound {
            self.network.udp.remove(bound.local().1, self);
        }
        let mut state = self.state.lock();
        state.local = None;
        let gone = core::mem::take(&mut state.arrived);
        drop(state);
        for datagram in &gone {
            self.let_go(datagram.cost);
        }
    }
}

/// What data counts for.
fn cost(data: &Data) -> usize {
    data.total() + OVERHEAD
}

/// The UDP Resource: datagrams have arrived, of which the socket's readers are told once.
pub(crate) fn arrived<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    endpoint: &Endpoint,
    packets: Train,
) {
    let mut is_readable = false;
    for mut packet in packets.into_packets() {
        context.add_bytes(packet.length() as u64);
        let cost = cost(&packet.payload);
        match datagram_of(&mut packet, cost).and_then(|datagram| endpoint.take_in(datagram)) {
            Ok(()) => is_readable = true,
            Err(reason) => {
                endpoint.let_go(cost);
                shared.network.drop_for(reason);
            }
        }
    }
    if is_readable {
        endpoint.queue.notify(Events::READABLE);
    }
}

/// Takes the datagram out of a packet.
///
/// # Errors
/// Why it is dropped.
fn datagram_of(packet: &mut Packet, cost: usize) -> Result<Datagram, Reason> {
    let length = match *packet.transport() {
        [_, _, _, _, high, low, ..] => usize::from(u16::from_be_bytes([high, low])),
        _ => 0,
    };
    let there = UDP_HEADER + packet.payload.length();
    if length < UDP_HEADER || length > there {
        return Err(Reason::Malformed);
    }
    packet.payload.truncate(length - UDP_HEADER);
    if !packet.is_intact() {
        return Err(Reason::Checksum);
    }
    Ok(Datagram {
        from: (packet.source(), packet.ports().0),
        data: core::mem::take(&mut packet.payload),
        cost,
    })
}

/// The UDP Resource: a datagram is to be sent.
pub(crate) fn depart<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    departing: Departing,
) {
    let Departing {
        from,
        to,
        data,
        credit,
    } = departing;
    let mut header = [0; UDP_HEADER];
    let length = u16::try_from(UDP_HEADER + data.length()).unwrap_or(0);
    header[..2].copy_from_slice(&from.1.to_be_bytes());
    header[2..4].copy_from_slice(&to.1.to_be_bytes());
    header[4..6].copy_from_slice(&length.to_be_bytes());
    context.add_bytes(data.length() as u64);
    let mut packet = Packet::new((from.0, to.0), IpProtocol::Udp, &header, data);
    packet.credit = Some(credit);
    let activity = context.head().activity;
    let write = shared.destination(Kind::NetSend, activity);
    let message = Message::Net(NetMessage::Send(packet));
    let request = context.request(write, message);
    context.send(request);
}
