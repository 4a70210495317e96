//! Waiting, waking, and calls that become requests.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use vortex_toolkit::Context;
use vortex_toolkit::Request;

use super::control::Left;
use super::futex::Key;
use super::timers::Alarm;
use super::{Attention, Interruption, Resumption, State, Thread, WaitId};
use crate::calls::{Caller, Verdict};
use crate::errand::Here;
use crate::errno::Errno;
use crate::machine::Machine;
use crate::space::Pinned;
use crate::system::{Call, Kind, Message, Shared, Vortex};

impl Left {
    /// Takes out what the thread has left elsewhere.
    pub(super) fn clean_up<M: Machine>(self, shared: &Shared<M>, thread: &Arc<Thread<M>>) {
        if let Some(timer) = self.timer {
            shared.cancel_timer(timer);
        }
        if let Some(key) = self.futex {
            shared.futexes.forget(&key, thread.id(), self.wait);
        }
    }
}

/// What can send requests: a handler by its context, a continuation by its port.
pub(crate) trait Sender<M: Machine> {
    /// Sends a request.
    fn send(&mut self, request: Request<Message<M>>);
}

impl<M: Machine> Sender<M> for Context<'_, Vortex<M>> {
    fn send(&mut self, request: Request<Message<M>>) {
        Context::send(self, request);
    }
}

impl<M: Machine> Sender<M> for &Here<M> {
    fn send(&mut self, request: Request<Message<M>>) {
        self.port.send(request);
    }
}

/// Sends the Run request of a thread that has just become ready.
pub(crate) fn ready<M: Machine>(sender: &mut impl Sender<M>, thread: &Arc<Thread<M>>) {
    let process = thread.process();
    let request = Request::new(
        process.threads(),
        process.activity(),
        Message::Run(thread.clone()),
    );
    sender.send(request.near(thread.label()));
}

/// The calling thread is about to wait, until [`wake`] or the deadline (in cycles of the clock; then
/// the call returns what is with it). From here on it can be woken; return [`Verdict::Blocked`]
/// next, or [`cancel`] the wait. A signal that is pending already takes it out at once.
pub fn block<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    interruption: Interruption,
    deadline: Option<(u64, Result<u64, Errno>)>,
) -> WaitId {
    let deadline = deadline.map(|(at, result)| (at, Resumption::Result(result)));
    block_until(caller, interruption, deadline)
}

/// As [`block`]; at the deadline the thread makes its call again.
pub(crate) fn block_again<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    interruption: Interruption,
    deadline: Option<u64>,
) -> WaitId {
    let deadline = deadline.map(|at| (at, Resumption::Again));
    block_until(caller, interruption, deadline)
}

/// As [`block`]; at the deadline the thread goes on as it says there.
pub(super) fn block_until<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    interruption: Interruption,
    deadline: Option<(u64, Resumption)>,
) -> WaitId {
    let (wait, waits) = begin(caller, interruption, deadline, None);
    if !waits {
        ready(caller.context, caller.thread);
    }
    wait
}

/// As [`block`], but does not send the Run request: the flag says whether the thread waits. If not,
/// the caller sends it when it is done.
pub(super) fn begin<M: Machine>(
    caller: &Caller<'_, '_, M>,
    interruption: Interruption,
    deadline: Option<(u64, Resumption)>,
    futex: Option<Key>,
) -> (WaitId, bool) {
    let (shared, thread) = (caller.shared, caller.thread);
    let mut control = thread.control.lock();
    let wait = control.next_wait();
    let timer = deadline.map(|(at, resumption)| {
        let alarm = Alarm::Wake(thread.clone(), wait, resumption);
        shared.timers(caller.context.core()).add(at, alarm)
    });
    let wait = control.wait(interruption, timer, futex);
    let attention = thread.attention();
    if attention.intersects(Attention::DYING | Attention::SIGNAL)
        && let Some(mut left) = control.interrupt(attention.contains(Attention::DYING))
    {
        drop(control);
        // It is not entered anywhere yet.
        left.futex = None;
        left.clean_up(shared, thread);
        return (wait, false);
    }
    drop(control);
    thread.used.count_switch(true);
    (wait, true)
}

/// The calling thread goes on after all. False if somebody has woken it already: then it must
/// return [`Verdict::Blocked`].
#[must_use]
pub fn cancel<M: Machine>(caller: &mut Caller<'_, '_, M>, wait: WaitId) -> bool {
    let mut control = caller.thread.control.lock();
    let Some(left) = control.wake(wait, Resumption::Plain) else {
        return false;
    };
    control.state = State::Running(caller.context.core());
    drop(control);
    left.clean_up(caller.shared, caller.thread);
    true
}

/// A thread that waits goes on with this result. False if it is not in this wait any more.
pub fn wake<M: Machine>(
    shared: &Shared<M>,
    context: &mut Context<'_, Vortex<M>>,
    thread: &Arc<Thread<M>>,
    wait: WaitId,
    result: Result<u64, Errno>,
) -> bool {
    end(shared, context, thread, wait, Resumption::Result(result))
}

/// A thread that waits makes its call again. False if it is not in this wait any more.
pub(crate) fn retry<M: Machine>(
    shared: &Shared<M>,
    sender: &mut impl Sender<M>,
    thread: &Arc<Thread<M>>,
    wait: WaitId,
) -> bool {
    end(shared, sender, thread, wait, Resumption::Again)
}

/// A thread that waits goes on so. False if it is not in this wait any more.
pub(super) fn end<M: Machine>(
    shared: &Shared<M>,
    sender: &mut impl Sender<M>,
    thread: &Arc<Thread<M>>,
    wait: WaitId,
    resumption: Resumption,
) -> bool {
    let Some(left) = thread.control.lock().wake(wait, resumption) else {
        return false;
    };
    left.clean_up(shared, thread);
    ready(sender, thread);
    true
}

/// Turns the call into a request to a resource of this kind, which performs it by
/// [`crate::calls::perform`]; the thread waits for that. Return the verdict.
pub fn request<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    kind: Kind,
    number: u64,
    arguments: [u64; 6],
    pinned: Option<Pinned<M>>,
) -> Verdict {
    let call = Call {
        thread: caller.thread.clone(),
        number,
        arguments,
        pinned,
        kept: Vec::new(),
    };
    call_for(caller, kind, Message::Call(Box::new(call)))
}

/// The calling thread waits for what has been begun for it, until [`complete`] or [`go_on`].
pub(crate) fn calls<M: Machine>(thread: &Thread<M>) {
    thread.control.lock().state = State::Calling;
}

/// Sends a request that works for the calling thread, which waits until [`complete`] or [`go_on`].
pub(crate) fn call_for<M: Machine>(
    caller: &mut Caller<'_, '_, M>,
    kind: Kind,
    message: Message<M>,
) -> Verdict {
    caller.thread.control.lock().state = State::Calling;
    let request = caller
        .process
        .request(caller.shared, caller.context, kind, message);
    caller.context.send(request);
    Verdict::Blocked
}

/// A call that was turned into a request, and whose performance said `Blocked`, has ended: its
/// thread goes on with this result.
pub(crate) fn complete<M: Machine>(
    sender: &mut impl Sender<M>,
    thread: &Arc<Thread<M>>,
    result: Result<u64, Errno>,
) {
    go_on(sender, thread, Resumption::Result(result));
}

/// A request that worked for a thread has ended.
pub(crate) fn go_on<M: Machine>(
    sender: &mut impl Sender<M>,
    thread: &Arc<Thread<M>>,
    resumption: Resumption,
) {
    let mut control = thread.control.lock();
    if control.state != State::Calling {
        debug_assert!(false, "completed without a call: {control:?}");
        return;
    }
    control.state = State::Ready;
    let calls_again = core::mem::take(&mut control.makes_call_again);
    control.resumption = match resumption {
        Resumption::Plain if calls_again => Resumption::Again,
        resumption => resumption,
    };
    drop(control);
    ready(sender, thread);
}
