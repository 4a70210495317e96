//! `propshare.round-robin`: everyone in turn.
//!
//! Ready clients stand in one line; the first is served and, if it has more to do, joins the line
//! at its end, as does whoever becomes ready. Every call takes constant time.
//!
//! # Bound
//! Between two decisions for a client that stays busy, every other client is chosen at most once.
//! So over any interval in which two clients stay busy, the numbers of decisions for them differ by
//! at most one.

use alloc::boxed::Box;
use alloc::vec::Vec;

use vortex_toolkit::ids::{AffinityLabel, ClientId, CoreId};
use vortex_toolkit::record::{Metric, Record};
use vortex_toolkit::scheduler::{
    ClientKind, ClientParams, ClientStatistics, CoreBinding, LoadView, Queues, Ready, Scheduler,
    SchedulerParams,
};

use crate::lists::Lists;
use crate::load_share;

/// The policy; see the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundRobin;

/// The only list.
const LINE: u32 = 0;

/// State of one core.
pub struct Core {
    line: Lists<1>,
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

impl Scheduler for RoundRobin {
    type Shared = SchedulerParams;
    type Core = Box<Core>;

    fn init(&self, params: &SchedulerParams) -> Self::Shared {
        *params
    }

    fn init_core(shared: &Self::Shared, _core: CoreId) -> Self::Core {
        Box::new(Core {
            line: Lists::new(),
            clients: Vec::new(),
            metric: shared.metric,
        })
    }

    fn add_client(core: &mut Self::Core, id: ClientId, _kind: ClientKind, _params: &ClientParams) {
        Self::remove_client(core, id);
        core.line.reserve(id.0);
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
        let chosen = core.line.first(LINE)?;
        core.line.unlink(chosen);
        let chosen = ClientId(chosen);
        core.client(chosen)?.decisions += 1;
        Some(chosen)
    }

    #[inline]
    fn client_ready(core: &mut Self::Core, id: ClientId, _head_sent_at: u64, _now: u64) {
        if core.client(id).is_some() && !core.line.contains(id.0) {
            core.line.push_back(LINE, id.0);
        }
    }

    fn client_suspended(core: &mut Self::Core, id: ClientId) {
        if core.line.contains(id.0) {
            core.line.unlink(id.0);
        }
    }

    fn is_prompt(_core: &Self::Core) -> bool {
        true
    }

    #[inline]
    fn poll_ready(core: &mut Self::Core, _now: u64) -> Ready {
        match core.line.first(LINE) {
            Some(_) => Ready::Now,
            None => Ready::Never,
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
