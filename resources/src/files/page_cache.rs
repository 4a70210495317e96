//! A file of the archive, and the pages of it that are mapped.
//!
//! Key types: [`ArchiveFile`]. Its content is in the boot ramdisk; what is mapped is a copy in
//! frames of its own, a page at a time, made when it is first asked for and shared by everybody
//! who maps the file.
//!
//! Invariant: for each page in the cache, the cache itself has one reference to its frame.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use arrayvec::ArrayVec;
use vortex_toolkit::memory::Refusal;

use crate::machine::{Frame, PAGE_SIZE};
use crate::net::RUN;
use crate::object::{FrameStore, Object, References, cookie};

/// A file of the archive.
pub struct ArchiveFile {
    number: u32,
    content: &'static [u8],
    references: Arc<dyn References>,
    /// By page; empty until one is loaded.
    pages: spin::Mutex<Vec<Option<Frame>>>,
}

impl ArchiveFile {
    /// With this content; `number` tells it from all other objects.
    pub(super) fn new(
        number: u32,
        content: &'static [u8],
        references: Arc<dyn References>,
    ) -> Self {
        let pages = spin::Mutex::default();
        Self {
            number,
            content,
            references,
            pages,
        }
    }

    /// All of it.
    #[must_use]
    pub fn content(&self) -> &'static [u8] {
        self.content
    }

    /// From `offset` to the end; empty beyond it.
    #[must_use]
    pub fn from(&self, offset: u64) -> &'static [u8] {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        self.content.get(offset..).unwrap_or_default()
    }

    /// As [`Object::cached`], for these pages up to the first that is not in memory, and no more than
    /// a chunk takes.
    pub(super) fn cached_run(&self, wanted: Range<u64>) -> ArrayVec<Frame, RUN> {
        let [first, end] =
            [wanted.start, wanted.end].map(|at| usize::try_from(at).unwrap_or(usize::MAX));
        let pages = self.pages.lock();
        let here = pages.get(first..end.min(pages.len())).unwrap_or_default();
        let run = here.iter().map_while(|page| *page).take(RUN);
        run.inspect(|frame| self.references.share(*frame)).collect()
    }
}

impl fmt::Debug for ArchiveFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ArchiveFile");
        shown
            .field("number", &self.number)
            .field("length", &self.content.len());
        shown.finish_non_exhaustive()
    }
}

impl Object for ArchiveFile {
    fn length(&self) -> u64 {
        self.content.len() as u64
    }

    fn number(&self) -> u64 {
        self.number.into()
    }

    fn cached(&self, page: u64) -> Option<Frame> {
        let pages = self.pages.lock();
        let frame = pages.get(usize::try_from(page).ok()?).copied()??;
        self.references.share(frame);
        Some(frame)
    }

    fn load(&self, page: u64, frames: &dyn FrameStore) -> Result<Frame, Refusal> {
        let mut pages = self.pages.lock();
        if pages.is_empty() {
            pages.resize(self.content.len().div_ceil(PAGE_SIZE as usize), None);
        }
        let slot = usize::try_from(page)
            .ok()
            .and_then(|page| pages.get_mut(page));
        // Beyond the end there is nothing to keep: the caller's page of zeros is its own.
        let Some(slot) = slot else {
            let frame = frames.allocate(cookie(self.number(), page))?;
            frames.fill(frame, &[]);
            return Ok(frame);
        };
        let frame = match *slot {
            Some(frame) => frame,
            None => {
                let frame = frames.allocate(cookie(self.number(), page))?;
                let content = self.from(page * PAGE_SIZE);
                frames.fill(frame, &content[..content.len().min(PAGE_SIZE as usize)]);
                *slot = Some(frame);
                frame
            }
        };
        self.references.share(frame);
        Ok(frame)
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> usize {
        let content = self.from(offset);
        let length = content.len().min(into.len());
        into[..length].copy_from_slice(&content[..length]);
        length
    }

    fn evict(&self, page: u64) -> bool {
        let mut pages = self.pages.lock();
        let slot = usize::try_from(page)
            .ok()
            .and_then(|page| pages.get_mut(page));
        // Only from here does anybody get a first reference, and not while the lock is held.
        let unused = |frame: &Frame| self.references.count(*frame) == 1;
        let Some(frame) = slot.and_then(|slot| slot.take_if(|frame| unused(frame))) else {
            return false;
        };
        self.references.release(frame);
        true
    }
}
