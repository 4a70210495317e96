//! The grid: all that cores share (paper, figure 1c).
//!
//! Resources, activities, and who asks whom for time. What is here changes seldom and is read
//! through each core's own references; the hot path touches none of it but the inboxes.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::sync::{Mutex, RwLock};
use vortex_queue::{Sender, Wake};

use crate::binding::{Bindings, FastMap};
use crate::envelope::Envelope;
use crate::ids::{ActivityId, CoreId, ResourceId};
use crate::record::Metric;
use crate::request::Request;
use crate::scheduler::{ClientParams, LoadView, Scheduler, SchedulerParams, Weight};
use crate::statistics::{Account, Ledger, LedgerReading, Usage};
use crate::system::{Platform, System};

mod build;

pub use build::{Builder, Seed};

/// The shared state of a scheduler's policy.
pub(crate) type Shared<Y> = <<Y as System>::Policy as Scheduler>::Shared;

/// A scheduler between resources' schedulers and a multiplexor, such as an I/O bus's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SchedulerId(pub(crate) usize);

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

/// One scheduler instance, as its cores share it.
pub(crate) struct Instance<Y: System> {
    pub(crate) policy: RwLock<Arc<Shared<Y>>>,
    pub(crate) asks: Vec<Ask>,
}

impl<Y: System> Instance<Y> {
    fn new(spec: SchedulerSpec<Y::Policy>) -> Self {
        let shared = Arc::new(spec.policy.init(&spec.params));
        Self {
            policy: RwLock::new(shared),
            asks: spec.asks,
        }
    }

    pub(crate) fn ask(&self, core: CoreId) -> Option<&Ask> {
        self.asks.iter().find(|ask| ask.core == core)
    }
}

/// One resource, as cores share it.
pub(crate) struct Resource<Y: System> {
    pub(crate) id: ResourceId,
    pub(crate) name: String,
    pub(crate) instance: Instance<Y>,
    pub(crate) cores: Vec<CoreId>,
    pub(crate) clients: Mutex<FastMap<ActivityId, ClientParams>>,
    pub(crate) bindings: Bindings,
    pub(crate) accounts: Mutex<FastMap<(CoreId, ActivityId), Arc<Account>>>,
    /// Suspended by [`crate::Control::SuspendResource`].
    pub(crate) suspended: AtomicBool,
    /// Cores on which it has rejected a request since it was resumed.
    pub(crate) full: Vec<AtomicBool>,
    pub(crate) removed: AtomicBool,
}

impl<Y: System> Resource<Y> {
    fn new(id: ResourceId, name: String, spec: SchedulerSpec<Y::Policy>, cores: usize) -> Self {
        Self {
            id,
            name,
            cores: spec.asks.iter().map(|ask| ask.core).collect(),
            instance: Instance::new(spec),
            clients: Mutex::new(FastMap::default()),
            bindings: Bindings::new(cores),
            accounts: Mutex::new(FastMap::default()),
            suspended: AtomicBool::new(false),
            full: core::iter::repeat_with(|| AtomicBool::new(false))
                .take(cores)
                .collect(),
            removed: AtomicBool::new(false),
        }
    }

    pub(crate) fn account(&self, core: CoreId, activity: ActivityId) -> Arc<Account> {
        self.accounts
            .lock()
            .entry((core, activity))
            .or_default()
            .clone()
    }
}

/// An activity, as cores share it.
struct Activity {
    name: String,
    params: ClientParams,
    ended: bool,
    suspended: bool,
}

/// All that cores share.
pub struct Grid<Y: System> {
    pub(crate) senders: Vec<Sender<Envelope<Y>>>,
    resources: RwLock<Vec<Arc<Resource<Y>>>>,
    pub(crate) schedulers: Vec<Instance<Y>>,
    pub(crate) multiplexors: Vec<Instance<Y>>,
    activities: RwLock<Vec<Activity>>,
    ledgers: Vec<Arc<Ledger>>,
    /// See [`Builder::patience`].
    pub(crate) patience_cycles: u64,
}

/// One account with its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountReading {
    /// The core.
    pub core: CoreId,
    /// The resource.
    pub resource: ResourceId,
    /// The activity.
    pub activity: ActivityId,
    /// What was used.
    pub usage: Usage,
}

impl<Y: System> Grid<Y> {
    /// Number of cores.
    #[must_use]
    pub const fn cores(&self) -> usize {
        self.senders.len()
    }

    /// Adds a resource while the system runs, such as the thread resource of a new process.
    pub fn add_resource(&self, name: &str, spec: SchedulerSpec<Y::Policy>) -> ResourceId {
        let mut resources = self.resources.write();
        let id = ResourceId(u32::try_from(resources.len()).expect("resources are u32"));
        let resource = Resource::new(id, name.into(), spec, self.cores());
        resources.push(Arc::new(resource));
        id
    }

    pub(crate) fn resource(&self, id: ResourceId) -> Option<Arc<Resource<Y>>> {
        self.resources.read().get(id.index()).cloned()
    }

    /// The resource of that name; the first, if several have it.
    #[must_use]
    pub fn resource_named(&self, name: &str) -> Option<ResourceId> {
        self.resources
            .read()
            .iter()
            .find(|resource| resource.name == name)
            .map(|found| found.id)
    }

    /// A resource's name.
    #[must_use]
    pub fn resource_name(&self, id: ResourceId) -> Option<String> {
        self.resource(id).map(|resource| resource.name.clone())
    }

    /// Adds an activity; `params` are its parameters wherever nothing else was said.
    pub fn add_activity(&self, name: &str, params: ClientParams) -> ActivityId {
        let mut activities = self.activities.write();
        let id = ActivityId(u32::try_from(activities.len()).expect("activities are u32"));
        activities.push(Activity {
            name: name.into(),
            params,
            ended: false,
            suspended: false,
        });
        id
    }

    /// The activity of that name; the first, if several have it.
    #[must_use]
    pub fn activity_named(&self, name: &str) -> Option<ActivityId> {
        let position = self
            .activities
            .read()
            .iter()
            .position(|activity| activity.name == name)?;
        u32::try_from(position).ok().map(ActivityId)
    }

    /// An activity's name.
    #[must_use]
    pub fn activity_name(&self, id: ActivityId) -> Option<String> {
        self.activities
            .read()
            .get(id.index())
            .map(|activity| activity.name.clone())
    }

    pub(crate) fn end_activity(&self, id: ActivityId) {
        if let Some(activity) = self.activities.write().get_mut(id.index()) {
            activity.ended = true;
        }
    }

    pub(crate) fn set_suspended(&self, id: ActivityId, suspended: bool) {
        if let Some(activity) = self.activities.write().get_mut(id.index()) {
            activity.suspended = suspended;
        }
    }

    pub(crate) fn is_suspended(&self, id: ActivityId) -> bool {
        self.activities
            .read()
            .get(id.index())
            .is_some_and(|activity| activity.suspended)
    }

    /// What `activity` is to the scheduler of `resource`; `None` if it does not exist or has ended.
    pub(crate) fn client_params(
        &self,
        resource: &Resource<Y>,
        activity: ActivityId,
    ) -> Option<ClientParams> {
        let activities = self.activities.read();
        let entry = activities
            .get(activity.index())
            .filter(|entry| !entry.ended)?;
        Some(
            resource
                .clients
                .lock()
                .get(&activity)
                .copied()
                .unwrap_or(entry.params),
        )
    }

    /// Sets what `activity` is to the scheduler of `resource`, before it is used. While the system
    /// runs, see [`crate::Control::SetClient`].
    pub fn set_client(&self, resource: ResourceId, activity: ActivityId, params: ClientParams) {
        if let Some(resource) = self.resource(resource) {
            resource.clients.lock().insert(activity, params);
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
        let Some(sender) = self.senders.get(core.index()) else {
            return Err(request);
        };
        match sender.push(Envelope::Submitted(request)) {
            Ok(Wake::Awake) => Ok(()),
            Ok(Wake::WasAsleep) => {
                platform.wake(core);
                Ok(())
            }
            Err(full) => match full.0 {
                Envelope::Submitted(request) => Err(request),
                _ => unreachable!("what did not fit is what was pushed"),
            },
        }
    }

    /// One core's ledger.
    #[must_use]
    pub fn ledger(&self, core: CoreId) -> Option<LedgerReading> {
        self.ledgers.get(core.index()).map(|ledger| ledger.read())
    }

    pub(crate) fn ledger_of(&self, core: CoreId) -> Arc<Ledger> {
        self.ledgers[core.index()].clone()
    }

    /// All accounts: who has used what, on which core. Ordered by resource, core and activity.
    #[must_use]
    pub fn accounts(&self) -> Vec<AccountReading> {
        let mut readings = Vec::new();
        for resource in self.resources.read().iter() {
            let from = readings.len();
            for ((core, activity), account) in resource.accounts.lock().iter() {
                readings.push(AccountReading {
                    core: *core,
                    resource: resource.id,
                    activity: *activity,
                    usage: account.read(),
                });
            }
            readings[from..].sort_unstable_by_key(|reading| (reading.core, reading.activity));
        }
        readings
    }

    /// What `activity` has used of `resource` on all cores.
    #[must_use]
    pub fn usage(&self, resource: ResourceId, activity: ActivityId) -> Usage {
        let mut sum = Usage::default();
        if let Some(resource) = self.resource(resource) {
            for ((_, payer), account) in resource.accounts.lock().iter() {
                if *payer == activity {
                    sum += &account.read();
                }
            }
        }
        sum
    }

    /// Affinity labels of a resource that are bound to cores now.
    #[must_use]
    pub fn bindings(&self, resource: ResourceId) -> usize {
        self.resource(resource)
            .map_or(0, |resource| resource.bindings.len())
    }
}

/// What a load-sharing decision may look at.
pub(crate) struct View<'a, Y: System> {
    pub(crate) resource: &'a Resource<Y>,
    pub(crate) activity: ActivityId,
}

impl<Y: System> LoadView for View<'_, Y> {
    fn cores(&self) -> &[CoreId] {
        &self.resource.cores
    }

    fn bound(&self, core: CoreId) -> u64 {
        self.resource.bindings.bound(core)
    }

    fn received(&self, core: CoreId, metric: Metric) -> u64 {
        let accounts = self.resource.accounts.lock();
        accounts
            .get(&(core, self.activity))
            .map_or(0, |account| match metric {
                Metric::Cpu => account.cycles.get(),
                Metric::Bytes => account.bytes.get(),
                Metric::Requests => account.requests.get(),
                Metric::Memory => account.memory.get(),
            })
    }

    fn share(&self, core: CoreId) -> Weight {
        self.resource
            .instance
            .ask(core)
            .map_or(Weight::DEFAULT, |ask| ask.params.weight)
    }
}

impl<Y: System> Resource<Y> {
    /// Asks the policy where a label goes, for how many cycles. A core that the resource does not
    /// ask for time is not believed.
    pub(crate) fn load_share(
        &self,
        platform: &Y::Platform,
        key: crate::binding::Key,
    ) -> (CoreId, u64) {
        let shared = self.instance.policy.read().clone();
        let view = View {
            resource: self,
            activity: key.0,
        };
        let answer = platform.guard(|| <Y::Policy as Scheduler>::load_share(&shared, key.1, &view));
        match answer {
            Ok(answer) if self.cores.contains(&answer.core) => {
                (answer.core, answer.lifetime_cycles())
            }
            _ => (self.cores[0], u64::MAX),
        }
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }
}
