//! Signal masks that are in force for the time of one call: `rt_sigsuspend`(2), ppoll(2) and the
//! like.

use super::deliver::look_again;
use crate::machine::Machine;
use crate::thread::Thread;

/// Puts a mask in force until [`give_back_mask`], or until a handler has run.
pub(crate) fn borrow_mask<M: Machine>(thread: &Thread<M>, mask: u64) {
    let mut signals = thread.signals.lock();
    let before = signals.mask;
    // Made again after a signal without a handler: the mask before the first time counts.
    signals.saved_mask.get_or_insert(before);
    signals.set_mask(mask);
    drop(signals);
    look_again(thread);
}

/// Puts the mask in force that was there before.
pub(crate) fn give_back_mask<M: Machine>(thread: &Thread<M>) {
    let mut signals = thread.signals.lock();
    if let Some(before) = signals.saved_mask.take() {
        signals.set_mask(before);
        drop(signals);
        look_again(thread);
    }
}
