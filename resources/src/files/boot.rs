//! Mounting the root file system, and the first process from it.
//!
//! Key types: [`First`] (the process to start).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use vortex_ext2::{FileSystem, InodeNumber, MountError, Options};
use vortex_toolkit::ids::ActivityId;
use vortex_toolkit::{Context, Request};

use super::disk::{Disk, Ports, Sectors};
use super::inode::{Gone, Inode, Time};
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
    let now = Time::of(here.real_time());
    let work = move |here: Here<M>| async move {
        let ports = Ports::new(&here.shared);
        let sectors = Sectors::new(&here.shared, &volume, ports.clone());
        let options = Options {
            read_only: volume.read_only,
            ..Options::default()
        };
        let shared = here.shared.clone();
        let mount = async move {
            let system = FileSystem::mount(sectors, options, now.into()).await?;
            if let Some(why) = system.read_only() {
                log::warn!("files: {} is read-only: {why}", volume.name);
            }
            let tree = plant(&shared, &system).await?;
            shared.disk.call_once(|| Arc::new(Disk { tree, system }));
            Ok(())
        };
        ports.through(here.port, mount).await
    };
    let payer = here.activity();
    match here.visit(Kind::Ext2, payer, work).await {
        Ok(result) => result,
        Err(_) => Err(MountError::Io),
    }
}

/// The root directory in memory, with what of the archive is mounted over it.
async fn plant<M: Machine>(
    shared: &Arc<Shared<M>>,
    system: &FileSystem<Sectors<M>>,
) -> Result<Tree, MountError> {
    system.open(InodeNumber::ROOT).await?;
    let root = system.attributes(InodeNumber::ROOT).await?;
    let mut mounts: Vec<((u32, &'static [u8]), NodeId)> = Vec::new();
    for (path, name) in [(b"/dev".as_slice(), b"dev".as_slice()), (b"/proc", b"proc")] {
        if let Ok(node) = shared.archive.find(path) {
            mounts.push(((InodeNumber::ROOT.0, name), node));
        }
    }
    // The configuration that is in force, wherever the disk is from.
    if let Ok(node) = shared.archive.find(b"/etc/vortex.xml")
        && let Ok(etc) = system.lookup(InodeNumber::ROOT, b"etc").await
    {
        mounts.push(((etc.0, b"vortex.xml"), node));
    }
    let gone = Arc::new(Gone::default());
    let object = super::inode::FIRST_OBJECT;
    let references = shared.memory.clone();
    let target = Box::default();
    let inode = Inode::new(
        InodeNumber::ROOT.0,
        object,
        root.into(),
        target,
        references,
        gone.clone(),
    );
    Ok(Tree::new(Arc::new(inode), mounts, gone))
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
