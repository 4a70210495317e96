//! The grid on the machine's cores (paper, figure 1c): the toolkit's cores, each on a real one.
//!
//! Key types: [`Wired`] (a system that the kernel's cores can run: the kernel's own, [`Vortex`], or
//! that of a self-test), [`Shared`] (what its cores reach), [`Local`] (the core that this is, at
//! work). [`start`] builds the grid from the configuration on the boot core and gives every other
//! core its seed as a job; from then on each of these cores is in its loop for good. Cores that
//! the configuration does not name stay in [`jobs::idle`].
//!
//! Invariant: a core halts only when nothing is left for it to do, and what arrives between that
//! decision and the halt ends the halt: see [`vortex_hal::wakeup`].

mod configuration;
mod hardware;
pub(crate) mod interrupts;
mod platform;
mod summary;

use alloc::sync::Arc;
use alloc::vec::Vec;

use spin::{Mutex, Once};
use vortex_hal::cores::{self, CoreIndex};
use vortex_hal::{clock, cpu, timer, wakeup};
use vortex_kernel_base::ramdisk::Ramdisk;
use vortex_sched_config::Plan;
use vortex_schedulers::Policy;
use vortex_schedulers::instantiate::{Built, Instantiated};
use vortex_toolkit::{Context, Core, Grid, SchedulerId, Seed, Step, System};

pub(crate) use self::configuration::FILE as CONFIGURATION;
pub(crate) use self::hardware::Hardware;
use self::interrupts::Interrupts;
use self::platform::Whose;
pub(crate) use self::platform::{Places, Processor};
use crate::jobs;

/// How long a core with nothing to do looks for work of other cores before it halts, in nanoseconds: waking
/// a halted core costs an interrupt and, under emulation, much more. One without others does not: what
/// devices and timers have for it comes by an interrupt anyway.
const POLL_NS: u64 = 20_000;

/// A system that the kernel's cores can run; one system runs until the machine ends.
pub(crate) trait Wired: System<Platform = Processor, Policy = Policy> {
    /// Where it is reached from all cores and from interrupt handlers.
    fn wiring() -> &'static Wiring<Self>;

    /// The resources of the core that this runs on, which is entering the grid.
    fn resources(shared: &'static Shared<Self>) -> Self::Resources;

    /// When the resources of this core have something to do by themselves, in cycles.
    fn next_due(resources: &Self::Resources) -> Option<u64> {
        let _ = resources;
        None
    }

    /// Has them do what is due.
    fn run_due(resources: &mut Self::Resources, context: &mut Context<'_, Self>) {
        let _ = (resources, context);
    }
}

/// The statics of a system.
pub(crate) struct Wiring<Y: System> {
    shared: Once<Shared<Y>>,
    /// The seeds of cores that have not taken theirs, by the grid's numbers.
    seeds: Mutex<Vec<Option<Seed<Y>>>>,
    interrupts: Interrupts<Y>,
}

impl<Y: System> Wiring<Y> {
    /// Of a system that does not run.
    pub(crate) const fn new() -> Self {
        Self {
            shared: Once::new(),
            seeds: Mutex::new(Vec::new()),
            interrupts: Interrupts::new(),
        }
    }
}

/// What all cores of a system reach.
pub(crate) struct Shared<Y: System> {
    /// The grid.
    pub(crate) grid: Arc<Grid<Y>>,
    /// The configuration.
    pub(crate) plan: Plan,
    /// What has become of the plan's schedulers.
    pub(crate) schedulers: Vec<Built>,
    /// What each of the plan's activities has as its home.
    pub(crate) homes: Vec<SchedulerId>,
    /// Which core of the machine each core of the grid is.
    pub(crate) places: Places,
}

/// Builds the grid that the configuration in `ramdisk` describes and has all its cores enter it.
/// Once, on the boot core, when all cores wait in [`jobs::idle`].
pub(crate) fn start<Y: Wired>(ramdisk: Option<&Ramdisk<'_>>) -> (&'static Shared<Y>, Local<Y>) {
    let online: Vec<CoreIndex> = cores::online().map(cores::Core::index).collect();
    let chosen = configuration::choose::<Y>(ramdisk, online.len(), clock::tsc_hz());
    let Instantiated {
        builder,
        cores,
        schedulers,
        homes,
    } = chosen.instantiated;
    let (grid, seeds) = builder.build();
    let wiring = Y::wiring();
    let shared = wiring.shared.call_once(|| Shared {
        grid,
        plan: chosen.plan,
        schedulers,
        homes,
        places: Places::new(&online, &cores),
    });
    summary::log(shared, chosen.source, &online);
    *wiring.seeds.lock() = seeds.into_iter().map(Some).collect();
    let me = cores::current_index();
    let machine = shared.places.machine().iter();
    for &core in machine.filter(|&&core| core != me) {
        jobs::give(cores::get(core), enter::<Y>);
    }
    (shared, Local::new(shared))
}

/// The life of a core of the grid.
fn enter<Y: Wired>() {
    if let Some(shared) = Y::wiring().shared.get() {
        Local::<Y>::new(shared).run()
    }
}

/// The core that this is, at work.
pub(crate) struct Local<Y: Wired> {
    /// Its part of the grid; `None` for a boot core that the configuration does not name.
    core: Option<Core<Y>>,
    /// The core, seen from outside the grid.
    platform: Processor,
    /// How long it looks for work of other cores before it halts, in nanoseconds: 0 if there are none.
    poll_ns: u64,
}

impl<Y: Wired> Local<Y> {
    /// Takes this core's seed, if there is one.
    fn new(shared: &'static Shared<Y>) -> Self {
        let platform = Processor::new(&shared.places);
        let take_seed = |core: vortex_toolkit::ids::CoreId| {
            let mut seeds = Y::wiring().seeds.lock();
            seeds.get_mut(core.index())?.take()
        };
        let seed = shared.places.here().and_then(take_seed);
        let me = cores::current_index();
        let has_others = shared.places.machine().iter().any(|&core| core != me);
        Self {
            core: seed.map(|seed| Core::new(seed, platform, Y::resources(shared))),
            platform,
            poll_ns: if has_others { POLL_NS } else { 0 },
        }
    }

    /// The core, seen from outside the grid.
    pub(crate) const fn platform(&self) -> &Processor {
        &self.platform
    }

    /// Serves requests for good.
    pub(crate) fn run(mut self) -> ! {
        loop {
            self.turn(u64::MAX);
        }
    }

    /// Serves requests until `over` says so, which is asked again whenever this core has done
    /// something or was woken ([`wake_boot_core`]); until `end`, in cycles, at the latest. True if
    /// `over` has come to hold.
    pub(crate) fn run_until(&mut self, end: u64, mut over: impl FnMut() -> bool) -> bool {
        loop {
            if over() {
                return true;
            }
            if cpu::timestamp() >= end {
                return false;
            }
            self.turn(end);
        }
    }

    /// Does one thing, or rests until there is something to do, or until `end`.
    fn turn(&mut self, end: u64) {
        let until = match &mut self.core {
            Some(core) => {
                Y::wiring().interrupts.submit_latched(core.platform());
                let due = Y::next_due(core.resources()).unwrap_or(u64::MAX);
                if due <= core.now() {
                    core.outside(Y::run_due);
                }
                match core.step() {
                    Step::Worked => return,
                    Step::Asleep { until } => Some(until.unwrap_or(u64::MAX).min(due)),
                }
            }
            None => None,
        };
        let until = until.unwrap_or(u64::MAX);
        platform::set_deadline(Whose::Kernel, until.min(end));
        rest(until.min(end), self.poll_ns);
    }
}

/// Polls for so long, then halts, until woken, or the time is `until`. Interrupts that have nothing for the
/// core do not end it.
fn rest(until: u64, poll_ns: u64) {
    let poll = clock::rate().map_or(0, |rate| rate.cycles(poll_ns));
    let end = cpu::timestamp().saturating_add(poll).min(until);
    while cpu::timestamp() < end && !wakeup::is_wanted() {
        core::hint::spin_loop();
    }
    // An earlier deadline may have come since the timer was armed: then it has to be armed anew.
    let is_unarmed = || until < u64::MAX && !timer::is_armed();
    let over = || cpu::timestamp() >= until || is_unarmed();
    // What interrupts the halt wakes the core if there is something to do for it. A timer may be early.
    while !wakeup::sleep_unless(over) && !over() {}
}

/// Has the boot core look again at what it waits for in [`Local::run_until`].
pub(crate) fn wake_boot_core() {
    wakeup::wake(cores::get(CoreIndex::BOOT));
}
