//! Page faults: bringing a page in, or saying why not (paper, section 3.2).

use alloc::sync::Arc;

use super::common::Common;
use super::pages::{Batch, Pages};
use super::region::{Content, GUARD_GAP, Region};
use super::{AROUND, Fault, Inner, Protection};
use crate::machine::{Access, Machine, Mapped, PAGE_SIZE, PageTables, USER_END};
use crate::object::Part;
use vortex_toolkit::memory::Refusal;

pub(super) const fn page_of(address: u64) -> u64 {
    address & !(PAGE_SIZE - 1)
}

/// How an attempt to fill a page ended.
type Filled = Result<(), Fault>;

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Anonymous memory that is touched page after page is mapped ahead, ever further.
#[derive(Default)]
pub(super) struct Ahead {
    /// The page that would continue the sequence.
    next: u64,
    pages: u64,
}

impl Ahead {
    /// How many pages to map from this one on.
    fn window(&mut self, page: u64) -> u64 {
        self.pages = if page == self.next {
            (self.pages * 2).clamp(1, AROUND)
        } else {
            1
        };
        self.pages
    }
}

impl<M: Machine> Inner<M> {
    /// A page fault. What is right for the page already is [`Fault::Resolved`] too: another thread
    /// may have been faster, or the processor remembered less.
    pub(super) fn fault(&mut self, address: u64, wanted: Access) -> Fault {
        match self.bring_in(address, wanted) {
            Ok(_) => Fault::Resolved,
            Err(fault) => fault,
        }
    }

    /// The page of an address, mapped so that the access is possible.
    pub(super) fn bring_in(&mut self, address: u64, wanted: Access) -> Result<Mapped, Fault> {
        if address >= USER_END {
            return Err(Fault::Violation(false));
        }
        let page = page_of(address);
        if self.regions.at(page).is_none() && !self.grow_stack(page) {
            return Err(Fault::Violation(false));
        }
        let Self {
            regions,
            pages,
            ahead,
            ..
        } = self;
        let Some((start, region)) = regions.at(page) else {
            return Err(Fault::Violation(false));
        };
        if !region.protection.allows(wanted) {
            return Err(Fault::Violation(true));
        }
        let access = Access {
            write: region.protection.write,
            execute: region.protection.execute,
        };
        match pages.present(page, region.protection)? {
            Some(mapped) if !wanted.write || mapped.access.write => return Ok(mapped),
            Some(mapped) if region.shared => pages.share_write(page, mapped, region, access)?,
            Some(mapped) => pages.make_private(page, mapped, access)?,
            None => match &region.content {
                Content::Zeros => pages.fill_zeros(page, region.end, access, ahead)?,
                Content::Common(common, origin) => {
                    pages.fill_common(page, common, *origin, access)?;
                }
                Content::File(part, origin) => pages.fill_file(
                    page,
                    &Shown {
                        part,
                        origin: *origin,
                        start,
                        end: region.end,
                        access,
                        shared: region.shared,
                    },
                    wanted.write,
                )?,
            },
        }
        pages
            .tables
            .lookup(page)
            .ok_or(Fault::Refused(Refusal::OutOfMemory))
    }

    /// Has the region above grow down to a page, if there is one that may.
    fn grow_stack(&mut self, page: u64) -> bool {
        let Some((start, region)) = self.regions.first(page, USER_END) else {
            return false;
        };
        let Some(lowest) = region.grows else {
            return false;
        };
        let more = start - page;
        let crowded = self.regions.before(page).is_some_and(|(_, below)| {
            below.protection != Protection::NONE && page < below.end.saturating_add(GUARD_GAP)
        });
        if page < lowest || crowded || self.regions.bytes().saturating_add(more) > self.limit {
            return false;
        }
        self.regions.grow_down(start, page);
        true
    }
}

/// A region that shows a part of an object.
struct Shown<'a> {
    part: &'a Part,
    origin: u64,
    start: u64,
    end: u64,
    access: Access,
    /// What is written is the object's.
    shared: bool,
}

/// What a page of such a region shows.
enum Source {
    /// This page of the object.
    Whole(u64),
    /// So many bytes of this page of the object, then zeros.
    Cut(u64, usize),
    /// Nothing: it is beyond the end.
    Beyond,
}

impl Shown<'_> {
    fn source(&self, page: u64) -> Source {
        let from = page.wrapping_sub(self.origin);
        let available = self.part.object.length().saturating_sub(self.part.offset);
        let end = available.min(self.part.length);
        if from >= end {
            return Source::Beyond;
        }
        let number = (self.part.offset + from) / PAGE_SIZE;
        // The object's own last page ends with zeros already.
        if end - from < PAGE_SIZE && end < available {
            Source::Cut(number, (end - from) as usize)
        } else {
            Source::Whole(number)
        }
    }
}

impl<M: Machine> Pages<M> {
    fn fill_zeros(&mut self, page: u64, end: u64, access: Access, ahead: &mut Ahead) -> Filled {
        let frame = self.allocate_zeroed(page)?;
        self.map(page, frame, access)?;
        let window = ahead.window(page);
        let mut at = page + PAGE_SIZE;
        let end = end.min(page + window * PAGE_SIZE);
        // What cannot be had now is asked for when it is needed.
        while at < end && self.tables.lookup(at).is_none() && !self.parked.contains_key(&at) {
            let Ok(frame) = self.allocate_zeroed(at) else {
                break;
            };
            if self.map(at, frame, access).is_err() {
                break;
            }
            at += PAGE_SIZE;
        }
        ahead.next = at;
        Ok(())
    }

    fn fill_common(
        &mut self,
        page: u64,
        common: &Arc<Common<M>>,
        origin: u64,
        access: Access,
    ) -> Filled {
        let number = page.wrapping_sub(origin) / PAGE_SIZE;
        let frame = common.page(number, || self.allocate_zeroed(page))?;
        Ok(self.map(page, frame, access)?)
    }

    fn fill_file(&mut self, page: u64, shown: &Shown<'_>, write: bool) -> Filled {
        let object = &shown.part.object;
        let (number, cut) = match shown.source(page) {
            Source::Whole(number) => (number, None),
            Source::Cut(number, bytes) => (number, Some(bytes)),
            Source::Beyond => return Err(Fault::BeyondEnd),
        };
        if write && shown.shared {
            let frame = object.writable(number);
            let frame = frame.ok_or_else(|| Fault::Fetch(object.clone(), number, true))?;
            return Ok(self.map(page, frame, shown.access)?);
        }
        let Some(frame) = object.cached(number) else {
            return Err(Fault::Fetch(object.clone(), number, false));
        };
        let shared = Access {
            write: false,
            ..shown.access
        };
        if !write && cut.is_none() {
            self.map(page, frame, shared)?;
            self.fill_around(page, shown, shared);
            return Ok(());
        }
        let copy = self.allocate_copy(page, frame);
        self.memory.release(frame);
        let copy = copy?;
        if let Some(bytes) = cut {
            let zeros = [0; PAGE_SIZE as usize];
            self.machine.write_frame(copy, bytes, &zeros[bytes..]);
        }
        Ok(self.map(page, copy, shown.access)?)
    }

    /// Makes a page of a shared region, which is mapped already, one that can be written.
    fn share_write(
        &mut self,
        page: u64,
        mapped: Mapped,
        region: &Region<M>,
        access: Access,
    ) -> Filled {
        if let Content::File(part, origin) = &region.content {
            let number = (part.offset + page.wrapping_sub(*origin)) / PAGE_SIZE;
            let fetch = || Fault::Fetch(part.object.clone(), number, true);
            let frame = part.object.writable(number).ok_or_else(fetch)?;
            self.memory.release(frame);
            if frame != mapped.frame {
                // It was forgotten and brought in again: it is about to be unmapped here.
                return Err(fetch());
            }
        }
        self.tables.protect(page, access);
        Ok(())
    }

    /// Maps the pages around one that are in memory anyway.
    fn fill_around(&mut self, page: u64, shown: &Shown<'_>, access: Access) {
        let window = AROUND * PAGE_SIZE;
        let first = (page / window * window).max(shown.start);
        let end = (page / window * window + window).min(shown.end);
        for at in (first..end).step_by(PAGE_SIZE as usize) {
            if self.tables.lookup(at).is_some() || self.parked.contains_key(&at) {
                continue;
            }
            if let Source::Whole(number) = shown.source(at)
                && let Some(frame) = shown.part.object.cached(number)
                && self.map(at, frame, access).is_err()
            {
                return;
            }
        }
    }

    /// What a page of a region may be mapped with, when the region's protection changes.
    fn access_for(&self, region: &Region<M>, to: Protection, mapped: &Mapped) -> Access {
        let writable = match region.content {
            Content::Zeros => self.owns(mapped.frame),
            Content::Common(..) => true,
            // Written by copy only; a copy may be written again.
            Content::File(..) => mapped.access.write,
        };
        Access {
            write: to.write && writable,
            execute: to.execute,
        }
    }

    /// Applies a protection to the pages between two addresses that a region has, up to `limit` of
    /// them. Where it stopped, and how many there were.
    pub(super) fn protect(
        &mut self,
        (start, end): (u64, u64),
        region: &Region<M>,
        to: Protection,
        limit: usize,
        batch: &mut Batch,
    ) -> (u64, usize) {
        let mut at = start;
        let mut seen = 0;
        while let Some((page, mapped)) = self.tables.next_mapped(at, end) {
            if seen == limit {
                return (page, seen);
            }
            seen += 1;
            at = page + PAGE_SIZE;
            if to == Protection::NONE {
                self.park(page, batch);
                continue;
            }
            let access = self.access_for(region, to, &mapped);
            if access != mapped.access {
                self.tables.protect(page, access);
            }
            let less = (mapped.access.write && !access.write)
                || (mapped.access.execute && !access.execute);
            if less {
                batch.touch(page);
            }
        }
        (end, seen)
    }
}
