//! What calls on files leave to the resources: all that may have to wait for a disk.
//!
//! Key types: [`Operation`]. A call checks its arguments and follows its paths at once; what is left
//! to do then is an operation, which the File Cache Resource or the Asynchronous I/O Resource
//! carries out by requests (see [`super::perform`]).

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use vortex_toolkit::ids::ActivityId;

use super::copy::Copying;
use super::cursor::Buffer;
use super::descriptors::OpenFile;
use super::inode::{Inode, SystemId, Time, Wanted};
use super::mounts::Mounting;

/// Where a name is.
#[derive(Clone, Debug)]
pub struct Entry {
    /// In which directory.
    pub directory: Arc<Inode>,
    /// The name.
    pub name: Vec<u8>,
}

/// What is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// An empty file, which is then opened with these flags.
    Opened(u32),
    /// A directory.
    Directory,
    /// A symbolic link to this.
    Link(Vec<u8>),
    /// An empty file, a named pipe, a socket or a device: type bits and device number as in
    /// mknod(2).
    Node(u32, u32),
}

/// Attributes to change; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Permissions.
    pub mode: Option<u16>,
    /// The owner.
    pub owner: Option<u32>,
    /// The group.
    pub group: Option<u32>,
    /// When it was last read; `Time::NOW` for now.
    pub accessed: Option<Time>,
    /// When its contents were last changed; `Time::NOW` for now.
    pub modified: Option<Time>,
}

/// How rename treats a name that is taken.
pub(super) use vortex_ext2::Rename;

/// What is left to do.
#[derive(Debug)]
pub enum Operation {
    /// Bring something in; then the call is made again.
    BringIn(Wanted),
    /// Read a file, at an offset or at its position.
    Read(Arc<OpenFile>, Arc<Inode>, Vec<Buffer>, Option<u64>),
    /// Write a file, at an offset or at its position, as if it were open with these flags.
    Write(Arc<OpenFile>, Arc<Inode>, Vec<Buffer>, (Option<u64>, u32)),
    /// Copy from one file to another.
    Copy(Box<Copying>),
    /// Make something, with these permissions.
    Make(Entry, Made, u16),
    /// Make a file empty, and open it with these flags.
    OpenEmpty(Arc<Inode>, u32),
    /// Give something one more name.
    Link(Arc<Inode>, Entry),
    /// Take a name away; true if it is to be a directory.
    Remove(Entry, bool),
    /// Give something another name.
    Rename(Entry, Entry, Rename),
    /// Change attributes.
    Change(Arc<Inode>, Changes),
    /// Set a file's length.
    Cut(Arc<Inode>, u64),
    /// Make room for a range, and make the file as long as that if so said.
    Allocate(Arc<Inode>, u64, bool),
    /// See to it that the contents of files cannot be lost.
    Sync(Vec<Arc<Inode>>),
    /// See to it that nothing can be lost.
    SyncAll,
    /// Give back pages of a file.
    Evict(Arc<Inode>),
    /// Give back the pages of all files that an activity has brought in.
    EvictOf(ActivityId),
    /// Give back these pages of a file.
    Discard(Arc<Inode>, Range<u64>),
    /// Mount a file system.
    Mount(Box<Mounting>),
    /// Take a mounted file system away.
    Unmount(SystemId),
    /// Write these bytes to the console, for a call whose result is then this.
    Print(Vec<u8>, u64),
    /// List a directory into a buffer.
    List(Arc<OpenFile>, Arc<Inode>, Buffer),
}

impl Time {
    /// Now, where a time is to be set.
    pub const NOW: Self = Self {
        seconds: i64::MIN,
        nanoseconds: u32::MAX,
    };
}
