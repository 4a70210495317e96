//! Schedulers: their resources, whom they ask, what their clients get.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::Checker;
use crate::finding::{Kind, Place, one_of, quote};
use crate::graph::{Asked, Asking, Graph, Node};
use crate::known::{Algorithm, Takes};
use crate::value::{LoadSharingPolicy, Metric};

impl<'a> Checker<'a, '_> {
    pub(super) fn schedulers(&mut self, graph: &Graph<'a>) {
        let mut instances = BTreeSet::new();
        let mut algorithms = Vec::new();
        for node in &graph.nodes {
            let place = node.place.field("algorithm");
            algorithms.push(self.algorithm(&node.scheduler.algorithm, place));
            self.resource(node, &mut instances);
        }
        let multiplexors: Vec<_> = self
            .configuration
            .multiplexors
            .iter()
            .map(|multiplexor| {
                let known = self.known;
                known
                    .algorithms
                    .iter()
                    .find(|algorithm| algorithm.name == multiplexor.algorithm)
            })
            .collect();
        let of = |asked| match asked {
            Asked::Multiplexor(index) => multiplexors[index],
            Asked::Scheduler(index) => algorithms[index],
        };
        for (index, node) in graph.nodes.iter().enumerate() {
            self.asks(node, graph, of);
            self.clients(node, algorithms[index]);
        }
        self.circles(graph);
        self.deadlines(graph, of);
        match graph.multiplexors(self.limits.plan_entries) {
            Some(bound) => self.load_sharing(graph, &bound),
            None => self.findings.fault(
                Kind::Unreadable,
                Place::default(),
                "there are too many schedulers on too many cores",
                format!(
                    "at most {} pairs of one and the other",
                    self.limits.plan_entries
                ),
            ),
        }
    }

    fn resource(&mut self, node: &Node<'a>, instances: &mut BTreeSet<(&'a str, &'a str)>) {
        let scheduler = node.scheduler;
        let Some(name) = scheduler.resource.as_deref() else {
            return;
        };
        let place = node.place.field("resource");
        let known = self.known.resource(name).copied();
        if known.is_none() {
            let names: Vec<_> = self
                .known
                .resources
                .iter()
                .map(|known| known.name)
                .collect();
            self.unknown(
                Kind::UnknownResource,
                place,
                name,
                "a resource",
                names.into_iter(),
            );
        }
        let activity = scheduler.activity.as_deref();
        if let Some(activity) = activity {
            let place = node.place.field("activity");
            self.refers_to_activity(activity, place);
            if known.is_some_and(|resource| !resource.per_process) {
                let message = format!("{} is one for all activities", quote(name));
                let expected = "no `<activity>` here; `<client>` says what an activity gets";
                self.findings
                    .fault(Kind::Conflict, place, message, expected);
            }
        }
        if scheduler.timeslice.is_some() && known.is_some_and(|resource| !resource.per_process) {
            let place = node.place.field("timeslice");
            let message = format!(
                "{} has no timeslice: its requests run to completion",
                quote(name)
            );
            self.findings.fault(
                Kind::Conflict,
                place,
                message,
                "it at `resource.thread` only",
            );
        }
        if !instances.insert((name, activity.unwrap_or(""))) && known.is_some() {
            let message = match activity {
                None => format!("{} has two schedulers", quote(name)),
                Some(of) => format!("{} of {} has two schedulers", quote(name), quote(of)),
            };
            self.findings.fault(Kind::Doubled, place, message, "one");
        }
    }

    /// Checks whom a scheduler asks, and what it gets there.
    fn asks(
        &mut self,
        node: &Node<'a>,
        graph: &Graph<'a>,
        of: impl Fn(Asked) -> Option<&'a Algorithm<'a>>,
    ) {
        if node.asks.is_empty() {
            let message = format!("{} is bound to no core", describe(node));
            let expected = "a `<cpumultiplexor>` or `<scheduler>` in it, to ask for CPU time";
            self.findings
                .fault(Kind::Unbound, node.place, message, expected);
        }
        let mut asked = BTreeSet::new();
        for asking in &node.asks {
            let tag = asking.parent.tag.as_str();
            let place = asking.place.field("tag");
            if self.findings.is_faulty(place) {
                continue;
            }
            let Some(target) = asking.target else {
                self.unknown_tag(asking, graph);
                continue;
            };
            if !asked.insert(tag) {
                let message = format!("{} is asked twice", quote(tag));
                self.findings
                    .fault(Kind::Doubled, place, message, "once, with one share");
            }
            if let Some(algorithm) = of(target) {
                let metric = match target {
                    Asked::Multiplexor(_) => Metric::Cpu,
                    Asked::Scheduler(index) => graph.nodes[index].metric(),
                };
                self.given_to_scheduler(asking.parent.into(), asking.place, algorithm, metric);
            }
        }
    }

    fn unknown_tag(&mut self, asking: &Asking<'a>, graph: &Graph<'a>) {
        let tag = asking.parent.tag.as_str();
        let place = asking.place.field("tag");
        let (message, expected) = match graph.tags.get(tag) {
            Some(Asked::Scheduler(_)) => (
                format!(
                    "{} is the tag of a scheduler, not of a CPU multiplexor",
                    quote(tag)
                ),
                "`<scheduler>` around it".to_string(),
            ),
            Some(Asked::Multiplexor(_)) => (
                format!(
                    "{} is the tag of a CPU multiplexor, not of a scheduler",
                    quote(tag)
                ),
                "`<cpumultiplexor>` around it".to_string(),
            ),
            None => {
                let multiplexor = asking.place.to_string().contains("/cpumultiplexor[");
                let sort = |asked: &Asked| matches!(asked, Asked::Multiplexor(_)) == multiplexor;
                let known = graph.tags.iter().filter(|(_, asked)| sort(asked));
                let what = if multiplexor {
                    "CPU multiplexor"
                } else {
                    "scheduler"
                };
                (
                    format!("{} is not the tag of a {what}", quote(tag)),
                    one_of(known.map(|(tag, _)| *tag), &format!("a {what} of that tag")),
                )
            }
        };
        self.findings
            .fault(Kind::UnknownTag, place, message, expected);
    }

    fn clients(&mut self, node: &Node<'a>, algorithm: Option<&Algorithm<'_>>) {
        let mut named = BTreeSet::new();
        for (index, client) in node.scheduler.clients.iter().enumerate() {
            let place = node.place.item("client", index);
            let name = place.field("activity");
            if !self.findings.is_faulty(name)
                && self.refers_to_activity(&client.activity, name)
                && !named.insert(client.activity.as_str())
            {
                let message = format!("{} is a client twice", quote(&client.activity));
                self.findings
                    .fault(Kind::Doubled, name, message, "each activity once");
            }
            if let Some(algorithm) = algorithm {
                self.given(client.into(), place, algorithm, node.metric());
            }
        }
    }

    /// Notes each circle of schedulers that ask each other, once.
    fn circles(&mut self, graph: &Graph<'a>) {
        let mut ordered = vec![false; graph.nodes.len()];
        for &index in &graph.order {
            ordered[index] = true;
        }
        let mut done = ordered.clone();
        // Whoever is not done asks somebody else who is not: following that leads into a circle.
        for start in 0..graph.nodes.len() {
            let mut path = Vec::new();
            let mut at = start;
            while !done[at] {
                done[at] = true;
                path.push(at);
                match graph.nodes[at]
                    .asked_schedulers()
                    .find(|asked| !ordered[*asked])
                {
                    Some(next) => at = next,
                    None => break,
                }
            }
            // Unless it led to a circle that was noted before.
            if let Some(begin) = path.iter().position(|&index| index == at) {
                self.circle(graph, &path[begin..]);
            }
        }
    }

    fn circle(&mut self, graph: &Graph<'a>, circle: &[usize]) {
        let tag = |index: usize| quote(graph.nodes[index].scheduler.tag.as_deref().unwrap_or(""));
        let mut message = circle.first().map(|first| tag(*first)).unwrap_or_default();
        for next in circle.iter().skip(1).chain(circle.first()).take(8) {
            message.push_str(&format!(" asks {}, which", tag(*next)));
        }
        message.truncate(message.len() - ", which".len());
        message.push_str(": a circle, with no core at its end");
        let Some(first) = circle.first().map(|first| &graph.nodes[*first]) else {
            return;
        };
        let place = first.asks.iter().find(|asking| {
            matches!(asking.target, Some(Asked::Scheduler(next)) if circle.contains(&next))
        });
        let place = place.map_or(first.place, |asking| asking.place.field("tag"));
        self.findings.fault(
            Kind::Cycle,
            place,
            message,
            "schedulers that end at CPU multiplexors",
        );
    }

    /// Warns about deadlines that those who are asked do not keep (section 3.1.2 of the paper).
    fn deadlines(&mut self, graph: &Graph<'a>, of: impl Fn(Asked) -> Option<&'a Algorithm<'a>>) {
        // For each node, the algorithm between it and the core, or its own, that keeps none.
        let mut loose: Vec<Option<&str>> = vec![None; graph.nodes.len()];
        for &index in &graph.order {
            let node = &graph.nodes[index];
            let Some(own) = of(Asked::Scheduler(index)) else {
                continue;
            };
            let below = node.asks.iter().find_map(|asking| {
                let culprit = match asking.target? {
                    target @ Asked::Multiplexor(_) => loose_name(of(target)?),
                    Asked::Scheduler(asked) => loose[asked],
                };
                Some((asking, culprit?))
            });
            loose[index] = below.map(|(_, culprit)| culprit).or(loose_name(own));
            let (Takes::Deadline, Some((asking, culprit))) = (own.takes, below) else {
                continue;
            };
            let message = format!(
                "deadlines may be missed: `{}` asks {} for CPU time, and `{culprit}` promises \
                 nothing about when it is given (section 3.1.2 of the paper)",
                own.name,
                quote(&asking.parent.tag),
            );
            let expected = "`realtime.edf` or `priority.strict` all the way to the core";
            self.findings.warning(
                Kind::NoGuarantee,
                asking.place.field("tag"),
                message,
                expected,
            );
        }
    }

    /// Warns about multiplexors that nobody asks. If the file says nothing of threads, they do.
    pub(super) fn unasked(&mut self, graph: &Graph<'a>) {
        let of_threads = |node: &Node<'_>| {
            let resource = node.scheduler.resource.as_deref();
            let known = resource.and_then(|name| self.known.resource(name));
            known.is_some_and(|resource| resource.per_process)
        };
        if !graph.nodes.iter().any(of_threads) {
            return;
        }
        let mut asked = vec![false; self.configuration.multiplexors.len()];
        for asking in graph.nodes.iter().flat_map(|node| &node.asks) {
            if let Some(Asked::Multiplexor(index)) = asking.target {
                asked[index] = true;
            }
        }
        for (index, multiplexor) in self.configuration.multiplexors.iter().enumerate() {
            if !asked[index] {
                let place = Place::default().item("cpumultiplexor", index);
                let tag = quote(&multiplexor.tag);
                let message = format!(
                    "no scheduler asks {tag}: core {} serves no thread, and only resources \
                     without a scheduler",
                    multiplexor.core
                );
                let expected = "a scheduler with a share there";
                self.findings
                    .warning(Kind::IdleCore, place, message, expected);
            }
        }
    }

    fn load_sharing(&mut self, graph: &Graph<'a>, bound: &[Vec<usize>]) {
        for (node, bound) in graph.nodes.iter().zip(bound) {
            let Some(sharing) = node.scheduler.loadsharing else {
                continue;
            };
            let place = node.place.field("loadsharing");
            let (core, policy) = (place.field("core"), sharing.policy);
            match (policy, sharing.core) {
                _ if self.findings.is_faulty(place.field("policy")) => {}
                (LoadSharingPolicy::Fixed, None) if !self.findings.is_faulty(core) => {
                    let message = "the policy `fixed` names no core";
                    self.findings
                        .fault(Kind::Missing, core, message, "`<core>…</core>` beside it");
                }
                (LoadSharingPolicy::Fixed, Some(fixed)) => {
                    let cores: BTreeSet<_> = bound
                        .iter()
                        .filter_map(|index| self.configuration.multiplexors.get(*index))
                        .map(|multiplexor| multiplexor.core)
                        .collect();
                    if !cores.is_empty() && !cores.contains(&fixed) {
                        let message = format!("core {fixed} is not among those it asks for");
                        let cores: Vec<String> = cores.iter().map(ToString::to_string).collect();
                        let expected = one_of(cores.iter().map(String::as_str), "");
                        self.findings
                            .fault(Kind::NoSuchCore, core, message, expected);
                    }
                }
                (_, Some(_)) => {
                    let message = format!("the policy `{policy}` takes no core");
                    self.findings
                        .fault(Kind::Conflict, core, message, "it with `fixed` only");
                }
                (_, None) => {}
            }
        }
    }
}

/// The name of an algorithm that keeps no deadlines.
fn loose_name<'a>(algorithm: &Algorithm<'a>) -> Option<&'a str> {
    (!algorithm.keeps_deadlines).then_some(algorithm.name)
}

/// What to call a scheduler in a message.
fn describe(node: &Node<'_>) -> String {
    let scheduler = node.scheduler;
    match (&scheduler.resource, &scheduler.tag) {
        (Some(name), _) => format!("the scheduler of {}", quote(name)),
        (None, tag) => format!("the scheduler {}", quote(tag.as_deref().unwrap_or(""))),
    }
}
