//! What file systems and tools say to the Storage Resource: transfers between frames and a volume
//! (paper, section 4.5: "a general block-based interface to a disk or disk volume").
//!
//! Key types: [`Transfer`], [`Segment`], [`IoError`], [`Volume`].
//!
//! A transfer is the message [`Volume`](crate::system::Message::Volume) to the resource of kind
//! [`Storage`](crate::system::Kind::Storage), its reply
//! [`VolumeDone`](crate::system::Message::VolumeDone); a task sends it with `port.call`, which goes on
//! with the reply. Each transfer gets exactly one reply, whatever the disk does. The frames stay the
//! sender's: they must not be released before the reply (storage holds a reference of its own while
//! a device may touch them, so a sender that is gone does no harm).
//!
//! A read may be one of several of the same pages ([`Transfer::joint`]).
//!
//! **Order.** Transfers under way at the same time may be carried out in any order, but for those
//! with one dependency label, which reach the disk in order. Who needs one to be done before the
//! other waits for its reply. A flush covers the writes whose replies came before it was sent.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::Joint;
use crate::machine::{Frame, PAGE_SIZE};

/// The unit of a volume's offsets and lengths, in bytes.
pub const SECTOR: u64 = 512;

/// A volume's number. Numbers are not used again: a disk that comes back is another volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeId(pub u32);

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the volume into frames.
    Read,
    /// From frames to the volume.
    Write,
    /// No bytes: what has been written is to survive a power cut.
    Flush,
}

/// A part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The frame.
    pub frame: Frame,
    /// Where the part begins in it, in bytes; a multiple of 4.
    pub offset: u32,
    /// Its length in bytes, at least 4 and a multiple of 4; the part lies within the frame.
    pub length: u32,
}

impl Segment {
    /// A whole frame.
    #[must_use]
    pub const fn whole(frame: Frame) -> Self {
        Self {
            frame,
            offset: 0,
            length: PAGE_SIZE as u32,
        }
    }

    /// Whether it lies within its frame, aligned.
    const fn is_sound(&self) -> bool {
        let end = self.offset as u64 + self.length as u64;
        let aligned = self.offset.is_multiple_of(4) && self.length.is_multiple_of(4);
        aligned && self.length > 0 && end <= PAGE_SIZE
    }
}

/// A request to a volume.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// The volume.
    pub volume: VolumeId,
    /// Where it begins, in bytes from the volume's first; a multiple of the volume's
    /// [`Volume::block`]. Without meaning for a flush.
    pub offset: u64,
    /// Which way.
    pub direction: Direction,
    /// The memory, in the order of the bytes; its length is a multiple of the volume's
    /// [`Volume::block`]. Empty for a flush.
    pub segments: Vec<Segment>,
    /// Of a read: the pages that others may be reading at the same time. Those that another one
    /// has brought in first are not read, and what is then in their frames is undefined, though the
    /// transfer succeeds.
    pub joint: Option<Arc<Joint>>,
}

impl Transfer {
    /// The number of bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        let lengths = self.segments.iter();
        lengths.map(|segment| u64::from(segment.length)).sum()
    }

    /// Checks it against the volume it names.
    ///
    /// # Errors
    /// [`IoError::BadRange`] or [`IoError::ReadOnly`].
    pub fn check(&self, volume: &Volume) -> Result<(), IoError> {
        let length = self.length();
        match self.direction {
            Direction::Flush if self.segments.is_empty() => return Ok(()),
            Direction::Write if volume.read_only => return Err(IoError::ReadOnly),
            Direction::Read | Direction::Write if length > 0 => {}
            _ => return Err(IoError::BadRange),
        }
        let block = u64::from(volume.block);
        let aligned = self.offset.is_multiple_of(block) && length.is_multiple_of(block);
        let end = self.offset.checked_add(length);
        let inside = end.is_some_and(|end| end <= volume.bytes);
        let sound = self.segments.iter().all(Segment::is_sound);
        (aligned && inside && sound)
            .then_some(())
            .ok_or(IoError::BadRange)
    }
}

/// Why a transfer has failed. What it was to read is undefined, what it was to write is in part on
/// the volume or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IoError {
    /// There is no such volume.
    NoVolume,
    /// It is not all within the volume, or not aligned to blocks; or its segments are not sound.
    BadRange,
    /// The volume cannot be written.
    ReadOnly,
    /// The disk could not read or write this place, after retries.
    Medium,
    /// The disk is not there any more, or its controller.
    Gone,
    /// The disk or its controller did not do it, after retries: a time-out, or an answer that makes
    /// no sense.
    Failed,
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoVolume => "there is no such volume",
            Self::BadRange => "outside of the volume, or not in whole blocks",
            Self::ReadOnly => "the volume is read-only",
            Self::Medium => "the disk cannot read or write this place",
            Self::Gone => "the disk is gone",
            Self::Failed => "the disk does not do it",
        })
    }
}

impl core::error::Error for IoError {}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its number.
    pub id: VolumeId,
    /// Its name: `sda` a disk, `sda1` a partition of it, `ram0` an image in the boot ramdisk.
    pub name: String,
    /// Its length, a multiple of [`Self::block`].
    pub bytes: u64,
    /// The unit of transfers in bytes: 512 or, on some disks, a larger power of two up to 4096.
    pub block: u32,
    /// It cannot be written.
    pub read_only: bool,
}
