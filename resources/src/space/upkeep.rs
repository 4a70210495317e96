//! What others do to an address space: collect its pages' marks, take file pages back, move it to
//! another activity, and take it apart.

use super::pages::{Batch, TABLE_COOKIE};
use super::region::Content;
use super::{Inner, PORTION, Progress};
use crate::machine::{Frame, Machine, PAGE_SIZE, PageTables, USER_END};
use vortex_toolkit::ids::ActivityId;
use vortex_toolkit::memory::{Owner, Refusal};

/// Where a change of activity has got to.
#[derive(Clone, Copy)]
pub(super) struct Moving {
    to: ActivityId,
    /// The next page; the end of user space when pages are done.
    page: u64,
    /// The next of the tables' frames.
    table: usize,
}

impl<M: Machine> Inner<M> {
    /// Information records on the next pages from where it stopped; done at the end of the space.
    pub(super) fn collect(&mut self, limit: usize) -> Progress {
        let pages = &mut self.pages;
        for _ in 0..limit {
            let next = (!self.closed)
                .then(|| pages.tables.next_mapped(self.hand, USER_END))
                .flatten();
            let Some((page, mapped)) = next else {
                self.hand = 0;
                return Progress::Done;
            };
            let accessed = pages.tables.take_accessed(page);
            pages.memory.inform(mapped.frame, accessed, mapped.dirty);
            self.hand = page + PAGE_SIZE;
        }
        Progress::More
    }

    pub(super) fn evict(&mut self, object: u64, page: u64, frame: Frame) -> Progress {
        let mut batch = Batch::new();
        let mut after = None;
        let mut progress = Progress::Done;
        while let Some((start, region)) = self.regions.next_of_object(object, after) {
            after = Some(start);
            let Content::File(part, origin) = &region.content else {
                continue;
            };
            let address = page
                .checked_mul(PAGE_SIZE)
                .and_then(|bytes| bytes.checked_sub(part.offset))
                .map(|bytes| origin.wrapping_add(bytes))
                .filter(|address| (start..region.end).contains(address));
            let Some(address) = address else {
                continue;
            };
            if batch.is_full() {
                progress = Progress::More;
                break;
            }
            self.pages.drop_frame(address, frame, &mut batch);
        }
        self.pages.finish(batch);
        progress
    }

    pub(super) fn move_to(&mut self, activity: ActivityId) -> Result<Progress, Refusal> {
        let mut moving = match self.moving {
            Some(moving) if moving.to == activity => moving,
            _ if self.pages.owner.activity == activity => return Ok(Progress::Done),
            _ => Moving {
                to: activity,
                page: 0,
                table: 0,
            },
        };
        self.rebook(activity)?;
        let result = self.pages.recharge(&mut moving);
        self.moving = (result != Ok(Progress::Done)).then_some(moving);
        result
    }

    /// Has an activity pay for new pages and for the records of regions.
    fn rebook(&mut self, activity: ActivityId) -> Result<(), Refusal> {
        let old = self.pages.owner;
        if old.activity != activity {
            let new = Owner { activity, ..old };
            self.pages.memory.book(new, self.booked)?;
            self.pages.memory.unbook(old, self.booked);
            self.pages.release_aside();
            self.pages.owner = new;
        }
        Ok(())
    }

    pub(super) fn destroy(&mut self) -> Progress {
        self.closed = true;
        self.moves.clear();
        self.pages.release_aside();
        match self.clear(0, USER_END) {
            Ok(Progress::Done) if self.pages.release_tables() => Progress::Done,
            _ => Progress::More,
        }
    }
}

impl<M: Machine> super::pages::Pages<M> {
    /// Unmaps a page if it shows this frame.
    fn drop_frame(&mut self, page: u64, frame: Frame, batch: &mut Batch) {
        let shows = match self.tables.lookup(page) {
            Some(mapped) => mapped.frame == frame,
            None => self.parked.get(&page) == Some(&frame),
        };
        if shows {
            self.clear(page, page + PAGE_SIZE, batch);
        }
    }

    /// Has the owner pay for what the address space has alone: a portion of it.
    fn recharge(&mut self, moving: &mut Moving) -> Result<Progress, Refusal> {
        for _ in 0..PORTION {
            if let Some((page, mapped)) = self.first(moving.page, USER_END) {
                let frame = mapped.map_or_else(|| self.parked[&page], |mapped| mapped.frame);
                self.recharge_frame(frame, page)?;
                moving.page = page + PAGE_SIZE;
            } else if let Some(&frame) = self.table_frames.get(moving.table) {
                moving.page = USER_END;
                self.recharge_frame(frame, TABLE_COOKIE)?;
                moving.table += 1;
            } else {
                return Ok(Progress::Done);
            }
        }
        Ok(Progress::More)
    }

    fn recharge_frame(&self, frame: Frame, cookie: u64) -> Result<(), Refusal> {
        let ours = self
            .memory
            .owner(frame)
            .is_some_and(|owner| owner.resource == self.owner.resource);
        if ours && self.memory.is_exclusive(frame) {
            self.memory.transfer(
                frame,
                Owner {
                    cookie,
                    ..self.owner
                },
            )?;
        }
        Ok(())
    }
}
