//! Waiting for open files: a thread is told by the queues of those it waits for, and makes its call
//! again.
//!
//! Key types: [`Woken`] (threads that have been told, by core), [`Kept`] (what a call that is made
//! again remembers). Who tells a thread need not know the toolkit, and may be in the middle of
//! anything: the thread is only noted down, and gets its Run request when the core has come to the
//! end of the request or the system call that it is in ([`Shared::run_woken`]).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use spin::Mutex;
use vortex_toolkit::Context;

use super::{Interruption, Resumption, Thread, WaitId, wait};
use crate::calls::asynchronous::{Poll, StreamIo};
use crate::calls::{Caller, Verdict};
use crate::files::{Events, Observer, OpenFile, Span, WaitQueue};
use crate::machine::Machine;
use crate::system::{Shared, Vortex};

/// Places in a thread's list of subscriptions that are kept for the next time.
const KEPT_SUBSCRIPTIONS: usize = 64;

/// One core's list, which that core alone uses.
struct List<M: Machine> {
    is_used: AtomicBool,
    told: Mutex<Vec<Told<M>>>,
}

/// Who has been told.
enum Told<M: Machine> {
    /// A thread, in this wait.
    Thread(Arc<Thread<M>>, WaitId),
    /// An asynchronous poll.
    Poll(Arc<Poll<M>>),
    /// An asynchronous operation on a stream.
    Stream(Arc<StreamIo<M>>),
}

/// Threads, and asynchronous operations, that have been told that a file may be ready.
pub(crate) struct Woken<M: Machine> {
    machine: M,
    lists: Vec<List<M>>,
}

impl<M: Machine> Woken<M> {
    pub(crate) fn new(machine: M, cores: usize) -> Arc<Self> {
        let list = || List {
            is_used: AtomicBool::new(false),
            told: Mutex::default(),
        };
        let lists = core::iter::repeat_with(list).take(cores).collect();
        Arc::new(Self { machine, lists })
    }

    /// A poll has been told.
    pub(crate) fn note_poll(&self, poll: Arc<Poll<M>>) {
        self.note(Told::Poll(poll));
    }

    /// An operation on a stream has been told.
    pub(crate) fn note_stream(&self, operation: Arc<StreamIo<M>>) {
        self.note(Told::Stream(operation));
    }

    fn note(&self, told: Told<M>) {
        let list = &self.lists[self.machine.here().index()];
        list.told.lock().push(told);
        list.is_used.store(true, Ordering::Relaxed);
    }
}

impl<M: Machine> Observer for Thread<M> {
    fn notify(self: Arc<Self>, token: u64, _: Events) {
        let woken = self.woken.clone();
        woken.note(Told::Thread(self, WaitId(token)));
    }
}

impl<M: Machine> Shared<M> {
    /// Lets those go on who have been told on this core, and sends what sockets have left to be
    /// sent.
    #[inline]
    pub(crate) fn run_woken(&self, context: &mut Context<'_, Vortex<M>>) {
        let list = &self.woken.lists[context.core().index()];
        if list.is_used.load(Ordering::Relaxed) {
            self.run_all_woken(context);
        }
        self.send_posts(context);
    }

    #[cold]
    fn run_all_woken(&self, context: &mut Context<'_, Vortex<M>>) {
        let list = &self.woken.lists[context.core().index()];
        loop {
            // Who was told last has waited longest.
            let next = list.told.lock().pop();
            match next {
                Some(Told::Thread(thread, wait)) => {
                    let _ = wait::retry(self, context, &thread, wait);
                }
                Some(Told::Poll(poll)) => poll.look(self, context),
                Some(Told::Stream(operation)) => operation.ask(self, context),
                None => break,
            }
        }
        list.is_used.store(false, Ordering::Relaxed);
    }
}

/// What a call that is made again remembers of the times before. Used by the one who runs the
/// thread.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// When the call is late; 0 for never.
    deadline: AtomicU64,
    /// Bytes that it has moved.
    done: AtomicU64,
}

impl Kept {
    pub(crate) fn deadline(&self) -> Option<u64> {
        Some(self.deadline.load(Ordering::Relaxed)).filter(|at| *at != 0)
    }

    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    pub(crate) fn set_deadline(&self, at: Option<u64>) {
        let at = at.map_or(0, |at| at.max(1));
        self.deadline.store(at, Ordering::Relaxed);
    }

    pub(crate) fn set_done(&self, done: u64) {
        self.done.store(done, Ordering::Relaxed);
    }

    /// The call has ended.
    #[inline]
    pub(crate) fn forget(&self) {
        self.set_deadline(None);
        self.set_done(0);
    }
}

/// The calling thread waits until one of these files may be ready for what is asked of it, or until
/// the deadline (in cycles of the clock); then it makes its call again. Return the verdict.
pub(crate) fn wait_for<'f, M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    files: impl Iterator<Item = (&'f OpenFile, Events)> + Clone,
    interruption: Interruption,
    deadline: Option<u64>,
) -> Verdict {
    let late = deadline.map(|at| (at, Resumption::Again));
    let wait = wait::block_until(caller, interruption, late);
    let queues = files.clone();
    let queues = queues.filter_map(|(file, events)| Some((file.queue()?, events)));
    let mut files = files;
    let is_ready = || {
        files.any(|(file, events)| {
            let wanted = events | Events::ALWAYS;
            file.readiness().intersects(wanted)
        })
    };
    subscribe(caller, wait, queues, is_ready)
}

/// The calling thread waits until this queue tells of something, unless it need not wait any more
/// once it has subscribed; then it makes its call again. Return the verdict.
pub(crate) fn wait_on<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    queue: &Arc<WaitQueue>,
    must_wait: impl FnOnce() -> bool,
    interruption: Interruption,
) -> Verdict {
    let wait = wait::block_until(caller, interruption, None);
    let queues = core::iter::once((queue, Events::IN));
    subscribe(caller, wait, queues, || !must_wait())
}

fn subscribe<'q, M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    wait: WaitId,
    queues: impl Iterator<Item = (&'q Arc<WaitQueue>, Events)>,
    is_ready: impl FnOnce() -> bool,
) -> Verdict {
    let mut subscriptions = caller.thread.subscriptions.lock();
    for (queue, events) in queues {
        let thread = caller.thread.clone();
        subscriptions.push(queue.subscribe(thread, wait.0, events, Span::Once));
    }
    drop(subscriptions);
    // What has become ready before it was subscribed to has told nobody.
    if is_ready() && wait::cancel(caller, wait) {
        caller.thread.unsubscribe();
        return Verdict::Again;
    }
    Verdict::Blocked
}

impl<M: Machine> Thread<M> {
    /// It does not wait any more: nobody need tell it of anything. By the one who runs it, or of a
    /// thread that nobody runs.
    pub(crate) fn unsubscribe(&self) {
        let mut subscriptions = self.subscriptions.lock();
        subscriptions.clear();
        subscriptions.shrink_to(KEPT_SUBSCRIPTIONS);
    }
}
