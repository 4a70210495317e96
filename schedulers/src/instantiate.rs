//! From a configuration's plan to the grid it describes (paper, section 3.1.2).
//!
//! [`instantiate`] turns a [`Plan`] into a [`Builder`], for the kernel at boot and for the
//! simulator alike. The toolkit's cores are numbered as [`Plan::cores`] are, without gaps:
//! [`Instantiated::cores`] says which core of the machine each one is. Activities have the numbers
//! that they have in the plan.
//!
//! A scheduler that has a resource and is asked by other schedulers, too, becomes two: the one
//! that is asked, and the resource's own, which is one more of its clients with the default share.
//!
//! Each activity gets a *home*: a weighted fair queueing scheduler of schedulers with the activity's
//! share of every core ([`Plan::home`]). The thread resource of each of its processes
//! ([`thread_instance`]) asks the home, and so does its instance of each resource that the plan
//! does not name ([`kernel_instance`]): whatever is done for an activity is done inside its share,
//! however many processes it has. A resource that the plan does name is one for all activities, and
//! asks the multiplexors by itself. An activity that comes later gets its home by [`home`]. The home
//! of one with a CPU budget is a [`crate::capped`] one.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use vortex_sched_config::value::{
    LoadSharingPolicy, Metric as MetricName, Microseconds, Share, Ttl,
};
use vortex_sched_config::{
    ActivityIndex, Asks, Budget, LoadSharingPlan, Parameters, Plan, SchedulerIndex, SchedulerPlan,
};
use vortex_toolkit::ids::{ActivityId, CoreId, ResourceId};
use vortex_toolkit::record::Metric;
use vortex_toolkit::scheduler::{
    ClientParams, Lifetime, LoadSharing, Reservation, SchedulerParams, Weight,
};
use vortex_toolkit::{Ask, Builder, Parent, SchedulerId, SchedulerSpec, System};

use crate::policy::{Policy, UnknownPolicy};

/// What has become of a plan.
pub struct Instantiated<Y: System> {
    /// The grid, to be built.
    pub builder: Builder<Y>,
    /// For each core of the grid, the core of the machine that it is.
    pub cores: Vec<u32>,
    /// For each scheduler of the plan, what it has become.
    pub schedulers: Vec<Built>,
    /// For each activity of the plan, its home.
    pub homes: Vec<SchedulerId>,
}

/// What a scheduler of the plan has become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Built {
    /// The resource it governs, if it has one and is not of threads.
    pub resource: Option<ResourceId>,
    /// What others ask, if it is one of those that can be asked.
    pub scheduler: Option<SchedulerId>,
}

/// Why a plan cannot be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstantiateError {
    /// A scheduler or multiplexor has an algorithm that is not there.
    UnknownPolicy {
        /// Its name in the plan.
        scheduler: String,
        /// The algorithm.
        algorithm: String,
    },
    /// The plan has more cores than can be numbered: 65,536.
    TooManyCores,
}

impl fmt::Display for InstantiateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownPolicy {
                scheduler,
                algorithm,
            } => write!(f, "{scheduler}: `{algorithm}`: {UnknownPolicy}"),
            Self::TooManyCores => f.write_str("there are more than 65,536 cores"),
        }
    }
}

impl core::error::Error for InstantiateError {}

/// Makes a grid of a plan. `hertz` are the cycles of the platform's counter in a second.
///
/// # Errors
/// [`InstantiateError`]; none for a plan that was checked against the algorithms there are.
pub fn instantiate<Y: System<Policy = Policy>>(
    plan: &Plan,
    hertz: u64,
) -> Result<Instantiated<Y>, InstantiateError> {
    let mut work = Work::new(plan, hertz)?;
    for (index, scheduler) in plan.schedulers.iter().enumerate() {
        work.add(SchedulerIndex(index), scheduler)?;
    }
    for (index, (asks, activity)) in plan.homes.iter().zip(&plan.activities).enumerate() {
        let mut spec = home_that_asks(resolve(plan, asks, &work.done.schedulers, hertz));
        if let Some(budget) = activity.cpu {
            spec.policy = Policy::Capped;
            spec.params.limit = Some(reservation(budget, hertz));
        }
        let home = work.done.builder.scheduler(spec);
        work.done.homes.push(home);
        work.done
            .builder
            .home(activity_id(ActivityIndex(index)), home);
    }
    Ok(work.done)
}

/// The home of an activity that comes while the system runs, for
/// [`vortex_toolkit::Grid::add_scheduler`]; `built` is what [`instantiate`] has made of the plan's
/// schedulers.
#[must_use]
pub fn home(plan: &Plan, weight: Share, built: &[Built], hertz: u64) -> SchedulerSpec<Policy> {
    home_that_asks(resolve(plan, &plan.home(None, weight), built, hertz))
}

/// What the home of an activity asks with after its weight has changed: parameters for
/// [`vortex_toolkit::Control::SetAsk`], core by core. `activity` is `None` for one that the plan
/// does not have.
#[must_use]
pub fn home_params(
    plan: &Plan,
    activity: Option<ActivityIndex>,
    weight: Share,
    built: &[Built],
    hertz: u64,
) -> Vec<(CoreId, ClientParams)> {
    let planned = activity.map_or(weight, |activity| plan.activities[activity.0].weight);
    let mut asks = plan.home(activity, planned);
    for (_, parameters) in &mut asks {
        let (new, old) = (weight.thousandths(), planned.thousandths());
        parameters.share = parameters.share.scaled(new.into(), old.into());
    }
    let asks = resolve(plan, &asks, built, hertz);
    asks.iter().map(|ask| (ask.core, ask.params)).collect()
}

/// The thread resource of one process, for [`vortex_toolkit::Grid::add_resource`]. Its activity is
/// `None` if the plan does not have it; `home` is the activity's. How long a thread runs at a time
/// is [`timeslice`].
///
/// # Errors
/// [`InstantiateError::UnknownPolicy`].
pub fn thread_instance(
    plan: &Plan,
    activity: Option<ActivityIndex>,
    home: SchedulerId,
    hertz: u64,
) -> Result<SchedulerSpec<Policy>, InstantiateError> {
    let threads = plan.threads(activity);
    Ok(SchedulerSpec {
        policy: policy(&threads.name, &threads.algorithm)?,
        params: scheduler_params(threads, hertz),
        asks: at_home(threads.cores.iter().copied(), home),
    })
}

/// The resource of this dotted name that is one for all activities, if the plan has a scheduler for
/// it; else each activity has an instance of its own ([`kernel_instance`]).
#[must_use]
pub fn shared_resource(plan: &Plan, built: &[Built], name: &str) -> Option<ResourceId> {
    let mut all = plan.schedulers.iter().zip(built);
    all.find_map(|(scheduler, built)| {
        let named = scheduler.resource.as_deref() == Some(name);
        built.resource.filter(|_| named)
    })
}

/// The policy and the parameters of the scheduler that the plan has for a resource, if it is one for
/// all activities.
#[must_use]
pub fn governs(
    plan: &Plan,
    built: &[Built],
    resource: ResourceId,
    hertz: u64,
) -> Option<(Policy, SchedulerParams)> {
    let mut all = plan.schedulers.iter().zip(built);
    let (scheduler, _) = all.find(|(_, built)| built.resource == Some(resource))?;
    let policy = Policy::from_name(&scheduler.algorithm).ok()?;
    Some((policy, scheduler_params(scheduler, hertz)))
}

/// How long a thread of an activity runs at a time, in cycles.
#[must_use]
pub fn timeslice(plan: &Plan, activity: Option<ActivityIndex>, hertz: u64) -> u64 {
    cycles(plan.threads(activity).timeslice, hertz)
}

/// An activity's instance of a resource that the plan does not name: on all cores, first come,
/// first served, by affinity hash.
#[must_use]
pub fn kernel_instance(plan: &Plan, home: SchedulerId) -> SchedulerSpec<Policy> {
    SchedulerSpec {
        policy: Policy::Wfq,
        params: SchedulerParams::default(),
        asks: at_home(0..plan.cores.len(), home),
    }
}

fn at_home(cores: impl Iterator<Item = usize>, home: SchedulerId) -> Vec<Ask> {
    let ask = |core| Ask {
        core: core_id(core),
        parent: Parent::Scheduler(home),
        params: ClientParams::default(),
    };
    cores.map(ask).collect()
}

fn home_that_asks(asks: Vec<Ask>) -> SchedulerSpec<Policy> {
    SchedulerSpec {
        policy: Policy::Wfq,
        params: SchedulerParams::default(),
        asks,
    }
}

struct Work<'a, Y: System> {
    plan: &'a Plan,
    hertz: u64,
    done: Instantiated<Y>,
}

impl<'a, Y: System<Policy = Policy>> Work<'a, Y> {
    /// Cores and activities.
    fn new(plan: &'a Plan, hertz: u64) -> Result<Self, InstantiateError> {
        if plan.cores.len() > 1 << 16 {
            return Err(InstantiateError::TooManyCores);
        }
        let multiplexors = plan.cores.iter().map(|core| {
            let policy = policy(&core.tag, &core.algorithm)?;
            let params = SchedulerParams {
                burst: core.burst.map_or(0, |burst| cycles(burst, hertz)),
                ..SchedulerParams::default()
            };
            Ok((policy, params))
        });
        let mut builder = Builder::new(multiplexors.collect::<Result<Vec<_>, _>>()?);
        for (index, activity) in plan.activities.iter().enumerate() {
            let params = client_params(
                &Parameters {
                    share: activity.weight,
                    ..Parameters::default()
                },
                hertz,
            );
            if index == ActivityIndex::INFRASTRUCTURE.0 {
                builder.infrastructure(params);
            } else {
                builder.activity(&activity.name, params);
            }
        }
        let done = Instantiated {
            builder,
            cores: plan.cores.iter().map(|core| core.core.0).collect(),
            schedulers: Vec::with_capacity(plan.schedulers.len()),
            homes: Vec::with_capacity(plan.activities.len()),
        };
        Ok(Self { plan, hertz, done })
    }

    /// One scheduler; all that it asks have been added. One of threads is instantiated for each
    /// process.
    fn add(
        &mut self,
        index: SchedulerIndex,
        scheduler: &SchedulerPlan,
    ) -> Result<(), InstantiateError> {
        let mut built = Built {
            resource: None,
            scheduler: None,
        };
        let policy = policy(&scheduler.name, &scheduler.algorithm)?;
        if scheduler.is_of_threads() {
            self.done.schedulers.push(built);
            return Ok(());
        }
        let mut spec = SchedulerSpec {
            policy,
            params: scheduler_params(scheduler, self.hertz),
            asks: resolve(
                self.plan,
                &scheduler.asks,
                &self.done.schedulers,
                self.hertz,
            ),
        };
        if scheduler.resource.is_none() || self.is_asked(index) {
            let asks = spec.asks.clone();
            let params = spec.params;
            let id = self.done.builder.scheduler(spec);
            built.scheduler = Some(id);
            spec = SchedulerSpec {
                policy,
                params,
                asks: at_home(asks.iter().map(|ask| ask.core.index()), id),
            };
        }
        if scheduler.resource.is_some() {
            let resource = self.done.builder.resource(&scheduler.name, spec);
            built.resource = Some(resource);
            for (activity, parameters) in &scheduler.clients {
                let params = client_params(parameters, self.hertz);
                self.done
                    .builder
                    .client(resource, activity_id(*activity), params);
            }
        }
        self.done.schedulers.push(built);
        Ok(())
    }

    fn is_asked(&self, index: SchedulerIndex) -> bool {
        let schedulers = self.plan.schedulers.iter().map(|other| &other.asks);
        let mut asks = schedulers.chain(&self.plan.homes).flatten();
        asks.any(|(asks, _)| *asks == Asks::Scheduler(index))
    }
}

/// The toolkit's number of a plan's activity.
#[must_use]
pub fn activity_id(index: ActivityIndex) -> ActivityId {
    ActivityId(u32::try_from(index.0).unwrap_or(u32::MAX))
}

/// The toolkit's number of a plan's core.
fn core_id(index: usize) -> CoreId {
    CoreId(u16::try_from(index).unwrap_or(u16::MAX))
}

fn policy(scheduler: &str, algorithm: &str) -> Result<Policy, InstantiateError> {
    Policy::from_name(algorithm).map_err(|_| InstantiateError::UnknownPolicy {
        scheduler: scheduler.into(),
        algorithm: algorithm.into(),
    })
}

/// Where a scheduler asks, at most once per core: a multiplexor rather than another scheduler.
fn resolve(plan: &Plan, asks: &[(Asks, Parameters)], built: &[Built], hertz: u64) -> Vec<Ask> {
    let mut resolved: Vec<Ask> = Vec::new();
    let mut push = |ask: Ask| {
        if resolved.iter().all(|other| other.core != ask.core) {
            resolved.push(ask);
        }
    };
    for (target, parameters) in asks {
        if let Asks::Core(core) = target {
            push(Ask {
                core: core_id(*core),
                parent: Parent::Multiplexor,
                params: client_params(parameters, hertz),
            });
        }
    }
    for (target, parameters) in asks {
        let Asks::Scheduler(asked) = target else {
            continue;
        };
        let Some(id) = built.get(asked.0).and_then(|built| built.scheduler) else {
            continue;
        };
        for core in &plan.schedulers[asked.0].cores {
            push(Ask {
                core: core_id(*core),
                parent: Parent::Scheduler(id),
                params: client_params(parameters, hertz),
            });
        }
    }
    resolved
}

fn scheduler_params(scheduler: &SchedulerPlan, hertz: u64) -> SchedulerParams {
    let (load_sharing, ttl) = match scheduler.load_sharing {
        LoadSharingPlan::Fixed(core, ttl) => (LoadSharing::Fixed(core_id(core)), ttl),
        LoadSharingPlan::Policy(policy, ttl) => (load_sharing(policy), ttl),
    };
    SchedulerParams {
        metric: match scheduler.metric {
            MetricName::Cpu => Metric::Cpu,
            MetricName::Bytes => Metric::Bytes,
            MetricName::Requests => Metric::Requests,
            MetricName::Memory => Metric::Memory,
        },
        load_sharing,
        lifetime: match ttl {
            Ttl::Forever => Lifetime::Forever,
            Ttl::For(time) => Lifetime::Cycles(cycles(time, hertz)),
        },
        ..SchedulerParams::default()
    }
}

const fn load_sharing(policy: LoadSharingPolicy) -> LoadSharing {
    match policy {
        LoadSharingPolicy::AffinityHash => LoadSharing::AffinityHash,
        LoadSharingPolicy::LeastBound => LoadSharing::LeastBound,
        LoadSharingPolicy::LeastReceived => LoadSharing::LeastReceived,
        // A plan that names the core says so itself; without one, any core is as good.
        LoadSharingPolicy::Fixed => LoadSharing::Fixed(CoreId(0)),
    }
}

/// The toolkit's parameters of a client: a share's thousandths are its weight.
#[must_use]
pub fn client_params(parameters: &Parameters, hertz: u64) -> ClientParams {
    let reservation = parameters.budget.map(|budget| reservation(budget, hertz));
    ClientParams {
        weight: Weight::new(parameters.share.thousandths()).unwrap_or(Weight::DEFAULT),
        priority: parameters.priority.0,
        deadline_cycles: parameters
            .deadline
            .map_or(u64::MAX, |deadline| cycles(deadline, hertz)),
        reservation,
        ..ClientParams::default()
    }
}

fn reservation(budget: Budget, hertz: u64) -> Reservation {
    Reservation {
        budget: cycles(budget.time, hertz),
        period_cycles: cycles(budget.period, hertz),
    }
}

/// Microseconds in cycles, at least 1.
fn cycles(time: Microseconds, hertz: u64) -> u64 {
    let cycles = u128::from(time.get()) * u128::from(hertz) / 1_000_000;
    u64::try_from(cycles).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests;
