//! Frames for pages of files, and giving them back.

use alloc::sync::Arc;
use core::ops::Range;

use vortex_toolkit::ids::ActivityId;
use vortex_toolkit::memory::{Frame, Owner, Refusal};

use super::super::inode::{Inode, SystemId};
use super::{Dirt, Pages, flush};
use crate::errand::Here;
use crate::errno::Errno;
use crate::machine::Machine;
use crate::object::{Object, cookie};
use crate::space::Progress;
use crate::system::{Kind, Shared};
use crate::thread;

/// Frames asked back at once.
const WANTED: usize = 16;

/// A frame for a page of a file, paid by the activity that asks. What it may not have is had by
/// giving back other pages: clean ones, then dirty ones of its own; if all are on their way or in use,
/// by waiting for one.
///
/// # Errors
/// ENOMEM when nothing can be given back.
pub(super) async fn allocate<M: Machine>(
    here: &Here<M>,
    inode: &Inode,
    page: u64,
) -> Result<Frame, Errno> {
    let owner = owner(here, inode, page);
    let (memory, activity) = (&here.shared.memory, owner.activity);
    if let Ok(frame) = memory.allocate(owner) {
        return Ok(frame);
    }
    let turn = here.shared.cache.arrivals.turn(activity);
    let _turn = turn.lock().await;
    // A frame that has been used gets away once.
    let all = 2 * here.shared.machine.limit();
    let mut patience = all;
    let mut is_last = false;
    loop {
        let came = here.shared.cache.arrivals.next();
        let refusal = match memory.allocate(owner) {
            Ok(frame) => return Ok(frame),
            Err(refusal) => refusal,
        };
        let (given, looked) = reclaim(&here.shared, refusal, activity);
        if given > 0 {
            continue;
        }
        flush::write_back(here, activity, WANTED, u64::MAX).await;
        patience = patience.saturating_sub(looked.max(1));
        if patience > 0 {
            continue;
        }
        if is_last {
            return Err(Errno::ENOMEM);
        }
        let whose = (refusal == Refusal::OverBudget).then_some(activity);
        if here.shared.cache.arrivals.are_coming(whose) {
            came.await;
        } else {
            is_last = true;
        }
        // What has come before is used up when this has its turn.
        let after_others = here.visit(Kind::AddressSpace, activity, |_| async {});
        after_others.await?;
        patience = all;
    }
}

/// A frame for a copy of a page, if there is one without writing anything back.
pub(super) fn spare<M: Machine>(here: &Here<M>, inode: &Inode, page: u64) -> Option<Frame> {
    let (memory, owner) = (&here.shared.memory, owner(here, inode, page));
    let again = |refusal| {
        reclaim(&here.shared, refusal, owner.activity);
        memory.allocate(owner)
    };
    memory.allocate(owner).or_else(again).ok()
}

fn owner<M: Machine>(here: &Here<M>, inode: &Inode, page: u64) -> Owner {
    Owner {
        resource: here.shared.destination(Kind::FileCache, here.activity()),
        activity: here.activity(),
        cookie: cookie(inode.number_as_object(), page),
    }
}

/// Gives back some clean pages: how many, and how many frames were looked at.
fn reclaim<M: Machine>(
    shared: &Shared<M>,
    refusal: Refusal,
    activity: ActivityId,
) -> (usize, usize) {
    let whose = (refusal == Refusal::OverBudget).then_some(activity);
    let found = shared.memory.reclaim(whose, WANTED);
    let given = (found.chosen.iter()).filter(|reclaim| thread::evict(shared, reclaim));
    (given.count(), found.looked)
}

/// Pages looked at in one step; then others have their turn.
const STEP: usize = 64;

/// Gives back those of some pages of a file that are clean and that nobody has mapped, of one
/// activity or of all; how many.
pub(crate) async fn evict_file<M: Machine>(
    here: &Here<M>,
    inode: &Inode,
    range: Range<u64>,
    whose: Option<ActivityId>,
) -> u64 {
    let mut evicted = 0;
    let mut next = range.start;
    loop {
        let mut pages = inode.pages.lock().clean_from(next, STEP);
        pages.retain(|page| range.contains(page));
        let Some(last) = pages.last() else {
            return evicted;
        };
        next = last + 1;
        for page in pages {
            let is_meant = whose.is_none_or(|activity| {
                let frame = inode.pages.lock().get(page);
                let owner = frame.and_then(|frame| here.shared.memory.owner(frame));
                owner.is_some_and(|owner| owner.activity == activity)
            });
            evicted += u64::from(is_meant && inode.evict(page));
        }
        here.give_way(Kind::FileCache).await;
    }
}

/// Gives back all pages of all files that an activity has brought in, as [`evict_file`]; how many.
pub(crate) async fn evict_of<M: Machine>(here: &Here<M>, activity: ActivityId) -> u64 {
    let Some(disk) = here.shared.disk.get().cloned() else {
        return 0;
    };
    let mut evicted = 0;
    for inode in disk.tree.all() {
        evicted += evict_file(here, &inode, 0..u64::MAX, Some(activity)).await;
    }
    evicted
}

/// Unmaps a page of a file from all address spaces.
pub(super) fn unmap<M: Machine>(shared: &Shared<M>, inode: &Inode, page: u64, frame: Frame) {
    for process in shared.processes.all() {
        let space = process.space();
        while space.evict(inode.number_as_object(), page, frame) == Progress::More {}
    }
}

/// Forgets pages of a file from one on, wherever they are mapped: the file has become shorter.
pub(crate) async fn shrink<M: Machine>(here: &Here<M>, inode: &Arc<Inode>, first: u64) {
    let mut cut = Cut::new(&here.shared, inode, first);
    inode.arrival.notify(usize::MAX);
    while let Some((page, frame, dirt)) = cut.pages.pop() {
        if here.shared.memory.references(frame) > 1 {
            unmap(&here.shared, inode, page, frame);
        }
        forget(&here.shared, cut.system, frame, dirt);
        here.give_way_if_long(Kind::FileCache).await;
    }
}

/// Pages that have been cut off a file. They are given back also if who does that is ended meanwhile.
pub(super) struct Cut<M: Machine> {
    shared: Arc<Shared<M>>,
    system: SystemId,
    pages: Pages,
}

impl<M: Machine> Cut<M> {
    /// All pages of a file from one on.
    pub(super) fn new(shared: &Arc<Shared<M>>, inode: &Inode, first: u64) -> Self {
        Self {
            shared: shared.clone(),
            system: inode.system(),
            pages: inode.pages.lock().cut(first),
        }
    }
}

impl<M: Machine> Drop for Cut<M> {
    fn drop(&mut self) {
        while let Some((_, frame, dirt)) = self.pages.pop() {
            forget(&self.shared, self.system, frame, dirt);
        }
    }
}

/// Forgets all pages of a file that nobody has any more, and that has no name.
pub(crate) async fn discard<M: Machine>(here: &Here<M>, system: SystemId, pages: &mut Pages) {
    while let Some((_, frame, dirt)) = pages.pop() {
        forget(&here.shared, system, frame, dirt);
        here.give_way_if_long(Kind::FileCache).await;
    }
}

/// Gives back a page of a file that has been taken out: it need not be written any more.
fn forget<M: Machine>(shared: &Shared<M>, system: SystemId, frame: Frame, dirt: Option<Dirt>) {
    if let Some(dirt) = dirt {
        shared.cache.settle(dirt.activity, 1);
        let disk = shared.disk.get();
        if let Some(system) = disk.and_then(|disk| disk.mounts.system(system)) {
            system.release(dirt.reserved);
        }
    }
    shared.memory.release(frame);
}
