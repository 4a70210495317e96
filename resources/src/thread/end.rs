//! How a thread ends.
//!
//! exit(2) first does what needs the thread's memory, as a call that can be made again; then the
//! thread, like one whose process is killed, ends for good by [`die`], which cannot fail.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use linux_raw_sys::general as linux;
use vortex_toolkit::Context;

use super::memory::read_words;
use super::{State, Thread, futex};
use crate::calls::{Caller, Outcome, Verdict};
use crate::machine::Machine;
use crate::process::ExitStatus;
use crate::space::UserError;
use crate::system::{Shared, Vortex};

/// Entries of a robust list that are looked at: as many as Linux does.
const ROBUST_LIMIT: usize = 2048;

/// exit(2).
pub(super) fn exit<M: Machine>(caller: &mut Caller<'_, '_, M>, arguments: [u64; 6]) -> Outcome {
    say_farewell(caller)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the status is the lowest byte"
    )]
    let status = ExitStatus::Exited(arguments[0] as u8);
    caller.process.note_exit(caller.thread, status);
    Err(Verdict::Exited)
}

/// Tells those who wait in memory for the end of the calling thread.
pub(crate) fn say_farewell<M: Machine>(caller: &mut Caller<'_, '_, M>) -> Result<(), Verdict> {
    release_robust(caller)?;
    let address = caller.thread.clear_child_tid.load(Ordering::Relaxed);
    if address == 0 {
        return Ok(());
    }
    match caller.process.space().write(address, &0_u32.to_le_bytes()) {
        Err(UserError::Absent(address, write)) => return Err(Verdict::Absent(address, write)),
        // Nobody can be waiting there.
        Err(UserError::Bad) => {}
        Ok(()) => futex::wake_word(caller.shared, caller.context, caller.process, address, 1),
    }
    caller.thread.clear_child_tid.store(0, Ordering::Relaxed);
    Ok(())
}

/// Marks the robust mutexes that the thread holds, and wakes one who waits for each
/// (`set_robust_list`(2)). A list that is damaged is left where it is.
fn release_robust<M: Machine>(caller: &mut Caller<'_, '_, M>) -> Result<(), Verdict> {
    let head = caller.thread.robust_list.load(Ordering::Relaxed);
    if head == 0 {
        return Ok(());
    }
    match walk_robust(caller, head) {
        Err(UserError::Absent(address, write)) => return Err(Verdict::Absent(address, write)),
        Err(UserError::Bad) | Ok(()) => {}
    }
    caller.thread.robust_list.store(0, Ordering::Relaxed);
    Ok(())
}

fn walk_robust<M: Machine>(caller: &mut Caller<'_, '_, M>, head: u64) -> Result<(), UserError> {
    let space = caller.process.space();
    let [first, offset, pending] = read_words(space, head)?;
    // The lowest bit says that the mutex inherits priority.
    let mut entry = first & !1;
    for _ in 0..ROBUST_LIMIT {
        if entry == head {
            break;
        }
        let [next] = read_words(space, entry)?;
        if entry != pending & !1 {
            mark_dead(caller, entry.wrapping_add(offset))?;
        }
        entry = next & !1;
    }
    match pending & !1 {
        0 => Ok(()),
        pending => mark_dead(caller, pending.wrapping_add(offset)),
    }
}

/// The owner of the mutex with this word has died, if it is the calling thread.
fn mark_dead<M: Machine>(caller: &mut Caller<'_, '_, M>, word: u64) -> Result<(), UserError> {
    if !word.is_multiple_of(4) {
        return Err(UserError::Bad);
    }
    let space = caller.process.space();
    let mut value = space.load_u32(word)?;
    loop {
        if value & linux::FUTEX_TID_MASK != caller.thread.id() {
            return Ok(());
        }
        let dead = value & linux::FUTEX_WAITERS | linux::FUTEX_OWNER_DIED;
        let found = space.exchange_u32(word, value, dead)?;
        if found == value {
            break;
        }
        value = found;
    }
    if value & linux::FUTEX_WAITERS != 0 {
        futex::wake_word(caller.shared, caller.context, caller.process, word, 1);
    }
    Ok(())
}

/// Ends a thread, which nobody runs and of which no core holds anything any more.
pub(crate) fn die<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    thread: &Arc<Thread<M>>,
) {
    thread.control.lock().state = State::Dead;
    thread.unsubscribe();
    let process = thread.process();
    thread.unsettle(shared, &process.home());
    context.release(process.threads(), process.activity(), thread.label());
    crate::process::thread_ended(shared, context, thread);
}

/// Ends a thread whose Run request has come back: there is nothing that could run it.
pub(crate) fn die_unrun<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    thread: &Arc<Thread<M>>,
) {
    let state = thread.control.lock().state;
    if state == State::Ready {
        die(shared, context, thread);
    }
}
