//! `realtime.edf`: earliest deadline first, with optional reservations.
//!
//! A request's deadline is when it was sent plus its client's `deadline_cycles`. The ready client
//! whose head request has the earliest deadline is served, ties by client number; a request that
//! has started runs to its end (Jeffay, Stanat, Martel: "On non-preemptive scheduling of periodic
//! and sporadic tasks", RTSS 1991).
//!
//! A client with a [`Reservation`] may be charged `budget` in each window of `period_cycles`; the
//! windows follow one another from when the client was first ready. Who has used up the budget is
//! not eligible until the next window begins, even if nobody else is ready. What the last request
//! took beyond the budget is paid out of the next windows; what is left over is not saved up.
//! Requests that had to wait for a new window count as sent when it began (the deadlines of a
//! constant bandwidth server, Abeni and Buttazzo, RTSS 1998): a client that asks for more than its
//! reservation must not win by requests that are late through its own doing.
//!
//! # Bounds
//! Let l be the largest amount charged for one decision, and let the demand of a set of clients be
//! feasible: in any interval of length t, the requests sent and due in it cost at most t. (For
//! clients with period ≤ deadline this is utilisation ≤ 1; Baruah, Mok, Rosier, RTSS 1990.)
//! - **Preemption points.** If requests are split so finely that no request is sent while another
//!   one runs, no deadline of a feasible set is missed.
//! - **Requests that cannot be preempted.** No request of a feasible set is late by more than l,
//!   for it waits at most for one request with a later deadline.
//! - **Reservations.** Over k successive windows a client is charged less than k · budget + l.
//!   Clients without reservation that are feasible together with the reservations (as clients
//!   that cost `budget` every `period_cycles`, and whose deadline is not shorter) are late by at
//!   most l plus the sum of budget + l over all clients with a reservation, whatever those ask for.
//! - **Overload.** The client chosen always has the earliest deadline of those that are eligible.
//!   So a request that is due at d starts before any request sent after d − (the smallest
//!   `deadline_cycles`): nobody waits for ever, but without reservations everyone is late.
//!
//! Every call takes O(log n) steps for n ready clients.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;

use vortex_toolkit::ids::{AffinityLabel, ClientId, CoreId};
use vortex_toolkit::record::{Metric, Record};
use vortex_toolkit::scheduler::{
    ClientKind, ClientParams, ClientStatistics, CoreBinding, LoadView, Queues, Ready, Reservation,
    Scheduler, SchedulerParams,
};

use crate::heap::Heap;
use crate::load_share;

/// The policy; see the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Edf;

/// What a client has taken of its reservation.
#[derive(Clone, Copy)]
struct Window {
    /// When the current window began.
    start: u64,
    /// What was charged in it, and what earlier ones were charged beyond their budget.
    used: u64,
}

#[derive(Clone, Copy)]
struct Client {
    deadline_cycles: u64,
    reservation: Option<Reservation>,
    /// `None` before it was first ready or charged.
    window: Option<Window>,
    /// When its head request was sent.
    head_sent_at: u64,
    /// Requests count as sent no earlier: the start of the window for which it had to wait last.
    not_before: u64,
    statistics: ClientStatistics,
}

impl Client {
    const fn new(params: &ClientParams) -> Self {
        Self {
            deadline_cycles: params.deadline_cycles,
            reservation: params.reservation,
            window: None,
            head_sent_at: 0,
            not_before: 0,
            statistics: ClientStatistics {
                decisions: 0,
                charged: 0,
            },
        }
    }

    #[inline]
    fn deadline(&self) -> u64 {
        let sent_at = self.head_sent_at.max(self.not_before);
        sent_at.saturating_add(self.deadline_cycles)
    }

    /// When the client is eligible again, if its budget is used up.
    #[inline]
    fn throttled_until(&self) -> Option<u64> {
        let (reservation, window) = self.reservation.zip(self.window)?;
        let windows = window.used / reservation.budget.max(1);
        let wait = reservation.period_cycles.max(1).saturating_mul(windows);
        (windows > 0).then(|| window.start.saturating_add(wait))
    }

    /// Begins the first window.
    #[inline]
    fn open_window(&mut self, now: u64) {
        self.window.get_or_insert(Window {
            start: now,
            used: 0,
        });
    }

    /// Goes on to the window of `now`.
    #[inline]
    fn roll(&mut self, now: u64) {
        let Some((reservation, window)) = self.reservation.zip(self.window.as_mut()) else {
            return;
        };
        let period = reservation.period_cycles.max(1);
        let windows = now.saturating_sub(window.start) / period;
        window.start += windows * period;
        let paid = reservation.budget.max(1).saturating_mul(windows);
        window.used = window.used.saturating_sub(paid);
    }

    /// Takes `amount` out of the budget of the window of `now`.
    #[inline]
    fn charge(&mut self, amount: u64, now: u64) {
        self.open_window(now);
        self.roll(now);
        if let Some(window) = &mut self.window {
            window.used = window.used.saturating_add(amount);
        }
    }
}

/// State of one core.
pub struct Core {
    /// Ready and eligible clients by deadline.
    eligible: Heap<u64>,
    /// Ready clients whose budget is used up, by the time at which it no longer is.
    throttled: Heap<u64>,
    /// `None` for a number that no client has.
    clients: Vec<Option<Client>>,
    /// Clients with a reservation.
    reserved: usize,
    metric: Metric,
}

impl Core {
    #[inline]
    fn client(&mut self, client: ClientId) -> Option<&mut Client> {
        self.clients.get_mut(client.index())?.as_mut()
    }

    /// Puts a ready client where it belongs.
    #[inline]
    fn enqueue(&mut self, id: ClientId) {
        let Some(client) = self.client(id) else {
            return;
        };
        let (until, deadline) = (client.throttled_until(), client.deadline());
        match until {
            None => self.eligible.insert(id.0, deadline),
            Some(until) => self.throttled.insert(id.0, until),
        }
    }

    /// Takes a client out of the ready set; says whether it was in it.
    #[inline]
    fn dequeue(&mut self, id: ClientId) -> bool {
        self.eligible.remove(id.0) || self.throttled.remove(id.0)
    }

    /// Makes those eligible whose next window has begun.
    #[inline]
    fn release(&mut self, now: u64) {
        while let Some((id, until)) = self.throttled.first()
            && until <= now
        {
            self.throttled.pop();
            if let Some(client) = self.client(ClientId(id)) {
                client.roll(now);
                client.not_before = until;
            }
            self.enqueue(ClientId(id));
        }
    }
}

impl Scheduler for Edf {
    type Shared = SchedulerParams;
    type Core = Box<Core>;

    fn init(&self, params: &SchedulerParams) -> Self::Shared {
        *params
    }

    fn init_core(shared: &Self::Shared, _core: CoreId) -> Self::Core {
        Box::new(Core {
            eligible: Heap::new(),
            throttled: Heap::new(),
            clients: Vec::new(),
            reserved: 0,
            metric: shared.metric,
        })
    }

    fn add_client(core: &mut Self::Core, id: ClientId, _kind: ClientKind, params: &ClientParams) {
        Self::remove_client(core, id);
        core.eligible.reserve(id.0);
        core.throttled.reserve(id.0);
        if core.clients.len() <= id.index() {
            core.clients.resize(id.index() + 1, None);
        }
        core.clients[id.index()] = Some(Client::new(params));
        core.reserved += usize::from(params.reservation.is_some());
    }

    fn update_client(core: &mut Self::Core, id: ClientId, params: &ClientParams) {
        let Some(client) = core.client(id) else {
            return;
        };
        client.deadline_cycles = params.deadline_cycles;
        let had = mem::replace(&mut client.reservation, params.reservation).is_some();
        core.reserved += usize::from(params.reservation.is_some());
        core.reserved -= usize::from(had);
        if core.dequeue(id) {
            core.enqueue(id);
        }
    }

    fn remove_client(core: &mut Self::Core, id: ClientId) {
        core.dequeue(id);
        if let Some(client) = core.clients.get_mut(id.index())
            && let Some(Client { reservation, .. }) = client.take()
        {
            core.reserved -= usize::from(reservation.is_some());
        }
    }

    #[inline]
    fn schedule<Q: Queues>(core: &mut Self::Core, _queues: &mut Q, now: u64) -> Option<ClientId> {
        core.release(now);
        let (chosen, _) = core.eligible.pop()?;
        let chosen = ClientId(chosen);
        core.client(chosen)?.statistics.decisions += 1;
        Some(chosen)
    }

    #[inline]
    fn client_ready(core: &mut Self::Core, id: ClientId, head_sent_at: u64, now: u64) {
        if core.eligible.contains(id.0) || core.throttled.contains(id.0) {
            return;
        }
        if let Some(client) = core.client(id) {
            client.head_sent_at = head_sent_at;
            client.open_window(now);
            core.enqueue(id);
        }
    }

    fn client_suspended(core: &mut Self::Core, id: ClientId) {
        core.dequeue(id);
    }

    fn is_prompt(core: &Self::Core) -> bool {
        core.reserved == 0
    }

    #[inline]
    fn poll_ready(core: &mut Self::Core, now: u64) -> Ready {
        core.release(now);
        if !core.eligible.is_empty() {
            return Ready::Now;
        }
        core.throttled
            .first()
            .map_or(Ready::Never, |(_, until)| Ready::At(until))
    }

    #[inline]
    fn resource_record(core: &mut Self::Core, id: ClientId, record: &Record<'_>, now: u64) {
        let amount = record.amount(core.metric);
        let Some(client) = core.client(id) else {
            return;
        };
        client.statistics.charged += amount;
        if client.reservation.is_some() {
            client.charge(amount, now);
            if core.dequeue(id) {
                core.enqueue(id);
            }
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
        let client = core.clients.get(id.index()).copied().flatten();
        client.map_or_else(ClientStatistics::default, |client| client.statistics)
    }
}
