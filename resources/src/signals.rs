//! Signals.

use alloc::sync::Arc;

use vortex_toolkit::Context;

use crate::machine::Machine;
use crate::process::Process;
use crate::system::{Shared, Vortex};

pub mod calls;

/// A signal's number: 1 to 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

impl Signal {
    /// The signal of this number, if there is one.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        #[expect(clippy::cast_possible_truncation, reason = "at most 64")]
        match number {
            1..=64 => Some(Self(number as u8)),
            _ => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0 as u32
    }
}

/// Sends a signal to a process, from the kernel (`SI_KERNEL`), such as `SIGPIPE` or `SIGINT`.
pub fn send<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
    signal: Signal,
) {
    unimplemented!()
}
