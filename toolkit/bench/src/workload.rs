//! A workload: one operation that is worth counting, and what it may cost.

use crate::{calibration, comparators, parts, toolkit};

/// Performs the operation as often as it is told. What it needs was set up before.
pub type Operation = Box<dyn FnMut(u64)>;

/// One row of the table.
#[derive(Clone, Copy)]
pub struct Workload {
    /// The name in the table, on the command line and in criterion's reports.
    pub name: &'static str,
    /// What one operation is.
    pub operation: &'static str,
    /// Operations after which every further one costs the same.
    pub warm_up: u64,
    /// How many operations are counted under callgrind, after the warm-up.
    pub iterations: u64,
    /// What one operation may cost.
    pub target: Target,
    /// What has been reached: `cargo xtask test` fails if one operation takes more instructions, or
    /// more locked operations or allocations than the target says. `None`: not checked there.
    pub bound: Option<f64>,
    /// Sets the workload up to be counted.
    pub counted: fn() -> Operation,
    /// Sets the workload up to be timed; it differs from `counted` where the counted workload
    /// plays two cores on one thread.
    pub timed: fn() -> Operation,
}

/// What one operation may cost; `None` where nothing was promised.
#[derive(Clone, Copy, Default)]
pub struct Target {
    /// Instructions.
    pub instructions: Option<Limit>,
    /// Locked operations, at most.
    pub locked: Option<f64>,
    /// Allocations, at most.
    pub allocations: Option<f64>,
}

impl Target {
    /// Nothing promised.
    pub const NONE: Self = Self {
        instructions: None,
        locked: None,
        allocations: None,
    };
}

impl Workload {
    /// The same with the target that `cargo xtask test` checks; `None` if it checks none.
    #[must_use]
    pub fn guarded(self) -> Option<Self> {
        let instructions = Some(Limit::AtMost(self.bound?));
        Some(Self {
            target: Target {
                instructions,
                ..self.target
            },
            ..self
        })
    }
}

/// A limit on the number of instructions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// Fewer than this.
    Below(f64),
    /// This many or fewer.
    AtMost(f64),
    /// At most `times` those of another workload.
    Ratio {
        /// The other workload's name.
        of: &'static str,
        /// The largest quotient.
        times: f64,
    },
}

/// All workloads, in the order of the table.
#[must_use]
pub fn all() -> Vec<Workload> {
    [toolkit::WORKLOADS, parts::WORKLOADS, comparators::WORKLOADS].concat()
}

/// The workload of this name; also finds the [`calibration`].
#[must_use]
pub fn find(name: &str) -> Option<Workload> {
    all()
        .into_iter()
        .chain([calibration::WORKLOAD])
        .find(|workload| workload.name == name)
}
