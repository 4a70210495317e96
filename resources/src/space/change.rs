//! Changes to regions: mmap, munmap, mprotect, madvise, in portions.

use alloc::sync::Arc;

use super::common::Common;
use super::pages::Batch;
use super::region::{Content, LOWEST, Region};
use super::{
    Backing, Inner, Mapping, PORTION, Place, Placed, Progress, Protection, REGIONS_A_FRAME,
};
use crate::errno::Errno;
use crate::machine::{Machine, PAGE_SIZE, USER_END};
use vortex_toolkit::memory::Refusal;

pub(super) const fn is_aligned(value: u64) -> bool {
    value.is_multiple_of(PAGE_SIZE)
}

/// Bytes in whole pages; `None` if there are too many.
pub(super) fn round_up(bytes: u64) -> Option<u64> {
    bytes.checked_next_multiple_of(PAGE_SIZE)
}

/// The end of a range of user pages that begins at an aligned address.
fn range_end(address: u64, length: u64) -> Option<u64> {
    let end = address.checked_add(round_up(length)?)?;
    (end <= USER_END).then_some(end)
}

impl Protection {
    /// Nothing.
    pub const NONE: Self = Self {
        read: false,
        write: false,
        execute: false,
    };

    /// Whether an access is allowed; whatever allows anything allows reading, as the processor has
    /// it.
    pub(super) const fn allows(self, access: crate::machine::Access) -> bool {
        if access.write {
            self.write
        } else if access.execute {
            self.execute
        } else {
            self.read || self.write || self.execute
        }
    }
}

impl<M: Machine> Inner<M> {
    pub(super) fn map(&mut self, mapping: &Mapping) -> Result<Placed, Errno> {
        let length = check(mapping)?;
        let start = match self.place(mapping.place, length)? {
            Placed::At(start) => start,
            Placed::More => return Ok(Placed::More),
        };
        self.check_growth(length)?;
        let region = Region {
            end: start + length,
            protection: mapping.protection,
            content: self.content(mapping, start),
            shared: mapping.shared,
            grows: mapping
                .grows
                .map(|limit| (start + length).saturating_sub(limit)),
            name: mapping.name,
        };
        self.regions.insert(start, region);
        Ok(Placed::At(start))
    }

    fn content(&self, mapping: &Mapping, start: u64) -> Content<M> {
        match &mapping.backing {
            Backing::File(part) => Content::File(part.clone(), start),
            Backing::Anonymous if mapping.shared => {
                Content::Common(Arc::new(Common::new(self.pages.memory.clone())), start)
            }
            Backing::Anonymous => Content::Zeros,
        }
    }

    /// Finds or makes room.
    fn place(&mut self, place: Place, length: u64) -> Result<Placed, Errno> {
        match place {
            Place::Anywhere(hint) => {
                let hint = hint / PAGE_SIZE * PAGE_SIZE;
                let fits = hint >= LOWEST
                    && range_end(hint, length).is_some_and(|end| self.regions.is_free(hint, end));
                if fits {
                    return Ok(Placed::At(hint));
                }
                let found = self.regions.find_free(length).ok_or(Errno::ENOMEM)?;
                Ok(Placed::At(found))
            }
            Place::Fixed(start) => {
                let end = check_fixed(start, length)?;
                match self.clear(start, end)? {
                    Progress::Done => Ok(Placed::At(start)),
                    Progress::More => Ok(Placed::More),
                }
            }
            Place::Vacant(start) => {
                let end = check_fixed(start, length)?;
                if !self.regions.is_free(start, end) {
                    return Err(Errno::EEXIST);
                }
                Ok(Placed::At(start))
            }
        }
    }

    /// Whether so many bytes more in one region more are allowed.
    pub(super) fn check_growth(&mut self, bytes: u64) -> Result<(), Errno> {
        if self.closed || self.regions.bytes().saturating_add(bytes) > self.limit {
            return Err(Errno::ENOMEM);
        }
        self.reserve_regions(1)
    }

    /// Whether so many regions more are allowed; what their records need is paid.
    pub(super) fn reserve_regions(&mut self, more: usize) -> Result<(), Errno> {
        self.regions.check_room(more)?;
        self.book_regions(self.regions.len() + more)
            .map_err(|_| Errno::ENOMEM)
    }

    /// Pays for the records of so many regions.
    pub(super) fn book_regions(&mut self, regions: usize) -> Result<(), Refusal> {
        let needed = (regions as u64).div_ceil(REGIONS_A_FRAME);
        if let Some(more @ 1..) = needed.checked_sub(self.booked) {
            self.pages.memory.book(self.pages.owner, more)?;
            self.booked = needed;
        }
        Ok(())
    }

    /// Pays no longer for regions that are gone.
    fn settle(&mut self) {
        let needed = (self.regions.len() as u64).div_ceil(REGIONS_A_FRAME);
        if let Some(less @ 1..) = self.booked.checked_sub(needed) {
            self.pages.memory.unbook(self.pages.owner, less);
            self.booked = needed;
        }
    }

    pub(super) fn unmap(&mut self, address: u64, length: u64) -> Result<Progress, Errno> {
        if !is_aligned(address) || length == 0 {
            return Err(Errno::EINVAL);
        }
        let end = range_end(address, length).ok_or(Errno::EINVAL)?;
        self.clear(address, end)
    }

    /// Takes what is between two addresses away: a portion of pages and regions.
    pub(super) fn clear(&mut self, start: u64, end: u64) -> Result<Progress, Errno> {
        if !self.drain_doomed() {
            return Ok(Progress::More);
        }
        let mut batch = Batch::new();
        let mut result = Ok(Progress::More);
        for _ in 0..PORTION {
            let Some((at, region)) = self.regions.first(start, end) else {
                result = Ok(Progress::Done);
                break;
            };
            let (from, to) = (at.max(start), region.end.min(end));
            if at < from && to < region.end {
                if self.regions.check_room(1).is_err() {
                    result = Err(Errno::ENOMEM);
                    break;
                }
                // Who gives memory back is not refused for want of it.
                _ = self.book_regions(self.regions.len() + 1);
            }
            let reached = self.pages.clear(from, to, &mut batch);
            if reached > from
                && let Some(gone) = self.regions.cut(at, from, reached)
            {
                self.doom(gone);
            }
            if reached < to {
                break;
            }
        }
        self.pages.finish(batch);
        self.settle();
        if result == Ok(Progress::Done) && !self.drain_doomed() {
            result = Ok(Progress::More);
        }
        result
    }

    /// A region is gone: if it was the last that showed shared memory, that goes too.
    fn doom(&mut self, region: Region<M>) {
        if let Content::Common(common, _) = region.content
            && let Some(common) = Arc::into_inner(common)
        {
            self.doomed.push(common);
        }
    }

    /// Gives back a portion of shared memory that nobody shows any more; true if all is done.
    pub(super) fn drain_doomed(&mut self) -> bool {
        match self.doomed.last() {
            None => true,
            Some(common) => {
                if common.drain(PORTION) {
                    self.doomed.pop();
                }
                self.doomed.is_empty()
            }
        }
    }

    pub(super) fn protect(
        &mut self,
        address: u64,
        length: u64,
        to: Protection,
    ) -> Result<Progress, Errno> {
        if !is_aligned(address) {
            return Err(Errno::EINVAL);
        }
        let end = range_end(address, length).ok_or(Errno::ENOMEM)?;
        let mut batch = Batch::new();
        let result = self.protect_portion(address, end, to, &mut batch);
        self.pages.finish(batch);
        self.settle();
        result
    }

    fn protect_portion(
        &mut self,
        start: u64,
        end: u64,
        to: Protection,
        batch: &mut Batch,
    ) -> Result<Progress, Errno> {
        let mut at = start;
        let mut left = PORTION;
        // Both ends may be within regions.
        self.reserve_regions(2)?;
        while at < end {
            let (region_start, region) = self.regions.at(at).ok_or(Errno::ENOMEM)?;
            let until = region.end.min(end);
            if region.protection == to {
                at = until;
                continue;
            }
            if left == 0 {
                return Ok(Progress::More);
            }
            if region.shared && to.write && region.is_read_only() {
                return Err(Errno::EACCES);
            }
            let (reached, seen) = self.pages.protect((at, until), region, to, left, batch);
            left -= seen.clamp(1, left);
            if reached > at
                && let Some(mut changed) = self.regions.cut(region_start, at, reached)
            {
                changed.protection = to;
                self.regions.insert(at, changed);
            }
            at = reached;
        }
        Ok(Progress::Done)
    }

    pub(super) fn discard(&mut self, address: u64, length: u64) -> Result<Progress, Errno> {
        if !is_aligned(address) {
            return Err(Errno::EINVAL);
        }
        let end = range_end(address, length).ok_or(Errno::EINVAL)?;
        let mut batch = Batch::new();
        let reached = self.pages.clear(address, end, &mut batch);
        self.pages.finish(batch);
        if reached < end {
            return Ok(Progress::More);
        }
        let mut at = address;
        while at < end {
            let (_, region) = self.regions.at(at).ok_or(Errno::ENOMEM)?;
            at = region.end;
        }
        Ok(Progress::Done)
    }
}

/// What can be said without looking at the space: the length in whole pages.
fn check(mapping: &Mapping) -> Result<u64, Errno> {
    if mapping.length == 0 {
        return Err(Errno::EINVAL);
    }
    let length = round_up(mapping.length).ok_or(Errno::ENOMEM)?;
    if length > USER_END {
        return Err(Errno::ENOMEM);
    }
    if let Backing::File(part) = &mapping.backing {
        if !is_aligned(part.offset) || mapping.grows.is_some() {
            return Err(Errno::EINVAL);
        }
        part.offset.checked_add(length).ok_or(Errno::EOVERFLOW)?;
        if mapping.shared && mapping.protection.write && !part.writable {
            return Err(Errno::EACCES);
        }
    }
    if mapping.shared && mapping.grows.is_some() {
        return Err(Errno::EINVAL);
    }
    Ok(length)
}

fn check_fixed(start: u64, length: u64) -> Result<u64, Errno> {
    if !is_aligned(start) {
        return Err(Errno::EINVAL);
    }
    let end = range_end(start, length).ok_or(Errno::ENOMEM)?;
    if start < LOWEST {
        return Err(Errno::EPERM);
    }
    Ok(end)
}
