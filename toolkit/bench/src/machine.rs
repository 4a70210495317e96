//! The smallest system on which the toolkit runs: a clock that is only added to, and two resources
//! whose handlers let time pass and send the request on to the other one.

use std::cell::Cell;
use std::rc::Rc;

use vortex_schedulers::Policy;
use vortex_toolkit::ids::{CoreId, ResourceId};
use vortex_toolkit::scheduler::{ClientParams, LoadSharing, SchedulerParams, Weight};
use vortex_toolkit::{
    Builder, Context, Core, Head, Message, Outcome, Platform, Reason, Request, Resources,
    SchedulerSpec, Seed, System,
};

/// Cycles between two readings of the clock, as if the code between them took that long.
const CYCLES_PER_READING: u64 = 50;

/// Ties the types together.
pub(crate) struct Machine;

impl System for Machine {
    type Platform = Clock;
    type Policy = Policy;
    type Message = Work;
    type Resources = Relay;
}

/// A message without end: so many cycles of service at each resource.
pub(crate) struct Work {
    pub(crate) cycles: u64,
}

impl Message for Work {}

/// One core's clock.
#[derive(Clone)]
pub(crate) struct Clock {
    now: Rc<Cell<u64>>,
    core: CoreId,
}

impl Clock {
    fn pass(&self, cycles: u64) {
        self.now.set(self.now.get() + cycles);
    }
}

impl Platform for Clock {
    #[inline]
    fn now(&self) -> u64 {
        self.pass(CYCLES_PER_READING);
        self.now.get()
    }

    #[inline]
    fn core(&self) -> CoreId {
        self.core
    }

    #[inline]
    fn interrupt_cycles(&self) -> u64 {
        0
    }

    /// The loops below step each core without being woken.
    fn wake(&self, _core: CoreId) {}

    fn waker(&self) -> impl Fn() + Send + Sync + 'static {
        || {}
    }

    fn set_timer(&self, _at: u64) {}
}

/// Both resources, as one core sees them.
pub(crate) struct Relay {
    clock: Clock,
    /// Requests executed on this core.
    pub(crate) executed: u64,
}

impl Resources<Machine> for Relay {
    #[inline]
    fn handle(&mut self, work: Work, context: &mut Context<'_, Machine>) -> Outcome<Work> {
        self.clock.pass(work.cycles);
        self.executed += 1;
        let Head {
            destination,
            activity,
            ..
        } = *context.head();
        let other = ResourceId(1 - destination.0);
        context.send(Request::new(other, activity, work));
        Outcome::Done
    }

    fn returned(&mut self, request: Request<Work>, reason: Reason, _: &mut Context<'_, Machine>) {
        panic!(
            "a request of activity {} came back: {reason}",
            request.head.activity.0
        );
    }
}

/// What to build.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// The policy before every resource and before every core.
    pub(crate) policy: Policy,
    /// The core of each resource.
    pub(crate) homes: [CoreId; 2],
    /// The resources could run on two cores; all labels are bound to these.
    pub(crate) by_label: bool,
    /// Activities, beside the infrastructure.
    pub(crate) activities: u32,
    /// Requests of each activity.
    pub(crate) depth: u32,
}

impl Plan {
    /// A seed for each core, and the requests that go round.
    pub(crate) fn build(self) -> (Vec<Seed<Machine>>, Vec<Request<Work>>) {
        let params = SchedulerParams::default();
        let last = self.homes.iter().map(|home| home.0).max().unwrap_or(0);
        let cores = if self.by_label { 2 } else { 1 + last };
        let mut builder = Builder::new((0..cores).map(|_| (self.policy, params)));
        let resources = self.homes.map(|home| {
            // Equal shares, or all requests would soon wait for the one with the smaller share.
            let others = (0..cores)
                .map(CoreId)
                .filter(|&core| self.by_label && core != home);
            let places = others.chain([home]);
            let mut spec = SchedulerSpec::on(self.policy, places, Weight::DEFAULT);
            spec.params.load_sharing = LoadSharing::Fixed(home);
            builder.resource("relay", spec)
        });
        let activities: Vec<_> = (0..self.activities)
            .map(|number| builder.activity("busy", unequal(number)))
            .collect();
        let places = resources
            .into_iter()
            .cycle()
            .zip(SERVICE_CYCLES.into_iter().cycle());
        let activities = (0..self.depth).flat_map(|_| activities.iter().copied());
        let requests = places
            .zip(activities)
            .map(|((resource, cycles), activity)| Request::new(resource, activity, Work { cycles }))
            .collect();
        let (_grid, seeds) = builder.build();
        (seeds, requests)
    }
}

/// Weights from 100 to 400 and priorities from 0 to 3, so that no two neighbours are alike.
fn unequal(number: u32) -> ClientParams {
    let class = number % 4;
    ClientParams {
        weight: Weight::new(100 * (class + 1)).expect("small weights are in range"),
        priority: class as u8,
        ..ClientParams::default()
    }
}

/// Cycles of service, between 200 and 2,000 and without a pattern, so that tags do not tie.
const SERVICE_CYCLES: [u64; 61] = {
    let mut cycles = [0; 61];
    let mut state = 1_u64;
    let mut i = 0;
    while i < cycles.len() {
        // Knuth's MMIX generator.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        cycles[i] = 200 + (state >> 33) % 1800;
        i += 1;
    }
    cycles
};

/// Starts a core.
pub(crate) fn start(seed: Seed<Machine>) -> Core<Machine> {
    let clock = Clock {
        now: Rc::new(Cell::new(0)),
        core: seed.core(),
    };
    let relay = Relay {
        clock: clock.clone(),
        executed: 0,
    };
    Core::new(seed, clock, relay)
}
