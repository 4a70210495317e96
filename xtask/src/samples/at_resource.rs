//! What processes received at one resource, by CPU time or by bytes.
//!
//! Key type: [`AtResource`].

use anyhow::{Context, Result};
use serde::Serialize;

use super::{Entitled, ReceivedProcess, Sample, float, received};

/// What is counted at a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Counted {
    /// Processor cycles.
    Cycles,
    /// Bytes moved.
    Bytes,
}

/// What the processes of an experiment received at a resource. Shares are parts of what all of them
/// received there together.
#[derive(Clone, Debug, Serialize)]
pub struct AtResource {
    /// The resource's name.
    pub resource: String,
    /// What was counted.
    pub counted: Counted,
    /// In the order of the entitlements.
    pub processes: Vec<AtResourceProcess>,
    /// The largest deviation of a process from its entitlement over the run, in percentage points.
    pub deviation: f64,
    /// What the resource took of all cores' time, for whomever: over the run, and for each sample.
    pub utilisation: f64,
    /// The same, for each sample.
    pub utilisation_of_samples: Vec<f64>,
    /// Bytes moved in a second, for whomever.
    pub bytes_per_second: f64,
}

/// What one process received at a resource.
#[derive(Clone, Debug, Serialize)]
pub struct AtResourceProcess {
    /// Its share.
    #[serde(flatten)]
    pub share: ReceivedProcess,
    /// Requests of its that waited when a sample was taken, on average.
    pub queued: f64,
}

/// What `samples` say about the processes in `entitled` at a resource.
///
/// # Errors
/// When there are fewer than two samples, or the processes have used nothing of it.
pub fn at_resource(
    samples: &[Sample],
    entitled: &[Entitled],
    resource: &str,
    counted: Counted,
) -> Result<AtResource> {
    let count = |sample: &Sample, activity: &str| count(sample, activity, resource, counted);
    let received = received(samples, entitled, count).with_context(|| resource.to_owned())?;
    let [first, .., last] = samples else {
        anyhow::bail!("the guest has sent {} samples", samples.len());
    };
    let of_process = |share: ReceivedProcess| AtResourceProcess {
        queued: queued(samples, &share.activity, resource),
        share,
    };
    let bytes = total(first, last, resource, Counted::Bytes);
    Ok(AtResource {
        resource: resource.into(),
        counted,
        deviation: received.deviation,
        utilisation: utilisation(first, last, resource),
        utilisation_of_samples: (samples.windows(2))
            .map(|pair| utilisation(&pair[0], &pair[1], resource))
            .collect(),
        bytes_per_second: float(bytes) / received.seconds.max(f64::MIN_POSITIVE),
        processes: received.processes.into_iter().map(of_process).collect(),
    })
}

/// What an activity has used of a resource since boot.
fn count(sample: &Sample, activity: &str, resource: &str, counted: Counted) -> u64 {
    let used = sample.at_resource(activity, resource);
    match counted {
        Counted::Cycles => used.map_or(0, |used| used.cycles),
        Counted::Bytes => used.map_or(0, |used| used.bytes),
    }
}

/// What all activities used of a resource.
fn total(from: &Sample, to: &Sample, resource: &str, counted: Counted) -> u64 {
    to.activities
        .iter()
        .map(|activity| {
            let of = |sample| count(sample, &activity.name, resource, counted);
            of(to).saturating_sub(of(from))
        })
        .sum()
}

/// How many requests of an activity waited when a sample was taken, on average.
fn queued(samples: &[Sample], activity: &str, resource: &str) -> f64 {
    let at = |sample: &Sample| sample.at_resource(activity, resource);
    let all: u64 = samples.iter().filter_map(at).map(|used| used.queued).sum();
    float(all) / samples.len() as f64
}

fn utilisation(from: &Sample, to: &Sample, resource: &str) -> f64 {
    let cores = from.cores.iter().zip(&to.cores);
    let elapsed: u64 = cores.map(|(from, to)| to.elapsed - from.elapsed).sum();
    float(total(from, to, resource, Counted::Cycles)) / float(elapsed.max(1))
}

#[cfg(test)]
mod tests {
    use super::super::{Used, fixture};
    use super::*;

    fn sample(at: u64, [a, b]: [u64; 2], cycles: u64) -> Sample {
        let activity = |name, bytes| {
            let mut activity = fixture::activity(name, 0);
            let used = Used {
                cycles,
                bytes,
                requests: 0,
                queued: bytes / 200,
            };
            activity.resources.insert("resource.drwr".into(), used);
            activity
        };
        fixture::sample(at, [activity("a", a), activity("b", b)])
    }

    fn entitled() -> Vec<Entitled> {
        fixture::entitled([0.5; 2])
    }

    #[test]
    fn bytes_are_shares_of_what_the_processes_moved() {
        let samples = [
            sample(0, [0, 0], 0),
            sample(1000, [600, 200], 50),
            sample(2000, [600, 200], 50),
            sample(4000, [1200, 800], 100),
        ];
        let at = at_resource(&samples, &entitled(), "resource.drwr", Counted::Bytes).unwrap();
        assert!((at.processes[0].share.received - 0.6).abs() < 1e-9);
        assert!((at.deviation - 10.0).abs() < 1e-9);
        assert_eq!(
            at.processes[0].share.of_samples[1], None,
            "nobody moved anything"
        );
        assert!((at.processes[1].share.of_samples[0].unwrap() - 0.25).abs() < 1e-9);
        assert!((at.bytes_per_second - 500.0).abs() < 1e-9);
        assert!((at.utilisation - 200.0 / 4000.0).abs() < 1e-9);
        assert!((at.processes[1].queued - 6.0 / 4.0).abs() < 1e-9);
        assert!((at.utilisation_of_samples[0] - 0.1).abs() < 1e-9);
    }

    #[test]
    fn too_little_is_an_error() {
        let samples = [sample(0, [0, 0], 0), sample(9, [0, 0], 0)];
        let at = |samples, resource| at_resource(samples, &entitled(), resource, Counted::Bytes);
        assert!(at(&samples, "resource.drwr").is_err());
        assert!(at(&samples[..1], "resource.drwr").is_err());
        let samples = [sample(0, [0, 0], 0), sample(9, [5, 0], 0)];
        assert!(at(&samples, "resource.drwr").is_ok());
        assert!(at(&samples, "resource.other").is_err());
    }
}
