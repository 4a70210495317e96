//! Homes: each activity has a scheduler that all resources of its processes ask, so that whatever is
//! done for it is inside its share, however many processes it has.
//!
//! Key types: [`Home`].

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use spin::Mutex;
use vortex_schedulers::policy::Policy;
use vortex_toolkit::ids::{ActivityId, AffinityLabel, CoreId, ResourceId};
use vortex_toolkit::memory::Owner;
use vortex_toolkit::record::Metric;
use vortex_toolkit::scheduler::{ClientParams, LoadSharing, SchedulerParams, Weight};
use vortex_toolkit::{
    Ask, Asker, Context, Control, Grid, Parent, Reason, SchedulerId, SchedulerSpec,
};

use super::layout::HomePlan;
use super::{Kind, Shared, Vortex};
use crate::errno::Errno;
use crate::files::Quota;
use crate::machine::Machine;
use crate::net::{Payer, Purse, WORKERS};

/// What a request about files goes through, from the Asynchronous I/O or the File Cache Resource
/// on, under the label that it began with.
const BEHIND_FILES: [Kind; 7] = [
    Kind::Aio,
    Kind::FileCache,
    Kind::AddressSpace,
    Kind::Ext2,
    Kind::Storage,
    Kind::Scsi,
    Kind::DiskRequest,
];

/// What a ring's resource gets of the first core that the configuration does not mention, in
/// thousandths of weight, as the homes of activities are weighed: who inserts as much as an activity
/// about which nothing is said; who takes out a tenth of it, which nobody pays who could be held to
/// a share: so a flood of interrupts takes little from the others, and one interrupt is soon seen to.
const WRITE_WEIGHT: u32 = 100_000;
const INTERRUPT_WEIGHT: u32 = 10_000;

/// No resource.
const NONE: u32 = u32::MAX;

/// Processes and threads that an activity may have: what they take of the kernel's own memory is
/// bounded by that.
const PROCESS_LIMIT: u32 = 1024;
const THREAD_LIMIT: u32 = 8192;
/// Files that its epolls may watch.
const WATCH_LIMIT: u32 = 65_536;
/// Advisory locks that its processes may hold. Whoever looks at a file's locks goes through them.
const LOCK_LIMIT: u32 = 4096;
/// TCP connections that it may have, those that nobody has accepted yet among them: a quarter of what one
/// core's table has room for. In TIME-WAIT there is nothing left that anybody has.
const CONNECTION_LIMIT: u32 = 16_384;
/// Bytes that its sockets may hold.
pub(crate) const SOCKET_LIMIT: u64 = 128 << 20;

/// One activity's home.
pub(crate) struct Home {
    pub(crate) activity: ActivityId,
    pub(crate) scheduler: SchedulerId,
    plan: HomePlan,
    /// The resources of each kind, [`NONE`] before the first use. Made with the lock held.
    resources: [AtomicU32; Kind::ALL.len()],
    making: Mutex<()>,
    /// For each kind, the cores (one bit each) whose label has been bound.
    bound: [AtomicU64; Kind::ALL.len()],
    processes: AtomicU32,
    threads: AtomicU32,
    /// No thread of its processes runs; see [`crate::process::Process::is_held`].
    pub(crate) is_suspended: AtomicBool,
    /// The watches of its epolls.
    pub(crate) watches: Arc<Quota>,
    /// The advisory locks that its processes hold.
    pub(crate) locks: Arc<Quota>,
    /// What its sockets hold.
    pub(crate) purse: Arc<Purse>,
    /// Its TCP connections.
    pub(crate) connections: Arc<Quota>,
    /// Threads placed on each core.
    placed: Vec<AtomicU32>,
}

/// The homes there are.
pub(crate) type Homes = Mutex<BTreeMap<ActivityId, Arc<Home>>>;

impl Home {
    fn new(activity: ActivityId, scheduler: SchedulerId, plan: HomePlan, cores: usize) -> Self {
        Self {
            activity,
            scheduler,
            plan,
            resources: core::array::from_fn(|_| AtomicU32::new(NONE)),
            making: Mutex::new(()),
            bound: core::array::from_fn(|_| AtomicU64::new(0)),
            processes: AtomicU32::new(0),
            threads: AtomicU32::new(0),
            is_suspended: AtomicBool::new(false),
            watches: Quota::new(WATCH_LIMIT),
            locks: Quota::new(LOCK_LIMIT),
            purse: Purse::new(SOCKET_LIMIT),
            connections: Quota::new(CONNECTION_LIMIT),
            placed: counts(cores),
        }
    }

    /// Another instance of the Thread Resource.
    pub(crate) fn thread_resource<M: Machine>(&self, grid: &Grid<Vortex<M>>) -> ResourceId {
        let ask = |core: &CoreId| Ask {
            core: *core,
            parent: Parent::Scheduler(self.scheduler),
            params: ClientParams::default(),
        };
        let spec = SchedulerSpec {
            policy: self.plan.policy,
            params: self.plan.params,
            asks: self.plan.cores.iter().map(ask).collect(),
        };
        grid.add_resource(Kind::Thread.name(), spec)
    }

    /// How long a thread runs before others get a turn, in cycles.
    pub(crate) const fn timeslice(&self) -> u64 {
        self.plan.timeslice
    }

    /// One more process, with its first thread.
    pub(crate) fn enter(&self) -> Result<(), Errno> {
        count_up(&self.processes, PROCESS_LIMIT)?;
        self.add_thread().inspect_err(|_| {
            self.processes.fetch_sub(1, Ordering::Relaxed);
        })
    }

    /// One process less.
    pub(crate) fn leave(&self) {
        self.processes.fetch_sub(1, Ordering::Relaxed);
    }

    /// A process that was entered could not be started.
    pub(crate) fn abandon(&self) {
        self.leave();
        self.remove_threads(1);
    }

    pub(crate) fn add_thread(&self) -> Result<(), Errno> {
        count_up(&self.threads, THREAD_LIMIT)
    }

    pub(crate) fn remove_threads(&self, count: u32) {
        self.threads.fetch_sub(count, Ordering::Relaxed);
    }

    /// Moves a process with so many threads here.
    pub(crate) fn adopt(&self, from: &Self, threads: u32) {
        self.processes.fetch_add(1, Ordering::Relaxed);
        self.threads.fetch_add(threads, Ordering::Relaxed);
        from.leave();
        from.remove_threads(threads);
    }
}

fn count_up(count: &AtomicU32, limit: u32) -> Result<(), Errno> {
    let up = |count: u32| (count < limit).then_some(count + 1);
    count
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, up)
        .map(|_| ())
        .map_err(|_| Errno::EAGAIN)
}

/// A count for each core.
pub(super) fn counts(cores: usize) -> Vec<AtomicU32> {
    core::iter::repeat_with(|| AtomicU32::new(0))
        .take(cores)
        .collect()
}

/// The label of what is to stay on a core. Numbers of threads are below it.
fn near(core: CoreId) -> AffinityLabel {
    AffinityLabel(1 << 63 | u64::from(core.0))
}

impl<M: Machine> Shared<M> {
    /// An activity's home, which is made at first use.
    pub(crate) fn home(&self, activity: ActivityId) -> Arc<Home> {
        let mut homes = self.homes.lock();
        let make = || {
            let scheduler = self.layout.home(activity).unwrap_or_else(|| {
                let params = self.grid.activity_params(activity).unwrap_or_default();
                let scheduler = self.grid.add_scheduler(self.layout.new_home(params));
                self.grid.set_home(activity, scheduler);
                scheduler
            });
            let plan = self.layout.threads(activity, scheduler);
            Arc::new(Home::new(activity, scheduler, plan, self.grid.cores()))
        };
        homes.entry(activity).or_insert_with(make).clone()
    }

    /// The one instance of a resource of this kind, if it is not each activity's own: by the
    /// configuration, or as those that insert into the rings of devices always are.
    fn own(&self, kind: Kind) -> Option<ResourceId> {
        let configured = self.layout.own(kind);
        match kind {
            Kind::DiskWrite | Kind::DiskInterrupt if configured.is_none() => {
                Some(self.storage.ring(kind, || self.make_ring(kind)))
            }
            Kind::NetWrite | Kind::NetInterrupt if configured.is_none() => {
                Some(self.nics.ring(kind, || self.make_ring(kind)))
            }
            _ => configured,
        }
    }

    /// The policy and the parameters of the scheduler of a resource that is one for all activities:
    /// as they were at first, whatever has been changed since.
    pub(crate) fn governs(&self, resource: ResourceId) -> Option<(Policy, SchedulerParams)> {
        const RINGS: [Kind; 4] = [
            Kind::DiskWrite,
            Kind::DiskInterrupt,
            Kind::NetWrite,
            Kind::NetInterrupt,
        ];
        self.layout.governs(resource).or_else(|| {
            let name = self.grid.resource_name(resource)?;
            let is_ring = RINGS.iter().any(|kind| kind.name() == name);
            is_ring.then_some((Policy::Wfq, SchedulerParams::default()))
        })
    }

    /// Makes a ring's resource, for a system with such devices whose configuration does not mention it.
    fn make_ring(&self, kind: Kind) -> ResourceId {
        let weight = match kind {
            Kind::DiskInterrupt | Kind::NetInterrupt => INTERRUPT_WEIGHT,
            _ => WRITE_WEIGHT,
        };
        let weight = Weight::new(weight).unwrap_or(Weight::DEFAULT);
        let mut spec = SchedulerSpec::on(Policy::Wfq, [CoreId(0)], weight);
        spec.params.metric = Metric::Bytes;
        self.grid.add_resource(kind.name(), spec)
    }

    /// Where requests of `activity` to a resource of this kind go: to the one instance, if the
    /// configuration gives it a scheduler; else to the activity's own, which works within the
    /// activity's share and is made at first use.
    ///
    /// Takes a lock, but for the infrastructure; who has the process at hand asks
    /// [`crate::process::Process::destination`].
    pub fn destination(&self, kind: Kind, activity: ActivityId) -> ResourceId {
        if activity == ActivityId::INFRASTRUCTURE {
            let home = self.infrastructure.call_once(|| self.home(activity));
            return self.destination_at(home, kind);
        }
        self.destination_at(&self.home(activity), kind)
    }

    pub(crate) fn destination_at(&self, home: &Home, kind: Kind) -> ResourceId {
        let place = &home.resources[kind as usize];
        let known = place.load(Ordering::Acquire);
        if known != NONE {
            return ResourceId(known);
        }
        let _making = home.making.lock();
        let known = place.load(Ordering::Acquire);
        if known != NONE {
            return ResourceId(known);
        }
        let made = self.own(kind).unwrap_or_else(|| {
            let spec = self.layout.kernel_instance(home.scheduler);
            let made = self.grid.add_resource(kind.name(), spec);
            if matches!(kind, Kind::Executable | Kind::FileCache) {
                self.memory.register(made);
            }
            made
        });
        place.store(made.0, Ordering::Release);
        made
    }

    /// Who pays for what an activity's sockets do.
    pub(crate) fn payer(&self, home: &Home) -> Payer {
        let workers = WORKERS.map(|kind| self.destination_at(home, kind));
        Payer {
            owner: Owner {
                resource: workers[0],
                activity: home.activity,
                cookie: 0,
            },
            purse: home.purse.clone(),
            connections: home.connections.clone(),
            workers,
        }
    }

    /// Chooses the core of a new thread, if the policy is to have the fewest on each: of the
    /// activity's cores the one with the fewest of the activity's threads, then of all threads;
    /// then the one that this is, for the creator of threads often waits for them. (The policy
    /// itself sees one process's threads only, so all first threads could meet on one core.)
    pub(crate) fn place(
        &self,
        home: &Home,
        here: CoreId,
        may: impl Fn(CoreId) -> bool,
    ) -> Option<CoreId> {
        if home.plan.params.load_sharing != LoadSharing::LeastBound {
            return None;
        }
        let asks = home.plan.cores.iter().copied();
        let count = |counts: &[AtomicU32], core: CoreId| {
            counts
                .get(core.index())
                .map_or(u32::MAX, |count| count.load(Ordering::Relaxed))
        };
        let order = |core: &CoreId| {
            let (own, all) = (count(&home.placed, *core), count(&self.placed, *core));
            (own, all, *core != here)
        };
        let chosen = asks.filter(|core| may(*core)).min_by_key(order)?;
        home.placed[chosen.index()].fetch_add(1, Ordering::Relaxed);
        self.placed[chosen.index()].fetch_add(1, Ordering::Relaxed);
        Some(chosen)
    }

    /// A thread that was placed on a core is there no more.
    pub(crate) fn displace(&self, home: &Home, core: CoreId) {
        home.placed[core.index()].fetch_sub(1, Ordering::Relaxed);
        self.placed[core.index()].fetch_sub(1, Ordering::Relaxed);
    }

    /// The label by which a request of an activity stays on the core where it is sent; so does what
    /// it has other resources do.
    pub(crate) fn near(
        &self,
        context: &mut Context<'_, Vortex<M>>,
        home: &Home,
        kind: Kind,
    ) -> AffinityLabel {
        let core = context.core();
        let bit = 1_u64.checked_shl(u32::from(core.0)).unwrap_or(0);
        if home.bound[kind as usize].fetch_or(bit, Ordering::Relaxed) & bit == 0 || bit == 0 {
            self.bind_near(context, home, kind);
            if matches!(kind, Kind::Aio | Kind::FileCache) {
                for behind in BEHIND_FILES {
                    let bound = &home.bound[behind as usize];
                    if bound.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
                        self.bind_near(context, home, behind);
                    }
                }
            }
        }
        near(core)
    }

    /// Binds the label [`near`] to the core that this is, at a resource of this kind. One that does
    /// not ask for time here chooses a core itself.
    fn bind_near(&self, context: &mut Context<'_, Vortex<M>>, home: &Home, kind: Kind) {
        let core = context.core();
        let resource = self.destination_at(home, kind);
        let bound = context.bind(resource, home.activity, near(core), core);
        if let Err(Reason::NoActivity | Reason::NoResource) = bound {
            log::debug!("{} of an activity that has ended", kind.name());
        }
    }

    /// What an activity's home gets from a core's multiplexor, or from all.
    pub fn set_share(
        &self,
        context: &mut Context<'_, Vortex<M>>,
        activity: ActivityId,
        core: Option<CoreId>,
        params: ClientParams,
    ) {
        let asker = Asker::Scheduler(self.home(activity).scheduler);
        context.control(&Control::SetAsk(asker, core, params));
    }

    /// What an activity's home gets from a core's multiplexor; `None` if it does not ask there.
    pub fn share(&self, activity: ActivityId, core: CoreId) -> Option<ClientParams> {
        let asker = Asker::Scheduler(self.home(activity).scheduler);
        self.grid.ask(asker, core).map(|ask| ask.params)
    }

    /// What an activity's home weighs, where it asks first; `None` if it asks nobody.
    pub fn weight(&self, activity: ActivityId) -> Option<Weight> {
        let cores = u16::try_from(self.grid.cores()).unwrap_or(u16::MAX);
        let mut shares = (0..cores).filter_map(|core| self.share(activity, CoreId(core)));
        shares.next().map(|params| params.weight)
    }

    /// Whether an activity's processes are held.
    pub fn is_suspended(&self, activity: ActivityId) -> bool {
        let home = self.homes.lock().get(&activity).cloned();
        home.is_some_and(|home| home.is_suspended.load(Ordering::SeqCst))
    }

    /// Ends an activity that has no processes: its home and its resources go.
    ///
    /// # Errors
    /// EBUSY if it has processes; EPERM for the infrastructure.
    pub fn end_activity(
        &self,
        context: &mut Context<'_, Vortex<M>>,
        activity: ActivityId,
    ) -> Result<(), Errno> {
        if activity == ActivityId::INFRASTRUCTURE {
            return Err(Errno::EPERM);
        }
        let mut homes = self.homes.lock();
        let home = homes.get(&activity).cloned();
        if let Some(home) = &home {
            if home.processes.load(Ordering::Relaxed) > 0 {
                return Err(Errno::EBUSY);
            }
            homes.remove(&activity);
        }
        drop(homes);
        if let Some(home) = home {
            for (kind, place) in Kind::ALL.iter().zip(&home.resources) {
                let made = place.load(Ordering::Acquire);
                if made != NONE && self.own(*kind).is_none() {
                    context.control(&Control::RemoveResource(ResourceId(made)));
                }
            }
            if self.layout.home(activity).is_none() {
                context.control(&Control::RemoveScheduler(home.scheduler));
            }
        }
        context.control(&Control::EndActivity(activity));
        Ok(())
    }
}
