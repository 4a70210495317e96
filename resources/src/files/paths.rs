//! System calls that take a path: open, readlink, access, chdir, and those that would change the
//! file system, which is read-only.

use alloc::vec::Vec;

use linux_raw_sys::general::{
    AT_EACCESS, AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, O_ACCMODE, O_CLOEXEC, O_CREAT,
    O_DIRECTORY, O_EXCL, O_LARGEFILE, O_NOCTTY, O_NOFOLLOW, O_PATH, O_RDONLY, O_TMPFILE, O_TRUNC,
    R_OK, W_OK, X_OK,
};

use super::archive::{Kind, NodeId};
use super::descriptors::{OpenFile, Opened};
use super::walk::{EXECUTE, Found, MAX_PATH};
use super::{Call, Failure, Outcome};
use crate::errno::Errno;

impl Call<'_> {
    /// `open(path, flags)`.
    ///
    /// # Errors
    /// As open(2) on a read-only file system.
    pub fn open(&self, path: u64, flags: u32) -> Outcome {
        self.open_at(AT_FDCWD, path, flags)
    }

    /// `openat(directory, path, flags)`.
    ///
    /// # Errors
    /// As open(2) on a read-only file system.
    pub fn open_at(&self, directory: i32, path: u64, flags: u32) -> Outcome {
        // With O_PATH, what is about reading and writing counts for nothing.
        let flags = match flags & O_PATH {
            0 => flags,
            _ => flags & (O_PATH | O_CLOEXEC | O_DIRECTORY | O_NOFOLLOW),
        };
        if flags & O_TMPFILE == O_TMPFILE {
            return Err(Errno::EROFS.into());
        }
        let path = self.path(path)?;
        let exclusive = flags & (O_CREAT | O_EXCL) == O_CREAT | O_EXCL;
        let follow = flags & O_NOFOLLOW == 0 && !exclusive;
        let node = match self.walk(directory, &path, follow)? {
            Found::Missing(_) if flags & O_CREAT != 0 => return Err(Errno::EROFS.into()),
            found => found.node()?,
        };
        if exclusive {
            return Err(Errno::EEXIST.into());
        }
        let file = OpenFile::new(self.opened(node, flags)?, Some(node), kept(flags));
        let number = self
            .descriptors
            .lock()
            .add(file, flags & O_CLOEXEC != 0, 0)?;
        Ok(number as u64)
    }

    /// What opening a node with these flags gives.
    fn opened(&self, node: NodeId, flags: u32) -> Result<Opened, Errno> {
        let kind = &self.archive.node(node).kind;
        let is_directory = matches!(kind, Kind::Directory(_));
        if flags & O_DIRECTORY != 0 && !is_directory {
            return Err(Errno::ENOTDIR);
        }
        if flags & O_PATH != 0 {
            return Ok(Opened::Place);
        }
        let writes = flags & O_ACCMODE != O_RDONLY || flags & O_TRUNC != 0;
        match kind {
            Kind::Link(_) | Kind::Program => Err(Errno::ELOOP),
            Kind::Directory(_) if writes || flags & O_CREAT != 0 => Err(Errno::EISDIR),
            Kind::Directory(_) => Ok(Opened::Directory),
            Kind::File(_) if writes => Err(Errno::EROFS),
            Kind::File(file) => Ok(Opened::File(file.clone())),
            Kind::Device(device) => Ok(Opened::Device(*device)),
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
                file.node.ok_or(Errno::ENOENT)?
            }
            _ => self.walk(directory, &path, false)?.node()?,
        };
        let program;
        let target = match &self.archive.node(node).kind {
            Kind::Link(target) => *target,
            Kind::Program => {
                program = self.descriptors.lock().program.clone();
                &program
            }
            _ if path.is_empty() => return Err(Errno::ENOENT.into()),
            _ => return Err(Errno::EINVAL.into()),
        };
        let length = target.len().min(size as u32 as usize);
        self.memory.write(buffer, &target[..length])?;
        Ok(length as u64)
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
        let node = self.archive.node(self.node_at(directory, path, flags)?);
        let is_file = matches!(node.kind, Kind::File(_));
        if mode & X_OK != 0 && !matches!(node.kind, Kind::Directory(_)) && node.mode & EXECUTE == 0
        {
            return Err(Errno::EACCES.into());
        }
        if mode & W_OK != 0 && (is_file || matches!(node.kind, Kind::Directory(_))) {
            return Err(Errno::EROFS.into());
        }
        Ok(0)
    }

    /// `getcwd(buffer, size)`: the length of the path with its end mark.
    ///
    /// # Errors
    /// ERANGE if it does not fit; EFAULT.
    pub fn current_directory(&self, buffer: u64, size: u64) -> Outcome {
        let directory = self.descriptors.lock().directory;
        let mut path = self.archive.path(directory);
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
        let node = self.node_at(AT_FDCWD, path, 0)?;
        self.archive.directory(node).ok_or(Errno::ENOTDIR)?;
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
        self.archive.directory(node).ok_or(Errno::ENOTDIR)?;
        descriptors.directory = node;
        Ok(0)
    }

    /// Calls that make something at a path: mkdirat, mknodat, symlinkat, linkat (its new path).
    ///
    /// # Errors
    /// Always: EEXIST if it is there, otherwise EROFS, or what is wrong with the path.
    pub fn make(&self, directory: i32, path: u64) -> Outcome {
        let path = self.path(path)?;
        match self.walk(directory, &path, false)? {
            Found::Node(_) => Err(Errno::EEXIST.into()),
            Found::Missing(_) => Err(Errno::EROFS.into()),
        }
    }

    /// Calls that take away a name: unlinkat, rmdir, renameat (its old path).
    ///
    /// # Errors
    /// Always: EROFS, whether it is there or not, or what is wrong with the path.
    pub fn remove(&self, directory: i32, path: u64) -> Outcome {
        let path = self.path(path)?;
        self.walk(directory, &path, false)?;
        Err(Errno::EROFS.into())
    }

    /// Calls that change what is at a path: fchmodat, fchownat, utimensat, truncate. `flags` may
    /// have `AT_SYMLINK_NOFOLLOW` and `AT_EMPTY_PATH`.
    ///
    /// # Errors
    /// Always: EROFS, or what is wrong with the path.
    pub fn change_at(&self, directory: i32, path: u64, flags: u32) -> Outcome {
        self.node_at(directory, path, flags)?;
        Err(Errno::EROFS.into())
    }

    /// Calls that change the attributes of what is open: fchmod, fchown.
    ///
    /// # Errors
    /// Always: EROFS, or EBADF.
    pub fn change(&self, descriptor: i32) -> Outcome {
        self.descriptors.lock().get(descriptor)?;
        Err(Errno::EROFS.into())
    }

    /// The node that a call with a directory, a path and `AT_…` flags means.
    pub(super) fn node_at(&self, directory: i32, path: u64, flags: u32) -> Result<NodeId, Failure> {
        let path = self.path(path)?;
        if !path.is_empty() || flags & AT_EMPTY_PATH == 0 {
            let follow = flags & AT_SYMLINK_NOFOLLOW == 0;
            return Ok(self.walk(directory, &path, follow)?.node()?);
        }
        let descriptors = self.descriptors.lock();
        match directory {
            AT_FDCWD => Ok(descriptors.directory),
            _ => Ok(descriptors.get(directory)?.place()?),
        }
    }

    /// A path in the program's memory.
    fn path(&self, address: u64) -> Result<Vec<u8>, Failure> {
        let path = self.memory.read_string(address, MAX_PATH - 1)?;
        Ok(path.ok_or(Errno::ENAMETOOLONG)?)
    }

    fn walk(&self, directory: i32, path: &[u8], follow: bool) -> Result<Found, Errno> {
        let descriptors = self.descriptors.lock();
        let start = match directory {
            _ if path.starts_with(b"/") => NodeId::ROOT,
            AT_FDCWD => descriptors.directory,
            _ if path.is_empty() => return Err(Errno::ENOENT),
            _ => descriptors.get(directory)?.place()?,
        };
        self.archive.walk(start, path, follow, &descriptors.program)
    }
}

/// The flags that stay with what is open.
fn kept(flags: u32) -> u32 {
    const ONCE: u32 = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC;
    let large = if flags & O_PATH == 0 { O_LARGEFILE } else { 0 };
    flags & !ONCE | large
}
