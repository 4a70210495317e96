//! What the resources of the network say to each other.
//!
//! Key types: [`NetMessage`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::interface::{self, Notice, Outgoing};
use super::packet::{Packet, Train};
use super::tcp::{Listener, Stream};
use super::udp::{Departing, Endpoint};
use super::{InterfaceId, arp};
use crate::system::Kind;

/// What the resources of the network say to each other.
#[derive(Debug)]
pub enum NetMessage {
    /// To the network device read resource: a packet has arrived by the loop-back interface.
    Arrived(Box<Packet>),
    /// To the TCP Resource: packets of this connection.
    Segments(Arc<Stream>, Train),
    /// To the TCP Resource: a packet for somebody who listens.
    Handshake(Arc<Listener>, Box<Packet>),
    /// To the TCP Resource: something of this connection may have to be sent.
    Output(Arc<Stream>),
    /// To the TCP Timer Resource: a connection's timer has ended.
    Alarm(Arc<Stream>),
    /// To the TCP Timer Resource: some timers have ended.
    Timers,
    /// To the UDP Resource: datagrams for this socket have arrived.
    Datagrams(Arc<Endpoint>, Train),
    /// To the UDP Resource: a datagram is to be sent.
    Depart(Box<Departing>),
    /// To the ICMP Resource: a packet of ICMP has arrived.
    Control(Box<Packet>),
    /// To the ICMP Resource: nobody is at the port that this packet is for; its sender is to be told.
    Refused(Box<Packet>),
    /// To the ARP Resource: a packet of ARP has arrived.
    Arp(InterfaceId, [u8; arp::LENGTH]),
    /// To the DHCP Resource: a server has said something.
    Dhcp(InterfaceId, Box<Packet>),
    /// To the DHCP Resource: something may be due.
    Leases,
    /// To the Network Device Write Resource: send this.
    Send(Box<Packet>),
    /// To the device write resource: a frame, complete, to be put into an interface's ring.
    Transmit(InterfaceId, Box<Outgoing>),
    /// To the device interrupt resource: this vector came.
    Interrupt(u8),
    /// To the device interrupt resource: see what an interface has to say.
    Service(InterfaceId),
    /// To the network device read resource: a packet was received, and those of its flow behind it.
    Received(InterfaceId, interface::Packet, Vec<interface::Packet>),
    /// To the network device read resource: an interface is ready, has a link or none, or is gone.
    Changed(InterfaceId, Notice),
}

impl NetMessage {
    /// Who takes it.
    pub(crate) const fn destination(&self) -> Kind {
        match self {
            Self::Arrived(_) => Kind::NetRead,
            Self::Segments(..) | Self::Handshake(..) | Self::Output(_) => Kind::Tcp,
            Self::Alarm(_) | Self::Timers => Kind::TcpTimer,
            Self::Datagrams(..) | Self::Depart(_) => Kind::Udp,
            Self::Control(_) | Self::Refused(_) => Kind::Icmp,
            Self::Arp(..) => Kind::Arp,
            Self::Dhcp(..) | Self::Leases => Kind::Dhcp,
            Self::Send(_) => Kind::NetSend,
            Self::Transmit(..) => Kind::NetWrite,
            Self::Interrupt(_) | Self::Service(_) => Kind::NetInterrupt,
            Self::Received(..) | Self::Changed(..) => Kind::NetRead,
        }
    }
}
