//! The grid: all that cores share (paper, figure 1c).
//!
//! Resources, activities, and who asks whom for time. What is here changes seldom and is read
//! through each core's own references; the hot path touches none of it but the inboxes.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::sync::{Mutex, RwLock};
use vortex_queue::{Sender, Wake};

use crate::envelope::{Control, Envelope};
use crate::ids::{ActivityId, CoreId, INDEX_BITS, ResourceId};
use crate::request::Request;
use crate::scheduler::{ClientParams, Scheduler, SchedulerParams, Weight};
use crate::span::SpanReader;
use crate::statistics::Ledger;
use crate::system::{Platform, System};

mod build;
mod readings;
mod resource;
mod retire;
mod table;

pub use build::{Builder, Seed};
pub use readings::{AccountReading, Snapshot};
pub(crate) use resource::Resource;
use resource::{Inner, Instance, Removal};
use retire::Heirs;
use table::Table;

/// The shared state of a scheduler's policy.
pub(crate) type Shared<Y> = <<Y as System>::Policy as Scheduler>::Shared;

/// A scheduler between resources' schedulers and a multiplexor, such as an I/O bus's or the one
/// that all schedulers of one activity ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SchedulerId(pub(crate) u32);

impl SchedulerId {
    /// The index into a core's table.
    pub(crate) const fn index(self) -> usize {
        (self.0 & ((1 << INDEX_BITS) - 1)) as usize
    }
}

/// Whose share [`Control::SetAsk`] changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// The scheduler before a resource.
    Resource(ResourceId),
    /// A scheduler without a resource.
    Scheduler(SchedulerId),
}

/// Whom a scheduler asks for time on a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// The core's CPU multiplexor.
    Multiplexor,
    /// Another scheduler, which asks on the same core.
    Scheduler(SchedulerId),
}

/// That a scheduler asks for time on a core, with what share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The core.
    pub core: CoreId,
    /// Whom it asks there.
    pub parent: Parent,
    /// What it is to the one it asks.
    pub params: ClientParams,
}

/// A scheduler: its policy, and where it asks for time.
pub struct SchedulerSpec<S> {
    /// The policy.
    pub policy: S,
    /// Its parameters.
    pub params: SchedulerParams,
    /// Where it asks: at most once per core.
    pub asks: Vec<Ask>,
}

impl<S> SchedulerSpec<S> {
    /// A scheduler that asks the multiplexors of `cores` with one share.
    pub fn on(policy: S, cores: impl IntoIterator<Item = CoreId>, weight: Weight) -> Self {
        let params = ClientParams {
            weight,
            ..ClientParams::default()
        };
        let ask = |core| Ask {
            core,
            parent: Parent::Multiplexor,
            params,
        };
        Self {
            policy,
            params: SchedulerParams::default(),
            asks: cores.into_iter().map(ask).collect(),
        }
    }
}

/// An activity, as cores share it.
struct Activity {
    name: String,
    params: ClientParams,
    /// See [`Grid::set_home`].
    home: Option<SchedulerId>,
    ended: bool,
    suspended: bool,
    /// Cores that may still have queues of it when it has ended.
    remaining: usize,
}

impl Activity {
    fn new(name: &str, params: ClientParams, cores: usize) -> Self {
        Self {
            name: name.into(),
            params,
            home: None,
            ended: false,
            suspended: false,
            remaining: cores,
        }
    }
}

/// All that cores share.
pub struct Grid<Y: System> {
    pub(crate) senders: Vec<Sender<Envelope<Y>>>,
    resources: RwLock<Table<Arc<Resource<Y>>>>,
    schedulers: RwLock<Table<Arc<Inner<Y>>>>,
    pub(crate) multiplexors: Vec<Instance<Y>>,
    activities: RwLock<Table<Activity>>,
    heirs: Mutex<Heirs>,
    ledgers: Vec<Arc<Ledger>>,
    spans: Vec<SpanReader>,
    /// See [`Builder::patience`].
    pub(crate) patience_cycles: u64,
}

impl<Y: System> Grid<Y> {
    /// Number of cores.
    #[must_use]
    pub const fn cores(&self) -> usize {
        self.senders.len()
    }

    /// Adds a resource while the system runs, such as the thread resource of a new process.
    ///
    /// Its name is of its kind, not of this one: when it has been removed, its accounts are added
    /// up with those of others of the same name.
    ///
    /// # Panics
    /// If there are 2^20 - 1 already.
    pub fn add_resource(&self, name: &str, spec: SchedulerSpec<Y::Policy>) -> ResourceId {
        let cores = self.cores();
        let make = |number| Arc::new(Resource::new(ResourceId(number), name.into(), spec, cores));
        ResourceId(self.resources.write().insert(make))
    }

    pub(crate) fn resource(&self, id: ResourceId) -> Option<Arc<Resource<Y>>> {
        self.resources.read().get(id.0).cloned()
    }

    /// The resource of that name; the first, if several have it.
    #[must_use]
    pub fn resource_named(&self, name: &str) -> Option<ResourceId> {
        let resources = self.resources.read();
        let mut named = resources.iter().map(|(_, resource)| resource);
        named
            .find(|resource| resource.name == name && !resource.is_removed())
            .map(|found| found.id)
    }

    /// A resource's name.
    #[must_use]
    pub fn resource_name(&self, id: ResourceId) -> Option<String> {
        self.resource(id).map(|resource| resource.name.clone())
    }

    /// Resources that there are, with those that keep the accounts of removed ones.
    #[must_use]
    pub fn resources(&self) -> usize {
        self.resources.read().len()
    }

    /// Adds a scheduler that others may ask, while the system runs. See
    /// [`Control::RemoveScheduler`].
    ///
    /// # Panics
    /// If there are 2^20 - 1 already.
    pub fn add_scheduler(&self, spec: SchedulerSpec<Y::Policy>) -> SchedulerId {
        let inner = Inner {
            instance: Instance::new(spec),
            removal: Removal::of(self.cores()),
        };
        SchedulerId(self.schedulers.write().insert(|_| Arc::new(inner)))
    }

    pub(crate) fn scheduler(&self, id: SchedulerId) -> Option<Arc<Inner<Y>>> {
        self.schedulers.read().get(id.0).cloned()
    }

    /// What a scheduler is to the one it asks on a core.
    #[must_use]
    pub fn ask(&self, asker: Asker, core: CoreId) -> Option<Ask> {
        match asker {
            Asker::Resource(id) => self.resource(id)?.instance.ask(core),
            Asker::Scheduler(id) => self.scheduler(id)?.instance.ask(core),
        }
    }

    pub(crate) fn set_ask(&self, asker: Asker, core: Option<CoreId>, params: ClientParams) {
        match asker {
            Asker::Resource(id) => {
                if let Some(resource) = self.resource(id) {
                    resource.instance.set_ask(core, params);
                }
            }
            Asker::Scheduler(id) => {
                if let Some(scheduler) = self.scheduler(id) {
                    scheduler.instance.set_ask(core, params);
                }
            }
        }
    }

    /// Adds an activity; `params` are its parameters wherever nothing else was said.
    ///
    /// # Panics
    /// If there are 2^20 - 1 already.
    pub fn add_activity(&self, name: &str, params: ClientParams) -> ActivityId {
        let activity = Activity::new(name, params, self.cores());
        ActivityId(self.activities.write().insert(|_| activity))
    }

    /// The activity of that name that has not ended; the first, if several have it.
    #[must_use]
    pub fn activity_named(&self, name: &str) -> Option<ActivityId> {
        let activities = self.activities.read();
        let mut all = activities.iter();
        all.find(|(_, activity)| activity.name == name && !activity.ended)
            .map(|(number, _)| ActivityId(number))
    }

    /// An activity's name.
    #[must_use]
    pub fn activity_name(&self, id: ActivityId) -> Option<String> {
        if id == ActivityId::ENDED {
            return Some("ended activities".into());
        }
        let activities = self.activities.read();
        activities.get(id.0).map(|activity| activity.name.clone())
    }

    /// Activities that there are.
    #[must_use]
    pub fn activities(&self) -> usize {
        self.activities.read().len()
    }

    /// Marks an activity as ended. True for the first who does.
    pub(crate) fn end_activity(&self, id: ActivityId) -> bool {
        let mut activities = self.activities.write();
        let Some(activity) = activities.get_mut(id.0) else {
            return false;
        };
        !core::mem::replace(&mut activity.ended, true)
    }

    pub(crate) fn is_live(&self, id: ActivityId) -> bool {
        let activities = self.activities.read();
        activities.get(id.0).is_some_and(|activity| !activity.ended)
    }

    pub(crate) fn set_suspended(&self, id: ActivityId, suspended: bool) {
        if let Some(activity) = self.activities.write().get_mut(id.0) {
            activity.suspended = suspended;
        }
    }

    pub(crate) fn is_suspended(&self, id: ActivityId) -> bool {
        let activities = self.activities.read();
        activities
            .get(id.0)
            .is_some_and(|activity| activity.suspended)
    }

    /// An activity's parameters wherever nothing else was said; `None` if there is no such activity,
    /// or it has ended.
    #[must_use]
    pub fn activity_params(&self, id: ActivityId) -> Option<ClientParams> {
        let activities = self.activities.read();
        let entry = activities.get(id.0).filter(|entry| !entry.ended)?;
        Some(entry.params)
    }

    /// What `activity` is to the scheduler of `resource`, and its home; `None` if it does not exist
    /// or has ended.
    pub(crate) fn client_params(
        &self,
        resource: &Resource<Y>,
        activity: ActivityId,
    ) -> Option<(ClientParams, Option<SchedulerId>)> {
        let activities = self.activities.read();
        let entry = activities.get(activity.0).filter(|entry| !entry.ended)?;
        let own = resource.clients.lock().get(&activity).copied();
        Some((own.unwrap_or(entry.params), entry.home))
    }

    /// What an activity is to the scheduler of a resource; `None` if there is no such activity or
    /// resource, or it has ended.
    #[must_use]
    pub fn client(&self, resource: ResourceId, activity: ActivityId) -> Option<ClientParams> {
        let resource = self.resource(resource)?;
        Some(self.client_params(&resource, activity)?.0)
    }

    /// The activities that there are and that have not ended, by number.
    #[must_use]
    pub fn live_activities(&self) -> Vec<ActivityId> {
        let activities = self.activities.read();
        let live = activities.iter().filter(|(_, activity)| !activity.ended);
        live.map(|(number, _)| ActivityId(number)).collect()
    }

    /// Says below which scheduler all is done that an activity does by itself, before the activity
    /// is used.
    ///
    /// What is found to be the activity's while another is served, such as the demultiplexing of a
    /// packet, is charged to that scheduler too where it asks, beside those that were asked: else
    /// whoever is sent packets had them for nothing there (paper, section 4.4).
    pub fn set_home(&self, activity: ActivityId, home: SchedulerId) {
        if let Some(entry) = self.activities.write().get_mut(activity.0) {
            entry.home = Some(home);
        }
    }

    /// Sets what `activity` is to the scheduler of `resource`, before it is used. While the system
    /// runs, see [`crate::Control::SetClient`].
    pub fn set_client(&self, resource: ResourceId, activity: ActivityId, params: ClientParams) {
        // With the activities locked: it does not end between the look and the entry.
        let activities = self.activities.read();
        if let Some(resource) = self.resource(resource)
            && activities.get(activity.0).is_some_and(|entry| !entry.ended)
        {
            resource.clients.lock().insert(activity, params);
        }
    }

    /// Changes the running system from outside the grid: as [`crate::Context::control`], by way of
    /// the core of `platform`.
    ///
    /// # Errors
    /// The change, if that core's inbox is full; nothing has happened then.
    pub fn control(&self, platform: &Y::Platform, control: Control<Y>) -> Result<(), Control<Y>> {
        self.control_by(platform, platform.core(), control)
    }

    /// As [`Self::control`], by way of another core.
    ///
    /// # Errors
    /// The change, if that core's inbox is full or there is no such core.
    pub fn control_by(
        &self,
        platform: &Y::Platform,
        core: CoreId,
        control: Control<Y>,
    ) -> Result<(), Control<Y>> {
        match self.deliver(platform, core, Envelope::Announce(control)) {
            Err(Envelope::Announce(control)) => Err(control),
            _ => Ok(()),
        }
    }

    /// Puts something into a core's inbox, and wakes the core.
    fn deliver(
        &self,
        platform: &Y::Platform,
        core: CoreId,
        envelope: Envelope<Y>,
    ) -> Result<(), Envelope<Y>> {
        let Some(sender) = self.senders.get(core.index()) else {
            return Err(envelope);
        };
        match sender.push(envelope) {
            Ok(Wake::Awake) => Ok(()),
            Ok(Wake::WasAsleep) => {
                platform.wake(core);
                Ok(())
            }
            Err(full) => Err(full.0),
        }
    }

    /// Sends a request from outside the grid: from an interrupt handler, or at boot. It takes its
    /// place behind what the core of `platform` has received so far.
    ///
    /// # Errors
    /// The request, if that core's inbox is full.
    pub fn submit(
        &self,
        platform: &Y::Platform,
        request: Request<Y::Message>,
    ) -> Result<(), Request<Y::Message>> {
        self.submit_to(platform, platform.core(), request)
    }

    /// As [`Self::submit`], by way of another core. Requests that depend on each other must go by
    /// way of the same one.
    ///
    /// # Errors
    /// The request, if that core's inbox is full or there is no such core.
    pub fn submit_to(
        &self,
        platform: &Y::Platform,
        core: CoreId,
        mut request: Request<Y::Message>,
    ) -> Result<(), Request<Y::Message>> {
        request.head.sent_at = platform.now();
        match self.deliver(platform, core, Envelope::Submitted(request)) {
            Err(Envelope::Submitted(request)) => Err(request),
            _ => Ok(()),
        }
    }

    /// Affinity labels of a resource that are bound to cores now.
    #[must_use]
    pub fn bindings(&self, resource: ResourceId) -> usize {
        self.resource(resource)
            .map_or(0, |resource| resource.bindings.len())
    }
}
