//! Making a grid: multiplexors, schedulers, resources, activities, and a seed for each core.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::sync::RwLock;
use vortex_queue::{Receiver, channel};

use crate::envelope::Envelope;
use crate::ids::{ActivityId, CoreId, ResourceId};
use crate::scheduler::{ClientParams, SchedulerParams};
use crate::statistics::Ledger;
use crate::system::System;

use super::{Activity, Grid, Instance, Resource, SchedulerId, SchedulerSpec};

/// Values an inbox holds unless told otherwise.
const INBOX_CAPACITY: usize = 1024;

/// Cycles of patience unless told otherwise: some seconds on any machine.
const PATIENCE_CYCLES: u64 = 10_000_000_000;

/// Builds a [`Grid`].
pub struct Builder<Y: System> {
    multiplexors: Vec<Instance<Y>>,
    schedulers: Vec<Instance<Y>>,
    resources: Vec<Resource<Y>>,
    activities: Vec<Activity>,
    inbox_capacity: usize,
    patience_cycles: u64,
}

impl<Y: System> Builder<Y> {
    /// A grid with one core for each multiplexor, given with its parameters.
    pub fn new(multiplexors: impl IntoIterator<Item = (Y::Policy, SchedulerParams)>) -> Self {
        let instance = |(policy, params)| {
            Instance::new(SchedulerSpec {
                policy,
                params,
                asks: Vec::new(),
            })
        };
        let infrastructure = Activity {
            name: "infrastructure".into(),
            params: ClientParams::default(),
            ended: false,
            suspended: false,
        };
        Self {
            multiplexors: multiplexors.into_iter().map(instance).collect(),
            schedulers: Vec::new(),
            resources: Vec::new(),
            activities: alloc::vec![infrastructure],
            inbox_capacity: INBOX_CAPACITY,
            patience_cycles: PATIENCE_CYCLES,
        }
    }

    /// Values that the inbox of each core holds; what does not fit waits at the sender.
    pub const fn inbox_capacity(&mut self, capacity: usize) -> &mut Self {
        self.inbox_capacity = capacity;
        self
    }

    /// Cycles that a policy may let ready clients wait while it chooses nobody, before it loses its
    /// role.
    pub const fn patience(&mut self, cycles: u64) -> &mut Self {
        self.patience_cycles = cycles;
        self
    }

    /// Parameters of the infrastructure activity.
    pub fn infrastructure(&mut self, params: ClientParams) -> &mut Self {
        self.activities[ActivityId::INFRASTRUCTURE.index()].params = params;
        self
    }

    /// Adds a scheduler that others may ask.
    pub fn scheduler(&mut self, spec: SchedulerSpec<Y::Policy>) -> SchedulerId {
        self.schedulers.push(Instance::new(spec));
        SchedulerId(self.schedulers.len() - 1)
    }

    /// Adds a resource.
    ///
    /// # Panics
    /// Beyond 2^32 - 1 resources.
    pub fn resource(&mut self, name: &str, spec: SchedulerSpec<Y::Policy>) -> ResourceId {
        let id = ResourceId(u32::try_from(self.resources.len()).expect("resources are u32"));
        self.resources.push(Resource::new(
            id,
            name.into(),
            spec,
            self.multiplexors.len(),
        ));
        id
    }

    /// Adds an activity; `params` are its parameters wherever nothing else was said.
    ///
    /// # Panics
    /// Beyond 2^32 - 1 activities.
    pub fn activity(&mut self, name: &str, params: ClientParams) -> ActivityId {
        let id = ActivityId(u32::try_from(self.activities.len()).expect("activities are u32"));
        self.activities.push(Activity {
            name: name.into(),
            params,
            ended: false,
            suspended: false,
        });
        id
    }

    /// Says what an activity is to one resource's scheduler.
    pub fn client(&mut self, resource: ResourceId, activity: ActivityId, params: ClientParams) {
        if let Some(resource) = self.resources.get(resource.index()) {
            resource.clients.lock().insert(activity, params);
        }
    }

    /// The grid, and a seed for each of its cores in order.
    pub fn build(self) -> (Arc<Grid<Y>>, Vec<Seed<Y>>) {
        let cores = self.multiplexors.len();
        let (senders, inboxes): (Vec<_>, Vec<_>) =
            (0..cores).map(|_| channel(self.inbox_capacity)).unzip();
        let grid = Arc::new(Grid {
            senders,
            resources: RwLock::new(self.resources.into_iter().map(Arc::new).collect()),
            schedulers: self.schedulers,
            multiplexors: self.multiplexors,
            activities: RwLock::new(self.activities),
            ledgers: core::iter::repeat_with(|| Arc::new(Ledger::default()))
                .take(cores)
                .collect(),
            patience_cycles: self.patience_cycles,
        });
        let seed = |(number, inbox)| Seed {
            grid: grid.clone(),
            core: CoreId(u16::try_from(number).expect("cores are u16")),
            inbox,
        };
        let seeds = inboxes.into_iter().enumerate().map(seed).collect();
        (grid, seeds)
    }
}

/// What a [`crate::Core`] grows from. It may be sent to the core that it is for.
pub struct Seed<Y: System> {
    pub(crate) grid: Arc<Grid<Y>>,
    pub(crate) core: CoreId,
    pub(crate) inbox: Receiver<Envelope<Y>>,
}

impl<Y: System> Seed<Y> {
    /// The core that the seed is for.
    #[must_use]
    pub const fn core(&self) -> CoreId {
        self.core
    }
}
