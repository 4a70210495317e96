//! What a client is given, held against what the algorithm takes that it is given to.

use alloc::format;

use super::Checker;
use crate::config::{Client, Parent};
use crate::finding::{Kind, Place};
use crate::known::{Algorithm, Takes};
use crate::value::{Metric, Microseconds, Priority, Share};

/// What a client of either sort is given.
#[derive(Clone, Copy)]
pub(super) struct Given {
    share: Option<Share>,
    priority: Option<Priority>,
    deadline: Option<Microseconds>,
    budget: Option<Microseconds>,
    period: Option<Microseconds>,
}

impl From<&Parent> for Given {
    fn from(parent: &Parent) -> Self {
        let Parent {
            tag: _,
            share,
            priority,
            deadline,
            budget,
            period,
        } = *parent;
        Self {
            share,
            priority,
            deadline,
            budget,
            period,
        }
    }
}

impl From<&Client> for Given {
    fn from(client: &Client) -> Self {
        let Client {
            activity: _,
            share,
            priority,
            deadline,
            budget,
            period,
        } = *client;
        Self {
            share,
            priority,
            deadline,
            budget,
            period,
        }
    }
}

impl Checker<'_, '_> {
    /// Checks what a scheduler is given by the one it asks. What its algorithm takes must be there:
    /// there is nothing that it could sensibly be otherwise.
    pub(super) fn given_to_scheduler(
        &mut self,
        given: Given,
        place: Place,
        algorithm: &Algorithm<'_>,
        metric: Metric,
    ) {
        let (needed, there) = match algorithm.takes {
            Takes::Share => ("share", given.share.is_some()),
            Takes::Priority => ("priority", given.priority.is_some()),
            Takes::Deadline => ("deadline", given.deadline.is_some()),
            Takes::Nothing => ("", true),
        };
        if !there && !self.findings.is_faulty(place.field(needed)) {
            let message = format!("there is no `<{needed}>`, which `{}` needs", algorithm.name);
            let expected = format!("`<{needed}>…</{needed}>` here");
            self.findings
                .fault(Kind::Missing, place.field(needed), message, expected);
        }
        self.given(given, place, algorithm, metric);
    }

    /// Checks what a client is given by a scheduler of that algorithm and metric.
    pub(super) fn given(
        &mut self,
        given: Given,
        place: Place,
        algorithm: &Algorithm<'_>,
        metric: Metric,
    ) {
        let takes = algorithm.takes;
        let values = [
            ("share", given.share.is_some(), Takes::Share),
            ("priority", given.priority.is_some(), Takes::Priority),
            ("deadline", given.deadline.is_some(), Takes::Deadline),
            ("budget", given.budget.is_some(), Takes::Deadline),
            ("period", given.period.is_some(), Takes::Deadline),
        ];
        for (name, _, _) in values
            .iter()
            .filter(|(_, there, taken)| *there && *taken != takes)
        {
            let message = format!("`<{name}>` has no effect under `{}`", algorithm.name);
            let expected = match takes {
                Takes::Share => "a `<share>`",
                Takes::Priority => "a `<priority>`",
                Takes::Deadline => "a `<deadline>`, and perhaps a `<budget>` and a `<period>`",
                Takes::Nothing => "nothing: all clients are alike to it",
            };
            self.findings
                .warning(Kind::NoEffect, place.field(name), message, expected);
        }
        self.reservation(given, place, metric);
    }

    /// Checks a budget and its period: both or neither, and CPU time.
    fn reservation(&mut self, given: Given, place: Place, metric: Metric) {
        if given.budget.is_some() && metric != Metric::Cpu {
            let message = format!("a `<budget>` is CPU time, but `{metric}` is charged here");
            let expected = "the metric `cpu`, or no budget";
            self.findings
                .fault(Kind::Conflict, place.field("budget"), message, expected);
            return;
        }
        match (given.budget, given.period) {
            (Some(_), None) if !self.findings.is_faulty(place.field("period")) => {
                let message = "there is a `<budget>` without a `<period>`";
                let expected = "both: so much time, how often";
                self.findings
                    .fault(Kind::Conflict, place.field("budget"), message, expected);
            }
            (None, Some(_)) if !self.findings.is_faulty(place.field("budget")) => {
                let message = "there is a `<period>` without a `<budget>`";
                let expected = "both: so much time, how often";
                self.findings
                    .fault(Kind::Conflict, place.field("period"), message, expected);
            }
            (Some(budget), Some(period)) if budget > period => {
                let message = format!("the budget of {budget} µs is longer than its period");
                let expected = format!("at most the period, {period} µs");
                self.findings
                    .fault(Kind::Conflict, place.field("budget"), message, expected);
            }
            _ => {}
        }
    }
}
