//! One core's part of the toolkit: receives, decides, dispatches, books.
//!
//! A [`Core`] is touched by its own core alone. Its loop is
//!
//! ```text
//! loop {
//!     if core.step() == Step::Asleep { halt until an interrupt }
//! }
//! ```
//!
//! Invariant: every cycle since the core was started is booked once, in an account, as scheduling,
//! as interrupt or as idle, up to the ledger's `through`.

mod books;
mod control;
mod entrance;
mod execute;
mod send;
mod state;
mod user;

pub(crate) use state::{CoreState, Inbox};

use crate::context::Context;
use crate::grid::Seed;
use crate::ids::{ActivityId, ResourceId};
use crate::request::{Head, Request};
use crate::scheduler::ClientStatistics;
use crate::system::{Platform, Resources, System};

/// One core at work.
pub struct Core<Y: System> {
    pub(crate) state: CoreState<Y>,
    inbox: Inbox<Y>,
    resources: Y::Resources,
}

/// What a step has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Something; there may be more to do.
    Worked,
    /// There was nothing to do, and the core has gone to sleep: the next step counts as waking up.
    /// A sender wakes the core through its platform; a timer has been set if one is needed, and
    /// is given here in cycles.
    Asleep {
        /// When the core wants to be woken.
        until: Option<u64>,
    },
}

impl<Y: System> Core<Y> {
    /// Starts a core, on that core.
    pub fn new(seed: Seed<Y>, platform: Y::Platform, resources: Y::Resources) -> Self {
        let Seed {
            grid,
            core,
            inbox,
            span,
        } = seed;
        Self {
            state: CoreState::new(grid, core, span, platform),
            inbox,
            resources,
        }
    }

    /// Receives what other cores have sent, and executes at most one request. Becomes part of the
    /// loop that calls it: for as little work, a call costs.
    ///
    /// A core that was woken for nothing goes on sleeping: that costs no locked operation.
    #[inline(always)]
    pub fn step(&mut self) -> Step {
        let state = &mut self.state;
        if state.asleep {
            if let Some(asleep) = state.sleep_on(&self.inbox) {
                return asleep;
            }
            state.wake_up();
        }
        state.receive(&mut self.inbox);
        if state.needs_attention() {
            self.attend();
        }
        if self.serve() {
            Step::Worked
        } else {
            self.state.rest(&mut self.inbox)
        }
    }

    /// What is not done in every step: hands back requests, sends what did not fit, runs timers and
    /// changes bindings.
    #[cold]
    fn attend(&mut self) {
        self.state.flush();
        // Not those that come back meanwhile: who sends again at once must not hold up the core.
        for _ in 0..self.state.returns.len() {
            let Some((request, reason)) = self.state.returns.pop_front() else {
                break;
            };
            if let Some((request, reason)) = self.state.deliver_return(request, reason) {
                let mut context = Context::between(&mut self.state, &mut self.inbox, &request.head);
                self.resources.returned(request, reason, &mut context);
            }
        }
        let now = self.state.books.mark;
        self.state.tree.run_timers(&self.state.platform, now);
        self.state.tend_bindings(now);
        self.state.plan_attention();
    }

    /// The resources of this core.
    pub const fn resources(&mut self) -> &mut Y::Resources {
        &mut self.resources
    }

    /// The time, in cycles, as of the end of the last request, which is exact enough between two
    /// steps and costs no reading of the clock; while the core sleeps, the time itself.
    #[inline]
    pub fn now(&self) -> u64 {
        if self.state.asleep {
            self.state.platform.now()
        } else {
            self.state.books.mark
        }
    }

    /// The platform of this core.
    pub const fn platform(&self) -> &Y::Platform {
        &self.state.platform
    }

    /// Sends a request from outside the grid, on this core.
    #[inline]
    pub fn send(&mut self, mut request: Request<Y::Message>) {
        self.state.disturb();
        request.head.sent_at = self.state.books.mark;
        self.state.send(request);
    }

    /// A context for work outside any request, such as the first requests of all. Its time is
    /// booked as scheduling.
    pub fn context(&mut self) -> Context<'_, Y> {
        self.state.disturb();
        Context::between(&mut self.state, &mut self.inbox, &Head::NONE)
    }

    /// Has the resources do something outside any request, such as what they have put off until a
    /// certain time. It is booked as scheduling. The core is awake then, until its next step.
    pub fn outside(&mut self, work: impl FnOnce(&mut Y::Resources, &mut Context<'_, Y>)) {
        if self.state.asleep {
            self.state.wake_up();
        }
        let mut context = Context::between(&mut self.state, &mut self.inbox, &Head::NONE);
        work(&mut self.resources, &mut context);
    }

    /// Policies on this core that have lost their role.
    #[must_use]
    pub const fn demotions(&self) -> u64 {
        self.state.tree.demotions()
    }

    /// What the governing policy knows of an activity at a resource on this core; `None` if it has
    /// no queue here or the policy has lost its role.
    pub fn client_statistics(
        &self,
        resource: ResourceId,
        activity: ActivityId,
    ) -> Option<ClientStatistics> {
        let place = self.state.place(resource, activity)?;
        let node = &self.state.tree.nodes[place.node.index()];
        node.governor
            .client_statistics(&self.state.platform, place.client)
    }

    /// Places in this core's tables of schedulers and resources, used or kept for new ones: not more
    /// than there have been at one time, and a few.
    #[must_use]
    pub const fn places(&self) -> usize {
        let state = &self.state;
        state.tree.nodes.len() + state.resources.len() + state.schedulers.len()
    }

    /// Requests and tasks that wait on this core.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state.waiting.len()
    }
}
