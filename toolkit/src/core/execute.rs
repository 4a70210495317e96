//! Dispatch: a request is executed to completion, timed, and charged.

use crate::context::Context;
use crate::ids::{ActivityId, ClientId, DependencyLabel, ResourceId};
use crate::record::{Field, Metric, Record, RecordKind};
use crate::request::{Head, Link, Reason, Request, Trigger};
use crate::slab::{Chain, Work};
use crate::system::{Outcome, Resources, System};
use crate::task::{Leavings, Task};
use crate::tree::Place;
use crate::waiting::{Party, Waiter, WaiterId};

use alloc::vec::Vec;

use super::{Core, CoreState};

/// The request being executed, and what its record will say.
pub(crate) struct Current {
    pub(crate) head: Head,
    /// Who pays.
    pub(crate) activity: ActivityId,
    /// The basic fields of the record.
    used: [u64; Metric::COUNT],
    /// Cycles of the decision to execute it.
    deciding: u64,
    pub(crate) further: Vec<(Field, u64)>,
}

impl Current {
    /// Nobody's.
    pub(crate) const fn new() -> Self {
        Self {
            head: Head::NONE,
            activity: ActivityId::INFRASTRUCTURE,
            used: [0; Metric::COUNT],
            deciding: 0,
            further: Vec::new(),
        }
    }

    /// Nothing is consumed yet for the request that `head` is of.
    pub(crate) fn begin(&mut self, head: &Head) {
        self.head = *head;
        self.reset();
    }

    /// Adds to what has been used.
    #[inline(always)]
    pub(crate) const fn add(&mut self, metric: Metric, amount: u64) {
        self.used[metric as usize] += amount;
    }

    /// The record of the execution.
    #[inline(always)]
    fn record(&mut self, kind: RecordKind, cycles: u64, requests: u64) -> Record<'_> {
        self.used[Metric::Cpu as usize] = cycles;
        self.used[Metric::Requests as usize] = requests;
        self.as_record(kind)
    }

    /// The same record with the cycles of the decision, for the schedulers of schedulers: a resource
    /// that is served often in small pieces pays for the decisions, and not the others on its core
    /// (paper, footnote 7).
    #[inline(always)]
    const fn record_with_decision(&mut self, kind: RecordKind) -> Record<'_> {
        self.used[Metric::Cpu as usize] += self.deciding;
        self.as_record(kind)
    }

    #[inline(always)]
    const fn as_record(&self, kind: RecordKind) -> Record<'_> {
        Record {
            kind,
            activity: self.activity,
            basic: &self.used,
            further: self.further.as_slice(),
        }
    }

    #[inline(always)]
    fn reset(&mut self) {
        self.activity = self.head.activity;
        self.used = [0; Metric::COUNT];
        self.further.clear();
    }
}

impl<Y: System> Core<Y> {
    /// Chooses a queue and serves it once. False if nobody is ready.
    #[inline(always)]
    pub(crate) fn serve(&mut self) -> bool {
        let Some((place, message)) = self.state.begin() else {
            return false;
        };
        match message {
            Some(message) => self.execute(place, message),
            None => self.go_on(place),
        }
        true
    }

    /// Serves a queue with something else at its head than a request that can be executed at once.
    #[cold]
    fn go_on(&mut self, place: Place) {
        match self.state.take(place) {
            Some(Work::Request(request)) => {
                self.state.current.begin(&request.head);
                self.execute(place, request.message);
            }
            Some(Work::Resume(id)) => self.resume(place, id),
            None => self.state.serve_nothing(place),
        }
    }

    /// Executes the current request.
    #[inline(always)]
    fn execute(&mut self, place: Place, message: Y::Message) {
        if let Link::Reply(trigger) = self.state.current.head.link {
            return self.execute_reply(place, message, trigger);
        }
        let mut context = Context::of_current(&mut self.state, &mut self.inbox);
        match self.resources.handle(message, &mut context) {
            Outcome::Done => self.state.conclude(place, RecordKind::Executed, 1),
            outcome => self.conclude_otherwise(place, outcome),
        }
    }

    /// A reply: a task that made the call gets it; else it is handled like any request, and then
    /// whatever waits for it goes on.
    #[cold]
    fn execute_reply(&mut self, place: Place, message: Y::Message, trigger: Trigger) {
        if let Some((id, call)) = self.state.waiting.call_of(trigger) {
            self.state.answer(trigger, id, call, Ok(message));
            return self.poll_task(place, id, RecordKind::Polled);
        }
        let mut context = Context::of_current(&mut self.state, &mut self.inbox);
        let outcome = self.resources.handle(message, &mut context);
        if !matches!(outcome, Outcome::Rejected(_)) {
            self.state.fire(trigger);
        }
        match outcome {
            Outcome::Done => self.state.conclude(place, RecordKind::Executed, 1),
            outcome => self.conclude_otherwise(place, outcome),
        }
    }

    /// A waiter goes on: a request is handled again, a task is polled.
    #[cold]
    fn resume(&mut self, place: Place, id: WaiterId) {
        let state = &mut self.state;
        let Some(waiter) = state.waiting.get(id) else {
            return state.serve_nothing(place);
        };
        if !matches!(waiter.party, Party::Request(_)) {
            waiter.resuming = false;
            let head = waiter.head;
            state.current.deciding += state.books.cut_scheduling(&state.platform);
            state.current.begin(&head);
            return self.poll_task(place, id, RecordKind::Polled);
        }
        match state.waiting.remove(id) {
            Some(Waiter {
                party: Party::Request(request),
                followers,
                ..
            }) => {
                state.let_followers_go(place, &request.head, followers);
                state.current.deciding += state.books.cut_scheduling(&state.platform);
                state.current.begin(&request.head);
                self.execute(place, request.message);
            }
            _ => state.serve_nothing(place),
        }
    }

    /// What follows when the request has not simply been executed.
    #[cold]
    fn conclude_otherwise(&mut self, place: Place, outcome: Outcome<Y::Message>) {
        let state = &mut self.state;
        match outcome {
            Outcome::Done => state.conclude(place, RecordKind::Executed, 1),
            Outcome::Rejected(message) => {
                let head = state.current.head;
                state.reject(place, Request { head, message });
            }
            Outcome::Wait(message, trigger) => {
                let head = state.current.head;
                state.park(place, Request { head, message }, trigger);
                state.conclude(place, RecordKind::Executed, 0);
            }
            Outcome::Continue(task) => {
                let head = state.current.head;
                let id = state.hold(Waiter::new(place, head, Party::Task(task)));
                self.poll_task(place, id, RecordKind::Executed);
            }
        }
    }

    /// Runs a task until it waits again, and charges the poll. The span began when the request that
    /// it goes on with, or the reply, was dispatched.
    fn poll_task(&mut self, place: Place, id: WaiterId, kind: RecordKind) {
        let state = &mut self.state;
        let Some(waiter) = state.waiting.get(id) else {
            return state.serve_nothing(place);
        };
        let Party::Task(mut task) = core::mem::replace(&mut waiter.party, Party::Polled) else {
            return state.serve_nothing(place);
        };
        let ended = task.poll(state.books.mark);
        state.settle_poll(id, task.port().take_leavings());
        if let Some(waiter) = state.waiting.get(id) {
            waiter.party = Party::Task(task);
        }
        if ended && let Some(waiter) = state.waiting.remove(id) {
            state.let_followers_go(waiter.place, &waiter.head, waiter.followers);
            if let Party::Task(task) = waiter.party {
                state.give_up_unread(&task);
            }
        }
        state.conclude(place, kind, u64::from(kind == RecordKind::Executed));
    }
}

impl<Y: System> CoreState<Y> {
    /// Decides which queue is served, and begins the span of the execution. The request at the head
    /// of the queue becomes the current one; no message, with nothing taken, if there is none or if
    /// it may have to wait behind another. `None` if nobody is ready.
    #[inline(always)]
    fn begin(&mut self) -> Option<(Place, Option<Y::Message>)> {
        let Self {
            platform,
            tree,
            books,
            current,
            ..
        } = self;
        let now = books.mark;
        tree.choose(platform, now, |client, slab| {
            current.deciding = books.cut_scheduling(platform);
            if client.holding > 0 {
                return None;
            }
            let message = slab.pop_request(&mut client.chain, &mut current.head)?;
            current.reset();
            let account = &*client.account;
            account.queue_length.set(client.chain.len().into());
            account.waiting.count(current.head.age_cycles(books.mark));
            Some(message)
        })
    }

    /// The next work of a queue. Requests that must stay behind a waiting one are moved to their
    /// place there.
    #[cold]
    fn take(&mut self, place: Place) -> Option<Work<Y::Message>> {
        let mut work = self.tree.take(place)?;
        while let Work::Request(request) = &work
            && !request.head.is_reply()
            && let Some(holder) = self.waiting.holder(place, &request.head)
        {
            self.tree.slab.push_back(&mut holder.followers, work);
            work = self.tree.take(place)?;
        }
        if let Work::Request(request) = &work {
            let waited = request.head.age_cycles(self.books.mark);
            self.tree.client(place).account.waiting.count(waited);
        }
        Some(work)
    }

    /// Ends the span of an execution, books it, and tells the schedulers.
    #[inline(always)]
    fn conclude(&mut self, place: Place, kind: RecordKind, requests: u64) {
        if self.span.is_open() {
            return self.conclude_user(place, kind, requests);
        }
        let cycles = self.books.cut(&self.platform);
        let now = self.books.mark;
        self.books.close();
        let record = self.current.record(kind, cycles, requests);
        let finished = self.tree.finish(&self.platform, place, &record, now);
        let Some(above) = finished else {
            return self.conclude_for_another(place, kind, cycles, requests);
        };
        let record = self.current.record_with_decision(kind);
        self.tree
            .finish_above(&self.platform, place.node, above, Some(&record), now);
    }

    /// As [`Self::conclude`], if a thread was let run in user mode.
    #[cold]
    #[inline(never)]
    fn conclude_user(&mut self, place: Place, kind: RecordKind, requests: u64) {
        self.span.close();
        self.conclude(place, kind, requests);
        self.span.booked();
    }

    /// As [`Self::conclude`], if the activity found is another than the served one.
    ///
    /// Those asked on the way to the served one are charged all the same: so much they have had, and
    /// a flood of packets gets no more of the core than they are to have. The home of the activity
    /// found is charged too, as if it had done the work itself.
    #[cold]
    fn conclude_for_another(&mut self, place: Place, kind: RecordKind, cycles: u64, requests: u64) {
        let client = self.payer(place);
        let record = self.current.record(kind, cycles, requests);
        let payer = self.tree.client(Place { client, ..place });
        payer.account.book(&record);
        let home = payer.home;
        let now = self.books.mark;
        let above = self
            .tree
            .finish_for_another(&self.platform, place, client, &record, now);
        let home = home.and_then(|home| self.known_scheduler(home));
        let record = self.current.record_with_decision(kind);
        if let Some(home) = home {
            self.tree
                .report_beside(&self.platform, home, place.node, &record, now);
        }
        self.tree
            .finish_above(&self.platform, place.node, above, Some(&record), now);
    }

    fn serve_nothing(&mut self, place: Place) {
        let now = self.books.mark;
        self.tree.serve_nothing(&self.platform, place, now);
    }

    /// The client that pays: that of the activity found, which is another than the served one.
    #[cold]
    fn payer(&mut self, place: Place) -> ClientId {
        let resource = self.current.head.destination;
        let activity = self.current.activity;
        let found = self.place(resource, activity);
        let payer = found.or_else(|| self.make_place(resource, activity).ok());
        payer.unwrap_or(place).client
    }

    /// The resource is full: the request goes back, and the resource is suspended.
    ///
    /// Not at the first rejection: until the flag is set, whoever makes room on another core does
    /// not see that anybody waits for it. So the flag is set, and the request tried once more.
    fn reject(&mut self, place: Place, request: Request<Y::Message>) {
        let resource = request.head.destination;
        let now = self.books.mark;
        self.tree
            .requeue(&self.platform, place, Work::Request(request), now);
        self.conclude(place, RecordKind::Executed, 0);
        if self.flag_rejection(resource) {
            self.tree.suspend_node(&self.platform, place.node);
        }
    }

    /// A waiter holds back those that depend on it.
    fn hold(&mut self, waiter: Waiter<Y::Message>) -> WaiterId {
        let client = self.tree.client(waiter.place);
        client.waiters += 1;
        client.holding += u32::from(waiter.head.has_dependants());
        self.waiting.insert(waiter)
    }

    /// Begins a task that is not the rest of a request's handling, and holds nobody back.
    pub(crate) fn spawn(&mut self, head: &Head, task: Task<Y::Message>) -> Result<(), Reason> {
        let place = self.make_place(head.destination, head.activity)?;
        let dependency = DependencyLabel::NONE;
        let head = Head {
            dependency,
            ..*head
        };
        let id = self.hold(Waiter {
            resuming: true,
            ..Waiter::new(place, head, Party::Task(task))
        });
        let now = self.books.mark;
        self.tree
            .append(&self.platform, place, Work::Resume(id), now);
        Ok(())
    }

    /// Per-request blocking.
    fn park(&mut self, place: Place, request: Request<Y::Message>, trigger: Trigger) {
        if trigger.core != self.id || !self.waiting.is_pending(trigger) {
            let now = self.books.mark;
            return self
                .tree
                .requeue(&self.platform, place, Work::Request(request), now);
        }
        let id = self.hold(Waiter::new(place, request.head, Party::Request(request)));
        self.waiting.wait(id, trigger);
    }

    /// A waiter has gone: what stayed behind it goes back to the head of the queue.
    fn let_followers_go(&mut self, place: Place, head: &Head, mut followers: Chain) {
        let client = self.tree.client(place);
        client.waiters -= 1;
        client.holding -= u32::from(head.has_dependants());
        let now = self.books.mark;
        self.tree
            .requeue_all(&self.platform, place, &mut followers, now);
    }

    /// Charges what a task has used, and sends what it has handed to its port.
    fn settle_poll(&mut self, id: WaiterId, leavings: Leavings<Y::Message>) {
        self.current.add(Metric::Bytes, leavings.bytes);
        self.current.add(Metric::Memory, leavings.memory);
        for (call, mut request) in leavings.outgoing {
            request.head.sent_at = self.books.mark;
            if let Some(call) = call {
                let trigger = self.waiting.new_trigger(self.id);
                self.waiting.set_call(trigger, id, call);
                request.head.link = Link::Call(trigger);
            }
            #[cfg(debug_assertions)]
            self.check_labels(&request.head);
            self.send(request);
        }
    }

    /// Books consumption outside the handling of a request, and tells the schedulers.
    pub(crate) fn report(
        &mut self,
        resource: ResourceId,
        activity: ActivityId,
        amount: (Metric, u64),
    ) {
        let place = self.place(resource, activity);
        let Some(place) = place.or_else(|| self.make_place(resource, activity).ok()) else {
            return;
        };
        let mut basic = [0; Metric::COUNT];
        basic[amount.0 as usize] = amount.1;
        let record = Record {
            kind: RecordKind::Reported,
            activity,
            basic: &basic,
            further: &[],
        };
        self.tree.client(place).account.book_further(&record);
        let now = self.books.mark;
        self.tree.report(&self.platform, place, &record, now);
    }
}
