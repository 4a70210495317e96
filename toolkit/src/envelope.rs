//! What travels between cores through their inboxes.

use alloc::sync::Arc;

use crate::binding::{Binding, Key};
use crate::grid::{Asker, SchedulerId, Shared};
use crate::ids::{ActivityId, CoreId, ResourceId};
use crate::request::{Reason, Request};
use crate::scheduler::ClientParams;
use crate::system::System;

/// One value in an inbox.
pub(crate) enum Envelope<Y: System> {
    /// A request for this core.
    Request(Request<Y::Message>),
    /// A request from outside the grid, still to be routed.
    Submitted(Request<Y::Message>),
    /// A request that was not executed, for the waiting party on this core.
    Returned(Request<Y::Message>, Reason),
    /// Tasks of this core have been woken ([`crate::waker`]).
    Woken,
    /// A change to what this core has.
    Control(Control<Y>),
    /// A change for all cores, to be announced by this one.
    Announce(Control<Y>),
    /// Part of the protocol of [`crate::migration`].
    Migration(Migration<Y>),
}

/// The messages by which a binding changes its core. "The label" is that of `resource` and `key`.
pub(crate) enum Migration<Y: System> {
    /// This core owns a new binding.
    Own {
        resource: ResourceId,
        key: Key,
        binding: Arc<Binding>,
    },
    /// A request of a moving label, from its old owner.
    Forwarded(Request<Y::Message>),
    /// A request of a moving label, from a sender that has seen the new owner.
    Early {
        request: Request<Y::Message>,
        binding: Arc<Binding>,
        generation: u64,
    },
    /// Everything older has been forwarded.
    Settled {
        resource: ResourceId,
        key: Key,
        binding: Arc<Binding>,
        generation: u64,
    },
    /// Asks for an [`Migration::Echo`].
    Barrier { from: CoreId, round: u64 },
    /// All that the echoing core had sent before the barrier has arrived.
    Echo { round: u64 },
    /// The label will not be used any more.
    Release { resource: ResourceId, key: Key },
    /// The label is to be bound to a core for ever.
    Pin {
        resource: ResourceId,
        key: Key,
        core: CoreId,
    },
}

/// A change to the running system, for all cores.
pub enum Control<Y: System> {
    /// Requests of the activity are queued but not executed, until resumed.
    SuspendActivity(ActivityId),
    /// Undoes [`Control::SuspendActivity`].
    ResumeActivity(ActivityId),
    /// The activity is over: what is queued for it, waits, or is sent later is handed back. When
    /// all cores have followed, its number means nobody, and its accounts are
    /// [`ActivityId::ENDED`]'s. The infrastructure does not end.
    EndActivity(ActivityId),
    /// New parameters for an activity at a resource's scheduler.
    SetClient(ResourceId, ActivityId, ClientParams),
    /// The activity's queue at a resource is removed; what is in it is handed back. A later request
    /// makes a new one.
    RemoveClient(ResourceId, ActivityId),
    /// The resource gets no requests until resumed.
    SuspendResource(ResourceId),
    /// Undoes [`Control::SuspendResource`] and the suspension after a rejection.
    ResumeResource(ResourceId),
    /// The resource is over: what is queued, waits, or is sent later is handed back. When all cores
    /// have followed, its number means nobody, and its accounts are added to those of a resource
    /// of the same name that takes no requests.
    RemoveResource(ResourceId),
    /// The scheduler is over. On each core it goes when the last of those that ask it has gone;
    /// from now on nobody begins to ask it.
    RemoveScheduler(SchedulerId),
    /// What a scheduler is to the one that it asks: on one core, or wherever it asks. Counts from
    /// the next decision; what it is ahead or behind by stays.
    SetAsk(Asker, Option<CoreId>, ClientParams),
    /// Another policy governs the resource; clients and requests stay.
    ReplacePolicy(ResourceId, NewPolicy<Y>),
}

/// A policy made for [`Control::ReplacePolicy`].
pub struct NewPolicy<Y: System>(pub(crate) Arc<Shared<Y>>);

impl<Y: System> NewPolicy<Y> {
    /// Makes an instance of `policy`.
    pub fn new(policy: &Y::Policy, params: &crate::scheduler::SchedulerParams) -> Self {
        Self(Arc::new(crate::scheduler::Scheduler::init(policy, params)))
    }
}

impl<Y: System> Clone for NewPolicy<Y> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<Y: System> Clone for Control<Y> {
    fn clone(&self) -> Self {
        match self {
            Self::SuspendActivity(activity) => Self::SuspendActivity(*activity),
            Self::ResumeActivity(activity) => Self::ResumeActivity(*activity),
            Self::EndActivity(activity) => Self::EndActivity(*activity),
            Self::SetClient(resource, activity, params) => {
                Self::SetClient(*resource, *activity, *params)
            }
            Self::RemoveClient(resource, activity) => Self::RemoveClient(*resource, *activity),
            Self::SuspendResource(resource) => Self::SuspendResource(*resource),
            Self::ResumeResource(resource) => Self::ResumeResource(*resource),
            Self::RemoveResource(resource) => Self::RemoveResource(*resource),
            Self::RemoveScheduler(scheduler) => Self::RemoveScheduler(*scheduler),
            Self::SetAsk(asker, core, params) => Self::SetAsk(*asker, *core, *params),
            Self::ReplacePolicy(resource, policy) => Self::ReplacePolicy(*resource, policy.clone()),
        }
    }
}
