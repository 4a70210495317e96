//! Each core's deadline timer: one interrupt at a time that the core names.
//!
//! Key functions: [`arm`], [`disarm`]. Where the CPU can, the local APIC compares with the
//! time-stamp counter; elsewhere it counts down at a rate measured once (Intel SDM volume 3,
//! 10.5.4).
//!
//! Invariant: a deadline is never told before its time by the clock. The hardware may be early, by
//! the error of the measured rate or because the countdown does not reach that far; then the
//! interrupt only starts it again.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use crate::apic;
use crate::clock;
use crate::cores::{self, Core};
use crate::cpu::Features;
use crate::interrupts::{self, VectorError, vector};

/// The timer register's modes.
const ONE_SHOT: u32 = 0;
const TSC_DEADLINE: u32 = 0b10 << 17;
/// The MSR of the deadline, in cycles of the time-stamp counter.
const DEADLINE_MSR: u32 = 0x6e0;

/// No deadline.
const NEVER: u64 = u64::MAX;

/// One core's part in it.
pub(crate) struct State {
    /// In nanoseconds of the clock, or [`NEVER`].
    deadline: AtomicU64,
    /// When the hardware is to interrupt: not after the deadline, but it may be before.
    programmed: AtomicU64,
    /// How many deadlines have come.
    ticks: AtomicU64,
}

impl State {
    pub(crate) const fn new() -> Self {
        Self {
            deadline: AtomicU64::new(NEVER),
            programmed: AtomicU64::new(NEVER),
            ticks: AtomicU64::new(0),
        }
    }
}

/// How long the countdown's rate is measured.
const MEASURE: Duration = Duration::from_millis(2);

/// The countdown's steps per second; 0 when the deadline is compared with the TSC.
static RATE: AtomicU64 = AtomicU64::new(0);

/// Chooses how deadlines are told, and registers the interrupt; once, on the boot core, when
/// there is a clock.
///
/// # Errors
/// When the vector is taken.
pub fn init(features: &Features) -> Result<(), VectorError> {
    if !features.tsc_deadline {
        RATE.store(measure().max(1), Ordering::Relaxed);
    }
    interrupts::register(vector::TIMER, |_vector| expire())
}

/// Sets this core's timer up, not armed; after [`apic::init_core`].
pub fn init_core() {
    let mode = match RATE.load(Ordering::Relaxed) {
        0 => TSC_DEADLINE,
        _ => ONE_SHOT,
    };
    apic::set_timer_mode(mode | u32::from(vector::TIMER));
    // In xAPIC mode the mode is set in memory and the deadline by an MSR, which does not wait.
    core::sync::atomic::fence(Ordering::SeqCst);
    disarm();
}

/// Has this core interrupted at `deadline`, in nanoseconds of [`clock::now_ns`]; at once when it
/// has passed. Takes the place of an earlier deadline.
///
/// Deadlines that are put off again and again, as time slices are, cost no access to the hardware:
/// it interrupts at the first of them, and is then told the last.
pub fn arm(deadline: u64) {
    let timer = &cores::current().timer;
    timer.deadline.store(deadline, Ordering::Relaxed);
    if deadline < timer.programmed.load(Ordering::Relaxed) {
        start(deadline);
    }
}

/// Whether this core's deadline is still to come; false also without one.
#[inline]
#[must_use]
pub fn is_armed() -> bool {
    cores::current().timer.deadline.load(Ordering::Relaxed) != NEVER
}

/// The timer's interrupt: the deadline has come, or only nearly.
fn expire() {
    let timer = &cores::current().timer;
    timer.programmed.store(NEVER, Ordering::Relaxed);
    let deadline = timer.deadline.load(Ordering::Relaxed);
    if deadline == NEVER {
        // Disarmed at the last moment.
    } else if clock::now_ns() < deadline {
        start(deadline);
    } else {
        timer.deadline.store(NEVER, Ordering::Relaxed);
        // Written by this core's interrupt alone.
        let ticks = timer.ticks.load(Ordering::Relaxed);
        timer.ticks.store(ticks + 1, Ordering::Relaxed);
    }
}

/// Has the hardware interrupt this core at `deadline` or not long before.
fn start(deadline: u64) {
    let programmed = &cores::current().timer.programmed;
    programmed.store(deadline, Ordering::Relaxed);
    let remaining = deadline.saturating_sub(clock::now_ns());
    match RATE.load(Ordering::Relaxed) {
        0 => {
            let cycles = scale(remaining, clock::tsc_hz());
            set_deadline(crate::cpu::timestamp().saturating_add(cycles.max(1)));
        }
        rate => {
            let count = scale(remaining, rate).max(1);
            apic::start_countdown(u32::try_from(count).unwrap_or(u32::MAX));
        }
    }
}

/// Forgets this core's deadline.
pub fn disarm() {
    let timer = &cores::current().timer;
    timer.deadline.store(NEVER, Ordering::Relaxed);
    timer.programmed.store(NEVER, Ordering::Relaxed);
    match RATE.load(Ordering::Relaxed) {
        0 => set_deadline(0),
        _ => apic::start_countdown(0),
    }
}

/// How often a deadline of `core` has come.
#[must_use]
pub fn ticks(core: &Core) -> u64 {
    core.timer.ticks.load(Ordering::Relaxed)
}

/// How deadlines are told, for the log.
#[must_use]
pub fn describe() -> &'static str {
    match RATE.load(Ordering::Relaxed) {
        0 => "TSC deadline",
        _ => "APIC countdown",
    }
}

/// `nanoseconds` in units of `rate` per second, rounded up.
fn scale(nanoseconds: u64, rate: u64) -> u64 {
    let units = (u128::from(nanoseconds) * u128::from(rate)).div_ceil(1_000_000_000);
    u64::try_from(units).unwrap_or(u64::MAX)
}

/// The countdown's steps per second.
fn measure() -> u64 {
    // Masked, so that nothing happens should it run out.
    const MASKED: u32 = 1 << 16;
    apic::set_timer_mode(MASKED | u32::from(vector::TIMER));
    apic::start_countdown(u32::MAX);
    let (start, first) = (clock::now_ns(), apic::countdown());
    clock::busy_wait(MEASURE);
    let (end, last) = (clock::now_ns(), apic::countdown());
    apic::start_countdown(0);
    u64::from(first - last) * 1_000_000_000 / (end - start).max(1)
}

fn set_deadline(cycles: u64) {
    let mut msr = x86_64::registers::model_specific::Msr::new(DEADLINE_MSR);
    // SAFETY: the CPU has the register in this mode; it only says when the next timer interrupt
    // is, and 0 says never.
    unsafe { msr.write(cycles) };
}

#[cfg(test)]
mod tests {
    use super::scale;

    #[test]
    fn durations_are_scaled_without_overflow_and_never_down() {
        assert_eq!(scale(1_000_000_000, 62_500_000), 62_500_000);
        assert_eq!(scale(1, 62_500_000), 1);
        assert_eq!(scale(0, 62_500_000), 0);
        assert_eq!(scale(u64::MAX, 5_000_000_000), u64::MAX);
    }
}
