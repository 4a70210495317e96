//! `mremap`: a mapping gets longer or shorter, or goes somewhere else with its pages.

use super::change::{is_aligned, round_up};
use super::pages::Batch;
use super::{Inner, PORTION, Placed, Progress};
use crate::errno::Errno;
use crate::machine::{Machine, PAGE_SIZE, PageTables, USER_END};
use vortex_toolkit::memory::Refusal;

/// Moves that may be under way at once in an address space.
const MAX_MOVES: usize = 64;

/// A mapping on its way to another place, in portions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Move {
    from: u64,
    from_end: u64,
    to: u64,
    to_end: u64,
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
        let known = |way: &&Move| {
            way.from == old && way.from_end == end && way.to_end - way.to == wanted
        };
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
            return Ok(match self.clear(old + wanted, end)? {
                Progress::Done => Placed::At(old),
                Progress::More => Placed::More,
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
        self.regions.check_room(3)?;
        let to = self.regions.find_free(wanted).ok_or(Errno::ENOMEM)?;
        tail.content = tail.content.moved(old, to);
        tail.end = to + wanted;
        self.regions.insert(to, tail);
        let way = Move {
            from: old,
            from_end: end,
            to,
            to_end: to + wanted,
        };
        self.moves.push(way);
        self.go_on(way)
    }

    /// Moves a portion of pages; at the end, what is left behind goes.
    fn go_on(&mut self, way: Move) -> Result<Placed, Errno> {
        if !self.is_intact(way) {
            self.moves.retain(|other| *other != way);
            return Err(Errno::EFAULT);
        }
        let finished = match self.move_pages(way) {
            Ok(Progress::More) => return Ok(Placed::More),
            // No memory for tables: the program keeps what it has where it is not yet moved.
            Err(_) => Err(Errno::ENOMEM),
            Ok(Progress::Done) => match self.clear(way.from, way.from_end)? {
                Progress::More => return Ok(Placed::More),
                Progress::Done => Ok(Placed::At(way.to)),
            },
        };
        self.moves.retain(|other| *other != way);
        finished
    }

    /// Whether both ends of a move still show the same: other threads may have changed them.
    fn is_intact(&self, way: Move) -> bool {
        let (Some((_, from)), Some((_, to))) =
            (self.regions.at(way.from), self.regions.at(way.to))
        else {
            return false;
        };
        from.end >= way.from_end
            && to.end >= way.to_end
            && from.protection == to.protection
            && to.content.continues(&from.content.moved(way.from, way.to))
    }

    fn move_pages(&mut self, way: Move) -> Result<Progress, Refusal> {
        let mut at = way.from;
        let mut batch = Batch::new();
        let mut result = Ok(Progress::Done);
        let pages = &mut self.pages;
        for moved in 0.. {
            let Some((page, mapped)) = pages.first(at, way.from_end) else {
                break;
            };
            if moved == PORTION {
                result = Ok(Progress::More);
                break;
            }
            let target = page - way.from + way.to;
            match mapped {
                Some(mapped) => {
                    pages.memory.inform(mapped.frame, mapped.accessed, mapped.dirty);
                    pages.memory.share(mapped.frame);
                    if let Err(refusal) = pages.map(target, mapped.frame, mapped.access) {
                        result = Err(refusal);
                        break;
                    }
                    pages.tables.unmap(page);
                    pages.resident -= 1;
                    batch.touch(page);
                    batch.hold(mapped.frame);
                }
                None => {
                    if let Some(frame) = pages.parked.remove(&page) {
                        pages.parked.insert(target, frame);
                    }
                }
            }
            at = page + PAGE_SIZE;
        }
        pages.finish(batch);
        result
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
