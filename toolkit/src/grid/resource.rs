//! Resources and schedulers, as cores share them.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::binding::{Bindings, FastMap, Key};
use crate::ids::{ActivityId, CoreId, ResourceId};
use crate::record::Metric;
use crate::scheduler::{ClientParams, LoadView, Scheduler, Weight};
use crate::statistics::Account;
use crate::sync::{Mutex, RwLock};
use crate::system::{Platform, System};

use super::{Ask, SchedulerSpec, Shared};

/// One scheduler instance, as its cores share it.
pub(crate) struct Instance<Y: System> {
    pub(crate) policy: RwLock<Arc<Shared<Y>>>,
    /// See [`crate::scheduler::SchedulerParams::limit`].
    pub(crate) is_limited: bool,
    asks: RwLock<Vec<Ask>>,
}

impl<Y: System> Instance<Y> {
    pub(crate) fn new(spec: SchedulerSpec<Y::Policy>) -> Self {
        let shared = Arc::new(spec.policy.init(&spec.params));
        Self {
            policy: RwLock::new(shared),
            is_limited: spec.params.limit.is_some(),
            asks: RwLock::new(spec.asks),
        }
    }

    /// Where it asks on `core`, if it does.
    pub(crate) fn ask(&self, core: CoreId) -> Option<Ask> {
        let asks = self.asks.read();
        asks.iter().find(|ask| ask.core == core).copied()
    }

    /// Changes what it is to those it asks: on one core, or on all.
    pub(crate) fn set_ask(&self, core: Option<CoreId>, params: ClientParams) {
        for ask in self.asks.write().iter_mut() {
            if core.is_none_or(|core| ask.core == core) {
                ask.params = params;
            }
        }
    }
}

/// How far the removal of something has come that every core may have a part of.
pub(crate) struct Removal {
    begun: AtomicBool,
    /// Cores that may still have a part.
    remaining: AtomicUsize,
}

impl Removal {
    pub(crate) const fn of(cores: usize) -> Self {
        Self {
            begun: AtomicBool::new(false),
            remaining: AtomicUsize::new(cores),
        }
    }

    /// True for the first who begins it.
    pub(crate) fn begin(&self) -> bool {
        !self.begun.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// A core, once, has no part any more. True for the last one, which sees all that the others
    /// did before.
    pub(crate) fn leave(&self) -> bool {
        self.remaining.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

/// A scheduler without a resource, as cores share it.
pub(crate) struct Inner<Y: System> {
    pub(crate) instance: Instance<Y>,
    pub(crate) removal: Removal,
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
    pub(crate) removal: Removal,
}

impl<Y: System> Resource<Y> {
    pub(crate) fn new(
        id: ResourceId,
        name: String,
        spec: SchedulerSpec<Y::Policy>,
        cores: usize,
    ) -> Self {
        let own = spec.asks.iter().map(|ask| ask.core).collect();
        Self::with(id, name, Instance::new(spec), own, cores)
    }

    /// One that takes no requests: it has the accounts of those of the same name that have gone.
    pub(crate) fn heir(id: ResourceId, of: &Self) -> Self {
        let instance = Instance {
            policy: RwLock::new(of.instance.policy.read().clone()),
            is_limited: false,
            asks: RwLock::new(Vec::new()),
        };
        let heir = Self::with(id, of.name.clone(), instance, Vec::new(), of.full.len());
        let _first = heir.removal.begin();
        heir
    }

    fn with(
        id: ResourceId,
        name: String,
        instance: Instance<Y>,
        own: Vec<CoreId>,
        cores: usize,
    ) -> Self {
        Self {
            id,
            name,
            cores: own,
            instance,
            clients: Mutex::new(FastMap::default()),
            bindings: Bindings::new(cores),
            accounts: Mutex::new(FastMap::default()),
            suspended: AtomicBool::new(false),
            full: core::iter::repeat_with(|| AtomicBool::new(false))
                .take(cores)
                .collect(),
            removal: Removal::of(cores),
        }
    }

    pub(crate) fn account(&self, core: CoreId, activity: ActivityId) -> Arc<Account> {
        self.accounts
            .lock()
            .entry((core, activity))
            .or_default()
            .clone()
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.removal.has_begun()
    }

    /// Asks the policy where a label goes, for how many cycles. A core that the resource does not
    /// ask for time is not believed.
    pub(crate) fn load_share(&self, platform: &Y::Platform, key: Key) -> (CoreId, u64) {
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
}

/// What a load-sharing decision may look at.
struct View<'a, Y: System> {
    resource: &'a Resource<Y>,
    activity: ActivityId,
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
