//! From a configuration without faults to its plan.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::home::DEFAULT_TIMESLICE;
use super::{
    ActivityIndex, ActivityPlan, Asker, Asks, Budget, CorePlan, HomeRule, Instance,
    LoadSharingPlan, Parameters, Plan, ProcessPlan, SchedulerIndex, SchedulerPlan,
};
use crate::config::{Configuration, CpuBudget, LoadSharing, Parent, Process};
use crate::finding::{Findings, Kind, Place};
use crate::graph::{Asked, Graph, Node, activity_names, activity_of};
use crate::known::Known;
use crate::scan::Limits;
use crate::value::{Core, LoadSharingPolicy, Microseconds};

/// How often the budget of an activity is renewed when the file does not say.
const DEFAULT_PERIOD: Microseconds = Microseconds::of(100_000);
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
            plan: Self {
                activities: activities(configuration, &names),
                cores: cores(configuration),
                schedulers: Vec::new(),
                homes: Vec::new(),
                rule: HomeRule::new(configuration.multiplexors.len()),
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
        builder.homes();
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
    plan: Plan,
}

impl<'a> Builder<'a> {
    /// An upper bound of the entries in the lists of schedulers and homes.
    fn entries(&self, graph: &Graph<'_>) -> u64 {
        let cores = self.plan.cores.len();
        let count = |node: &Node<'_>| {
            let entries = node.asks.len().max(cores) + node.scheduler.clients.len();
            // Each home asks what the threads' scheduler asks, and may look at all of them.
            let homes = if self.is_of_threads(node) {
                self.activities.len()
            } else {
                0
            };
            (entries as u64).saturating_mul(1 + homes as u64)
        };
        let homes = (self.activities.len() as u64).saturating_mul(cores as u64);
        graph
            .nodes
            .iter()
            .map(count)
            .fold(homes, u64::saturating_add)
    }

    fn is_of_threads(&self, node: &Node<'_>) -> bool {
        node.scheduler.activity.is_some() || self.is_pattern(node)
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
            self.add(plan);
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

    /// Adds a scheduler, and makes it a client of those that it asks. One of threads asks by way of
    /// the homes.
    fn add(&mut self, scheduler: SchedulerPlan) {
        let asker = Asker::Scheduler(SchedulerIndex(self.plan.schedulers.len()));
        if !scheduler.is_of_threads() {
            self.add_client(asker, &scheduler.asks);
        }
        self.plan.schedulers.push(scheduler);
    }

    /// Adds the home of each activity.
    fn homes(&mut self) {
        self.plan.rule = HomeRule::of(&self.plan);
        for index in 0..self.plan.activities.len() {
            let activity = ActivityIndex(index);
            let weight = self.plan.activities[index].weight;
            let asks = self.plan.home(Some(activity), weight);
            self.add_client(Asker::Home(activity), &asks);
            self.plan.homes.push(asks);
        }
    }

    fn add_client(&mut self, asker: Asker, asks: &[(Asks, Parameters)]) {
        for (asks, parameters) in asks {
            let clients = match asks {
                Asks::Core(core) => &mut self.plan.cores[*core].clients,
                Asks::Scheduler(asked) => &mut self.plan.schedulers[asked.0].schedulers,
            };
            clients.push((asker, *parameters));
        }
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
            rights: process.rights.clone(),
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
        burst: multiplexor.burst,
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
