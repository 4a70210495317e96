//! Storage: disks and their volumes (paper, section 4.5 and table 2).
//!
//! Key types: [`Transfer`] (what one asks of a [`Volume`]), [`IoError`].

mod transfer;
pub(crate) mod volumes;

use alloc::sync::Arc;

use spin::RwLock;

pub use transfer::{Direction, IoError, SECTOR, Segment, Transfer, Volume, VolumeId};

/// The disks and volumes of the system.
#[derive(Debug, Default)]
pub struct Storage {
    volumes: RwLock<Arc<[Volume]>>,
}

impl Storage {
    /// The volumes there are, in the order in which they were found.
    #[must_use]
    pub fn volumes(&self) -> Arc<[Volume]> {
        self.volumes.read().clone()
    }

    /// A volume.
    #[must_use]
    pub fn volume(&self, id: VolumeId) -> Option<Volume> {
        let volumes = self.volumes.read();
        volumes.iter().find(|volume| volume.id == id).cloned()
    }
}
