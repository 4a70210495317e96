//! The scheduler interface (paper, appendix, table 3): policy on this side, mechanism on the other.
//!
//! A policy is a type that knows nothing of hardware: the same code runs in the kernel and in the
//! simulator. Its state comes in two types, as the paper asks in section 3.1.1: [`Scheduler::Shared`]
//! is seen by all cores, [`Scheduler::Core`] belongs to one core and is touched by that core alone.
//!
//! # When the toolkit calls what
//! For every client, on one core:
//! `add_client`, then any number of rounds `client_ready` → `schedule` (which returns the client
//! and thereby takes it out of the ready set) → `resource_record`* → (`client_ready` again if
//! requests are left), and at the end `remove_client`. `client_suspended` takes a client out of the
//! ready set without service; it comes back by `client_ready`. `resource_record` can name a client
//! that was not chosen: work that was charged to it retrospectively.
//!
//! # Safety impact
//! The toolkit does not trust a policy. A wrong answer (a client that does not exist or has
//! nothing queued, nobody for too long) costs service, never a request: such a policy loses its
//! role to the toolkit's own round-robin (see `crate::governor`).

use crate::ids::{ActivityId, AffinityLabel, ClientId, CoreId, DependencyLabel, ResourceId};
use crate::record::{Metric, Record};

/// A proportional share's size, 1 to [`Weight::MAX`]; only the ratio to other weights matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u32);

impl Weight {
    /// The largest weight: ratios up to ten million to one.
    pub const MAX: u32 = 10_000_000;
    /// The weight of a client about which nothing was said.
    pub const DEFAULT: Self = Self(100);

    /// A weight, if `value` is in range.
    #[must_use]
    pub const fn new(value: u32) -> Option<Self> {
        if value >= 1 && value <= Self::MAX {
            Some(Self(value))
        } else {
            None
        }
    }

    /// The number.
    #[must_use]
    #[inline]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Where a resource's affinity labels go (paper, section 3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadSharing {
    /// A hash of the label picks the core.
    AffinityHash,
    /// The core with the fewest labels bound to it at this resource.
    LeastBound,
    /// The core at which the label's activity has received least in proportion to what the
    /// resource may use there (the paper's footnote 3).
    LeastReceived,
    /// Always the same core.
    Fixed(CoreId),
}

/// How long a binding lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until it is released.
    Forever,
    /// This many cycles; then the label is bound anew.
    Cycles(u64),
}

/// A label's core, and for how long: the answer of [`Scheduler::load_share`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreBinding {
    /// The chosen core: one of [`LoadView::cores`].
    pub core: CoreId,
    /// How long the toolkit may use the answer.
    pub lifetime: Lifetime,
}

impl CoreBinding {
    /// The lifetime in cycles: at least 1; `u64::MAX` for ever.
    #[must_use]
    pub const fn lifetime_cycles(&self) -> u64 {
        match self.lifetime {
            Lifetime::Forever => u64::MAX,
            Lifetime::Cycles(0) => 1,
            Lifetime::Cycles(cycles) => cycles,
        }
    }
}

/// What [`Scheduler::load_share`] may look at.
pub trait LoadView {
    /// The cores on which the resource may run, never empty.
    fn cores(&self) -> &[CoreId];
    /// Labels of this resource that are bound to `core` now.
    fn bound(&self, core: CoreId) -> u64;
    /// What the activity has received of `metric` at this resource on `core`.
    fn received(&self, core: CoreId, metric: Metric) -> u64;
    /// The share that this resource has of `core`.
    fn share(&self, core: CoreId) -> Weight;
}

/// Parameters of one scheduler instance (the paper's `schedparams`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchedulerParams {
    /// What the scheduler charges by.
    pub metric: Metric,
    /// How it binds labels to cores.
    pub load_sharing: LoadSharing,
    /// How long these bindings last.
    pub lifetime: Lifetime,
    /// All cores together give no more than this: for policies that know it. The toolkit lets an
    /// instance with a limit choose nobody for as long as it says.
    pub limit: Option<Reservation>,
    /// A client that is a scheduler may get its share of so much before the others, when it comes back, of
    /// what it has not used before; in the metric: for policies that know it.
    pub burst: u64,
}

impl Default for SchedulerParams {
    fn default() -> Self {
        Self {
            metric: Metric::Cpu,
            load_sharing: LoadSharing::AffinityHash,
            lifetime: Lifetime::Forever,
            limit: None,
            burst: 0,
        }
    }
}

/// A reservation: at most `budget` of the metric in every `period_cycles`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Amount of the scheduler's metric, at least 1.
    pub budget: u64,
    /// Cycles after which the budget is full again, at least 1.
    pub period_cycles: u64,
}

/// Parameters of one client (the paper's `clientparams`). A policy reads those it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientParams {
    /// Proportional-share policies.
    pub weight: Weight,
    /// Strict priority: a smaller number is served first.
    pub priority: u8,
    /// EDF: cycles from a request's arrival to its deadline.
    pub deadline_cycles: u64,
    /// EDF: a limit on what the client may take.
    pub reservation: Option<Reservation>,
    /// Requests that may wait in the client's queue; more are handed back to the sender.
    pub queue_limit: u32,
}

impl Default for ClientParams {
    fn default() -> Self {
        Self {
            weight: Weight::DEFAULT,
            priority: 128,
            deadline_cycles: 100_000_000,
            reservation: None,
            queue_limit: u32::MAX,
        }
    }
}

/// Who a client is: told to `add_client`, for policies that differentiate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    /// A request queue: the requests of one activity at one resource.
    Queue {
        /// The resource that the requests are for.
        resource: ResourceId,
        /// Who pays for them.
        activity: ActivityId,
    },
    /// A scheduler that asks this one for its resource.
    Scheduler,
}

/// A queued request as a policy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestView {
    /// The resource that sent it.
    pub source: ResourceId,
    /// Its dependency label.
    pub dependency: DependencyLabel,
    /// Its affinity label.
    pub affinity: AffinityLabel,
    /// When it was sent, in cycles.
    pub sent_at: u64,
    /// What the message says of its place, such as a disk block (`Message::sort_key`).
    pub sort_key: u64,
}

/// The clients' request queues, for reading and reordering (paper, section 3.1).
pub trait Queues {
    /// Requests in the queue of `client`; 0 for a client that is a scheduler or does not exist.
    fn len(&self, client: ClientId) -> usize;

    /// True if nothing is queued.
    fn is_empty(&self, client: ClientId) -> bool {
        self.len(client) == 0
    }

    /// The request at `position` from the head. Takes `position` steps.
    fn peek(&self, client: ClientId, position: usize) -> Option<RequestView>;

    /// Moves the request at `position` to the head, if no request before it has the same source
    /// and dependency label. Takes `position` steps.
    ///
    /// # Errors
    /// [`Immovable`] if that order must be kept, or there is no such request; nothing has changed.
    fn promote(&mut self, client: ClientId, position: usize) -> Result<(), Immovable>;
}

/// The request must stay where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Immovable;

/// When a scheduler's next decision is available: the answer of [`Scheduler::poll_ready`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Ready {
    /// `schedule` returns a client now.
    Now,
    /// At this time, in cycles and later than now, unless another client becomes ready before.
    At(u64),
    /// No client is ready.
    Never,
}

/// A client's account with its scheduler: the answer of [`Scheduler::client_statistics`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientStatistics {
    /// How often the client was chosen.
    pub decisions: u64,
    /// What it was charged, in the scheduler's metric.
    pub charged: u64,
}

/// A scheduling policy.
///
/// Times are cycles of the platform's counter and come in as parameters; no policy reads a clock.
/// The paper's `poll_ready` and `load_share` speak of microseconds; here everything is in cycles,
/// so that nothing is rounded.
pub trait Scheduler: Sized + 'static {
    /// State of one instance that all its cores share.
    type Shared: Send + Sync + 'static;
    /// State of one instance on one core.
    type Core: Send + 'static;

    /// Makes an instance.
    fn init(&self, params: &SchedulerParams) -> Self::Shared;

    /// Makes the state of one core on which the instance asks for time.
    fn init_core(shared: &Self::Shared, core: CoreId) -> Self::Core;

    /// Registers a client, which has nothing to do yet. `client` is not registered now.
    fn add_client(core: &mut Self::Core, client: ClientId, kind: ClientKind, params: &ClientParams);

    /// New parameters for a client that goes on as it was otherwise. Counts from the next decision.
    fn update_client(core: &mut Self::Core, client: ClientId, params: &ClientParams);

    /// Forgets a client, ready or not.
    fn remove_client(core: &mut Self::Core, client: ClientId);

    /// Chooses a ready client and takes it out of the ready set; `None` if nobody may run now.
    fn schedule<Q: Queues>(core: &mut Self::Core, queues: &mut Q, now: u64) -> Option<ClientId>;

    /// `client` has work: its first request arrived, or it has been served and more is queued.
    /// `head_sent_at` is when the request at the head of its queue was sent; for a client that is a
    /// scheduler, when it became ready.
    fn client_ready(core: &mut Self::Core, client: ClientId, head_sent_at: u64, now: u64);

    /// `client` must not be chosen until it is ready again, whatever it has queued.
    fn client_suspended(core: &mut Self::Core, client: ClientId);

    /// When `schedule` has an answer.
    fn poll_ready(core: &mut Self::Core, now: u64) -> Ready;

    /// True if `schedule` always has an answer while a client is ready, so that the toolkit need
    /// not ask [`Self::poll_ready`] on its way. Asked again when clients are added, updated or
    /// removed. Not in the paper: it saves calls, nothing else.
    fn is_prompt(_core: &Self::Core) -> bool {
        false
    }

    /// `client` has consumed what `record` says.
    fn resource_record(core: &mut Self::Core, client: ClientId, record: &Record<'_>, now: u64);

    /// `client`, which was chosen, has been served: what [`Self::resource_record`] is told and then,
    /// if more is queued, [`Self::client_ready`] with `more_since`. Not in the paper: a policy that
    /// has its own way to do both at once saves steps, nothing else.
    #[inline(always)]
    fn client_served(
        core: &mut Self::Core,
        client: ClientId,
        record: &Record<'_>,
        more_since: Option<u64>,
        now: u64,
    ) {
        Self::resource_record(core, client, record, now);
        if let Some(head_sent_at) = more_since {
            Self::client_ready(core, client, head_sent_at, now);
        }
    }

    /// Chooses a core for an affinity label.
    fn load_share(
        shared: &Self::Shared,
        affinity: AffinityLabel,
        view: &dyn LoadView,
    ) -> CoreBinding;

    /// What the policy knows of a client.
    fn client_statistics(core: &Self::Core, client: ClientId) -> ClientStatistics;
}
