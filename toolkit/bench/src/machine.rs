//! The smallest system on which the toolkit runs: a clock that is only added to, and resources
//! whose handlers are empty but for letting time pass.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use vortex_schedulers::Policy;
use vortex_toolkit::ids::{ActivityId, CoreId, ResourceId};
use vortex_toolkit::scheduler::{ClientParams, SchedulerParams, Weight};
use vortex_toolkit::{
    Builder, Context, Core, Grid, Message, Outcome, Platform, Reason, Request, Resources,
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
    type Resources = Sink;
}

/// What a request asks for: so many cycles of service.
#[derive(Clone, Copy)]
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

    fn set_timer(&self, _at: u64) {}
}

/// All resources: lets time pass and remembers whom it served.
pub(crate) struct Sink {
    clock: Clock,
    pub(crate) served: (ResourceId, ActivityId),
    pub(crate) executed: u64,
}

impl Resources<Machine> for Sink {
    #[inline]
    fn handle(&mut self, request: Request<Work>, _: &mut Context<'_, Machine>) -> Outcome<Work> {
        self.clock.pass(request.message.cycles);
        self.served = (request.head.destination, request.head.activity);
        self.executed += 1;
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
    /// Cores of the machine.
    pub(crate) cores: u16,
    /// The core that all resources run on.
    pub(crate) home: CoreId,
    /// Resources, each with all activities as its clients.
    pub(crate) resources: u32,
    /// Activities, beside the infrastructure.
    pub(crate) activities: u32,
}

/// A grid, and the seeds of its cores.
pub(crate) struct Planned {
    pub(crate) seeds: Vec<Seed<Machine>>,
    /// Every pair of a resource and an activity.
    pub(crate) clients: Vec<(ResourceId, ActivityId)>,
}

impl Plan {
    pub(crate) fn build(self) -> Planned {
        let params = SchedulerParams::default();
        let mut builder = Builder::new((0..self.cores).map(|_| (self.policy, params)));
        let activities: Vec<_> = (0..self.activities)
            .map(|number| builder.activity(&number.to_string(), unequal(number)))
            .collect();
        let mut clients = Vec::new();
        for number in 0..self.resources {
            let weight = unequal(number).weight;
            let spec = SchedulerSpec::on(self.policy, [self.home], weight);
            let resource = builder.resource(&number.to_string(), spec);
            clients.extend(activities.iter().map(|activity| (resource, *activity)));
        }
        let (_grid, seeds): (Arc<Grid<Machine>>, _) = builder.build();
        Planned { seeds, clients }
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

/// Starts a core.
pub(crate) fn start(seed: Seed<Machine>) -> Core<Machine> {
    let clock = Clock {
        now: Rc::new(Cell::new(0)),
        core: seed.core(),
    };
    let nobody = (ResourceId::OUTSIDE, ActivityId::INFRASTRUCTURE);
    let sink = Sink {
        clock: clock.clone(),
        served: nobody,
        executed: 0,
    };
    Core::new(seed, clock, sink)
}
