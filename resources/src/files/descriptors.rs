//! A process's open files.
//!
//! Key types: [`Descriptors`] (the table of one process), [`OpenFile`] (an open file description,
//! open(2): what `dup` and children share, with its position and flags).
//!
//! Invariant: no slot below `free` is empty, so the lowest free number is found from there.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use linux_raw_sys::general::{O_APPEND, O_DIRECT, O_NOATIME, O_NONBLOCK, O_RDWR};

use super::archive::Device;
use super::cache::Ahead;
use super::epoll::{Epoll, WatchedBy};
use super::event::EventCounter;
use super::inode::Inode;
use super::locks::Held;
use super::page_cache::ArchiveFile;
use super::pipe::PipeEnd;
use super::ready::{Events, WaitQueue};
use super::terminal::Terminal;
use super::timer::Timer;
use super::tree::{Names, Node};
use crate::errno::Errno;
use crate::net::Socket;

/// How many files a process may have open, unless its limit is set.
pub const DEFAULT_LIMIT: u32 = 1024;
/// The most that the limit can be set to.
pub const MAX_LIMIT: u32 = 4096;

/// What is open. A new kind says here what it is ready for ([`OpenFile::readiness`]), who is told
/// when that changes ([`OpenFile::queue`]), and in `transfer.rs` how it is read and written.
#[derive(Debug)]
pub enum Opened {
    /// A file of the archive.
    File(Arc<ArchiveFile>),
    /// A file of the disk.
    Disk(Arc<Inode>),
    /// A directory.
    Directory,
    /// A device.
    Device(Device),
    /// Something that was opened with `O_PATH`: a place, nothing to read or write.
    Place,
    /// An end of a pipe.
    Pipe(PipeEnd),
    /// An event counter.
    Counter(Arc<EventCounter>),
    /// A timer.
    Timer(Arc<Timer>),
    /// Files that are watched together.
    Epoll(Arc<Epoll>),
    /// A socket.
    Socket(Arc<Socket>),
    /// The terminal.
    Terminal(Arc<Terminal>),
    /// What a file of `/proc` said when it was opened.
    Text(Arc<[u8]>),
}

/// An open file description: shared by all descriptors that were made from one.
#[derive(Debug)]
pub struct OpenFile {
    /// What is open.
    pub opened: Opened,
    /// Its node, which tells its attributes; `None` for what is in no directory.
    pub node: Option<Node>,
    /// The access mode and status flags of open(2).
    flags: AtomicU32,
    /// In bytes; for a directory, the number of entries that were listed.
    pub position: spin::Mutex<u64>,
    /// Held by who reads or writes at the position, from there to where it is then.
    pub(super) moving: async_lock::Mutex<()>,
    /// How it is read.
    pub(super) ahead: spin::Mutex<Ahead>,
    pub(super) watched_by: spin::Mutex<WatchedBy>,
    /// The locks that end with it.
    pub(super) held: spin::Once<Held>,
}

impl OpenFile {
    /// Of a node, or of none, with the flags of open(2).
    #[must_use]
    pub fn new(opened: Opened, node: Option<Node>, flags: u32) -> Arc<Self> {
        let (flags, position) = (AtomicU32::new(flags), spin::Mutex::new(0));
        Arc::new(Self {
            opened,
            node,
            flags,
            position,
            moving: async_lock::Mutex::new(()),
            ahead: spin::Mutex::default(),
            watched_by: spin::Mutex::default(),
            held: spin::Once::new(),
        })
    }

    /// What it is ready for now.
    #[must_use]
    pub fn readiness(&self) -> Events {
        match &self.opened {
            Opened::Place => Events::NVAL,
            // Nobody waits for these.
            Opened::File(_)
            | Opened::Disk(_)
            | Opened::Directory
            | Opened::Device(_)
            | Opened::Text(_) => Events::READABLE | Events::WRITABLE,
            Opened::Pipe(end) => end.readiness(),
            Opened::Counter(counter) => counter.readiness(),
            Opened::Timer(timer) => timer.readiness(),
            Opened::Epoll(epoll) => epoll.readiness(),
            Opened::Socket(socket) => socket.readiness(),
            Opened::Terminal(terminal) => terminal.readiness(),
        }
    }

    /// Where its observers are; `None` if what it is ready for never changes.
    #[must_use]
    pub fn queue(&self) -> Option<&Arc<WaitQueue>> {
        match &self.opened {
            Opened::Place
            | Opened::File(_)
            | Opened::Disk(_)
            | Opened::Directory
            | Opened::Text(_)
            | Opened::Device(_) => None,
            Opened::Pipe(end) => Some(end.queue()),
            Opened::Counter(counter) => Some(counter.queue()),
            Opened::Timer(timer) => Some(timer.queue()),
            Opened::Epoll(epoll) => Some(epoll.queue()),
            Opened::Socket(socket) => Some(socket.queue()),
            Opened::Terminal(terminal) => Some(terminal.queue()),
        }
    }

    /// Whether an epoll can watch it: not what is ready at all times, as on Linux.
    #[must_use]
    pub const fn can_be_watched(&self) -> bool {
        match &self.opened {
            Opened::File(_)
            | Opened::Disk(_)
            | Opened::Directory
            | Opened::Text(_)
            | Opened::Place => false,
            Opened::Device(device) => matches!(device, Device::Console | Device::Random),
            Opened::Pipe(_)
            | Opened::Counter(_)
            | Opened::Timer(_)
            | Opened::Epoll(_)
            | Opened::Socket(_)
            | Opened::Terminal(_) => true,
        }
    }

    /// How long a call waits until it is ready, in nanoseconds; `None` for ever.
    #[must_use]
    pub fn timeout_ns(&self, events: Events) -> Option<u64> {
        match &self.opened {
            Opened::Socket(socket) => socket.timeout_ns(events.intersects(Events::OUT)),
            Opened::Terminal(terminal) => terminal.timeout_ns(),
            _ => None,
        }
    }

    /// What a call ends with that has waited so long and moved nothing.
    ///
    /// # Errors
    /// EAGAIN, but for the terminal: there, it is the end.
    pub const fn late(&self) -> Result<u64, Errno> {
        match &self.opened {
            Opened::Terminal(_) => Ok(0),
            _ => Err(Errno::EAGAIN),
        }
    }

    /// The place of its node.
    ///
    /// # Errors
    /// ENOTDIR if it has none.
    pub fn place(&self) -> Result<Node, Errno> {
        self.node.clone().ok_or(Errno::ENOTDIR)
    }

    /// Whether reading and writing fail where they would have to wait (`O_NONBLOCK`).
    #[must_use]
    pub fn is_nonblocking(&self) -> bool {
        self.flags() & O_NONBLOCK != 0
    }

    /// The access mode and status flags.
    #[must_use]
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Sets those status flags that can be set (`F_SETFL`).
    pub fn set_status(&self, flags: u32) {
        const SETTABLE: u32 = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME;
        let set = |old: u32| Some(old & !SETTABLE | flags & SETTABLE);
        // It is never refused.
        let _ = self
            .flags
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, set);
    }
}

/// A descriptor.
#[derive(Clone, Debug)]
struct Slot {
    file: Arc<OpenFile>,
    close_on_exec: bool,
}

/// A process's open files, and the directory it is in. A clone is what a child gets by fork(2).
#[derive(Clone, Debug)]
pub struct Descriptors {
    slots: Vec<Option<Slot>>,
    free: usize,
    limit: u32,
    /// The current directory.
    pub directory: Node,
    /// The absolute path of the program, for `/proc/self/exe`.
    pub program: Vec<u8>,
}

impl Descriptors {
    /// With the console, or the terminal if there is one, as standard input, output and error, in the
    /// root directory.
    #[must_use]
    pub fn new(names: Names<'_>, terminal: Option<&Arc<Terminal>>, program: Vec<u8>) -> Self {
        let node = names.archive.find(b"/dev/console").ok().map(Node::Archive);
        let opened = match terminal {
            Some(terminal) => Opened::Terminal(terminal.clone()),
            None => Opened::Device(Device::Console),
        };
        let file = OpenFile::new(opened, node, O_RDWR);
        let slot = Some(Slot {
            file,
            close_on_exec: false,
        });
        let slots = alloc::vec![slot; 3];
        let directory = names.root();
        Self {
            slots,
            free: 3,
            limit: DEFAULT_LIMIT,
            directory,
            program,
        }
    }

    /// What a descriptor stands for.
    ///
    /// # Errors
    /// EBADF.
    pub fn get(&self, descriptor: i32) -> Result<Arc<OpenFile>, Errno> {
        self.slot(descriptor).map(|slot| Arc::clone(&slot.file))
    }

    /// A new descriptor: the lowest number that is free and not below `lowest`.
    ///
    /// # Errors
    /// EMFILE at the limit; EINVAL if `lowest` is beyond it.
    pub fn add(
        &mut self,
        file: Arc<OpenFile>,
        close_on_exec: bool,
        lowest: u32,
    ) -> Result<i32, Errno> {
        let number = self.lowest_free(lowest)?;
        if lowest as usize <= self.free {
            self.free = number + 1;
        }
        let slot = Slot {
            file,
            close_on_exec,
        };
        self.put(number, slot);
        Ok(number as i32)
    }

    /// Whether [`Self::add`] would find a number for what is still to be made.
    ///
    /// # Errors
    /// EMFILE at the limit.
    pub fn check_room(&self) -> Result<(), Errno> {
        match self.lowest_free(0) {
            Ok(_) => Ok(()),
            Err(_) => Err(Errno::EMFILE),
        }
    }

    fn lowest_free(&self, lowest: u32) -> Result<usize, Errno> {
        if lowest >= self.limit {
            return Err(Errno::EINVAL);
        }
        let from = self.free.max(lowest as usize);
        let slots = self.slots.iter().skip(from);
        let taken = slots.take_while(|slot| slot.is_some()).count();
        let number = from + taken;
        match number < self.limit as usize {
            true => Ok(number),
            false => Err(Errno::EMFILE),
        }
    }

    /// Makes `number` stand for `file`; what it stood for before (dup2(2)).
    ///
    /// # Errors
    /// EBADF if the number is not below the limit.
    pub fn replace(
        &mut self,
        number: i32,
        file: Arc<OpenFile>,
        close_on_exec: bool,
    ) -> Result<Option<Arc<OpenFile>>, Errno> {
        let within = u32::try_from(number)
            .ok()
            .filter(|&number| number < self.limit);
        let before = self.put(
            within.ok_or(Errno::EBADF)? as usize,
            Slot {
                file,
                close_on_exec,
            },
        );
        Ok(before.map(|slot| slot.file))
    }

    /// Forgets a descriptor; what it stood for is given back, to be dropped with nothing locked.
    ///
    /// # Errors
    /// EBADF.
    pub fn close(&mut self, descriptor: i32) -> Result<Arc<OpenFile>, Errno> {
        self.slot(descriptor)?;
        let number = descriptor as usize;
        self.free = self.free.min(number);
        let gone = self.slots[number].take().ok_or(Errno::EBADF)?;
        Ok(gone.file)
    }

    /// Forgets those in a range, or marks them to be closed by execve(2). What they stood for is
    /// given back.
    pub fn close_range(&mut self, first: u32, last: u32, only_mark: bool) -> Vec<Arc<OpenFile>> {
        let mut gone = Vec::new();
        let end = self.slots.len().min((last as usize).saturating_add(1));
        for number in first as usize..end {
            match &mut self.slots[number] {
                Some(slot) if only_mark => slot.close_on_exec = true,
                slot => gone.extend(slot.take().map(|slot| slot.file)),
            }
        }
        if !only_mark {
            self.free = self.free.min(first as usize);
        }
        gone
    }

    /// Forgets those marked so: the process runs another program now. What they stood for is given
    /// back.
    pub fn executed(&mut self, program: Vec<u8>) -> Vec<Arc<OpenFile>> {
        let mut gone = Vec::new();
        for number in 0..self.slots.len() {
            if self.slots[number]
                .as_ref()
                .is_some_and(|slot| slot.close_on_exec)
            {
                gone.extend(self.slots[number].take().map(|slot| slot.file));
                self.free = self.free.min(number);
            }
        }
        self.program = program;
        gone
    }

    /// Whether a descriptor is closed by execve(2).
    ///
    /// # Errors
    /// EBADF.
    pub fn close_on_exec(&self, descriptor: i32) -> Result<bool, Errno> {
        self.slot(descriptor).map(|slot| slot.close_on_exec)
    }

    /// Sets whether a descriptor is closed by execve(2).
    ///
    /// # Errors
    /// EBADF.
    pub fn set_close_on_exec(&mut self, descriptor: i32, set: bool) -> Result<(), Errno> {
        let number = usize::try_from(descriptor).map_err(|_| Errno::EBADF)?;
        let slot = self.slots.get_mut(number).and_then(Option::as_mut);
        slot.ok_or(Errno::EBADF)?.close_on_exec = set;
        Ok(())
    }

    /// New descriptors are below this (`RLIMIT_NOFILE`).
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Sets the limit.
    ///
    /// # Errors
    /// EPERM beyond [`MAX_LIMIT`].
    pub fn set_limit(&mut self, limit: u32) -> Result<(), Errno> {
        if limit > MAX_LIMIT {
            return Err(Errno::EPERM);
        }
        self.limit = limit;
        Ok(())
    }

    /// How many there are.
    #[must_use]
    pub fn open(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    fn slot(&self, descriptor: i32) -> Result<&Slot, Errno> {
        let number = usize::try_from(descriptor).map_err(|_| Errno::EBADF)?;
        self.slots
            .get(number)
            .and_then(Option::as_ref)
            .ok_or(Errno::EBADF)
    }

    fn put(&mut self, number: usize, slot: Slot) -> Option<Slot> {
        if self.slots.len() <= number {
            self.slots.resize(number + 1, None);
        }
        self.slots[number].replace(slot)
    }
}
