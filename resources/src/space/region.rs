//! The regions of an address space: what is where, and what may be done with it.
//!
//! Key types: [`Region`], [`Content`], [`Regions`].
//!
//! Invariants: regions do not overlap, are not empty, begin and end at pages, and lie in
//! [`LOWEST`]..[`USER_END`]; neighbours that could be one region are one. What a region shows is
//! found from an *origin*, the address where its object would begin, so that a region is split by
//! cloning it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::common::Common;
use super::{MAX_REGIONS, Protection};
use crate::errno::Errno;
use crate::machine::{Machine, USER_END};
use crate::object::Part;

/// The lowest address of a region: below, null pointers with an offset shall fault.
pub(super) const LOWEST: u64 = 64 * 1024;

/// What stays free below a region that grows downwards, as on Linux.
pub(super) const GUARD_GAP: u64 = 1 << 20;

/// What a region shows.
pub(super) enum Content<M: Machine> {
    /// Zeros, private.
    Zeros,
    /// Zeros that forks share; the first page is at the address.
    Common(Arc<Common<M>>, u64),
    /// A part of an object, which begins at the address.
    File(Part, u64),
}

impl<M: Machine> Clone for Content<M> {
    fn clone(&self) -> Self {
        match self {
            Self::Zeros => Self::Zeros,
            Self::Common(common, origin) => Self::Common(common.clone(), *origin),
            Self::File(part, origin) => Self::File(part.clone(), *origin),
        }
    }
}

impl<M: Machine> Content<M> {
    /// Whether both together, next to each other, are one.
    pub(super) fn continues(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Zeros, Self::Zeros) => true,
            (Self::Common(a, at), Self::Common(b, bt)) => at == bt && Arc::ptr_eq(a, b),
            (Self::File(a, at), Self::File(b, bt)) => {
                at == bt
                    && a.offset == b.offset
                    && a.length == b.length
                    && a.writable == b.writable
                    && a.object.number() == b.object.number()
            }
            _ => false,
        }
    }

    /// The same at another place.
    pub(super) fn moved(&self, from: u64, to: u64) -> Self {
        let moved = |origin: &u64| origin.wrapping_sub(from).wrapping_add(to);
        match self {
            Self::Zeros => Self::Zeros,
            Self::Common(common, origin) => Self::Common(common.clone(), moved(origin)),
            Self::File(part, origin) => Self::File(part.clone(), moved(origin)),
        }
    }
}

/// A region; where it begins is its key in [`Regions`].
pub(super) struct Region<M: Machine> {
    pub(super) end: u64,
    pub(super) protection: Protection,
    pub(super) content: Content<M>,
    pub(super) shared: bool,
    /// Down to which address it may grow.
    pub(super) grows: Option<u64>,
    pub(super) name: &'static str,
}

impl<M: Machine> Clone for Region<M> {
    fn clone(&self) -> Self {
        Self {
            content: self.content.clone(),
            ..*self
        }
    }
}

impl<M: Machine> Region<M> {
    /// Whether `next`, which begins where this ends, could be a part of it.
    fn continues(&self, next: &Self) -> bool {
        self.protection == next.protection
            && self.shared == next.shared
            && self.grows.is_none()
            && next.grows.is_none()
            && self.name == next.name
            && self.content.continues(&next.content)
    }

    /// Whether it shows a part of an object that may not be written.
    pub(super) const fn is_read_only(&self) -> bool {
        matches!(&self.content, Content::File(part, _) if !part.writable)
    }

    fn object(&self) -> Option<u64> {
        match &self.content {
            Content::File(part, _) => Some(part.object.number()),
            _ => None,
        }
    }

    /// The lowest address that nothing else should be placed above: where it begins, or could begin
    /// with a gap below.
    fn lower_edge(&self, start: u64) -> u64 {
        self.grows
            .map_or(start, |lowest| start.min(lowest).saturating_sub(GUARD_GAP))
    }
}

/// All regions of an address space.
pub(super) struct Regions<M: Machine> {
    map: BTreeMap<u64, Region<M>>,
    /// (object, start) of all that show an object.
    by_object: BTreeSet<(u64, u64)>,
    bytes: u64,
    /// Mappings are placed from here downwards.
    ceiling: u64,
    /// Looking for room begins here, as long as all holes above, up to the ceiling, are too small.
    search: u64,
    /// No hole above where the search begins is larger.
    skipped: u64,
}

impl<M: Machine> Regions<M> {
    pub(super) const fn new(ceiling: u64) -> Self {
        Self {
            map: BTreeMap::new(),
            by_object: BTreeSet::new(),
            bytes: 0,
            ceiling,
            search: ceiling,
            skipped: 0,
        }
    }

    pub(super) const fn set_ceiling(&mut self, ceiling: u64) {
        self.ceiling = ceiling;
        self.search = ceiling;
        self.skipped = 0;
    }

    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    /// The bytes in all regions together.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The region that an address is in.
    pub(super) fn at(&self, address: u64) -> Option<(u64, &Region<M>)> {
        let (&start, region) = self.map.range(..=address).next_back()?;
        (region.end > address).then_some((start, region))
    }

    /// Whether there is a region everywhere from `start` to `end`.
    pub(super) fn cover(&self, start: u64, end: u64) -> bool {
        let mut at = start;
        while at < end {
            let Some((_, region)) = self.at(at) else {
                return false;
            };
            at = region.end;
        }
        true
    }

    /// The first region that is, in part, between two addresses.
    pub(super) fn first(&self, start: u64, end: u64) -> Option<(u64, &Region<M>)> {
        if start >= end {
            return None;
        }
        self.at(start).or_else(|| {
            let (&start, region) = self.map.range(start..end).next()?;
            Some((start, region))
        })
    }

    /// The last region that begins below an address.
    pub(super) fn before(&self, address: u64) -> Option<(u64, &Region<M>)> {
        let (&start, region) = self.map.range(..address).next_back()?;
        Some((start, region))
    }

    pub(super) fn is_free(&self, start: u64, end: u64) -> bool {
        self.first(start, end).is_none()
    }

    /// Whether something that ends here leaves the gap below a region that grows downwards.
    pub(super) fn stays_clear(&self, end: u64) -> bool {
        self.map.range(end..).next().is_none_or(|(&start, region)| {
            region.grows.is_none() || end.saturating_add(GUARD_GAP) <= start
        })
    }

    /// Whether so many regions more would still be allowed.
    pub(super) fn check_room(&self, more: usize) -> Result<(), Errno> {
        if self.len() + more > MAX_REGIONS {
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }

    /// Adds a region where nothing is, and makes it one with its neighbours if it can be.
    pub(super) fn insert(&mut self, start: u64, mut region: Region<M>) {
        let mut from = start;
        if let Some((before, found)) = self.before(start)
            && found.end == start
            && found.continues(&region)
        {
            from = before;
            self.take(before);
        }
        if let Some(after) = self.map.get(&region.end)
            && region.continues(after)
        {
            let joint = region.end;
            region.end = after.end;
            self.take(joint);
        }
        self.put(from, region);
    }

    /// Takes what is between two addresses out of the region that begins at `region` and covers
    /// both; what is left of it stays.
    pub(super) fn cut(&mut self, region: u64, start: u64, end: u64) -> Option<Region<M>> {
        let mut middle = self.take(region)?;
        if end < middle.end {
            self.put(end, middle.clone());
        }
        if region < start {
            let mut low = middle.clone();
            low.end = start;
            self.put(region, low);
        }
        middle.end = end;
        self.note_hole(end);
        Some(middle)
    }

    /// Makes a region begin lower, where nothing is.
    pub(super) fn grow_down(&mut self, start: u64, lower: u64) {
        if let Some(region) = self.take(start) {
            self.put(lower, region);
        }
    }

    /// There is a hole now that ends not below this address.
    fn note_hole(&mut self, end: u64) {
        if self.search < end && end <= self.ceiling {
            let next = self.map.range(end..).next();
            let edge = next.map_or(self.ceiling, |(&start, region)| region.lower_edge(start));
            self.search = edge.clamp(end, self.ceiling);
        }
    }

    /// Where `length` bytes are free: as high as possible below the ceiling, or else above it.
    pub(super) fn find_free(&mut self, length: u64) -> Option<u64> {
        if length <= self.skipped {
            self.search = self.ceiling;
            self.skipped = 0;
        }
        let mut skipped = 0;
        let found = self.find_below(self.search, length, &mut skipped);
        if let Some(place) = found {
            self.search = place;
            self.skipped = self.skipped.max(skipped);
            return found;
        }
        self.find_below(USER_END, length, &mut skipped)
    }

    /// `skipped` is made the size of the largest hole that was too small, if it is larger.
    fn find_below(&self, ceiling: u64, length: u64, skipped: &mut u64) -> Option<u64> {
        let mut top = ceiling;
        if let Some((start, region)) = self.first(ceiling, USER_END) {
            top = top.min(region.lower_edge(start));
        }
        for (&start, region) in self.map.range(..ceiling).rev() {
            let hole = top.saturating_sub(region.end);
            if hole >= length {
                return Some(top - length);
            }
            *skipped = hole.max(*skipped);
            top = top.min(region.lower_edge(start));
        }
        (top.saturating_sub(LOWEST) >= length).then(|| top - length)
    }

    /// The numbers of the objects that are shown between two addresses and can be written there.
    pub(super) fn written_objects(&self, start: u64, end: u64) -> Vec<u64> {
        let mut numbers = Vec::new();
        let mut at = start;
        while let Some((_, region)) = self.first(at, end) {
            at = region.end;
            if let Content::File(part, _) = &region.content
                && part.writable
                && !numbers.contains(&part.object.number())
            {
                numbers.push(part.object.number());
            }
        }
        numbers
    }

    /// The next region that shows an object, from the one after `after` on.
    pub(super) fn next_of_object(
        &self,
        object: u64,
        after: Option<u64>,
    ) -> Option<(u64, &Region<M>)> {
        let from = after.map_or(0, |start| start + 1);
        let &(_, start) = self
            .by_object
            .range((object, from)..=(object, u64::MAX))
            .next()?;
        self.map.get(&start).map(|region| (start, region))
    }

    /// A copy of all regions, for a fork.
    pub(super) fn fork(&self) -> Self {
        Self {
            map: self.map.clone(),
            by_object: self.by_object.clone(),
            ..*self
        }
    }

    fn put(&mut self, start: u64, region: Region<M>) {
        self.bytes += region.end - start;
        if let Some(object) = region.object() {
            self.by_object.insert((object, start));
        }
        self.map.insert(start, region);
    }

    fn take(&mut self, start: u64) -> Option<Region<M>> {
        let region = self.map.remove(&start)?;
        self.bytes -= region.end - start;
        if let Some(object) = region.object() {
            self.by_object.remove(&(object, start));
        }
        Some(region)
    }
}
