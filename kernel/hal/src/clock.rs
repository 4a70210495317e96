//! Time: the time-stamp counter, its rate, and conversions between its cycles and nanoseconds.
//!
//! [`init`] finds the rate once (CPUID when it says so, else by measuring against a timer whose
//! rate is known: `calibrate`); [`now`] is the time since the kernel's entry ([`mark_entry`]),
//! as a [`Duration`]. All cores share one rate and one origin.
//!
//! Invariants: [`now`] never runs backwards on one core and is zero before [`init`]; nothing here
//! waits without a bound.

mod calibrate;
mod cpuid;
mod sources;

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use spin::Once;
use vortex_kernel_base::report::Hertz;

use crate::acpi::Acpi;
use crate::cpu;

pub use self::calibrate::CalibrationError;

/// The slowest and the fastest plausible rate of a time-stamp counter, in hertz.
const PLAUSIBLE: core::ops::RangeInclusive<u64> = 10_000_000..=20_000_000_000;

/// Where the rate is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The CPU says it, in CPUID leaf 0x15 or 0x16.
    Cpuid,
    /// The hypervisor says it, in CPUID leaf 0x40000010.
    Hypervisor,
    /// Measured against the high precision event timer.
    Hpet,
    /// Measured against the ACPI power management timer.
    PmTimer,
    /// Measured against the 8254 interval timer.
    Pit,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpuid => "as the CPU says",
            Self::Hypervisor => "as the hypervisor says",
            Self::Hpet => "measured against the HPET",
            Self::PmTimer => "measured against the ACPI PM timer",
            Self::Pit => "measured against the 8254 timer",
        })
    }
}

/// A counter's rate, ready to convert between its cycles and nanoseconds.
///
/// Conversions round down and saturate: no rate and no count overflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    hertz: u64,
    /// Nanoseconds per cycle as a binary fraction: `multiplier / 2^shift`.
    multiplier: u64,
    shift: u32,
}

const NANOSECONDS: u128 = 1_000_000_000;

impl Rate {
    /// A rate of so many cycles a second; `None` for 0.
    #[must_use]
    pub const fn new(hertz: u64) -> Option<Self> {
        if hertz == 0 {
            return None;
        }
        // The largest shift whose multiplier still has 64 bits keeps the most digits; 97 is the
        // largest at which the dividend has 128.
        let mut shift = 97;
        while (NANOSECONDS << shift) / hertz as u128 > u64::MAX as u128 {
            shift -= 1;
        }
        let multiplier = ((NANOSECONDS << shift) / hertz as u128) as u64;
        Some(Self {
            hertz,
            multiplier,
            shift,
        })
    }

    /// Cycles a second.
    #[must_use]
    pub const fn hertz(self) -> u64 {
        self.hertz
    }

    /// How many nanoseconds `cycles` take.
    #[must_use]
    pub const fn nanoseconds(self, cycles: u64) -> u64 {
        let exact = (cycles as u128 * self.multiplier as u128) >> self.shift;
        if exact > u64::MAX as u128 {
            u64::MAX
        } else {
            exact as u64
        }
    }

    /// How many cycles there are in so many nanoseconds.
    #[must_use]
    pub const fn cycles(self, nanoseconds: u64) -> u64 {
        let exact = nanoseconds as u128 * self.hertz as u128 / NANOSECONDS;
        if exact > u64::MAX as u128 {
            u64::MAX
        } else {
            exact as u64
        }
    }
}

/// The time-stamp counter at the kernel's entry.
static ENTRY: AtomicU64 = AtomicU64::new(0);
static RATE: Once<Rate> = Once::new();

/// Notes that the kernel begins now. Once, first of all.
pub fn mark_entry() {
    ENTRY.store(cpu::timestamp(), Ordering::Relaxed);
}

/// Finds the time-stamp counter's rate and logs it. Once, on the first core; takes some
/// milliseconds when it has to be measured.
///
/// # Errors
/// When nothing says the rate and no timer can be measured against.
pub fn init(acpi: Option<&Acpi>) -> Result<(), CalibrationError> {
    let (hertz, source) = sources::find_rate(acpi)?;
    let rate = Rate::new(hertz).ok_or(CalibrationError::NoTimer)?;
    RATE.call_once(|| rate);
    log::info!("clock: time-stamp counter at {}, {source}", Hertz(hertz));
    Ok(())
}

/// The time-stamp counter's rate; `None` before [`init`].
#[must_use]
pub fn rate() -> Option<Rate> {
    RATE.get().copied()
}

/// The time-stamp counter's cycles a second; 0 before [`init`].
#[must_use]
pub fn tsc_hz() -> u64 {
    rate().map_or(0, Rate::hertz)
}

/// The time-stamp counter at [`mark_entry`]; 0 before it.
#[must_use]
pub fn entry() -> u64 {
    ENTRY.load(Ordering::Relaxed)
}

/// Nanoseconds since [`mark_entry`]; 0 before [`init`].
#[must_use]
pub fn now_ns() -> u64 {
    // A core whose counter lags behind the first one's may read less than the entry's.
    let cycles = cpu::timestamp().saturating_sub(entry());
    rate().map_or(0, |rate| rate.nanoseconds(cycles))
}

/// Time since [`mark_entry`]; zero before [`init`].
#[must_use]
pub fn now() -> Duration {
    Duration::from_nanos(now_ns())
}

/// Spins until `condition` holds or `limit` has gone by; says whether it came to hold. It is
/// always asked at least once.
///
/// Before [`init`] the fastest counter is assumed: the wait may be many times as long as `limit`,
/// and is never shorter.
#[must_use]
pub fn wait_for(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let nanoseconds = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
    let cycles = match rate() {
        Some(rate) => rate.cycles(nanoseconds),
        None => nanoseconds.saturating_mul(*PLAUSIBLE.end() / 1_000_000_000),
    };
    let start = cpu::timestamp();
    loop {
        if condition() {
            return true;
        }
        if cpu::timestamp().wrapping_sub(start) >= cycles {
            return false;
        }
        core::hint::spin_loop();
    }
}

/// Spins for at least `time`.
pub fn busy_wait(time: Duration) {
    let _over = wait_for(time, || false);
}

#[cfg(test)]
mod tests;
