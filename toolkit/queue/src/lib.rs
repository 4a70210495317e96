//! What cores share: everything else in the toolkit is touched by one core alone.
//!
//! - [`channel`]: the *inbox* of a core, a bounded first-in-first-out ring with any number of
//!   [`Sender`]s and one [`Receiver`]. A push is one locked operation and says whether the receiver
//!   was asleep and must be woken; a pop has no locked operation.
//! - [`Counter`]: a number that one core counts up and every core may read.
//! - [`Marks`]: of sources that have something to say, at most one word each until somebody listens.
//! - [`published`]: several such numbers that are read as they were at one instant.
//!
//! Nobody waits for anybody here: no operation spins until another party has done something.
//! The crate is `no_std`, and allocates only when an inbox or a publication is created.
//!
//! Invariants: a slot's value is touched only by the one producer that reserved its position and
//! then by the receiver (`slot.rs` states the protocol); the sleep bit is set only while the ring is
//! empty. Both are checked by a model checker (`tests/loom.rs`).
//!
//! The ring is D. Vyukov's bounded queue (1024cores.net, 2010) with one consumer and the receiver's
//! sleep bit packed into the tail word.

#![no_std]
#![expect(
    unsafe_code,
    reason = "slots are shared by cores without a lock; the toolkit's only crate with unsafe code"
)]

extern crate alloc;

mod counter;
mod inbox;
mod marks;
mod published;
mod slot;
#[cfg(loom)]
pub mod sync;
#[cfg(not(loom))]
mod sync;

pub use counter::Counter;
pub use inbox::{Full, Receiver, Sender, Wake, channel};
pub use marks::Marks;
pub use published::{Published, Publisher, published};
