//! Storage: disks and their volumes (paper, section 4.5 and table 2).
//!
//! Key types: [`Transfer`] (what one asks of a [`Volume`]), [`IoError`].

mod ram;
mod transfer;
pub(crate) mod volumes;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use spin::RwLock;

pub use ram::RamVolume;
pub use transfer::{Direction, IoError, SECTOR, Segment, Transfer, Volume, VolumeId};

/// The disks and volumes of the system.
#[derive(Debug, Default)]
pub struct Storage {
    volumes: RwLock<Arc<[Volume]>>,
    in_memory: RwLock<BTreeMap<VolumeId, Arc<RamVolume>>>,
}

impl Storage {
    /// The volumes there are, in the order in which they were found.
    #[must_use]
    pub fn volumes(&self) -> Arc<[Volume]> {
        self.volumes.read().clone()
    }

    /// Adds a volume in memory, of whole sectors.
    pub fn add_ram(&self, name: &str, bytes: Vec<u8>) -> Arc<RamVolume> {
        let mut volumes = self.volumes.write();
        let id = VolumeId(
            volumes
                .iter()
                .map(|volume| volume.id.0 + 1)
                .max()
                .unwrap_or(0),
        );
        let volume = Volume {
            id,
            name: name.into(),
            bytes: bytes.len() as u64 / SECTOR * SECTOR,
            block: SECTOR as u32,
            read_only: false,
        };
        let ram = Arc::new(RamVolume::new(bytes));
        self.in_memory.write().insert(id, ram.clone());
        *volumes = volumes.iter().cloned().chain([volume]).collect();
        ram
    }

    /// A volume in memory.
    pub(crate) fn ram(&self, id: VolumeId) -> Option<Arc<RamVolume>> {
        self.in_memory.read().get(&id).cloned()
    }

    /// A volume.
    #[must_use]
    pub fn volume(&self, id: VolumeId) -> Option<Volume> {
        let volumes = self.volumes.read();
        volumes.iter().find(|volume| volume.id == id).cloned()
    }
}
