//! What the victim's clients saw, in one round and in all of them.
//!
//! Key types: [`Round`] (each answer's time), [`Served`] (percentiles of all of them together).

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// What the victim's clients saw in one round.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Round {
    failed: u64,
    seconds: f64,
    /// Microseconds, for each request that was answered.
    times: Vec<f64>,
}

/// What `webclient` says that is needed of it: percentiles are those of several rounds.
#[derive(Deserialize)]
struct Said {
    failed: u64,
    seconds: f64,
}

impl Round {
    /// From what `webclient` has said, and its file of `--times`.
    pub(super) fn read(said: &str, times: &Path) -> Result<Self> {
        let Said { failed, seconds } = serde_json::from_str(said)
            .with_context(|| format!("the clients say something else: {said}"))?;
        let lines = std::fs::read_to_string(times)
            .with_context(|| format!("cannot read {}", times.display()))?;
        let times: Result<Vec<f64>, _> = lines.lines().map(str::parse).collect();
        Ok(Self {
            failed,
            seconds,
            times: times.context("the clients' times are no numbers")?,
        })
    }
}

/// What the victim's clients saw in all rounds.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Served {
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) seconds: f64,
    /// Microseconds within which so many thousandths of the requests were answered.
    pub(super) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(super) p999_us: f64,
    pub(super) max_us: f64,
    /// The 99th percentile of each round, which says how steady the host was.
    #[serde(default)]
    pub(super) rounds_p99_us: Vec<f64>,
}

impl Served {
    /// All rounds together: each request counts the same, whichever it was in.
    pub(super) fn of(rounds: &[Round]) -> Self {
        let all = sorted(rounds.iter().flat_map(|round| &round.times));
        let p99 = |round: &Round| percentile(&sorted(&round.times), 990);
        Self {
            requests: all.len() as u64,
            failed: rounds.iter().map(|round| round.failed).sum(),
            seconds: rounds.iter().map(|round| round.seconds).sum(),
            p50_us: percentile(&all, 500),
            p99_us: percentile(&all, 990),
            p999_us: percentile(&all, 999),
            max_us: percentile(&all, 1000),
            rounds_p99_us: rounds.iter().map(p99).collect(),
        }
    }

    /// Requests that were answered, in a second.
    pub(super) fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }
}

fn sorted<'a>(times: impl IntoIterator<Item = &'a f64>) -> Vec<f64> {
    let mut all: Vec<f64> = times.into_iter().copied().collect();
    all.sort_unstable_by(f64::total_cmp);
    all
}

/// The value below which so many thousandths of the sorted ones are; zero without any.
fn percentile(sorted: &[f64], per_mille: usize) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let index = (sorted.len() * per_mille / 1000).min(last);
    sorted.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(failed: u64, times: impl IntoIterator<Item = u32>) -> Round {
        Round {
            failed,
            seconds: 4.0,
            times: times.into_iter().map(f64::from).collect(),
        }
    }

    #[test]
    fn percentiles_are_of_all_rounds_together() {
        let slow = round(1, (901..=1000).rev());
        let served = Served::of(&[slow, round(2, 1..=900)]);
        assert_eq!((served.requests, served.failed), (1000, 3));
        let all = [served.p50_us, served.p99_us, served.p999_us, served.max_us];
        assert_eq!(all, [501.0, 991.0, 1000.0, 1000.0]);
        assert_eq!(served.rounds_p99_us, [1000.0, 892.0]);
        assert_eq!((served.seconds, served.rate()), (8.0, 125.0));
    }

    #[test]
    fn a_round_without_answers_counts_its_failures() {
        let served = Served::of(&[round(7, []), round(0, [3])]);
        assert_eq!((served.requests, served.failed), (1, 7));
        assert_eq!((served.p99_us, served.max_us), (3.0, 3.0));
        assert_eq!(Served::of(&[]).p99_us, 0.0);
    }

    #[test]
    fn a_round_is_what_the_clients_have_said_and_written() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "1.5\n20\n").unwrap();
        let said = r#"{"requests": 2, "failed": 1, "seconds": 2.5, "p99_us": 20.0}"#;
        let round = Round::read(said, file.path()).unwrap();
        let expected = Round {
            failed: 1,
            seconds: 2.5,
            times: vec![1.5, 20.0],
        };
        assert_eq!(round, expected);
        assert!(Round::read("webclient: no", file.path()).is_err());
        std::fs::write(file.path(), "1.5\nsoon\n").unwrap();
        assert!(Round::read(said, file.path()).is_err());
    }
}
