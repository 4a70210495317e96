//! Which frames to ask back (paper, section 3.2, "Reclaiming memory"): second chance, by a clock's
//! hand over the table of frames, on what the resources' information records say.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use super::accounts::AccountNumber;
use super::{Frame, Frames, MODIFIED, Multiplexor, REFERENCED, Reclaim, pins, references};
use crate::ids::{ActivityId, ResourceId};

/// Entries that one call looks at, at most.
const STRIDE: usize = 4096;

/// What a search for frames found.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Frames whose owners are to be asked for them.
    pub chosen: Vec<Reclaim>,
    /// How many frames were looked at: who has looked at every frame twice in vain, since one that
    /// has been used gets away once, need not go on.
    pub looked: usize,
}

impl<F: Frames> Multiplexor<F> {
    /// An information record: what a resource has learnt about a frame that it has a reference to.
    /// That it has been written stays known until the frame is free.
    pub fn inform(&self, frame: Frame, referenced: bool, modified: bool) {
        let marks = u64::from(referenced) * REFERENCED + u64::from(modified) * MODIFIED;
        let state = &self.entry(frame).state;
        // Most frames have been used since the last search: to look costs less than to lock.
        if state.load(Ordering::Relaxed) & marks != marks {
            state.fetch_or(marks, Ordering::Relaxed);
        }
    }

    /// From now on the resource can be asked for its frames, by the cookies it gave them.
    pub fn register(&self, resource: ResourceId) {
        self.accounts.register(resource);
    }

    /// Chooses up to `wanted` frames, of one activity or of all, that registered resources are to be
    /// asked for: not used lately, not pinned, and those that have not been written first. What has
    /// been used gets away this time, but loses its mark.
    ///
    /// Nothing is taken: the owners release the frames if they can. A call looks at a bounded number
    /// of frames, where the one before stopped; fewer than `wanted` does not mean that there are no
    /// more.
    #[must_use]
    pub fn reclaim(&self, whose: Option<ActivityId>, wanted: usize) -> Search {
        let mut clean = Vec::new();
        let mut modified = Vec::new();
        let frames = self.table.len();
        let mut looked = 0;
        while looked < frames.min(STRIDE) && clean.len() < wanted {
            looked += 1;
            let index = self.hand.fetch_add(1, Ordering::Relaxed) % frames;
            let Ok(number) = u32::try_from(index) else {
                break;
            };
            let frame = Frame(number);
            let Some(found) = self.candidate(frame, whose) else {
                continue;
            };
            let state = &self.entry(frame).state;
            let marks = state.fetch_and(!REFERENCED, Ordering::Relaxed);
            if marks & REFERENCED != 0 {
                continue;
            }
            if marks & MODIFIED == 0 {
                clean.push(found);
            } else if modified.len() < wanted {
                modified.push(found);
            }
        }
        modified.truncate(wanted - clean.len());
        clean.append(&mut modified);
        Search {
            chosen: clean,
            looked,
        }
    }

    fn candidate(&self, frame: Frame, whose: Option<ActivityId>) -> Option<Reclaim> {
        let entry = self.entry(frame);
        let state = entry.state.load(Ordering::Acquire);
        if references(state) == 0 || pins(state) != 0 {
            return None;
        }
        let account = AccountNumber(entry.account.load(Ordering::Relaxed));
        if !self.accounts.is_reclaimable(account) {
            return None;
        }
        let owner = self.owner(frame)?;
        whose
            .is_none_or(|activity| activity == owner.activity)
            .then_some(Reclaim { frame, owner })
    }
}
