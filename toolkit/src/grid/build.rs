//! Making a grid: multiplexors, schedulers, resources, activities, and a seed for each core.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::sync::{Mutex, RwLock};
use vortex_queue::{Receiver, channel};

use crate::envelope::Envelope;
use crate::ids::{ActivityId, CoreId, ResourceId};
use crate::scheduler::{ClientParams, SchedulerParams};
use crate::span::{SpanPublisher, spans};
use crate::statistics::Ledger;
use crate::system::System;

use super::resource::{Inner, Instance, Removal, Resource};
use super::{Activity, Grid, Heirs, SchedulerId, SchedulerSpec, Table};

/// Values an inbox holds unless told otherwise.
const INBOX_CAPACITY: usize = 1023;

/// Cycles of patience unless told otherwise: some seconds on any machine.
const PATIENCE_CYCLES: u64 = 10_000_000_000;

/// Builds a [`Grid`].
pub struct Builder<Y: System> {
    multiplexors: Vec<Instance<Y>>,
    schedulers: Table<Arc<Inner<Y>>>,
    resources: Table<Arc<Resource<Y>>>,
    activities: Table<Activity>,
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
        let multiplexors: Vec<_> = multiplexors.into_iter().map(instance).collect();
        let params = ClientParams::default();
        let infrastructure = Activity::new("infrastructure", params, multiplexors.len());
        let mut activities = Table::new();
        activities.insert(|_| infrastructure);
        Self {
            multiplexors,
            schedulers: Table::new(),
            resources: Table::new(),
            activities,
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
    /// role. One with a limit ([`SchedulerParams::limit`]) may let them wait for as long as it says.
    pub const fn patience(&mut self, cycles: u64) -> &mut Self {
        self.patience_cycles = cycles;
        self
    }

    /// Parameters of the infrastructure activity.
    pub fn infrastructure(&mut self, params: ClientParams) -> &mut Self {
        if let Some(activity) = self.activities.get_mut(ActivityId::INFRASTRUCTURE.0) {
            activity.params = params;
        }
        self
    }

    /// Adds a scheduler that others may ask.
    ///
    /// # Panics
    /// If there are 2^20 - 1 already.
    pub fn scheduler(&mut self, spec: SchedulerSpec<Y::Policy>) -> SchedulerId {
        let inner = Inner {
            instance: Instance::new(spec),
            removal: Removal::of(self.multiplexors.len()),
        };
        SchedulerId(self.schedulers.insert(|_| Arc::new(inner)))
    }

    /// Adds a resource.
    ///
    /// # Panics
    /// If there are 2^20 - 1 already.
    pub fn resource(&mut self, name: &str, spec: SchedulerSpec<Y::Policy>) -> ResourceId {
        let cores = self.multiplexors.len();
        let make = |number| Arc::new(Resource::new(ResourceId(number), name.into(), spec, cores));
        ResourceId(self.resources.insert(make))
    }

    /// Adds an activity; `params` are its parameters wherever nothing else was said.
    ///
    /// # Panics
    /// If there are 2^20 - 1 already.
    pub fn activity(&mut self, name: &str, params: ClientParams) -> ActivityId {
        let activity = Activity::new(name, params, self.multiplexors.len());
        ActivityId(self.activities.insert(|_| activity))
    }

    /// Says below which scheduler all is done that an activity does by itself; see
    /// [`Grid::set_home`].
    pub fn home(&mut self, activity: ActivityId, home: SchedulerId) {
        if let Some(activity) = self.activities.get_mut(activity.0) {
            activity.home = Some(home);
        }
    }

    /// Says what an activity is to one resource's scheduler.
    pub fn client(&mut self, resource: ResourceId, activity: ActivityId, params: ClientParams) {
        if let Some(resource) = self.resources.get(resource.0) {
            resource.clients.lock().insert(activity, params);
        }
    }

    /// The grid, and a seed for each of its cores in order.
    pub fn build(self) -> (Arc<Grid<Y>>, Vec<Seed<Y>>) {
        let cores = self.multiplexors.len();
        let (senders, inboxes): (Vec<_>, Vec<_>) =
            (0..cores).map(|_| channel(self.inbox_capacity)).unzip();
        let (publishers, readers): (Vec<_>, Vec<_>) = (0..cores).map(|_| spans()).unzip();
        let grid = Arc::new(Grid {
            senders,
            resources: RwLock::new(self.resources),
            schedulers: RwLock::new(self.schedulers),
            multiplexors: self.multiplexors,
            activities: RwLock::new(self.activities),
            heirs: Mutex::new(Heirs::default()),
            ledgers: core::iter::repeat_with(|| Arc::new(Ledger::default()))
                .take(cores)
                .collect(),
            spans: readers,
            patience_cycles: self.patience_cycles,
        });
        let seed = |(number, (inbox, span))| Seed {
            grid: grid.clone(),
            core: CoreId(u16::try_from(number).expect("cores are u16")),
            inbox,
            span,
        };
        let ends = inboxes.into_iter().zip(publishers);
        let seeds = ends.enumerate().map(seed).collect();
        (grid, seeds)
    }
}

/// What a [`crate::Core`] grows from. It may be sent to the core that it is for.
pub struct Seed<Y: System> {
    pub(crate) grid: Arc<Grid<Y>>,
    pub(crate) core: CoreId,
    pub(crate) inbox: Receiver<Envelope<Y>>,
    pub(crate) span: SpanPublisher,
}

impl<Y: System> Seed<Y> {
    /// The core that the seed is for.
    #[must_use]
    pub const fn core(&self) -> CoreId {
        self.core
    }
}
