//! What the network needs of the system: frames, and the time.
//!
//! Key types: [`Environment`], [`OfMachine`] (that of a machine).

use alloc::sync::Arc;
use core::fmt;

use vortex_tcp::Instant;
use vortex_toolkit::ids::CoreId;
use vortex_toolkit::memory::{Multiplexor, Owner, Refusal};

use crate::machine::{Frame, Machine};
use crate::system::Clock;

/// What the network needs of the system.
pub trait Environment: fmt::Debug + Send + Sync {
    /// A frame, charged, with one reference.
    ///
    /// # Errors
    /// Over budget, or out of memory.
    fn allocate(&self, owner: Owner) -> Result<Frame, Refusal>;
    /// One more reference to a frame.
    fn share(&self, frame: Frame);
    /// One reference fewer to each of these frames.
    fn release(&self, frames: &[Frame]);
    /// Reads from a frame, within it.
    fn read(&self, frame: Frame, offset: usize, into: &mut [u8]);
    /// Writes into a frame, within it.
    fn write(&self, frame: Frame, offset: usize, from: &[u8]);
    /// The time now.
    fn now(&self) -> Instant;
    /// The processor that this is.
    fn here(&self) -> CoreId;
    /// Random bytes, for what must not be guessed.
    fn random(&self, into: &mut [u8]);
}

/// What a machine gives.
pub(crate) struct OfMachine<M: Machine> {
    pub(crate) machine: M,
    pub(crate) memory: Arc<Multiplexor<M>>,
    pub(crate) clock: Clock,
}

impl<M: Machine> fmt::Debug for OfMachine<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OfMachine")
    }
}

impl<M: Machine> Environment for OfMachine<M> {
    fn allocate(&self, owner: Owner) -> Result<Frame, Refusal> {
        self.memory.allocate(owner)
    }

    fn share(&self, frame: Frame) {
        self.memory.share(frame);
    }

    fn release(&self, frames: &[Frame]) {
        for frame in frames {
            self.memory.release(*frame);
        }
    }

    fn read(&self, frame: Frame, offset: usize, into: &mut [u8]) {
        self.machine.read_frame(frame, offset, into);
    }

    fn write(&self, frame: Frame, offset: usize, from: &[u8]) {
        self.machine.write_frame(frame, offset, from);
    }

    fn now(&self) -> Instant {
        Instant(self.clock.nanoseconds(self.machine.now()) / 1_000)
    }

    fn here(&self) -> CoreId {
        self.machine.here()
    }

    fn random(&self, into: &mut [u8]) {
        self.machine.random(into);
    }
}
