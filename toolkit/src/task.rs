//! Continuations (paper, section 3.5): an `async` block goes on with a request across replies.
//!
//! Explicit continuations and cooperative threading are one thing in Rust. A task talks to the grid
//! through its [`Port`]: what it sends leaves after the poll, in order; a [`Port::call`] goes on
//! when the reply has been scheduled and dispatched like any request. Every poll is timed and
//! charged like the handling of a request.
//!
//! A task is an ordinary future: it may also wait for a lock, a channel or another task, of whatever
//! resource and core. Its waker may be woken anywhere, and in interrupt handlers; then the task goes
//! on, on its own core, in the queue of its activity, once for all wakes since its last poll began.
//!
//! A task costs a few allocations when it is made, none while it runs.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context as PollContext, Poll, Waker};

use crate::sync::Mutex;

use crate::ids::ResourceId;
use crate::request::{Head, Link, Message, Reason, Request};
use crate::waker::Alarm;

/// A call's number within its task.
pub(crate) type CallId = u32;

/// What a call comes back with: the reply's message, or the request that nobody executed.
pub type Answer<M> = Result<M, (Request<M>, Reason)>;

struct Mail<M> {
    head: Head,
    /// When the current poll began.
    now: u64,
    outgoing: Vec<(Option<CallId>, Request<M>)>,
    answers: Vec<(CallId, Answer<M>)>,
    calls: CallId,
    bytes: u64,
    memory: u64,
}

/// A task's way to the grid. Clones are the same port.
pub struct Port<M>(Arc<Mutex<Mail<M>>>);

impl<M> Clone for Port<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: Message> Port<M> {
    /// A port for a continuation of the request that `head` is of.
    pub(crate) fn new(head: Head) -> Self {
        Self(Arc::new(Mutex::new(Mail {
            head,
            now: 0,
            outgoing: Vec::new(),
            answers: Vec::new(),
            calls: 0,
            bytes: 0,
            memory: 0,
        })))
    }

    /// The head of the request that the task goes on with.
    #[must_use]
    pub fn head(&self) -> Head {
        self.0.lock().head
    }

    /// When the current poll was dispatched, in cycles of the platform's counter.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.0.lock().now
    }

    /// A request that inherits activity and labels from the one the task goes on with.
    #[must_use]
    pub fn request(&self, destination: ResourceId, message: M) -> Request<M> {
        derived(&self.0.lock().head, destination, message)
    }

    /// Sends a request.
    pub fn send(&self, request: Request<M>) {
        self.0.lock().outgoing.push((None, request));
    }

    /// Answers the request that the task goes on with.
    pub fn reply(&self, message: M) {
        let mut mail = self.0.lock();
        let request = reply(&mail.head, message);
        mail.outgoing.push((None, request));
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    /// The request and the reason, if it was handed back unexecuted.
    pub fn call(&self, request: Request<M>) -> impl Future<Output = Answer<M>> + Send + use<M> {
        let mut mail = self.0.lock();
        let id = mail.calls;
        mail.calls += 1;
        mail.outgoing.push((Some(id), request));
        drop(mail);
        let port = self.clone();
        poll_fn(move |_| {
            let mut mail = port.0.lock();
            match mail.answers.iter().position(|(call, _)| *call == id) {
                Some(position) => Poll::Ready(mail.answers.swap_remove(position).1),
                None => Poll::Pending,
            }
        })
    }

    /// Adds to the bytes of the record of this poll.
    pub fn add_bytes(&self, bytes: u64) {
        self.0.lock().bytes += bytes;
    }

    /// Adds to the allocated memory, in bytes, of the record of this poll.
    pub fn add_memory(&self, bytes: u64) {
        self.0.lock().memory += bytes;
    }

    pub(crate) fn answer(&self, call: CallId, answer: Answer<M>) {
        self.0.lock().answers.push((call, answer));
    }

    /// The requests that came back and that the task has not looked at.
    pub(crate) fn take_unread(&self) -> impl Iterator<Item = (Request<M>, Reason)> + use<M> {
        let answers = core::mem::take(&mut self.0.lock().answers);
        answers.into_iter().filter_map(|(_, answer)| answer.err())
    }

    pub(crate) fn take_leavings(&self) -> Leavings<M> {
        let mut mail = self.0.lock();
        Leavings {
            outgoing: core::mem::take(&mut mail.outgoing),
            bytes: core::mem::take(&mut mail.bytes),
            memory: core::mem::take(&mut mail.memory),
        }
    }
}

/// What a poll leaves to be done.
pub(crate) struct Leavings<M> {
    pub(crate) outgoing: Vec<(Option<CallId>, Request<M>)>,
    pub(crate) bytes: u64,
    pub(crate) memory: u64,
}

/// A request that inherits activity and labels from another's head (paper, section 2.1).
pub(crate) const fn derived<M>(head: &Head, destination: ResourceId, message: M) -> Request<M> {
    let head = Head {
        destination,
        source: head.destination,
        link: Link::None,
        ..*head
    };
    Request { head, message }
}

/// The reply to the request that `head` is of.
pub(crate) const fn reply<M>(head: &Head, message: M) -> Request<M> {
    let mut request = derived(head, head.source, message);
    if let Link::Call(trigger) = head.link {
        request.head.link = Link::Reply(trigger);
    }
    request
}

/// The rest of a request's handling, or work with a head of its own
/// ([`crate::Context::spawn`]).
pub struct Task<M: Message> {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    port: Port<M>,
    /// Once a core has taken the task up.
    alarm: Option<Alarm>,
}

impl<M: Message> Task<M> {
    /// A task of what `body` makes of `port`. Nothing of it runs before the first poll.
    pub fn new<F>(port: Port<M>, body: impl FnOnce(Port<M>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let future = Box::pin(body(port.clone()));
        Self {
            future,
            port,
            alarm: None,
        }
    }

    pub(crate) fn set_alarm(&mut self, alarm: Alarm) {
        self.alarm = Some(alarm);
    }

    pub(crate) const fn port(&self) -> &Port<M> {
        &self.port
    }

    /// Runs the task until it waits again. True if it has ended.
    pub(crate) fn poll(&mut self, now: u64) -> bool {
        self.port.0.lock().now = now;
        let alarm = self.alarm.as_ref();
        let waker = alarm.map_or(Waker::noop(), Alarm::clear);
        let future = self.future.as_mut();
        future.poll(&mut PollContext::from_waker(waker)).is_ready()
    }
}

impl<M: Message> core::fmt::Debug for Task<M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Task").finish_non_exhaustive()
    }
}
