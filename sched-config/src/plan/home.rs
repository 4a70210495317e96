//! What the homes of activities get, and what governs their threads.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::{
    ActivityIndex, Asks, Instance, LoadSharingPlan, Parameters, Plan, SchedulerIndex, SchedulerPlan,
};
use crate::value::{LoadSharingPolicy, Metric, Microseconds, Share};

/// How long a thread runs at a time when the file does not say.
pub(super) const DEFAULT_TIMESLICE: Microseconds = Microseconds::of(5_000);

/// What a plan says of homes, worked out once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HomeRule {
    /// The activities whose threads have a scheduler of their own.
    own: BTreeMap<ActivityIndex, SchedulerIndex>,
    /// The scheduler of all other threads.
    pattern: Option<SchedulerIndex>,
    /// The scheduler of threads for which the file says nothing.
    default: SchedulerPlan,
    /// The weights that divide the pattern's shares; that of one activity if none does.
    weights: u64,
    /// For each core, the least share that a resource is given at its multiplexor.
    least: Vec<Share>,
}

impl HomeRule {
    /// For a plan without schedulers.
    pub(super) fn new(cores: usize) -> Self {
        Self {
            own: BTreeMap::new(),
            pattern: None,
            default: default_threads(cores),
            weights: u64::from(Share::DEFAULT.thousandths()),
            least: vec![Share::DEFAULT; cores],
        }
    }

    /// For a plan whose activities, cores and schedulers are there.
    pub(super) fn of(plan: &Plan) -> Self {
        let mut rule = Self::new(plan.cores.len());
        let mut least: Vec<Option<Share>> = vec![None; plan.cores.len()];
        for (index, scheduler) in plan.schedulers.iter().enumerate() {
            let index = SchedulerIndex(index);
            match scheduler.instance {
                Instance::Of(activity) => drop(rule.own.insert(activity, index)),
                Instance::Pattern => rule.pattern = Some(index),
                Instance::Only => {
                    for (asks, parameters) in &scheduler.asks {
                        if let Asks::Core(core) = asks {
                            let share = parameters.share;
                            least[*core] = Some(least[*core].map_or(share, |min| min.min(share)));
                        }
                    }
                }
            }
        }
        rule.least = least.into_iter().map(Option::unwrap_or_default).collect();
        // The infrastructure has no processes.
        let all = plan.activities.iter().enumerate().skip(1);
        let members = all.filter(|(index, _)| !rule.own.contains_key(&ActivityIndex(*index)));
        let sum: u64 = members
            .map(|(_, activity)| u64::from(activity.weight.thousandths()))
            .sum();
        if sum > 0 {
            rule.weights = sum;
        }
        rule
    }
}

impl Plan {
    /// The scheduler of an activity's threads; of one that the plan does not have, with `None`.
    #[must_use]
    pub fn threads(&self, activity: Option<ActivityIndex>) -> &SchedulerPlan {
        let own = activity.and_then(|activity| self.rule.own.get(&activity).copied());
        own.or(self.rule.pattern)
            .map_or(&self.rule.default, |index| &self.schedulers[index.0])
    }

    /// Whom the home of an activity of this weight asks, and what it gets there: `activity` is
    /// `None` for one that the plan does not have.
    ///
    /// Where the activity's threads are given something, that is it: with a pattern, its share
    /// times the weight, divided by all weights that divide it; so two homes get what their weights
    /// say, the infrastructure's and those of activities that come later, too. On a core where
    /// threads are given nothing, the homes together get as much as the resource that gets least
    /// there, divided in the same way.
    #[must_use]
    pub fn home(&self, activity: Option<ActivityIndex>, weight: Share) -> Vec<(Asks, Parameters)> {
        let threads = self.threads(activity);
        let weight = u64::from(weight.thousandths());
        let part = |share: Share| share.scaled(weight, self.rule.weights);
        let mut asks = threads.asks.clone();
        if threads.instance == Instance::Pattern {
            for (_, parameters) in &mut asks {
                parameters.share = part(parameters.share);
            }
        }
        let is_served = |core| !threads.asks.is_empty() && threads.cores.contains(&core);
        for (core, least) in self.rule.least.iter().enumerate() {
            if !is_served(core) {
                let parameters = Parameters {
                    share: part(*least),
                    ..Parameters::default()
                };
                asks.push((Asks::Core(core), parameters));
            }
        }
        asks
    }
}

/// Round robin on all of so many cores.
fn default_threads(cores: usize) -> SchedulerPlan {
    let policy = LoadSharingPolicy::LeastBound;
    SchedulerPlan {
        name: String::from("resource.thread"),
        resource: Some(String::from("resource.thread")),
        instance: Instance::Pattern,
        algorithm: String::from("propshare.round-robin"),
        metric: Metric::Cpu,
        load_sharing: LoadSharingPlan::Policy(policy, policy.default_ttl()),
        timeslice: DEFAULT_TIMESLICE,
        asks: Vec::new(),
        cores: (0..cores).collect(),
        clients: Vec::new(),
        schedulers: Vec::new(),
    }
}
