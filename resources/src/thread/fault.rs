//! Page faults: what is resolved at once, what is fetched by its owner (paper, section 3.2), and
//! what becomes of a thread for which there is no memory.
//!
//! A thread that must wait for a page is `Calling`, until the owner has brought the page in; then it
//! does again what it did.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use vortex_toolkit::Context;
use vortex_toolkit::ids::{ActivityId, ResourceId};
use vortex_toolkit::memory::{Frame, Owner, Reclaim, Refusal};

use super::{Resumption, State, Thread, wait};
use crate::errand::{Errand, Here};
use crate::errno::Errno;
use crate::files::{self, Inode};
use crate::machine::{Access, Machine, PAGE_SIZE, USER_END};
use crate::object::{FrameStore, Object, page_of};
use crate::process::{self, ExitStatus};
use crate::signals::{self, Info, Signal, Trap};
use crate::space::{Fault, Progress};
use crate::system::{Kind, Message, Shared, Vortex};

/// Frames asked back at once.
const WANTED: usize = 16;

/// How a fault of a thread ends.
pub(super) enum End {
    /// It goes on.
    GoesOn,
    /// It waits for a request.
    Waits,
    /// It gets a signal.
    Signal(Info, Trap),
}

/// A page fault of the running thread.
pub(super) fn resolve<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    thread: &Arc<Thread<M>>,
    address: u64,
    access: Access,
) -> End {
    let process = thread.process();
    let fault = process.space().fault(address, access);
    thread.used.count_fault(matches!(fault, Fault::Fetch(..)));
    let (kind, message) = match fault {
        Fault::Resolved => return End::GoesOn,
        Fault::Violation(mapped) => {
            let is_present = address >= USER_END || process.space().is_resident(address);
            let trap = Trap::page_fault(address, access, is_present);
            return End::Signal(Info::segment(address, mapped), trap);
        }
        Fault::BeyondEnd => {
            let trap = Trap::page_fault(address, access, false);
            return End::Signal(Info::bus(address), trap);
        }
        Fault::Fetch(object, page, write) => (
            Kind::Executable,
            Message::Fetch(thread.clone(), object, page, write),
        ),
        Fault::Refused(refusal) => {
            let hungry = if thread.is_refused_again(address) {
                // What has been reclaimed for it was needed for something else meanwhile.
                again(thread, refusal, 0)
            } else {
                starved(shared, thread, refusal)
            };
            (Kind::Memory, Message::Starved(hungry))
        }
    };
    thread.control.lock().state = State::Calling;
    thread.used.count_switch(true);
    let request = process.request(shared, context, kind, message);
    context.send(request);
    End::Waits
}

/// Brings in a page for a thread whose call, which it will make again, is a request.
pub(crate) fn bring_in<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    thread: &Arc<Thread<M>>,
    address: u64,
    access: Access,
) {
    thread.control.lock().makes_call_again = true;
    match resolve(shared, context, thread, address, access) {
        End::Waits => {}
        End::GoesOn => wait::go_on(context, thread, Resumption::Plain),
        End::Signal(..) => {
            wait::go_on(context, thread, Resumption::Result(Err(Errno::EFAULT)));
        }
    }
}

/// Refusals at one address after which reclaiming is no use: such as when the page of the program
/// that touches it is what is given back each time.
const PATIENCE: u32 = 16;

impl<M: Machine> Thread<M> {
    /// Whether it has been refused a frame for this address too often, one time after the other.
    fn is_refused_again(&self, address: u64) -> bool {
        let times = match self.refused_at.swap(address, Ordering::Relaxed) == address {
            true => self.refusals.load(Ordering::Relaxed) + 1,
            false => 1,
        };
        self.refusals.store(times, Ordering::Relaxed);
        times > PATIENCE
    }
}

/// Frames for the pages of objects.
struct Store<'a, M: Machine> {
    shared: &'a Shared<M>,
    resource: ResourceId,
    activity: ActivityId,
}

impl<M: Machine> FrameStore for Store<'_, M> {
    fn allocate(&self, cookie: u64) -> Result<Frame, Refusal> {
        self.shared.memory.allocate(Owner {
            resource: self.resource,
            activity: self.activity,
            cookie,
        })
    }

    fn fill(&self, frame: Frame, bytes: &[u8]) {
        if (bytes.len() as u64) < PAGE_SIZE {
            self.shared.machine.zero_frame(frame);
        }
        self.shared.machine.write_frame(frame, 0, bytes);
    }
}

/// Brings in a page of an object for a thread that waits: the executable resource's work.
pub(crate) fn fetch<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    thread: &Arc<Thread<M>>,
    object: &Arc<dyn Object>,
    (page, write): (u64, bool),
) {
    if let Some(disk) = shared.disk.get()
        && let Some(inode) = disk.tree.object(object.number())
    {
        return fetch_from_disk(context, thread, inode, (page, write));
    }
    let store = Store {
        shared,
        resource: context.head().destination,
        activity: context.head().activity,
    };
    match object.load(page, &store) {
        Ok(frame) => {
            // The object keeps it; the thread maps it when it faults again.
            shared.memory.release(frame);
            context.add_memory(PAGE_SIZE);
            wait::go_on(context, thread, Resumption::Plain);
        }
        Err(refusal) => {
            let message = Message::Starved(starved(shared, thread, refusal));
            let request = thread
                .process()
                .request(shared, context, Kind::Memory, message);
            context.send(request);
        }
    }
}

/// Brings in a page of a file of the disk, or notes that it is written: the file cache's work.
fn fetch_from_disk<M: Machine>(
    context: &mut Context<'_, Vortex<M>>,
    thread: &Arc<Thread<M>>,
    inode: Arc<Inode>,
    (page, write): (u64, bool),
) {
    let thread = thread.clone();
    let work = move |here: Here<M>| async move {
        let fetched = match write {
            true => files::soil_page(&here, &inode, page).await,
            false => files::bring_in_page(&here, &inode, page).await,
        };
        match fetched {
            Ok(()) => wait::go_on(&mut &here, &thread, Resumption::Plain),
            Err(error) => {
                let message = Message::Unfetched(thread, error);
                here.port.send(here.port.request(here.resource(), message));
            }
        }
    };
    let here = context.head().destination;
    let request = context.request(here, Errand::message(work));
    context.send(request);
}

/// A page could not be brought in for a thread that waits.
pub(crate) fn unfetched<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    thread: &Arc<Thread<M>>,
    error: Errno,
) {
    if error == Errno::ENOMEM {
        let message = Message::Starved(starved(shared, thread, Refusal::OutOfMemory));
        let request = thread
            .process()
            .request(shared, context, Kind::Memory, message);
        return context.send(request);
    }
    signals::force(shared, context, thread, Info::bus(0), Trap::NONE);
    wait::go_on(context, thread, Resumption::Plain);
}

/// A thread for which there is no frame.
pub struct Starved<M: Machine> {
    thread: Arc<Thread<M>>,
    refusal: Refusal,
    /// How many frames may still be looked at in vain.
    patience: usize,
    /// How many were.
    looked: AtomicUsize,
    /// Owners that have not answered.
    outstanding: AtomicUsize,
    /// Frames that have been given back.
    freed: AtomicUsize,
}

fn starved<M: Machine>(
    shared: &Shared<M>,
    thread: &Arc<Thread<M>>,
    refusal: Refusal,
) -> Arc<Starved<M>> {
    // The multiplexor gives a frame that has been used a second chance: by then, it has looked at
    // every frame twice.
    again(thread, refusal, 2 * shared.machine.limit())
}

fn again<M: Machine>(
    thread: &Arc<Thread<M>>,
    refusal: Refusal,
    patience: usize,
) -> Arc<Starved<M>> {
    Arc::new(Starved {
        thread: thread.clone(),
        refusal,
        patience,
        looked: AtomicUsize::new(0),
        outstanding: AtomicUsize::new(0),
        freed: AtomicUsize::new(0),
    })
}

/// Asks owners for frames, for a thread that waits for one: the memory resource's work.
pub(crate) fn reclaim_for<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    starved: &Arc<Starved<M>>,
) {
    if starved.patience == 0 {
        return give_up(shared, context, starved);
    }
    let process = starved.thread.process();
    let whose = (starved.refusal == Refusal::OverBudget).then(|| process.activity());
    let found = shared.memory.reclaim(whose, WANTED);
    starved.looked.store(found.looked, Ordering::Relaxed);
    let chosen = found.chosen;
    if chosen.is_empty() {
        return retry(shared, context, starved);
    }
    starved.outstanding.store(chosen.len(), Ordering::Relaxed);
    for reclaim in chosen {
        let message = Message::Reclaim(reclaim, starved.clone());
        let request = context.request(reclaim.owner.resource, message);
        context.send(request);
    }
}

/// An owner is asked for a frame back.
pub(crate) fn give_back<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    reclaim: &Reclaim,
    starved: &Arc<Starved<M>>,
) {
    if evict(shared, reclaim) {
        starved.freed.fetch_add(1, Ordering::Relaxed);
    }
    if starved.outstanding.fetch_sub(1, Ordering::AcqRel) > 1 {
        return;
    }
    if starved.freed.load(Ordering::Relaxed) > 0 {
        starved.thread.process().space().set_aside();
        wait::go_on(context, &starved.thread, Resumption::Plain);
    } else {
        retry(shared, context, starved);
    }
}

/// Gives back a frame of an object's page, after it has been unmapped wherever it is.
pub(crate) fn evict<M: Machine>(shared: &Shared<M>, reclaim: &Reclaim) -> bool {
    let (number, page) = page_of(reclaim.owner.cookie);
    let Some(object) = shared.object(number) else {
        return false;
    };
    for process in shared.processes.all() {
        while process.space().evict(number, page, reclaim.frame) == Progress::More {}
    }
    object.evict(page)
}

fn retry<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    starved: &Starved<M>,
) {
    if starved.patience == 0 || starved.thread.process().is_dying() {
        return give_up(shared, context, starved);
    }
    let looked = starved.looked.load(Ordering::Relaxed).max(1);
    let left = starved.patience.saturating_sub(looked);
    let next = again(&starved.thread, starved.refusal, left);
    let process = starved.thread.process();
    let request = process.request(shared, context, Kind::Memory, Message::Starved(next));
    context.send(request);
}

/// Nothing can be had by asking: who is over its budget ends; if memory is out, the process with
/// the most of it does, and the thread waits for that.
fn give_up<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    starved: &Starved<M>,
) {
    let own = starved.thread.process();
    let largest = || {
        let all = shared.processes.all();
        all.into_iter()
            .max_by_key(|process| process.space().usage().0)
    };
    let victim = match starved.refusal {
        Refusal::OverBudget => None,
        Refusal::OutOfMemory => largest(),
    };
    let victim = victim.unwrap_or_else(|| own.clone());
    if !victim.is_dying() {
        log::warn!(
            "out of memory ({:?}): process {} is killed",
            starved.refusal,
            victim.id()
        );
        process::kill(shared, context, &victim, ExitStatus::killed(Signal::KILL));
    }
    if Arc::ptr_eq(&victim, own) || own.is_dying() {
        return wait::go_on(context, &starved.thread, Resumption::Plain);
    }
    let mut waiting = shared.starved.lock();
    if victim.has_ended() {
        drop(waiting);
        wait::go_on(context, &starved.thread, Resumption::Plain);
    } else {
        waiting.push(starved.thread.clone());
    }
}

/// A process's memory has been given back: who waits for memory tries again.
pub(crate) fn feed<M: Machine>(shared: &Shared<M>, context: &mut Context<'_, Vortex<M>>) {
    let waiting = core::mem::take(&mut *shared.starved.lock());
    for thread in waiting {
        wait::go_on(context, &thread, Resumption::Plain);
    }
}
