//! Random grids under random load: everything the toolkit offers, at once, checked by an
//! `Audit`.
//!
//! A [`Scenario`] says what there is and how often what happens; [`run`] plays it from its seed.
//! Requests, called probes, send others until their fuel is used up. In between, at random, they
//! are rejected, wait for a reply, go on as tasks or find another payer; activities and resources
//! are suspended, resumed, ended and removed; policies are replaced. In the end everything that is
//! suspended is resumed or, if it is not meant to be, removed, and what was sent must all have
//! been executed exactly once or handed back.

mod behaviour;
mod signals;
mod verdict;

use std::sync::Arc;

use vortex_toolkit::ids::{ActivityId, AffinityLabel, CoreId, DependencyLabel, ResourceId};
use vortex_toolkit::record::Metric;
use vortex_toolkit::scheduler::{
    ClientParams, Lifetime, LoadSharing, Reservation, Scheduler, SchedulerParams, Weight,
};
use vortex_toolkit::{Ask, Builder, Grid, Parent, Request, SchedulerSpec};

use crate::machine::{Machine, Timing, World};

use behaviour::{Kind, Prober, Shared};
pub use behaviour::{Probe, Stress};
pub use verdict::Verdict;

/// How often something happens, in 256 handlings of a probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chances {
    /// The resource rejects the probe, at most twice.
    pub reject: u8,
    /// The probe waits until a call it makes is answered.
    pub wait: u8,
    /// A task goes on with the probe, making one to three calls.
    pub task: u8,
    /// Tasks wait between their calls until a probe somewhere wakes them; with every other wake, for
    /// nothing. A task is begun that is not the rest of the probe's handling.
    pub wake: u8,
    /// Another activity is found to be the payer.
    pub attribute: u8,
    /// An activity or a resource is suspended, or resumed.
    pub suspend: u8,
    /// A policy is replaced, or the parameters of a client or of a scheduler where it asks are, or a
    /// label is bound to a core for ever.
    pub change: u8,
    /// A client is removed.
    pub remove_client: u8,
    /// An activity ends, or a resource is removed; at most half of them.
    pub end: u8,
}

/// What there is, and what happens.
#[derive(Clone, Debug)]
pub struct Scenario<P> {
    /// Whatever is random comes from it.
    pub seed: u64,
    /// Number of cores, at least 1.
    pub cores: u16,
    /// Number of resources, at least 1.
    pub resources: u32,
    /// Number of activities besides the infrastructure, at least 1.
    pub activities: u32,
    /// Number of labels.
    pub labels: u64,
    /// Probes from outside.
    pub probes: u64,
    /// How deep a probe's offspring goes.
    pub fuel: u8,
    /// Cycles from one probe from outside to the next, on average.
    pub interval_cycles: u64,
    /// The longest time a probe takes, in cycles.
    pub service_cycles: u64,
    /// Values an inbox holds.
    pub inbox_capacity: usize,
    /// How long bindings last; `None` for ever.
    pub lifetime_cycles: Option<u64>,
    /// Probes that may wait in a queue.
    pub queue_limit: Option<u32>,
    /// Policies of resources and schedulers, at random.
    pub policies: Vec<P>,
    /// Policies of the multiplexors, at random.
    pub multiplexors: Vec<P>,
    /// Whether clients have reservations.
    pub reservations: bool,
    /// Whether some resources ask a scheduler that asks the multiplexor.
    pub hierarchy: bool,
    /// What happens.
    pub chances: Chances,
    /// The machine.
    pub timing: Timing,
    /// See [`Builder::patience`].
    pub patience_cycles: u64,
}

impl<P> Scenario<P> {
    /// A scenario of middle size in which nothing but sending happens.
    #[must_use]
    pub fn plain(seed: u64, policies: Vec<P>) -> Self
    where
        P: Clone,
    {
        Self {
            seed,
            cores: 2,
            resources: 3,
            activities: 3,
            labels: 8,
            probes: 200,
            fuel: 4,
            interval_cycles: 2_000,
            service_cycles: 1_000,
            inbox_capacity: 1024,
            lifetime_cycles: None,
            queue_limit: None,
            multiplexors: policies.clone(),
            policies,
            reservations: false,
            hierarchy: false,
            chances: Chances::default(),
            timing: Timing::default(),
            patience_cycles: 1_000_000_000,
        }
    }

    /// Whether a request can wait although its core has nothing to do.
    const fn is_work_conserving(&self) -> bool {
        self.chances.reject == 0 && self.chances.suspend == 0 && !self.reservations
    }
}

/// Plays a scenario to its end.
///
/// # Panics
/// If the scenario has no policies.
pub fn run<P: Scheduler + Clone>(scenario: &Scenario<P>) -> Verdict {
    let mut rng = fastrand::Rng::with_seed(scenario.seed);
    let builder = build(scenario, &mut rng);
    let shared = Arc::new(Shared::new(scenario, &mut rng));
    let audit = shared.audit.clone();
    let mut machine = Machine::new(builder, scenario.timing, |grid, core| {
        Prober::new(shared.clone(), grid.clone(), core)
    });
    inject(&mut machine.world, scenario, &shared, &mut rng);
    let mut verdict = Verdict::default();
    verdict.play(&mut machine, scenario, &audit);
    // Nobody stays suspended.
    control(&mut machine.world, &shared, Kind::ResumeAll);
    verdict.play(&mut machine, scenario, &audit);
    if shared.signals.are_missing() {
        verdict.faults.push("a task waits that was woken".into());
    }
    if !scenario.loses_tasks() {
        verdict.expect_settled(&audit, "after everything was resumed");
    }
    control(&mut machine.world, &shared, Kind::EndAll);
    verdict.play(&mut machine, scenario, &audit);
    verdict.finish(&mut machine, &audit);
    verdict
}

impl<P> Scenario<P> {
    /// Whether a task may be dropped, so that whoever waits for its reply waits until the end.
    const fn loses_tasks(&self) -> bool {
        self.chances.remove_client > 0 || self.chances.end > 0
    }
}

/// The resource that carries out changes; it is not itself changed.
const fn control_resource(resources: u32) -> ResourceId {
    ResourceId(resources)
}

fn build<P: Scheduler + Clone>(
    scenario: &Scenario<P>,
    rng: &mut fastrand::Rng,
) -> Builder<Stress<P>> {
    let pick =
        |policies: &[P], rng: &mut fastrand::Rng| policies[rng.usize(..policies.len())].clone();
    let multiplexors: Vec<_> = (0..scenario.cores)
        .map(|_| {
            (
                pick(&scenario.multiplexors, rng),
                SchedulerParams::default(),
            )
        })
        .collect();
    let mut builder = Builder::new(multiplexors);
    builder
        .inbox_capacity(scenario.inbox_capacity)
        .patience(scenario.patience_cycles);
    let all = || (0..scenario.cores).map(CoreId);
    let bus = scenario.hierarchy.then(|| {
        let policy = pick(&scenario.policies, rng);
        builder.scheduler(SchedulerSpec::on(policy, all(), weight(rng)))
    });
    for number in 0..scenario.resources {
        let on: Vec<_> = all().filter(|_| rng.u8(..) < 200).collect();
        let on = if on.is_empty() { all().collect() } else { on };
        let mut spec = SchedulerSpec::on(pick(&scenario.policies, rng), on, weight(rng));
        spec.params = scheduler_params(scenario, rng);
        if let Some(bus) = bus.filter(|_| rng.bool()) {
            for ask in &mut spec.asks {
                *ask = Ask {
                    parent: Parent::Scheduler(bus),
                    ..*ask
                };
            }
        }
        builder.resource(&format!("resource {number}"), spec);
    }
    let policy = pick(&scenario.policies, rng);
    builder.resource("control", SchedulerSpec::on(policy, all(), weight(rng)));
    for number in 0..scenario.activities {
        builder.activity(&format!("activity {number}"), client_params(scenario, rng));
    }
    builder
}

fn weight(rng: &mut fastrand::Rng) -> Weight {
    Weight::new(rng.u32(1..=1000)).unwrap_or(Weight::DEFAULT)
}

fn scheduler_params<P>(scenario: &Scenario<P>, rng: &mut fastrand::Rng) -> SchedulerParams {
    let load_sharing = match rng.u8(..4) {
        0 => LoadSharing::AffinityHash,
        1 => LoadSharing::LeastBound,
        2 => LoadSharing::LeastReceived,
        _ => LoadSharing::Fixed(CoreId(rng.u16(..scenario.cores))),
    };
    SchedulerParams {
        metric: Metric::ALL[rng.usize(..Metric::COUNT)],
        load_sharing,
        lifetime: scenario
            .lifetime_cycles
            .map_or(Lifetime::Forever, Lifetime::Cycles),
        limit: scenario.reservations.then(|| reservation(rng)),
        burst: rng.u64(..10_000),
    }
}

fn reservation(rng: &mut fastrand::Rng) -> Reservation {
    Reservation {
        budget: rng.u64(1..=10_000),
        period_cycles: rng.u64(1_000..=100_000),
    }
}

fn client_params<P>(scenario: &Scenario<P>, rng: &mut fastrand::Rng) -> ClientParams {
    let reservation = scenario.reservations.then(|| reservation(rng));
    ClientParams {
        weight: weight(rng),
        priority: rng.u8(..4),
        deadline_cycles: rng.u64(1_000..=1_000_000),
        reservation,
        queue_limit: scenario.queue_limit.unwrap_or(u32::MAX),
    }
}

/// Plans the probes from outside.
fn inject<P: Scheduler + Clone>(
    world: &mut World<Stress<P>>,
    scenario: &Scenario<P>,
    shared: &Arc<Shared<P>>,
    rng: &mut fastrand::Rng,
) {
    let mut at = 0;
    for _ in 0..scenario.probes {
        at += rng.u64(0..=2 * scenario.interval_cycles);
        let label = rng.u64(0..=scenario.labels);
        let destination = ResourceId(rng.u32(..scenario.resources));
        let activity = ActivityId(rng.u32(0..=scenario.activities));
        let (audit, fuel, cores) = (shared.audit.clone(), scenario.fuel, scenario.cores);
        world.at(at, move |world| {
            let probe = Probe::new(Kind::Work, fuel);
            let mut request = Request::new(destination, activity, probe)
                .near(AffinityLabel(label))
                .ordered(DependencyLabel(label));
            request.message.take_ticket(&audit, &request.head, activity);
            // Requests that depend on each other take the same way.
            let way = CoreId(u16::try_from(label % u64::from(cores)).unwrap_or(0));
            world.submit(way, request);
        });
    }
}

/// Makes the control resource do something, as soon as everything else rests.
fn control<P: Scheduler + Clone>(world: &mut World<Stress<P>>, shared: &Shared<P>, kind: Kind) {
    let destination = control_resource(shared.resources);
    let mut request = Request::new(destination, ActivityId::INFRASTRUCTURE, Probe::new(kind, 0));
    request
        .message
        .take_ticket(&shared.audit, &request.head, ActivityId::INFRASTRUCTURE);
    world.submit(CoreId(0), request);
}

/// The grid of a stress run.
pub(crate) type StressGrid<P> = Arc<Grid<Stress<P>>>;
