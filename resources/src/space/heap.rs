//! The heap: `brk`.

use super::change::round_up;
use super::region::{Content, Region};
use super::{Inner, Placed, Progress, Protection};
use crate::machine::{Machine, USER_END};

/// The heap of the program.
#[derive(Clone, Copy)]
pub(super) struct Heap {
    start: u64,
    /// The break.
    end: u64,
    /// What is mapped above the break ends here: a break that is being lowered.
    mapped: u64,
}

impl<M: Machine> Inner<M> {
    pub(super) fn set_heap(&mut self, start: u64) {
        self.heap = round_up(start)
            .filter(|&start| start < USER_END)
            .map(|start| Heap {
                start,
                end: start,
                mapped: start,
            });
    }

    pub(super) fn set_break(&mut self, end: u64) -> Placed {
        let Some(Heap {
            start,
            end: current,
            mapped,
        }) = self.heap
        else {
            return Placed::At(0);
        };
        let top = round_up(current).unwrap_or(current);
        if top < mapped {
            match self.clear(top, mapped) {
                Ok(Progress::Done) => {}
                Ok(Progress::More) => return Placed::More,
                // Too many regions to cut a hole: the memory stays, unused.
                Err(_) => return Placed::At(current),
            }
        }
        let Some(wanted) = round_up(end).filter(|_| end >= start) else {
            self.move_break(current, top);
            return Placed::At(current);
        };
        if wanted < top {
            self.move_break(end, top);
            return self.set_break(end);
        }
        if wanted > top && !self.grow_heap(top, wanted) {
            self.move_break(current, top);
            return Placed::At(current);
        }
        self.move_break(end, wanted);
        Placed::At(end)
    }

    const fn move_break(&mut self, to: u64, mapped_to: u64) {
        if let Some(heap) = &mut self.heap {
            heap.end = to;
            heap.mapped = mapped_to;
        }
    }

    fn grow_heap(&mut self, from: u64, to: u64) -> bool {
        let possible = to <= USER_END
            && self.regions.is_free(from, to)
            && self.regions.stays_clear(to)
            && self.check_growth(to - from).is_ok();
        if possible {
            let region = Region {
                end: to,
                protection: Protection {
                    read: true,
                    write: true,
                    execute: false,
                },
                content: Content::Zeros,
                shared: false,
                grows: None,
                name: "heap",
            };
            self.regions.insert(from, region);
        }
        possible
    }
}
