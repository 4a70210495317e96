//! Interrupt vectors and who handles them.
//!
//! Key functions: [`register`] for a fixed vector, [`allocate_vector`] for a device's (MSI, MSI-X
//! or an I/O APIC line); [`vector`] lists the fixed ones.
//!
//! Invariants: a handler runs with interrupts off, on the core that was interrupted, and the
//! local APIC is told of its end afterwards; an interrupt nobody registered for is reported once
//! for each vector and counted, and the kernel goes on: a stray device must not stop it.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::cores::{self, Core};
use crate::cpu;
use crate::traps::TrapFrame;

/// The vectors with a meaning of their own.
pub mod vector {
    /// Where the legacy interrupt controllers' lines would arrive: masked, but their spurious
    /// interrupts cannot be.
    pub const LEGACY: core::ops::RangeInclusive<u8> = 0x20..=0x2f;
    /// For devices, see [`allocate_vector`](super::allocate_vector).
    pub const DEVICES: core::ops::RangeInclusive<u8> = 0x30..=0xdf;
    /// The deadline timer.
    pub const TIMER: u8 = 0xf0;
    /// Another core has work for this one.
    pub const WAKE_UP: u8 = 0xf1;
    /// Another core wants translations flushed.
    pub const SHOOTDOWN: u8 = 0xf2;
    /// The local APIC found an error.
    pub const APIC_ERROR: u8 = 0xfe;
    /// The local APIC's spurious interrupt: the one that wants no end of interrupt.
    pub const SPURIOUS: u8 = 0xff;
}

/// What is called for an interrupt; it gets the vector.
pub type Handler = fn(u8);

/// Why a vector could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VectorError {
    /// Exceptions' vectors (below 32) are not for interrupts.
    Exception(u8),
    /// Somebody has it already.
    Taken(u8),
    /// All vectors for devices are in use.
    NoneLeft,
}

impl core::fmt::Display for VectorError {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Exception(vector) => write!(formatter, "vector {vector:#x} is an exception's"),
            Self::Taken(vector) => write!(formatter, "vector {vector:#x} has a handler already"),
            Self::NoneLeft => write!(formatter, "all interrupt vectors for devices are in use"),
        }
    }
}

impl core::error::Error for VectorError {}

/// The vectors' handlers: each a function's address, 0 for none.
static HANDLERS: [AtomicUsize; 256] = [const { AtomicUsize::new(0) }; 256];

/// How often each vector came with nobody to handle it.
static UNEXPECTED: [AtomicU32; 256] = [const { AtomicU32::new(0) }; 256];

/// What is told of the first interrupt of each vector that nobody registered for.
pub type UnexpectedHandler = fn(&TrapFrame);

static ON_UNEXPECTED: spin::Once<UnexpectedHandler> = spin::Once::new();

/// Names the function that reports interrupts nobody registered for; once.
pub fn on_unexpected(handler: UnexpectedHandler) {
    ON_UNEXPECTED.call_once(|| handler);
}

/// Makes `handler` the one for `vector`, on all cores and for good.
///
/// # Errors
/// When the vector is an exception's or has a handler.
pub fn register(vector: u8, handler: Handler) -> Result<(), VectorError> {
    if vector < 32 {
        return Err(VectorError::Exception(vector));
    }
    HANDLERS[usize::from(vector)]
        .compare_exchange(0, handler as usize, Ordering::Release, Ordering::Relaxed)
        .map(|_| ())
        .map_err(|_| VectorError::Taken(vector))
}

/// Gives `handler` a device vector that nobody has, for good.
///
/// # Errors
/// When none is left.
pub fn allocate_vector(handler: Handler) -> Result<u8, VectorError> {
    vector::DEVICES
        .into_iter()
        .find(|&vector| register(vector, handler).is_ok())
        .ok_or(VectorError::NoneLeft)
}

/// How often `vector` came with nobody to handle it.
#[must_use]
pub fn unexpected(vector: u8) -> u32 {
    UNEXPECTED[usize::from(vector)].load(Ordering::Relaxed)
}

/// The handler registered for `vector`.
fn handler(vector: u8) -> Option<Handler> {
    let address = HANDLERS[usize::from(vector)].load(Ordering::Acquire);
    // SAFETY: a `Handler` has no invalid bit pattern but 0, which is `None`, and only addresses
    // of `Handler`s are ever stored.
    unsafe { core::mem::transmute::<usize, Option<Handler>>(address) }
}

/// How many cycles of the time-stamp counter low-level handlers have taken on `core` so far. Never
/// goes back.
#[must_use]
pub fn cycles(core: &Core) -> u64 {
    core.interrupt_cycles.load(Ordering::Relaxed)
}

/// Books the cycles since `begin` to this core's handlers. With interrupts off.
pub(crate) fn book_cycles(begin: u64) {
    let cycles = &cores::current().interrupt_cycles;
    let taken = cpu::timestamp().saturating_sub(begin);
    // Written by this core only, and by nothing that interrupts this.
    cycles.store(cycles.load(Ordering::Relaxed) + taken, Ordering::Relaxed);
}

/// Has an interrupt handled and ended.
pub(crate) fn dispatch(frame: &TrapFrame) {
    let vector = frame.vector as u8;
    match handler(vector) {
        Some(handler) => handler(vector),
        None if vector == vector::SPURIOUS || vector::LEGACY.contains(&vector) => return,
        None => {
            let count = &UNEXPECTED[usize::from(vector)];
            if count.fetch_add(1, Ordering::Relaxed) == 0
                && let Some(report) = ON_UNEXPECTED.get()
            {
                report(frame);
            }
        }
    }
    crate::apic::end_of_interrupt();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignore(_vector: u8) {}

    #[test]
    fn vectors_are_given_once() {
        assert_eq!(register(14, ignore), Err(VectorError::Exception(14)));
        assert_eq!(register(0xe0, ignore), Ok(()));
        assert_eq!(register(0xe0, ignore), Err(VectorError::Taken(0xe0)));
        assert!(handler(0xe0).is_some());
        assert!(handler(0xe1).is_none());
    }

    #[test]
    fn device_vectors_run_out() {
        let given: Vec<u8> = core::iter::from_fn(|| allocate_vector(ignore).ok()).collect();
        assert_eq!(given, vector::DEVICES.collect::<Vec<u8>>());
        assert_eq!(allocate_vector(ignore), Err(VectorError::NoneLeft));
    }
}
