//! What the resources of the network say to each other.

use alloc::boxed::Box;

use super::InterfaceId;
use super::interface::{Notice, Outgoing, Packet};
use crate::system::Kind;

/// What the resources of the network say to each other.
#[derive(Debug)]
pub enum NetMessage {
    /// To the device write resource: a frame, complete, to be put into an interface's ring.
    Transmit(InterfaceId, Box<Outgoing>),
    /// To the device interrupt resource: this vector came.
    Interrupt(u8),
    /// To the device interrupt resource: see what an interface has to say.
    Service(InterfaceId),
    /// To the network device read resource: a packet was received.
    Received(InterfaceId, Packet),
    /// To the network device read resource: an interface is ready, has a link or none, or is gone.
    Changed(InterfaceId, Notice),
}

impl NetMessage {
    /// Who takes it.
    pub(crate) const fn destination(&self) -> Kind {
        match self {
            Self::Transmit(..) => Kind::NetWrite,
            Self::Interrupt(_) | Self::Service(_) => Kind::NetInterrupt,
            Self::Received(..) | Self::Changed(..) => Kind::NetRead,
        }
    }
}
