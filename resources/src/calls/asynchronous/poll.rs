//! `IOCB_CMD_POLL`: an operation that completes when a file becomes ready.
//!
//! Key types: [`Poll`]. Whoever makes the file ready has it noted down, and it is looked at when the
//! core has come to the end of its request, as a thread is that waits (see [`crate::thread`]). A
//! context has its polls; what a process leaves under way ends with it.

use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, Ordering};

use spin::Mutex;

use super::{Asked, Ring, Told, Waiting};
use crate::calls::{Caller, Verdict};
use crate::errno::Errno;
use crate::files::{Events, Observer, OpenFile, Opened, Span, Subscription};
use crate::machine::Machine;
use crate::system::Shared;
use crate::thread::{Sender, Woken};

/// A poll under way.
pub(crate) struct Poll<M: Machine> {
    ring: Weak<Ring<M>>,
    ticket: u64,
    told: Told,
    file: Arc<OpenFile>,
    events: Events,
    subscription: Mutex<Option<Subscription>>,
    has_ended: AtomicBool,
    woken: Arc<Woken<M>>,
}

impl<M: Machine> Observer for Poll<M> {
    fn notify(self: Arc<Self>, _: u64, _: Events) {
        let woken = self.woken.clone();
        woken.note_poll(self);
    }
}

impl<M: Machine> Poll<M> {
    /// Completes if the file is ready, else goes on.
    pub(crate) fn look(self: &Arc<Self>, shared: &Shared<M>, sender: &mut impl Sender<M>) {
        if self.has_ended.load(Ordering::SeqCst) {
            return;
        }
        if let Some(queue) = self.file.queue() {
            let again = queue.subscribe(self.clone(), 0, self.events, Span::Once);
            // The one before has told already.
            drop(self.subscription.lock().replace(again));
        }
        let ready = self.file.readiness() & self.events;
        if !ready.is_empty() {
            self.end(shared, sender, ready);
        }
    }

    /// Ends with this; not if it has ended already.
    pub(super) fn end(&self, shared: &Shared<M>, sender: &mut impl Sender<M>, ready: Events) {
        if !self.drop_it() {
            return;
        }
        if let Some(ring) = self.ring.upgrade() {
            let name = (self.told.address, self.ticket);
            drop(ring.waiting.lock().remove(&name));
            self.told
                .complete(&ring, shared, sender, Ok(ready.bits().into()));
        }
    }

    /// Nobody is to be told of it any more. False if it has ended already.
    pub(super) fn drop_it(&self) -> bool {
        let is_first = !self.has_ended.swap(true, Ordering::SeqCst);
        drop(self.subscription.lock().take());
        is_first
    }
}

/// Begins a poll.
///
/// # Errors
/// EBADF; EINVAL for fields that it does not have, and for a file that is never ready for that.
pub(super) fn begin<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    ring: &Arc<Ring<M>>,
    asked: &Asked,
    told: Told,
) -> Result<(), Verdict> {
    let events = u16::try_from(asked.buffer).map_err(|_| Errno::EINVAL)?;
    if asked.offset != 0 || asked.bytes != 0 || asked.how != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = caller.process.descriptors().lock().get(asked.fd)?;
    if matches!(file.opened, Opened::Place) {
        return Err(Errno::EBADF.into());
    }
    let events = Events::from_bits_truncate(events.into()) | Events::ALWAYS;
    if file.queue().is_none() && !file.readiness().intersects(events) {
        return Err(Errno::EINVAL.into());
    }
    let poll = Arc::new(Poll {
        ring: Arc::downgrade(ring),
        ticket: caller.process.rings.ticket(),
        told,
        file,
        events,
        subscription: Mutex::new(None),
        has_ended: AtomicBool::new(false),
        woken: caller.shared.woken.clone(),
    });
    let name = (poll.told.address, poll.ticket);
    let waiting = Waiting::Poll(poll.clone());
    ring.waiting.lock().insert(name, waiting);
    poll.look(caller.shared, caller.context);
    Ok(())
}
