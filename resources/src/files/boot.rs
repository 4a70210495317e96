//! Mounting the root file system, and the first process from it.
//!
//! Key types: [`First`] (the process to start).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use vortex_ext2::{InodeNumber, MountError};
use vortex_toolkit::ids::ActivityId;
use vortex_toolkit::{Context, Request};

use super::disk::Disk;
use super::inode::{Gone, Inode, SystemId};
use super::mounts::{self, Mounted, Mounts};
use super::tree::Tree;
use super::{Descriptors, Failure, NodeId, cache, names};
use crate::calls::program::Program;
use crate::errand::{Errand, Here};
use crate::errno::Errno;
use crate::executable::Arguments;
use crate::machine::Machine;
use crate::process::{ExitStatus, Rights, Spawn};
use crate::storage::Volume;
use crate::system::{Kind, Message, Shared, Vortex};

/// The process to start first, with all rights.
#[derive(Debug)]
pub struct First {
    /// The path of its program.
    pub path: Vec<u8>,
    /// What it is given.
    pub arguments: Arguments,
    /// Who pays for it.
    pub activity: ActivityId,
    /// The volume that the root file system is on; if none is named, the first that has one is
    /// taken.
    pub root: Option<String>,
}

/// How a shell ends that does not find a program.
const NOT_FOUND: ExitStatus = ExitStatus::Exited(127);

/// The request that mounts the root file system and starts the first process. Without a disk that
/// has a file system, the root is the archive. A process that cannot be started counts as ended, with
/// the status that a shell has for that.
#[must_use]
pub fn boot<M: Machine>(shared: &Shared<M>, first: First) -> Request<Message<M>> {
    let payer = ActivityId::INFRASTRUCTURE;
    let destination = shared.destination(Kind::FileCache, payer);
    let message = Errand::message(move |here: Here<M>| async move {
        mount(&here, first.root.as_deref()).await;
        let path: String = first.path.escape_ascii().map(char::from).collect();
        if let Err(error) = start(&here, first).await {
            log::error!("{path}: {}", error.name().unwrap_or("cannot be started"));
            (here.shared.on_end)(NOT_FOUND);
        }
    });
    Request::new(destination, payer, message)
}

/// The request that mounts the root file system alone.
#[cfg(any(test, feature = "fake"))]
pub(crate) fn mounting<M: Machine>(shared: &Shared<M>) -> Request<Message<M>> {
    let payer = ActivityId::INFRASTRUCTURE;
    let destination = shared.destination(Kind::FileCache, payer);
    let message = Errand::message(|here: Here<M>| async move { mount(&here, None).await });
    Request::new(destination, payer, message)
}

async fn start<M: Machine>(here: &Here<M>, first: First) -> Result<(), Errno> {
    let shared = &here.shared;
    let mut descriptors =
        Descriptors::new(shared.names(), shared.terminal.get(), first.path.clone());
    let program = loop {
        match Program::find(shared.names(), (&descriptors.directory, &[]), &first.path) {
            Ok(program) => break program,
            Err(Failure::Left(operation)) => names::prepare(here, *operation).await?,
            Err(Failure::Error(error)) => return Err(error),
            Err(_) => return Err(Errno::EFAULT),
        }
    };
    let mut arguments = first.arguments;
    arguments.arguments = program.arguments(arguments.arguments);
    descriptors.program = program.place;
    let spawn = Spawn {
        caller: None,
        activity: first.activity,
        rights: Rights::all(),
        image: program.image,
        arguments,
        descriptors,
    };
    let destination = shared.destination(Kind::Process, first.activity);
    let message = Message::Spawn(Box::new(spawn));
    here.send(Request::new(destination, first.activity, message));
    Ok(())
}

/// Mounts the volume of a name, or the first that has a file system.
async fn mount<M: Machine>(here: &Here<M>, name: Option<&str>) {
    let volumes = volumes(here).await;
    for volume in volumes.iter() {
        if name.is_some_and(|name| name != volume.name) {
            continue;
        }
        match mount_volume(here, volume.clone()).await {
            Ok(()) => {
                log::info!("files: the root file system is on {}", volume.name);
                return;
            }
            Err(MountError::NotExt2) if name.is_none() => {}
            Err(error) => log::error!("files: {} is not mounted: {error}", volume.name),
        }
    }
    if let Some(name) = name {
        log::error!("files: there is no root file system on a volume {name:?}");
    }
}

async fn volumes<M: Machine>(here: &Here<M>) -> Arc<[Volume]> {
    let storage = here.shared.destination(Kind::Storage, here.activity());
    let request = here.port.request(storage, Message::AwaitVolumes);
    match here.port.call(request).await {
        Ok(Message::Volumes(volumes)) => volumes,
        _ => Arc::from([]),
    }
}

async fn mount_volume<M: Machine>(here: &Here<M>, volume: Volume) -> Result<(), MountError> {
    let name = volume.name.clone();
    let (system, attributes) = mounts::open(here, volume, false).await?;
    let system = Arc::new(system);
    let etc = {
        let system = system.clone();
        let find = move |here: Here<M>| async move {
            let ports = system.volume().ports.clone();
            let etc = system.lookup(InodeNumber::ROOT, b"etc");
            ports.through(here.port, etc).await
        };
        let found = here.visit(Kind::Ext2, here.activity(), find).await;
        found.ok().and_then(Result::ok)
    };
    let root = root(&here.shared, attributes);
    let over = archive_over(&here.shared, etc);
    let tree = Tree::new(root.0.clone(), over, root.1);
    let mounted = Mounted {
        id: SystemId::ROOT,
        volume: name,
        root: root.0,
        over: None,
        system,
    };
    let mounts = Mounts::new(&here.shared, mounted);
    here.shared
        .disk
        .call_once(|| Arc::new(Disk { tree, mounts }));
    Ok(())
}

/// The root directory in memory, and where inodes leave what they leave behind.
fn root<M: Machine>(
    shared: &Shared<M>,
    attributes: vortex_ext2::Attributes,
) -> (Arc<Inode>, Arc<Gone>) {
    let gone = Arc::new(Gone::default());
    let inode = Inode::new(
        (SystemId::ROOT, InodeNumber::ROOT.0),
        super::inode::FIRST_OBJECT,
        attributes.into(),
        Box::default(),
        shared.memory.clone(),
        gone.clone(),
    );
    (Arc::new(inode), gone)
}

/// What of the archive is mounted over names of a disk's directories, one of which is `/etc`.
fn archive_over<M: Machine>(
    shared: &Shared<M>,
    etc: Option<InodeNumber>,
) -> Vec<((u32, &'static [u8]), NodeId)> {
    let mut over: Vec<((u32, &'static [u8]), NodeId)> = Vec::new();
    for (path, name) in [(b"/dev".as_slice(), b"dev".as_slice()), (b"/proc", b"proc")] {
        if let Ok(node) = shared.archive.find(path) {
            over.push(((InodeNumber::ROOT.0, name), node));
        }
    }
    // The configuration that is in force, wherever the disk is from.
    if let Ok(node) = shared.archive.find(b"/etc/vortex.xml")
        && let Some(etc) = etc
    {
        over.push(((etc.0, b"vortex.xml"), node));
    }
    over
}

/// The last process has ended, the first one so: nothing that was written is to be lost.
pub(crate) fn end<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    status: ExitStatus,
) {
    if shared.disk.get().is_none() {
        return (shared.on_end)(status);
    }
    let payer = ActivityId::INFRASTRUCTURE;
    let destination = shared.destination(Kind::FileCache, payer);
    let message = Errand::message(move |here: Here<M>| async move {
        names::clear_up(&here).await;
        if let Err(error) = cache::sync(&here).await {
            log::error!("files: {}", error.name().unwrap_or("error"));
        }
        (here.shared.on_end)(status);
    });
    context.send(Request::new(destination, payer, message));
}
