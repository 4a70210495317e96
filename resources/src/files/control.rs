//! System calls on descriptors themselves: close, dup, fcntl, ioctl; and those on a file's length
//! and attributes.

use alloc::sync::Arc;

use linux_raw_sys::general::{
    AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, B38400, CREAD, CS8, ECHO, F_DUPFD,
    F_DUPFD_CLOEXEC, F_GETFD, F_GETFL, F_GETOWN, F_GETPIPE_SZ, F_SETFD, F_SETFL, F_SETPIPE_SZ,
    FALLOC_FL_KEEP_SIZE, FD_CLOEXEC, ICANON, ISIG, O_ACCMODE, O_CLOEXEC, O_RDONLY, OPOST,
    POSIX_FADV_DONTNEED, POSIX_FADV_NOREUSE, POSIX_FADV_NORMAL, POSIX_FADV_RANDOM,
    POSIX_FADV_SEQUENTIAL, POSIX_FADV_WILLNEED,
};
use linux_raw_sys::ioctl::{
    FIOCLEX, FIONBIO, FIONCLEX, FIONREAD, TCGETS, TCSETS, TCSETSF, TCSETSW, TIOCGPGRP, TIOCGWINSZ,
};

use super::archive::Device;
use super::descriptors::{OpenFile, Opened};
use super::inode::FileType;
use super::operation::{Changes, Operation};
use super::terminal::TERMIOS;
use super::tree::Node;
use super::{Call, Outcome};
use crate::errno::Errno;
use crate::machine::PAGE_SIZE;
use crate::object::Object;

/// Flags of `close_range` (linux/close_range.h).
const CLOSE_RANGE_UNSHARE: u32 = 1 << 1;
const CLOSE_RANGE_CLOEXEC: u32 = 1 << 2;
/// Rows and columns that the console says it has.
const WINDOW: [u16; 4] = [25, 80, 0, 0];

impl Call<'_> {
    /// `close(descriptor)`.
    ///
    /// # Errors
    /// EBADF.
    pub fn close(&self, descriptor: i32) -> Outcome {
        let gone = self.descriptors.lock().close(descriptor)?;
        self.closed([gone]);
        Ok(0)
    }

    /// `close_range(first, last, flags)`.
    ///
    /// # Errors
    /// EINVAL.
    pub fn close_range(&self, first: u32, last: u32, flags: u32) -> Outcome {
        if first > last || flags & !(CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let only_mark = flags & CLOSE_RANGE_CLOEXEC != 0;
        let gone = self.descriptors.lock().close_range(first, last, only_mark);
        self.closed(gone);
        Ok(0)
    }

    /// The process has these not open any more, at least not by one descriptor.
    fn closed(&self, files: impl IntoIterator<Item = Arc<OpenFile>>) {
        let (locks, process) = self.owner;
        for file in files {
            locks.closed(process, &file);
        }
    }

    /// `dup(descriptor)`.
    ///
    /// # Errors
    /// EBADF, EMFILE.
    pub fn duplicate(&self, descriptor: i32) -> Outcome {
        let mut descriptors = self.descriptors.lock();
        let file = descriptors.get(descriptor)?;
        Ok(descriptors.add(file, false, 0)? as u64)
    }

    /// `dup2(old, new)`.
    ///
    /// # Errors
    /// EBADF.
    pub fn duplicate_to(&self, old: i32, new: i32) -> Outcome {
        let mut descriptors = self.descriptors.lock();
        let file = descriptors.get(old)?;
        if old != new {
            let gone = descriptors.replace(new, file, false)?;
            drop(descriptors);
            self.closed(gone);
        }
        Ok(new as u64)
    }

    /// `dup3(old, new, flags)`.
    ///
    /// # Errors
    /// EBADF; EINVAL if both are the same, or for unknown flags.
    pub fn duplicate_with(&self, old: i32, new: i32, flags: u32) -> Outcome {
        if old == new || flags & !O_CLOEXEC != 0 {
            return Err(Errno::EINVAL.into());
        }
        let mut descriptors = self.descriptors.lock();
        let file = descriptors.get(old)?;
        let gone = descriptors.replace(new, file, flags & O_CLOEXEC != 0)?;
        drop(descriptors);
        self.closed(gone);
        Ok(new as u64)
    }

    /// `fcntl(descriptor, command, argument)`.
    ///
    /// # Errors
    /// As fcntl(2); EINVAL for a command that is not here.
    pub fn control(&self, descriptor: i32, command: u32, argument: u64) -> Outcome {
        let mut descriptors = self.descriptors.lock();
        let file = descriptors.get(descriptor)?;
        let is_place = matches!(file.opened, Opened::Place);
        match command {
            F_DUPFD | F_DUPFD_CLOEXEC => {
                let lowest = u32::try_from(argument).map_err(|_| Errno::EINVAL)?;
                Ok(descriptors.add(file, command == F_DUPFD_CLOEXEC, lowest)? as u64)
            }
            F_GETFD => Ok(descriptors.close_on_exec(descriptor)?.into()),
            F_SETFD => {
                let set = argument & u64::from(FD_CLOEXEC) != 0;
                descriptors.set_close_on_exec(descriptor, set)?;
                Ok(0)
            }
            F_GETFL => Ok(file.flags().into()),
            _ if is_place => Err(Errno::EBADF.into()),
            F_SETFL => {
                file.set_status(argument as u32);
                Ok(0)
            }
            F_GETOWN => Ok(0),
            F_GETPIPE_SZ | F_SETPIPE_SZ => pipe_size(&file, command, argument),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    /// `ioctl(descriptor, command, argument)`.
    ///
    /// # Errors
    /// As ioctl(2); ENOTTY for a command that is not here.
    pub fn device_control(&self, descriptor: i32, command: u32, argument: u64) -> Outcome {
        let file = self.descriptors.lock().get(descriptor)?;
        if matches!(file.opened, Opened::Place) {
            return Err(Errno::EBADF.into());
        }
        let is_console = matches!(file.opened, Opened::Device(Device::Console));
        match command {
            FIOCLEX | FIONCLEX => {
                let set = command == FIOCLEX;
                self.descriptors.lock().set_close_on_exec(descriptor, set)?;
            }
            FIONBIO => self.set_nonblocking(&file, argument)?,
            FIONREAD => match &file.opened {
                Opened::File(content) => {
                    let left = content.length().saturating_sub(*file.position.lock());
                    self.memory.write(argument, &(left as u32).to_le_bytes())?;
                }
                Opened::Disk(inode) => {
                    let left = inode.size().saturating_sub(*file.position.lock());
                    self.memory.write(argument, &(left as u32).to_le_bytes())?;
                }
                Opened::Device(Device::Console) => {
                    self.memory.write(argument, &0_u32.to_le_bytes())?;
                }
                Opened::Pipe(end) => {
                    let bytes = end.bytes() as u32;
                    self.memory.write(argument, &bytes.to_le_bytes())?;
                }
                Opened::Socket(socket) => {
                    let bytes = socket.waiting().0 as u32;
                    self.memory.write(argument, &bytes.to_le_bytes())?;
                }
                Opened::Terminal(terminal) => {
                    return self.terminal_control(terminal, command, argument);
                }
                _ => return Err(Errno::ENOTTY.into()),
            },
            TCGETS if is_console => self.memory.write(argument, &terminal())?,
            // The settings are read, and change nothing: bytes go through as they are.
            TCSETS | TCSETSW | TCSETSF if is_console => {
                self.memory.read(argument, &mut [0; TERMIOS])?;
            }
            TIOCGWINSZ if is_console => {
                let bytes = WINDOW.map(u16::to_le_bytes);
                self.memory.write(argument, bytes.as_flattened())?;
            }
            // All processes are in one group, number 1.
            TIOCGPGRP if is_console => self.memory.write(argument, &1_u32.to_le_bytes())?,
            _ => match &file.opened {
                Opened::Terminal(terminal) => {
                    return self.terminal_control(terminal, command, argument);
                }
                _ => return Err(Errno::ENOTTY.into()),
            },
        }
        Ok(0)
    }

    fn set_nonblocking(&self, file: &Arc<OpenFile>, argument: u64) -> Result<(), super::Failure> {
        use linux_raw_sys::general::O_NONBLOCK;
        let mut on = [0; 4];
        self.memory.read(argument, &mut on)?;
        let others = file.flags() & !O_NONBLOCK;
        file.set_status(if on == [0; 4] {
            others
        } else {
            others | O_NONBLOCK
        });
        Ok(())
    }

    /// `fsync` and `fdatasync`.
    ///
    /// # Errors
    /// EBADF; EINVAL for a device; EIO.
    pub fn synchronise(&self, descriptor: i32) -> Outcome {
        let file = self.descriptors.lock().get(descriptor)?;
        match (&file.opened, &file.node) {
            (Opened::Place, _) => Err(Errno::EBADF.into()),
            (Opened::File(_) | Opened::Disk(_) | Opened::Directory, Some(Node::Disk(inode))) => {
                Err(Operation::Sync(alloc::vec![inode.clone()]).into())
            }
            (Opened::File(_) | Opened::Disk(_) | Opened::Directory, _) => Ok(0),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    /// `syncfs(descriptor)`.
    ///
    /// # Errors
    /// EBADF; EIO.
    pub fn synchronise_all(&self, descriptor: i32) -> Outcome {
        let file = self.descriptors.lock().get(descriptor)?;
        match (&file.opened, &file.node) {
            (Opened::Place, _) => Err(Errno::EBADF.into()),
            (_, Some(Node::Disk(_))) => Err(Operation::SyncAll.into()),
            _ => Ok(0),
        }
    }

    /// `sync()`.
    ///
    /// # Errors
    /// None.
    pub fn synchronise_system(&self) -> Outcome {
        match self.disk {
            Some(_) => Err(Operation::SyncAll.into()),
            None => Ok(0),
        }
    }

    /// `ftruncate(descriptor, length)`.
    ///
    /// # Errors
    /// EBADF; EINVAL for what is not open for writing or is no file; EFBIG.
    pub fn truncate(&self, descriptor: i32, length: i64) -> Outcome {
        let length = u64::try_from(length);
        let file = self.descriptors.lock().get(descriptor)?;
        match &file.opened {
            Opened::Place => Err(Errno::EBADF.into()),
            Opened::Disk(inode) if file.flags() & O_ACCMODE != O_RDONLY => {
                Err(Operation::Cut(inode.clone(), length.map_err(|_| Errno::EINVAL)?).into())
            }
            _ => Err(Errno::EINVAL.into()),
        }
    }

    /// `truncate(path, length)`.
    ///
    /// # Errors
    /// As truncate(2).
    pub fn truncate_at(&self, path: u64, length: i64) -> Outcome {
        let length = u64::try_from(length).map_err(|_| Errno::EINVAL)?;
        let inode = self.inode_at(AT_FDCWD, path, 0)?;
        match inode.kind() {
            FileType::Regular => Err(Operation::Cut(inode, length).into()),
            FileType::Directory => Err(Errno::EISDIR.into()),
            FileType::Link | FileType::Special => Err(Errno::EINVAL.into()),
        }
    }

    /// `fallocate(descriptor, mode, offset, length)`. Blocks are found when they are written, so all
    /// that is done is to make the file longer.
    ///
    /// # Errors
    /// EBADF, EINVAL, ENODEV, EFBIG; EOPNOTSUPP for a mode that there is not.
    pub fn allocate(&self, descriptor: i32, mode: u32, offset: i64, length: i64) -> Outcome {
        let file = self.descriptors.lock().get(descriptor)?;
        match &file.opened {
            Opened::Device(_)
            | Opened::Counter(_)
            | Opened::Timer(_)
            | Opened::Epoll(_)
            | Opened::Terminal(_) => Err(Errno::ENODEV.into()),
            Opened::Pipe(_) | Opened::Socket(_) => Err(Errno::ESPIPE.into()),
            Opened::Disk(inode) if file.flags() & O_ACCMODE != O_RDONLY => {
                let offset = u64::try_from(offset).map_err(|_| Errno::EINVAL)?;
                let length = u64::try_from(length).map_err(|_| Errno::EINVAL)?;
                if length == 0 {
                    return Err(Errno::EINVAL.into());
                }
                if mode & !FALLOC_FL_KEEP_SIZE != 0 {
                    return Err(Errno::EOPNOTSUPP.into());
                }
                let end = offset.checked_add(length).ok_or(Errno::EFBIG)?;
                Err(Operation::Allocate(inode.clone(), end, mode == 0).into())
            }
            _ => Err(Errno::EBADF.into()),
        }
    }

    /// `fchmodat(directory, path, mode)`; without a path, what the descriptor stands for.
    ///
    /// # Errors
    /// As chmod(2).
    pub fn change_mode(&self, directory: i32, path: Option<u64>, mode: u32) -> Outcome {
        let changes = Changes {
            mode: Some((mode & 0o7777) as u16),
            ..Changes::default()
        };
        self.change(directory, path, 0, changes)
    }

    /// `fchownat(directory, path, owner, group, flags)`; without a path, what the descriptor stands
    /// for.
    ///
    /// # Errors
    /// As chown(2).
    pub fn change_owner(
        &self,
        directory: i32,
        path: Option<u64>,
        [owner, group]: [u32; 2],
        flags: u32,
    ) -> Outcome {
        if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let given = |number: u32| (number != u32::MAX).then_some(number);
        let changes = Changes {
            owner: given(owner),
            group: given(group),
            ..Changes::default()
        };
        self.change(directory, path, flags, changes)
    }

    /// Changes attributes of what a path leads to or a descriptor stands for.
    ///
    /// # Errors
    /// What is wrong with the path; EBADF; EROFS for what is in the archive.
    pub fn change(
        &self,
        directory: i32,
        path: Option<u64>,
        flags: u32,
        changes: Changes,
    ) -> Outcome {
        let inode = match path {
            Some(path) => self.inode_at(directory, path, flags)?,
            None => {
                let file = self.descriptors.lock().get(directory)?;
                if matches!(file.opened, Opened::Place) {
                    return Err(Errno::EBADF.into());
                }
                let node = file.node.as_ref().ok_or(Errno::EROFS)?;
                node.on_disk()?.clone()
            }
        };
        Err(Operation::Change(inode, changes).into())
    }

    /// `cache_evict(descriptor)`, of one file.
    ///
    /// # Errors
    /// EBADF; EINVAL for what is no file of a disk.
    pub fn evict(&self, descriptor: i32) -> Outcome {
        match &self.descriptors.lock().get(descriptor)?.opened {
            Opened::Disk(inode) => Err(Operation::Evict(inode.clone()).into()),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    /// fadvise64(2): nothing is read ahead of random reads, and whole pages that will not be needed
    /// again are given back at once; other advice changes nothing. A length of 0 is up to the end.
    ///
    /// # Errors
    /// EBADF; EINVAL for a negative length or advice that there is not; ESPIPE for a pipe.
    pub fn advise_of(&self, descriptor: i32, offset: i64, length: i64, advice: u32) -> Outcome {
        let file = self.descriptors.lock().get(descriptor)?.clone();
        match &file.opened {
            Opened::Place => return Err(Errno::EBADF.into()),
            Opened::Pipe(_) => return Err(Errno::ESPIPE.into()),
            _ if length < 0 => return Err(Errno::EINVAL.into()),
            _ => {}
        }
        match (advice, &file.opened) {
            (POSIX_FADV_NORMAL | POSIX_FADV_RANDOM | POSIX_FADV_SEQUENTIAL, _) => {
                file.ahead.lock().set_random(advice == POSIX_FADV_RANDOM);
            }
            (POSIX_FADV_DONTNEED, Opened::Disk(inode)) => {
                let start = u64::try_from(offset).unwrap_or(0);
                let end = match start.saturating_add(length.unsigned_abs()) {
                    end if end == start => u64::MAX,
                    end => end / PAGE_SIZE,
                };
                let pages = start.div_ceil(PAGE_SIZE)..end;
                return Err(Operation::Discard(inode.clone(), pages).into());
            }
            (POSIX_FADV_WILLNEED | POSIX_FADV_DONTNEED | POSIX_FADV_NOREUSE, _) => {}
            _ => return Err(Errno::EINVAL.into()),
        }
        Ok(0)
    }

    /// Calls that give advice, which changes nothing here: readahead.
    ///
    /// # Errors
    /// EBADF.
    pub fn advise(&self, descriptor: i32) -> Outcome {
        match self.descriptors.lock().get(descriptor)?.opened {
            Opened::Place => Err(Errno::EBADF.into()),
            _ => Ok(0),
        }
    }
}

/// `F_GETPIPE_SZ` and `F_SETPIPE_SZ`.
fn pipe_size(file: &OpenFile, command: u32, argument: u64) -> Outcome {
    match &file.opened {
        Opened::Pipe(end) if command == F_GETPIPE_SZ => Ok(end.capacity()),
        Opened::Pipe(end) => Ok(end.set_capacity(argument & u64::from(u32::MAX))?),
        _ => Err(Errno::EBADF.into()),
    }
}

/// The console's `struct termios`: what is written is sent as it is, without carriage returns.
fn terminal() -> [u8; TERMIOS] {
    let (input, output, control, local) = (0, OPOST, CS8 | CREAD | B38400, ISIG | ICANON | ECHO);
    let mut bytes = [0; TERMIOS];
    let words: [u32; 4] = [input, output, control, local];
    bytes[..16].copy_from_slice(words.map(u32::to_le_bytes).as_flattened());
    bytes
}
