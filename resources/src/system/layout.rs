//! Which schedulers the configuration gives to the resources of processes.

use alloc::vec::Vec;

use vortex_schedulers::policy::Policy;
use vortex_toolkit::SchedulerSpec;
use vortex_toolkit::ids::{ActivityId, ResourceId};

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
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Thread,
        Self::Process,
        Self::AddressSpace,
        Self::Executable,
        Self::Memory,
        Self::Console,
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
        }
    }
}

/// What the configuration says about processes.
pub struct Layout {
    /// The resources that the configuration gives a scheduler of their own; never threads.
    pub own: Vec<(Kind, ResourceId)>,
    /// The homes of activities that the configuration has named: what all their schedulers ask.
    pub homes: Vec<(ActivityId, SchedulerSpec<Policy>)>,
    /// How long a thread runs before others get a turn, in nanoseconds.
    pub timeslice_ns: u64,
}
