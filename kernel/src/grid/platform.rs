//! The machine as the toolkit sees it.
//!
//! Key types: [`Hardware`] (one core), [`Places`] (the grid's cores on the machine). Time is the
//! time-stamp counter's, in cycles; it is the same on all cores but for a small skew.

use alloc::vec::Vec;

use vortex_hal::cores::{self, CoreIndex};
use vortex_hal::{clock, cpu, interrupts, timer, wakeup};
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

    /// The core of the grid that this runs on.
    pub(crate) fn here(&self) -> Option<CoreId> {
        *self.grid.get(cores::current_index().as_usize())?
    }
}

/// The core that this runs on.
#[derive(Clone, Copy)]
pub(crate) struct Hardware {
    core: CoreId,
    places: &'static Places,
}

impl Hardware {
    /// This core. One that is not in the grid goes by the number of the grid's first core, through
    /// which it may send requests.
    pub(crate) fn new(places: &'static Places) -> Self {
        Self {
            core: places.here().unwrap_or(CoreId(0)),
            places,
        }
    }

    /// Has this core interrupted at a time, in cycles, instead of the one asked for before. It is
    /// not interrupted earlier.
    pub(crate) fn interrupt_at(self, at: u64) {
        let ahead = at.saturating_sub(cpu::timestamp());
        let ahead = clock::rate().map_or(0, |rate| rate.nanoseconds(ahead));
        // Each of the two conversions rounds down, by less than a nanosecond.
        timer::arm(clock::now_ns().saturating_add(ahead).saturating_add(2));
    }
}

impl Platform for Hardware {
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
        if let Some(&core) = self.places.machine.get(core.index()) {
            wakeup::wake(cores::get(core));
        }
    }

    fn set_timer(&self, at: u64) {
        self.interrupt_at(at);
    }
}
