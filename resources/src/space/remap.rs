//! `mremap`: a mapping gets longer or shorter, or goes somewhere else with its pages.

use super::change::{is_aligned, round_up};
use super::pages::{Batch, Pages};
use super::{Inner, PORTION, Placed, Progress};
use crate::errno::Errno;
use crate::machine::{Machine, Mapped, PAGE_SIZE, PageTables, USER_END};
use vortex_toolkit::memory::Refusal;

/// Moves that may be under way at once in an address space.
const MAX_MOVES: usize = 64;

/// A mapping on its way to another place, or to be shorter in its own, in portions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Move {
    from: u64,
    from_end: u64,
    to: u64,
    to_end: u64,
    /// There was no memory for tables: the pages go back to where they were.
    back: bool,
    /// All pages are where they shall be; the regions left behind go.
    moved: bool,
}

impl<M: Machine> Inner<M> {
    pub(super) fn remap(
        &mut self,
        old: u64,
        old_length: u64,
        new_length: u64,
        may_move: bool,
    ) -> Result<Placed, Errno> {
        let (length, wanted) = check(old, old_length, new_length)?;
        let end = old.checked_add(length).ok_or(Errno::EFAULT)?;
        let known =
            |way: &&Move| way.from == old && way.from_end == end && way.to_end - way.to == wanted;
        if let Some(&way) = self.moves.iter().find(known) {
            return self.go_on(way);
        }
        if self.moves.len() >= MAX_MOVES {
            return Err(Errno::ENOMEM);
        }
        let (_, region) = self.regions.at(old).ok_or(Errno::EFAULT)?;
        if region.end < end {
            return Err(Errno::EFAULT);
        }
        if wanted <= length {
            return self.begin(Move {
                from: old,
                from_end: end,
                to: old,
                to_end: old + wanted,
                back: false,
                moved: true,
            });
        }
        let more = wanted - length;
        let at_end = region.end == end && region.grows.is_none();
        let mut tail = region.clone();
        self.check_growth(more)?;
        let new_end = old.checked_add(wanted).filter(|&new| new <= USER_END);
        if let Some(new_end) = new_end
            && at_end
            && self.regions.is_free(end, new_end)
            && self.regions.stays_clear(new_end)
        {
            tail.end = new_end;
            self.regions.insert(end, tail);
            return Ok(Placed::At(old));
        }
        if !may_move || tail.grows.is_some() {
            return Err(Errno::ENOMEM);
        }
        self.check_growth(wanted)?;
        self.reserve_regions(3)?;
        let to = self.regions.find_free(wanted).ok_or(Errno::ENOMEM)?;
        tail.content = tail.content.moved(old, to);
        tail.end = to + wanted;
        self.regions.insert(to, tail);
        self.begin(Move {
            from: old,
            from_end: end,
            to,
            to_end: to + wanted,
            back: false,
            moved: false,
        })
    }

    fn begin(&mut self, way: Move) -> Result<Placed, Errno> {
        self.moves.push(way);
        self.go_on(way)
    }

    /// Does a portion; when nothing is left to do, the move is forgotten.
    fn go_on(&mut self, mut way: Move) -> Result<Placed, Errno> {
        self.moves.retain(|other| *other != way);
        let result = self.move_portion(&mut way);
        if result == Ok(Placed::More) {
            self.moves.push(way);
        }
        result
    }

    /// Moves a portion of pages; at the end, what is left behind goes.
    fn move_portion(&mut self, way: &mut Move) -> Result<Placed, Errno> {
        if !way.moved {
            if !self.is_intact(*way) {
                return Err(Errno::EFAULT);
            }
            let length = way.from_end - way.from;
            let (from, to) = if way.back {
                (way.to, way.from)
            } else {
                (way.from, way.to)
            };
            match self.move_pages((from, from + length), to) {
                Ok(Progress::Done) => way.moved = true,
                Ok(Progress::More) => return Ok(Placed::More),
                Err(_) => {
                    way.back = true;
                    return Ok(Placed::More);
                }
            }
        }
        let (start, end) = if way.back {
            (way.to, way.to_end)
        } else if way.to == way.from {
            (way.to_end, way.from_end)
        } else {
            (way.from, way.from_end)
        };
        match self.clear(start, end)? {
            Progress::More => Ok(Placed::More),
            Progress::Done if way.back => Err(Errno::ENOMEM),
            Progress::Done => Ok(Placed::At(way.to)),
        }
    }

    /// Whether both ends of a move still show the same: other threads may have changed them.
    fn is_intact(&self, way: Move) -> bool {
        let (Some((_, from)), Some((_, to))) = (self.regions.at(way.from), self.regions.at(way.to))
        else {
            return false;
        };
        from.end >= way.from_end
            && to.end >= way.to_end
            && from.protection == to.protection
            && to.content.continues(&from.content.moved(way.from, way.to))
    }

    /// Moves pages between two addresses to another place.
    fn move_pages(&mut self, (start, end): (u64, u64), to: u64) -> Result<Progress, Refusal> {
        let mut at = start;
        let mut batch = Batch::new();
        let mut result = Ok(Progress::Done);
        let pages = &mut self.pages;
        for count in 0.. {
            let Some((page, mapped)) = pages.first(at, end) else {
                break;
            };
            if count == PORTION {
                result = Ok(Progress::More);
                break;
            }
            let target = page - start + to;
            if let Err(refusal) = pages.move_page((page, mapped), target, &mut batch) {
                result = Err(refusal);
                break;
            }
            at = page + PAGE_SIZE;
        }
        pages.finish(batch);
        result
    }
}

impl<M: Machine> Pages<M> {
    /// Moves a page that is mapped, or parked, to where there should be none yet. If there is one,
    /// because another thread was faster, that one stays.
    fn move_page(
        &mut self,
        (page, mapped): (u64, Option<Mapped>),
        target: u64,
        batch: &mut Batch,
    ) -> Result<(), Refusal> {
        let taken = self.first(target, target + PAGE_SIZE).is_some();
        let Some(mapped) = mapped else {
            if let Some(frame) = self.parked.remove(&page) {
                if taken {
                    self.resident -= 1;
                    batch.hold(frame);
                } else {
                    self.parked.insert(target, frame);
                }
            }
            return Ok(());
        };
        if !taken {
            self.memory.share(mapped.frame);
            self.map(target, mapped.frame, mapped.access)?;
        }
        self.memory
            .inform(mapped.frame, mapped.accessed, mapped.dirty);
        self.tables.unmap(page);
        self.resident -= 1;
        batch.touch(page);
        batch.hold(mapped.frame);
        Ok(())
    }
}

/// Both lengths in whole pages.
fn check(old: u64, old_length: u64, new_length: u64) -> Result<(u64, u64), Errno> {
    if !is_aligned(old) || new_length == 0 || old_length == 0 {
        return Err(Errno::EINVAL);
    }
    let length = round_up(old_length).ok_or(Errno::EINVAL)?;
    let wanted = round_up(new_length).filter(|&new| new <= USER_END);
    Ok((length, wanted.ok_or(Errno::ENOMEM)?))
}
