//! The Storage Resource: volumes, by number and by name.

use alloc::sync::Arc;

use vortex_toolkit::Context;

use super::{IoError, Transfer};
use crate::machine::Machine;
use crate::system::{Message, Shared, Vortex};

/// Carries out a transfer.
pub(crate) fn transfer<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    transfer: &Transfer,
) {
    let found = shared.storage.volume(transfer.volume);
    let done = found
        .ok_or(IoError::NoVolume)
        .and_then(|volume| transfer.check(&volume));
    if done.is_ok()
        && let Some(ram) = shared.storage.ram(transfer.volume)
    {
        ram.transfer(&shared.machine, transfer);
    }
    let head = *context.head();
    context.reply(&head, Message::VolumeDone(done));
}

/// Tells which volumes there are, once that is known.
pub(crate) fn tell<M: Machine>(shared: &Arc<Shared<M>>, context: &mut Context<'_, Vortex<M>>) {
    let head = *context.head();
    context.reply(&head, Message::Volumes(shared.storage.volumes()));
}
