//! `propshare.wfq`: weighted fair queueing by start-time fair queueing.
//!
//! The algorithm is SFQ (Goyal, Guo, Vin: "A hierarchical CPU scheduler for multimedia operating
//! systems", OSDI 1996; Goyal, Vin, Cheng, SIGCOMM 1996), which needs no cost in advance and stays
//! fair when the capacity varies, as it does for a scheduler below another one.
//!
//! - Each client has a *tag*. When it becomes ready, its tag is raised to the virtual time if it is
//!   behind, so nothing is saved up while idle or suspended.
//! - The ready client with the least tag is served, ties in the order of readiness; the virtual
//!   time is the tag with which a client came into service last, unless that was behind it.
//! - A record raises the client's tag by amount / weight, whenever it comes. For a client that is
//!   not in service (retrospective attribution) the tag is first raised to the virtual time, and a
//!   waiting client moves back in the order at once.
//! - When nobody is ready and nobody in service, the busy period ends: the virtual time goes on to the
//!   tag of the client that it was taken from last, after the service (SFQ: to the greatest of all), and
//!   all start the next one level, for tags ahead of it come down to it: what was used while no one else
//!   wanted it is not held against anyone.
//! - A decision that has consumed nothing by the time its client is ready again is charged one
//!   unit of the metric, so that no one can hold the resource with requests that cost nothing.
//! - A client that is a scheduler (at a CPU multiplexor, say) is without work now and then because
//!   what it schedules is being served by another one, on the same core, and did not stop wanting.
//!   If such a client is back before the virtual time is four of its charges ahead of its tag (as
//!   they are on average), it may stay behind by up to one, as its *arrears*: otherwise who needs
//!   several resources in turn would lose its place at each of them, and the more so the larger its
//!   share is. Arrears never exceed what the client would have received had it stayed.
//! - An instance may have a *burst*: a client that is a scheduler may be behind the virtual time by its
//!   share of so much, in proportion to all weights, whenever it comes back, in a new busy period too, if
//!   it has used so much less. Who uses less than its share then does not wait for those who use more,
//!   before it has used so much at a time (as with the warp of Duda and Cheriton's borrowed virtual time,
//!   SOSP 1999).
//! - A new weight counts from the next decision: what the client is ahead of the virtual time is
//!   rescaled to it.
//!
//! # Bound
//! For two clients that are both busy throughout an interval, the amounts they are charged in it
//! satisfy |charged_i / w_i − charged_j / w_j| ≤ l_i / w_i + l_j / w_j, where l is the largest
//! amount charged between two decisions for the client. For clients that are schedulers, arrears add
//! the greater of the two terms once more, or burst / sum of all w, if that is more: once, however often
//! they come back.
//!
//! # Numbers
//! A tag counts 2^-64 of an amount per unit of weight, and one unit of the metric raises it by the
//! client's `step`, 2^64 / weight rounded down. So a record costs one multiplication, a client's
//! rate is off by less than 2^-40 of it (one unit in 10^12) at any weight, and no other rounding
//! adds up. Tags have 128 bits: even at weight 1 they last for 2^64 units (200 years of cycles).
//!
//! The ready clients lie in a `Wheel` by the 64 bits of their tags from 2^40 on; tags that differ
//! in lower bits only, by less than one unit of the metric at any weight, count as equal. The few that
//! the wheel does not reach are in a heap: who is behind the virtual time, until it is served, and who is
//! further ahead than 2^38 units at weight 1, until the virtual time has come closer.

use alloc::boxed::Box;
use core::mem;

use vortex_toolkit::ids::{AffinityLabel, ClientId, CoreId};
use vortex_toolkit::record::{Metric, Record};
use vortex_toolkit::scheduler::{
    ClientKind, ClientParams, ClientStatistics, CoreBinding, LoadView, Queues, Ready, Scheduler,
    SchedulerParams, Weight,
};

use crate::heap::Heap;
use crate::load_share;
use crate::wheel::Wheel;

/// The lowest bit of a tag that the order depends on.
const KEY_SHIFT: u32 = 40;
const _: () = assert!((Weight::MAX as u64) < 1 << (u64::BITS - KEY_SHIFT));

/// The wheel reaches a tag that is not behind the virtual time, and less than this ahead of it.
const WINDOW: u128 = (Wheel::<Client>::WINDOW as u128) << KEY_SHIFT;

/// The policy; see the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wfq;

/// How many average charges the virtual time may be ahead of a scheduler that comes back with
/// arrears.
const GRACE: u128 = 4;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Absent,
    /// Nothing to do, or in service and charged for it.
    Idle,
    /// Chosen, and not charged since.
    Unpaid,
    Ready,
}

struct Client {
    tag: u128,
    /// What one unit of the metric adds to the tag.
    step: u64,
    /// The busy period for which the tag counts.
    period: u32,
    state: State,
    /// It is a scheduler, and may have arrears.
    schedules: bool,
    statistics: ClientStatistics,
}

impl Default for Client {
    fn default() -> Self {
        Self::new(State::Absent, false, Weight::DEFAULT)
    }
}

impl Client {
    fn new(state: State, schedules: bool, weight: Weight) -> Self {
        Self {
            tag: 0,
            step: step(weight),
            period: 0,
            state,
            schedules,
            statistics: ClientStatistics::default(),
        }
    }

    /// Where the tag lies in the wheel, if it is not behind the virtual time.
    #[inline]
    const fn key(&self) -> u64 {
        (self.tag >> KEY_SHIFT) as u64
    }

    /// Whether the tag is not behind the virtual time, and is within the wheel's reach.
    #[inline(always)]
    const fn is_within_reach(&self, virtual_time: u128) -> bool {
        // A tag behind the virtual time is "ahead" by almost 2^128.
        self.tag.wrapping_sub(virtual_time) < WINDOW
    }

    /// Raises the tag by `amount` / weight.
    #[inline]
    fn advance(&mut self, amount: u64) {
        self.tag += u128::from(amount) * u128::from(self.step);
    }

    /// What follows if an idle client becomes ready whose tag simply stays, is raised to the virtual time or
    /// comes down to it: where it lies in the wheel. `None`, with nothing done, for one that may be
    /// behind the virtual time, or is very far ahead, or is not idle.
    #[inline(always)]
    fn line_up(&mut self, period: u32, virtual_time: u128, burst: u64) -> Option<u64> {
        if self.state != State::Idle {
            return None;
        }
        if self.period != period {
            if burst > 0 && self.schedules {
                return None;
            }
            self.period = period;
            self.tag = virtual_time;
        } else if !self.is_within_reach(virtual_time) {
            if self.schedules || self.tag > virtual_time {
                return None;
            }
            self.tag = virtual_time;
        }
        self.state = State::Ready;
        Some(self.key())
    }

    /// Brings the tag up to date: nothing but the burst is saved up, and nothing is held against anyone
    /// from an earlier busy period.
    fn settle(&mut self, period: u32, virtual_time: u128, saved: u128) {
        let is_back = self.period == period;
        if !is_back {
            self.period = period;
            self.tag = self.tag.min(virtual_time);
        }
        if self.tag < virtual_time {
            let behind = match (self.schedules, is_back) {
                (false, _) => 0,
                (true, false) => saved,
                (true, true) => saved.max(self.arrears(virtual_time)),
            };
            self.tag = self.tag.max(virtual_time.saturating_sub(behind));
        }
    }

    /// How far behind the virtual time a scheduler may be that is back soon.
    fn arrears(&self, virtual_time: u128) -> u128 {
        let average = self.statistics.charged / self.statistics.decisions.max(1);
        let charge = u128::from(average) * u128::from(self.step);
        let is_soon = self.tag.saturating_add(charge.saturating_mul(GRACE)) >= virtual_time;
        if is_soon { charge } else { 0 }
    }

    /// Its weight, if it is a scheduler. It is less than 2^24, and so is what it comes to by its step.
    fn scheduled_weight(&self) -> u64 {
        if self.schedules && self.state != State::Absent {
            u64::MAX / self.step
        } else {
            0
        }
    }
}

fn step(weight: Weight) -> u64 {
    u64::MAX / u64::from(weight.get())
}

/// State of one core.
pub struct Core {
    /// The clients, and those that are ready by the low bits of their tags.
    wheel: Wheel<Client>,
    virtual_time: u128,
    /// The client that it was taken from last.
    leader: u32,
    /// The number of the current busy period.
    period: u32,
    /// The client chosen last.
    in_service: u32,
    metric: Metric,
    /// See [`SchedulerParams::burst`].
    burst: u64,
    /// The sum of the weights of all clients that are schedulers.
    weights: u64,
    /// How far their tags may be behind the virtual time by the burst.
    saved: u128,
    /// Ready clients whose tags the wheel does not reach.
    outside: Heap<u128>,
}

impl Core {
    #[inline]
    fn client(&mut self, client: ClientId) -> Option<&mut Client> {
        let client = self.wheel.get_mut(client.0)?;
        (client.state != State::Absent).then_some(client)
    }

    /// Changes what is known of a client, whose weight in the sum may be another by that.
    fn change(&mut self, id: ClientId, change: impl FnOnce(&mut Client)) {
        let Some(client) = self.wheel.get_mut(id.0) else {
            return;
        };
        let before = client.scheduled_weight();
        change(client);
        self.weights = self.weights + client.scheduled_weight() - before;
        self.saved = (u128::from(self.burst) << u64::BITS) / u128::from(self.weights.max(1));
    }

    /// Brings the tag of a client that is not in the order up to date.
    fn settle(&mut self, id: ClientId) {
        let (period, virtual_time, saved) = (self.period, self.virtual_time, self.saved);
        if let Some(client) = self.client(id) {
            client.settle(period, virtual_time, saved);
        }
    }

    /// Puts a ready client, whose tag is up to date, where it belongs.
    fn enqueue(&mut self, id: ClientId) {
        let virtual_time = self.virtual_time;
        let Some(client) = self.client(id) else {
            return;
        };
        if client.is_within_reach(virtual_time) {
            let key = client.key();
            self.wheel.insert(id.0, key);
        } else {
            let tag = client.tag;
            self.outside.insert(id.0, tag);
        }
    }

    fn dequeue(&mut self, id: ClientId) {
        if self.wheel.contains(id.0) {
            self.wheel.remove(id.0);
        } else {
            self.outside.remove(id.0);
        }
    }

    /// The first of those that the wheel does not reach, if it is behind the virtual time: so it is before
    /// all others. If not, those are brought into the wheel that it reaches by now.
    #[cold]
    fn first_behind(&mut self) -> Option<ClientId> {
        let (first, tag) = self.outside.first()?;
        if tag >= self.virtual_time {
            self.gather(tag);
            return None;
        }
        self.outside.pop();
        let client = self.wheel.get_mut(first)?;
        client.state = State::Unpaid;
        client.statistics.decisions += 1;
        self.in_service = first;
        Some(ClientId(first))
    }

    /// Brings those clients into the wheel that it reaches by now, the first of which has this tag. If
    /// the wheel is empty, the virtual time leaps to that, for nobody is ready in between.
    fn gather(&mut self, first: u128) {
        if self.wheel.is_empty() {
            self.virtual_time = self.virtual_time.max(first);
            self.wheel.restart((self.virtual_time >> KEY_SHIFT) as u64);
        }
        while let Some((client, tag)) = self.outside.first()
            && tag - self.virtual_time < WINDOW
        {
            self.outside.pop();
            self.wheel.insert(client, (tag >> KEY_SHIFT) as u64);
        }
    }

    /// Nobody is ready. Unless someone is in service, who may have more to do, the busy period is
    /// over.
    fn end_busy_period(&mut self) {
        let in_service = self.wheel.get(self.in_service);
        if in_service.is_some_and(|client| client.state == State::Unpaid) {
            return;
        }
        let finished = self.wheel.get(self.leader).map_or(0, |client| client.tag);
        if finished > self.virtual_time {
            self.virtual_time = finished;
            self.wheel.restart((finished >> KEY_SHIFT) as u64);
        }
        self.period = self.period.wrapping_add(1);
    }

    /// Makes an idle client ready.
    #[inline(always)]
    fn line_up(&mut self, id: ClientId) {
        let (period, virtual_time, burst) = (self.period, self.virtual_time, self.burst);
        let client = self.wheel.get_mut(id.0);
        match client.and_then(|client| client.line_up(period, virtual_time, burst)) {
            Some(key) => self.wheel.insert(id.0, key),
            None => self.ready_slowly(id),
        }
    }

    /// `client_served` as far as it could not simply be done: what is still to be charged, and
    /// whether the client is still to become ready.
    #[inline(never)]
    fn served_slowly(&mut self, id: ClientId, amount: u64, more: bool) {
        if amount > 0 {
            self.charge_again(id, amount);
        }
        if more {
            self.ready_slowly(id);
        }
    }

    /// `client_ready` for a client that cannot simply be inserted by its tag.
    #[inline(never)]
    fn ready_slowly(&mut self, id: ClientId) {
        let (period, virtual_time, saved) = (self.period, self.virtual_time, self.saved);
        let Some(client) = self.wheel.get_mut(id.0) else {
            return;
        };
        match client.state {
            State::Absent | State::Ready => return,
            State::Unpaid => client.advance(1),
            State::Idle => {}
        }
        client.state = State::Ready;
        client.settle(period, virtual_time, saved);
        self.enqueue(id);
    }

    /// `resource_record` for a client that is not in service, or has been charged since it was
    /// chosen.
    #[inline(never)]
    fn charge_again(&mut self, id: ClientId, amount: u64) {
        let in_service = self.in_service == id.0;
        let Some(client) = self.client(id) else {
            return;
        };
        client.statistics.charged += amount;
        let state = client.state;
        if state == State::Ready {
            self.dequeue(id);
        } else if !in_service {
            self.settle(id);
        }
        if let Some(client) = self.client(id) {
            client.advance(amount);
        }
        if state == State::Ready {
            self.enqueue(id);
        }
    }
}

impl Scheduler for Wfq {
    type Shared = SchedulerParams;
    type Core = Box<Core>;

    fn init(&self, params: &SchedulerParams) -> Self::Shared {
        *params
    }

    fn init_core(shared: &Self::Shared, _core: CoreId) -> Self::Core {
        Box::new(Core {
            wheel: Wheel::new(),
            virtual_time: 0,
            leader: u32::MAX,
            period: 0,
            in_service: u32::MAX,
            metric: shared.metric,
            burst: shared.burst,
            weights: 0,
            saved: 0,
            outside: Heap::new(),
        })
    }

    fn add_client(core: &mut Self::Core, id: ClientId, kind: ClientKind, params: &ClientParams) {
        Self::remove_client(core, id);
        core.wheel.reserve(id.0);
        core.outside.reserve(id.0);
        let schedules = kind == ClientKind::Scheduler;
        core.change(id, |client| {
            *client = Client::new(State::Idle, schedules, params.weight);
        });
    }

    fn update_client(core: &mut Self::Core, id: ClientId, params: &ClientParams) {
        let virtual_time = core.virtual_time;
        let Some(client) = core.client(id) else {
            return;
        };
        let ready = client.state == State::Ready;
        core.change(id, |client| {
            let old = u128::from(mem::replace(&mut client.step, step(params.weight)));
            if let Some(ahead) = client.tag.checked_sub(virtual_time) {
                let new = u128::from(client.step);
                // The amount it is ahead by, rounded down, and the rest; both times `new` / `old`.
                client.tag = virtual_time + ahead / old * new + ahead % old * new / old;
            }
        });
        if ready {
            core.dequeue(id);
            core.settle(id);
            core.enqueue(id);
        }
    }

    fn remove_client(core: &mut Self::Core, id: ClientId) {
        Self::client_suspended(core, id);
        core.change(id, |client| client.state = State::Absent);
    }

    #[inline(always)]
    fn schedule<Q: Queues>(core: &mut Self::Core, _queues: &mut Q, _now: u64) -> Option<ClientId> {
        if !core.outside.is_empty()
            && let Some(chosen) = core.first_behind()
        {
            return Some(chosen);
        }
        let Some((chosen, client)) = core.wheel.pop() else {
            core.end_busy_period();
            return None;
        };
        client.state = State::Unpaid;
        client.statistics.decisions += 1;
        // Those that count as equal come in any order: it may go back by less than that.
        core.virtual_time = client.tag;
        (core.in_service, core.leader) = (chosen, chosen);
        Some(ClientId(chosen))
    }

    #[inline(always)]
    fn client_ready(core: &mut Self::Core, id: ClientId, _head_sent_at: u64, _now: u64) {
        core.line_up(id);
    }

    fn client_suspended(core: &mut Self::Core, id: ClientId) {
        if let Some(client) = core.client(id)
            && client.state == State::Ready
        {
            client.state = State::Idle;
            core.dequeue(id);
        }
    }

    fn is_prompt(_core: &Self::Core) -> bool {
        true
    }

    #[inline]
    fn poll_ready(core: &mut Self::Core, _now: u64) -> Ready {
        if core.wheel.is_empty() && core.outside.is_empty() {
            core.end_busy_period();
            Ready::Never
        } else {
            Ready::Now
        }
    }

    #[inline(always)]
    fn resource_record(core: &mut Self::Core, id: ClientId, record: &Record<'_>, now: u64) {
        Self::client_served(core, id, record, None, now);
    }

    #[inline(always)]
    fn client_served(
        core: &mut Self::Core,
        id: ClientId,
        record: &Record<'_>,
        more_since: Option<u64>,
        _now: u64,
    ) {
        let core = &mut **core;
        let amount = record.amount(core.metric);
        let virtual_time = core.virtual_time;
        let Some(client) = core.wheel.get_mut(id.0) else {
            return;
        };
        if client.state != State::Unpaid || amount == 0 {
            return core.served_slowly(id, amount, more_since.is_some());
        }
        client.statistics.charged += amount;
        client.advance(amount);
        if more_since.is_none() {
            client.state = State::Idle;
        } else if client.is_within_reach(virtual_time) {
            // It is ready as before, in the busy period in which it was chosen.
            client.state = State::Ready;
            let key = client.key();
            core.wheel.insert(id.0, key);
        } else {
            client.state = State::Idle;
            core.ready_slowly(id);
        }
    }

    fn load_share(
        shared: &Self::Shared,
        affinity: AffinityLabel,
        view: &dyn LoadView,
    ) -> CoreBinding {
        load_share::bind(shared, affinity, view)
    }

    fn client_statistics(core: &Self::Core, id: ClientId) -> ClientStatistics {
        core.wheel
            .get(id.0)
            .map_or_else(ClientStatistics::default, |client| client.statistics)
    }
}
