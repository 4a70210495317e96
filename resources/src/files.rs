//! Files: the read-only archive, descriptors, the console and terminal; and the system calls on them.
//!
//! Key types: [`Archive`] (the root file system), [`Descriptors`] (what a process has open, and
//! where it is), [`Call`] (a system call on files, one method for each), [`Failure`] (how one
//! fails).
//!
//! A call has no effect before everything it reads from the program is there: one that fails with
//! [`Failure::User`] can be made again from its beginning.

mod aio;
mod archive;
mod boot;
mod cache;
mod console;
mod control;
mod copy;
mod cursor;
mod descriptors;
mod disk;
mod epoll;
mod event;
mod inode;
mod list;
mod locks;
mod mounts;
mod names;
mod operation;
mod page_cache;
mod paths;
mod perform;
mod pipe;
mod poll;
mod procfs;
mod quota;
mod ready;
mod sendfile;
mod sockets;
mod status;
mod streaming;
mod tar;
mod terminal;
mod timer;
mod transfer;
mod tree;
mod vector;
mod walk;

pub use aio::{PinnedBuffers, Put, Read};
pub(crate) use aio::{bring_in_page, sink, source};
pub use archive::Node as ArchiveNode;
pub use archive::{Archive, Device, Directory, Kind, MAX_NAME, MAX_NODES, NodeId, Problem};
pub(crate) use boot::end;
#[cfg(any(test, feature = "fake"))]
pub(crate) use boot::mounting;
pub use boot::{First, boot};
pub use cache::{FileCache, Frames};
pub(crate) use cache::{flush, soil_page};
pub use console::Console;
pub use copy::Copying;
pub use cursor::Buffer;
pub(crate) use cursor::Cursor;
pub use descriptors::{DEFAULT_LIMIT, Descriptors, MAX_LIMIT, OpenFile, Opened};
pub use disk::Disk;
pub use epoll::{Epoll, Event};
pub use event::EventCounter;
pub use inode::{Attributes, FileType, Inode, SystemId, Time};
pub use locks::{Holder, LAST, Locks, Place, Request, Table};
pub use mounts::Mounting;
pub use operation::{Changes, Operation};
pub use page_cache::ArchiveFile;
pub use perform::Completion;
pub(crate) use perform::{begin, clear_up, conclude, pin};
pub use pipe::{Buffers, PipeEnd, Step};
pub use poll::{Asked, Polled, Waits};
pub use procfs::{Place as ProcfsPlace, ProcessFile, Processes, Procfs, SystemFile};
pub use quota::{Quota, Share};
pub use ready::{Events, Observer, Span, Subscription, WaitQueue};
pub use streaming::Streaming;
pub use tar::{Entry, Tar, TarError, What};
pub use terminal::{Controller, Discipline, Jobs, ROOM, Settings, TERMIOS, Terminal, Typed};
pub use timer::{Alarms, Setting, Timer};
pub use tree::Node;
pub use tree::{Follow, Found, Lost, Names, Tree};
pub use vector::{Parts, Streamed};
pub use vortex_ext2::Usage;
pub use walk::{MAX_LINKS, MAX_PATH};

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;

use crate::calls::Verdict;
use crate::errno::Errno;
use crate::machine::{Frame, Machine};
use crate::net::Environment;
use crate::signals::Signal;
use crate::space::{Space, UserError};

use vortex_toolkit::ids::{ActivityId, ResourceId};

/// A program's memory, as far as files need it.
pub trait UserMemory {
    /// As [`Space::read`].
    ///
    /// # Errors
    /// [`UserError`]; some of `into` may have been read.
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), UserError>;
    /// As [`Space::write`].
    ///
    /// # Errors
    /// [`UserError`]; some of `from` may have been written.
    fn write(&self, address: u64, from: &[u8]) -> Result<(), UserError>;
    /// As [`Space::read_to`]; the frame is one of this environment.
    ///
    /// # Errors
    /// [`UserError`]; some may have been read.
    fn read_to(
        &self,
        address: u64,
        to: (Frame, usize),
        length: usize,
        environment: &dyn Environment,
    ) -> Result<(), UserError>;
    /// As [`Space::write_from`]; the frame is one of this environment.
    ///
    /// # Errors
    /// [`UserError`]; some may have been written.
    fn write_from(
        &self,
        address: u64,
        from: (Frame, usize),
        length: usize,
        environment: &dyn Environment,
    ) -> Result<(), UserError>;
    /// As [`Space::read_string`].
    ///
    /// # Errors
    /// [`UserError`]; `Ok(None)` if it is longer than `limit`.
    fn read_string(&self, address: u64, limit: usize) -> Result<Option<Vec<u8>>, UserError>;
}

impl<M: Machine> UserMemory for Space<M> {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), UserError> {
        Self::read(self, address, into)
    }

    fn write(&self, address: u64, from: &[u8]) -> Result<(), UserError> {
        Self::write(self, address, from)
    }

    fn read_to(
        &self,
        address: u64,
        to: (Frame, usize),
        length: usize,
        _: &dyn Environment,
    ) -> Result<(), UserError> {
        Self::read_to(self, address, to, length)
    }

    fn write_from(
        &self,
        address: u64,
        from: (Frame, usize),
        length: usize,
        _: &dyn Environment,
    ) -> Result<(), UserError> {
        Self::write_from(self, address, from, length)
    }

    fn read_string(&self, address: u64, limit: usize) -> Result<Option<Vec<u8>>, UserError> {
        Self::read_string(self, address, limit)
    }
}

/// What the devices do.
pub trait Devices {
    /// Writes to the console, as it is; nothing of anybody else's comes between these bytes.
    fn write_console(&self, bytes: &[u8]);
    /// Reads from the console what there is; the number of bytes.
    fn read_console(&self, into: &mut [u8]) -> usize;
    /// Random bytes, for what must not be guessed.
    fn random(&self, into: &mut [u8]);
}

impl<M: Machine> Devices for M {
    fn write_console(&self, bytes: &[u8]) {
        Machine::write_console(self, bytes);
    }

    fn read_console(&self, into: &mut [u8]) -> usize {
        Machine::read_console(self, into)
    }

    fn random(&self, into: &mut [u8]) {
        Machine::random(self, into);
    }
}

/// Why a call on files did not end.
#[derive(Debug)]
pub enum Failure {
    /// With this error.
    Error(Errno),
    /// The program's memory cannot be used, or not yet.
    User(UserError),
    /// This file must become ready for this first; then the call is made again.
    Blocks(Arc<OpenFile>, Events),
    /// Nobody reads what is written: EPIPE, and SIGPIPE.
    Broken,
    /// This process group gets this signal first; then the call is made again.
    Signals(u32, Signal),
    /// There is more to do, but others go first; then the call is made again.
    Pauses,
    /// This is left to do, by the resources.
    Left(alloc::boxed::Box<Operation>),
}

impl From<Operation> for Failure {
    fn from(operation: Operation) -> Self {
        Self::Left(operation.into())
    }
}

impl From<Lost> for Failure {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Error(error) => Self::Error(error),
            Lost::Absent(wanted) => Operation::BringIn(wanted).into(),
        }
    }
}

impl From<Errno> for Failure {
    fn from(error: Errno) -> Self {
        Self::Error(error)
    }
}

impl From<UserError> for Failure {
    fn from(error: UserError) -> Self {
        Self::User(error)
    }
}

impl From<Failure> for Verdict {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Error(error) => error.into(),
            Failure::User(error) => error.into(),
            // Only calls that can wait fail so, and they look at it themselves.
            Failure::Blocks(..) | Failure::Left(_) | Failure::Signals(..) => Errno::EAGAIN.into(),
            Failure::Broken => Errno::EPIPE.into(),
            Failure::Pauses => Self::Again,
        }
    }
}

/// What a call on files returns: `rax`, or why not.
pub type Outcome = Result<u64, Failure>;

/// A system call on files: who makes it, and on what. The methods are the calls, with their
/// arguments as they are in the registers; addresses are the program's.
pub struct Call<'a> {
    /// The program's memory.
    pub memory: &'a dyn UserMemory,
    /// The devices.
    pub devices: &'a dyn Devices,
    /// Who writes to the console.
    pub console: &'a Console,
    /// The archive.
    pub archive: &'a Archive,
    /// The disk, if there is one: its files are over the archive's.
    pub disk: Option<&'a dyn Mounted>,
    /// What the process has open.
    pub descriptors: &'a spin::Mutex<Descriptors>,
    /// Bytes that the call has moved before it was made again, and now.
    pub done: Cell<u64>,
    /// The locks of files, and the process whose they are.
    pub owner: (&'a Locks, u32),
    /// Permissions that what is made does not get (umask(2)).
    pub creation_mask: u32,
    /// Who has the pages of the archive's files.
    pub pages: &'a dyn PageOwner,
    /// The terminal, if the console is one.
    pub terminal: Option<&'a Arc<Terminal>>,
    /// The caller's process among others.
    pub jobs: &'a dyn Jobs,
    /// Who knows what is in `/proc`; without, it is the archive's.
    pub processes: Option<&'a dyn Processes>,
}

/// Who has the pages of the archive's files that a call brings into memory.
pub trait PageOwner {
    /// The resource, which gives them back when it is asked to, and who pays; `None` where no pages
    /// are kept.
    fn owner(&self) -> Option<(ResourceId, ActivityId)>;
}

/// The disks' file systems, as far as calls need them.
pub trait Mounted {
    /// What of them is in memory.
    fn tree(&self) -> &Tree;
    /// What the file system of an inode has, and what of it is free; `None` if it is mounted no more.
    fn usage(&self, inode: &Inode) -> Option<Usage>;
    /// Whether nothing of the file system of an inode can be written.
    fn is_read_only(&self, inode: &Inode) -> bool;
    /// Reads from a page of a file, from `offset` of it on, if the page is in memory.
    fn peek(&self, inode: &Inode, page: u64, offset: usize, into: &mut [u8]) -> bool;
}

impl<M: Machine> Mounted for Disk<M> {
    fn tree(&self) -> &Tree {
        &self.tree
    }

    fn usage(&self, inode: &Inode) -> Option<Usage> {
        Some(self.mounts.system(inode.system())?.usage())
    }

    fn is_read_only(&self, inode: &Inode) -> bool {
        let system = self.mounts.system(inode.system());
        system.is_none_or(|system| system.read_only().is_some())
    }

    fn peek(&self, inode: &Inode, page: u64, offset: usize, into: &mut [u8]) -> bool {
        Self::peek(self, inode, page, offset, into).is_some()
    }
}

impl<'a> Call<'a> {
    /// All names.
    pub(crate) fn names(&self) -> Names<'a> {
        Names {
            archive: self.archive,
            disk: self.disk.map(Mounted::tree),
            procfs: self.processes.map(|all| Procfs {
                all,
                own: self.owner.1,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
