//! Who asks whom: tags resolved, in an order where the asked come first.
//!
//! Shared by the checker, which looks for faults in it, and by the plan, which is made from it
//! when there are none.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use crate::config::{Configuration, INFRASTRUCTURE, Parent, Process, Scheduler};
use crate::finding::Place;
use crate::value::Metric;

/// What a tag names, as an index into [`Configuration::multiplexors`] or [`Graph::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Multiplexor(usize),
    Scheduler(usize),
}

/// A scheduler and those it asks.
pub(crate) struct Node<'a> {
    pub(crate) scheduler: &'a Scheduler,
    pub(crate) place: Place,
    /// Every reference, with what it names if it names something of the right sort.
    pub(crate) asks: Vec<Asking<'a>>,
}

/// One reference of a scheduler to another, or to a multiplexor.
pub(crate) struct Asking<'a> {
    pub(crate) parent: &'a Parent,
    pub(crate) place: Place,
    pub(crate) target: Option<Asked>,
}

impl Node<'_> {
    /// What it charges by.
    pub(crate) fn metric(&self) -> Metric {
        self.scheduler.metric.unwrap_or_default()
    }

    /// The schedulers that it asks.
    pub(crate) fn asked_schedulers(&self) -> impl Iterator<Item = usize> {
        self.asks.iter().filter_map(|asking| match asking.target {
            Some(Asked::Scheduler(index)) => Some(index),
            _ => None,
        })
    }
}

/// All schedulers of a configuration: first those without a resource, then the others.
pub(crate) struct Graph<'a> {
    pub(crate) nodes: Vec<Node<'a>>,
    /// What each tag names; of a doubled tag the first.
    pub(crate) tags: BTreeMap<&'a str, Asked>,
    /// Indices of nodes, each after all that it asks. Those in or behind a circle are missing.
    pub(crate) order: Vec<usize>,
}

impl<'a> Graph<'a> {
    pub(crate) fn new(configuration: &'a Configuration) -> Self {
        let schedulers = || places(configuration);
        let mut tags = BTreeMap::new();
        for (index, multiplexor) in configuration.multiplexors.iter().enumerate() {
            tags.entry(multiplexor.tag.as_str())
                .or_insert(Asked::Multiplexor(index));
        }
        for (index, (_, scheduler)) in schedulers().enumerate() {
            if let Some(tag) = &scheduler.tag {
                tags.entry(tag.as_str()).or_insert(Asked::Scheduler(index));
            }
        }
        let nodes: Vec<_> = schedulers()
            .map(|(place, scheduler)| Node {
                scheduler,
                place,
                asks: asks(scheduler, place, &tags),
            })
            .collect();
        let order = order(&nodes);
        Self { nodes, tags, order }
    }

    /// The multiplexors each node is bound to, also through those it asks: ascending indices.
    /// `None` if there would be more than `limit` of them in all.
    pub(crate) fn multiplexors(&self, limit: u64) -> Option<Vec<Vec<usize>>> {
        let mut bound: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        let mut entries = 0;
        for &index in &self.order {
            let mut here = Vec::new();
            for asking in &self.nodes[index].asks {
                match asking.target {
                    Some(Asked::Multiplexor(multiplexor)) => here.push(multiplexor),
                    Some(Asked::Scheduler(asked)) => here.extend(&bound[asked]),
                    None => {}
                }
                // Counted before doubles are taken out: that, too, is work and memory.
                if entries + here.len() as u64 > limit {
                    return None;
                }
            }
            entries += here.len() as u64;
            here.sort_unstable();
            here.dedup();
            bound[index] = here;
        }
        Some(bound)
    }
}

fn places(configuration: &Configuration) -> impl Iterator<Item = (Place, &Scheduler)> {
    let root = Place::default();
    let buses = configuration.buses.iter().enumerate();
    let schedulers = configuration.schedulers.iter().enumerate();
    buses
        .map(move |(index, bus)| (root.item("scheduler", index), bus))
        .chain(schedulers.map(move |(index, one)| (root.item("resourcescheduler", index), one)))
}

fn asks<'a>(
    scheduler: &'a Scheduler,
    place: Place,
    tags: &BTreeMap<&'a str, Asked>,
) -> Vec<Asking<'a>> {
    let target = |parent: &Parent| tags.get(parent.tag.as_str()).copied();
    let multiplexors = scheduler
        .multiplexors
        .iter()
        .enumerate()
        .map(|(index, parent)| Asking {
            parent,
            place: place.item("cpumultiplexor", index),
            target: target(parent).filter(|target| matches!(target, Asked::Multiplexor(_))),
        });
    let schedulers = scheduler
        .asks
        .iter()
        .enumerate()
        .map(|(index, parent)| Asking {
            parent,
            place: place.item("scheduler", index),
            target: target(parent).filter(|target| matches!(target, Asked::Scheduler(_))),
        });
    multiplexors.chain(schedulers).collect()
}

/// Kahn's topological order: a node follows once all that it asks have come.
fn order(nodes: &[Node<'_>]) -> Vec<usize> {
    let mut asked_by = vec![Vec::new(); nodes.len()];
    let mut missing = vec![0usize; nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        for asked in node.asked_schedulers() {
            asked_by[asked].push(index);
            missing[index] += 1;
        }
    }
    let mut order: Vec<usize> = (0..nodes.len())
        .filter(|&index| missing[index] == 0)
        .collect();
    let mut next = 0;
    while let Some(&done) = order.get(next) {
        next += 1;
        for &asking in &asked_by[done] {
            missing[asking] -= 1;
            if missing[asking] == 0 {
                order.push(asking);
            }
        }
    }
    order
}

/// The names of all activities: the infrastructure, those of the file, and those of processes
/// that name none. Each once, in the order of [`crate::Plan::activities`].
pub(crate) fn activity_names(configuration: &Configuration) -> Vec<&str> {
    let mut known = alloc::collections::BTreeSet::new();
    let declared = configuration
        .activities
        .iter()
        .map(|activity| activity.name.as_str());
    let implied = configuration
        .processes
        .iter()
        .filter(|process| process.activity.is_none());
    core::iter::once(INFRASTRUCTURE)
        .chain(declared)
        .chain(implied.map(activity_of))
        .filter(|name| known.insert(*name))
        .collect()
}

/// The name of the activity that a process belongs to.
pub(crate) fn activity_of(process: &Process) -> &str {
    process.activity.as_ref().unwrap_or(&process.name)
}
