//! A machine under a workload.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use vortex_toolkit::ids::{AffinityLabel, CoreId, DependencyLabel};
use vortex_toolkit::scheduler::Scheduler;
use vortex_toolkit::{
    Builder, Context, Grid, Message, Outcome, Reason, Request, Resources, System,
};

use crate::machine::{Machine, Timing, VirtualCore, World};
use crate::trace::Trace;
use crate::workload::{Arrivals, Flow};

/// The system of a simulation, under the policies `P`.
#[derive(Debug)]
pub struct Load<P>(PhantomData<P>);

impl<P: Scheduler> System for Load<P> {
    type Platform = VirtualCore;
    type Policy = P;
    type Message = Job;
    type Resources = Stations;
}

/// A job on its way: the message of its requests.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    flow: u32,
    /// Which of the flow's labels it has.
    slot: u32,
    stage: u32,
    number: u64,
    came_at: u64,
}

impl Message for Job {}

/// What a flow has achieved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Jobs that came.
    pub came: u64,
    /// Jobs that have been through their route.
    pub done: u64,
    /// Jobs of which a request was handed back.
    pub returned: u64,
    /// Cycles that the jobs done took from coming to the start of their last stage, in all.
    pub cycles: u64,
    /// The most that one of them took.
    pub worst_cycles: u64,
}

struct State {
    flows: Vec<Flow>,
    progress: Vec<Progress>,
    rng: fastrand::Rng,
    trace: Trace,
    /// When the job came that was dispatched last.
    came_last: u64,
    overtakes: u64,
}

type Shared = Rc<RefCell<State>>;

/// The resources of one core: each serves jobs as their routes say.
#[derive(Clone)]
pub struct Stations {
    state: Shared,
}

impl State {
    /// A new job of a flow: its first request.
    fn job(&mut self, flow: u32, slot: u32, now: u64) -> Option<Request<Job>> {
        let index = flow as usize;
        let entry = &self.flows[index];
        let number = self.progress[index].came;
        self.progress[index].came += 1;
        let job = Job {
            flow,
            slot,
            stage: 0,
            number,
            came_at: now,
        };
        let label = label(flow, slot);
        let first = entry.route.first()?.resource;
        let request = Request::new(first, entry.activity, job)
            .ordered(DependencyLabel(label))
            .near(AffinityLabel(label));
        Some(request)
    }
}

/// A label that no other flow has, and that is not "none".
fn label(flow: u32, slot: u32) -> u64 {
    (u64::from(flow) << 32 | u64::from(slot)) + 1
}

impl<P: Scheduler> Resources<Load<P>> for Stations {
    fn handle(&mut self, job: Job, context: &mut Context<'_, Load<P>>) -> Outcome<Job> {
        let head = *context.head();
        let now = context.now();
        let mut state = self.state.borrow_mut();
        let State {
            flows,
            progress,
            rng,
            trace,
            came_last,
            overtakes,
        } = &mut *state;
        let index = job.flow as usize;
        let flow = &flows[index];
        *overtakes += u64::from(job.came_at < *came_last);
        *came_last = job.came_at;
        trace.dispatch(now, context.core(), &head, job.number);
        let Some(stage) = flow.route.get(job.stage as usize) else {
            return Outcome::Done;
        };
        if let Some(found) = flow.found {
            context.attribute(found);
        }
        context.platform().spend(stage.cycles.draw(rng));
        context.add_bytes(stage.bytes.draw(rng));
        if let Some(next) = flow.route.get(job.stage as usize + 1) {
            let job = Job {
                stage: job.stage + 1,
                ..job
            };
            let request = context.request(next.resource, job);
            drop(state);
            context.send(request);
            return Outcome::Done;
        }
        progress[index].done += 1;
        let took = now.saturating_sub(job.came_at);
        progress[index].cycles += took;
        progress[index].worst_cycles = progress[index].worst_cycles.max(took);
        if matches!(flow.arrivals, Arrivals::Closed { .. })
            && let Some(request) = state.job(job.flow, job.slot, now)
        {
            drop(state);
            context.send(request);
        }
        Outcome::Done
    }

    fn returned(&mut self, request: Request<Job>, _: Reason, _: &mut Context<'_, Load<P>>) {
        let flow = request.message.flow as usize;
        self.state.borrow_mut().progress[flow].returned += 1;
    }
}

/// A machine under a workload.
pub struct Simulation<P: Scheduler> {
    /// The machine.
    pub machine: Machine<Load<P>>,
    state: Shared,
}

impl<P: Scheduler> Simulation<P> {
    /// The grid of `builder` under `flows`. Whatever is random comes from `seed`.
    pub fn new(builder: Builder<Load<P>>, flows: Vec<Flow>, timing: Timing, seed: u64) -> Self {
        let state = Rc::new(RefCell::new(State {
            progress: vec![Progress::default(); flows.len()],
            flows,
            rng: fastrand::Rng::with_seed(seed),
            trace: Trace::default(),
            came_last: 0,
            overtakes: 0,
        }));
        let mut machine = Machine::new(builder, timing, |_, _| Stations {
            state: state.clone(),
        });
        let starts: Vec<_> = state.borrow().flows.iter().map(|f| f.starts_at).collect();
        for (flow, starts_at) in (0..).zip(starts) {
            let state = state.clone();
            machine
                .world
                .at(starts_at, move |world| start(world, &state, flow));
        }
        Self { machine, state }
    }

    /// Runs until `time`, in cycles.
    pub fn run_until(&mut self, time: u64) {
        self.machine.run_until(time);
    }

    /// What each flow has achieved so far.
    #[must_use]
    pub fn progress(&self) -> Vec<Progress> {
        self.state.borrow().progress.clone()
    }

    /// The hash of all dispatches so far: when, where, what, whose, which.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.state.borrow().trace.hash()
    }

    /// Dispatches of jobs that came earlier than the one dispatched before.
    #[must_use]
    pub fn overtakes(&self) -> u64 {
        self.state.borrow().overtakes
    }

    /// Requests dispatched so far.
    #[must_use]
    pub fn dispatches(&self) -> u64 {
        self.state.borrow().trace.dispatches()
    }

    /// The grid.
    #[must_use]
    pub const fn grid(&self) -> &Arc<Grid<Load<P>>> {
        self.machine.grid()
    }
}

fn submit<P: Scheduler>(world: &mut World<Load<P>>, state: &Shared, flow: u32, slot: u32) {
    let request = state.borrow_mut().job(flow, slot, world.now());
    if let Some(request) = request {
        // What depends on each other takes the same way.
        let cores = world.grid.cores().max(1);
        let way = u16::try_from(slot as usize % cores).unwrap_or(0);
        world.submit(CoreId(way), request);
    }
}

/// The first jobs of a flow, and the plan of the others.
fn start<P: Scheduler>(world: &mut World<Load<P>>, state: &Shared, flow: u32) {
    let arrivals = state.borrow().flows[flow as usize].arrivals;
    match arrivals {
        Arrivals::Closed { outstanding: count } => {
            for slot in 0..count {
                submit(world, state, flow, slot);
            }
        }
        Arrivals::Once { count } => come(world, state, flow, count),
        Arrivals::Poisson { .. }
        | Arrivals::Periodic { .. }
        | Arrivals::Bursts { .. }
        | Arrivals::OnOff { .. } => go_on(world, state, flow),
    }
}

/// So many jobs of an open flow come.
fn come<P: Scheduler>(world: &mut World<Load<P>>, state: &Shared, flow: u32, count: u32) {
    for _ in 0..count {
        let labels = u64::from(state.borrow().flows[flow as usize].labels.max(1));
        let slot = state.borrow().progress[flow as usize].came % labels;
        submit(world, state, flow, u32::try_from(slot).unwrap_or(0));
    }
}

/// The jobs that an open flow has now, and when it has the next ones.
fn go_on<P: Scheduler>(world: &mut World<Load<P>>, state: &Shared, flow: u32) {
    let (arrivals, starts_at) = {
        let state = state.borrow();
        let flow = &state.flows[flow as usize];
        (flow.arrivals, flow.starts_at)
    };
    let now = world.now();
    let (count, wait) = match arrivals {
        Arrivals::Poisson { mean_cycles } => {
            let rng = &mut state.borrow_mut().rng;
            (
                1,
                crate::workload::Amount::Exponential(mean_cycles).draw(rng),
            )
        }
        Arrivals::Periodic { every_cycles } => (1, every_cycles),
        Arrivals::Bursts { size, every_cycles } => (size, every_cycles),
        Arrivals::OnOff {
            every_cycles,
            on_cycles,
            off_cycles,
        } => {
            let round = on_cycles + off_cycles;
            let in_round = (now - starts_at.min(now)) % round.max(1);
            if in_round + every_cycles < on_cycles {
                (1, every_cycles)
            } else {
                (1, round - in_round)
            }
        }
        Arrivals::Closed { .. } | Arrivals::Once { .. } => return,
    };
    come(world, state, flow, count);
    let state = state.clone();
    world.at(now + wait.max(1), move |world| go_on(world, &state, flow));
}
