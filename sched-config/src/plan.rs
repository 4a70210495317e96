//! The resolved configuration: every name an index, every default filled in.
//!
//! A [`Plan`] is what the kernel instantiates and what `cargo xtask config check` prints, so the
//! two cannot differ. It is made by [`crate::load`] or [`Plan::new`] from a configuration without
//! faults, and holds: every index is in range; `activities[0]` is the infrastructure; `cores` is
//! in the order of core numbers; a scheduler stands after all schedulers that it asks; following
//! [`Asks::Scheduler`] always ends at cores.
//!
//! Every activity has a *home*: a scheduler of schedulers that asks on every core, and below which
//! is all that is done for the activity but what has a scheduler in the file: its threads, and its
//! part of every resource that the file does not name. What it gets on a core is what the file
//! gives the activity's threads there ([`Plan::home`]).

use alloc::string::String;
use alloc::vec::Vec;

mod build;
mod home;

pub(crate) use home::HomeRule;

use crate::config::{Network, Variable};
use crate::value::{
    Bytes, Core, LoadSharingPolicy, Metric, Microseconds, Priority, Right, Share, Ttl,
};

/// An index into [`Plan::activities`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActivityIndex(pub usize);

impl ActivityIndex {
    /// The infrastructure activity.
    pub const INFRASTRUCTURE: Self = Self(0);
}

/// An index into [`Plan::schedulers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchedulerIndex(pub usize);

/// What is to be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// All activities: the infrastructure, those of the file, then one for each process that names
    /// none.
    pub activities: Vec<ActivityPlan>,
    /// The CPU multiplexors, one per core that is used.
    pub cores: Vec<CorePlan>,
    /// The schedulers, each after all that it asks. Those of threads ask nobody themselves: see
    /// [`Self::threads`].
    pub schedulers: Vec<SchedulerPlan>,
    /// For each activity, in their order, whom its home asks, and what it gets there.
    pub homes: Vec<Vec<(Asks, Parameters)>>,
    pub(crate) rule: HomeRule,
    /// The network interfaces.
    pub networks: Vec<Network>,
    /// The processes to start, in this order.
    pub processes: Vec<ProcessPlan>,
}

/// An activity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivityPlan {
    /// Its name.
    pub name: String,
    /// Its share wherever nothing else is said.
    pub weight: Share,
    /// The memory it may hold at most.
    pub memory: Option<Bytes>,
    /// The CPU time it may use at most, on all cores together.
    pub cpu: Option<Budget>,
}

/// So much CPU time in every period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The CPU time.
    pub time: Microseconds,
    /// How often it is renewed.
    pub period: Microseconds,
}

/// What a client is given. A scheduler looks only at what its algorithm takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// Its share.
    pub share: Share,
    /// Its priority.
    pub priority: Priority,
    /// Its deadline, relative to the arrival of a request; `None` is after all others.
    pub deadline: Option<Microseconds>,
    /// What it may use at most.
    pub budget: Option<Budget>,
}

/// The CPU multiplexor of one core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorePlan {
    /// The core.
    pub core: Core,
    /// Its tag in the file.
    pub tag: String,
    /// The dotted name of its algorithm.
    pub algorithm: String,
    /// How long a scheduler that has been without work may be served first; `None` for not at all.
    pub burst: Option<Microseconds>,
    /// The schedulers that ask it, and what each gets.
    pub clients: Vec<(Asker, Parameters)>,
}

/// Who asks for CPU time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asker {
    /// A scheduler of the plan.
    Scheduler(SchedulerIndex),
    /// The home of an activity.
    Home(ActivityIndex),
}

/// Whom a scheduler asks for CPU time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asks {
    /// The multiplexor of a core, as an index into [`Plan::cores`].
    Core(usize),
    /// Another scheduler, which stands before the asking one.
    Scheduler(SchedulerIndex),
}

/// Which instances of a resource a scheduler is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instance {
    /// The one instance there is.
    Only,
    /// The instance of this activity's processes.
    Of(ActivityIndex),
    /// The instances of all activities without one of their own.
    Pattern,
}

/// A scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchedulerPlan {
    /// What messages call it: its tag, or its resource, with the activity if it is of one.
    pub name: String,
    /// The dotted name of its resource; `None` for a scheduler of schedulers alone.
    pub resource: Option<String>,
    /// Which instances of the resource it is for.
    pub instance: Instance,
    /// The dotted name of its algorithm.
    pub algorithm: String,
    /// What it charges by.
    pub metric: Metric,
    /// How it binds affinity labels to its cores.
    pub load_sharing: LoadSharingPlan,
    /// How long a thread runs at a time; of use to `resource.thread` only.
    pub timeslice: Microseconds,
    /// Whom it asks, and what it gets there. For threads: what the homes of their activities get;
    /// all those that have a pattern in common divide its shares by their weights.
    pub asks: Vec<(Asks, Parameters)>,
    /// The indices into [`Plan::cores`] of all cores it is bound to, also through schedulers that
    /// it asks; ascending, never empty.
    pub cores: Vec<usize>,
    /// What single activities get here, ascending; all others get what
    /// [`SchedulerPlan::client`] says.
    pub clients: Vec<(ActivityIndex, Parameters)>,
    /// The schedulers that ask this one, and what each gets.
    pub schedulers: Vec<(Asker, Parameters)>,
}

impl SchedulerPlan {
    /// Whether it is of the threads of processes: then it asks the home of their activity.
    #[must_use]
    pub const fn is_of_threads(&self) -> bool {
        matches!(self.instance, Instance::Of(_) | Instance::Pattern)
    }

    /// What an activity of this weight gets here.
    #[must_use]
    pub fn client(&self, activity: ActivityIndex, weight: Share) -> Parameters {
        match self
            .clients
            .binary_search_by_key(&activity, |(activity, _)| *activity)
        {
            Ok(found) => self.clients[found].1,
            Err(_) => Parameters {
                share: weight,
                ..Parameters::default()
            },
        }
    }
}

/// How a scheduler binds affinity labels to its cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadSharingPlan {
    /// The policy, with how long its bindings hold.
    Policy(LoadSharingPolicy, Ttl),
    /// Always this core, as an index into [`Plan::cores`], with how long its bindings hold.
    Fixed(usize, Ttl),
}

/// A process to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessPlan {
    /// Its name.
    pub name: String,
    /// The activity it belongs to.
    pub activity: ActivityIndex,
    /// The absolute path of its program.
    pub path: String,
    /// Its arguments after the path.
    pub args: Vec<String>,
    /// Its environment.
    pub env: Vec<Variable>,
    /// Where its output goes; the console if nowhere else.
    pub stdout: Option<String>,
    /// What it may do beyond its own activity.
    pub rights: Vec<Right>,
}
