//! Measuring one counter against another whose rate is known.
//!
//! Nothing is trusted: the reference may be missing (it reads the same for ever), run for some
//! time and stop, or be read late because the core was interrupted. A measurement ends after a
//! bounded number of reads, and of several measurements the median counts.

use core::fmt;

use super::PLAUSIBLE;

/// Measurements, of which the median counts.
const ROUNDS: usize = 5;

/// How long one measurement takes, as a part of a second: 2 ms.
const PART_OF_SECOND: u64 = 500;

/// Reads without any change after which the reference counts as stuck. The slowest reference
/// changes every microsecond, and a read takes some tens of nanoseconds at least.
const STUCK_READS: u32 = 100_000;

/// Reads after which a measurement is given up, however the reference moves.
const MAX_READS: u32 = 20_000_000;

/// Reads of both counters at a measurement's ends, of which the least disturbed counts.
const TRIES: usize = 5;

/// Why the rate could not be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalibrationError {
    /// There is no timer to measure against.
    NoTimer,
    /// The timer does not count.
    Stuck,
    /// The measured rate, in hertz, is not plausible.
    Implausible(u64),
}

impl fmt::Display for CalibrationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTimer => f.write_str(
                "clock: the CPU does not say its time-stamp counter's rate, and there is no timer \
                 to measure it against (HPET, ACPI PM timer, 8254)",
            ),
            Self::Stuck => f.write_str("clock: the timer does not count"),
            Self::Implausible(hertz) => write!(
                f,
                "clock: measured {hertz} Hz for the time-stamp counter; expected {} to {}",
                PLAUSIBLE.start(),
                PLAUSIBLE.end()
            ),
        }
    }
}

impl core::error::Error for CalibrationError {}

/// A counter of known rate that counts up and wraps.
pub(super) trait Reference {
    /// Its rate.
    fn hertz(&self) -> u64;
    /// The largest value it shows, all ones in binary.
    fn mask(&self) -> u64;
    /// Its present value.
    fn read(&mut self) -> u64;
}

/// Measures the rate, in hertz, of the counter that `counter` reads.
///
/// # Errors
/// When the reference does not count or the result makes no sense.
pub(super) fn measure(
    reference: &mut impl Reference,
    mut counter: impl FnMut() -> u64,
) -> Result<u64, CalibrationError> {
    let mut rounds = [0; ROUNDS];
    for round in &mut rounds {
        *round = measure_once(reference, &mut counter)?;
    }
    rounds.sort_unstable();
    let median = rounds[ROUNDS / 2];
    if PLAUSIBLE.contains(&median) {
        Ok(median)
    } else {
        Err(CalibrationError::Implausible(median))
    }
}

fn measure_once(
    reference: &mut impl Reference,
    counter: &mut impl FnMut() -> u64,
) -> Result<u64, CalibrationError> {
    let wanted = reference.hertz() / PART_OF_SECOND;
    let (first, start) = read_both(reference, counter);
    let mut last = first;
    let mut unchanged = 0;
    for _ in 0..MAX_READS {
        let value = reference.read();
        if value == last {
            unchanged += 1;
            if unchanged > STUCK_READS {
                return Err(CalibrationError::Stuck);
            }
            continue;
        }
        unchanged = 0;
        last = value;
        if value.wrapping_sub(first) & reference.mask() >= wanted {
            let (last, end) = read_both(reference, counter);
            let ticks = last.wrapping_sub(first) & reference.mask();
            let cycles = end.wrapping_sub(start);
            let hertz = u128::from(cycles) * u128::from(reference.hertz());
            let hertz = hertz
                .checked_div(ticks.into())
                .ok_or(CalibrationError::Stuck)?;
            return Ok(u64::try_from(hertz).unwrap_or(u64::MAX));
        }
    }
    Err(CalibrationError::Stuck)
}

/// Both counters at one moment: of several tries, the one with the least cycles around the
/// reference's read.
fn read_both(reference: &mut impl Reference, counter: &mut impl FnMut() -> u64) -> (u64, u64) {
    let mut best = (u64::MAX, 0, 0);
    for _ in 0..TRIES {
        let before = counter();
        let value = reference.read();
        let took = counter().wrapping_sub(before);
        if took < best.0 {
            best = (took, value, before.wrapping_add(took / 2));
        }
    }
    (best.1, best.2)
}
