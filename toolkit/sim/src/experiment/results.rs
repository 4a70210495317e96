//! What came out of an experiment.

use serde::Serialize;
use vortex_sched_config::ActivityIndex;
use vortex_sched_config::value::Metric as MetricName;
use vortex_schedulers::instantiate::activity_id;
use vortex_toolkit::ids::CoreId;
use vortex_toolkit::record::Metric;

use super::{Experiment, HERTZ};
use crate::readings::{amount, percentile, sum};

/// What came out. Shares are fractions of 1; times are microseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Results {
    /// Simulated seconds.
    pub seconds: f64,
    /// The hash of the scheduling trace.
    pub trace_hash: u64,
    /// Requests dispatched.
    pub dispatches: u64,
    /// CPU time per activity.
    pub activities: Vec<ActivityRow>,
    /// What each activity got of each resource.
    pub resources: Vec<ResourceRow>,
    /// Where each core's time went.
    pub cores: Vec<CoreRow>,
    /// What each flow has achieved.
    pub flows: Vec<FlowRow>,
}

/// CPU time of one activity, on all cores.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ActivityRow {
    /// The activity.
    pub activity: String,
    /// Its weight among those of the activities that take part.
    pub entitled: f64,
    /// Its part of the CPU time that they have received.
    pub received: f64,
    /// CPU seconds.
    pub cpu_seconds: f64,
}

/// What one activity got of one resource, on all cores.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResourceRow {
    /// The resource's scheduler.
    pub resource: String,
    /// The activity.
    pub activity: String,
    /// What the scheduler charges by.
    pub metric: String,
    /// Its share among the activities that use the resource, if its scheduler gives shares.
    pub entitled: Option<f64>,
    /// Its part of what the resource has given, in the metric.
    pub received: f64,
    /// Requests executed.
    pub requests: u64,
    /// Bytes moved.
    pub bytes: u64,
    /// Half of the requests waited shorter than this.
    pub waiting_p50: f64,
    /// 99 of 100 requests waited shorter than this.
    pub waiting_p99: f64,
}

/// Where one core's time went: fractions of 1, which add up to 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CoreRow {
    /// The core of the machine.
    pub core: u32,
    /// Activities.
    pub activities: f64,
    /// Scheduling.
    pub scheduling: f64,
    /// Interrupts.
    pub interrupt: f64,
    /// Idle.
    pub idle: f64,
    /// Cycles in no account: none.
    pub missing_cycles: u64,
}

/// What one flow has achieved.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FlowRow {
    /// The flow.
    pub flow: String,
    /// Jobs done.
    pub done: u64,
    /// Jobs in a second.
    pub per_second: f64,
    /// Mean time of a job on its way.
    pub mean_latency: f64,
}

#[expect(
    clippy::cast_precision_loss,
    reason = "for display: 53 bits are enough for 100 days in cycles"
)]
const fn float(number: u64) -> f64 {
    number as f64
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        float(part) / float(whole)
    }
}

fn microseconds(cycles: u64) -> f64 {
    float(cycles) * 1e6 / float(HERTZ)
}

impl Experiment {
    /// What has come out so far.
    #[must_use]
    pub fn results(&self) -> Results {
        let now = self.simulation.machine.now();
        Results {
            seconds: ratio(now, HERTZ),
            trace_hash: self.simulation.trace_hash(),
            dispatches: self.simulation.dispatches(),
            activities: self.activity_rows(),
            resources: self.resource_rows(),
            cores: self.core_rows(),
            flows: self.flow_rows(now),
        }
    }

    fn activity_rows(&self) -> Vec<ActivityRow> {
        let activities = self.activities();
        let weight = |activity: ActivityIndex| {
            u64::from(self.plan.activities[activity.0].weight.thousandths())
        };
        let weights: u64 = activities.iter().map(|activity| weight(*activity)).sum();
        let received = self.received();
        let total: u64 = received.iter().sum();
        let rows = activities.into_iter().zip(received);
        rows.map(|(activity, cycles)| ActivityRow {
            activity: self.plan.activities[activity.0].name.clone(),
            entitled: ratio(weight(activity), weights),
            received: ratio(cycles, total),
            cpu_seconds: ratio(cycles, HERTZ),
        })
        .collect()
    }

    fn resource_rows(&self) -> Vec<ResourceRow> {
        let mut rows = Vec::new();
        for station in &self.stations {
            let (resource, scheduler) = (station.resource, station.scheduler.as_ref());
            let charged_by = scheduler.map_or(MetricName::Cpu, |scheduler| scheduler.metric);
            let metric = match charged_by {
                MetricName::Cpu => Metric::Cpu,
                MetricName::Bytes => Metric::Bytes,
                MetricName::Requests => Metric::Requests,
                MetricName::Memory => Metric::Memory,
            };
            let users: Vec<_> = (0..self.plan.activities.len())
                .map(ActivityIndex)
                .map(|activity| {
                    let id = activity_id(activity);
                    let weight = self.plan.activities[activity.0].weight;
                    let share = scheduler
                        .map_or(weight, |scheduler| scheduler.client(activity, weight).share);
                    let usage = self.simulation.grid().usage(resource, id);
                    (activity, u64::from(share.thousandths()), usage)
                })
                .filter(|(_, _, usage)| usage.requests > 0)
                .collect();
            let shares: u64 = users.iter().map(|(_, share, _)| share).sum();
            let given: u64 = users
                .iter()
                .map(|(_, _, usage)| amount(usage, metric))
                .sum();
            for (activity, share, usage) in users {
                let waiting = |per_mille| percentile(&usage.waiting, per_mille).unwrap_or(0);
                rows.push(ResourceRow {
                    resource: station.name.clone(),
                    activity: self.plan.activities[activity.0].name.clone(),
                    metric: charged_by.name().into(),
                    entitled: scheduler
                        .is_none_or(|scheduler| scheduler.algorithm == "propshare.wfq")
                        .then(|| ratio(share, shares)),
                    received: ratio(amount(&usage, metric), given),
                    requests: usage.requests,
                    bytes: usage.bytes,
                    waiting_p50: microseconds(waiting(500)),
                    waiting_p99: microseconds(waiting(990)),
                });
            }
        }
        rows
    }

    fn core_rows(&self) -> Vec<CoreRow> {
        let grid = self.simulation.grid();
        let rows = self.machine_cores.iter().zip(0..).map(|(core, index)| {
            let ledger = grid.ledger(CoreId(index)).unwrap_or_default();
            let elapsed = ledger.through - ledger.since;
            let used = sum(grid, |at, _, _| at == CoreId(index)).cycles;
            let booked = used + ledger.scheduling + ledger.interrupt + ledger.idle;
            CoreRow {
                core: *core,
                activities: ratio(used, elapsed),
                scheduling: ratio(ledger.scheduling, elapsed),
                interrupt: ratio(ledger.interrupt, elapsed),
                idle: ratio(ledger.idle, elapsed),
                missing_cycles: elapsed.abs_diff(booked),
            }
        });
        rows.collect()
    }

    fn flow_rows(&self, now: u64) -> Vec<FlowRow> {
        let progress = self.simulation.progress();
        let rows = self
            .flows
            .iter()
            .zip(progress)
            .map(|(flow, progress)| FlowRow {
                flow: flow.name.clone(),
                done: progress.done,
                per_second: ratio(progress.done, now) * float(HERTZ),
                mean_latency: ratio(progress.cycles, progress.done) * 1e6 / float(HERTZ),
            });
        rows.collect()
    }
}
