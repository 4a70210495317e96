//! The SCSI Resource: messages to disks, and what their answers mean (paper, section 4.5).
//!
//! Key types: [`Disk`].
//!
//! Each activity's requests to a disk wait here, in the order of the disk, but for a window of them
//! that is further down. There the schedulers choose among activities.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use spin::Mutex;
use vortex_toolkit::Context;
use vortex_toolkit::ids::ActivityId;

use super::adapter::{Cdb, Data, Failure, Limits, Response, Unit};
use super::io::{Block, Io, What};
use super::pending::{Merging, Pending};
use super::scsi::{self, Verdict};
use super::{ControllerId, Direction, DiskMessage, IoError, request};
use crate::machine::Machine;
use crate::system::{Kind, Message, Shared, Vortex};

/// How often a command is tried.
const ATTEMPTS: u8 = 6;
/// How long a command may take, in nanoseconds.
pub(crate) const TIMEOUT_NS: u64 = 10_000_000_000;
/// How long it may take to write a cache.
const FLUSH_TIMEOUT_NS: u64 = 60_000_000_000;

/// A disk.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) name: String,
    pub(crate) controller: ControllerId,
    pub(crate) unit: Unit,
    pub(crate) blocks: u64,
    /// Bytes of a block.
    pub(crate) block: u32,
    /// Writing is forbidden.
    pub(crate) protected: bool,
    /// What is written has to be flushed.
    pub(crate) cached: bool,
    pub(crate) limits: Limits,
    gone: AtomicBool,
    pending: Mutex<BTreeMap<ActivityId, Pending<Block>>>,
}

impl Disk {
    pub(crate) fn new(
        name: String,
        place: (ControllerId, Unit),
        capacity: scsi::Capacity,
        modes: scsi::Modes,
        limits: Limits,
    ) -> Self {
        Self {
            name,
            controller: place.0,
            unit: place.1,
            blocks: capacity.blocks,
            block: capacity.block,
            protected: modes.protected,
            cached: modes.cached.unwrap_or(true),
            limits,
            gone: AtomicBool::new(false),
            pending: Mutex::new(BTreeMap::new()),
        }
    }

    /// Whether it has been taken away.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// It has been taken away.
    pub(crate) fn set_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }

    /// Adds requests of an activity.
    fn add(&self, activity: ActivityId, blocks: Vec<Block>) {
        let mut pending = self.pending.lock();
        let own = pending.entry(activity).or_default();
        blocks.into_iter().for_each(|block| own.add(block));
    }

    /// Takes an activity's next requests, if its window has room.
    fn take(&self, activity: ActivityId, window: usize, merging: Merging) -> Vec<Block> {
        let mut pending = self.pending.lock();
        let Some(own) = pending.get_mut(&activity) else {
            return Vec::new();
        };
        if own.outstanding >= window.max(1) {
            return Vec::new();
        }
        let taken = own.take(merging);
        if !taken.is_empty() {
            own.outstanding += 1;
        }
        taken
    }

    /// A command of an activity is done.
    fn one_done(&self, activity: ActivityId) {
        let mut pending = self.pending.lock();
        if let Some(own) = pending.get_mut(&activity) {
            own.outstanding = own.outstanding.saturating_sub(1);
            if own.is_idle() {
                pending.remove(&activity);
            }
        }
    }
}

/// Pieces of a transfer.
pub(crate) fn blocks<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    blocks: Vec<Block>,
) {
    let Some(disk) = blocks.first().map(|block| block.disk.clone()) else {
        return;
    };
    let bytes = blocks.iter().map(|block| u64::from(block.bytes)).sum();
    context.add_bytes(bytes);
    let activity = context.head().activity;
    disk.add(activity, blocks);
    send_next(shared, context, &disk, activity);
}

/// Sends what an activity's window has room for.
fn send_next<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    disk: &Arc<Disk>,
    activity: ActivityId,
) {
    let settings = shared.storage.settings();
    let merging = Merging {
        bytes: settings.merge_bytes.min(disk.limits.bytes).into(),
        parts: disk.limits.parts,
    };
    loop {
        let members = disk.take(activity, settings.window, merging);
        if members.is_empty() {
            return;
        }
        send(shared, context, command(disk, activity, members));
    }
}

/// The command for neighbours.
fn command(disk: &Arc<Disk>, activity: ActivityId, members: Vec<Block>) -> Box<Io> {
    let first = members.first().map_or(0, |member| member.first);
    let count = members.iter().map(|member| member.count).sum();
    let direction = members
        .first()
        .map_or(Direction::Flush, |one| one.direction);
    let (cdb, data, timeout_ns) = match direction {
        Direction::Read => (
            scsi::blocks(scsi::Blocks::Read, first, count),
            Data::In,
            TIMEOUT_NS,
        ),
        Direction::Write => (
            scsi::blocks(scsi::Blocks::Write, first, count),
            Data::Out,
            TIMEOUT_NS,
        ),
        // All of the disk.
        Direction::Flush => (
            scsi::blocks(scsi::Blocks::Flush, 0, 0),
            Data::None,
            FLUSH_TIMEOUT_NS,
        ),
    };
    Box::new(Io {
        controller: disk.controller,
        unit: disk.unit,
        activity,
        what: What::Blocks {
            disk: disk.clone(),
            first,
            members,
        },
        cdb,
        data,
        parts: Vec::new(),
        timeout_ns,
        attempts: 0,
    })
}

/// Sends a command down, under the labels of the first who asked for it.
fn send<M: Machine>(shared: &Arc<Shared<M>>, context: &mut Context<'_, Vortex<M>>, io: Box<Io>) {
    let head = match &io.what {
        What::Blocks { members, .. } => members.first().map(|member| member.ask.head),
        What::Raw { head, .. } => Some(*head),
    };
    let activity = io.activity;
    let destination = shared.destination(Kind::DiskRequest, activity);
    let message = Message::Disk(DiskMessage::Request(io));
    let mut request = context.request(destination, message).paid_by(activity);
    if let Some(head) = head {
        request = request.ordered(head.dependency).near(head.affinity);
    }
    context.send(request);
}

/// The device has answered.
pub(crate) fn answered<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    mut io: Box<Io>,
    result: &Result<Response, Failure>,
) {
    request::release(shared, &mut io);
    if let What::Raw { head, .. } = &io.what {
        return context.reply(head, Message::Disk(DiskMessage::Raw(*result)));
    }
    context.add_bytes(io.bytes());
    let verdict = scsi::judge(result);
    let (disk, is_alone) = match &io.what {
        What::Blocks { disk, members, .. } => (disk.clone(), members.len() == 1),
        What::Raw { .. } => return,
    };
    let again = verdict == Verdict::Retry && io.attempts + 1 < ATTEMPTS && !disk.is_gone();
    if again {
        io.attempts += 1;
        return send(shared, context, io);
    }
    let activity = io.activity;
    if !is_alone && matches!(verdict, Verdict::Medium | Verdict::Failed | Verdict::Retry) {
        // Only those who asked for what cannot be done are told so.
        return one_by_one(shared, context, &disk, *io);
    }
    if verdict == Verdict::Gone {
        disk.set_gone();
    }
    let done = match verdict {
        Verdict::Good => Ok(()),
        Verdict::Medium => Err(IoError::Medium),
        Verdict::Protected => Err(IoError::ReadOnly),
        Verdict::Gone => Err(IoError::Gone),
        Verdict::Retry | Verdict::Failed => Err(IoError::Failed),
    };
    if let Err(error) = done {
        log::warn!("{}: {error} ({result:?})", disk.name);
    }
    if let What::Blocks { members, .. } = io.what {
        members
            .iter()
            .for_each(|member| finish(context, member, done));
    }
    disk.one_done(activity);
    send_next(shared, context, &disk, activity);
}

/// A command was not carried out, since others read what it is to read.
pub(crate) fn dropped<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    mut io: Box<Io>,
) {
    request::release(shared, &mut io);
    let What::Blocks { disk, members, .. } = io.what else {
        return;
    };
    for member in &members {
        finish(context, member, Ok(()));
    }
    disk.one_done(io.activity);
    send_next(shared, context, &disk, io.activity);
}

/// Tries what was merged again, each by itself. The window is not looked at: the one command's place
/// is taken by several, for once.
fn one_by_one<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    disk: &Arc<Disk>,
    io: Io,
) {
    let What::Blocks { members, .. } = io.what else {
        return;
    };
    {
        let mut pending = disk.pending.lock();
        let own = pending.entry(io.activity).or_default();
        own.outstanding += members.len() - 1;
    }
    for member in members {
        let single = command(disk, io.activity, alloc::vec![member]);
        send(shared, context, single);
    }
}

/// A piece is done: if it was the last one, who asked is told.
fn finish<M: Machine>(
    context: &mut Context<'_, Vortex<M>>,
    member: &Block,
    done: Result<(), IoError>,
) {
    if let Some(whole) = member.ask.piece_done(done) {
        context.reply(&member.ask.head, Message::VolumeDone(whole));
    }
}

/// Somebody's own command to a unit.
pub(crate) fn raw(
    place: (ControllerId, Unit),
    head: vortex_toolkit::Head,
    cdb: Cdb,
    segments: Vec<super::Segment>,
) -> Box<Io> {
    let data = if segments.is_empty() {
        Data::None
    } else {
        Data::In
    };
    Box::new(Io {
        controller: place.0,
        unit: place.1,
        activity: head.activity,
        what: What::Raw { head, segments },
        cdb,
        data,
        parts: Vec::new(),
        timeout_ns: TIMEOUT_NS,
        attempts: 0,
    })
}

/// A unit is gone, or all of a controller's: its volumes go, and what waits fails.
pub(crate) fn removed<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    controller: ControllerId,
    unit: Option<Unit>,
) {
    use super::volumes::Backing;
    let is_it =
        |disk: &Disk| disk.controller == controller && unit.is_none_or(|unit| unit == disk.unit);
    shared.storage.remove_volumes(|backing| match backing {
        Backing::Disk { disk, .. } if is_it(disk) => {
            disk.set_gone();
            true
        }
        Backing::Disk { .. } | Backing::Image(_) | Backing::Ram(_) => false,
    });
    // What waits is sent nevertheless, window by window: the controller answers that there is no
    // such unit.
    if unit.is_none() {
        super::discovery::has_ended(shared, context, controller);
    }
}
