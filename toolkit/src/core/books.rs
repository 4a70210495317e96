//! Time, cut into spans without gaps.

use alloc::sync::Arc;

use crate::statistics::Ledger;
use crate::system::Platform;

/// What a core knows of time.
pub(crate) struct Books {
    pub(crate) ledger: Arc<Ledger>,
    /// The end of the last span. Serves as "now" wherever a few hundred cycles do not matter.
    pub(crate) mark: u64,
    /// Interrupt cycles that are booked.
    interrupts: u64,
}

impl Books {
    pub(crate) fn open(ledger: Arc<Ledger>, platform: &impl Platform) -> Self {
        let mark = platform.now();
        ledger.since.set(mark);
        ledger.through.set(mark);
        Self {
            ledger,
            mark,
            interrupts: platform.interrupt_cycles(),
        }
    }

    /// Ends a span and begins the next one. Returns the cycles of the ended one; interrupt cycles
    /// in it are not among them but booked as what they are.
    #[inline(always)]
    pub(crate) fn cut(&mut self, platform: &impl Platform) -> u64 {
        let now = platform.now();
        let interrupts = platform.interrupt_cycles();
        let elapsed = now.saturating_sub(self.mark);
        self.mark += elapsed;
        if interrupts == self.interrupts {
            return elapsed;
        }
        // What does not fit into this span, for the interrupt has only just begun to be counted,
        // is left for the next one.
        let stolen = interrupts.wrapping_sub(self.interrupts).min(elapsed);
        self.interrupts = self.interrupts.wrapping_add(stolen);
        self.ledger.interrupt.add(stolen);
        elapsed - stolen
    }

    /// Interrupt cycles in the span that has begun.
    pub(crate) fn interrupted(&self, platform: &impl Platform) -> u64 {
        platform.interrupt_cycles().wrapping_sub(self.interrupts)
    }

    /// Ends a span of scheduling, and returns its cycles.
    #[inline(always)]
    pub(crate) fn cut_scheduling(&mut self, platform: &impl Platform) -> u64 {
        let cycles = self.cut(platform);
        let (ledger, mark) = (&*self.ledger, self.mark);
        ledger.scheduling.add(cycles);
        ledger.through.set(mark);
        cycles
    }

    /// What the last cut returned is booked.
    #[inline(always)]
    pub(crate) fn close(&self) {
        self.ledger.through.set(self.mark);
    }

    pub(crate) fn cut_idle(&mut self, platform: &impl Platform) {
        let cycles = self.cut(platform);
        self.ledger.idle.add(cycles);
        self.close();
    }
}
