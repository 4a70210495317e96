//! Fetches that are under way, for who can have no page before one of them ends.
//!
//! Key types: [`Arrivals`], [`Coming`] (one fetch).
//!
//! A fetch is under way once it has all its frames: then it waits for nothing but the disk, so who
//! waits for it does not wait for ever.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use async_lock::Mutex;
use event_listener::{Event, EventListener};
use vortex_toolkit::ids::ActivityId;

/// Of one activity.
#[derive(Debug, Default)]
struct Of {
    /// Fetches under way.
    coming: usize,
    /// Whose turn it is to look for frames.
    turn: Arc<Mutex<()>>,
}

/// All fetches that are under way.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    activities: spin::Mutex<BTreeMap<ActivityId, Of>>,
    came: Event,
}

/// A fetch that is under way, until it is dropped.
pub(super) struct Coming<'a> {
    arrivals: &'a Arrivals,
    activity: ActivityId,
}

impl Arrivals {
    /// A fetch of an activity has all its frames.
    pub(super) fn begin(&self, activity: ActivityId) -> Coming<'_> {
        let mut activities = self.activities.lock();
        activities.entry(activity).or_default().coming += 1;
        let arrivals = self;
        Coming { arrivals, activity }
    }

    /// Whether one is under way, of an activity or of any.
    pub(super) fn are_coming(&self, whose: Option<ActivityId>) -> bool {
        let activities = self.activities.lock();
        match whose {
            Some(activity) => activities.get(&activity).is_some_and(|of| of.coming > 0),
            None => activities.values().any(|of| of.coming > 0),
        }
    }

    /// Ends when one has ended that was under way when this was called.
    pub(super) fn next(&self) -> EventListener {
        self.came.listen()
    }

    /// Who looks for frames holds it: those of one activity do it one after another.
    pub(super) fn turn(&self, activity: ActivityId) -> Arc<Mutex<()>> {
        let mut activities = self.activities.lock();
        activities.entry(activity).or_default().turn.clone()
    }
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        let mut activities = self.arrivals.activities.lock();
        if let Some(of) = activities.get_mut(&self.activity) {
            of.coming -= 1;
            if of.coming == 0 && Arc::strong_count(&of.turn) == 1 {
                activities.remove(&self.activity);
            }
        }
        drop(activities);
        self.arrivals.came.notify(usize::MAX);
    }
}
