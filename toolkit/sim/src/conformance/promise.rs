//! Promises, checked after every dispatch: one core, one resource under the policy, clients of
//! random parameters.

use vortex_toolkit::ids::{ActivityId, CoreId, ResourceId};
use vortex_toolkit::scheduler::{ClientParams, Reservation, Scheduler, SchedulerParams, Weight};
use vortex_toolkit::statistics::Usage;
use vortex_toolkit::{Builder, SchedulerSpec};

use super::Promise;
use crate::machine::Timing;
use crate::simulation::{Load, Simulation};
use crate::workload::{Amount, Arrivals, Flow, Stage};

/// The largest service time.
const LARGEST: u64 = 20_000;
const DISPATCHES: u64 = 4_000;

struct Bench<P: Scheduler> {
    simulation: Simulation<P>,
    resource: ResourceId,
    clients: Vec<(ActivityId, ClientParams, u64)>,
}

/// How a promise is broken under clients drawn from `seed`.
pub(super) fn check<P: Scheduler + Clone>(policy: &P, promise: Promise, seed: u64) -> Vec<String> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut bench = Bench::new(policy, promise, &mut rng);
    match promise {
        Promise::Proportional => bench.watch(proportional),
        Promise::Turns => bench.watch(turns),
        Promise::Priority => bench.watch(priority),
        Promise::Deadlines => bench.deadlines(),
        Promise::SendOrder => bench.send_order(),
        Promise::Nothing => Vec::new(),
    }
}

impl<P: Scheduler + Clone> Bench<P> {
    fn new(policy: &P, promise: Promise, rng: &mut fastrand::Rng) -> Self {
        let multiplexor = (policy.clone(), SchedulerParams::default());
        let mut builder = Builder::<Load<P>>::new([multiplexor]);
        let spec = SchedulerSpec::on(policy.clone(), [CoreId(0)], Weight::DEFAULT);
        let resource = builder.resource("r", spec);
        let mut clients = Vec::new();
        let mut flows = Vec::new();
        for number in 0..rng.u64(2..8) {
            let largest = rng.u64(LARGEST / 20..=LARGEST);
            let params = client_params(promise, rng);
            let activity = builder.activity(&format!("client {number}"), params);
            let stage = Stage {
                resource,
                cycles: Amount::Uniform(1, largest),
                bytes: Amount::Fixed(0),
            };
            let arrivals = arrivals(promise, &params, rng);
            let mut flow = Flow::new("busy", activity, vec![stage], arrivals);
            flow.labels = 3;
            if promise == Promise::SendOrder {
                // At times of their own, so that there is one order.
                flow.starts_at = number;
            }
            flows.push(flow);
            clients.push((activity, params, largest));
        }
        let simulation = Simulation::new(builder, flows, Timing::default(), rng.u64(..));
        Self {
            simulation,
            resource,
            clients,
        }
    }

    fn usages(&self) -> Vec<Usage> {
        let usage = |(activity, _, _): &(ActivityId, ClientParams, u64)| {
            self.simulation.grid().usage(self.resource, *activity)
        };
        self.clients.iter().map(usage).collect()
    }

    /// Looks at the accounts before and after every dispatch.
    fn watch(
        &mut self,
        look: impl Fn(&[(ActivityId, ClientParams, u64)], &[Usage], &[Usage]) -> Option<String>,
    ) -> Vec<String> {
        let mut before = self.usages();
        while self.simulation.dispatches() < DISPATCHES {
            let dispatches = self.simulation.dispatches();
            if !self.simulation.machine.advance(u64::MAX) {
                break;
            }
            if self.simulation.dispatches() == dispatches {
                // What has arrived meanwhile counts as having been there.
                before = self.usages();
                continue;
            }
            let after = self.usages();
            if let Some(fault) = look(&self.clients, &before, &after) {
                return vec![fault];
            }
            before = after;
        }
        Vec::new()
    }

    /// Runs to the end; periodic clients of a feasible set are never late by more than the largest
    /// service time.
    fn deadlines(&mut self) -> Vec<String> {
        self.simulation.run_until(200_000_000);
        let progress = self.simulation.progress();
        let clients = self.clients.iter().zip(progress);
        let late = clients.filter_map(|((activity, params, largest), progress)| {
            let latest = params.deadline_cycles + LARGEST + Timing::default().step_cycles * 4;
            (progress.worst_cycles + largest > latest + largest).then(|| {
                format!(
                    "{activity:?} started {} cycles after it came, with a deadline of {}",
                    progress.worst_cycles, params.deadline_cycles
                )
            })
        });
        late.collect()
    }

    fn send_order(&mut self) -> Vec<String> {
        self.simulation.run_until(50_000_000);
        match self.simulation.overtakes() {
            0 => Vec::new(),
            n => vec![format!("{n} requests were overtaken by later ones")],
        }
    }
}

fn client_params(promise: Promise, rng: &mut fastrand::Rng) -> ClientParams {
    let deadline_cycles = rng.u64(400_000..4_000_000);
    ClientParams {
        weight: Weight::new(rng.u32(1..=10_000)).unwrap_or(Weight::DEFAULT),
        priority: rng.u8(..),
        deadline_cycles,
        reservation: (promise == Promise::Deadlines && rng.bool()).then_some(Reservation {
            budget: 2 * LARGEST,
            period_cycles: deadline_cycles,
        }),
        ..ClientParams::default()
    }
}

fn arrivals(promise: Promise, params: &ClientParams, rng: &mut fastrand::Rng) -> Arrivals {
    match promise {
        Promise::Proportional | Promise::Turns => Arrivals::Closed { outstanding: 3 },
        Promise::Priority => Arrivals::Bursts {
            size: rng.u32(1..40),
            every_cycles: rng.u64(100_000..2_000_000),
        },
        // At most 7 clients with at most LARGEST cycles in 400,000 each: feasible.
        Promise::Deadlines => Arrivals::Periodic {
            every_cycles: params.deadline_cycles,
        },
        Promise::SendOrder | Promise::Nothing => Arrivals::Poisson {
            mean_cycles: 4 * LARGEST,
        },
    }
}

type Clients<'a> = &'a [(ActivityId, ClientParams, u64)];

/// |c_i / w_i − c_j / w_j| ≤ l_i / w_i + l_j / w_j, multiplied by both weights, and a cycle of
/// weight each for the rounding of tags.
fn proportional(clients: Clients<'_>, _: &[Usage], after: &[Usage]) -> Option<String> {
    for (i, (one, params, largest)) in clients.iter().enumerate() {
        let (w_i, c_i, l_i) = parts(params, &after[i], *largest);
        for (j, (other, params, largest)) in clients.iter().enumerate() {
            let (w_j, c_j, l_j) = parts(params, &after[j], *largest);
            let difference = (c_i * w_j).abs_diff(c_j * w_i);
            if difference > l_i * w_j + l_j * w_i + w_i + w_j {
                return Some(format!(
                    "{one:?} got {c_i} at weight {w_i}, {other:?} got {c_j} at weight {w_j}"
                ));
            }
        }
    }
    None
}

fn parts(params: &ClientParams, usage: &Usage, largest: u64) -> (u128, u128, u128) {
    (
        u128::from(params.weight.get()),
        u128::from(usage.cycles),
        u128::from(largest),
    )
}

fn turns(_: Clients<'_>, _: &[Usage], after: &[Usage]) -> Option<String> {
    let counts: Vec<_> = after.iter().map(|usage| usage.requests).collect();
    let (least, most) = (counts.iter().min()?, counts.iter().max()?);
    (most - least > 1).then(|| format!("decisions for busy clients: {counts:?}"))
}

fn priority(clients: Clients<'_>, before: &[Usage], after: &[Usage]) -> Option<String> {
    let served = (0..clients.len()).find(|i| after[*i].requests > before[*i].requests)?;
    let rank = clients[served].1.priority;
    let passed_over = clients
        .iter()
        .zip(before)
        .find(|((_, params, _), usage)| params.priority < rank && usage.queue_length > 0)?;
    let ((activity, params, _), _) = passed_over;
    Some(format!(
        "{:?} of priority {rank} was served while {activity:?} of {} had work",
        clients[served].0, params.priority
    ))
}
