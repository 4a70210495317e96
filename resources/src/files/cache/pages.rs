//! The pages of one file that are in memory.
//!
//! Key types: [`Pages`], [`Dirt`] (who is to pay for writing a page back).
//!
//! Invariants: for each page that is here, `Pages` has one reference to its frame. A page that is
//! coming has no frame yet, and somebody who fetches it, of each activity at most once. Who else wants
//! it waits for the file's `arrival`; but one of another activity, while the disk has not begun to
//! read it, fetches it as well, on that activity's account: the first that it comes to is for all
//! (see [`Reading`]).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use vortex_toolkit::ids::ActivityId;

use crate::machine::Frame;
use crate::storage::Reading;

/// That a page was written and is not on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dirt {
    /// Who wrote it first since it was last written back, and pays for that.
    pub(crate) activity: ActivityId,
    /// Blocks that are set aside for it on the disk.
    pub(crate) reserved: u64,
}

/// A page.
#[derive(Debug)]
enum Page {
    /// It is being fetched, for one activity or more.
    Coming(Fetch),
    /// It is here.
    Here { frame: Frame, dirt: Option<Dirt> },
}

#[derive(Debug)]
struct Fetch {
    first: ActivityId,
    /// Usually none: no memory is allocated then.
    others: Vec<ActivityId>,
    reading: Arc<Reading>,
}

impl Fetch {
    fn is_for(&self, activity: ActivityId) -> bool {
        self.first == activity || self.others.contains(&activity)
    }
}

/// What is known of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is not in memory.
    Absent,
    /// Somebody fetches it.
    Coming,
    /// It is in this frame.
    Here(Frame),
}

/// The pages of a file.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    pages: BTreeMap<u64, Page>,
    /// Those that are dirty, so that they are found among many that are not.
    dirty: BTreeSet<u64>,
}

impl Pages {
    /// The frame of a page that is here.
    pub(crate) fn get(&mut self, page: u64) -> Option<Frame> {
        match self.find(page) {
            Found::Here(frame) => Some(frame),
            _ => None,
        }
    }

    /// The frames of these pages, up to the first that is not here.
    pub(crate) fn run(&self, pages: Range<u64>) -> impl Iterator<Item = Frame> {
        let mut next = pages.start;
        self.pages.range(pages).map_while(move |(page, state)| {
            let is_next = *page == next;
            next += 1;
            match state {
                Page::Here { frame, .. } if is_next => Some(*frame),
                _ => None,
            }
        })
    }

    /// What is known of a page.
    #[must_use]
    pub(crate) fn find(&self, page: u64) -> Found {
        match self.pages.get(&page) {
            None => Found::Absent,
            Some(Page::Coming(_)) => Found::Coming,
            Some(Page::Here { frame, .. }) => Found::Here(*frame),
        }
    }

    /// The caller fetches a page for an activity, if it is not here, that activity does not fetch it
    /// already, and the disk has not begun to read it for another one.
    #[must_use]
    pub(crate) fn claim(&mut self, page: u64, activity: ActivityId) -> Option<Arc<Reading>> {
        match self.pages.get_mut(&page) {
            None => {
                let reading = Arc::new(Reading::default());
                let fetch = Fetch {
                    first: activity,
                    others: Vec::new(),
                    reading: reading.clone(),
                };
                self.pages.insert(page, Page::Coming(fetch));
                Some(reading)
            }
            Some(Page::Coming(fetch)) if !fetch.is_for(activity) && !fetch.reading.has_begun() => {
                fetch.others.push(activity);
                Some(fetch.reading.clone())
            }
            Some(_) => None,
        }
    }

    /// A page that the caller has claimed is here; the reference is the cache's from now on. False,
    /// with the reference still the caller's, if it is not wanted any more: the file was cut
    /// meanwhile, or another activity's fetch was faster.
    #[must_use]
    pub(crate) fn arrive(&mut self, page: u64, frame: Frame) -> bool {
        match self.pages.get_mut(&page) {
            Some(slot @ Page::Coming(_)) => {
                *slot = Page::Here { frame, dirt: None };
                true
            }
            _ => false,
        }
    }

    /// What the caller has claimed for an activity has come, or does not by that claim.
    pub(crate) fn give_up(&mut self, page: u64, activity: ActivityId, reading: &Arc<Reading>) {
        let Some(Page::Coming(fetch)) = self.pages.get_mut(&page) else {
            return;
        };
        // It may have been cut off and claimed again.
        if !Arc::ptr_eq(&fetch.reading, reading) {
            return;
        }
        reading.give_up(activity);
        if fetch.first != activity {
            fetch.others.retain(|other| *other != activity);
        } else if let Some(next) = fetch.others.pop() {
            fetch.first = next;
        } else {
            self.pages.remove(&page);
        }
    }

    /// A page is here that was absent; the reference is the cache's from now on.
    pub(crate) fn insert(&mut self, page: u64, frame: Frame) {
        debug_assert_eq!(self.find(page), Found::Absent);
        self.pages.insert(page, Page::Here { frame, dirt: None });
    }

    /// A page that is here has been written. False if it was dirty already.
    pub(crate) fn soil(&mut self, page: u64, by: Dirt) -> bool {
        match self.pages.get_mut(&page) {
            Some(Page::Here { dirt, .. }) if dirt.is_none() => {
                *dirt = Some(by);
                self.dirty.insert(page);
                true
            }
            _ => false,
        }
    }

    /// A dirty page, if it is one that this activity has written, or anybody, is about to be written
    /// back: it is clean from now on. Its frame, and who pays.
    pub(crate) fn clean(&mut self, page: u64, by: Option<ActivityId>) -> Option<(Frame, Dirt)> {
        match self.pages.get_mut(&page) {
            Some(Page::Here { frame, dirt }) => {
                let cleaned = dirt.take_if(|dirt| by.is_none_or(|by| by == dirt.activity))?;
                self.dirty.remove(&page);
                Some((*frame, cleaned))
            }
            _ => None,
        }
    }

    /// Whether a page is dirty.
    #[must_use]
    pub(crate) fn is_dirty(&self, page: u64) -> bool {
        matches!(
            self.pages.get(&page),
            Some(Page::Here { dirt: Some(_), .. })
        )
    }

    /// The first of these pages that is dirty.
    #[must_use]
    pub(crate) fn first_dirty(&self, pages: Range<u64>) -> Option<u64> {
        if pages.is_empty() {
            return None;
        }
        self.dirty.range(pages).next().copied()
    }

    /// Takes out a clean page if `may` says so of its frame; the reference is the caller's.
    pub(crate) fn take_clean(
        &mut self,
        page: u64,
        may: impl FnOnce(Frame) -> bool,
    ) -> Option<Frame> {
        match self.pages.get(&page) {
            Some(&Page::Here { frame, dirt: None }) if may(frame) => {
                self.pages.remove(&page);
                Some(frame)
            }
            _ => None,
        }
    }

    /// Takes out all pages from one on. Those that are coming are not wanted any more.
    #[must_use]
    pub(crate) fn cut(&mut self, first: u64) -> Self {
        Self {
            pages: self.pages.split_off(&first),
            dirty: self.dirty.split_off(&first),
        }
    }

    /// Takes out the last page that is here, with who was to pay for writing it back; the reference is the
    /// caller's.
    pub(crate) fn pop(&mut self) -> Option<(u64, Frame, Option<Dirt>)> {
        loop {
            match self.pages.pop_last()? {
                (number, Page::Here { frame, dirt }) => {
                    self.dirty.remove(&number);
                    return Some((number, frame, dirt));
                }
                (_, Page::Coming(_)) => {}
            }
        }
    }

    /// Clean pages, in order, at most `limit`, from one on.
    #[must_use]
    pub(crate) fn clean_from(&self, first: u64, limit: usize) -> Vec<u64> {
        let all = self.pages.range(first..);
        let clean = all.filter(|(_, page)| matches!(page, Page::Here { dirt: None, .. }));
        clean.map(|(&number, _)| number).take(limit).collect()
    }

    /// Whether no page is here, nor coming.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }
}
