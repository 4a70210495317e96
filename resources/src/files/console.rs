//! Writing to the console, whose serial line takes 87 µs for a byte: who writes much may not keep a core
//! from others for as long as that takes.
//!
//! Key types: [`Console`]. A short text is written at once. A longer one is an operation, which writes it
//! in parts, and lets others go first in between.

use alloc::vec::Vec;

use super::operation::Operation;
use super::{Devices, Outcome};
use crate::errand::Here;
use crate::machine::Machine;
use crate::system::Kind;

/// Bytes that are written without letting others go first.
const PART: usize = 64;
/// Bytes that go to the console without anybody else's in between.
const WHOLE: usize = 4096;

/// Whose turn it is to write.
#[derive(Debug, Default)]
pub struct Console {
    turn: async_lock::Mutex<()>,
}

impl Console {
    /// A console to which nobody is writing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            turn: async_lock::Mutex::new(()),
        }
    }

    /// Writes these bytes for a call whose result is then `count`, or leaves them as an operation.
    pub(super) fn write(&self, devices: &dyn Devices, bytes: Vec<u8>, count: u64) -> Outcome {
        if bytes.len() <= PART
            && let Some(_turn) = self.turn.try_lock()
        {
            devices.write_console(&bytes);
            return Ok(count);
        }
        Err(Operation::Print(bytes, count).into())
    }
}

/// Carries out [`Operation::Print`].
pub(super) async fn print<M: Machine>(here: &Here<M>, bytes: &[u8]) {
    for whole in bytes.chunks(WHOLE) {
        let _turn = here.shared.console.turn.lock().await;
        for part in whole.chunks(PART) {
            here.shared.machine.write_console(part);
            here.give_way(Kind::Process).await;
        }
    }
}
