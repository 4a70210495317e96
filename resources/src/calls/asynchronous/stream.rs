//! Reading and writing what has no position by `io_submit`(2): sockets, pipes, event counters, timers.
//!
//! Key types: [`StreamIo`] (an operation), [`Queues`] (a process's operations by file and direction).
//!
//! Each attempt is a request to the Asynchronous I/O Resource, paid by who pays for the socket, or by
//! the process: it moves what can be moved between the file and the pinned buffers. What cannot go on
//! waits in the file's [`WaitQueue`](crate::files::WaitQueue); whoever makes the file ready has the
//! operation noted down, and the next attempt is sent when the core has come to the end of its
//! request, as for a thread that waits (see [`crate::thread`]).
//!
//! Invariants: of the operations of a process that wait for one open file in one direction only the
//! first makes attempts, so they complete in the order in which they were submitted, and one arrival wakes one.
//! Who has taken out an operation's [`Work`] owns the operation, and either ends it or puts it back;
//! whoever has put it back looks then whether it has been cancelled, and whether the file is ready.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, Ordering};

use spin::Mutex;
use vortex_toolkit::{Context, Request};

use super::{Ring, Told, Waiting};
use crate::calls::{Caller, Verdict};
use crate::errno::Errno;
use crate::files::{
    Buffer, Events, Failure, Observer, OpenFile, Opened, Outcome, PinnedBuffers, Span, Streamed,
    Streaming, Subscription, pin,
};
use crate::machine::Machine;
use crate::process::Process;
use crate::signals::{self, Signal};
use crate::space::UserError;
use crate::system::{Kind, Message, Shared, Vortex};
use crate::thread::Woken;
use crate::thread::timers::{Alarm, TimerKey};

/// Where an operation is in its process's queues: the open file, whether it writes, its ticket.
type Place = (usize, bool, u64);

/// A process's operations on streams, in order for each file and direction.
pub(super) struct Queues<M: Machine>(Mutex<BTreeMap<Place, Arc<StreamIo<M>>>>);

impl<M: Machine> Default for Queues<M> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<M: Machine> Queues<M> {
    /// An operation comes; whether it is the first of its queue.
    fn enter(&self, operation: &Arc<StreamIo<M>>) -> bool {
        let place @ (file, writes, _) = operation.place();
        let mut all = self.0.lock();
        let before = all.range((file, writes, 0)..place).next();
        let is_first = before.is_none();
        all.insert(place, operation.clone());
        is_first
    }

    /// An operation goes; the one that is the first of its queue now, and was not before.
    fn leave(&self, operation: &StreamIo<M>) -> Option<Arc<StreamIo<M>>> {
        let place @ (file, writes, ticket) = operation.place();
        let mut all = self.0.lock();
        let gone = all.remove(&place);
        let first = all
            .range((file, writes, 0)..=(file, writes, u64::MAX))
            .next();
        let next = first.filter(|((.., own), _)| *own > ticket);
        let next = next.map(|(_, next)| next.clone());
        drop(all);
        drop(gone);
        next
    }

    pub(super) fn clear(&self) {
        let all = core::mem::take(&mut *self.0.lock());
        drop(all);
    }
}

/// What an operation has to do.
struct Work<M: Machine> {
    buffers: PinnedBuffers<M>,
    /// Bytes that have been moved.
    done: u64,
    /// When it has waited for as long as its socket says.
    late: Option<TimerKey>,
}

/// What comes of an attempt.
enum Step {
    Ended(Result<u64, Errno>),
    /// Nobody is there to take it: what ends it so is a signal to the process, too.
    Broken,
    /// The file must become ready for this.
    Waits(Events),
    /// Others go first.
    Pauses,
}

impl Step {
    /// What is to become of an operation after an attempt.
    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Ok(bytes) => Self::Ended(Ok(*bytes)),
            Err(Failure::Blocks(_, events)) => Self::Waits(*events),
            Err(Failure::Pauses) => Self::Pauses,
            Err(Failure::Broken) => Self::Broken,
            Err(Failure::Error(error)) => Self::Ended(Err(*error)),
            // The buffers are pinned, and streams leave nothing to others.
            Err(Failure::User(_) | Failure::Signals(..) | Failure::Left(_)) => {
                Self::Ended(Err(Errno::EFAULT))
            }
        }
    }
}

/// An operation on a stream.
pub struct StreamIo<M: Machine> {
    ring: Weak<Ring<M>>,
    process: Weak<Process<M>>,
    ticket: u64,
    told: Told,
    file: Arc<OpenFile>,
    writes: bool,
    never_waits: bool,
    offset: i64,
    /// None while an attempt is made, and when it has ended.
    work: Mutex<Option<Work<M>>>,
    is_cancelled: AtomicBool,
    /// It holds on to nothing any more.
    is_over: AtomicBool,
    subscription: Mutex<Option<Subscription>>,
    woken: Arc<Woken<M>>,
}

impl<M: Machine> Observer for StreamIo<M> {
    fn notify(self: Arc<Self>, _: u64, _: Events) {
        let woken = self.woken.clone();
        woken.note_stream(self);
    }
}

impl<M: Machine> StreamIo<M> {
    fn place(&self) -> Place {
        let file = Arc::as_ptr(&self.file) as usize;
        (file, self.writes, self.ticket)
    }

    /// Asks for an attempt.
    pub(crate) fn ask(self: &Arc<Self>, shared: &Shared<M>, context: &mut Context<'_, Vortex<M>>) {
        // With its process, it ends.
        let Some(process) = self.process.upgrade() else {
            return;
        };
        let mut home = process.home();
        if let Opened::Socket(socket) = &self.file.opened {
            let payer = socket.paid.activity();
            let is_other = payer != home.activity;
            if is_other && shared.grid.activity_params(payer).is_some() {
                home = shared.home(payer);
            }
        }
        let destination = shared.destination_at(&home, Kind::Aio);
        let label = shared.near(context, &home, Kind::Aio);
        let message = Message::Stream(self.clone());
        context.send(Request::new(destination, home.activity, message).near(label));
    }

    /// Makes an attempt.
    pub(crate) fn attempt(
        self: &Arc<Self>,
        shared: &Arc<Shared<M>>,
        context: &mut Context<'_, Vortex<M>>,
    ) {
        let Some(mut work) = self.work.lock().take() else {
            return;
        };
        if self.is_cancelled.load(Ordering::SeqCst) {
            return self.end_early(shared, context, work);
        }
        let before = work.done;
        let outcome = self.transfer(&mut work);
        let now = context.now();
        let is_late = self.never_waits || work.late.is_some_and(|late| late.deadline() <= now);
        let step = Step::of(&outcome);
        let moved = match step {
            Step::Ended(Ok(bytes)) => bytes,
            _ => work.done,
        };
        context.add_bytes(moved.saturating_sub(before));
        match step {
            Step::Waits(_) if is_late => {
                let late = match work.done {
                    0 => self.file.late(),
                    done => Ok(done),
                };
                self.end(shared, context, work, late);
            }
            Step::Ended(result) => self.end(shared, context, work, result),
            Step::Broken => self.end_broken(shared, context, work),
            Step::Waits(events) => self.wait(shared, context, work, events),
            Step::Pauses => {
                self.put_back(shared, context, work);
                self.ask(shared, context);
            }
        }
    }

    /// Moves what can be moved.
    fn transfer(&self, work: &mut Work<M>) -> Outcome {
        if self.offset != 0 && matches!(self.file.opened, Opened::Socket(_)) {
            return Err(Errno::ESPIPE.into());
        }
        let done = Cell::new(work.done);
        let streaming = Streaming {
            memory: &work.buffers,
            done: &done,
        };
        let whole = [Buffer {
            address: 0,
            length: work.buffers.total() as u64,
        }];
        let outcome = match self.writes {
            true => streaming.write(&self.file, &whole),
            false => streaming.read(&self.file, &whole),
        };
        work.done = done.get();
        outcome
    }

    /// Ends since nobody is there to take more. The event comes before the signal, so that who waits for
    /// it has it, and is not interrupted instead.
    fn end_broken(
        &self,
        shared: &Arc<Shared<M>>,
        context: &mut Context<'_, Vortex<M>>,
        work: Work<M>,
    ) {
        let result = match work.done {
            0 => Err(Errno::EPIPE),
            done => Ok(done),
        };
        self.end(shared, context, work, result);
        if let Some(process) = self.process.upgrade() {
            signals::send(shared, context, &process, Signal::PIPE);
        }
    }

    /// Waits until the file is ready for this, at most as long as it says.
    fn wait(
        self: &Arc<Self>,
        shared: &Arc<Shared<M>>,
        context: &mut Context<'_, Vortex<M>>,
        mut work: Work<M>,
        events: Events,
    ) {
        if work.late.is_none()
            && let Some(ns) = self.file.timeout_ns(events)
        {
            let at = context.now().saturating_add(shared.clock.cycles(ns));
            let alarm = Alarm::Stream(Arc::downgrade(self));
            work.late = Some(shared.timers(context.core()).add(at, alarm));
        }
        self.put_back(shared, context, work);
        let Some(queue) = self.file.queue() else {
            return;
        };
        let again = queue.subscribe(self.clone(), 0, events, Span::Once);
        let before = self.subscription.lock().replace(again);
        drop(before);
        // It may have ended, or the file become ready, before it was subscribed to.
        if self.is_over.load(Ordering::SeqCst) {
            let gone = self.subscription.lock().take();
            drop(gone);
        } else if self.file.readiness().intersects(events | Events::ALWAYS) {
            self.ask(shared, context);
        }
    }

    fn put_back(
        &self,
        shared: &Arc<Shared<M>>,
        context: &mut Context<'_, Vortex<M>>,
        work: Work<M>,
    ) {
        *self.work.lock() = Some(work);
        if self.is_cancelled.load(Ordering::SeqCst)
            && let Some(work) = self.work.lock().take()
        {
            self.end_early(shared, context, work);
        }
    }

    /// Ends before all has been done; what has been moved counts.
    pub(super) fn cancel(&self, shared: &Arc<Shared<M>>, context: &mut Context<'_, Vortex<M>>) {
        self.is_cancelled.store(true, Ordering::SeqCst);
        if let Some(work) = self.work.lock().take() {
            self.end_early(shared, context, work);
        }
    }

    fn end_early(
        &self,
        shared: &Arc<Shared<M>>,
        context: &mut Context<'_, Vortex<M>>,
        work: Work<M>,
    ) {
        let result = match work.done {
            0 => Err(Errno::ECANCELED),
            done => Ok(done),
        };
        self.end(shared, context, work, result);
    }

    /// Ends so; the next one of its queue goes on.
    fn end(
        &self,
        shared: &Arc<Shared<M>>,
        context: &mut Context<'_, Vortex<M>>,
        work: Work<M>,
        result: Result<u64, Errno>,
    ) {
        self.let_go(shared, work);
        let process = self.process.upgrade();
        let next = process.and_then(|process| process.rings.queues.leave(self));
        if let Some(ring) = self.ring.upgrade() {
            let name = (self.told.address, self.ticket);
            let gone = ring.waiting.lock().remove(&name);
            drop(gone);
            self.told.complete(&ring, shared, context, result);
        }
        if let Some(next) = next {
            next.ask(shared, context);
        }
    }

    /// The program's memory and the file are not needed any more.
    fn let_go(&self, shared: &Shared<M>, work: Work<M>) {
        if let Some(timer) = work.late {
            shared.cancel_timer(timer);
        }
        drop(work);
        self.is_over.store(true, Ordering::SeqCst);
        let subscription = self.subscription.lock().take();
        drop(subscription);
    }

    /// Nobody is to be told of it any more.
    pub(super) fn drop_it(&self, shared: &Shared<M>) {
        self.is_cancelled.store(true, Ordering::SeqCst);
        let work = self.work.lock().take();
        if let Some(work) = work {
            self.let_go(shared, work);
        }
    }
}

/// Begins an operation.
///
/// # Errors
/// The verdict, if its buffers are not there yet. Any other failure is an event, as on Linux, where
/// it has begun before anybody looks at the memory.
pub(super) fn begin<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    ring: &Arc<Ring<M>>,
    streamed: Streamed,
    offset: i64,
    told: Told,
) -> Result<(), Verdict> {
    let Streamed {
        file,
        writes,
        buffers,
        never_waits,
    } = streamed;
    let pinned = match pin(caller.process.space(), &buffers, u64::MAX, !writes) {
        Ok(pinned) => pinned,
        Err(UserError::Bad) => {
            told.complete(ring, caller.shared, caller.context, Err(Errno::EFAULT));
            return Ok(());
        }
        Err(absent) => return Err(absent.into()),
    };
    let rings = &caller.process.rings;
    let operation = Arc::new(StreamIo {
        ring: Arc::downgrade(ring),
        process: Arc::downgrade(caller.process),
        ticket: rings.ticket(),
        told,
        file,
        writes,
        never_waits,
        offset,
        work: Mutex::new(Some(Work {
            buffers: pinned,
            done: 0,
            late: None,
        })),
        is_cancelled: AtomicBool::new(false),
        is_over: AtomicBool::new(false),
        subscription: Mutex::new(None),
        woken: caller.shared.woken.clone(),
    });
    let name = (operation.told.address, operation.ticket);
    let waiting = Waiting::Stream(operation.clone());
    ring.waiting.lock().insert(name, waiting);
    // Who does not wait does not wait for the others either.
    let is_now = never_waits || operation.file.is_nonblocking();
    if rings.queues.enter(&operation) || is_now {
        operation.ask(caller.shared, caller.context);
    }
    Ok(())
}
