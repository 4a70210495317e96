//! fork(2) and vfork(2).

use crate::calls::{Caller, Outcome};
use crate::errno::Errno;
use crate::machine::Machine;
use crate::thread::Clone;

/// What clone(2) does when it is not for a thread.
pub(crate) fn fork<M: Machine>(_caller: &mut Caller<'_, '_, M>, _what: &Clone) -> Outcome {
    Err(Errno::ENOSYS.into())
}
