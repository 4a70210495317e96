//! What the processes of an experiment received of something that is counted, whichever system they
//! ran on.
//!
//! Key type: [`Received`].

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::{Entitled, Sample, float};

/// What the processes received. Shares are parts of what all of them received together.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Received {
    /// In the order of the entitlements.
    pub processes: Vec<ReceivedProcess>,
    /// The largest deviation of a process from its entitlement over the run, in percentage points.
    pub deviation: f64,
    /// What all of them received in a second, in the unit that was counted.
    pub per_second: f64,
    /// Seconds from the first sample to the last.
    pub seconds: f64,
}

/// What one process received.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ReceivedProcess {
    /// Its activity's name.
    pub activity: String,
    /// The part of 1 that it should receive.
    pub entitled: f64,
    /// The part of 1 that it received.
    pub received: f64,
    /// The same, for each sample; `None` where nobody received anything.
    pub of_samples: Vec<Option<f64>>,
}

impl ReceivedProcess {
    /// How far it is from its entitlement over the run, in percentage points; negative for too little.
    #[must_use]
    pub fn off(&self) -> f64 {
        (self.received - self.entitled) * 100.0
    }

    /// The largest distance of a sample from its entitlement, in percentage points.
    #[must_use]
    pub fn worst_sample(&self) -> f64 {
        let samples = self.of_samples.iter().flatten();
        let off = samples.map(|part| (part - self.entitled).abs());
        off.fold(0.0, f64::max) * 100.0
    }
}

/// What `samples` say about the processes in `entitled`; `count` finds what an activity has received
/// since boot in a sample.
///
/// # Errors
/// When there are fewer than two samples, or the processes have received nothing.
pub fn received(
    samples: &[Sample],
    entitled: &[Entitled],
    count: impl Fn(&Sample, &str) -> u64,
) -> Result<Received> {
    let [first, .., last] = samples else {
        anyhow::bail!("the guest has sent {} samples", samples.len());
    };
    let between = |from: &Sample, to: &Sample| -> Vec<u64> {
        let of_process = |process: &Entitled| {
            let name = &process.activity;
            count(to, name).saturating_sub(count(from, name))
        };
        entitled.iter().map(of_process).collect()
    };
    let counts = between(first, last);
    let whole = shares(&counts);
    ensure!(whole.is_some(), "the processes have received nothing");
    let whole = whole.unwrap_or_default();
    let parts: Vec<_> = (samples.windows(2))
        .map(|pair| shares(&between(&pair[0], &pair[1])))
        .collect();
    let of_process = |(number, process): (usize, &Entitled)| ReceivedProcess {
        activity: process.activity.clone(),
        entitled: process.share,
        received: whole[number],
        of_samples: parts
            .iter()
            .map(|part| part.as_ref().map(|part| part[number]))
            .collect(),
    };
    let processes: Vec<_> = entitled.iter().enumerate().map(of_process).collect();
    let off = processes.iter().map(|process| process.off().abs());
    let seconds = float(last.at - first.at) / float(first.hertz.max(1));
    Ok(Received {
        deviation: off.fold(0.0, f64::max),
        per_second: float(counts.iter().sum()) / seconds.max(f64::MIN_POSITIVE),
        seconds,
        processes,
    })
}

/// Each process's part of what all of them received, if that is anything.
fn shares(counts: &[u64]) -> Option<Vec<f64>> {
    let all: u64 = counts.iter().sum();
    (all > 0).then(|| {
        let part = |own: &u64| float(*own) / float(all);
        counts.iter().map(part).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, activity};
    use super::*;

    fn sample(at: u64, [a, b]: [u64; 2]) -> Sample {
        fixture::sample(at, [activity("a", a), activity("b", b)])
    }

    fn entitled() -> Vec<Entitled> {
        fixture::entitled([0.75, 0.25])
    }

    #[test]
    fn shares_are_of_the_run_and_of_its_samples() {
        let samples = [
            sample(0, [0, 0]),
            sample(1000, [800, 200]),
            sample(2000, [800, 200]),
            sample(4000, [1400, 600]),
        ];
        let all = received(&samples, &entitled(), |sample, name| sample.cycles(name, 0)).unwrap();
        assert!((all.processes[0].received - 0.7).abs() < 1e-9);
        assert!((all.processes[0].off() + 5.0).abs() < 1e-9);
        assert!((all.processes[0].worst_sample() - 15.0).abs() < 1e-9);
        assert_eq!(all.processes[1].of_samples[1], None);
        assert!((all.deviation - 5.0).abs() < 1e-9);
        assert!((all.per_second - 500.0).abs() < 1e-9);
    }

    #[test]
    fn too_little_is_an_error() {
        let count = |sample: &Sample, name: &str| sample.cycles(name, 0);
        assert!(received(&[sample(0, [1, 1])], &entitled(), count).is_err());
        let nothing = [sample(0, [1, 1]), sample(9, [1, 1])];
        assert!(received(&nothing, &entitled(), count).is_err());
    }
}
