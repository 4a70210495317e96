//! The workloads known by name: in the grids of the example files, what the experiments of
//! section 4 of the paper do.
//!
//! The times are round numbers of the size that the paper's figures suggest; what matters is which
//! resource is the bottleneck.

use vortex_sched_config::{ActivityIndex, Asks, Instance, Plan, SchedulerPlan};
use vortex_schedulers::instantiate::{Built, activity_id};
use vortex_toolkit::ids::ResourceId;

use super::{ExperimentError, HERTZ};
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

/// The flows of a workload: one for each activity but the infrastructure.
pub(super) fn flows(
    plan: &Plan,
    built: &[Built],
    workload: WorkloadName,
) -> Result<Vec<Flow>, ExperimentError> {
    if plan.activities.len() < 2 {
        return Err(ExperimentError::NoActivity);
    }
    let activities = (1..plan.activities.len()).map(ActivityIndex);
    let flow = |activity: ActivityIndex| {
        let mut outstanding = workload.outstanding();
        let mut route = Vec::new();
        for &(resource, microseconds, bytes) in workload.route() {
            let found = find(plan, built, activity, resource);
            let (scheduler, id) = found.ok_or_else(|| ExperimentError::NoResource {
                workload: workload.name(),
                resource,
                activity: plan.activities[activity.0].name.clone(),
            })?;
            let mean = microseconds * (HERTZ / 1_000_000);
            let mut cycles = Amount::Uniform(mean / 2, mean * 3 / 2);
            if workload == WorkloadName::Cpu {
                outstanding = threads(scheduler);
                cycles = Amount::Fixed(scheduler.timeslice.get() * (HERTZ / 1_000_000));
            }
            route.push(Stage {
                resource: id,
                cycles,
                bytes: Amount::Fixed(bytes),
            });
        }
        let name = &plan.activities[activity.0].name;
        let arrivals = Arrivals::Closed { outstanding };
        Ok(Flow::new(name, activity_id(activity), route, arrivals))
    };
    activities.map(flow).collect()
}

/// One thread for each core of a scheduler.
fn threads(scheduler: &SchedulerPlan) -> u32 {
    let direct = scheduler
        .asks
        .iter()
        .all(|(asks, _)| matches!(asks, Asks::Core(_)));
    let cores = if direct {
        scheduler.asks.len()
    } else {
        scheduler.cores.len()
    };
    u32::try_from(cores).unwrap_or(u32::MAX)
}

/// The resource of that name that serves an activity: its own instance, or the only one.
fn find<'a>(
    plan: &'a Plan,
    built: &[Built],
    activity: ActivityIndex,
    name: &str,
) -> Option<(&'a SchedulerPlan, ResourceId)> {
    let named = plan
        .schedulers
        .iter()
        .zip(built)
        .filter_map(|(scheduler, built)| {
            let is_named = scheduler.resource.as_deref() == Some(name);
            is_named.then_some((scheduler, built.resource?))
        });
    let mut serving = named.filter(|(scheduler, _)| match scheduler.instance {
        Instance::Only => true,
        Instance::Of(of) => of == activity,
        Instance::Pattern => false,
    });
    serving.next()
}
