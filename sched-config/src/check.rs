//! What a configuration says, held against what there is: the semantic faults and warnings.
//!
//! All of them are looked for, so that one run shows everything. Each is noted with the element it
//! is about.

mod names;
mod parameters;
mod schedulers;
mod world;

use alloc::collections::BTreeSet;
use alloc::format;

use crate::config::Configuration;
use crate::finding::{Findings, Kind, Place};
use crate::graph::{Graph, activity_names};
use crate::known::{Algorithm, Known, Takes};
use crate::scan::Limits;

/// Looks for everything that is wrong with a configuration.
pub(crate) fn check(
    configuration: &Configuration,
    known: &Known<'_>,
    limits: &Limits,
    findings: &mut Findings,
) {
    let activities = activity_names(configuration).into_iter().collect();
    let graph = Graph::new(configuration);
    let mut checker = Checker {
        configuration,
        known,
        limits,
        activities,
        findings,
    };
    checker.activities();
    checker.multiplexors(&graph);
    checker.schedulers(&graph);
    checker.networks();
    checker.processes();
    // Whoever has faults will have other cores and tags once they are put right.
    if checker.findings.is_sound() {
        checker.unused_cores();
        checker.unasked(&graph);
    }
}

struct Checker<'a, 'f> {
    configuration: &'a Configuration,
    known: &'a Known<'a>,
    limits: &'a Limits,
    /// The names of all activities.
    activities: BTreeSet<&'a str>,
    findings: &'f mut Findings,
}

impl<'a> Checker<'a, '_> {
    fn activities(&mut self) {
        let mut names = BTreeSet::new();
        for (index, activity) in self.configuration.activities.iter().enumerate() {
            let place = Place::default().item("activity", index);
            self.defines(&mut names, &activity.name, place.field("@name"), "activity");
        }
    }

    fn multiplexors(&mut self, graph: &Graph<'a>) {
        let mut tags = BTreeSet::new();
        let mut cores = BTreeSet::new();
        let root = Place::default();
        for (index, multiplexor) in self.configuration.multiplexors.iter().enumerate() {
            let place = root.item("cpumultiplexor", index);
            self.defines(&mut tags, &multiplexor.tag, place.field("@tag"), "tag");
            let algorithm = self.algorithm(&multiplexor.algorithm, place.field("algorithm"));
            if multiplexor.burst.is_some()
                && let Some(algorithm) = algorithm.filter(|known| known.takes != Takes::Share)
            {
                let message = format!("`<burst>` has no effect under `{}`", algorithm.name);
                let expected = "it where schedulers have shares";
                self.findings
                    .warning(Kind::NoEffect, place.field("burst"), message, expected);
            }
            let (core, at) = (multiplexor.core, place.field("core"));
            if self.findings.is_faulty(at) {
                continue;
            }
            if core.0 >= self.known.cores {
                self.findings.fault(
                    Kind::NoSuchCore,
                    at,
                    format!("core {core} is not there"),
                    self.cores_there(),
                );
            } else if !cores.insert(core.0) {
                let message = format!("core {core} has two CPU multiplexors");
                self.findings
                    .fault(Kind::Doubled, at, message, "one per core");
            }
        }
        for node in &graph.nodes {
            if let Some(tag) = &node.scheduler.tag {
                self.defines(&mut tags, tag, node.place.field("@tag"), "tag");
            }
        }
        if self.configuration.multiplexors.is_empty() {
            let message = "there is no `<cpumultiplexor>`, so no core would do anything";
            self.findings.fault(
                Kind::Missing,
                root,
                message,
                "one for each core that is used",
            );
        }
    }

    /// The algorithm of that name; notes it if there is none.
    fn algorithm(&mut self, name: &str, place: Place) -> Option<&'a Algorithm<'a>> {
        let known = self.known;
        let found = known
            .algorithms
            .iter()
            .find(|algorithm| algorithm.name == name);
        if found.is_none() {
            let names = known.algorithms.iter().map(|algorithm| algorithm.name);
            self.unknown(Kind::UnknownAlgorithm, place, name, "an algorithm", names);
        }
        found
    }

    fn unused_cores(&mut self) {
        let multiplexors = &self.configuration.multiplexors;
        let used: BTreeSet<u32> = multiplexors.iter().map(|one| one.core.0).collect();
        // As ranges, so that a large machine gives a short text.
        let mut text = alloc::string::String::new();
        let mut next = 0;
        for &core in used.iter().chain([&self.known.cores]) {
            let comma = if text.is_empty() { "" } else { ", " };
            match core.saturating_sub(next) {
                0 => {}
                1 => text.push_str(&format!("{comma}{next}")),
                _ => text.push_str(&format!("{comma}{next} to {}", core - 1)),
            }
            next = core.saturating_add(1);
        }
        if !text.is_empty() {
            let cores = if text.bytes().all(|byte| byte.is_ascii_digit()) {
                "core"
            } else {
                "cores"
            };
            let message = format!("{cores} {text} without a CPU multiplexor will do nothing");
            let expected = format!(
                "a `<cpumultiplexor>` for each of the {} cores",
                self.known.cores
            );
            self.findings
                .warning(Kind::UnusedCore, Place::default(), message, expected);
        }
    }

    fn cores_there(&self) -> alloc::string::String {
        match self.known.cores {
            0 => "none: the machine has no cores".into(),
            1 => "0, the only core of the machine".into(),
            cores => format!("a core of the machine, 0 to {}", cores - 1),
        }
    }
}
