//! What each activity has received in the last minutes, for the curves.
//!
//! Key type: [`History`]. Only so many activities have a curve as there are colours to tell them
//! apart; who has one keeps it until it is forgotten.

use std::collections::VecDeque;

use super::model::Rates;

/// Curves at once.
pub(super) const CURVES: usize = 7;
/// Seconds that are kept.
pub(super) const KEPT: f64 = 120.0;

/// An interval: when it ended, in seconds since the machine's start, and each activity's part of all
/// cores.
struct Point {
    at: f64,
    parts: Vec<(String, f64)>,
}

/// The last intervals.
#[derive(Default)]
pub(super) struct History {
    points: VecDeque<Point>,
    /// The activity that has the curve.
    names: [Option<String>; CURVES],
}

impl History {
    /// Adds an interval; what came before another start of the machine is forgotten.
    pub(super) fn push(&mut self, rates: &Rates) {
        if self.points.back().is_some_and(|last| last.at >= rates.up) {
            self.points.clear();
        }
        let mut activities: Vec<_> = rates.activities.iter().collect();
        activities.sort_by(|a, b| b.usage.cpu.total_cmp(&a.usage.cpu));
        let parts = (activities.iter())
            .filter(|activity| activity.usage.cpu > 0.0)
            .map(|activity| (activity.usage.name.clone(), activity.usage.cpu))
            .take(CURVES);
        self.points.push_back(Point {
            at: rates.up,
            parts: parts.collect(),
        });
        let oldest = rates.up - KEPT;
        self.points.retain(|point| point.at >= oldest);
        self.give_curves();
    }

    fn give_curves(&mut self) {
        let points = &self.points;
        let is_seen = |name: &String| {
            let mut parts = points.iter().flat_map(|point| &point.parts);
            parts.any(|(other, _)| other == name)
        };
        for name in &mut self.names {
            *name = name.take().filter(is_seen);
        }
        for (name, _) in points.back().iter().flat_map(|point| &point.parts) {
            if self.curve(name).is_none()
                && let Some(free) = self.names.iter_mut().find(|name| name.is_none())
            {
                *free = Some(name.clone());
            }
        }
    }

    /// The number of the activity's curve.
    pub(super) fn curve(&self, name: &str) -> Option<usize> {
        let mut names = self.names.iter();
        names.position(|other| other.as_deref() == Some(name))
    }

    /// The curves with their numbers: seconds, up to 0 for now, and per cent of all cores.
    pub(super) fn curves(&self) -> Vec<(usize, Vec<(f64, f64)>)> {
        let now = self.points.back().map_or(0.0, |last| last.at);
        let named = (0..).zip(&self.names);
        let named = named.filter_map(|(number, name)| Some((number, name.as_ref()?)));
        named
            .map(|(number, name)| {
                let values = self.points.iter().map(|point| {
                    let mut parts = point.parts.iter();
                    let part = parts.find(|(other, _)| other == name);
                    (point.at - now, part.map_or(0.0, |(_, part)| 100.0 * part))
                });
                (number, values.collect())
            })
            .collect()
    }
}
