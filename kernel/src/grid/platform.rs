//! The machine as the toolkit sees it.
//!
//! Key types: [`Processor`] (one core), [`Places`] (the grid's cores on the machine). Time is the
//! time-stamp counter's, in cycles; it is the same on all cores but for a small skew.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::Once;
use vortex_hal::cores::{self, CoreIndex, MAX_CORES};
use vortex_hal::{clock, cpu, interrupts, rtc, timer, wakeup};
use vortex_toolkit::Platform;
use vortex_toolkit::ids::CoreId;

/// Which core of the machine each core of the grid is. The grid's cores are numbered without
/// gaps, in the order of the machine's.
pub(crate) struct Places {
    machine: Vec<CoreIndex>,
    grid: Vec<Option<CoreId>>,
}

impl Places {
    /// `cores` has, for each core of the grid, its number in the configuration; those number the
    /// cores that are `online` from 0.
    pub(crate) fn new(online: &[CoreIndex], cores: &[u32]) -> Self {
        let machine: Vec<CoreIndex> = cores
            .iter()
            .filter_map(|&core| online.get(core as usize).copied())
            .collect();
        let mut grid = alloc::vec![None; cores::all().len()];
        for (core, id) in machine.iter().zip(0..) {
            grid[core.as_usize()] = Some(CoreId(id));
        }
        Self { machine, grid }
    }

    /// The grid's cores, as cores of the machine.
    pub(crate) fn machine(&self) -> &[CoreIndex] {
        &self.machine
    }

    /// The core of the machine that a core of the grid is.
    pub(crate) fn of(&self, core: CoreId) -> Option<CoreIndex> {
        self.machine.get(core.index()).copied()
    }

    /// The core of the grid that this runs on.
    pub(crate) fn here(&self) -> Option<CoreId> {
        *self.grid.get(cores::current_index().as_usize())?
    }
}

/// The core that this runs on.
#[derive(Clone, Copy)]
pub(crate) struct Processor {
    core: CoreId,
    places: &'static Places,
}

impl Processor {
    /// This core. One that is not in the grid goes by the number of the grid's first core, through
    /// which it may send requests.
    pub(crate) fn new(places: &'static Places) -> Self {
        Self {
            core: places.here().unwrap_or(CoreId(0)),
            places,
        }
    }
}

/// Who wants a core interrupted at a time.
#[derive(Clone, Copy)]
pub(crate) enum Whose {
    /// The toolkit, for schedulers that wait.
    Toolkit,
    /// The resources, for the end of a time slice or of a sleep.
    Resources,
    /// The kernel's own start and end.
    Kernel,
}

/// One core's deadlines, in cycles, by [`Whose`]; of the core itself alone.
struct Deadlines([AtomicU64; 3]);

static DEADLINES: [Deadlines; MAX_CORES] =
    [const { Deadlines([const { AtomicU64::new(u64::MAX) }; 3]) }; MAX_CORES];

/// Has this core interrupted at a time, in cycles, instead of the one that `whose` asked for
/// before; `u64::MAX` for never. It is not interrupted earlier for that.
pub(crate) fn set_deadline(whose: Whose, at: u64) {
    let Deadlines(deadlines) = &DEADLINES[cores::current_index().as_usize()];
    deadlines[whose as usize].store(at, Ordering::Relaxed);
    arm(at);
}

/// Has this core interrupted at the next deadline that is still to come, after an interrupt.
pub(crate) fn rearm() {
    arm(u64::MAX);
}

/// Arms the timer for `at` or, if that is earlier, for the first deadline that has not passed.
fn arm(at: u64) {
    let Deadlines(deadlines) = &DEADLINES[cores::current_index().as_usize()];
    let now = cpu::timestamp();
    let to_come = deadlines
        .iter()
        .map(|deadline| deadline.load(Ordering::Relaxed))
        .filter(|deadline| *deadline >= now);
    let first = to_come.min().unwrap_or(u64::MAX).min(at);
    if first == u64::MAX {
        return;
    }
    let ahead = first.saturating_sub(now);
    let ahead = clock::rate().map_or(0, |rate| rate.nanoseconds(ahead));
    // Each of the two conversions rounds down, by less than a nanosecond.
    timer::arm(clock::now_ns().saturating_add(ahead).saturating_add(2));
}

/// Nanoseconds since 1970 when the time-stamp counter was 0, by the real-time clock at the first
/// call; 0 without one.
pub(crate) fn epoch_ns() -> u64 {
    static EPOCH: Once<u64> = Once::new();
    *EPOCH.call_once(|| {
        let now = rtc::seconds_since_1970().unwrap_or(0) * 1_000_000_000;
        let running = clock::rate().map_or(0, |rate| rate.nanoseconds(cpu::timestamp()));
        now.saturating_sub(running)
    })
}

impl Platform for Processor {
    #[inline]
    fn now(&self) -> u64 {
        cpu::timestamp()
    }

    #[inline]
    fn core(&self) -> CoreId {
        self.core
    }

    #[inline]
    fn interrupt_cycles(&self) -> u64 {
        interrupts::cycles(cores::current())
    }

    fn wake(&self, core: CoreId) {
        if let Some(core) = self.places.of(core) {
            wakeup::wake(cores::get(core));
        }
    }

    fn waker(&self) -> impl Fn() + Send + Sync + 'static {
        let processor = *self;
        move || processor.wake(processor.core)
    }

    fn set_timer(&self, at: u64) {
        set_deadline(Whose::Toolkit, at);
    }
}
