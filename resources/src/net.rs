//! The network (paper, section 4.4 and table 1).
//!
//! A received packet comes up through the Device Interrupt Resource (`ring`: out of an interface's
//! ring, labelled by its addresses and ports), which hands it to the Network Device Read Resource. A
//! frame goes down through the Device Write Resource (`ring`: into an interface's ring, which may be
//! full).
//!
//! Key types: [`interface::Interface`] (what drivers are), [`buffer::Pool`] (memory for packets),
//! [`Nics`] (the interfaces there are), [`NetMessage`].

pub mod buffer;
#[cfg(any(test, feature = "fake"))]
pub mod cable;
mod flow;
pub mod interface;
mod limit;
mod message;
mod nic;
mod nics;
pub(crate) mod ring;
#[cfg(test)]
mod tests;

pub use flow::{Flow, Labels};
pub use message::NetMessage;
pub use nic::InterfaceId;
pub use nics::{Nics, Tap};
