//! Fork: a second address space with the same memory, copied when it is written.

use super::pages::{Batch, Pages};
use super::{Inner, PORTION, Progress};
use crate::machine::{Access, Machine, Mapped, PAGE_SIZE, PageTables, USER_END};
use vortex_toolkit::memory::Refusal;

impl<M: Machine> Inner<M> {
    /// Takes over what regions there are; the pages follow.
    pub(super) fn inherit_regions(&mut self, parent: &Self) -> Result<(), Refusal> {
        self.book_regions(parent.regions.len())?;
        self.regions = parent.regions.fork();
        self.heap = parent.heap;
        self.limit = parent.limit;
        self.inherited = 0;
        Ok(())
    }

    /// Takes over the next pages from where it stopped.
    pub(super) fn inherit(&mut self, parent: &mut Self) -> Result<Progress, Refusal> {
        let mut batch = Batch::new();
        let mut result = Ok(Progress::More);
        for _ in 0..PORTION {
            let next = (!parent.closed)
                .then(|| parent.pages.first(self.inherited, USER_END))
                .flatten();
            let Some((page, mapped)) = next else {
                result = Ok(Progress::Done);
                break;
            };
            if self.inherits(parent, page)
                && let Err(refusal) =
                    self.pages
                        .inherit(&mut parent.pages, page, mapped, &mut batch)
            {
                result = Err(refusal);
                break;
            }
            self.inherited = page + PAGE_SIZE;
        }
        parent.pages.finish(batch);
        result
    }

    /// Whether a page is the same in both, is private, and is not here yet. What is shared is found
    /// when it is touched; and the parent may have changed its regions since.
    fn inherits(&self, parent: &Self, page: u64) -> bool {
        let (Some((_, here)), Some((_, there))) = (self.regions.at(page), parent.regions.at(page))
        else {
            return false;
        };
        !here.shared
            && here.protection == there.protection
            && here.content.continues(&there.content)
            && self.pages.first(page, page + PAGE_SIZE).is_none()
    }
}

impl<M: Machine> Pages<M> {
    fn inherit(
        &mut self,
        parent: &mut Self,
        page: u64,
        mapped: Option<Mapped>,
        batch: &mut Batch,
    ) -> Result<(), Refusal> {
        let Some(mapped) = mapped else {
            if let Some(&frame) = parent.parked.get(&page) {
                self.memory.share(frame);
                self.parked.insert(page, frame);
                self.resident += 1;
            }
            return Ok(());
        };
        if mapped.access.write && self.memory.is_pinned(mapped.frame) {
            // A request may be writing into it: that is meant for the parent, whose page it stays.
            let copy = self.allocate_copy(page, mapped.frame)?;
            return self.map(page, copy, mapped.access);
        }
        let access = Access {
            write: false,
            ..mapped.access
        };
        self.memory.share(mapped.frame);
        self.map(page, mapped.frame, access)?;
        if mapped.access.write {
            parent.tables.protect(page, access);
            batch.touch(page);
        }
        Ok(())
    }
}
