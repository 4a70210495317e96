//! Storage: disks and their volumes (paper, section 4.5 and table 2).
//!
//! A transfer goes down through five resources: the Storage Resource (`volumes`: from a volume to a
//! disk, and RAM volumes), the SCSI Resource (`disks`: each activity's requests in the order of the
//! disk, SCSI messages, answers, retries), the Storage Device ReadWrite Resource (`request`: from
//! frames to what the device sees), the Device ReadWrite Resource (`ring`: into the controller's
//! ring, which may be full), and back from the Device Interrupt Resource (`ring`) to the SCSI
//! Resource, which replies to who asked. All is paid by who asked but for interrupts, and finding
//! disks (`discovery`), which are the infrastructure's.
//!
//! Key types: [`Storage`], [`Transfer`] (what one asks of a [`Volume`]), [`IoError`],
//! [`adapter::Adapter`] (what drivers are).
//!
//! Invariants: a transfer is replied to once. A frame is pinned while a device may reach it.

pub mod adapter;
mod controller;
pub(crate) mod discovery;
pub(crate) mod disks;
mod io;
mod joint;
pub mod partitions;
mod pending;
mod ram;
pub(crate) mod request;
pub(crate) mod ring;
pub mod scsi;
mod settings;
mod transfer;
pub(crate) mod volumes;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use spin::{Once, RwLock};
use vortex_toolkit::Head;
use vortex_toolkit::ids::ResourceId;

use crate::system::Kind;

pub use controller::ControllerId;
pub use io::DiskMessage;
pub use joint::Joint;
pub(crate) use joint::Reading;
pub use ram::RamVolume;
pub use settings::Settings;
pub use transfer::{Direction, IoError, SECTOR, Segment, Transfer, Volume, VolumeId};

use adapter::Adapter;
use controller::Controller;
use volumes::Backing;

/// The disks and volumes of the system.
#[derive(Debug, Default)]
pub struct Storage {
    settings: Once<Settings>,
    controllers: RwLock<Vec<Arc<Controller>>>,
    volumes: RwLock<Volumes>,
    /// Controllers whose disks have not been looked at yet; one more before [`Storage::settle`].
    unsettled: AtomicUsize,
    is_settling: Once<()>,
    /// Who waits for them.
    waiting: spin::Mutex<Vec<Head>>,
    next_disk: AtomicU32,
    /// The device read-write and the device interrupt resource, if they had to be made.
    rings: [Once<ResourceId>; 2],
}

#[derive(Debug, Default)]
struct Volumes {
    list: Arc<[Volume]>,
    /// By number.
    backings: Vec<Option<Backing>>,
}

impl Storage {
    /// Sets how disks are driven; once, before there are any.
    pub fn configure(&self, settings: Settings) {
        self.settings.call_once(|| settings);
    }

    /// How disks are driven.
    pub(crate) fn settings(&self) -> Settings {
        *self.settings.call_once(Settings::default)
    }

    /// Adds a controller, at boot. Its disks are looked at once it was serviced and is ready.
    pub fn attach(&self, adapter: Box<dyn Adapter>) -> ControllerId {
        let mut controllers = self.controllers.write();
        let id = ControllerId(controllers.len());
        self.unsettled.fetch_add(1, Ordering::SeqCst);
        let depth = self.settings().depth;
        controllers.push(Arc::new(Controller::new(id, adapter, depth)));
        id
    }

    pub(crate) fn controller(&self, id: ControllerId) -> Option<Arc<Controller>> {
        self.controllers.read().get(id.0).cloned()
    }

    /// The one resource of this kind, which `make` makes at first use.
    pub(crate) fn ring(&self, kind: Kind, make: impl FnOnce() -> ResourceId) -> ResourceId {
        let number = usize::from(kind == Kind::DiskInterrupt);
        *self.rings[number].call_once(make)
    }

    /// The controllers.
    pub(crate) fn controllers(&self) -> Vec<Arc<Controller>> {
        self.controllers.read().clone()
    }

    /// The controller whose interrupts have this vector.
    pub(crate) fn interrupting(&self, vector: u8) -> Option<Arc<Controller>> {
        let controllers = self.controllers.read();
        let mut all = controllers.iter();
        all.find(|one| one.vector.is(vector)).cloned()
    }

    /// Says which vector a controller's interrupts have. If it is not sure that they come, the
    /// controller is polled until the first does.
    pub fn set_vector(&self, id: ControllerId, vector: u8, is_sure: bool) {
        if let Some(controller) = self.controller(id) {
            controller.vector.set(vector, is_sure);
        }
    }

    /// Adds the images in the boot ramdisk as read-only volumes.
    pub fn add_image(&self, name: &str, bytes: &'static [u8]) -> VolumeId {
        let length = bytes.len() as u64 / SECTOR * SECTOR;
        let volume = |id| Volume {
            id,
            name: name.into(),
            bytes: length,
            block: SECTOR as u32,
            read_only: true,
        };
        self.add_volume(volume, Backing::Image(bytes))
    }

    /// Adds a volume in memory, of whole sectors, that can be written.
    pub fn add_ram(&self, name: &str, bytes: Vec<u8>) -> Arc<RamVolume> {
        let length = bytes.len() as u64 / SECTOR * SECTOR;
        let ram = Arc::new(RamVolume::new(bytes));
        let volume = |id| Volume {
            id,
            name: name.into(),
            bytes: length,
            block: SECTOR as u32,
            read_only: false,
        };
        self.add_volume(volume, Backing::Ram(ram.clone()));
        ram
    }

    /// Adds a volume.
    pub(crate) fn add_volume(
        &self,
        volume: impl FnOnce(VolumeId) -> Volume,
        backing: Backing,
    ) -> VolumeId {
        let mut volumes = self.volumes.write();
        let id = VolumeId(u32::try_from(volumes.backings.len()).unwrap_or(u32::MAX));
        let volume = volume(id);
        log::info!(
            "storage: {} of {} KiB{}",
            volume.name,
            volume.bytes / 1024,
            if volume.read_only { ", read-only" } else { "" }
        );
        volumes.backings.push(Some(backing));
        volumes.list = volumes.list.iter().cloned().chain([volume]).collect();
        id
    }

    /// Takes volumes away.
    pub(crate) fn remove_volumes(&self, which: impl Fn(&Backing) -> bool) {
        let mut volumes = self.volumes.write();
        let Volumes { list, backings } = &mut *volumes;
        let mut gone = Vec::new();
        for (backing, number) in backings.iter_mut().zip(0..) {
            if backing.as_ref().is_some_and(&which) {
                *backing = None;
                gone.push(VolumeId(number));
            }
        }
        for volume in list.iter().filter(|volume| gone.contains(&volume.id)) {
            log::info!("storage: {} is gone", volume.name);
        }
        let left = list.iter().filter(|volume| !gone.contains(&volume.id));
        *list = left.cloned().collect();
    }

    /// The volumes there are, in the order in which they were found.
    #[must_use]
    pub fn volumes(&self) -> Arc<[Volume]> {
        self.volumes.read().list.clone()
    }

    /// A volume, and what is behind it.
    pub(crate) fn find(&self, id: VolumeId) -> Option<(Volume, Backing)> {
        let volumes = self.volumes.read();
        let backing = volumes.backings.get(id.0 as usize)?.clone()?;
        let volume = volumes.list.iter().find(|volume| volume.id == id)?;
        Some((volume.clone(), backing))
    }

    /// Whether there is such a volume.
    pub(crate) fn any(&self, which: impl Fn(&Backing) -> bool) -> bool {
        let volumes = self.volumes.read();
        volumes.backings.iter().flatten().any(which)
    }

    /// The name of the next disk.
    pub(crate) fn next_name(&self) -> String {
        disk_name(self.next_disk.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether all controllers that were there at boot have been looked at.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.is_settling.get().is_some() && self.unsettled.load(Ordering::SeqCst) == 0
    }

    /// No more controllers come at boot.
    pub fn settle(&self) {
        self.is_settling.call_once(|| ());
    }

    /// A controller has been looked at for the first time.
    pub(crate) fn one_settled(&self) {
        self.unsettled.fetch_sub(1, Ordering::SeqCst);
    }

    /// Waits for all of them to be; true if they are already.
    pub(crate) fn wait(&self, head: Head) -> bool {
        let mut waiting = self.waiting.lock();
        // Under the lock: who settles looks at the list afterwards.
        if self.is_settled() {
            return true;
        }
        waiting.push(head);
        false
    }

    /// Who waits, once nothing is waited for any more.
    pub(crate) fn take_waiting(&self) -> Vec<Head> {
        let mut waiting = self.waiting.lock();
        if self.is_settled() {
            core::mem::take(&mut waiting)
        } else {
            Vec::new()
        }
    }
}

/// `sda`, …, `sdz`, `sdaa`, ….
fn disk_name(number: u32) -> String {
    let mut letters = Vec::new();
    let mut rest = number + 1;
    while rest > 0 {
        rest -= 1;
        letters.push((b'a' + (rest % 26) as u8) as char);
        rest /= 26;
    }
    "sd".chars().chain(letters.into_iter().rev()).collect()
}

#[cfg(test)]
mod tests;
