//! A core's state but for its resources: what a [`Context`](crate::Context) works on.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use vortex_queue::Receiver;

use crate::envelope::{Envelope, Migration};
use crate::governor::Governor;
use crate::grid::{Grid, SchedulerId};
use crate::ids::CoreId;
use crate::migration::Owned;
use crate::request::{Link, Reason, Request, Trigger};
use crate::slab::Work;
use crate::span::{Span, SpanPublisher};
use crate::system::{Platform, System};
use crate::task::{Answer, CallId};
use crate::tree::{NodeIndex, Tree};
use crate::waiting::{Party, Waiter, WaiterId, Waiting};
use crate::waker::Bell;

#[cfg(debug_assertions)]
use crate::binding::FastMap;
#[cfg(debug_assertions)]
use crate::ids::{ActivityId, AffinityLabel, DependencyLabel, ResourceId};
#[cfg(debug_assertions)]
use crate::request::Head;

use super::Step;
use super::books::Books;
use super::entrance::Entrances;
use super::execute::Current;
use super::send::{LocalResource, Outboxes};
use super::user::Beside;

/// Values taken from the inbox in one step, so that a flood of them cannot keep the core from
/// serving.
const RECEIVE_BATCH: usize = 64;

/// What other cores send to this one.
pub(crate) type Inbox<Y> = Receiver<Envelope<Y>>;

pub(crate) struct CoreState<Y: System> {
    pub(crate) platform: Y::Platform,
    pub(crate) id: CoreId,
    pub(crate) grid: Arc<Grid<Y>>,
    pub(crate) span: SpanPublisher,
    pub(crate) outboxes: Outboxes<Y>,
    pub(crate) tree: Tree<Y::Policy, Y::Message>,
    /// By the index of their numbers; see [`Self::local`].
    pub(crate) resources: Vec<Option<LocalResource<Y>>>,
    pub(crate) entrances: Entrances,
    /// The nodes of the grid's schedulers on this core, once they were needed; see
    /// [`Self::known_scheduler`].
    pub(crate) schedulers: Vec<Option<(SchedulerId, NodeIndex)>>,
    /// Schedulers that go when nobody here asks them any more.
    pub(crate) leaving: Vec<SchedulerId>,
    pub(crate) waiting: Waiting<Y::Message>,
    pub(crate) woken: Vec<WaiterId>,
    pub(crate) returns: VecDeque<(Request<Y::Message>, Reason)>,
    pub(crate) owned: Owned<Y>,
    pub(crate) books: Books,
    pub(crate) current: Current,
    pub(crate) beside: Beside,
    pub(crate) asleep: bool,
    /// The affinity label that goes with each dependency label of late.
    #[cfg(debug_assertions)]
    labels: FastMap<LabelKey, AffinityLabel>,
}

#[cfg(debug_assertions)]
type LabelKey = (ResourceId, ResourceId, ActivityId, DependencyLabel);

impl<Y: System> CoreState<Y> {
    pub(crate) fn new(
        grid: Arc<Grid<Y>>,
        id: CoreId,
        span: SpanPublisher,
        platform: Y::Platform,
    ) -> Self {
        let inbox = grid.senders[id.index()].clone();
        let home = Arc::new(Bell::new(inbox, Box::new(platform.waker())));
        let multiplexor = grid.multiplexors[id.index()].policy.read().clone();
        let root = Governor::start(&platform, &multiplexor, id);
        let books = Books::open(grid.ledger_of(id), &platform);
        Self {
            id,
            span,
            outboxes: Outboxes::new(&grid),
            tree: Tree::new(root, grid.patience_cycles),
            resources: Vec::new(),
            entrances: Entrances::new(),
            schedulers: Vec::new(),
            leaving: Vec::new(),
            waiting: Waiting::new(home),
            woken: Vec::new(),
            returns: VecDeque::new(),
            owned: Owned::new(),
            books,
            current: Current::new(),
            beside: Beside::NOTHING,
            asleep: false,
            #[cfg(debug_assertions)]
            labels: FastMap::default(),
            platform,
            grid,
        }
    }

    #[inline]
    pub(crate) const fn needs_attention(&self) -> bool {
        self.books.mark >= self.tree.attention_at
    }

    /// Attends at the next step.
    pub(crate) const fn call_attention(&mut self) {
        self.tree.attention_at = 0;
    }

    /// Decides when to attend next.
    pub(crate) fn plan_attention(&mut self) {
        if self.outboxes.is_empty() && self.returns.is_empty() {
            self.tree.attention_at = self.tree.first_timer().min(self.owned.next_due());
        } else {
            self.call_attention();
        }
    }

    /// A timer of a binding may be earlier than any before.
    pub(crate) fn note_timers(&mut self) {
        self.tree.attention_at = self.tree.attention_at.min(self.owned.next_due());
    }

    /// When this core has something to do by itself, if at all; 0 if at once.
    pub(crate) fn next_due(&self) -> Option<u64> {
        let due = self.tree.attention_at;
        (due != u64::MAX).then_some(due)
    }

    /// What a core that sleeps has to say if nothing has come and nothing is due: all that others have for
    /// it comes by way of its inbox.
    pub(crate) fn sleep_on(&self, inbox: &Inbox<Y>) -> Option<Step> {
        let is_due = self.next_due().is_some_and(|at| at <= self.platform.now());
        (!is_due && inbox.is_asleep()).then(|| self.fall_asleep())
    }

    /// Something may be left to be done that does not come by way of the inbox: the next step is no sleep.
    pub(crate) const fn disturb(&mut self) {
        if self.asleep {
            self.call_attention();
        }
    }

    pub(crate) fn wake_up(&mut self) {
        self.asleep = false;
        self.span.close();
        self.books.cut_idle(&self.platform);
        self.span.booked();
    }

    /// Nothing is ready: sleeps, unless something is still under way.
    pub(crate) fn rest(&mut self, inbox: &mut Inbox<Y>) -> Step {
        self.books.cut_scheduling(&self.platform);
        self.tree.note_idle(&self.platform, self.books.mark);
        self.note_timers();
        if self.needs_attention() || !inbox.try_sleep() {
            return Step::Worked;
        }
        self.asleep = true;
        let since = self.books.mark;
        self.span.open(Span::Idle { since });
        self.fall_asleep()
    }

    /// Sees to it that a timer ends the sleep.
    fn fall_asleep(&self) -> Step {
        let until = self.next_due();
        if let Some(at) = until {
            self.platform.set_timer(at);
        }
        Step::Asleep { until }
    }

    #[inline(always)]
    pub(crate) fn receive(&mut self, inbox: &mut Inbox<Y>) {
        if inbox.pop_with(|envelope| self.open(envelope)).is_some() {
            self.receive_more(inbox);
        }
    }

    #[inline(always)]
    fn receive_more(&mut self, inbox: &mut Inbox<Y>) {
        for _ in 1..RECEIVE_BATCH {
            if inbox.pop_with(|envelope| self.open(envelope)).is_none() {
                return;
            }
        }
    }

    #[inline(never)]
    fn open(&mut self, envelope: Envelope<Y>) {
        // Not by a table of jumps.
        if let Envelope::Request(request) = envelope {
            self.arrive(request);
        } else {
            self.open_other(envelope);
        }
    }

    #[inline(never)]
    fn open_other(&mut self, envelope: Envelope<Y>) {
        match envelope {
            Envelope::Request(request) => self.arrive(request),
            Envelope::Submitted(request) => self.send(request),
            Envelope::Returned(request, reason) => {
                self.returns.push_back((request, reason));
                self.call_attention();
            }
            Envelope::Woken => self.resume_woken(),
            Envelope::Control(control) => self.control(&control),
            Envelope::Announce(control) => self.announce(&control),
            Envelope::Migration(message) => self.migrate(message),
        }
    }

    /// A request of another core's, for this core when it was sent.
    #[inline(always)]
    pub(crate) fn arrive(&mut self, request: Request<Y::Message>) {
        if self.owned.is_moving()
            && let Some(core) = self.owned.moved_to(&request.head)
        {
            self.push(core, Envelope::Migration(Migration::Forwarded(request)));
            return;
        }
        self.accept(request);
    }

    /// Fires a trigger of this core's: those who wait on it go on.
    pub(crate) fn fire(&mut self, trigger: Trigger) {
        let mut woken = core::mem::take(&mut self.woken);
        self.waiting.fire(trigger, &mut woken);
        for id in woken.drain(..) {
            self.resume(id);
        }
        self.woken = woken;
    }

    /// Tasks of this core have been woken: they go on, the one woken first before all others.
    fn resume_woken(&mut self) {
        let mut woken = core::mem::take(&mut self.woken);
        woken.extend(self.waiting.woken());
        for id in woken.drain(..) {
            self.resume(id);
        }
        self.woken = woken;
    }

    /// Puts a waiter at the head of its queue, once.
    pub(crate) fn resume(&mut self, id: WaiterId) {
        let Some(waiter) = self.waiting.get(id) else {
            return;
        };
        if !core::mem::replace(&mut waiter.resuming, true) {
            let place = waiter.place;
            self.tree
                .requeue(&self.platform, place, Work::Resume(id), self.books.mark);
        }
    }

    /// What comes back to this core: a task gets it as the answer to its call; all else is given to
    /// the caller, for the resource.
    pub(crate) fn deliver_return(
        &mut self,
        request: Request<Y::Message>,
        reason: Reason,
    ) -> Option<(Request<Y::Message>, Reason)> {
        let (Link::Call(trigger) | Link::Reply(trigger)) = request.head.link else {
            return Some((request, reason));
        };
        let Some((id, call)) = self.waiting.call_of(trigger) else {
            self.fire(trigger);
            return Some((request, reason));
        };
        self.answer(trigger, id, call, Err((request, reason)));
        self.resume(id);
        None
    }

    /// Gives a task the answer to a call.
    pub(crate) fn answer(
        &mut self,
        trigger: Trigger,
        id: WaiterId,
        call: CallId,
        answer: Answer<Y::Message>,
    ) {
        self.waiting.fire(trigger, &mut self.woken);
        self.woken.clear();
        if let Some(Waiter {
            party: Party::Task(task),
            ..
        }) = self.waiting.get(id)
        {
            task.port().answer(call, answer);
        }
    }

    /// Requests that depend on each other must have one affinity label, or their order could not
    /// be kept (paper, section 3.1.1).
    #[cfg(debug_assertions)]
    pub(crate) fn check_labels(&mut self, head: &Head) {
        /// Labels remembered.
        const MEMORY: usize = 4096;
        if head.dependency == DependencyLabel::NONE {
            return;
        }
        if self.labels.len() >= MEMORY {
            self.labels.clear();
        }
        let key = (
            head.source,
            head.destination,
            head.activity,
            head.dependency,
        );
        let first = *self.labels.entry(key).or_insert(head.affinity);
        assert!(
            first == head.affinity,
            "dependent requests with two affinity labels: {head:?}"
        );
    }
}
