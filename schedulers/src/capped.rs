//! `propshare.capped`: weighted fair queueing of at most so much in every period.
//!
//! What an activity's home is if the activity has a `<cpu>` budget. Clients are served as by
//! [`wfq`](crate::wfq); but all cores together serve them only until what they were charged in the
//! current period reaches the instance's limit ([`SchedulerParams::limit`]). Without a limit it is
//! plain weighted fair queueing.
//!
//! # Bound
//! A decision is not cut short: whoever was chosen before the limit was reached uses what it uses.
//! That is held against the following periods. So from any period on, over n periods at most
//! n × limit + (one decision for each core) is served.
//!
//! # Periods
//! Period k is the time from k × length to (k + 1) × length of the platform's counter, on every
//! core. The first one to look at the pool in a new period renews it, by one compare-and-swap; each
//! charge is one locked addition. Only limited instances pay that.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use vortex_toolkit::ids::{AffinityLabel, ClientId, CoreId};
use vortex_toolkit::record::{Metric, Record};
use vortex_toolkit::scheduler::{
    ClientKind, ClientParams, ClientStatistics, CoreBinding, LoadView, Queues, Ready, Reservation,
    Scheduler, SchedulerParams,
};

use crate::load_share;
use crate::wfq::Wfq;

/// The policy; see the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Capped;

/// What all cores may use together.
struct Pool {
    limit: Reservation,
    metric: Metric,
    /// The number of the current period.
    period: AtomicU64,
    /// What has been charged in it, with what is held against it.
    used: AtomicU64,
}

impl Pool {
    fn new(limit: Reservation, metric: Metric) -> Self {
        let limit = Reservation {
            budget: limit.budget.max(1),
            period_cycles: limit.period_cycles.max(1),
        };
        Self {
            limit,
            metric,
            period: AtomicU64::new(0),
            used: AtomicU64::new(0),
        }
    }

    /// Begins the period that `now` is in, unless that has been done. A core whose clock is behind
    /// is still in the last one.
    fn renew(&self, now: u64) {
        let period = now / self.limit.period_cycles;
        let last = self.period.load(Ordering::Relaxed);
        if period <= last {
            return;
        }
        let first =
            self.period
                .compare_exchange(last, period, Ordering::Relaxed, Ordering::Relaxed);
        if first.is_ok() {
            let given = self.limit.budget.saturating_mul(period - last);
            // What others charge meanwhile stays charged.
            let renewed = |used: u64| Some(used.saturating_sub(given));
            let _always = self
                .used
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, renewed);
        }
    }

    fn charge(&self, amount: u64) {
        self.used.fetch_add(amount, Ordering::Relaxed);
    }

    /// When there is something left again, if there is nothing now.
    fn exhausted_until(&self, now: u64) -> Option<u64> {
        self.renew(now);
        let periods = self.used.load(Ordering::Relaxed) / self.limit.budget;
        let current = now / self.limit.period_cycles;
        let begin = |period: u64| period.saturating_mul(self.limit.period_cycles);
        (periods > 0).then(|| begin(current.saturating_add(periods)))
    }
}

/// State that cores share.
pub struct Shared {
    params: SchedulerParams,
    pool: Option<Arc<Pool>>,
}

/// State of one core.
pub struct Core {
    inner: <Wfq as Scheduler>::Core,
    pool: Option<Arc<Pool>>,
}

impl Core {
    fn exhausted_until(&self, now: u64) -> Option<u64> {
        self.pool.as_ref()?.exhausted_until(now)
    }
}

impl Scheduler for Capped {
    type Shared = Shared;
    type Core = Core;

    fn init(&self, params: &SchedulerParams) -> Shared {
        let pool = |limit| Arc::new(Pool::new(limit, params.metric));
        Shared {
            params: *params,
            pool: params.limit.map(pool),
        }
    }

    fn init_core(shared: &Shared, core: CoreId) -> Core {
        Core {
            inner: Wfq::init_core(&shared.params, core),
            pool: shared.pool.clone(),
        }
    }

    fn add_client(core: &mut Core, id: ClientId, kind: ClientKind, params: &ClientParams) {
        Wfq::add_client(&mut core.inner, id, kind, params);
    }

    fn update_client(core: &mut Core, id: ClientId, params: &ClientParams) {
        Wfq::update_client(&mut core.inner, id, params);
    }

    fn remove_client(core: &mut Core, id: ClientId) {
        Wfq::remove_client(&mut core.inner, id);
    }

    fn schedule<Q: Queues>(core: &mut Core, queues: &mut Q, now: u64) -> Option<ClientId> {
        if core.exhausted_until(now).is_some() {
            return None;
        }
        Wfq::schedule(&mut core.inner, queues, now)
    }

    fn client_ready(core: &mut Core, id: ClientId, head_sent_at: u64, now: u64) {
        Wfq::client_ready(&mut core.inner, id, head_sent_at, now);
    }

    fn client_suspended(core: &mut Core, id: ClientId) {
        Wfq::client_suspended(&mut core.inner, id);
    }

    fn poll_ready(core: &mut Core, now: u64) -> Ready {
        match (
            Wfq::poll_ready(&mut core.inner, now),
            core.exhausted_until(now),
        ) {
            (Ready::Now, Some(at)) => Ready::At(at.max(now.saturating_add(1))),
            (ready, _) => ready,
        }
    }

    fn is_prompt(core: &Core) -> bool {
        core.pool.is_none() && Wfq::is_prompt(&core.inner)
    }

    fn resource_record(core: &mut Core, id: ClientId, record: &Record<'_>, now: u64) {
        Self::client_served(core, id, record, None, now);
    }

    fn client_served(
        core: &mut Core,
        id: ClientId,
        record: &Record<'_>,
        more_since: Option<u64>,
        now: u64,
    ) {
        if let Some(pool) = &core.pool {
            pool.charge(record.amount(pool.metric));
        }
        Wfq::client_served(&mut core.inner, id, record, more_since, now);
    }

    fn load_share(shared: &Shared, affinity: AffinityLabel, view: &dyn LoadView) -> CoreBinding {
        load_share::bind(&shared.params, affinity, view)
    }

    fn client_statistics(core: &Core, id: ClientId) -> ClientStatistics {
        Wfq::client_statistics(&core.inner, id)
    }
}
