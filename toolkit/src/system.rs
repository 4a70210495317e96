//! What the toolkit stands on, and what stands on the toolkit: the platform underneath, the
//! resources above, tied together by one [`System`].

use crate::context::Context;
use crate::ids::CoreId;
use crate::request::{Message, Reason, Request, Trigger};
use crate::scheduler::Scheduler;
use crate::task::Task;

/// The types of one system: kernel, simulator or test. Everything is dispatched statically.
pub trait System: Sized + 'static {
    /// The machine.
    type Platform: Platform;
    /// The policies that can be chosen.
    type Policy: Scheduler;
    /// What resources say to each other.
    type Message: Message;
    /// The resources, as one core sees them.
    type Resources: Resources<Self>;
}

/// One core of the machine.
pub trait Platform: 'static {
    /// The cycle counter: never goes back, and is the same on all cores but for a small skew.
    fn now(&self) -> u64;

    /// The core that this is.
    fn core(&self) -> CoreId;

    /// Cycles that low-level interrupt handlers have taken on this core so far. They are paid back
    /// to whatever was interrupted (paper, section 3.3.2).
    fn interrupt_cycles(&self) -> u64;

    /// Wakes another core that has gone to sleep: an inter-processor interrupt.
    fn wake(&self, core: CoreId);

    /// What wakes this core as [`Self::wake`] would, to be called on any core and in interrupt
    /// handlers: by the wakers of this core's tasks.
    fn waker(&self) -> impl Fn() + Send + Sync + 'static;

    /// Asks for an interrupt at a time, in cycles, instead of the one asked for before.
    fn set_timer(&self, at: u64);

    /// Whether [`Self::guard`] catches panics. Where it does not, policies are called without it.
    const CATCHES_PANICS: bool = false;

    /// Runs one call of a policy. Where panics can be caught, a policy that panics is an error
    /// here; where not, this is a plain call.
    ///
    /// # Errors
    /// [`PolicyPanicked`].
    #[inline(always)]
    fn guard<R>(&self, call: impl FnOnce() -> R) -> Result<R, PolicyPanicked> {
        Ok(call())
    }
}

/// A policy has panicked; its state must not be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyPanicked;

/// The resources, as one core sees them: state that cores share is theirs to share.
pub trait Resources<Y: System<Resources = Self>> {
    /// Executes a request, to completion. Its head, which says to which resource it was sent, is
    /// [`Context::head`].
    fn handle(&mut self, message: Y::Message, context: &mut Context<'_, Y>) -> Outcome<Y::Message>;

    /// A request that was not executed comes back; the source of it is `request.head.source`. The
    /// time this takes is booked as scheduling.
    fn returned(
        &mut self,
        request: Request<Y::Message>,
        reason: Reason,
        context: &mut Context<'_, Y>,
    );
}

/// How the handling of a request ended.
#[must_use]
pub enum Outcome<M: Message> {
    /// The request has been executed.
    Done,
    /// The resource is full: the request, whose message is given back, returns to the head of its queue, and the resource gets
    /// no further one on this core until it is resumed.
    Rejected(M),
    /// Per-request blocking (paper, section 3.5): when the trigger fires, the request is handled
    /// again from the start. Until then, requests that depend on it wait behind it.
    Wait(M, Trigger),
    /// A continuation goes on with the request (paper, section 3.5). Requests that depend on it
    /// wait until it has ended.
    Continue(Task<M>),
}
