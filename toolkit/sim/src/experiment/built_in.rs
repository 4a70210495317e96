//! The workloads known by name: in the grids of the example files, what the experiments of
//! section 4 of the paper do.
//!
//! The times are round numbers of the size that the paper's figures suggest; what matters is which
//! resource is the bottleneck.

use vortex_sched_config::{ActivityIndex, Plan, SchedulerPlan};
use vortex_schedulers::instantiate::{
    activity_id, kernel_instance, shared_resource, thread_instance, timeslice,
};
use vortex_schedulers::{Instantiated, Policy};
use vortex_toolkit::ids::ResourceId;

use super::{ExperimentError, HERTZ};
use crate::simulation::Load;
use crate::workload::{Amount, Arrivals, Flow, Stage};

/// A workload's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkloadName {
    /// `cpu`.
    Cpu,
    /// `files`.
    Files,
    /// `web`.
    Web,
    /// `disk`.
    Disk,
}

/// All workloads, with their names and what they do.
pub const WORKLOADS: &[(WorkloadName, &str, &str)] = &[
    (
        WorkloadName::Cpu,
        "cpu",
        "every activity has one CPU-bound thread per core (section 4.2 of the paper)",
    ),
    (
        WorkloadName::Files,
        "files",
        "every activity reads cached files of 32 KiB, 128 at a time (section 4.3)",
    ),
    (
        WorkloadName::Web,
        "web",
        "every activity serves files of 8 KiB to 64 clients; the threads are the bottleneck \
         (section 4.4)",
    ),
    (
        WorkloadName::Disk,
        "disk",
        "every activity reads uncached files in pieces of 64 KiB, 32 at a time; the disk \
         controller is the bottleneck (section 4.5)",
    ),
];

impl WorkloadName {
    /// The workload of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let known = WORKLOADS.iter().find(|(_, known, _)| *known == name);
        known.map(|(workload, _, _)| *workload)
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Files => "files",
            Self::Web => "web",
            Self::Disk => "disk",
        }
    }

    /// Seconds after which its shares are as close as they are meant to be.
    #[must_use]
    pub const fn usual_seconds(self) -> u32 {
        match self {
            Self::Cpu => 60,
            Self::Files | Self::Web | Self::Disk => 10,
        }
    }

    /// Where its jobs go: resource, mean microseconds there, bytes there.
    const fn route(self) -> &'static [(&'static str, u64, u64)] {
        const KIB: u64 = 1024;
        match self {
            Self::Cpu => &[(THREAD, 0, 0)],
            Self::Files => &[
                (THREAD, 20, 0),
                ("resource.aio", 5, 32 * KIB),
                ("resource.filecache", 15, 32 * KIB),
            ],
            Self::Web => &[
                ("resource.dir", 2, 200),
                ("resource.ndrr", 3, 200),
                ("resource.tcp", 6, 200),
                (THREAD, 60, 0),
                ("resource.aio", 4, 8 * KIB),
                ("resource.filecache", 6, 8 * KIB),
                ("resource.tcp", 10, 8 * KIB),
                ("resource.ndwr", 4, 8 * KIB),
                ("resource.dwr", 4, 8 * KIB),
            ],
            Self::Disk => &[
                (THREAD, 20, 0),
                ("resource.aio", 5, 64 * KIB),
                ("resource.filecache", 10, 64 * KIB),
                ("resource.ext2", 10, 64 * KIB),
                ("resource.storage", 3, 64 * KIB),
                ("resource.scsi", 3, 64 * KIB),
                ("resource.sdrwr", 3, 64 * KIB),
                ("resource.drwr", 200, 64 * KIB),
                ("resource.disk.dir", 3, 64 * KIB),
            ],
        }
    }

    const fn outstanding(self) -> u32 {
        match self {
            // One per core; see `threads`.
            Self::Cpu => 0,
            Self::Files => 128,
            Self::Web => 64,
            Self::Disk => 32,
        }
    }
}

const THREAD: &str = "resource.thread";

/// A resource that a workload sends to.
pub(super) struct Station {
    /// What tables call it.
    pub(super) name: String,
    pub(super) resource: ResourceId,
    /// Its scheduler in the plan; `None` for an activity's instance of a resource that the plan
    /// does not name.
    pub(super) scheduler: Option<SchedulerPlan>,
}

/// The grid of a plan, as it grows by what a workload needs.
struct Stations<'a> {
    plan: &'a Plan,
    done: &'a mut Instantiated<Load<Policy>>,
    stations: Vec<Station>,
}

/// The flows of a workload: one for each activity but the infrastructure. And the resources that
/// they send to.
pub(super) fn flows(
    plan: &Plan,
    done: &mut Instantiated<Load<Policy>>,
    workload: WorkloadName,
) -> Result<(Vec<Flow>, Vec<Station>), ExperimentError> {
    if plan.activities.len() < 2 {
        return Err(ExperimentError::NoActivity);
    }
    let mut stations = Stations {
        plan,
        done,
        stations: Vec::new(),
    };
    stations.add_named();
    let mut flows = Vec::new();
    for activity in (1..plan.activities.len()).map(ActivityIndex) {
        flows.push(stations.flow(activity, workload)?);
    }
    Ok((flows, stations.stations))
}

impl Stations<'_> {
    /// Those that the plan names.
    fn add_named(&mut self) {
        let all = self.plan.schedulers.iter().zip(&self.done.schedulers);
        let named = all.filter_map(|(scheduler, built)| {
            Some(Station {
                name: scheduler.name.clone(),
                resource: built.resource?,
                scheduler: Some(scheduler.clone()),
            })
        });
        self.stations.extend(named);
    }

    fn flow(
        &mut self,
        activity: ActivityIndex,
        workload: WorkloadName,
    ) -> Result<Flow, ExperimentError> {
        let threads = self.plan.threads(Some(activity));
        let mut outstanding = workload.outstanding();
        let mut route = Vec::new();
        for &(name, microseconds, bytes) in workload.route() {
            let mean = microseconds * (HERTZ / 1_000_000);
            let mut cycles = Amount::Uniform(mean / 2, mean * 3 / 2);
            if workload == WorkloadName::Cpu {
                // One thread for each core.
                outstanding = u32::try_from(threads.cores.len()).unwrap_or(u32::MAX);
                cycles = Amount::Fixed(timeslice(self.plan, Some(activity), HERTZ));
            }
            route.push(Stage {
                resource: self.station(activity, name)?,
                cycles,
                bytes: Amount::Fixed(bytes),
            });
        }
        let name = &self.plan.activities[activity.0].name;
        let arrivals = Arrivals::Closed { outstanding };
        Ok(Flow::new(name, activity_id(activity), route, arrivals))
    }

    /// The resource of that name that serves an activity: the only one, if the plan has a scheduler
    /// for it, else the instance in the activity's home.
    fn station(
        &mut self,
        activity: ActivityIndex,
        name: &str,
    ) -> Result<ResourceId, ExperimentError> {
        let own = format!("{name} ({})", self.plan.activities[activity.0].name);
        let mut stations = self.stations.iter();
        let instance = stations.find(|station| station.name == own);
        let known = instance.map(|station| station.resource);
        let shared = || shared_resource(self.plan, &self.done.schedulers, name);
        if let Some(resource) = known.or_else(shared) {
            return Ok(resource);
        }
        let home = self.done.homes[activity.0];
        let (spec, scheduler) = if name == THREAD {
            let spec = thread_instance(self.plan, Some(activity), home, HERTZ);
            let spec = spec.map_err(ExperimentError::Plan)?;
            (spec, Some(self.plan.threads(Some(activity)).clone()))
        } else {
            (kernel_instance(self.plan, home), None)
        };
        let resource = self.done.builder.resource(&own, spec);
        self.stations.push(Station {
            name: own,
            resource,
            scheduler,
        });
        Ok(resource)
    }
}
