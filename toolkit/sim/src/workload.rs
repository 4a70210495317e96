//! Workloads: who sends what, where to, and when.
//!
//! A [`Flow`] is a stream of jobs of one activity. A job visits the resources of its route one
//! after the other, takes time at each, and moves bytes there; in between it is a request. Jobs
//! come in a pattern of [`Arrivals`].

use vortex_toolkit::ids::{ActivityId, ResourceId};

/// A number that is given or drawn for each job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Always the same.
    Fixed(u64),
    /// Between the two, both included, each equally likely.
    Uniform(u64, u64),
    /// Exponentially distributed, with this mean.
    Exponential(u64),
}

impl Amount {
    pub(crate) fn draw(self, rng: &mut fastrand::Rng) -> u64 {
        match self {
            Self::Fixed(amount) => amount,
            Self::Uniform(least, most) => rng.u64(least..=most.max(least)),
            Self::Exponential(mean) => exponential(mean, rng),
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a random number of cycles needs no more than 52 bits; the cast saturates"
)]
fn exponential(mean: u64, rng: &mut fastrand::Rng) -> u64 {
    // 1 - f64() is never 0.
    (-(1.0 - rng.f64()).ln() * mean as f64) as u64
}

/// One resource on a job's route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The resource.
    pub resource: ResourceId,
    /// Cycles that the job takes there.
    pub cycles: Amount,
    /// Bytes that it moves there.
    pub bytes: Amount,
}

/// When jobs come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// So many are always there: when one has ended, the next one comes. Each of them has labels
    /// of its own, as a thread has.
    Closed {
        /// How many.
        outstanding: u32,
    },
    /// Independently of each other, with this mean time between two.
    Poisson {
        /// Cycles.
        mean_cycles: u64,
    },
    /// At equal distances.
    Periodic {
        /// Cycles.
        every_cycles: u64,
    },
    /// Several at once, at equal distances.
    Bursts {
        /// How many at once.
        size: u32,
        /// Cycles.
        every_cycles: u64,
    },
    /// At equal distances for some time, then not at all for some time, and so on.
    OnOff {
        /// Cycles between two while on.
        every_cycles: u64,
        /// Cycles on.
        on_cycles: u64,
        /// Cycles off.
        off_cycles: u64,
    },
    /// So many at once, and no more.
    Once {
        /// How many.
        count: u32,
    },
}

/// A stream of jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// What tables call it.
    pub name: String,
    /// Who pays.
    pub activity: ActivityId,
    /// Who is found at the first resource to be the one that pays, if not [`Self::activity`].
    pub found: Option<ActivityId>,
    /// Where a job goes; not empty.
    pub route: Vec<Stage>,
    /// When jobs come.
    pub arrivals: Arrivals,
    /// Jobs that do not come from a closed loop share so many labels, in turn; at least 1.
    pub labels: u32,
    /// Cycles before the first job.
    pub starts_at: u64,
}

impl Flow {
    /// A flow from the beginning on, with one label.
    #[must_use]
    pub fn new(name: &str, activity: ActivityId, route: Vec<Stage>, arrivals: Arrivals) -> Self {
        Self {
            name: name.into(),
            activity,
            found: None,
            route,
            arrivals,
            labels: 1,
            starts_at: 0,
        }
    }
}
