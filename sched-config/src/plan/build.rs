//! From a configuration without faults to its plan.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::{
    ActivityIndex, ActivityPlan, Asks, Budget, CorePlan, Instance, LoadSharingPlan, Parameters,
    Plan, ProcessPlan, SchedulerIndex, SchedulerPlan,
};
use crate::config::{Configuration, CpuBudget, LoadSharing, Parent, Process};
use crate::finding::{Findings, Kind, Place};
use crate::graph::{Asked, Graph, Node, activity_names, activity_of};
use crate::known::Known;
use crate::scan::Limits;
use crate::value::{Core, LoadSharingPolicy, Microseconds};

/// How often the budget of an activity is renewed when the file does not say.
const DEFAULT_PERIOD: Microseconds = Microseconds::of(100_000);
/// How long a thread runs at a time when the file does not say.
const DEFAULT_TIMESLICE: Microseconds = Microseconds::of(5_000);

impl Plan {
    /// The plan of a configuration in which [`crate::check`] found no fault. `None`, and the fault,
    /// if it would be larger than the limits allow.
    pub(crate) fn build(
        configuration: &Configuration,
        known: &Known<'_>,
        limits: &Limits,
        findings: &mut Findings,
    ) -> Option<Self> {
        let graph = Graph::new(configuration);
        let names = activity_names(configuration);
        let indices = names
            .iter()
            .enumerate()
            .map(|(index, name)| (*name, ActivityIndex(index)));
        let mut builder = Builder {
            known,
            activities: indices.collect(),
            ranks: ranks(configuration),
            own_instances: own_instances(configuration),
            plan: Self {
                activities: activities(configuration, &names),
                cores: cores(configuration),
                schedulers: Vec::new(),
                networks: configuration.networks.clone(),
                processes: Vec::new(),
            },
        };
        let bound = graph.multiplexors(limits.plan_entries);
        let bound = bound.filter(|_| builder.entries(&graph) <= limits.plan_entries);
        let Some(bound) = bound else {
            findings.fault(
                Kind::Unreadable,
                Place::default(),
                "there are too many activities, schedulers and cores together",
                format!("at most {} combinations", limits.plan_entries),
            );
            return None;
        };
        builder.schedulers(&graph, &bound);
        builder.plan.processes = configuration
            .processes
            .iter()
            .map(|process| builder.process(process))
            .collect();
        Some(builder.plan)
    }
}

struct Builder<'a> {
    known: &'a Known<'a>,
    activities: BTreeMap<&'a str, ActivityIndex>,
    /// For each multiplexor of the file, its index in [`Plan::cores`].
    ranks: Vec<usize>,
    /// The activities that have schedulers of their own, for each resource.
    own_instances: BTreeMap<&'a str, BTreeSet<&'a str>>,
    plan: Plan,
}

impl<'a> Builder<'a> {
    /// An upper bound of the entries in the lists of schedulers, instances counted.
    fn entries(&self, graph: &Graph<'_>) -> u64 {
        let count = |node: &Node<'_>| {
            let instances = if self.is_pattern(node) {
                self.activities.len() + 1
            } else {
                1
            };
            let cores = node.asks.len().max(self.plan.cores.len());
            (instances as u64).saturating_mul((cores + node.scheduler.clients.len()) as u64)
        };
        graph.nodes.iter().map(count).fold(0, u64::saturating_add)
    }

    /// Whether a node stands for the instances of all activities without one of their own.
    fn is_pattern(&self, node: &Node<'_>) -> bool {
        let resource = node
            .scheduler
            .resource
            .as_deref()
            .and_then(|name| self.known.resource(name));
        node.scheduler.activity.is_none() && resource.is_some_and(|resource| resource.per_process)
    }

    fn schedulers(&mut self, graph: &Graph<'a>, bound: &[Vec<usize>]) {
        // Where each node of the graph went.
        let mut index_of = vec![SchedulerIndex(0); graph.nodes.len()];
        for &node_index in &graph.order {
            let node = &graph.nodes[node_index];
            let plan = self.scheduler(node, &index_of, &bound[node_index]);
            index_of[node_index] = SchedulerIndex(self.plan.schedulers.len());
            if plan.instance == Instance::Pattern {
                self.pattern(plan);
            } else {
                self.add(plan);
            }
        }
    }

    fn scheduler(
        &self,
        node: &Node<'a>,
        index_of: &[SchedulerIndex],
        bound: &[usize],
    ) -> SchedulerPlan {
        let scheduler = node.scheduler;
        let asks = node.asks.iter().filter_map(|asking| {
            let asks = match asking.target? {
                Asked::Multiplexor(index) => Asks::Core(self.ranks[index]),
                Asked::Scheduler(index) => Asks::Scheduler(index_of[index]),
            };
            Some((asks, parameters(asking.parent)))
        });
        let mut cores: Vec<_> = bound.iter().map(|index| self.ranks[*index]).collect();
        cores.sort_unstable();
        let activity = scheduler.activity.as_deref();
        let instance = match activity.and_then(|name| self.activities.get(name)) {
            Some(activity) => Instance::Of(*activity),
            None if self.is_pattern(node) => Instance::Pattern,
            None => Instance::Only,
        };
        let name = scheduler.tag.as_ref().or(scheduler.resource.as_ref());
        SchedulerPlan {
            name: name_of(name.cloned().unwrap_or_default(), activity),
            resource: scheduler.resource.clone(),
            instance,
            algorithm: scheduler.algorithm.clone(),
            metric: scheduler.metric.unwrap_or_default(),
            load_sharing: self.load_sharing(scheduler.loadsharing.unwrap_or_default()),
            timeslice: scheduler.timeslice.unwrap_or(DEFAULT_TIMESLICE),
            asks: asks.collect(),
            cores,
            clients: self.clients(node),
            schedulers: Vec::new(),
        }
    }

    /// What activities get here that differs from what their weights give them.
    fn clients(&self, node: &Node<'a>) -> Vec<(ActivityIndex, Parameters)> {
        let given = node.scheduler.clients.iter().filter_map(|client| {
            let index = *self.activities.get(client.activity.as_str())?;
            let weight = self.plan.activities[index.0].weight;
            Some((
                index,
                Parameters {
                    share: client.share.unwrap_or(weight),
                    priority: client.priority.unwrap_or_default(),
                    deadline: client.deadline,
                    budget: budget(client.budget, client.period),
                },
            ))
        });
        let mut clients: Vec<_> = given.collect();
        clients.sort_unstable_by_key(|(activity, _)| *activity);
        clients
    }

    fn load_sharing(&self, sharing: LoadSharing) -> LoadSharingPlan {
        let ttl = sharing.ttl.unwrap_or(sharing.policy.default_ttl());
        let core_index = |core: Core| self.plan.cores.iter().position(|plan| plan.core == core);
        match (sharing.policy, sharing.core.and_then(core_index)) {
            (LoadSharingPolicy::Fixed, Some(core)) => LoadSharingPlan::Fixed(core, ttl),
            (policy, _) => LoadSharingPlan::Policy(policy, ttl),
        }
    }

    /// Adds a pattern, and the instances that can be made from it now: one for each activity that
    /// may have processes and has no scheduler of its own. They divide its shares.
    fn pattern(&mut self, pattern: SchedulerPlan) {
        let resource = pattern.resource.clone().unwrap_or_default();
        let own = self
            .own_instances
            .get(resource.as_str())
            .cloned()
            .unwrap_or_default();
        let takes_part = |(index, activity): &(usize, &ActivityPlan)| {
            *index != ActivityIndex::INFRASTRUCTURE.0 && !own.contains(&activity.name.as_str())
        };
        let all = self.plan.activities.iter().enumerate();
        let members: Vec<_> = all
            .filter(takes_part)
            .map(|(index, activity)| (ActivityIndex(index), activity.name.clone(), activity.weight))
            .collect();
        let total: u64 = members
            .iter()
            .map(|(_, _, weight)| u64::from(weight.thousandths()))
            .sum();
        if members.is_empty() {
            return self.add(pattern);
        }
        for (activity, name, weight) in members {
            let mut instance = pattern.clone();
            instance.instance = Instance::Of(activity);
            instance.name = name_of(instance.name, Some(&name));
            for (_, parameters) in &mut instance.asks {
                let weight = u64::from(weight.thousandths());
                parameters.share = parameters.share.scaled(weight, total);
            }
            self.add(instance);
        }
        self.plan.schedulers.push(pattern);
    }

    /// Adds a scheduler, and makes it a client of those that it asks.
    fn add(&mut self, scheduler: SchedulerPlan) {
        let index = SchedulerIndex(self.plan.schedulers.len());
        for (asks, parameters) in &scheduler.asks {
            match asks {
                Asks::Core(core) => self.plan.cores[*core].clients.push((index, *parameters)),
                Asks::Scheduler(asked) => {
                    self.plan.schedulers[asked.0]
                        .schedulers
                        .push((index, *parameters));
                }
            }
        }
        self.plan.schedulers.push(scheduler);
    }

    fn process(&self, process: &Process) -> ProcessPlan {
        let activity = self.activities.get(activity_of(process));
        ProcessPlan {
            name: process.name.clone(),
            activity: activity.copied().unwrap_or(ActivityIndex::INFRASTRUCTURE),
            path: process.path.clone(),
            args: process.args.clone(),
            env: process.env.clone(),
            stdout: process.stdout.clone(),
        }
    }
}

fn activities(configuration: &Configuration, names: &[&str]) -> Vec<ActivityPlan> {
    let declared: BTreeMap<_, _> = configuration
        .activities
        .iter()
        .map(|activity| (activity.name.as_str(), activity))
        .collect();
    let plan = |name: &&str| {
        let activity = declared.get(name);
        let cpu = activity.and_then(|activity| activity.cpu);
        ActivityPlan {
            name: (*name).to_owned(),
            weight: activity
                .and_then(|activity| activity.weight)
                .unwrap_or_default(),
            memory: activity.and_then(|activity| activity.memory),
            cpu: cpu.map(|CpuBudget { budget, period }| Budget {
                time: budget,
                period: period.unwrap_or(DEFAULT_PERIOD),
            }),
        }
    };
    names.iter().map(plan).collect()
}

fn cores(configuration: &Configuration) -> Vec<CorePlan> {
    let plan = |multiplexor: &crate::config::Multiplexor| CorePlan {
        core: multiplexor.core,
        tag: multiplexor.tag.clone(),
        algorithm: multiplexor.algorithm.clone(),
        clients: Vec::new(),
    };
    let mut cores: Vec<_> = configuration.multiplexors.iter().map(plan).collect();
    cores.sort_by_key(|plan| plan.core);
    cores
}

/// For each multiplexor of the file, how many have a lower core.
fn ranks(configuration: &Configuration) -> Vec<usize> {
    let cores = configuration
        .multiplexors
        .iter()
        .map(|multiplexor| multiplexor.core);
    let mut order: Vec<_> = cores.enumerate().collect();
    order.sort_by_key(|(_, core)| *core);
    let mut ranks = vec![0; order.len()];
    for (rank, (index, _)) in order.into_iter().enumerate() {
        ranks[index] = rank;
    }
    ranks
}

fn own_instances(configuration: &Configuration) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut own = BTreeMap::<_, BTreeSet<_>>::new();
    for scheduler in &configuration.schedulers {
        if let (Some(resource), Some(activity)) = (&scheduler.resource, &scheduler.activity) {
            own.entry(resource.as_str())
                .or_default()
                .insert(activity.as_str());
        }
    }
    own
}

fn parameters(parent: &Parent) -> Parameters {
    Parameters {
        share: parent.share.unwrap_or_default(),
        priority: parent.priority.unwrap_or_default(),
        deadline: parent.deadline,
        budget: budget(parent.budget, parent.period),
    }
}

fn budget(time: Option<Microseconds>, period: Option<Microseconds>) -> Option<Budget> {
    let (time, period) = (time?, period?);
    Some(Budget { time, period })
}

fn name_of(base: String, activity: Option<&str>) -> String {
    match activity {
        Some(activity) => format!("{base} ({activity})"),
        None => base,
    }
}
