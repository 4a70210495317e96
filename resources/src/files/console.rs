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

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;
    use alloc::vec;

    use spin::Mutex;
    use vortex_toolkit::Request;
    use vortex_toolkit::ids::{ActivityId, CoreId};

    use super::*;
    use crate::errand::Errand;
    use crate::fake::processor::FakeMachine;
    use crate::fake::world::World;

    /// Each text is whole, and who has nothing to write does not wait for all of them.
    #[test]
    fn long_texts_stay_whole_and_let_others_go_first() {
        const WRITER: ActivityId = ActivityId(1);
        const OTHER: ActivityId = ActivityId(2);
        let mut world = World::new(
            1,
            1024,
            &[("writer", 100), ("other", 100)],
            1000,
            Vec::new(),
        );
        let ended = Arc::new(Mutex::new(Vec::new()));
        let send = |activity, text: Vec<u8>| {
            let told = ended.clone();
            let work = move |here: Here<FakeMachine>| async move {
                print(&here, &text).await;
                told.lock().push(text.first().copied());
            };
            let destination = world.shared.destination(Kind::FileCache, activity);
            let request = Request::new(destination, activity, Errand::message(work));
            let platform = world.machine.platform(CoreId(0));
            assert!(world.shared.grid.submit(&platform, request).is_ok());
        };
        send(WRITER, vec![b'a'; WHOLE]);
        send(WRITER, vec![b'b'; WHOLE]);
        send(OTHER, Vec::new());
        world.run_for(1_000_000_000);
        let ended = ended.lock().clone();
        assert_eq!(ended.len(), 3);
        assert_eq!(ended[0], None, "who writes nothing is first");
        let mut written = world.machine.console();
        assert_eq!(written.len(), 2 * WHOLE);
        written.dedup();
        assert!(written == b"ab" || written == b"ba", "{written:?}");
    }
}
