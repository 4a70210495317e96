//! The pages of one file that are in memory.
//!
//! Key types: [`Pages`], [`Dirt`] (who is to pay for writing a page back).
//!
//! Invariants: for each page that is here, `Pages` has one reference to its frame. A page that is
//! coming has no frame yet, and somebody who fetches it; who else wants it waits for the file's
//! `arrival`.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use vortex_toolkit::ids::ActivityId;

use crate::machine::Frame;

/// That a page was written and is not on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dirt {
    /// Who wrote it first since it was last written back, and pays for that.
    pub activity: ActivityId,
    /// Blocks that are set aside for it on the disk.
    pub reserved: u64,
}

/// A page.
#[derive(Clone, Copy, Debug)]
enum Page {
    /// It is being fetched.
    Coming,
    /// It is here.
    Here { frame: Frame, dirt: Option<Dirt> },
}

/// What is known of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is not in memory.
    Absent,
    /// Somebody fetches it.
    Coming,
    /// It is in this frame.
    Here(Frame),
}

/// The pages of a file.
#[derive(Debug, Default)]
pub struct Pages {
    pages: BTreeMap<u64, Page>,
    dirty: usize,
}

impl Pages {
    /// The frame of a page that is here.
    pub fn get(&mut self, page: u64) -> Option<Frame> {
        match self.find(page) {
            Found::Here(frame) => Some(frame),
            _ => None,
        }
    }

    /// What is known of a page.
    #[must_use]
    pub fn find(&self, page: u64) -> Found {
        match self.pages.get(&page) {
            None => Found::Absent,
            Some(Page::Coming) => Found::Coming,
            Some(Page::Here { frame, .. }) => Found::Here(*frame),
        }
    }

    /// The caller fetches a page that is absent.
    pub fn claim(&mut self, page: u64) {
        debug_assert_eq!(self.find(page), Found::Absent);
        self.pages.insert(page, Page::Coming);
    }

    /// A page that the caller has claimed is here; the reference is the cache's from now on. False,
    /// with the reference still the caller's, if it is not wanted any more: the file was cut
    /// meanwhile.
    #[must_use]
    pub fn arrive(&mut self, page: u64, frame: Frame) -> bool {
        match self.pages.get_mut(&page) {
            Some(slot @ Page::Coming) => {
                *slot = Page::Here { frame, dirt: None };
                true
            }
            _ => false,
        }
    }

    /// A page that the caller has claimed will not come.
    pub fn give_up(&mut self, page: u64) {
        if matches!(self.pages.get(&page), Some(Page::Coming)) {
            self.pages.remove(&page);
        }
    }

    /// A page is here that was absent; the reference is the cache's from now on.
    pub fn insert(&mut self, page: u64, frame: Frame) {
        debug_assert_eq!(self.find(page), Found::Absent);
        self.pages.insert(page, Page::Here { frame, dirt: None });
    }

    /// A page that is here has been written. False if it was dirty already.
    pub fn soil(&mut self, page: u64, by: Dirt) -> bool {
        match self.pages.get_mut(&page) {
            Some(Page::Here { dirt, .. }) if dirt.is_none() => {
                *dirt = Some(by);
                self.dirty += 1;
                true
            }
            _ => false,
        }
    }

    /// A dirty page is about to be written back, or need not be any more: it is clean from now on.
    /// Its frame, and who pays.
    pub fn clean(&mut self, page: u64) -> Option<(Frame, Dirt)> {
        match self.pages.get_mut(&page) {
            Some(Page::Here { frame, dirt }) => {
                let dirt = dirt.take()?;
                self.dirty -= 1;
                Some((*frame, dirt))
            }
            _ => None,
        }
    }

    /// Who is to pay for writing a page back; `None` if it is clean, or not here.
    #[must_use]
    pub fn dirt(&self, page: u64) -> Option<Dirt> {
        match self.pages.get(&page) {
            Some(Page::Here { dirt, .. }) => *dirt,
            _ => None,
        }
    }

    /// Whether a page is dirty.
    #[must_use]
    pub fn is_dirty(&self, page: u64) -> bool {
        self.dirt(page).is_some()
    }

    /// Dirty pages from one on, in order, at most `limit`.
    #[must_use]
    pub fn dirty_from(&self, first: u64, limit: usize) -> Vec<u64> {
        if self.dirty == 0 {
            return Vec::new();
        }
        let dirty = self.pages.range(first..);
        let dirty = dirty.filter(|(_, page)| matches!(page, Page::Here { dirt: Some(_), .. }));
        dirty.map(|(&number, _)| number).take(limit).collect()
    }

    /// Takes out a clean page if `may` says so of its frame; the reference is the caller's.
    pub fn take_clean(&mut self, page: u64, may: impl FnOnce(Frame) -> bool) -> Option<Frame> {
        match self.pages.get(&page) {
            Some(&Page::Here { frame, dirt: None }) if may(frame) => {
                self.pages.remove(&page);
                Some(frame)
            }
            _ => None,
        }
    }

    /// Takes out all pages from one on; the references are the caller's. Those that are coming are
    /// not wanted any more. With each goes who was to pay for writing it back.
    pub fn cut(&mut self, first: u64) -> Vec<(u64, Frame, Option<Dirt>)> {
        let cut = self.pages.split_off(&first);
        let here = cut.into_iter().filter_map(|(number, page)| match page {
            Page::Here { frame, dirt } => Some((number, frame, dirt)),
            Page::Coming => None,
        });
        let here: Vec<_> = here.collect();
        self.dirty -= here.iter().filter(|(_, _, dirt)| dirt.is_some()).count();
        here
    }

    /// Clean pages, in order, at most `limit`, from one on.
    #[must_use]
    pub fn clean_from(&self, first: u64, limit: usize) -> Vec<u64> {
        let all = self.pages.range(first..);
        let clean = all.filter(|(_, page)| matches!(page, Page::Here { dirt: None, .. }));
        clean.map(|(&number, _)| number).take(limit).collect()
    }

    /// Whether no page is here, nor coming.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }
}
