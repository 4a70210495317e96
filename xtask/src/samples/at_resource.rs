//! What processes received at one resource, by CPU time or by bytes.
//!
//! Key type: [`AtResource`].

use anyhow::{Result, ensure};
use serde::Serialize;

use super::{Entitled, Sample, float};

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
    /// Its activity's name.
    pub activity: String,
    /// The part of 1 that it should receive.
    pub entitled: f64,
    /// The part of 1 that it received.
    pub received: f64,
    /// The same, for each sample; `None` where nobody received anything.
    pub of_samples: Vec<Option<f64>>,
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
    let [first, .., last] = samples else {
        anyhow::bail!("the guest has sent {} samples", samples.len());
    };
    let whole = shares(first, last, entitled, resource, counted);
    ensure!(whole.is_some(), "the processes have used no {resource}");
    let whole = whole.unwrap_or_default();
    let pairs: Vec<_> = samples
        .windows(2)
        .map(|pair| (&pair[0], &pair[1]))
        .collect();
    let parts: Vec<_> = (pairs.iter())
        .map(|(from, to)| shares(from, to, entitled, resource, counted))
        .collect();
    let of_process = |(number, process): (usize, &Entitled)| AtResourceProcess {
        activity: process.activity.clone(),
        entitled: process.share,
        received: whole[number],
        of_samples: parts
            .iter()
            .map(|part| part.as_ref().map(|part| part[number]))
            .collect(),
        queued: queued(samples, &process.activity, resource),
    };
    let processes: Vec<_> = entitled.iter().enumerate().map(of_process).collect();
    let off = |process: &AtResourceProcess| (process.received - process.entitled).abs();
    let seconds = float(last.at - first.at) / float(first.hertz.max(1));
    let bytes = total(first, last, resource, Counted::Bytes);
    Ok(AtResource {
        resource: resource.into(),
        counted,
        deviation: processes.iter().map(off).fold(0.0, f64::max) * 100.0,
        utilisation: utilisation(first, last, resource),
        utilisation_of_samples: (pairs.iter())
            .map(|(from, to)| utilisation(from, to, resource))
            .collect(),
        bytes_per_second: float(bytes) / seconds.max(f64::MIN_POSITIVE),
        processes,
    })
}

/// Each process's part of what all of them received, if that is anything.
fn shares(
    from: &Sample,
    to: &Sample,
    entitled: &[Entitled],
    resource: &str,
    counted: Counted,
) -> Option<Vec<f64>> {
    let received: Vec<u64> = entitled
        .iter()
        .map(|process| used(from, to, &process.activity, resource, counted))
        .collect();
    super::received::shares(&received)
}

fn used(from: &Sample, to: &Sample, activity: &str, resource: &str, counted: Counted) -> u64 {
    let count = |sample: &Sample| {
        let used = sample.at_resource(activity, resource);
        match counted {
            Counted::Cycles => used.map_or(0, |used| used.cycles),
            Counted::Bytes => used.map_or(0, |used| used.bytes),
        }
    };
    count(to).saturating_sub(count(from))
}

/// What all activities used of a resource.
fn total(from: &Sample, to: &Sample, resource: &str, counted: Counted) -> u64 {
    to.activities
        .iter()
        .map(|activity| used(from, to, &activity.name, resource, counted))
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
    use super::super::{ActivitySample, CoreSample, Used};
    use super::*;

    fn sample(at: u64, bytes: [u64; 2], cycles: u64) -> Sample {
        let core = CoreSample {
            elapsed: at,
            scheduling: 0,
            interrupt: 0,
            idle: 0,
            unaccounted: 0,
        };
        let activity = |(name, bytes): (&str, u64)| ActivitySample {
            name: name.into(),
            cycles: vec![0],
            waiting: Vec::new(),
            resources: [(
                "resource.drwr".into(),
                Used {
                    cycles,
                    bytes,
                    requests: 0,
                    queued: bytes / 200,
                },
            )]
            .into(),
        };
        Sample {
            at,
            hertz: 1000,
            cores: vec![core],
            activities: ["a", "b"].into_iter().zip(bytes).map(activity).collect(),
        }
    }

    fn entitled() -> Vec<Entitled> {
        ["a", "b"]
            .map(|name| Entitled {
                activity: name.into(),
                share: 0.5,
            })
            .into()
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
        assert!((at.processes[0].received - 0.6).abs() < 1e-9);
        assert!((at.deviation - 10.0).abs() < 1e-9);
        assert_eq!(at.processes[0].of_samples[1], None, "nobody moved anything");
        assert!((at.processes[1].of_samples[0].unwrap() - 0.25).abs() < 1e-9);
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
