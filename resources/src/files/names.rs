//! What the File Cache Resource does with names and attributes: it has the Ext2 Resource change them
//! and keeps what is known of them in memory.
//!
//! Invariant: who reads or changes what a directory has on the disk, and then what is known of it,
//! holds the directory's `contents` lock, so that the two cannot part.

use alloc::boxed::Box;
use alloc::sync::Arc;

use vortex_ext2::{Error, InodeNumber, Kind};

use super::cache;
use super::descriptors::{OpenFile, Opened};
use super::disk::{Disk, System, context};
use super::inode::{Attributes, FileType, Inode, Place, SystemId, Time, Wanted};
use super::operation::{Changes, Entry, Made, Operation, Rename};
use super::paths::kept;
use super::tree::Node;
use crate::errand::Here;
use crate::errno::Errno;
use crate::machine::Machine;
use crate::object::References;
use crate::thread::Thread;

fn number(inode: &Inode) -> InodeNumber {
    InodeNumber(inode.number())
}

fn disk<M: Machine>(here: &Here<M>) -> Result<Arc<Disk<M>>, Errno> {
    here.shared.disk.get().cloned().ok_or(Errno::ENODEV)
}

/// An inode as it is on the disk, where it has been opened.
type Loaded = (InodeNumber, vortex_ext2::Attributes, Box<[u8]>);

async fn load<M: Machine>(system: &System<M>, inode: InodeNumber) -> Result<Loaded, Error> {
    let attributes = system.attributes(inode).await?;
    let target = match attributes.kind {
        Kind::Symlink => system.read_link(inode).await?,
        _ => Box::default(),
    };
    Ok((inode, attributes, target))
}

/// Enters an inode that has been loaded into the tree; one that is there already counts.
async fn enter<M: Machine>(
    here: &Here<M>,
    system: SystemId,
    loaded: Loaded,
) -> Result<Arc<Inode>, Errno> {
    let disk = disk(here)?;
    let (number, attributes, target) = loaded;
    let tree = &disk.tree;
    let references: Arc<dyn References> = here.shared.memory.clone();
    let make = || {
        Arc::new(Inode::new(
            (system, number.0),
            tree.new_object(),
            attributes.into(),
            target,
            references,
            tree.gone().clone(),
        ))
    };
    let (inode, is_new) = tree.enter((system, number.0), make);
    if !is_new {
        let close = move |system: Arc<System<M>>| async move { system.close(number).await };
        Disk::ask(here, system, here.activity(), close).await?;
    }
    tree.trim();
    Ok(inode)
}

/// Takes over from the disk what is not kept in memory only.
fn refresh(inode: &Inode, attributes: vortex_ext2::Attributes) {
    let is_file = inode.kind() == FileType::Regular;
    let from_disk = Attributes::from(attributes);
    inode.update(|known| {
        let (size, modified) = (known.size, known.modified);
        *known = from_disk;
        if is_file {
            (known.size, known.modified) = (size, modified);
        }
    });
}

/// Brings in what a call needs.
///
/// # Errors
/// EIO, ENOMEM.
pub(super) async fn bring_in<M: Machine>(here: &Here<M>, wanted: Wanted) -> Result<(), Errno> {
    match wanted {
        Wanted::Head(inode) => cache::head(here, &inode).await,
        Wanted::Pages(inode, pages) => cache::pages_of(here, &inode, pages).await.map(drop),
        Wanted::Child(directory, name) => {
            let _names = directory.contents.lock().await;
            look_up(here, &directory, &name).await.map(|_| ())
        }
    }
}

/// Brings in what somebody needs who is no call of a thread.
///
/// # Errors
/// As [`bring_in`]; EINVAL for anything else.
pub(super) async fn prepare<M: Machine>(here: &Here<M>, operation: Operation) -> Result<(), Errno> {
    match operation {
        Operation::BringIn(wanted) => bring_in(here, wanted).await,
        _ => Err(Errno::EINVAL),
    }
}

/// What a directory has by a name. The caller holds the directory's lock.
async fn look_up<M: Machine>(
    here: &Here<M>,
    directory: &Arc<Inode>,
    name: &[u8],
) -> Result<Option<Arc<Inode>>, Errno> {
    let tree = &disk(here)?.tree;
    let known = directory.entries.lock().get(name);
    match known {
        Some(None) => return Ok(None),
        Some(Some(number)) => {
            if let Some(inode) = tree.inode((directory.system(), number)) {
                return Ok(Some(inode));
            }
        }
        None => {}
    }
    let (parent, wanted) = (number(directory), name.to_vec());
    let find = move |system: Arc<System<M>>| async move {
        match system.lookup_open(parent, &wanted).await {
            Ok(inode) => load(&system, inode).await.map(Some),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    };
    let Some(loaded) = Disk::ask(here, directory.system(), here.activity(), find).await? else {
        directory.entries.lock().set(name, None);
        return Ok(None);
    };
    let inode = enter(here, directory.system(), loaded).await?;
    learn(directory, name, &inode);
    Ok(Some(inode))
}

/// A directory has this by a name.
fn learn(directory: &Arc<Inode>, name: &[u8], inode: &Inode) {
    directory.entries.lock().set(name, Some(inode.number()));
    if inode.kind() == FileType::Directory {
        inode.set_place(Some(Place {
            parent: directory.clone(),
            name: name.to_vec(),
        }));
    }
}

/// A directory does not have anything by a name any more, and what it was has one name less.
fn unlearn<M: Machine>(disk: &Disk<M>, entry: &Entry, inode: Option<&Arc<Inode>>) {
    entry.directory.entries.lock().set(&entry.name, None);
    let Some(inode) = inode else {
        return;
    };
    let is_directory = inode.kind() == FileType::Directory;
    let left = inode.update(|attributes| {
        attributes.links = match is_directory {
            true => 0,
            false => attributes.links.saturating_sub(1),
        };
        attributes.links
    });
    if left == 0 {
        inode.set_unlinked();
        disk.tree.forget(inode);
    }
}

/// Makes something.
///
/// # Errors
/// As of open(2), mkdir(2), symlink(2), mknod(2).
pub(super) async fn make<M: Machine>(
    here: &Here<M>,
    entry: &Entry,
    made: &Made,
    mode: u16,
) -> Result<Arc<Inode>, Errno> {
    let directory = &entry.directory;
    let _names = directory.contents.lock().await;
    if directory.is_unlinked() {
        return Err(Errno::ENOENT);
    }
    if let Some(there) = look_up(here, directory, &entry.name).await? {
        // Somebody was faster.
        return match made {
            Made::Opened(flags) if flags & linux_raw_sys::general::O_EXCL == 0 => Ok(there),
            _ => Err(Errno::EEXIST),
        };
    }
    let (parent, name, made) = (number(directory), entry.name.clone(), made.clone());
    let now = Time::of(here.real_time());
    let make = move |system: Arc<System<M>>| async move {
        let context = context(now);
        match made {
            Made::Opened(_) => system.create(context, parent, &name, mode).await?,
            Made::Directory => system.make_directory(context, parent, &name, mode).await?,
            Made::Link(target) => system.symlink(context, parent, &name, &target).await?,
            Made::Node(kind, device) => {
                let kind = special(kind, device);
                system.make_node(context, parent, &name, mode, kind).await?
            }
        };
        let inode = system.lookup_open(parent, &name).await?;
        Ok((
            load(&system, inode).await?,
            system.attributes(parent).await?,
        ))
    };
    let (loaded, parent) = Disk::ask(here, directory.system(), here.activity(), make).await?;
    let inode = enter(here, directory.system(), loaded).await?;
    learn(directory, &entry.name, &inode);
    refresh(directory, parent);
    Ok(inode)
}

fn special(kind: u32, device: u32) -> Kind {
    use linux_raw_sys::general::{S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT, S_IFSOCK};
    match kind & S_IFMT {
        S_IFCHR => Kind::CharacterDevice(device),
        S_IFBLK => Kind::BlockDevice(device),
        S_IFIFO => Kind::Fifo,
        S_IFSOCK => Kind::Socket,
        _ => Kind::File,
    }
}

/// Opens a file for the process of a thread; the number of the descriptor.
///
/// # Errors
/// EMFILE; EISDIR, ELOOP and so on, if somebody else has made something else there.
pub(super) fn open<M: Machine>(
    thread: &Thread<M>,
    inode: Arc<Inode>,
    flags: u32,
) -> Result<u64, Errno> {
    let opened = match inode.kind() {
        FileType::Regular => Opened::Disk(inode.clone()),
        FileType::Directory => return Err(Errno::EISDIR),
        FileType::Link => return Err(Errno::ELOOP),
        FileType::Special => return Err(Errno::ENXIO),
    };
    let file = OpenFile::new(opened, Some(Node::Disk(inode)), kept(flags));
    let close_on_exec = flags & linux_raw_sys::general::O_CLOEXEC != 0;
    let mut descriptors = thread.process().descriptors().lock();
    Ok(descriptors.add(file, close_on_exec, 0)? as u64)
}

/// Gives something one more name.
///
/// # Errors
/// As of link(2).
pub(super) async fn link<M: Machine>(
    here: &Here<M>,
    inode: &Arc<Inode>,
    entry: &Entry,
) -> Result<(), Errno> {
    let directory = &entry.directory;
    let _names = directory.contents.lock().await;
    if directory.is_unlinked() {
        return Err(Errno::ENOENT);
    }
    let (linked, parent, name) = (number(inode), number(directory), entry.name.clone());
    let now = Time::of(here.real_time());
    let link = move |system: Arc<System<M>>| async move {
        system.link(context(now), linked, parent, &name).await?;
        let linked = system.attributes(linked).await?;
        Ok((linked, system.attributes(parent).await?))
    };
    let (attributes, parent) = Disk::ask(here, directory.system(), here.activity(), link).await?;
    learn(directory, &entry.name, inode);
    refresh(inode, attributes);
    refresh(directory, parent);
    Ok(())
}

/// Takes a name away.
///
/// # Errors
/// As of unlink(2) and rmdir(2).
pub(super) async fn remove<M: Machine>(
    here: &Here<M>,
    entry: &Entry,
    is_directory: bool,
) -> Result<(), Errno> {
    let directory = &entry.directory;
    let _names = directory.contents.lock().await;
    let inode = look_up(here, directory, &entry.name)
        .await?
        .ok_or(Errno::ENOENT)?;
    let (parent, name) = (number(directory), entry.name.clone());
    let now = Time::of(here.real_time());
    let remove = move |system: Arc<System<M>>| async move {
        let context = context(now);
        match is_directory {
            true => system.remove_directory(context, parent, &name).await?,
            false => system.unlink(context, parent, &name).await?,
        }
        system.attributes(parent).await
    };
    let parent = Disk::ask(here, directory.system(), here.activity(), remove).await?;
    unlearn(&*disk(here)?, entry, Some(&inode));
    refresh(directory, parent);
    inode.update(|attributes| attributes.changed = now);
    Ok(())
}

/// Gives something another name.
///
/// # Errors
/// As of rename(2).
pub(super) async fn rename<M: Machine>(
    here: &Here<M>,
    from: &Entry,
    to: &Entry,
    how: Rename,
) -> Result<(), Errno> {
    let (old, new) = (&from.directory, &to.directory);
    // Two directories are locked in the order of their numbers.
    let (first, second) = match old.number() <= new.number() {
        true => (old, new),
        false => (new, old),
    };
    let _first = first.contents.lock().await;
    let _second = match Arc::ptr_eq(first, second) {
        true => None,
        false => Some(second.contents.lock().await),
    };
    if new.is_unlinked() {
        return Err(Errno::ENOENT);
    }
    let inode = look_up(here, old, &from.name).await?.ok_or(Errno::ENOENT)?;
    let replaced = look_up(here, new, &to.name).await?;
    let (one, other) = (number(old), number(new));
    let (name, new_name) = (from.name.clone(), to.name.clone());
    let now = Time::of(here.real_time());
    let rename = move |system: Arc<System<M>>| async move {
        system
            .rename(context(now), (one, &name), (other, &new_name), how)
            .await?;
        let one = system.attributes(one).await?;
        Ok((one, system.attributes(other).await?))
    };
    let (one, other) = Disk::ask(here, old.system(), here.activity(), rename).await?;
    refresh(old, one);
    refresh(new, other);
    inode.update(|attributes| attributes.changed = now);
    // Two names of one file: nothing has been done.
    if replaced
        .as_ref()
        .is_some_and(|replaced| Arc::ptr_eq(replaced, &inode))
    {
        return Ok(());
    }
    match (how, replaced) {
        (Rename::Exchange, Some(other)) => learn(old, &from.name, &other),
        (_, replaced) => {
            unlearn(&*disk(here)?, to, replaced.as_ref());
            old.entries.lock().set(&from.name, None);
        }
    }
    learn(new, &to.name, &inode);
    Ok(())
}

/// Changes attributes.
///
/// # Errors
/// EIO and so on.
pub(super) async fn change<M: Machine>(
    here: &Here<M>,
    inode: &Arc<Inode>,
    changes: Changes,
) -> Result<(), Errno> {
    let now = Time::of(here.real_time());
    let time = |time: Option<Time>| time.map(|time| if time == Time::NOW { now } else { time });
    let (accessed, modified) = (time(changes.accessed), time(changes.modified));
    let asked = vortex_ext2::Changes {
        mode: changes.mode,
        user: changes.owner,
        group: changes.group,
        accessed: accessed.map(Into::into),
        modified: modified.map(Into::into),
    };
    let changed = number(inode);
    let set = move |system: Arc<System<M>>| async move {
        system.set_attributes(context(now), changed, asked).await
    };
    let attributes = Disk::ask(here, inode.system(), here.activity(), set).await?;
    refresh(inode, attributes);
    if let Some(modified) = modified {
        inode.update(|attributes| attributes.modified = modified);
    }
    Ok(())
}

/// Clears up what inodes have left behind that are in memory no more: files without a name are
/// removed from the disk.
pub(super) async fn clear_up<M: Machine>(here: &Here<M>) {
    let Some(disk) = here.shared.disk.get().cloned() else {
        return;
    };
    while let Some(mut unfinished) = disk.tree.gone().take() {
        if let Some(left) = unfinished.left() {
            disk.tree.forget_object(left.object);
            cache::discard(here, left.system, &mut left.pages).await;
        }
        let Some(left) = unfinished.finish() else {
            continue;
        };
        // Of what has just been unmounted, the root is the last.
        if disk.mounts.system(left.system).is_none() {
            continue;
        }
        let number = InodeNumber(left.number);
        let close = move |system: Arc<System<M>>| async move { system.close(number).await };
        if let Err(error) = Disk::ask(here, left.system, here.activity(), close).await {
            log::error!("inode {}: {}", number.0, error.name().unwrap_or("error"));
        }
    }
}
