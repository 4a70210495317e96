//! Pages of a file that are written back together.
//!
//! Key type: [`Run`]. From the moment in which a page is taken it counts as clean, and who writes to it
//! from then on is noticed: so nothing is lost that comes between that and the disk's reading it.

use alloc::sync::Arc;
use core::ops::Range;

use super::super::inode::Inode;
use super::{Dirt, Frames, space};
use crate::errand::Here;
use crate::machine::{Frame, Machine};
use crate::system::{Kind, Shared};
use vortex_toolkit::ids::ActivityId;

/// Pages that one request to the disk writes, at most.
pub(super) const LONGEST: u64 = 128;
/// Pages that are taken without letting others go first.
const AT_A_TIME: usize = 16;

/// Pages that follow each other, and that one activity has written. They are clean as far as the cache
/// knows.
pub(super) struct Run<M: Machine> {
    pub(super) frames: Frames<M>,
    /// Who has written them; nobody if there are none.
    pub(super) payer: Option<ActivityId>,
    /// Blocks that were set aside for them.
    pub(super) set_aside: u64,
}

impl<M: Machine> Run<M> {
    /// Takes the dirty pages of a file from one on. Nobody else takes some of the same file meanwhile.
    pub(super) async fn take(here: &Here<M>, inode: &Arc<Inode>, first: u64) -> Self {
        let mut run = Self {
            frames: Frames::new(here.shared.memory.clone()),
            payer: None,
            set_aside: 0,
        };
        let end = first + LONGEST;
        for start in (first..end).step_by(AT_A_TIME) {
            if !run.take_some(&here.shared, inode, start..start + AT_A_TIME as u64) {
                break;
            }
            here.give_way_if_long(Kind::FileCache).await;
        }
        run
    }

    /// Takes these pages, up to the first that does not belong to the run; whether it has them all.
    fn take_some(&mut self, shared: &Shared<M>, inode: &Arc<Inode>, pages: Range<u64>) -> bool {
        let before = self.frames.all().len();
        let mut cached = inode.pages.lock();
        let taken = pages.clone().map_while(|page| {
            let (frame, dirt) = cached.clean(page, self.payer)?;
            shared.memory.share(frame);
            self.frames.push(frame);
            self.payer = Some(dirt.activity);
            self.set_aside += dirt.reserved;
            Some(())
        });
        let is_whole = taken.count() == pages.clone().count();
        drop(cached);
        if let Some(payer) = self.payer {
            for (page, &frame) in pages.zip(&self.frames.all()[before..]) {
                notice_writers(shared, inode, (page, frame), payer);
            }
        }
        is_whole
    }
}

/// Who writes to a page from now on, which is about to be written back, is noticed.
fn notice_writers<M: Machine>(
    shared: &Shared<M>,
    inode: &Arc<Inode>,
    (page, frame): (u64, Frame),
    payer: ActivityId,
) {
    // The cache has a reference, and so has the run. Who has mapped the page has to map it again.
    if shared.memory.references(frame) > 2 {
        space::unmap(shared, inode, page, frame);
    }
    // A request writes to it without being noticed: what comes now is written back next time.
    if shared.memory.is_pinned(frame) {
        soil_again(shared, inode, page, payer);
    }
}

/// A page whose blocks are there is dirty again.
fn soil_again<M: Machine>(shared: &Shared<M>, inode: &Arc<Inode>, page: u64, activity: ActivityId) {
    let dirt = Dirt {
        activity,
        reserved: 0,
    };
    if inode.pages.lock().soil(page, dirt) {
        let now = shared.machine.now();
        shared.cache.owe(activity, inode, page, now);
    }
}
