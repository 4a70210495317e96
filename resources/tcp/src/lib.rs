//! TCP: a state machine per connection, in which time is a parameter.
//!
//! [`Connection`] is RFC 9293 with what came after it; the README says which section of which RFC
//! is where. It takes segments, the passing of time and the application's calls, and gives segments
//! and events. It reads no clock, draws no random numbers, takes no lock, and allocates nothing for
//! a segment but the room of its queues, which are bounded and grow to what the connection needs.
//!
//! - Data is not touched: what is sent is a list of [`Piece`]s of reference-counted memory, what is
//!   received is the packets. [`Host`] says what these are, and who pays.
//! - [`Segment`] is a header as values; [`Table`] finds the connection of a tuple, and holds the
//!   entries that have no buffers: those half open and those in TIME-WAIT.
//! - A connection belongs to one core: nothing here is shared.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod challenge;
pub mod checksum;
mod config;
mod congestion;
mod connection;
mod cookies;
mod keys;
mod listen;
mod memory;
mod options;
mod prr;
mod rack;
mod reassembly;
mod receive_queue;
mod receiver;
mod rto;
mod sack;
mod scoreboard;
mod segment;
mod send_queue;
mod sender;
mod seq;
mod state;
mod table;
mod time;
mod time_wait;
mod tlp;

pub use crate::config::{Algorithm, Config, KeepAlive};
pub use crate::connection::{Connection, Counters, Identity, Losses, Outgoing};
pub use crate::keys::{FourTuple, Keys};
pub use crate::listen::{HalfOpen, HalfOpenVerdict};
pub use crate::memory::{Account, Buffer, Host, Piece, Unaccounted};
pub use crate::segment::{
    Flags, MAX_HEADER, MAX_SACK_BLOCKS, Malformed, Options, SackBlock, Segment, Timestamps, Verify,
};
pub use crate::send_queue::Pieces;
pub use crate::sender::Limits;
pub use crate::seq::Seq;
pub use crate::state::{Events, Failure, Refusal, State};
pub use crate::table::{Action, Dropped, Expired, Listener, Room, Table, TableCounters};
pub use crate::time::{Instant, MILLISECOND, Micros, SECOND};
pub use crate::time_wait::{Late, TimeWait};
