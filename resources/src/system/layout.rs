//! Which schedulers the configuration gives to the resources of processes.
//!
//! Key types: [`Kind`], [`Layout`] (what the configuration says).

use alloc::vec::Vec;

use vortex_sched_config::value::Share;
use vortex_sched_config::{ActivityIndex, Plan};
use vortex_schedulers::instantiate::{self, Built};
use vortex_schedulers::policy::Policy;
use vortex_toolkit::ids::{ActivityId, CoreId, ResourceId};
use vortex_toolkit::scheduler::{ClientParams, SchedulerParams};
use vortex_toolkit::{SchedulerId, SchedulerSpec};

/// The kinds of resources there are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `resource.thread`, one instance per process.
    Thread,
    /// `resource.process`.
    Process,
    /// `resource.addressspace`.
    AddressSpace,
    /// `resource.executable`.
    Executable,
    /// `resource.memory`: reclaiming.
    Memory,
    /// `resource.console`.
    Console,
    /// `resource.aio`: moving data.
    Aio,
    /// `resource.filecache`.
    FileCache,
    /// `resource.ext2`.
    Ext2,
    /// `resource.storage`: volumes.
    Storage,
    /// `resource.scsi`: commands to disks.
    Scsi,
    /// `resource.sdrwr`: each activity's requests to disks, in the order of the disk.
    DiskRequest,
    /// `resource.drwr`: inserting into a controller's rings.
    DiskWrite,
    /// `resource.disk.dir`: interrupts of controllers.
    DiskInterrupt,
    /// `resource.ndrr`: demultiplexing received packets.
    NetRead,
    /// `resource.ndwr`: where packets go out.
    NetSend,
    /// `resource.tcp`: packets of TCP.
    Tcp,
    /// `resource.tcptimer`: timers of TCP.
    TcpTimer,
    /// `resource.udp`: packets of UDP.
    Udp,
    /// `resource.icmp`: packets of ICMP.
    Icmp,
    /// `resource.dwr`: inserting into an interface's rings.
    NetWrite,
    /// `resource.dir`: interrupts of interfaces.
    NetInterrupt,
    /// `resource.arp`: packets of ARP.
    Arp,
    /// `resource.dhcp`: addresses of interfaces.
    Dhcp,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 24] = [
        Self::Thread,
        Self::Process,
        Self::AddressSpace,
        Self::Executable,
        Self::Memory,
        Self::Console,
        Self::Aio,
        Self::FileCache,
        Self::Ext2,
        Self::Storage,
        Self::Scsi,
        Self::DiskRequest,
        Self::DiskWrite,
        Self::DiskInterrupt,
        Self::NetRead,
        Self::NetSend,
        Self::Tcp,
        Self::TcpTimer,
        Self::Udp,
        Self::Icmp,
        Self::NetWrite,
        Self::NetInterrupt,
        Self::Arp,
        Self::Dhcp,
    ];

    /// The dotted name in configuration files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Thread => "resource.thread",
            Self::Process => "resource.process",
            Self::AddressSpace => "resource.addressspace",
            Self::Executable => "resource.executable",
            Self::Memory => "resource.memory",
            Self::Console => "resource.console",
            Self::Aio => "resource.aio",
            Self::FileCache => "resource.filecache",
            Self::Ext2 => "resource.ext2",
            Self::Storage => "resource.storage",
            Self::Scsi => "resource.scsi",
            Self::DiskRequest => "resource.sdrwr",
            Self::DiskWrite => "resource.drwr",
            Self::DiskInterrupt => "resource.disk.dir",
            Self::NetRead => "resource.ndrr",
            Self::NetSend => "resource.ndwr",
            Self::Tcp => "resource.tcp",
            Self::TcpTimer => "resource.tcptimer",
            Self::Udp => "resource.udp",
            Self::Icmp => "resource.icmp",
            Self::NetWrite => "resource.dwr",
            Self::NetInterrupt => "resource.dir",
            Self::Arp => "resource.arp",
            Self::Dhcp => "resource.dhcp",
        }
    }
}

/// What the configuration says about processes: the plan, and what has become of it.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The plan.
    pub plan: Plan,
    /// What has become of its schedulers.
    pub schedulers: Vec<Built>,
    /// The homes of its activities, in their order.
    pub homes: Vec<SchedulerId>,
    /// Cycles of the clock in a second.
    pub hertz: u64,
}

/// What the resources of one activity's processes are to be.
#[derive(Clone, Debug)]
pub(crate) struct HomePlan {
    /// The policy and its parameters, for each instance of the Thread Resource.
    pub(crate) policy: Policy,
    pub(crate) params: SchedulerParams,
    /// The cores on which threads may run.
    pub(crate) cores: Vec<CoreId>,
    /// How long a thread runs before others get a turn, in cycles.
    pub(crate) timeslice: u64,
}

impl Layout {
    /// The activity's place in the plan, if it is there.
    fn index(&self, activity: ActivityId) -> Option<ActivityIndex> {
        let index = activity.0 as usize;
        (index < self.plan.activities.len()).then_some(ActivityIndex(index))
    }

    /// The home of an activity of the plan's.
    pub(crate) fn home(&self, activity: ActivityId) -> Option<SchedulerId> {
        self.homes.get(self.index(activity)?.0).copied()
    }

    /// The home of an activity that the plan does not have.
    pub(crate) fn new_home(&self, params: ClientParams) -> SchedulerSpec<Policy> {
        let share = Share::from_thousandths(params.weight.get()).unwrap_or_default();
        instantiate::home(&self.plan, share, &self.schedulers, self.hertz)
    }

    /// What an activity's threads are scheduled by, inside its home.
    pub(crate) fn threads(&self, activity: ActivityId, home: SchedulerId) -> HomePlan {
        let index = self.index(activity);
        let timeslice = instantiate::timeslice(&self.plan, index, self.hertz);
        match instantiate::thread_instance(&self.plan, index, home, self.hertz) {
            Ok(spec) => HomePlan {
                policy: spec.policy,
                params: spec.params,
                cores: spec.asks.iter().map(|ask| ask.core).collect(),
                timeslice,
            },
            // A plan with a policy that there is not has not been instantiated.
            Err(error) => {
                log::error!("{error}: {} instead", Policy::Wfq.name());
                let spec = instantiate::kernel_instance(&self.plan, home);
                HomePlan {
                    policy: spec.policy,
                    params: spec.params,
                    cores: spec.asks.iter().map(|ask| ask.core).collect(),
                    timeslice,
                }
            }
        }
    }

    /// An activity's instance of a resource that the plan gives no scheduler.
    pub(crate) fn kernel_instance(&self, home: SchedulerId) -> SchedulerSpec<Policy> {
        instantiate::kernel_instance(&self.plan, home)
    }

    /// The policy and the parameters that the configuration has for a resource that is one for all
    /// activities.
    pub(crate) fn governs(&self, resource: ResourceId) -> Option<(Policy, SchedulerParams)> {
        instantiate::governs(&self.plan, &self.schedulers, resource, self.hertz)
    }

    /// The resource of this kind that the configuration gives a scheduler of its own.
    pub(crate) fn own(&self, kind: Kind) -> Option<ResourceId> {
        let mut all = self.plan.schedulers.iter().zip(&self.schedulers);
        all.find(|(plan, _)| plan.resource.as_deref() == Some(kind.name()))
            .and_then(|(_, built)| built.resource)
    }
}
