//! The Ext2 Resource: a mounted ext2 file system, each operation a continuation that speaks to the
//! Storage Resource (paper, section 4.5).
//!
//! Key types: [`Disk`] (the mounted file systems, with what of them is in memory), [`Sectors`] (the
//! volume under it), [`Memory`] (frames that data comes into and goes out of).
//!
//! What concerns one file only is paid by who asks; what several files share (superblock, bitmaps,
//! inode tables) is the infrastructure's, so that the toolkit keeps the order of writes to it. Writes
//! of the same thing have the same dependency label.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::pin;

use vortex_ext2::{Context, Data, Error, FileSystem, IoError, Purpose, Timestamp};
use vortex_toolkit::Port;
use vortex_toolkit::ids::{ActivityId, AffinityLabel, DependencyLabel};
use vortex_toolkit::memory::Owner;

use super::inode::{Attributes, Inode, SystemId, Time};
use super::mounts::Mounts;
use super::tree::Tree;
use crate::errand::Here;
use crate::errno::Errno;
use crate::machine::{Frame, Machine, PAGE_SIZE};
use crate::object::Object;
use crate::storage::{Direction, Joint, Segment, Transfer, Volume, VolumeId};
use crate::system::{Kind, Message, Shared};

const PAGE: usize = PAGE_SIZE as usize;

/// A file system of a volume.
pub(crate) type System<M> = FileSystem<Sectors<M>>;

/// The mounted file systems.
pub struct Disk<M: Machine> {
    /// What of them is in memory.
    pub tree: Tree,
    /// Those that are mounted.
    pub(super) mounts: Mounts<M>,
}

impl<M: Machine> core::fmt::Debug for Disk<M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Disk").finish_non_exhaustive()
    }
}

impl<M: Machine> Disk<M> {
    /// What is mounted: the names of volumes, where their roots are, and whether they can only be read.
    pub(crate) fn mounted(&self) -> Vec<(String, Arc<Inode>, bool)> {
        let all = self.mounts.all().into_iter();
        all.map(|mounted| {
            let name = match mounted.id {
                SystemId::ROOT => "root".into(),
                _ => mounted.volume.clone(),
            };
            (name, mounted.root.clone(), mounted.is_read_only())
        })
        .collect()
    }

    /// The file system that an inode is of; EIO if it is not mounted any more.
    pub(super) fn of(here: &Here<M>, inode: &Inode) -> Result<Arc<System<M>>, Errno> {
        let disk = here.shared.disk.get().ok_or(Errno::EIO)?;
        disk.mounts.system(inode.system()).ok_or(Errno::EIO)
    }

    /// Has the Ext2 Resource do an operation on a file system, on the account of `payer`.
    ///
    /// # Errors
    /// As of the operation; EIO if it is not mounted any more.
    pub(crate) async fn ask<T, F>(
        here: &Here<M>,
        system: SystemId,
        payer: ActivityId,
        operation: impl FnOnce(Arc<System<M>>) -> F + Send + 'static,
    ) -> Result<T, Errno>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let work = move |here: Here<M>| async move {
            let disk = here.shared.disk.get().ok_or(Errno::ENODEV)?;
            let system = disk.mounts.system(system).ok_or(Errno::EIO)?;
            let ports = system.volume().ports.clone();
            let result = ports.through(here.port, operation(system)).await;
            result.map_err(errno)
        };
        here.visit(Kind::Ext2, payer, work).await?
    }
}

impl<M: Machine> Disk<M> {
    /// Reads from a page of a file, from `offset` of it on, if the page is in memory.
    pub(super) fn peek(
        &self,
        inode: &Inode,
        page: u64,
        offset: usize,
        into: &mut [u8],
    ) -> Option<()> {
        let shared = self.mounts.shared()?;
        let frame = inode.cached(page)?;
        shared.machine.read_frame(frame, offset, into);
        shared.memory.inform(frame, true, false);
        shared.memory.release(frame);
        Some(())
    }
}

/// Linux's number for what has gone wrong.
pub(super) fn errno(error: Error) -> Errno {
    if let Error::Corrupt(what) = error {
        log::error!("the file system is damaged: {what}");
    }
    Errno::of(error.errno())
}

impl From<Time> for Timestamp {
    fn from(time: Time) -> Self {
        Self {
            seconds: time.seconds,
            nanoseconds: time.nanoseconds,
        }
    }
}

impl From<Timestamp> for Time {
    fn from(time: Timestamp) -> Self {
        Self {
            seconds: time.seconds,
            nanoseconds: time.nanoseconds,
        }
    }
}

impl Time {
    /// Of nanoseconds since 1970.
    pub(super) const fn of(nanoseconds: u64) -> Self {
        const SECOND: u64 = 1_000_000_000;
        Self {
            seconds: (nanoseconds / SECOND) as i64,
            nanoseconds: (nanoseconds % SECOND) as u32,
        }
    }
}

/// All programs are the superuser's.
pub(super) fn context(now: Time) -> Context {
    Context {
        now: now.into(),
        user: 0,
        group: 0,
        privileged: true,
    }
}

impl From<vortex_ext2::Attributes> for Attributes {
    fn from(of: vortex_ext2::Attributes) -> Self {
        use linux_raw_sys::general::{
            S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK,
        };
        use vortex_ext2::Kind;
        let (kind, device) = match of.kind {
            Kind::File => (S_IFREG, 0),
            Kind::Directory => (S_IFDIR, 0),
            Kind::Symlink => (S_IFLNK, 0),
            Kind::Fifo => (S_IFIFO, 0),
            Kind::Socket => (S_IFSOCK, 0),
            Kind::CharacterDevice(device) => (S_IFCHR, device),
            Kind::BlockDevice(device) => (S_IFBLK, device),
        };
        Self {
            mode: kind as u16 | of.mode,
            links: of.links,
            owner: of.user,
            group: of.group,
            size: of.size,
            blocks: of.sectors,
            device,
            accessed: of.accessed.into(),
            modified: of.modified.into(),
            changed: of.changed.into(),
        }
    }
}

/// Memory for the data of files: parts of frames, in order. The frames are referred to by whoever
/// made it, for as long as the operation takes.
pub(crate) struct Memory<M: Machine> {
    machine: M,
    segments: Vec<Segment>,
    joint: Option<Arc<Joint>>,
}

impl<M: Machine> Memory<M> {
    /// Whole frames, but only the first `length` bytes of them.
    pub(super) fn new(machine: &M, frames: &[Frame], length: usize) -> Self {
        let starts = (0..length).step_by(PAGE);
        let segments = frames.iter().zip(starts).map(|(&frame, start)| Segment {
            frame,
            offset: 0,
            length: (length - start).min(PAGE) as u32,
        });
        Self {
            machine: machine.clone(),
            segments: segments.collect(),
            joint: None,
        }
    }

    /// The same, of pages that others may be reading too.
    pub(super) fn with_others(self, joint: Joint) -> Self {
        Self {
            joint: Some(Arc::new(joint)),
            ..self
        }
    }
}

impl<M: Machine> Data for Memory<M> {
    fn length(&self) -> usize {
        let lengths = self.segments.iter();
        lengths.map(|segment| segment.length as usize).sum()
    }

    fn split(mut self, at: usize) -> (Self, Self) {
        let mut left = at as u32;
        let mut index = 0;
        while let Some(segment) = self.segments.get(index)
            && segment.length <= left
        {
            left -= segment.length;
            index += 1;
        }
        let mut rest = self.segments.split_off(index);
        if left > 0
            && let Some(segment) = rest.first_mut()
        {
            let first = Segment {
                length: left,
                ..*segment
            };
            segment.offset += left;
            segment.length -= left;
            self.segments.push(first);
        }
        let rest = Self {
            machine: self.machine.clone(),
            segments: rest,
            joint: self.joint.clone(),
        };
        (self, rest)
    }

    fn clear(self) {
        const ZEROS: [u8; 1024] = [0; 1024];
        for segment in self.segments {
            let mut at = segment.offset as usize;
            let end = at + segment.length as usize;
            if segment.length as usize == PAGE {
                self.machine.zero_frame(segment.frame);
                continue;
            }
            while at < end {
                let part = (end - at).min(ZEROS.len());
                self.machine.write_frame(segment.frame, at, &ZEROS[..part]);
                at += part;
            }
        }
    }
}

/// The ways to the grid of the operations that cores are at.
pub(crate) struct Ports<M: Machine> {
    machine: M,
    by_core: Vec<spin::Mutex<Option<Port<Message<M>>>>>,
}

impl<M: Machine> Ports<M> {
    pub(super) fn new(shared: &Shared<M>) -> Arc<Self> {
        let cores = 0..shared.grid.cores();
        Arc::new(Self {
            machine: shared.machine.clone(),
            by_core: cores.map(|_| spin::Mutex::new(None)).collect(),
        })
    }

    /// An operation whose transfers go by this port.
    pub(super) async fn through<F: Future>(
        &self,
        port: Port<Message<M>>,
        operation: F,
    ) -> F::Output {
        let mut operation = pin!(operation);
        poll_fn(|context| {
            let place = self.here();
            if let Some(place) = place {
                *place.lock() = Some(port.clone());
            }
            let polled = operation.as_mut().poll(context);
            if let Some(place) = place {
                *place.lock() = None;
            }
            polled
        })
        .await
    }

    fn here(&self) -> Option<&spin::Mutex<Option<Port<Message<M>>>>> {
        self.by_core.get(self.machine.here().index())
    }
}

/// The volume that a file system is on.
pub(crate) struct Sectors<M: Machine> {
    shared: alloc::sync::Weak<Shared<M>>,
    volume: VolumeId,
    bytes: u64,
    pub(super) ports: Arc<Ports<M>>,
}

impl<M: Machine> Sectors<M> {
    pub(super) fn new(shared: &Arc<Shared<M>>, volume: &Volume, ports: Arc<Ports<M>>) -> Self {
        Self {
            shared: Arc::downgrade(shared),
            volume: volume.id,
            bytes: volume.bytes,
            ports,
        }
    }

    /// Where a transfer is sent from: an operation polled [`Ports::through`] a port.
    fn here(&self) -> Result<Here<M>, IoError> {
        let shared = self.shared.upgrade().ok_or(IoError)?;
        let place = self.ports.here().ok_or(IoError)?;
        let port = place.lock().clone().ok_or(IoError)?;
        Ok(Here { shared, port })
    }

    const fn of(&self, direction: Direction, offset: u64, segments: Vec<Segment>) -> Transfer {
        Transfer {
            volume: self.volume,
            offset,
            direction,
            segments,
            joint: None,
        }
    }

    async fn transfer(&self, transfer: Transfer, purpose: Purpose) -> Result<(), IoError> {
        let here = self.here()?;
        let direction = transfer.direction;
        let bytes = transfer.length();
        let (payer, label) = match purpose {
            Purpose::Private(inode) => (here.activity(), u64::from(inode.0)),
            Purpose::Shared => (ActivityId::INFRASTRUCTURE, u64::from(u32::MAX)),
        };
        let label = label | u64::from(self.volume.0) << 32 | 1 << 62;
        let destination = here.shared.destination(Kind::Storage, payer);
        let message = Message::Volume(Box::new(transfer));
        let mut request = here.port.request(destination, message).paid_by(payer);
        // Reads need no order, and would wait for each other.
        if direction != Direction::Read {
            request = request
                .ordered(DependencyLabel(label))
                .near(AffinityLabel(label));
        }
        here.port.add_bytes(bytes);
        match here.port.call(request).await {
            Ok(Message::VolumeDone(result)) => result.map_err(|error| {
                log::error!("volume {}: {error}", self.volume.0);
                IoError
            }),
            _ => Err(IoError),
        }
    }

    /// Frames for metadata on its way, and the parts of them that are used.
    fn buffer(&self, bytes: usize) -> Result<Buffer<M>, IoError> {
        let shared = self.shared.upgrade().ok_or(IoError)?;
        let owner = Owner {
            resource: shared.destination(Kind::Ext2, ActivityId::INFRASTRUCTURE),
            activity: ActivityId::INFRASTRUCTURE,
            cookie: 0,
        };
        let mut buffer = Buffer {
            shared,
            frames: Vec::new(),
            bytes,
        };
        for _ in (0..bytes).step_by(PAGE) {
            let frame = buffer.shared.memory.allocate(owner);
            buffer.frames.push(frame.map_err(|_| IoError)?);
        }
        Ok(buffer)
    }
}

/// Frames for metadata on its way.
struct Buffer<M: Machine> {
    shared: Arc<Shared<M>>,
    frames: Vec<Frame>,
    bytes: usize,
}

impl<M: Machine> Buffer<M> {
    fn segments(&self) -> Vec<Segment> {
        Memory::new(&self.shared.machine, &self.frames, self.bytes).segments
    }
}

impl<M: Machine> Drop for Buffer<M> {
    fn drop(&mut self) {
        for &frame in &self.frames {
            self.shared.memory.release(frame);
        }
    }
}

impl<M: Machine> vortex_ext2::Volume for Sectors<M> {
    type Data = Memory<M>;

    fn size(&self) -> u64 {
        self.bytes
    }

    fn asker(&self) -> u64 {
        self.here().map_or(0, |here| here.activity().0.into())
    }

    async fn read(
        &self,
        offset: u64,
        bytes: usize,
        purpose: Purpose,
    ) -> Result<Box<[u8]>, IoError> {
        let buffer = self.buffer(bytes)?;
        let read = self.of(Direction::Read, offset, buffer.segments());
        self.transfer(read, purpose).await?;
        let mut read = alloc::vec![0; bytes].into_boxed_slice();
        for (part, &frame) in read.chunks_mut(PAGE).zip(&buffer.frames) {
            buffer.shared.machine.read_frame(frame, 0, part);
        }
        Ok(read)
    }

    async fn write(&self, offset: u64, data: Arc<[u8]>, purpose: Purpose) -> Result<(), IoError> {
        let buffer = self.buffer(data.len())?;
        for (part, &frame) in data.chunks(PAGE).zip(&buffer.frames) {
            buffer.shared.machine.write_frame(frame, 0, part);
        }
        let write = self.of(Direction::Write, offset, buffer.segments());
        self.transfer(write, purpose).await
    }

    async fn read_data(
        &self,
        offset: u64,
        data: Memory<M>,
        purpose: Purpose,
    ) -> Result<(), IoError> {
        let mut read = self.of(Direction::Read, offset, data.segments);
        read.joint = data.joint;
        self.transfer(read, purpose).await
    }

    async fn write_data(
        &self,
        offset: u64,
        data: Memory<M>,
        purpose: Purpose,
    ) -> Result<(), IoError> {
        let write = self.of(Direction::Write, offset, data.segments);
        self.transfer(write, purpose).await
    }

    async fn flush(&self) -> Result<(), IoError> {
        let flush = self.of(Direction::Flush, 0, Vec::new());
        self.transfer(flush, Purpose::Shared).await
    }
}
