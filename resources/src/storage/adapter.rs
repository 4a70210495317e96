//! What the driver of a SCSI controller is to the storage resources: commands go in, answers come
//! out.
//!
//! Key types: [`Adapter`], [`Command`], [`Notice`].
//!
//! An adapter is a state machine with time as a parameter: it never waits. A command it has taken is
//! answered exactly once, and only when the device will not touch the command's memory any more,
//! whatever the device does: one that takes too long is aborted; when that does not help the unit
//! and then the controller are reset; when that does not help either the controller is cut off from
//! memory, and all is [`Failure::Gone`].

use alloc::vec::Vec;

/// A logical unit: where a disk is at its controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unit {
    /// The target's number.
    pub target: u8,
    /// The unit's number at the target, below 16384.
    pub lun: u16,
}

/// What the adapter is told a command's answer by; unique among those under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u32);

/// Memory as the device sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The physical address of its first byte.
    pub address: u64,
    /// Its length in bytes, not 0.
    pub length: u32,
}

/// Which way a command's data go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// There are none.
    None,
    /// From the unit into memory.
    In,
    /// From memory to the unit.
    Out,
}

/// A command descriptor block (SPC-4, section 4.3): 6, 10, 12 or 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cdb {
    bytes: [u8; 16],
    length: u8,
}

impl Cdb {
    /// Of up to 16 bytes; more are cut off.
    #[must_use]
    pub fn new(from: &[u8]) -> Self {
        let length = from.len().min(16);
        let mut bytes = [0; 16];
        bytes[..length].copy_from_slice(&from[..length]);
        Self {
            bytes,
            length: length as u8,
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// A command to a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Its number.
    pub tag: Tag,
    /// Where it goes.
    pub unit: Unit,
    /// What to do.
    pub cdb: Cdb,
    /// Which way its data go.
    pub data: Data,
    /// Its data; empty if there are none.
    pub parts: Vec<Part>,
    /// How long it may take, in nanoseconds.
    pub timeout_ns: u64,
}

impl Command {
    /// The bytes of its data.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let lengths = self.parts.iter().map(|part| u64::from(part.length));
        lengths.sum()
    }
}

/// What an adapter can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most parts of a command, at least 1.
    pub parts: usize,
    /// The most bytes of a command.
    pub bytes: u32,
    /// The most commands at one time.
    pub commands: usize,
}

/// The most bytes of sense data that are looked at.
pub const SENSE_BYTES: usize = 32;

/// A unit's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status byte (SAM-5, section 5.3).
    pub status: u8,
    /// Bytes that were not transferred; at most those of the command.
    pub residue: u32,
    /// Sense data; zeros where there are none.
    pub sense: [u8; SENSE_BYTES],
}

/// Why there is no answer of the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// There is no such unit, or not any more.
    NoUnit,
    /// It was aborted by a reset; it may be tried again.
    Reset,
    /// It took too long and was aborted.
    TimedOut,
    /// The controller could not do it.
    Controller,
    /// The controller is gone for good.
    Gone,
}

/// Why a command was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not now: after the next answer, or the next notice that it is [`Notice::Ready`].
    Full,
    /// Never: it has more parts or bytes than the limits say.
    TooLarge,
    /// The controller is gone for good.
    Gone,
}

/// What an adapter has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A command's answer.
    Done(Tag, Result<Response, Failure>),
    /// It takes commands, at first or after a reset.
    Ready,
    /// A unit was taken away.
    Removed(Unit),
    /// Units may have been added: look at all of them.
    Rescan,
    /// The controller does not work and will not any more.
    Gone,
}

/// The driver of a SCSI controller.
pub trait Adapter: Send {
    /// What it drives, for the log.
    fn name(&self) -> &'static str;

    /// What it can do. Known once it was [`Notice::Ready`].
    fn limits(&self) -> Limits;

    /// The targets that there may be, in ascending order.
    fn targets(&self) -> Vec<u8>;

    /// Gives the device a command, in the ring of a core if it has several.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has happened then.
    fn submit(&mut self, command: &Command, core: usize, now_ns: u64) -> Result<(), Refusal>;

    /// Takes from the device what it has to say, and does what is due. To be called after an
    /// interrupt, and when [`Self::deadline`] has passed.
    fn service(&mut self, now_ns: u64, tell: &mut dyn FnMut(Notice));

    /// When [`Self::service`] is to be called at the latest, in nanoseconds.
    fn deadline(&self) -> Option<u64>;
}
