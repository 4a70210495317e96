//! System calls that take a path: open, readlink, access, chdir, and those that change names.

use alloc::sync::Arc;
use alloc::vec::Vec;

use linux_raw_sys::general::{
    AT_EACCESS, AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, AT_SYMLINK_NOFOLLOW,
    O_ACCMODE, O_CLOEXEC, O_CREAT, O_DIRECTORY, O_EXCL, O_LARGEFILE, O_NOCTTY, O_NOFOLLOW, O_PATH,
    O_RDONLY, O_TMPFILE, O_TRUNC, R_OK, RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT,
    S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT, S_IFREG, S_IFSOCK, W_OK, X_OK,
};

use super::archive::{Device, Kind};
use super::descriptors::{OpenFile, Opened};
use super::inode::{FileType, Inode};
use super::operation::{Entry, Made, Operation, Rename};
use super::tree::{Follow, Found, Node};
use super::walk::{EXECUTE, MAX_PATH};
use super::{Call, Failure, Outcome};
use crate::errno::Errno;

/// Permissions, with the set-user-ID, set-group-ID and sticky bits.
const MODE: u32 = 0o7777;

impl Call<'_> {
    /// `open(path, flags, mode)`.
    ///
    /// # Errors
    /// As open(2).
    pub fn open(&self, path: u64, flags: u32, mode: u32) -> Outcome {
        self.open_at(AT_FDCWD, path, flags, mode)
    }

    /// `openat(directory, path, flags, mode)`.
    ///
    /// # Errors
    /// As open(2).
    pub fn open_at(&self, directory: i32, path: u64, flags: u32, mode: u32) -> Outcome {
        // With O_PATH, what is about reading and writing counts for nothing.
        let flags = match flags & O_PATH {
            0 => flags,
            _ => flags & (O_PATH | O_CLOEXEC | O_DIRECTORY | O_NOFOLLOW),
        };
        let path = self.path(path)?;
        let exclusive = flags & (O_CREAT | O_EXCL) == O_CREAT | O_EXCL;
        let follow = match flags & O_NOFOLLOW == 0 && !exclusive {
            true => Follow::Always,
            false => Follow::NotLast,
        };
        let nameless = flags & O_TMPFILE == O_TMPFILE;
        if nameless && flags & O_ACCMODE == O_RDONLY {
            return Err(Errno::EINVAL.into());
        }
        let found = self.walk(directory, &path, follow)?;
        if nameless {
            // Linux's ext2 does not make any, either.
            return Err(match found.node()?.on_disk()?.kind() {
                FileType::Directory => Errno::EOPNOTSUPP.into(),
                _ => Errno::ENOTDIR.into(),
            });
        }
        let Some(node) = found.node.clone() else {
            return self.open_missing(found, flags, mode);
        };
        if exclusive {
            return Err(Errno::EEXIST.into());
        }
        let opened = self.opened(&node, flags)?;
        if let (Opened::Disk(inode), true) = (&opened, flags & O_TRUNC != 0) {
            return Err(Operation::OpenEmpty(inode.clone(), flags).into());
        }
        let file = OpenFile::new(opened, Some(node), kept(flags));
        let number = self
            .descriptors
            .lock()
            .add(file, flags & O_CLOEXEC != 0, 0)?;
        Ok(number as u64)
    }

    /// Opens what is not there, if it is to be made.
    fn open_missing(&self, found: Found, flags: u32, mode: u32) -> Outcome {
        if flags & O_CREAT == 0 {
            return Err(Errno::ENOENT.into());
        }
        if found.slash {
            return Err(Errno::EISDIR.into());
        }
        if flags & O_DIRECTORY != 0 {
            return Err(Errno::EINVAL.into());
        }
        let entry = entry(found)?;
        let mode = self.masked(mode);
        Err(Operation::Make(entry, Made::Opened(flags), mode).into())
    }

    fn is_read_only(&self, inode: &Inode) -> bool {
        self.disk.is_some_and(|disk| disk.is_read_only(inode))
    }

    /// The permissions that something new gets.
    fn masked(&self, mode: u32) -> u16 {
        (mode & !self.creation_mask & MODE) as u16
    }

    /// What opening a node with these flags gives.
    fn opened(&self, node: &Node, flags: u32) -> Result<Opened, Errno> {
        let is_directory = self.names().is_directory(node);
        if flags & O_DIRECTORY != 0 && !is_directory {
            return Err(Errno::ENOTDIR);
        }
        if flags & O_PATH != 0 {
            return Ok(Opened::Place);
        }
        let writes = flags & O_ACCMODE != O_RDONLY || flags & O_TRUNC != 0;
        if is_directory {
            return match writes || flags & O_CREAT != 0 {
                true => Err(Errno::EISDIR),
                false => Ok(Opened::Directory),
            };
        }
        match node {
            Node::Process(_) if writes => Err(Errno::EACCES),
            Node::Process(place) => {
                let procfs = self.names().procfs.ok_or(Errno::ENOENT)?;
                Ok(Opened::Text(procfs.content(*place)?))
            }
            Node::Disk(inode) if writes && self.is_read_only(inode) => Err(Errno::EROFS),
            Node::Disk(inode) => match inode.kind() {
                FileType::Regular => Ok(Opened::Disk(inode.clone())),
                FileType::Link => Err(Errno::ELOOP),
                FileType::Directory | FileType::Special => Err(Errno::ENXIO),
            },
            Node::Archive(id) => match &self.archive.node(*id).kind {
                Kind::Link(_) | Kind::Program => Err(Errno::ELOOP),
                Kind::Directory(_) => Err(Errno::EISDIR),
                Kind::File(_) if writes => Err(Errno::EROFS),
                Kind::File(file) => Ok(Opened::File(file.clone())),
                Kind::Device(Device::Console) => Ok(self.open_console(flags)),
                Kind::Device(device) => Ok(Opened::Device(*device)),
            },
        }
    }

    /// `readlink(path, buffer, size)`.
    ///
    /// # Errors
    /// As readlink(2).
    pub fn readlink(&self, path: u64, buffer: u64, size: u64) -> Outcome {
        self.readlink_at(AT_FDCWD, path, buffer, size)
    }

    /// `readlinkat(directory, path, buffer, size)`.
    ///
    /// # Errors
    /// As readlink(2).
    pub fn readlink_at(&self, directory: i32, path: u64, buffer: u64, size: u64) -> Outcome {
        if size as i32 <= 0 {
            return Err(Errno::EINVAL.into());
        }
        let path = self.path(path)?;
        let node = match (path.is_empty(), directory) {
            (true, AT_FDCWD) => return Err(Errno::ENOENT.into()),
            (true, _) => {
                let file = self.descriptors.lock().get(directory)?;
                file.node.clone().ok_or(Errno::ENOENT)?
            }
            _ => self.walk(directory, &path, Follow::NotLast)?.node()?,
        };
        let Some(target) = self.target(&node) else {
            return Err(match path.is_empty() {
                true => Errno::ENOENT.into(),
                false => Errno::EINVAL.into(),
            });
        };
        let length = target.len().min(size as u32 as usize);
        self.memory.write(buffer, &target[..length])?;
        Ok(length as u64)
    }

    /// Where a link leads; `None` for anything else.
    fn target(&self, node: &Node) -> Option<Vec<u8>> {
        match node {
            Node::Process(place) => {
                let program = self.descriptors.lock().program.clone();
                self.names().procfs?.target(*place, &program)
            }
            Node::Disk(inode) => (inode.kind() == FileType::Link).then(|| inode.target().to_vec()),
            Node::Archive(id) => match &self.archive.node(*id).kind {
                Kind::Link(target) => Some(target.to_vec()),
                Kind::Program => Some(self.descriptors.lock().program.clone()),
                _ => None,
            },
        }
    }

    /// `access(path, mode)`.
    ///
    /// # Errors
    /// As access(2).
    pub fn access(&self, path: u64, mode: u32) -> Outcome {
        self.access_at(AT_FDCWD, path, mode, 0)
    }

    /// `faccessat2(directory, path, mode, flags)`; `faccessat` has no flags.
    ///
    /// # Errors
    /// As faccessat(2).
    pub fn access_at(&self, directory: i32, path: u64, mode: u32, flags: u32) -> Outcome {
        let known = AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
        if mode & !(R_OK | W_OK | X_OK) != 0 || flags & !known != 0 {
            return Err(Errno::EINVAL.into());
        }
        let Some(node) = self.node_at(directory, path, flags)? else {
            return Ok(0);
        };
        let (permissions, is_constant) = match &node {
            Node::Process(place) => (place.mode() as u16, true),
            Node::Disk(inode) => (inode.attributes().mode, false),
            Node::Archive(id) => {
                let node = self.archive.node(*id);
                let is_file = matches!(node.kind, Kind::File(_) | Kind::Directory(_));
                (node.mode, is_file)
            }
        };
        let is_directory = self.names().is_directory(&node);
        if mode & X_OK != 0 && !is_directory && permissions & EXECUTE == 0 {
            return Err(Errno::EACCES.into());
        }
        if mode & W_OK != 0 && is_constant {
            return Err(Errno::EROFS.into());
        }
        Ok(0)
    }

    /// `getcwd(buffer, size)`: the length of the path with its end mark.
    ///
    /// # Errors
    /// ERANGE if it does not fit; ENOENT if it is not there any more; EFAULT.
    pub fn current_directory(&self, buffer: u64, size: u64) -> Outcome {
        let directory = self.descriptors.lock().directory.clone();
        let mut path = self.names().path(&directory)?;
        path.push(0);
        if path.len() > MAX_PATH {
            return Err(Errno::ENAMETOOLONG.into());
        }
        if path.len() as u64 > size {
            return Err(Errno::ERANGE.into());
        }
        self.memory.write(buffer, &path)?;
        Ok(path.len() as u64)
    }

    /// `chdir(path)`.
    ///
    /// # Errors
    /// As chdir(2).
    pub fn change_directory(&self, path: u64) -> Outcome {
        let node = self.node_at(AT_FDCWD, path, 0)?.ok_or(Errno::ENOENT)?;
        if !self.names().is_directory(&node) {
            return Err(Errno::ENOTDIR.into());
        }
        self.descriptors.lock().directory = node;
        Ok(0)
    }

    /// `fchdir(descriptor)`.
    ///
    /// # Errors
    /// EBADF, ENOTDIR.
    pub fn change_directory_to(&self, descriptor: i32) -> Outcome {
        let mut descriptors = self.descriptors.lock();
        let node = descriptors.get(descriptor)?.place()?;
        if !self.names().is_directory(&node) {
            return Err(Errno::ENOTDIR.into());
        }
        descriptors.directory = node;
        Ok(0)
    }

    /// `mkdirat(directory, path, mode)`.
    ///
    /// # Errors
    /// As mkdir(2).
    pub fn make_directory(&self, directory: i32, path: u64, mode: u32) -> Outcome {
        let entry = self.new_entry(directory, path, true)?;
        Err(Operation::Make(entry, Made::Directory, self.masked(mode & !0o6000)).into())
    }

    /// `mknodat(directory, path, mode, device)`.
    ///
    /// # Errors
    /// As mknod(2).
    pub fn make_node(&self, directory: i32, path: u64, mode: u32, device: u32) -> Outcome {
        let kind = match mode & S_IFMT {
            0 => S_IFREG,
            kind @ (S_IFREG | S_IFCHR | S_IFBLK | S_IFIFO | S_IFSOCK) => kind,
            linux_raw_sys::general::S_IFDIR => return Err(Errno::EPERM.into()),
            _ => return Err(Errno::EINVAL.into()),
        };
        let entry = self.new_entry(directory, path, false)?;
        Err(Operation::Make(entry, Made::Node(kind, device), self.masked(mode)).into())
    }

    /// `symlinkat(target, directory, path)`.
    ///
    /// # Errors
    /// As symlink(2).
    pub fn make_link(&self, target: u64, directory: i32, path: u64) -> Outcome {
        let target = self.path(target)?;
        if target.is_empty() {
            return Err(Errno::ENOENT.into());
        }
        let entry = self.new_entry(directory, path, false)?;
        Err(Operation::Make(entry, Made::Link(target), 0o777).into())
    }

    /// `linkat(from, old, to, new, flags)`.
    ///
    /// # Errors
    /// As link(2).
    pub fn link(&self, from: i32, old: u64, to: i32, new: u64, flags: u32) -> Outcome {
        if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let follow = match flags & AT_SYMLINK_FOLLOW {
            0 => AT_SYMLINK_NOFOLLOW,
            _ => 0,
        };
        let node = self.node_at(from, old, follow | flags & AT_EMPTY_PATH)?;
        let entry = self.new_entry(to, new, false)?;
        let inode = match node {
            Some(Node::Disk(inode)) => inode,
            _ => return Err(Errno::EXDEV.into()),
        };
        if inode.system() != entry.directory.system() {
            return Err(Errno::EXDEV.into());
        }
        if inode.kind() == FileType::Directory {
            return Err(Errno::EPERM.into());
        }
        Err(Operation::Link(inode, entry).into())
    }

    /// `unlinkat(directory, path, flags)`.
    ///
    /// # Errors
    /// As unlink(2) and rmdir(2).
    pub fn remove(&self, directory: i32, path: u64, flags: u32) -> Outcome {
        if flags & !AT_REMOVEDIR != 0 {
            return Err(Errno::EINVAL.into());
        }
        let is_directory = flags & AT_REMOVEDIR != 0;
        let path = self.path(path)?;
        let found = self.walk(directory, &path, Follow::Never)?;
        match (found.name.as_slice(), is_directory) {
            (b"" | b"." | b"..", false) => return Err(Errno::EISDIR.into()),
            (b"", true) => return Err(Errno::EBUSY.into()),
            (b".", true) => return Err(Errno::EINVAL.into()),
            (b"..", true) => return Err(Errno::ENOTEMPTY.into()),
            _ => {}
        }
        found.directory.on_disk()?;
        let node = found.node.clone().ok_or(Errno::ENOENT)?;
        match (self.names().is_directory(&node), is_directory) {
            (true, false) => return Err(Errno::EISDIR.into()),
            (false, true) => return Err(Errno::ENOTDIR.into()),
            (false, false) if found.slash => return Err(Errno::ENOTDIR.into()),
            _ => {}
        }
        Err(Operation::Remove(self.unmounted(found)?, is_directory).into())
    }

    /// `renameat2(from, old, to, new, flags)`.
    ///
    /// # Errors
    /// As rename(2).
    pub fn rename(&self, from: i32, old: u64, to: i32, new: u64, flags: u32) -> Outcome {
        let how = match flags {
            0 => Rename::Replace,
            RENAME_NOREPLACE => Rename::NoReplace,
            RENAME_EXCHANGE => Rename::Exchange,
            _ if flags & !(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT) != 0 => {
                return Err(Errno::EINVAL.into());
            }
            _ => return Err(Errno::EINVAL.into()),
        };
        let (old, new) = (self.path(old)?, self.path(new)?);
        let old = self.walk(from, &old, Follow::Never)?;
        let new = self.walk(to, &new, Follow::Never)?;
        let same_system = match (&old.directory, &new.directory) {
            (Node::Disk(old), Node::Disk(new)) => old.system() == new.system(),
            (Node::Archive(_), Node::Archive(_)) => true,
            _ => false,
        };
        if !same_system {
            return Err(Errno::EXDEV.into());
        }
        let special = |name: &[u8]| matches!(name, b"" | b"." | b"..");
        if special(&old.name) {
            return Err(Errno::EBUSY.into());
        }
        if special(&new.name) {
            return Err(match how {
                Rename::NoReplace => Errno::EEXIST.into(),
                _ => Errno::EBUSY.into(),
            });
        }
        old.directory.on_disk()?;
        let node = old.node.clone().ok_or(Errno::ENOENT)?;
        match (&new.node, how) {
            (Some(_), Rename::NoReplace) => return Err(Errno::EEXIST.into()),
            (None, Rename::Exchange) => return Err(Errno::ENOENT.into()),
            _ => {}
        }
        let is_directory = self.names().is_directory(&node);
        if !is_directory && (old.slash || new.slash && how != Rename::Exchange) {
            return Err(Errno::ENOTDIR.into());
        }
        let (old, new) = (self.unmounted(old)?, self.unmounted(new)?);
        Err(Operation::Rename(old, new, how).into())
    }

    /// Where something new is to be, whose path must lead nowhere yet.
    fn new_entry(&self, directory: i32, path: u64, is_directory: bool) -> Result<Entry, Failure> {
        let path = self.path(path)?;
        let found = self.walk(directory, &path, Follow::Never)?;
        if found.node.is_some() {
            return Err(Errno::EEXIST.into());
        }
        if found.slash && !is_directory {
            return Err(Errno::ENOENT.into());
        }
        Ok(entry(found)?)
    }

    /// Where a name is that nothing is mounted over.
    fn unmounted(&self, found: Found) -> Result<Entry, Errno> {
        let tree = self.names().disk;
        let there = found.node.clone();
        let entry = entry(found)?;
        let is_other = |inode: &Inode| inode.system() != entry.directory.system();
        if let Some(Node::Disk(inode)) = &there
            && is_other(inode)
        {
            return Err(Errno::EBUSY);
        }
        match tree.is_some_and(|tree| tree.is_mount(&entry.directory, &entry.name)) {
            true => Err(Errno::EBUSY),
            false => Ok(entry),
        }
    }

    /// The node that a call with a directory, a path and `AT_…` flags means; `None` if it is open
    /// without being anywhere.
    pub(crate) fn node_at(
        &self,
        directory: i32,
        path: u64,
        flags: u32,
    ) -> Result<Option<Node>, Failure> {
        let path = self.path(path)?;
        if !path.is_empty() || flags & AT_EMPTY_PATH == 0 {
            let follow = match flags & AT_SYMLINK_NOFOLLOW {
                0 => Follow::Always,
                _ => Follow::NotLast,
            };
            return Ok(Some(self.walk(directory, &path, follow)?.node()?));
        }
        let descriptors = self.descriptors.lock();
        match directory {
            AT_FDCWD => Ok(Some(descriptors.directory.clone())),
            _ => Ok(descriptors.get(directory)?.node.clone()),
        }
    }

    /// The inode that a call with a directory, a path and `AT_…` flags changes.
    pub(super) fn inode_at(
        &self,
        directory: i32,
        path: u64,
        flags: u32,
    ) -> Result<Arc<Inode>, Failure> {
        let node = self.node_at(directory, path, flags)?;
        Ok(node.ok_or(Errno::EINVAL)?.on_disk()?.clone())
    }

    /// A path in the program's memory.
    pub(super) fn path(&self, address: u64) -> Result<Vec<u8>, Failure> {
        let path = self.memory.read_string(address, MAX_PATH - 1)?;
        Ok(path.ok_or(Errno::ENAMETOOLONG)?)
    }

    pub(super) fn walk(
        &self,
        directory: i32,
        path: &[u8],
        follow: Follow,
    ) -> Result<Found, Failure> {
        let descriptors = self.descriptors.lock();
        let start = match directory {
            _ if path.starts_with(b"/") => self.names().root(),
            AT_FDCWD => descriptors.directory.clone(),
            _ if path.is_empty() => return Err(Errno::ENOENT.into()),
            _ => descriptors.get(directory)?.place()?,
        };
        let program = descriptors.program.clone();
        drop(descriptors);
        Ok(self.names().walk(&start, path, follow, &program)?)
    }
}

/// Where a path leads, as a place on the disk.
fn entry(found: Found) -> Result<Entry, Errno> {
    Ok(Entry {
        directory: found.directory.on_disk()?.clone(),
        name: found.name,
    })
}

/// The flags that stay with what is open.
pub(super) fn kept(flags: u32) -> u32 {
    const ONCE: u32 = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC;
    let large = if flags & O_PATH == 0 { O_LARGEFILE } else { 0 };
    flags & !ONCE | large
}
