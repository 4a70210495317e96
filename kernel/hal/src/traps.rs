//! Traps: exceptions, interrupts and what is done about them.
//!
//! Key types: [`TrapFrame`] (what the entry saved), [`Exception`] (its name and error code decoded).
//! `entry` has the assembly, `table` the IDT; interrupts go on to [`crate::interrupts`].
//!
//! Invariant: every vector has an entry, so no trap goes unseen; an entry saves all registers and
//! calls `dispatch`, which is plain Rust on plain arguments. Traps from user mode go to
//! [`crate::user`] instead, but for those with a stack of their own.

mod entry;
mod exception;
mod frame;
mod table;

pub use exception::Exception;
pub use frame::TrapFrame;
pub use table::load;

/// What is done about an exception that the hardware layer does not handle itself. When it
/// returns, the interrupted code goes on.
pub type ExceptionHandler = fn(&Exception, &TrapFrame);

static ON_EXCEPTION: spin::Once<ExceptionHandler> = spin::Once::new();

/// Names the function that gets all exceptions; once, before the first one.
pub fn on_exception(handler: ExceptionHandler) {
    ON_EXCEPTION.call_once(|| handler);
}

/// Takes a trap in the kernel from its entry, where the time-stamp counter was `begin`; with
/// interrupts off.
fn dispatch(frame: &TrapFrame, begin: u64) {
    match Exception::decode(frame, fault_address()) {
        Some(exception) if exception.is_non_maskable() && crate::stop::is_claimed() => {
            crate::stop::obey()
        }
        Some(exception) => {
            if let Some(handler) = ON_EXCEPTION.get() {
                handler(&exception, frame);
            }
        }
        None => {
            crate::interrupts::dispatch(frame);
            crate::interrupts::book_cycles(begin);
        }
    }
}

/// The address a page fault was for. CR2 is never checked for being canonical, hence raw.
pub(crate) fn fault_address() -> u64 {
    x86_64::registers::control::Cr2::read_raw()
}
