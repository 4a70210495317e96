//! Dispatch: a request is executed to completion, timed, and charged.

use crate::context::{Context, Current};
use crate::ids::{ActivityId, ResourceId};
use crate::record::{Record, RecordKind};
use crate::request::{Head, Link, Request, Trigger};
use crate::slab::Chain;
use crate::system::{Outcome, Resources, System};
use crate::task::Task;
use crate::tree::{Place, Work};
use crate::waiting::{Party, Waiter, WaiterId};

use super::{Core, CoreState};

/// What was executed, for the record.
struct Executed {
    kind: RecordKind,
    current: Current,
    cycles: u64,
    requests: u64,
}

impl<Y: System> Core<Y> {
    /// Serves the chosen queue once.
    #[inline]
    pub(crate) fn dispatch(&mut self, place: Place) {
        match self.state.take(place) {
            Some(Work::Request(request)) => self.execute(place, request),
            Some(Work::Resume(id)) => self.resume(place, id),
            None => {
                let state = &mut self.state;
                state
                    .tree
                    .serve_nothing(&state.platform, place, state.books.mark);
            }
        }
    }

    #[inline]
    fn execute(&mut self, place: Place, request: Request<Y::Message>) {
        let state = &mut self.state;
        state.books.cut_scheduling(&state.platform);
        if let Some(queue) = state.tree.queue(place) {
            queue
                .account
                .waiting
                .count(request.age_cycles(state.books.mark));
        }
        let head = request.head;
        if let Link::Reply(trigger) = head.link {
            return self.execute_reply(place, request, trigger);
        }
        let resumes = state.resumes_of(head.destination);
        let mut context = Context::new(&mut self.state, head);
        let outcome = self.resources.handle(request, &mut context);
        let current = context.into_current();
        self.conclude(place, head, outcome, current, resumes);
    }

    /// A reply: a task that made the call gets it; else it is handled like any request, and then
    /// whatever waits for it goes on.
    #[cold]
    fn execute_reply(&mut self, place: Place, request: Request<Y::Message>, trigger: Trigger) {
        let head = request.head;
        if let Some((id, call)) = self.state.waiting.call_of(trigger) {
            self.state.answer(trigger, id, call, Ok(request.message));
            return self.poll_task(place, id, RecordKind::Polled, None);
        }
        let resumes = self.state.resumes_of(head.destination);
        let mut context = Context::new(&mut self.state, head);
        let outcome = self.resources.handle(request, &mut context);
        let current = context.into_current();
        if !matches!(outcome, Outcome::Rejected(_)) {
            self.state.fire(trigger);
        }
        self.conclude(place, head, outcome, current, resumes);
    }

    /// A waiter goes on: a request is handled again, a task is polled.
    #[cold]
    fn resume(&mut self, place: Place, id: WaiterId) {
        let state = &mut self.state;
        match state.waiting.get(id) {
            Some(Waiter {
                party: Party::Request(_),
                ..
            }) => {
                let waiter = state.waiting.remove(id);
                if let Some(Waiter {
                    party: Party::Request(request),
                    followers,
                    ..
                }) = waiter
                {
                    state.let_followers_go(place, followers);
                    self.execute(place, request);
                }
            }
            Some(waiter) => {
                waiter.resuming = false;
                state.books.cut_scheduling(&state.platform);
                self.poll_task(place, id, RecordKind::Polled, None);
            }
            None => state
                .tree
                .serve_nothing(&state.platform, place, state.books.mark),
        }
    }

    /// What follows from how the handling ended. `resumes` is how often the resource had been
    /// resumed before.
    #[inline]
    fn conclude(
        &mut self,
        place: Place,
        head: Head,
        outcome: Outcome<Y::Message>,
        current: Current,
        resumes: u64,
    ) {
        match outcome {
            Outcome::Done => {
                let executed = self.state.executed(RecordKind::Executed, current, 1);
                self.state.charge(place, head, executed);
            }
            other => self.conclude_otherwise(place, head, other, current, resumes),
        }
    }

    #[cold]
    fn conclude_otherwise(
        &mut self,
        place: Place,
        head: Head,
        outcome: Outcome<Y::Message>,
        current: Current,
        resumes: u64,
    ) {
        let state = &mut self.state;
        match outcome {
            Outcome::Done => {}
            Outcome::Rejected(request) => {
                let executed = state.executed(RecordKind::Executed, current, 0);
                let now = state.books.mark;
                state
                    .tree
                    .requeue(&state.platform, place, Work::Request(request), now);
                state.suspend_after_rejection(head.destination, place.node, resumes);
                state.charge(place, head, executed);
            }
            Outcome::Wait(request, trigger) => {
                let executed = state.executed(RecordKind::Executed, current, 0);
                state.park(place, request, trigger);
                state.charge(place, head, executed);
            }
            Outcome::Continue(task) => {
                let waiter = Waiter {
                    place,
                    head,
                    followers: Chain::EMPTY,
                    party: Party::Task(task),
                    resuming: false,
                };
                let id = state.hold(waiter);
                self.poll_task(place, id, RecordKind::Executed, Some(current));
            }
        }
    }

    /// Runs a task until it waits again, and charges the poll. The span began when the request that
    /// it goes on with, or the reply, was dispatched; `current` is what it has consumed before.
    fn poll_task(
        &mut self,
        place: Place,
        id: WaiterId,
        kind: RecordKind,
        current: Option<Current>,
    ) {
        let state = &mut self.state;
        let Some(waiter) = state.waiting.get(id) else {
            return;
        };
        let head = waiter.head;
        let Party::Task(mut task) = core::mem::replace(&mut waiter.party, Party::Polled) else {
            return;
        };
        let ended = task.poll();
        let mut current = current.unwrap_or_else(|| Current::new(head.activity));
        let (bytes, memory) = task.port().take_consumption();
        current.bytes += bytes;
        current.memory += memory;
        state.send_for_task(id, &task);
        if let Some(waiter) = state.waiting.get(id) {
            waiter.party = Party::Task(task);
        }
        let requests = u64::from(kind == RecordKind::Executed);
        let executed = state.executed(kind, current, requests);
        if ended && let Some(waiter) = state.waiting.remove(id) {
            state.let_followers_go(waiter.place, waiter.followers);
        }
        state.charge(place, head, executed);
    }
}

impl<Y: System> CoreState<Y> {
    /// The next work of a queue that nothing holds back.
    #[inline]
    fn take(&mut self, place: Place) -> Option<Work<Y::Message>> {
        let work = self.tree.take(place)?;
        if self
            .tree
            .queue(place)
            .is_some_and(|queue| queue.holding > 0)
        {
            return self.take_free(place, work);
        }
        Some(work)
    }

    /// Moves requests that must stay behind a waiting one to their place there.
    #[cold]
    fn take_free(&mut self, place: Place, mut work: Work<Y::Message>) -> Option<Work<Y::Message>> {
        while let Work::Request(request) = &work
            && let Some(holder) = self.waiting.holder(place, &request.head)
        {
            self.tree.slab.push_back(&mut holder.followers, work);
            work = self.tree.take(place)?;
        }
        Some(work)
    }

    /// Ends the span of an execution.
    #[inline]
    fn executed(&mut self, kind: RecordKind, current: Current, requests: u64) -> Executed {
        let cycles = self.books.cut(&self.platform);
        Executed {
            kind,
            current,
            cycles,
            requests,
        }
    }

    /// Books an execution and tells the schedulers.
    #[inline]
    fn charge(&mut self, place: Place, head: Head, executed: Executed) {
        let Executed {
            kind,
            current,
            cycles,
            requests,
        } = executed;
        let record = Record {
            kind,
            activity: current.activity,
            basic: [cycles, current.bytes, requests, current.memory],
            further: &current.further,
        };
        let payer = self.payer(place, head.destination, current.activity);
        if let Some(queue) = self.tree.queue(payer) {
            let account = &queue.account;
            account.cycles.add(cycles);
            account.requests.add(requests);
            account.service.count(cycles);
            if current.bytes | current.memory != 0 {
                account.bytes.add(current.bytes);
                account.memory.add(current.memory);
            }
        }
        self.books.close();
        let now = self.books.mark;
        self.tree
            .finish(&self.platform, place, payer.client, &record, now);
    }

    /// The client that pays: that of the activity found, if it is another than the served one.
    #[inline]
    fn payer(&mut self, place: Place, resource: ResourceId, activity: ActivityId) -> Place {
        if self
            .tree
            .queue(place)
            .is_some_and(|queue| queue.activity == activity)
        {
            return place;
        }
        let found = self.place(resource, activity);
        found
            .or_else(|| self.make_place(resource, activity).ok())
            .unwrap_or(place)
    }

    /// A waiter holds back those that depend on it.
    fn hold(&mut self, waiter: Waiter<Y::Message>) -> WaiterId {
        if let Some(queue) = self.tree.queue(waiter.place) {
            queue.holding += 1;
        }
        self.waiting.insert(waiter)
    }

    /// Per-request blocking.
    fn park(&mut self, place: Place, request: Request<Y::Message>, trigger: Trigger) {
        if !self.waiting.is_pending(trigger) {
            let now = self.books.mark;
            return self
                .tree
                .requeue(&self.platform, place, Work::Request(request), now);
        }
        let id = self.hold(Waiter {
            place,
            head: request.head,
            followers: Chain::EMPTY,
            party: Party::Request(request),
            resuming: false,
        });
        self.waiting.wait(id, trigger);
    }

    /// A waiter has gone: what stayed behind it goes back to the head of the queue.
    pub(crate) fn let_followers_go(&mut self, place: Place, mut followers: Chain) {
        if let Some(queue) = self.tree.queue(place) {
            queue.holding -= 1;
        }
        let now = self.books.mark;
        self.tree
            .requeue_all(&self.platform, place, &mut followers, now);
    }

    /// Sends what a task has handed to its port.
    fn send_for_task(&mut self, id: WaiterId, task: &Task<Y::Message>) {
        for (call, mut request) in task.port().take_outgoing() {
            request.head.sent_at = self.books.mark;
            if let Some(call) = call {
                let trigger = self.waiting.new_trigger(self.id);
                self.waiting.set_call(trigger, id, call);
                request.head.link = Link::Call(trigger);
            }
            self.send(request);
        }
    }
}
