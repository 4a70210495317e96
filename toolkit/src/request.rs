//! Requests: the messages that resources exchange (paper, sections 2.1 and 3.1).

use crate::ids::{ActivityId, AffinityLabel, CoreId, DependencyLabel, ResourceId};
use crate::scheduler::RequestView;

/// What a request asks for: the function to invoke in the destination, with its arguments.
pub trait Message: Send + 'static {
    /// Where this message would like to stand among others, such as a disk block's number. For
    /// policies that reorder queues; no meaning to the toolkit.
    fn sort_key(&self) -> u64 {
        0
    }
}

/// A reference to requests or tasks that wait (paper, section 3.5): firing it lets them go on.
/// Attached to an outgoing request, it comes back with the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trigger {
    pub(crate) core: CoreId,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// How a request takes part in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Not at all.
    None,
    /// Its reply fires the trigger.
    Call(Trigger),
    /// It is the reply: the trigger fires when this request has been executed.
    Reply(Trigger),
}

impl Link {
    /// The core that waits for the reply, if it is one.
    #[inline(always)]
    pub(crate) const fn replies_to(self) -> Option<CoreId> {
        match self {
            Self::Reply(trigger) => Some(trigger.core),
            Self::None | Self::Call(_) => None,
        }
    }
}

/// All of a request but its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The resource that executes it.
    pub destination: ResourceId,
    /// The resource that sent it.
    pub source: ResourceId,
    /// Who pays.
    pub activity: ActivityId,
    /// Order among requests.
    pub dependency: DependencyLabel,
    /// Where it runs.
    pub affinity: AffinityLabel,
    pub(crate) sent_at: u64,
    pub(crate) link: Link,
}

/// One request.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<M> {
    /// Who sends what to whom.
    pub head: Head,
    /// What to do.
    pub message: M,
}

impl<M> Request<M> {
    /// A request from outside the grid, without labels.
    #[must_use]
    pub const fn new(destination: ResourceId, activity: ActivityId, message: M) -> Self {
        Self {
            head: Head {
                destination,
                source: ResourceId::OUTSIDE,
                activity,
                dependency: DependencyLabel::NONE,
                affinity: AffinityLabel::NONE,
                sent_at: 0,
                link: Link::None,
            },
            message,
        }
    }

    /// The same, paid by `activity`.
    #[must_use]
    pub const fn paid_by(mut self, activity: ActivityId) -> Self {
        self.head.activity = activity;
        self
    }

    /// The same, in order with requests of the same label.
    #[must_use]
    pub const fn ordered(mut self, dependency: DependencyLabel) -> Self {
        self.head.dependency = dependency;
        self
    }

    /// The same, near requests of the same label.
    #[must_use]
    pub const fn near(mut self, affinity: AffinityLabel) -> Self {
        self.head.affinity = affinity;
        self
    }

    /// The same, as a call: the reply fires `trigger`.
    #[must_use]
    pub const fn answering(mut self, trigger: Trigger) -> Self {
        self.head.link = Link::Call(trigger);
        self
    }
}

impl Head {
    /// Whether it is of a reply: those go to the core that waits for them, wherever their label is
    /// bound, and wait behind nobody.
    pub(crate) const fn is_reply(&self) -> bool {
        matches!(self.link, Link::Reply(_))
    }

    /// Whether any request could have to stay behind one with this head.
    pub(crate) fn has_dependants(&self) -> bool {
        self.dependency != DependencyLabel::NONE
    }

    /// Of a request from outside the grid that says nothing.
    pub(crate) const NONE: Self =
        Request::new(ResourceId::OUTSIDE, ActivityId::INFRASTRUCTURE, ()).head;

    /// What a policy sees of the request.
    pub(crate) const fn view(&self, sort_key: u64) -> RequestView {
        RequestView {
            source: self.source,
            dependency: self.dependency,
            affinity: self.affinity,
            sent_at: self.sent_at,
            sort_key,
        }
    }

    /// Time from sending to `now`, in cycles; 0 if the sender's clock was ahead.
    #[must_use]
    #[inline]
    pub const fn age_cycles(&self, now: u64) -> u64 {
        now.saturating_sub(self.sent_at)
    }

    /// True if `other` must stay behind this one: same source and (real) dependency label. Both are
    /// in one queue, so the destination and the activity are equal.
    pub(crate) fn precedes(&self, other: &Self) -> bool {
        self.has_dependants() && self.dependency == other.dependency && self.source == other.source
    }
}

/// Why a request was handed back instead of executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// There is no such resource, or it has been removed.
    NoResource,
    /// There is no such activity, or it has ended.
    NoActivity,
    /// The client was removed with the request queued.
    ClientRemoved,
    /// The queue has reached the client's limit.
    QueueFull,
    /// The resource asks for time on no core.
    NoCore,
}

impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NoResource => "no such resource",
            Self::NoActivity => "no such activity",
            Self::ClientRemoved => "the client was removed",
            Self::QueueFull => "the queue is full",
            Self::NoCore => "the resource has no core",
        })
    }
}
