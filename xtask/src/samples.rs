//! Samples of the statistics, as the guest's `sampler` prints them, and what they say.
//!
//! Key types: [`Sample`] (counters since boot), [`Report`] (what [`analyse`] makes of a run of them),
//! [`AtResource`] (the same for one resource), [`Received`] (shares of whatever is counted).

mod at_resource;
#[cfg(test)]
mod fixture;
mod received;

pub use at_resource::{AtResource, AtResourceProcess, Counted, at_resource};
pub use received::{Received, ReceivedProcess, received};

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// One sample: counters since boot.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Sample {
    /// When, in cycles.
    pub at: u64,
    /// Cycles in a second.
    pub hertz: u64,
    /// Each core's ledger.
    pub cores: Vec<CoreSample>,
    /// What each activity has used.
    pub activities: Vec<ActivitySample>,
    /// What is counted for the whole machine, by name; empty unless the sampler was asked for it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counters: BTreeMap<String, u64>,
}

/// One core's ledger, in cycles.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct CoreSample {
    /// Since the ledger was opened.
    pub elapsed: u64,
    /// In the toolkit and the schedulers.
    pub scheduling: u64,
    /// In low-level interrupt handlers.
    pub interrupt: u64,
    /// With nothing to do.
    pub idle: u64,
    /// In no account; negative if more was attributed than has elapsed.
    pub unaccounted: i64,
}

/// One activity's cycles on each core.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ActivitySample {
    /// The activity's name.
    pub name: String,
    /// Used of each core, since boot.
    pub cycles: Vec<u64>,
    /// How long its requests to the resource of `--waiting` have waited for execution, on all cores:
    /// bucket `b` counts those of 2^b cycles up to 2^(b+1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<u64>,
    /// What it has used of each resource since boot, by the resource's name; empty unless the
    /// sampler was asked for it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, Used>,
}

/// What an activity has used of a resource since boot, on all cores.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Used {
    /// Processor cycles.
    pub cycles: u64,
    /// Bytes moved.
    pub bytes: u64,
    /// Requests executed.
    pub requests: u64,
    /// Requests that wait for execution, when the sample is taken.
    #[serde(default)]
    pub queued: u64,
}

impl Sample {
    /// The sample in a line of the guest's output, if it is one; an error if that is damaged.
    #[must_use]
    pub fn parse(line: &str) -> Option<Result<Self>> {
        let text = line.trim().strip_prefix("sample ")?;
        Some(serde_json::from_str(text).with_context(|| format!("a damaged sample: {line}")))
    }

    /// What an activity has used of a core since boot, in cycles; 0 if there is no such activity.
    #[must_use]
    pub fn cycles(&self, activity: &str, core: usize) -> u64 {
        let of_activity = self.activities.iter().find(|other| other.name == activity);
        let cycles = of_activity.and_then(|activity| activity.cycles.get(core));
        cycles.copied().unwrap_or(0)
    }

    /// What an activity has used of all cores since boot, in cycles; 0 if there is no such activity.
    #[must_use]
    pub fn all_cycles(&self, activity: &str) -> u64 {
        let cores = 0..self.cores.len();
        cores.map(|core| self.cycles(activity, core)).sum()
    }

    /// What an activity has used of a resource since boot, if it is in the sample.
    #[must_use]
    pub fn at_resource(&self, activity: &str, resource: &str) -> Option<Used> {
        let of_activity = self.activities.iter().find(|other| other.name == activity);
        of_activity?.resources.get(resource).copied()
    }

    /// What was counted for the whole machine since boot; 0 if it is not in the sample.
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }

    /// Bytes that an activity has moved at a resource since boot; 0 if it is not in the sample.
    #[must_use]
    pub fn bytes(&self, activity: &str, resource: &str) -> u64 {
        let used = self.at_resource(activity, resource);
        used.map_or(0, |used| used.bytes)
    }
}

/// A process of the experiment: its activity and what it is entitled to, as a part of 1.
#[derive(Clone, Debug)]
pub struct Entitled {
    /// Its activity's name.
    pub activity: String,
    /// Its part of what all processes of the experiment receive.
    pub share: f64,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Seconds from the first sample to the last.
    pub seconds: f64,
    /// In the order of their entitlements.
    pub processes: Vec<ProcessReport>,
    /// In their order.
    pub cores: Vec<CoreReport>,
    /// The largest deviation of a process from its entitlement over the whole run, in percentage
    /// points.
    pub deviation: f64,
    /// The same for single samples.
    pub sample_deviation: f64,
    /// Cycles in no account, as a part of those elapsed.
    pub unaccounted: f64,
}

/// What one process received. Shares are parts of what all processes of the experiment received.
#[derive(Clone, Debug, Serialize)]
pub struct ProcessReport {
    /// Its activity's name.
    pub activity: String,
    /// The part of 1 that it should receive.
    pub entitled: f64,
    /// The part of 1 that it received.
    pub received: f64,
    /// The largest distance of a sample from `entitled`.
    pub worst_sample: f64,
    /// For each sample, for each core, the part of the core's time.
    pub utilisation: Vec<Vec<f64>>,
}

/// Where one core's time went, as parts of it.
#[derive(Clone, Debug, Serialize)]
pub struct CoreReport {
    /// The processes of the experiment.
    pub processes: f64,
    /// All other activities.
    pub others: f64,
    /// The toolkit and the schedulers.
    pub scheduling: f64,
    /// Low-level interrupt handlers.
    pub interrupt: f64,
    /// Nothing.
    pub idle: f64,
    /// In no account; negative if more was attributed than has elapsed.
    pub unaccounted_cycles: i64,
}

/// What `samples` say about the processes in `entitled`.
///
/// # Errors
/// When there are fewer than two samples, or the processes have used nothing.
pub fn analyse(samples: &[Sample], entitled: &[Entitled]) -> Result<Report> {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        anyhow::bail!("the guest has sent no samples");
    };
    ensure!(samples.len() > 1, "the guest has sent only one sample");
    let whole = shares(first, last, entitled);
    ensure!(
        whole.iter().any(|share| *share > 0.0),
        "the processes have used no processor time"
    );
    let parts: Vec<Vec<f64>> = samples
        .windows(2)
        .map(|pair| shares(&pair[0], &pair[1], entitled))
        .collect();
    let processes: Vec<ProcessReport> = entitled
        .iter()
        .enumerate()
        .map(|(number, process)| ProcessReport {
            activity: process.activity.clone(),
            entitled: process.share,
            received: whole[number],
            worst_sample: parts
                .iter()
                .map(|part| (part[number] - process.share).abs())
                .fold(0.0, f64::max),
            utilisation: samples
                .windows(2)
                .map(|pair| utilisation(&pair[0], &pair[1], &process.activity))
                .collect(),
        })
        .collect();
    let cores: Vec<CoreReport> = (0..first.cores.len())
        .map(|core| core_report(first, last, core, entitled))
        .collect();
    let elapsed: f64 = (0..first.cores.len())
        .map(|core| float(last.cores[core].elapsed - first.cores[core].elapsed))
        .sum();
    let missing: f64 = cores
        .iter()
        .map(|core| float(core.unaccounted_cycles.unsigned_abs()))
        .sum();
    let largest = |of: fn(&ProcessReport) -> f64| processes.iter().map(of).fold(0.0, f64::max);
    Ok(Report {
        seconds: float(last.at - first.at) / float(first.hertz.max(1)),
        deviation: largest(|process| (process.received - process.entitled).abs()) * 100.0,
        sample_deviation: largest(|process| process.worst_sample) * 100.0,
        unaccounted: missing / elapsed.max(1.0),
        processes,
        cores,
    })
}

#[expect(clippy::cast_precision_loss, reason = "shares need no 53 bits")]
fn float(cycles: u64) -> f64 {
    cycles as f64
}

/// Each process's part of what all of them received between two samples.
fn shares(from: &Sample, to: &Sample, entitled: &[Entitled]) -> Vec<f64> {
    let received: Vec<u64> = entitled
        .iter()
        .map(|process| {
            let on_core = |core| used(from, to, &process.activity, core);
            (0..from.cores.len()).map(on_core).sum()
        })
        .collect();
    let all = float(received.iter().sum::<u64>().max(1));
    received.iter().map(|own| float(*own) / all).collect()
}

fn used(from: &Sample, to: &Sample, activity: &str, core: usize) -> u64 {
    to.cycles(activity, core)
        .saturating_sub(from.cycles(activity, core))
}

/// The part of each core's time that an activity used.
fn utilisation(from: &Sample, to: &Sample, activity: &str) -> Vec<f64> {
    let part = |core: usize| {
        let elapsed = to.cores[core].elapsed - from.cores[core].elapsed;
        float(used(from, to, activity, core)) / float(elapsed.max(1))
    };
    (0..from.cores.len()).map(part).collect()
}

fn core_report(first: &Sample, last: &Sample, core: usize, entitled: &[Entitled]) -> CoreReport {
    let (from, to) = (&first.cores[core], &last.cores[core]);
    let elapsed = float((to.elapsed - from.elapsed).max(1));
    let part = |of: fn(&CoreSample) -> u64| float(of(to).saturating_sub(of(from))) / elapsed;
    let processes: f64 = entitled
        .iter()
        .map(|process| float(used(first, last, &process.activity, core)) / elapsed)
        .sum();
    let unaccounted_cycles = to.unaccounted - from.unaccounted;
    let (scheduling, interrupt, idle) = (
        part(|core| core.scheduling),
        part(|core| core.interrupt),
        part(|core| core.idle),
    );
    CoreReport {
        processes,
        others: (1.0 - processes - scheduling - interrupt - idle).max(0.0),
        scheduling,
        interrupt,
        idle,
        unaccounted_cycles,
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::{self, activity};
    use super::*;

    fn sample(at: u64, [a, b]: [u64; 2], unaccounted: i64) -> Sample {
        let mut sample = fixture::sample(at, [activity("a", a), activity("b", b)]);
        sample.cores[0].scheduling = at / 100;
        sample.cores[0].unaccounted = unaccounted;
        sample
    }

    fn entitled() -> Vec<Entitled> {
        fixture::entitled([0.5; 2])
    }

    #[test]
    fn deviations_are_of_the_whole_run_and_of_single_samples() {
        let samples = [
            sample(0, [0, 0], 0),
            sample(1000, [600, 400], 3),
            sample(2000, [1000, 1000], 5),
        ];
        let report = analyse(&samples, &entitled()).expect("samples are fine");
        assert!((report.seconds - 2.0).abs() < 1e-9);
        assert!(report.deviation < 1e-9, "{report:?}");
        assert!((report.sample_deviation - 10.0).abs() < 1e-9, "{report:?}");
        assert_eq!(report.cores[0].unaccounted_cycles, 5);
        assert!((report.unaccounted - 5.0 / 2000.0).abs() < 1e-12);
        assert!((report.processes[0].utilisation[0][0] - 0.6).abs() < 1e-9);
    }

    #[test]
    fn too_little_is_an_error() {
        assert!(analyse(&[], &entitled()).is_err());
        assert!(analyse(&[sample(5, [1, 1], 0)], &entitled()).is_err());
        let nothing = [sample(0, [0, 0], 0), sample(9, [0, 0], 0)];
        assert!(analyse(&nothing, &entitled()).is_err());
    }

    #[test]
    fn lines_are_samples_or_something_else() {
        assert!(Sample::parse("vortex: 2 cores up").is_none());
        assert!(Sample::parse("sample {").is_some_and(|sample| sample.is_err()));
        let line = serde_json::to_string(&sample(7, [1, 2], 0)).expect("serializes");
        let read = Sample::parse(&format!("sample {line}"));
        assert!(read.is_some_and(|sample| sample.is_ok_and(|sample| sample.at == 7)));
    }
}
