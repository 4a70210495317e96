//! A configuration file's grid under a workload: what `cargo xtask simulate` shows.
//!
//! An [`Experiment`] is made of a [`Plan`] and a workload known by name ([`WORKLOADS`]). Each
//! activity has one process, whose thread resource is in the activity's home; so are the activity's
//! instances of those resources that the plan does not name. Its [`Results`] are plain numbers:
//! shares, waiting times, where each core's time went.

mod built_in;
mod results;

use std::fmt;

use vortex_sched_config::{ActivityIndex, Plan};
use vortex_schedulers::Policy;
use vortex_schedulers::instantiate::{InstantiateError, activity_id, instantiate};

use crate::machine::Timing;
use crate::readings::sum;
use crate::simulation::Simulation;
use crate::workload::Flow;

use built_in::Station;
pub use built_in::{WORKLOADS, WorkloadName};
pub use results::{ActivityRow, CoreRow, FlowRow, ResourceRow, Results};

/// Cycles in a simulated second: a cycle is a nanosecond.
pub const HERTZ: u64 = 1_000_000_000;

/// A grid under a workload.
pub struct Experiment {
    simulation: Simulation<Policy>,
    plan: Plan,
    stations: Vec<Station>,
    machine_cores: Vec<u32>,
    flows: Vec<Flow>,
}

/// Why there is no such experiment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExperimentError {
    /// The plan cannot be built.
    Plan(InstantiateError),
    /// The plan has no activity besides the infrastructure.
    NoActivity,
}

impl fmt::Display for ExperimentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan(error) => error.fmt(f),
            Self::NoActivity => f.write_str(
                "the configuration has no activity that could use anything: \
                 expected at least one `<activity name=\"...\">`",
            ),
        }
    }
}

impl std::error::Error for ExperimentError {}

impl Experiment {
    /// The grid of `plan` under a workload. Whatever is random comes from `seed`.
    ///
    /// # Errors
    /// [`ExperimentError`].
    pub fn new(
        plan: Plan,
        workload: WorkloadName,
        timing: Timing,
        seed: u64,
    ) -> Result<Self, ExperimentError> {
        let mut done = instantiate(&plan, HERTZ).map_err(ExperimentError::Plan)?;
        let (flows, stations) = built_in::flows(&plan, &mut done, workload)?;
        let machine_cores = done.cores;
        let simulation = Simulation::new(done.builder, flows.clone(), timing, seed);
        Ok(Self {
            simulation,
            plan,
            stations,
            machine_cores,
            flows,
        })
    }

    /// Runs until `time`, in cycles.
    pub fn run_until(&mut self, time: u64) {
        self.simulation.run_until(time);
    }

    /// The cycles that each activity of the workload has received so far, in the order of
    /// [`Results::activities`].
    #[must_use]
    pub fn received(&self) -> Vec<u64> {
        let used = |activity: ActivityIndex| {
            let id = activity_id(activity);
            sum(self.simulation.grid(), |_, _, payer| payer == id).cycles
        };
        self.activities().into_iter().map(used).collect()
    }

    /// The activities that take part.
    fn activities(&self) -> Vec<ActivityIndex> {
        let all = (0..self.plan.activities.len()).map(ActivityIndex);
        let takes_part = |activity: &ActivityIndex| {
            let id = activity_id(*activity);
            self.flows.iter().any(|flow| flow.activity == id)
        };
        all.filter(takes_part).collect()
    }
}
