//! The grid on the machine's cores (paper, figure 1c): the toolkit's cores, each on a real one.
//!
//! Key types: [`Vortex`] (which types make up the system), [`Local`] (the core that this is, at
//! work), [`Shared`] (what all cores reach). The boot core builds the grid from the configuration
//! and gives every other core its seed as a job; from then on each of these cores is in its loop
//! for good. Cores that the configuration does not name stay in [`jobs::idle`].
//!
//! Invariant: a core halts only when nothing is left for it to do, and what arrives between that
//! decision and the halt ends the halt: see [`vortex_hal::wakeup`].

mod configuration;
mod hardware;
pub(crate) mod interrupts;
mod platform;
mod resources;
mod summary;

use alloc::sync::Arc;
use alloc::vec::Vec;

use spin::{Mutex, Once};
use vortex_hal::cores::{self, CoreIndex};
use vortex_hal::{clock, cpu, wakeup};
use vortex_kernel_base::ramdisk::Ramdisk;
use vortex_schedulers::Policy;
use vortex_toolkit::{Core, Grid, Seed, Step, System};

use self::platform::Whose;
pub(crate) use self::platform::{Places, Processor};
pub(crate) use self::resources::{Message, Resources};
use crate::jobs;

/// The kernel's types, for the toolkit.
pub(crate) struct Vortex;

impl System for Vortex {
    type Platform = Processor;
    type Policy = Policy;
    type Message = Message;
    type Resources = Resources;
}

/// How long a core with nothing to do looks for work before it halts, in nanoseconds: waking a
/// halted core costs an interrupt and, under emulation, much more.
const POLL_NS: u64 = 20_000;

/// What all cores reach.
pub(crate) struct Shared {
    /// The grid.
    pub(crate) grid: Arc<Grid<Vortex>>,
    /// Which core of the machine each core of the grid is.
    pub(crate) places: Places,
}

static SHARED: Once<Shared> = Once::new();

/// The grid; `None` before [`start`] has built it.
pub(crate) fn shared() -> Option<&'static Shared> {
    SHARED.get()
}

/// The seeds of cores that have not taken theirs, by the grid's numbers.
static SEEDS: Mutex<Vec<Option<Seed<Vortex>>>> = Mutex::new(Vec::new());

/// Builds the grid that the configuration in `ramdisk` describes and has all its cores enter it.
/// Once, on the boot core, when all cores wait in [`jobs::idle`].
pub(crate) fn start(ramdisk: Option<&Ramdisk<'_>>) -> Local {
    let online: Vec<CoreIndex> = cores::online().map(cores::Core::index).collect();
    let chosen = configuration::choose(ramdisk, online.len(), clock::tsc_hz());
    let places = Places::new(&online, &chosen.instantiated.cores);
    summary::log(&chosen, &places, &online);
    let (grid, seeds) = chosen.instantiated.builder.build();
    let shared = SHARED.call_once(|| Shared { grid, places });
    *SEEDS.lock() = seeds.into_iter().map(Some).collect();
    let me = cores::current_index();
    for &core in shared.places.machine().iter().filter(|&&core| core != me) {
        jobs::give(cores::get(core), enter);
    }
    Local::new(shared)
}

/// The life of a core of the grid.
fn enter() {
    if let Some(shared) = shared() {
        Local::new(shared).run()
    }
}

/// The core that this is, at work.
pub(crate) struct Local {
    /// Its part of the grid; `None` for a boot core that the configuration does not name.
    core: Option<Core<Vortex>>,
    /// The core, seen from outside the grid.
    platform: Processor,
}

impl Local {
    /// Takes this core's seed, if there is one.
    fn new(shared: &'static Shared) -> Self {
        let place = shared.places.here();
        let seed = place.and_then(|core| SEEDS.lock().get_mut(core.index())?.take());
        Self {
            core: seed
                .map(|seed| Core::new(seed, Processor::new(&shared.places), Resources::default())),
            platform: Processor::new(&shared.places),
        }
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
                interrupts::submit_latched(core.platform());
                match core.step() {
                    Step::Worked => return,
                    Step::Asleep { until } => until,
                }
            }
            None => None,
        };
        let until = until.unwrap_or(u64::MAX);
        if end < until {
            platform::set_deadline(Whose::Kernel, end);
        }
        rest(until.min(end));
    }
}

/// Polls for a while, then halts, until woken, interrupted, or the time is `until`.
fn rest(until: u64) {
    let poll = clock::rate().map_or(0, |rate| rate.cycles(POLL_NS));
    let end = cpu::timestamp().saturating_add(poll).min(until);
    while cpu::timestamp() < end && !wakeup::is_wanted() {
        core::hint::spin_loop();
    }
    wakeup::sleep_unless(|| cpu::timestamp() >= until);
}

/// Has the boot core look again at what it waits for in [`Local::run_until`].
pub(crate) fn wake_boot_core() {
    wakeup::wake(cores::get(CoreIndex::BOOT));
}
