//! `fifo`: no policy. The client whose head request was sent first is served first, so requests
//! run in the order in which they were sent, whoever pays: the yardstick for the overhead and for
//! the isolation of the others.
//!
//! Times of sending never fall behind what was served last, but for requests from other cores that
//! were under way meanwhile; those count as sent when the last one served was. So a [`Wheel`]
//! orders them in constant time.
//!
//! # Bound
//! A request starts after all that were sent before it, and before all that are sent after it has
//! arrived. Requests sent at the same time start in the order in which their clients became ready.

use alloc::boxed::Box;
use alloc::vec::Vec;

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

/// State of one core.
pub struct Core {
    wheel: Wheel,
    /// When the request served last was sent.
    served: u64,
    /// The clients' accounts; `None` for a number that no client has.
    clients: Vec<Option<ClientStatistics>>,
    metric: Metric,
}

impl Core {
    #[inline]
    fn client(&mut self, client: ClientId) -> Option<&mut ClientStatistics> {
        self.clients.get_mut(client.index())?.as_mut()
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
            clients: Vec::new(),
            metric: shared.metric,
        })
    }

    fn add_client(core: &mut Self::Core, id: ClientId, _kind: ClientKind, _params: &ClientParams) {
        Self::remove_client(core, id);
        core.wheel.reserve(id.0);
        if core.clients.len() <= id.index() {
            core.clients.resize(id.index() + 1, None);
        }
        core.clients[id.index()] = Some(ClientStatistics::default());
    }

    fn update_client(_core: &mut Self::Core, _id: ClientId, _params: &ClientParams) {}

    fn remove_client(core: &mut Self::Core, id: ClientId) {
        Self::client_suspended(core, id);
        if let Some(client) = core.clients.get_mut(id.index()) {
            *client = None;
        }
    }

    #[inline]
    fn schedule<Q: Queues>(core: &mut Self::Core, _queues: &mut Q, _now: u64) -> Option<ClientId> {
        let (chosen, sent_at) = core.wheel.pop()?;
        core.served = sent_at;
        let chosen = ClientId(chosen);
        core.client(chosen)?.decisions += 1;
        Some(chosen)
    }

    #[inline]
    fn client_ready(core: &mut Self::Core, id: ClientId, head_sent_at: u64, _now: u64) {
        if core.client(id).is_none() || core.wheel.contains(id.0) {
            return;
        }
        let latest = core.served.saturating_add(Wheel::WINDOW);
        let sent_at = head_sent_at.clamp(core.served, latest);
        core.wheel.insert(id.0, sent_at);
    }

    fn client_suspended(core: &mut Self::Core, id: ClientId) {
        if core.wheel.contains(id.0) {
            core.wheel.remove(id.0);
        }
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
            client.charged += amount;
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
        client.unwrap_or_default()
    }
}
