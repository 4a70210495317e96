//! Samples for tests, of one core and two activities.

use std::collections::BTreeMap;

use super::{ActivitySample, CoreSample, Entitled, Sample};

/// An activity that has used so many cycles, and nothing of any resource.
pub(super) fn activity(name: &str, cycles: u64) -> ActivitySample {
    ActivitySample {
        name: name.into(),
        cycles: vec![cycles],
        waiting: Vec::new(),
        resources: BTreeMap::new(),
    }
}

/// At so many thousandths of a second.
pub(super) fn sample(at: u64, activities: [ActivitySample; 2]) -> Sample {
    let core = CoreSample {
        elapsed: at,
        scheduling: 0,
        interrupt: 0,
        idle: 0,
        unaccounted: 0,
    };
    Sample {
        at,
        hertz: 1000,
        cores: vec![core],
        activities: activities.into(),
        counters: std::collections::BTreeMap::new(),
    }
}

/// What activities `a` and `b` are entitled to.
pub(super) fn entitled(shares: [f64; 2]) -> Vec<Entitled> {
    let one = |(name, share): (&str, f64)| Entitled {
        activity: name.into(),
        share,
    };
    ["a", "b"].into_iter().zip(shares).map(one).collect()
}
