//! What the resources of storage say to each other.
//!
//! Key types: [`DiskMessage`], [`Io`] (one command on its way), [`Block`] (a piece of a transfer),
//! [`Ask`] (who is to be told when all pieces are done).

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};

use spin::Mutex;
use vortex_toolkit::Head;
use vortex_toolkit::ids::ActivityId;

use super::adapter::{Cdb, Data, Failure, Part, Response, Unit};
use super::controller::ControllerId;
use super::disks::Disk;
use super::pending::Waiting;
use super::{Direction, IoError, Joint, Segment};
use crate::system::Kind;

/// What the resources of storage say to each other.
#[derive(Debug)]
pub enum DiskMessage {
    /// To the SCSI resource: pieces of a transfer.
    Blocks(Vec<Block>),
    /// To the storage device read-write resource: bring it into the form of the device.
    Request(Box<Io>),
    /// To the device read-write resource: insert it into the ring.
    Insert(Box<Io>),
    /// To the SCSI resource: the device has answered.
    Answered(Box<Io>, Result<Response, Failure>),
    /// To the SCSI resource: what the command is to read is read by others, so it was not carried
    /// out.
    Dropped(Box<Io>),
    /// The answer to a command of one's own.
    Raw(Result<Response, Failure>),
    /// To the device interrupt resource: this vector came.
    Interrupt(u8),
    /// To the device interrupt resource: see what a controller has to say.
    Service(ControllerId),
    /// To the SCSI resource: look for disks at a controller.
    Discover(ControllerId),
    /// To the SCSI resource: that has been done.
    Discovered(ControllerId),
    /// To the SCSI resource: a unit is gone, or all of a controller.
    Removed(ControllerId, Option<Unit>),
}

impl DiskMessage {
    /// Who takes it.
    pub(crate) const fn destination(&self) -> Kind {
        match self {
            Self::Request(_) => Kind::DiskRequest,
            Self::Insert(_) => Kind::DiskWrite,
            Self::Interrupt(_) | Self::Service(_) => Kind::DiskInterrupt,
            Self::Blocks(_)
            | Self::Answered(..)
            | Self::Dropped(_)
            | Self::Raw(_)
            | Self::Discover(_)
            | Self::Discovered(_)
            | Self::Removed(..) => Kind::Scsi,
        }
    }

    /// Where the message would like to stand among others.
    pub(crate) fn sort_key(&self) -> u64 {
        match self {
            Self::Request(io) | Self::Insert(io) => match &io.what {
                What::Blocks { first, .. } => *first,
                What::Raw { .. } => 0,
            },
            _ => 0,
        }
    }
}

/// Who asked for a transfer, whose pieces are under way.
pub(crate) struct Ask {
    pub(crate) head: Head,
    joint: Option<Arc<Joint>>,
    left: AtomicUsize,
    error: Mutex<Option<IoError>>,
}

impl Ask {
    /// For a transfer in so many pieces.
    pub(crate) const fn new(head: Head, pieces: usize, joint: Option<Arc<Joint>>) -> Self {
        Self {
            head,
            joint,
            left: AtomicUsize::new(pieces),
            error: Mutex::new(None),
        }
    }

    /// A piece is done. What the whole has come to, if it was the last one.
    pub(crate) fn piece_done(&self, result: Result<(), IoError>) -> Option<Result<(), IoError>> {
        if let Err(error) = result {
            self.error.lock().get_or_insert(error);
        }
        let was_last = self.left.fetch_sub(1, Ordering::AcqRel) == 1;
        was_last.then(|| self.error.lock().map_or(Ok(()), Err))
    }
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ask").field(&self.head).finish()
    }
}

/// A piece of a transfer, small enough for one command.
#[derive(Debug)]
pub struct Block {
    pub(crate) disk: Arc<Disk>,
    pub(crate) ask: Arc<Ask>,
    pub(crate) direction: Direction,
    /// The first block, and how many.
    pub(crate) first: u64,
    pub(crate) count: u32,
    pub(crate) bytes: u32,
    pub(crate) segments: Vec<Segment>,
}

impl Waiting for Block {
    fn first(&self) -> u64 {
        self.first
    }

    fn blocks(&self) -> u64 {
        self.count.into()
    }

    fn size(&self) -> (u64, usize) {
        (self.bytes.into(), self.segments.len())
    }

    fn kind(&self) -> Option<u8> {
        match self.direction {
            Direction::Read => Some(0),
            Direction::Write => Some(1),
            Direction::Flush => None,
        }
    }

    fn label(&self) -> u64 {
        self.ask.head.dependency.0
    }
}

/// One command on its way.
#[derive(Debug)]
pub struct Io {
    pub(crate) controller: ControllerId,
    pub(crate) unit: Unit,
    /// Who pays.
    pub(crate) activity: ActivityId,
    pub(crate) what: What,
    pub(crate) cdb: Cdb,
    pub(crate) data: Data,
    /// The memory as the device sees it; its frames are pinned while there are any.
    pub(crate) parts: Vec<Part>,
    pub(crate) timeout_ns: u64,
    /// How often it was tried before.
    pub(crate) attempts: u8,
}

/// What a command is for.
#[derive(Debug)]
pub(crate) enum What {
    /// Pieces of transfers, neighbours on the disk.
    Blocks {
        disk: Arc<Disk>,
        first: u64,
        members: Vec<Block>,
    },
    /// Somebody's own command.
    Raw { head: Head, segments: Vec<Segment> },
}

impl Io {
    /// Its segments.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &Segment> {
        let (members, own): (&[Block], &[Segment]) = match &self.what {
            What::Blocks { members, .. } => (members, &[]),
            What::Raw { segments, .. } => (&[], segments),
        };
        let members = members.iter().flat_map(|member| &member.segments);
        members.chain(own)
    }

    /// Its reads of pages that others may be reading too.
    fn joints(&self) -> impl Iterator<Item = Option<(&Joint, &[Segment])>> {
        let members: &[Block] = match &self.what {
            What::Blocks { members, .. } => members,
            What::Raw { .. } => &[],
        };
        members.iter().map(|member| {
            let joint = member.ask.joint.as_deref()?;
            Some((joint, &*member.segments))
        })
    }

    /// Whether it need not be carried out: others read all that it is to read.
    pub(crate) fn is_vain(&self) -> bool {
        let mut members = self.joints().peekable();
        members.peek().is_some()
            && members.all(|one| one.is_some_and(|(joint, segments)| joint.is_vain(segments)))
    }

    /// It is given to the device: what it reads nobody else need read.
    pub(crate) fn begin(&self) {
        let reads = self.joints().flatten();
        reads.for_each(|(joint, segments)| joint.begin(segments));
    }

    /// It was not taken.
    pub(crate) fn give_up(&self) {
        let reads = self.joints().flatten();
        reads.for_each(|(joint, segments)| joint.give_up(segments));
    }

    /// Bytes of its data.
    pub(crate) fn bytes(&self) -> u64 {
        let lengths = self.segments().map(|segment| u64::from(segment.length));
        lengths.sum()
    }
}
