//! `fifo`: no policy. The client whose head request was sent first is served first, so requests
//! run in the order in which they were sent, whoever pays: the yardstick for the overhead and for
//! the isolation of the others.
//!
//! Times of sending never fall behind what was served last, but for requests from other cores that
//! were under way meanwhile; those count as sent when the last one served was. So a `Wheel`
//! orders them in constant time.
//!
//! # Bound
//! A request starts after all that were sent before it, and before all that are sent after it has
//! arrived. Requests sent at the same time start in the order in which their clients became ready.

use alloc::boxed::Box;

use vortex_toolkit::ids::{AffinityLabel, ClientId, CoreId};
use vortex_toolkit::record::{Metric, Record};
use vortex_toolkit::scheduler::{
    ClientKind, ClientParams, ClientStatistics, CoreBinding, LoadView, Queues, Ready, Scheduler,
    SchedulerParams,
};

use crate::load_share;
use crate::wheel::Wheel;

/// The policy; see the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fifo;

/// How far ahead of the last one a time of sending may be.
const WINDOW: u64 = Wheel::<()>::WINDOW;

#[derive(Clone, Copy, Default)]
struct Client {
    /// When its head request was sent, as far as the order is concerned.
    head_sent_at: u64,
    is_ready: bool,
    statistics: ClientStatistics,
}

/// State of one core.
pub struct Core {
    /// The clients by when their head request was sent; `None` for a number that no
    /// client has.
    wheel: Wheel<Option<Client>>,
    /// When the request served last was sent.
    served: u64,
    metric: Metric,
}

impl Core {
    #[inline]
    fn client(&mut self, client: ClientId) -> Option<&mut Client> {
        self.wheel.get_mut(client.0)?.as_mut()
    }
}

impl Scheduler for Fifo {
    type Shared = SchedulerParams;
    type Core = Box<Core>;

    fn init(&self, params: &SchedulerParams) -> Self::Shared {
        *params
    }

    fn init_core(shared: &Self::Shared, _core: CoreId) -> Self::Core {
        Box::new(Core {
            wheel: Wheel::new(),
            served: 0,
            metric: shared.metric,
        })
    }

    fn add_client(core: &mut Self::Core, id: ClientId, _kind: ClientKind, _params: &ClientParams) {
        Self::remove_client(core, id);
        core.wheel.reserve(id.0);
        if let Some(client) = core.wheel.get_mut(id.0) {
            *client = Some(Client::default());
        }
    }

    fn update_client(_core: &mut Self::Core, _id: ClientId, _params: &ClientParams) {}

    fn remove_client(core: &mut Self::Core, id: ClientId) {
        Self::client_suspended(core, id);
        if let Some(client) = core.wheel.get_mut(id.0) {
            *client = None;
        }
    }

    #[inline]
    fn schedule<Q: Queues>(core: &mut Self::Core, _queues: &mut Q, _now: u64) -> Option<ClientId> {
        let (chosen, client) = core.wheel.pop()?;
        let client = client.as_mut()?;
        client.is_ready = false;
        client.statistics.decisions += 1;
        core.served = client.head_sent_at;
        Some(ClientId(chosen))
    }

    #[inline]
    fn client_ready(core: &mut Self::Core, id: ClientId, head_sent_at: u64, _now: u64) {
        let sent_at = head_sent_at.clamp(core.served, core.served.saturating_add(WINDOW));
        if let Some(client) = core.client(id)
            && !client.is_ready
        {
            client.is_ready = true;
            client.head_sent_at = sent_at;
            core.wheel.insert(id.0, sent_at);
        }
    }

    fn client_suspended(core: &mut Self::Core, id: ClientId) {
        if let Some(client) = core.client(id)
            && client.is_ready
        {
            client.is_ready = false;
            core.wheel.remove(id.0);
        }
    }

    fn is_prompt(_core: &Self::Core) -> bool {
        true
    }

    #[inline]
    fn poll_ready(core: &mut Self::Core, _now: u64) -> Ready {
        if core.wheel.is_empty() {
            Ready::Never
        } else {
            Ready::Now
        }
    }

    #[inline]
    fn resource_record(core: &mut Self::Core, id: ClientId, record: &Record<'_>, _now: u64) {
        let amount = record.amount(core.metric);
        if let Some(client) = core.client(id) {
            client.statistics.charged += amount;
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
        let client = core.wheel.get(id.0).copied().flatten();
        client.map_or_else(ClientStatistics::default, |client| client.statistics)
    }
}
