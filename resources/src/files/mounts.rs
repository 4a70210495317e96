//! The mounted file systems: the root's, and those that are mounted over its directories (mount(2)).
//!
//! Key types: [`Mounts`] (all that are mounted), [`Mounted`] (one), [`Mounting`] (what to mount where).
//!
//! What is mounted over a directory is noted in that directory's inode, so that paths lead into it,
//! and the root of it is where the directory is, so that paths lead out of it. It is taken away in
//! that order: first no path leads into it any more, then it is looked whether anybody is in it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use spin::RwLock;
use vortex_ext2::{Attributes, FileSystem, InodeNumber, MountError, Options};

use super::disk::{Disk, Ports, Sectors, System};
use super::inode::{Inode, SystemId, Time};
use super::{cache, names};
use crate::errand::Here;
use crate::errno::Errno;
use crate::machine::Machine;
use crate::storage::Volume;
use crate::system::{Kind, Shared};

/// How often it is looked whether somebody is in a file system that is to be taken away: what is under
/// way for nobody, such as reading ahead, ends meanwhile.
const PATIENCE: usize = 16;

/// A mounted file system.
pub(super) struct Mounted<M: Machine> {
    /// Which one.
    pub(super) id: SystemId,
    /// The name of its volume.
    pub(super) volume: String,
    /// Its root directory.
    pub(super) root: Arc<Inode>,
    /// The directory that it is mounted over; of the root's, none.
    pub(super) over: Option<Arc<Inode>>,
    /// Itself.
    pub(super) system: Arc<System<M>>,
}

impl<M: Machine> Mounted<M> {
    /// Whether nothing can be written to it.
    pub(super) fn is_read_only(&self) -> bool {
        self.system.read_only().is_some()
    }
}

/// All that are mounted.
pub(super) struct Mounts<M: Machine> {
    shared: Weak<Shared<M>>,
    table: RwLock<Vec<Arc<Mounted<M>>>>,
    next: AtomicU32,
    /// Held by who mounts or unmounts.
    changing: async_lock::Mutex<()>,
}

impl<M: Machine> Mounts<M> {
    /// With the root file system alone.
    pub(super) fn new(shared: &Arc<Shared<M>>, root: Mounted<M>) -> Self {
        Self {
            shared: Arc::downgrade(shared),
            table: RwLock::new(alloc::vec![Arc::new(root)]),
            next: AtomicU32::new(SystemId::ROOT.0 + 1),
            changing: async_lock::Mutex::new(()),
        }
    }

    /// What all cores share, for as long as it is there.
    pub(super) fn shared(&self) -> Option<Arc<Shared<M>>> {
        self.shared.upgrade()
    }

    /// All, in the order in which they were mounted.
    pub(super) fn all(&self) -> Vec<Arc<Mounted<M>>> {
        self.table.read().clone()
    }

    fn find(&self, id: SystemId) -> Option<Arc<Mounted<M>>> {
        let table = self.table.read();
        table.iter().find(|mounted| mounted.id == id).cloned()
    }

    /// The file system of a number, as long as it is mounted.
    pub(super) fn system(&self, id: SystemId) -> Option<Arc<System<M>>> {
        let table = self.table.read();
        let found = table.iter().find(|mounted| mounted.id == id);
        found.map(|mounted| mounted.system.clone())
    }

    /// Whether a volume, or a part of it, or what it is a part of, is mounted.
    fn uses(&self, volume: &str) -> bool {
        let is_part = |part: &str, whole: &str| {
            let number = part.strip_prefix(whole);
            number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let table = self.table.read();
        let mut names = table.iter().map(|mounted| mounted.volume.as_str());
        names.any(|name| is_part(name, volume) || is_part(volume, name))
    }
}

/// What is to be mounted.
#[derive(Debug)]
pub struct Mounting {
    /// What it is on.
    pub(crate) volume: Volume,
    /// The directory that it is to be over.
    pub(crate) over: Arc<Inode>,
    /// Whether nothing is to be written to it.
    pub(crate) read_only: bool,
}

/// Reads what makes a volume a file system, and its root directory's attributes.
///
/// # Errors
/// When it is none, or cannot be read.
pub(super) async fn open<M: Machine>(
    here: &Here<M>,
    volume: Volume,
    read_only: bool,
) -> Result<(System<M>, Attributes), MountError> {
    let now = Time::of(here.real_time());
    let work = move |here: Here<M>| async move {
        let ports = Ports::new(&here.shared);
        let sectors = Sectors::new(&here.shared, &volume, ports.clone());
        let options = Options {
            read_only: read_only || volume.read_only,
            ..Options::default()
        };
        let mount = async move {
            let system = FileSystem::mount(sectors, options, now.into()).await?;
            if let Some(why) = system.read_only() {
                log::warn!("files: {} is read-only: {why}", volume.name);
            }
            system.open(InodeNumber::ROOT).await?;
            let root = system.attributes(InodeNumber::ROOT).await?;
            Ok((system, root))
        };
        ports.through(here.port, mount).await
    };
    let opened = here.visit(Kind::Ext2, here.activity(), work).await;
    opened.unwrap_or(Err(MountError::Io))
}

/// Mounts a file system over a directory.
///
/// # Errors
/// As mount(2): EBUSY for a volume that is mounted already, ENOENT if the directory is gone, EINVAL for
/// what is no ext2 file system, EIO.
pub(super) async fn mount<M: Machine>(here: &Here<M>, mounting: Mounting) -> Result<(), Errno> {
    let disk = here.shared.disk.get().ok_or(Errno::ENODEV)?;
    let mounts = &disk.mounts;
    let _alone = mounts.changing.lock().await;
    let over = mounting.over.covered();
    let place = over.place().ok_or(Errno::EBUSY)?;
    let volume = mounting.volume.name.clone();
    if mounts.uses(&volume) {
        return Err(Errno::EBUSY);
    }
    let opened = open(here, mounting.volume, mounting.read_only).await;
    let (system, attributes) = opened.map_err(|error| {
        log::warn!("files: {volume} is not mounted: {error}");
        match error {
            MountError::Io => Errno::EIO,
            _ => Errno::EINVAL,
        }
    })?;
    if over.is_unlinked() {
        return Err(Errno::ENOENT);
    }
    let id = SystemId(mounts.next.fetch_add(1, Ordering::Relaxed));
    let root = Arc::new(Inode::new(
        (id, InodeNumber::ROOT.0),
        disk.tree.new_object(),
        attributes.into(),
        Box::default(),
        here.shared.memory.clone(),
        disk.tree.gone().clone(),
    ));
    root.set_place(Some(place));
    disk.tree.add_root(&root);
    let mounted = Mounted {
        id,
        volume,
        root: root.clone(),
        over: Some(over.clone()),
        system: Arc::new(system),
    };
    mounts.table.write().push(Arc::new(mounted));
    over.set_cover(Some(root));
    Ok(())
}

/// Takes a file system away that nobody uses; what was written is on its volume then.
///
/// # Errors
/// As umount2(2): EINVAL if it is not mounted, EBUSY if somebody uses it, or it is the root's; EIO.
pub(super) async fn unmount<M: Machine>(here: &Here<M>, id: SystemId) -> Result<(), Errno> {
    let disk = here.shared.disk.get().ok_or(Errno::EINVAL)?;
    let _alone = disk.mounts.changing.lock().await;
    let mounted = disk.mounts.find(id).ok_or(Errno::EINVAL)?;
    let over = mounted.over.clone().ok_or(Errno::EBUSY)?;
    over.set_cover(None);
    let left = leave(here, disk, id).await;
    if left.is_err() {
        over.set_cover(Some(mounted.root.clone()));
        return left;
    }
    disk.mounts.table.write().retain(|other| other.id != id);
    drop(mounted);
    names::clear_up(here).await;
    Ok(())
}

/// Writes back what a file system that no path leads into any more has, and forgets its inodes, once
/// nobody uses them.
async fn leave<M: Machine>(here: &Here<M>, disk: &Disk<M>, id: SystemId) -> Result<(), Errno> {
    for _ in 0..PATIENCE {
        cache::sync(here).await?;
        names::clear_up(here).await;
        // Besides the table's own, the root has one reference: of the list of what is mounted.
        if disk.tree.is_busy(id, 1) {
            continue;
        }
        disk.tree.forget_system(id);
        names::clear_up(here).await;
        let now = Time::of(here.real_time());
        let sync = move |system: Arc<System<M>>| async move { system.sync(now.into()).await };
        return Disk::ask(here, id, here.activity(), sync).await;
    }
    Err(Errno::EBUSY)
}
