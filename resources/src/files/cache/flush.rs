//! Pages go to the disk: after a while, by `fsync` and `sync`, and when there are too many.

use alloc::sync::Arc;
use core::ops::Range;

use super::super::disk::{Disk, Memory, System, context, errno};
use super::super::inode::{Inode, Time};
use super::run::Run;
use super::{Frames, space};
use crate::errand::{Errand, Here};
use crate::errno::Errno;
use crate::machine::{Machine, PAGE_SIZE};
use crate::system::{Kind, Shared, Vortex};
use crate::thread::timers::Alarm;
use vortex_ext2::{Error, InodeNumber};
use vortex_toolkit::ids::ActivityId;
use vortex_toolkit::{Context, Request};

/// How long a page stays dirty, in nanoseconds; and how often that is looked after.
const DELAY_NS: u64 = 2_000_000_000;

/// Sees to it that what has just become dirty is written back in a while.
pub(super) fn arm<M: Machine>(here: &Here<M>) {
    let shared = &here.shared;
    if shared.cache.arm() {
        let at = shared.machine.now() + shared.clock.cycles(DELAY_NS);
        let core = shared.machine.here();
        shared.timers(core).add(at, Alarm::Flush);
    }
}

/// Writes back what has been dirty for a while, each on the account of who wrote it; then what the
/// file system has to write itself. On the account of the infrastructure.
async fn age<M: Machine>(here: Here<M>) {
    let shared = &here.shared;
    shared.cache.disarm();
    let before = shared
        .machine
        .now()
        .saturating_sub(shared.clock.cycles(DELAY_NS / 2));
    for activity in shared.cache.debtors() {
        let write = move |here: Here<M>| async move {
            write_back(&here, activity, usize::MAX, before).await;
        };
        // Whatever goes wrong is told to who asks for the file.
        let _ = here.visit(Kind::FileCache, activity, write).await;
    }
    if let Err(error) = sync_metadata(&here).await {
        log::error!("file system: {}", error.name().unwrap_or("error"));
    }
    if !shared.cache.debtors().is_empty() {
        arm(&here);
    }
}

async fn sync_metadata<M: Machine>(here: &Here<M>) -> Result<(), Errno> {
    let now = Time::of(here.real_time());
    let disk = here.shared.disk.get().ok_or(Errno::ENODEV)?;
    let mut result = Ok(());
    for system in disk.mounts.all() {
        let sync = move |system: Arc<System<M>>| async move { system.sync(now.into()).await };
        let synced = Disk::ask(here, system.id, ActivityId::INFRASTRUCTURE, sync).await;
        result = result.and(synced);
    }
    result
}

/// Writes back everything, and waits until it cannot be lost (`sync`).
///
/// # Errors
/// EIO.
pub(crate) async fn sync<M: Machine>(here: &Here<M>) -> Result<(), Errno> {
    if here.shared.disk.get().is_none() {
        return Ok(());
    }
    for activity in here.shared.cache.debtors() {
        let write = move |here: Here<M>| async move {
            write_back(&here, activity, usize::MAX, u64::MAX).await;
        };
        here.visit(Kind::FileCache, activity, write).await?;
    }
    sync_metadata(here).await
}

/// Writes back the oldest pages that an activity has written, until it is so many, and only those
/// written before a time; on the account of that activity, whose this continuation is. How many.
pub(super) async fn write_back<M: Machine>(
    here: &Here<M>,
    activity: ActivityId,
    most: usize,
    before: u64,
) -> usize {
    let mut written = 0;
    while written < most
        && let Some((inode, mut pages)) = here.shared.cache.oldest(activity, before)
    {
        while let Some(first) = first_dirty(&inode, pages.clone()) {
            let count = write_run(here, &inode, first, true).await.unwrap_or(1);
            pages.start = first + count.max(1) as u64;
            written += count;
        }
    }
    written
}

fn first_dirty(inode: &Inode, pages: Range<u64>) -> Option<u64> {
    inode.pages.lock().first_dirty(pages)
}

/// Writes back all of a file.
///
/// # Errors
/// EIO, ENOSPC: what could not be written is lost.
async fn write_back_file<M: Machine>(here: &Here<M>, inode: &Arc<Inode>) -> Result<(), Errno> {
    let failures = inode.failures();
    let mut next = 0;
    while let Some(first) = first_dirty(inode, next..u64::MAX) {
        let count = write_run(here, inode, first, true).await?;
        next = first + count.max(1) as u64;
    }
    // Somebody else's write-back may be under way.
    drop(inode.blocks.write().await);
    if inode.failures() == failures {
        Ok(())
    } else {
        Err(Errno::EIO)
    }
}

/// Writes back all of a file, and waits until it cannot be lost (`fsync`).
///
/// # Errors
/// EIO, ENOSPC.
pub(crate) async fn sync_file<M: Machine>(here: &Here<M>, inode: &Arc<Inode>) -> Result<(), Errno> {
    write_back_file(here, inode).await?;
    let (number, now) = (InodeNumber(inode.number()), Time::of(here.real_time()));
    let sync = move |system: Arc<System<M>>| async move { system.fsync(number, now.into()).await };
    Disk::ask(here, inode.system(), here.activity(), sync).await
}

/// Writes back the dirty pages of a file from one on that follow each other and that the same
/// activity has written; how many. `reserved` says whether their blocks were set aside.
///
/// # Errors
/// EIO, ENOSPC: what could not be written is lost.
pub(super) async fn write_run<M: Machine>(
    here: &Here<M>,
    inode: &Arc<Inode>,
    first: u64,
    reserved: bool,
) -> Result<usize, Errno> {
    let shared = &here.shared;
    let blocks = inode.blocks.write().await;
    let run = Run::take(here, inode, first).await;
    let (mut frames, set_aside) = (run.frames, run.set_aside);
    let (count, Some(payer)) = (frames.all().len(), run.payer) else {
        return Ok(0);
    };
    without_rest(here, inode, first, &mut frames);
    let written = write_frames(here, inode, first, &frames, payer, reserved).await;
    shared.cache.settle(payer, count);
    if let Ok(system) = Disk::of(here, inode) {
        system.release(set_aside);
    }
    drop(blocks);
    if written.is_err() {
        inode.count_failure();
    }
    here.give_way_if_long(Kind::FileCache).await;
    written.map(|()| count)
}

/// What a program that has mapped the last page has written behind the end of the file does not get to
/// the disk: a copy without that is written. Somebody may make the file longer meanwhile, so the page
/// itself stays as it is.
fn without_rest<M: Machine>(
    here: &Here<M>,
    inode: &Arc<Inode>,
    first: u64,
    frames: &mut Frames<M>,
) {
    const PAGE: usize = PAGE_SIZE as usize;
    let last = first + frames.all().len() as u64 - 1;
    let valid = inode.size().saturating_sub(last * PAGE_SIZE) as usize;
    let Some(&frame) = frames.all().last() else {
        return;
    };
    if valid == 0 || valid >= PAGE {
        return;
    }
    let mut bytes = [0; PAGE];
    let machine = &here.shared.machine;
    machine.read_frame(frame, valid, &mut bytes[valid..]);
    if bytes[valid..].iter().all(|&byte| byte == 0) {
        return;
    }
    // Without memory for a copy, who has written there sees it again.
    let Some(copy) = space::spare(here, inode, last) else {
        return;
    };
    machine.read_frame(frame, 0, &mut bytes[..valid]);
    bytes[valid..].fill(0);
    machine.write_frame(copy, 0, &bytes);
    if let Some(frame) = frames.pop() {
        here.shared.memory.release(frame);
    }
    frames.push(copy);
}

async fn write_frames<M: Machine>(
    here: &Here<M>,
    inode: &Arc<Inode>,
    first: u64,
    frames: &Frames<M>,
    payer: ActivityId,
    reserved: bool,
) -> Result<(), Errno> {
    let block = u64::from(Disk::of(here, inode)?.usage().block_size);
    let offset = first * PAGE_SIZE;
    let attributes = inode.attributes();
    let end = attributes
        .size
        .min(offset + frames.all().len() as u64 * PAGE_SIZE);
    let length = end.saturating_sub(offset).next_multiple_of(block);
    if length == 0 {
        return Ok(());
    }
    let data = Memory::new(&here.shared.machine, frames.all(), length as usize);
    let number = InodeNumber(inode.number());
    let context = context(attributes.modified);
    let write = move |system: Arc<System<M>>| async move {
        system
            .write(context, number, offset, data, end, reserved)
            .await?;
        Ok::<_, Error>(system.attributes(number).await?.sectors)
    };
    here.port.add_bytes(length);
    let sectors = Disk::ask(here, inode.system(), payer, write).await?;
    inode.update(|attributes| attributes.blocks = sectors);
    Ok(())
}

/// Sets blocks aside for pages that are about to be dirty.
///
/// # Errors
/// ENOSPC.
pub(super) fn reserve<M: Machine>(here: &Here<M>, inode: &Inode, pages: u64) -> Result<u64, Errno> {
    let system = Disk::of(here, inode)?;
    let block = u64::from(system.usage().block_size);
    let blocks = system.with_tables(pages * (PAGE_SIZE / block));
    let now = Time::of(here.real_time());
    system.reserve(context(now), blocks).map_err(errno)?;
    Ok(blocks)
}

/// The alarm has gone off that looks after what is dirty.
pub(crate) fn flush<M: Machine>(shared: &Arc<Shared<M>>, context: &mut Context<'_, Vortex<M>>) {
    let payer = ActivityId::INFRASTRUCTURE;
    let destination = shared.destination(Kind::FileCache, payer);
    context.send(Request::new(destination, payer, Errand::message(age)));
}
