//! Calls that we do not have: ENOSYS, counted by number and process.

use super::{Caller, Outcome, names};
use crate::errno::Errno;
use crate::machine::Machine;

/// A call whose number is not in the table. Said once for each number and process.
#[cold]
pub(super) fn call<M: Machine>(caller: &mut Caller<'_, '_, M>, number: u32) -> Outcome {
    if caller.process.settings().count_unknown(number) {
        let name = names::linux(number).unwrap_or("no Linux call");
        let process = caller.process.name();
        let end = process.iter().position(|byte| *byte == 0);
        log::warn!(
            "process {} ({}) has called {name} ({number}), which Vortex does not have: ENOSYS",
            caller.process.id(),
            process[..end.unwrap_or(process.len())].escape_ascii(),
        );
    }
    Err(Errno::ENOSYS.into())
}
