//! Which schedulers the configuration gives to the resources of processes.
//!
//! Key types: [`Kind`], [`Layout`] (what the configuration says), [`HomePlan`].

use alloc::vec::Vec;

use vortex_schedulers::instantiate::{
    Built, InstantiateError, activity_id, instance_of,
};
use vortex_schedulers::policy::Policy;
use vortex_sched_config::{Instance, Plan, SchedulerPlan};
use vortex_toolkit::ids::{ActivityId, CoreId, ResourceId};
use vortex_toolkit::scheduler::{ClientParams, Lifetime, LoadSharing, SchedulerParams};
use vortex_toolkit::{Ask, Parent, SchedulerSpec};

/// The kinds of resources there are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `resource.thread`, one instance per process.
    Thread,
    /// `resource.process`.
    Process,
    /// `resource.addressspace`.
    AddressSpace,
    /// `resource.executable`.
    Executable,
    /// `resource.memory`: reclaiming.
    Memory,
    /// `resource.console`.
    Console,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Thread,
        Self::Process,
        Self::AddressSpace,
        Self::Executable,
        Self::Memory,
        Self::Console,
    ];

    /// The dotted name in configuration files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Thread => "resource.thread",
            Self::Process => "resource.process",
            Self::AddressSpace => "resource.addressspace",
            Self::Executable => "resource.executable",
            Self::Memory => "resource.memory",
            Self::Console => "resource.console",
        }
    }
}

/// An activity's home: the scheduler that all its processes' resources ask.
#[derive(Clone, Debug)]
pub struct HomePlan {
    /// The policy, of the home and of what asks it.
    pub policy: Policy,
    /// Its parameters.
    pub params: SchedulerParams,
    /// Where the home asks for time, with what share.
    pub asks: Vec<Ask>,
    /// How long a thread runs before others get a turn, in nanoseconds.
    pub timeslice_ns: u64,
}

/// How long a thread runs unless the configuration says otherwise: 5 ms.
pub const TIMESLICE_NS: u64 = 5_000_000;

impl HomePlan {
    /// A home that asks the multiplexors of `cores` cores, for an activity of which the
    /// configuration says nothing but its weight.
    #[must_use]
    pub fn plain(cores: usize, activity: ClientParams) -> Self {
        let cores = (0..u16::try_from(cores).unwrap_or(u16::MAX)).map(CoreId);
        Self {
            policy: Policy::Wfq,
            params: SchedulerParams {
                load_sharing: LoadSharing::LeastBound,
                lifetime: Lifetime::Forever,
                ..SchedulerParams::default()
            },
            asks: cores
                .map(|core| Ask {
                    core,
                    parent: Parent::Multiplexor,
                    params: activity,
                })
                .collect(),
            timeslice_ns: TIMESLICE_NS,
        }
    }

    fn of(
        plan: &Plan,
        scheduler: &SchedulerPlan,
        built: &[Built],
        hertz: u64,
    ) -> Result<Self, InstantiateError> {
        let spec = instance_of(plan, scheduler, built, hertz)?;
        Ok(Self {
            policy: spec.policy,
            params: spec.params,
            asks: spec.asks,
            timeslice_ns: scheduler.timeslice.get().saturating_mul(1000),
        })
    }

    /// The same, for an activity with this weight.
    #[must_use]
    fn weighing(&self, activity: ClientParams) -> Self {
        let mut plan = self.clone();
        for ask in &mut plan.asks {
            ask.params.weight = activity.weight;
        }
        plan
    }

    pub(crate) fn spec(&self) -> SchedulerSpec<Policy> {
        SchedulerSpec {
            policy: self.policy,
            params: self.params,
            asks: self.asks.clone(),
        }
    }
}

/// What the configuration says about processes.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// The resources that the configuration gives a scheduler of their own; never threads.
    pub own: Vec<(Kind, ResourceId)>,
    /// The homes of activities that the configuration names.
    pub homes: Vec<(ActivityId, HomePlan)>,
    /// The home of any other activity, but for its weight; [`HomePlan::plain`] without one.
    pub other: Option<HomePlan>,
}

impl Layout {
    /// What a plan says; `built` is what [`vortex_schedulers::instantiate`] has made of its
    /// schedulers. A home is what the file calls the activity's instance of `resource.thread`.
    ///
    /// # Errors
    /// [`InstantiateError::UnknownPolicy`].
    pub fn of_plan(plan: &Plan, built: &[Built], hertz: u64) -> Result<Self, InstantiateError> {
        let mut layout = Self::default();
        for (scheduler, result) in plan.schedulers.iter().zip(built) {
            let kind = Kind::ALL
                .into_iter()
                .find(|kind| scheduler.resource.as_deref() == Some(kind.name()));
            match kind {
                None => {}
                Some(Kind::Thread) => {
                    let home = HomePlan::of(plan, scheduler, built, hertz)?;
                    match scheduler.instance {
                        Instance::Of(activity) => {
                            layout.homes.push((activity_id(activity), home));
                        }
                        Instance::Pattern | Instance::Only => layout.other = Some(home),
                    }
                }
                Some(kind) => layout.own.extend(result.resource.map(|id| (kind, id))),
            }
        }
        Ok(layout)
    }

    /// The home of an activity with these parameters.
    pub(crate) fn home(&self, activity: ActivityId, params: ClientParams, cores: usize) -> HomePlan {
        let named = self.homes.iter().find(|(named, _)| *named == activity);
        match (named, &self.other) {
            (Some((_, plan)), _) => plan.clone(),
            (None, Some(other)) => other.weighing(params),
            (None, None) => HomePlan::plain(cores, params),
        }
    }

    /// The resource of this kind that the configuration gives a scheduler of its own.
    pub(crate) fn own(&self, kind: Kind) -> Option<ResourceId> {
        let found = self.own.iter().find(|(own, _)| *own == kind);
        found.map(|(_, resource)| *resource)
    }
}
