//! Volumes in memory: images from the boot ramdisk, so that a machine without a disk works.
//!
//! Key types: [`RamVolume`].

use alloc::vec::Vec;

use spin::Mutex;

use super::{Direction, Transfer};
use crate::machine::Machine;

/// A volume in memory.
#[derive(Debug)]
pub struct RamVolume {
    bytes: Mutex<Vec<u8>>,
}

impl RamVolume {
    /// With these contents.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes: Mutex::new(bytes),
        }
    }

    /// Carries out a transfer that is within the volume.
    pub(super) fn transfer<M: Machine>(&self, machine: &M, transfer: &Transfer) {
        let mut bytes = self.bytes.lock();
        let mut at = usize::try_from(transfer.offset).unwrap_or(usize::MAX);
        for segment in &transfer.segments {
            let end = at.saturating_add(segment.length as usize);
            let Some(part) = bytes.get_mut(at..end) else {
                return;
            };
            let offset = segment.offset as usize;
            match transfer.direction {
                Direction::Read => machine.write_frame(segment.frame, offset, part),
                Direction::Write => machine.read_frame(segment.frame, offset, part),
                Direction::Flush => {}
            }
            at = end;
        }
    }

    /// A copy of what is in it.
    #[must_use]
    pub fn contents(&self) -> Vec<u8> {
        self.bytes.lock().clone()
    }
}
