//! What a resource sees of the toolkit while it handles a request.

use alloc::sync::Arc;

use crate::core::{CoreState, Inbox};
use crate::envelope::Control;
use crate::grid::Grid;
use crate::ids::{ActivityId, AffinityLabel, CoreId, ResourceId};
use crate::record::{Field, Metric};
use crate::request::{Head, Link, Reason, Request, Trigger};
use crate::system::System;
use crate::task::{Port, Task, derived, reply};

/// The toolkit, as the handler of one request may use it.
///
/// Sending never calls a handler: requests are queued, and this one runs to completion first.
pub struct Context<'a, Y: System> {
    state: &'a mut CoreState<Y>,
    inbox: &'a mut Inbox<Y>,
}

impl<'a, Y: System> Context<'a, Y> {
    /// In the midst of an execution.
    #[inline]
    pub(crate) const fn of_current(state: &'a mut CoreState<Y>, inbox: &'a mut Inbox<Y>) -> Self {
        Self { state, inbox }
    }

    /// Between two executions, on behalf of whom `head` names.
    pub(crate) fn between(
        state: &'a mut CoreState<Y>,
        inbox: &'a mut Inbox<Y>,
        head: &Head,
    ) -> Self {
        state.current.begin(head);
        Self { state, inbox }
    }

    /// The core that this runs on.
    #[must_use]
    pub const fn core(&self) -> CoreId {
        self.state.id
    }

    /// When this request was dispatched, in cycles.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.state.books.mark
    }

    /// The platform, for those who need the time to the cycle.
    #[must_use]
    pub const fn platform(&self) -> &Y::Platform {
        &self.state.platform
    }

    /// The grid.
    #[must_use]
    pub const fn grid(&self) -> &Arc<Grid<Y>> {
        &self.state.grid
    }

    /// The head of the request being handled.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.state.current.head
    }

    /// A request that inherits activity and labels from the one being handled. If the payer has
    /// been found by [`Self::attribute`], that one is inherited.
    pub fn request(&self, destination: ResourceId, message: Y::Message) -> Request<Y::Message> {
        derived(&self.state.current.head, destination, message).paid_by(self.state.current.activity)
    }

    /// Sends a request. It will be executed exactly once, or handed back to
    /// [`crate::Resources::returned`].
    #[inline(always)]
    pub fn send(&mut self, mut request: Request<Y::Message>) {
        request.head.sent_at = self.state.time_of_sending();
        #[cfg(debug_assertions)]
        self.state.check_labels(&request.head);
        self.state.send(request);
    }

    /// Sends a request whose reply fires the returned trigger.
    pub fn call(&mut self, request: Request<Y::Message>) -> Trigger {
        let trigger = self.trigger();
        self.send(request.answering(trigger));
        trigger
    }

    /// Replies to the request that `head` is of. The reply inherits its activity and labels, and
    /// fires its trigger when it has been handled; a task's call goes on with it.
    pub fn reply(&mut self, head: &Head, message: Y::Message) {
        self.send(reply(head, message));
    }

    /// A trigger that [`Self::fire`] or the reply to a request made with
    /// [`Request::answering`] fires. One that is never fired takes a few bytes for ever.
    pub fn trigger(&mut self) -> Trigger {
        self.state.waiting.new_trigger(self.state.id)
    }

    /// Fires a trigger: who waits on it goes on. Only on the core where it was made; elsewhere, or
    /// a second time, nothing happens.
    pub fn fire(&mut self, trigger: Trigger) {
        if trigger.core == self.state.id {
            self.state.fire(trigger);
        }
    }

    /// Retrospective attribution (paper, section 3.3.2): the activity found pays for this request
    /// and, by inheritance, for what is sent from here on.
    pub const fn attribute(&mut self, activity: ActivityId) {
        self.state.current.activity = activity;
    }

    /// Adds to the bytes of this request's record.
    pub const fn add_bytes(&mut self, bytes: u64) {
        self.state.current.add(Metric::Bytes, bytes);
    }

    /// Adds to the allocated memory, in bytes, of this request's record.
    pub const fn add_memory(&mut self, bytes: u64) {
        self.state.current.add(Metric::Memory, bytes);
    }

    /// Sets a further field of this request's record.
    pub fn set_field(&mut self, field: Field, value: u64) {
        match self
            .state
            .current
            .further
            .iter_mut()
            .find(|(name, _)| *name == field)
        {
            Some((_, old)) => *old = value,
            None => self.state.current.further.push((field, value)),
        }
    }

    /// Reports consumption at `resource` that is not the handling of this request, such as a
    /// completed transfer: `amount` of a metric other than processor time.
    pub fn report(
        &mut self,
        resource: ResourceId,
        activity: ActivityId,
        metric: Metric,
        amount: u64,
    ) {
        if metric != Metric::Cpu {
            self.state.report(resource, activity, (metric, amount));
        }
    }

    /// A port, for a task that goes on with this request.
    #[must_use]
    pub fn port(&self) -> Port<Y::Message> {
        let mut head = self.state.current.head;
        head.activity = self.state.current.activity;
        Port::new(head)
    }

    /// Begins a task that is not the rest of this request's handling: one that `body` makes, with a
    /// head of its own, of which destination, activity and labels count. It waits for its first poll
    /// at the end of its activity's queue at that resource, on this core, and is scheduled and
    /// charged there. It holds nobody back, whatever its dependency label, which is for what it
    /// sends.
    ///
    /// # Errors
    /// [`Reason::NoResource`], [`Reason::NoActivity`]; [`Reason::NoCore`] if the resource does not
    /// ask for time on this core.
    pub fn spawn<F>(
        &mut self,
        head: &Head,
        body: impl FnOnce(Port<Y::Message>) -> F,
    ) -> Result<(), Reason>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let link = Link::None;
        let head = Head { link, ..*head };
        self.state.spawn(&head, Task::new(Port::new(head), body))
    }

    /// Changes the running system: on this core after the current request, on the others when they
    /// receive it.
    pub fn control(&mut self, control: &Control<Y>) {
        self.state.announce(control);
    }

    /// Lets a full resource receive requests again, on all cores.
    pub fn resume(&mut self, resource: ResourceId) {
        self.state.resume_resource(resource);
    }

    /// Says that an affinity label will not be used any more, so that its binding can end.
    pub fn release(&mut self, resource: ResourceId, activity: ActivityId, affinity: AffinityLabel) {
        self.state.release(resource, (activity, affinity));
    }

    /// Binds an affinity label to a core for ever, whatever the resource's scheduler would say; if
    /// it is bound to another, it moves as soon as no request of it waits in the resource, with the
    /// order of its requests kept. Until [`Self::release`] or another `bind`.
    ///
    /// # Errors
    /// [`Reason::NoResource`], [`Reason::NoActivity`]; [`Reason::NoCore`] if the resource does not
    /// ask for time on that core.
    pub fn bind(
        &mut self,
        resource: ResourceId,
        activity: ActivityId,
        affinity: AffinityLabel,
        core: CoreId,
    ) -> Result<(), Reason> {
        let cores = &self.state.learn(resource)?.shared.cores;
        if !cores.contains(&core) {
            return Err(Reason::NoCore);
        }
        // With one core there is nothing to bind.
        if cores.len() > 1 {
            if !self.state.grid.is_live(activity) {
                return Err(Reason::NoActivity);
            }
            self.state.pin(resource, (activity, affinity), core);
        }
        Ok(())
    }

    /// The handler is about to let a thread run in user mode, inside this request. From here on the
    /// core is to others as if it slept: who sends something to it wakes it, by an interrupt. And
    /// whoever reads a [`crate::Snapshot`] sees the time that has passed in this request.
    ///
    /// False if there is something to do already: a request of another core's, or a timer. Then the
    /// thread is not to be let run; the handler ends soon. To be asked with interrupts off, so that
    /// none is lost between the answer and user mode; and only while a request is handled.
    #[must_use]
    pub fn enter_user(&mut self) -> bool {
        self.state.enter_user(self.inbox)
    }

    /// The thread is not in user mode any more. The time in this request goes on. Who forgets it
    /// costs others a wake-up for nothing.
    pub fn leave_user(&mut self) {
        self.inbox.wake();
    }

    /// Whether the handler of a thread should end although the thread could go on: this core has
    /// received something, or a timer is due, or something has become ready since
    /// [`Self::enter_user`] was first asked in this request.
    #[must_use]
    pub fn should_yield(&self) -> bool {
        self.state.should_yield(self.inbox)
    }

    /// When this core has something to do by itself, in cycles, if nothing comes before. A handler
    /// that lets a thread run sees to it that a timer ends that by then.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        self.state.next_due()
    }
}
