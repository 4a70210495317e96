//! The File Cache Resource: pages of files by (file, page), shared by all (paper, sections 2.2 and
//! 3.5; table 2).
//!
//! Key types: [`FileCache`] (what is dirty, by who wrote it), [`Pages`] (one file's pages),
//! [`Frames`] (pages on their way to somebody), [`Ahead`] (read-ahead). Parts: `fetch` (pages come
//! in), `arrivals` (which are on their way), `write` (pages are written), `flush` (pages go to the disk), `space` (frames for pages, and
//! giving them back).
//!
//! Frames are had from the memory multiplexor by the activity that brought a page in, which pays for
//! it until the page is given back, whoever else uses it. A page that is written is written back
//! later, on the account of the activity that wrote it, which may have only so many dirty pages
//! ([`FileCache::limit`]): one that writes faster than the disk waits for its own write-back.

mod ahead;
mod arrivals;
mod fetch;
mod flush;
mod frames;
mod pages;
mod run;
mod space;
mod write;

pub(crate) use ahead::Ahead;
pub(crate) use fetch::{head, pages_of, read};
pub(crate) use flush::{flush, sync, sync_file};
pub use frames::Frames;
pub(crate) use pages::{Dirt, Pages};
pub(crate) use space::{discard, evict_file, evict_of};
pub(crate) use write::{LARGEST, Written, cut, soil_page, write};

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};

use event_listener::{Event, EventListener};
use vortex_toolkit::ids::ActivityId;

use super::inode::Inode;

/// Pages of a file that follow each other, and became dirty one after the other.
#[derive(Clone, Debug)]
struct Owed {
    inode: Weak<Inode>,
    /// Not more than [`run::LONGEST`].
    pages: Range<u64>,
    /// When the first was written, in cycles.
    since: u64,
}

/// What one activity has written that is not on the disk.
#[derive(Debug, Default)]
struct Debt {
    /// The oldest first. Some may have been written back meanwhile, or have been cut off.
    owed: VecDeque<Owed>,
    /// Pages that are dirty.
    pages: usize,
    /// Pages that are about to be.
    rooms: usize,
}

/// Room for one more dirty page of an activity.
#[derive(Debug)]
struct Room<'a> {
    cache: &'a FileCache,
    activity: ActivityId,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.cache.change(self.activity, |debt| debt.rooms -= 1);
    }
}

/// What is dirty of all files.
#[derive(Debug)]
pub struct FileCache {
    debts: spin::Mutex<BTreeMap<ActivityId, Debt>>,
    limit: usize,
    /// Notified whenever an activity may have more dirty pages than before.
    settled: Event,
    arrivals: arrivals::Arrivals,
    /// An alarm is set that looks after what is dirty.
    armed: AtomicBool,
}

/// The most dirty pages that an activity may ever have: 16 MiB.
const MOST_DIRTY: usize = 4096;
/// The fewest that it may have.
const FEWEST_DIRTY: usize = 64;

impl FileCache {
    /// For a machine with so many frames.
    #[must_use]
    pub fn new(frames: usize) -> Self {
        Self {
            debts: spin::Mutex::default(),
            limit: (frames / 32).clamp(FEWEST_DIRTY, MOST_DIRTY),
            settled: Event::new(),
            arrivals: arrivals::Arrivals::default(),
            armed: AtomicBool::new(false),
        }
    }

    /// Dirty pages that an activity may have.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Dirty pages that an activity has.
    #[must_use]
    pub fn dirty(&self, activity: ActivityId) -> usize {
        let debts = self.debts.lock();
        debts.get(&activity).map_or(0, |debt| debt.pages)
    }

    /// Room for one more dirty page of an activity, if it may have one.
    fn room(&self, activity: ActivityId) -> Option<Room<'_>> {
        let mut debts = self.debts.lock();
        let debt = debts.entry(activity).or_default();
        if debt.pages + debt.rooms >= self.limit {
            return None;
        }
        debt.rooms += 1;
        let cache = self;
        Some(Room { cache, activity })
    }

    /// Ends when there may be room that there was not when this was called.
    fn settling(&self) -> EventListener {
        self.settled.listen()
    }

    /// A page that was clean is dirty since now.
    fn owe(&self, activity: ActivityId, inode: &Arc<Inode>, page: u64, now: u64) {
        let mut debts = self.debts.lock();
        let debt = debts.entry(activity).or_default();
        debt.pages += 1;
        match debt.owed.back_mut() {
            Some(Owed {
                inode: last, pages, ..
            }) if pages.end == page
                && page - pages.start < run::LONGEST
                && core::ptr::eq(last.as_ptr(), Arc::as_ptr(inode)) =>
            {
                pages.end += 1;
            }
            _ => debt.owed.push_back(Owed {
                inode: Arc::downgrade(inode),
                pages: page..page + 1,
                since: now,
            }),
        }
    }

    /// So many pages are not dirty any more.
    pub(super) fn settle(&self, activity: ActivityId, pages: usize) {
        self.change(activity, |debt| debt.pages -= pages);
    }

    /// An activity has less that is dirty, or about to be.
    fn change(&self, activity: ActivityId, less: impl FnOnce(&mut Debt)) {
        let mut debts = self.debts.lock();
        if let Some(debt) = debts.get_mut(&activity) {
            less(debt);
            if debt.pages + debt.rooms == 0 {
                debts.remove(&activity);
            }
        }
        drop(debts);
        self.settled.notify(usize::MAX);
    }

    /// The oldest pages that an activity has written, if the first was written before a time; some may be
    /// clean again.
    fn oldest(&self, activity: ActivityId, before: u64) -> Option<(Arc<Inode>, Range<u64>)> {
        let mut debts = self.debts.lock();
        let owed = &mut debts.get_mut(&activity)?.owed;
        while owed.front()?.since <= before {
            let Owed { inode, pages, .. } = owed.pop_front()?;
            // What has been removed need not be written.
            if let Some(inode) = inode.upgrade() {
                return Some((inode, pages));
            }
        }
        None
    }

    /// Who has written something that is not on the disk.
    fn debtors(&self) -> Vec<ActivityId> {
        self.debts.lock().keys().copied().collect()
    }

    /// Whether the caller is to set the alarm that looks after what is dirty.
    fn arm(&self) -> bool {
        !self.armed.swap(true, Ordering::AcqRel)
    }

    fn disarm(&self) {
        self.armed.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
