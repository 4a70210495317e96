//! `propshare.wfq`: weighted fair queueing by start-time fair queueing.
//!
//! The algorithm is SFQ (Goyal, Guo, Vin: "A hierarchical CPU scheduler for multimedia operating
//! systems", OSDI 1996; Goyal, Vin, Cheng, SIGCOMM 1996), which needs no cost in advance and stays
//! fair when the capacity varies, as it does for a scheduler below another one.
//!
//! - Each client has a *tag*. When it becomes ready, its tag is raised to the virtual time if it is
//!   behind, so nothing is saved up while idle or suspended.
//! - The ready client with the least tag is served, ties in the order of readiness; the virtual
//!   time is the tag of the client in service.
//! - A record raises the client's tag by amount / weight, whenever it comes. For a client that is
//!   not in service (retrospective attribution) the tag is first raised to the virtual time, and a
//!   waiting client moves back in the order at once.
//! - When nobody is ready and nobody in service, the busy period ends and the virtual time becomes
//!   the greatest tag: what was used while no one else wanted it is not held against anyone.
//! - A decision that has consumed nothing by the time its client is ready again is charged one
//!   unit of the metric, so that no one can hold the resource with requests that cost nothing.
//! - A new weight counts from the next decision: what the client is ahead of the virtual time is
//!   rescaled to it.
//!
//! # Bound
//! For two clients that are both busy throughout an interval, the amounts they are charged in it
//! satisfy |charged_i / w_i − charged_j / w_j| ≤ l_i / w_i + l_j / w_j, where l is the largest
//! amount charged between two decisions for the client.
//!
//! # Numbers
//! Tags are multiples of 2^-24 of an amount per unit of weight. The division's remainder is kept
//! for the client's next charge, so tags never drift: a tag is always within one step below the
//! exact quotient, which is less than one unit of the metric for any weight. Tags have 128 bits: at
//! the least weight, charges of 2^64 each raise them by 2^88, so 2^40 of the largest charges there
//! are fit. The ready clients lie in a [`Wheel`] by the low bits of their tags; one that is further
//! ahead than the wheel reaches waits in a heap until the virtual time has come closer.

use alloc::boxed::Box;
use alloc::vec::Vec;

use vortex_toolkit::ids::{AffinityLabel, ClientId, CoreId};
use vortex_toolkit::record::{Metric, Record};
use vortex_toolkit::scheduler::{
    ClientKind, ClientParams, ClientStatistics, CoreBinding, LoadView, Queues, Ready, Scheduler,
    SchedulerParams, Weight,
};

use crate::heap::Heap;
use crate::load_share;
use crate::wheel::Wheel;

/// Steps of a tag in one unit of the metric at weight 1, as a power of two; the greatest weight
/// must fit, so that a unit moves every tag.
const STEP_BITS: u32 = 24;
const _: () = assert!(Weight::MAX < 1 << STEP_BITS);

/// The policy; see the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wfq;

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Absent,
    /// Nothing to do, or in service and charged for it.
    Idle,
    /// Chosen, and not charged since.
    Unpaid,
    Ready,
}

#[derive(Clone, Default)]
struct Client {
    tag: u128,
    weight: u32,
    /// What the last division left over: a fraction of a step, in units of 1 / weight.
    remainder: u32,
    statistics: ClientStatistics,
    state: State,
}

impl Client {
    /// Raises the tag by `amount` / weight.
    #[inline]
    fn advance(&mut self, amount: u64) {
        let weight = u64::from(self.weight);
        if amount < 1 << (u64::BITS - STEP_BITS - 1) {
            let dividend = (amount << STEP_BITS) + u64::from(self.remainder);
            self.tag += u128::from(dividend / weight);
            self.remainder = (dividend % weight) as u32;
        } else {
            self.advance_far(amount);
        }
    }

    #[cold]
    fn advance_far(&mut self, amount: u64) {
        let weight = u128::from(self.weight);
        let dividend = (u128::from(amount) << STEP_BITS) + u128::from(self.remainder);
        self.tag += dividend / weight;
        self.remainder = (dividend % weight) as u32;
    }
}

/// State of one core.
pub struct Core {
    wheel: Wheel,
    clients: Vec<Client>,
    virtual_time: u128,
    /// The greatest tag of all clients so far.
    greatest: u128,
    /// The client chosen last.
    in_service: u32,
    metric: Metric,
    /// Ready clients whose tags the wheel does not reach.
    far: Heap<u128>,
}

impl Core {
    #[inline]
    fn client(&mut self, client: ClientId) -> Option<&mut Client> {
        self.clients
            .get_mut(client.index())
            .filter(|client| client.state != State::Absent)
    }

    /// Puts a ready client, whose tag is not below the virtual time, where it belongs.
    #[inline]
    fn enqueue(&mut self, client: u32, tag: u128) {
        if tag - self.virtual_time < u128::from(Wheel::WINDOW) {
            self.wheel.insert(client, tag as u64);
        } else {
            self.far.insert(client, tag);
        }
    }

    fn dequeue(&mut self, client: u32) {
        if self.wheel.contains(client) {
            self.wheel.remove(client);
        } else {
            self.far.remove(client);
        }
    }

    /// Brings those clients into the wheel that it reaches by now. If it is empty, the virtual
    /// time leaps to the first of the others, for nobody is ready in between.
    #[cold]
    fn gather(&mut self) {
        if self.wheel.is_empty()
            && let Some((_, tag)) = self.far.first()
        {
            self.leap(tag);
        }
        while let Some((client, tag)) = self.far.first()
            && tag - self.virtual_time < u128::from(Wheel::WINDOW)
        {
            self.far.pop();
            self.wheel.insert(client, tag as u64);
        }
    }

    /// Nobody is ready. Unless someone is in service, who may have more to do, what anyone is ahead
    /// is forgotten.
    #[inline]
    fn end_busy_period(&mut self) {
        let in_service = self.clients.get(self.in_service as usize);
        if in_service.is_none_or(|client| client.state != State::Unpaid) {
            self.leap(self.greatest);
        }
    }

    /// Moves the virtual time forward while the wheel is empty.
    fn leap(&mut self, to: u128) {
        self.virtual_time = self.virtual_time.max(to);
        self.wheel.restart(self.virtual_time as u64);
    }

    /// A charge for a client that is not in service.
    #[cold]
    fn charge_retrospectively(&mut self, id: ClientId, amount: u64) {
        let virtual_time = self.virtual_time;
        let Some(client) = self.client(id) else {
            return;
        };
        client.statistics.charged += amount;
        client.tag = client.tag.max(virtual_time);
        client.advance(amount);
        let tag = client.tag;
        if client.state == State::Ready {
            self.dequeue(id.0);
            self.enqueue(id.0, tag);
        } else {
            client.state = State::Idle;
        }
        self.greatest = self.greatest.max(tag);
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
            clients: Vec::new(),
            virtual_time: 0,
            greatest: 0,
            in_service: u32::MAX,
            metric: shared.metric,
            far: Heap::new(),
        })
    }

    fn add_client(core: &mut Self::Core, id: ClientId, _kind: ClientKind, params: &ClientParams) {
        Self::remove_client(core, id);
        core.wheel.reserve(id.0);
        core.far.reserve(id.0);
        if core.clients.len() <= id.index() {
            core.clients.resize(id.index() + 1, Client::default());
        }
        core.clients[id.index()] = Client {
            weight: params.weight.get(),
            state: State::Idle,
            ..Client::default()
        };
    }

    fn update_client(core: &mut Self::Core, id: ClientId, params: &ClientParams) {
        let virtual_time = core.virtual_time;
        let Some(client) = core.client(id) else {
            return;
        };
        // What it is ahead, in steps at weight 1, so that nothing is lost.
        let ahead = client.tag.checked_sub(virtual_time).map_or(0, |steps| {
            steps * u128::from(client.weight) + u128::from(client.remainder)
        });
        client.weight = params.weight.get();
        let weight = u128::from(client.weight);
        client.tag = virtual_time + ahead / weight;
        client.remainder = (ahead % weight) as u32;
        let (tag, ready) = (client.tag, client.state == State::Ready);
        if ready {
            core.dequeue(id.0);
            core.enqueue(id.0, tag);
        }
    }

    fn remove_client(core: &mut Self::Core, id: ClientId) {
        Self::client_suspended(core, id);
        if let Some(client) = core.client(id) {
            client.state = State::Absent;
        }
    }

    #[inline]
    fn schedule<Q: Queues>(core: &mut Self::Core, _queues: &mut Q, _now: u64) -> Option<ClientId> {
        if !core.far.is_empty() {
            core.gather();
        }
        let Some((chosen, _)) = core.wheel.pop() else {
            core.end_busy_period();
            return None;
        };
        let client = &mut core.clients[chosen as usize];
        client.state = State::Unpaid;
        client.statistics.decisions += 1;
        core.virtual_time = client.tag;
        core.in_service = chosen;
        Some(ClientId(chosen))
    }

    #[inline]
    fn client_ready(core: &mut Self::Core, id: ClientId, _head_sent_at: u64, _now: u64) {
        let virtual_time = core.virtual_time;
        let Some(client) = core.clients.get_mut(id.index()) else {
            return;
        };
        match client.state {
            State::Idle => {}
            State::Unpaid => client.advance(1),
            State::Absent | State::Ready => return,
        }
        client.state = State::Ready;
        client.tag = client.tag.max(virtual_time);
        let tag = client.tag;
        core.enqueue(id.0, tag);
    }

    fn client_suspended(core: &mut Self::Core, id: ClientId) {
        if let Some(client) = core.client(id)
            && client.state == State::Ready
        {
            client.state = State::Idle;
            core.dequeue(id.0);
        }
    }

    #[inline]
    fn poll_ready(core: &mut Self::Core, _now: u64) -> Ready {
        if core.wheel.is_empty() && core.far.is_empty() {
            core.end_busy_period();
            Ready::Never
        } else {
            Ready::Now
        }
    }

    #[inline]
    fn resource_record(core: &mut Self::Core, id: ClientId, record: &Record<'_>, _now: u64) {
        let amount = record.amount(core.metric);
        let in_service = core.in_service == id.0;
        let Some(client) = core.clients.get_mut(id.index()) else {
            return;
        };
        if amount == 0 {
            return;
        }
        match client.state {
            State::Idle | State::Unpaid if in_service => {
                client.state = State::Idle;
                client.statistics.charged += amount;
                client.advance(amount);
                core.greatest = core.greatest.max(client.tag);
            }
            State::Absent => {}
            State::Idle | State::Unpaid | State::Ready => core.charge_retrospectively(id, amount),
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
        core.clients
            .get(id.index())
            .map_or_else(ClientStatistics::default, |client| client.statistics)
    }
}
