//! `priority.strict`: the ready client with the smallest priority number, whatever that costs the
//! others; round-robin among equals.
//!
//! One line for each of the 256 priorities, and one bit for each line that is not empty. Every
//! call takes constant time.
//!
//! # Bound
//! No client is chosen while one with a smaller priority number is ready. Clients of one priority
//! have round-robin's bound among themselves.

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
pub struct Strict;

const PRIORITIES: u32 = 1 << u8::BITS;

#[derive(Clone, Copy)]
struct Client {
    priority: u8,
    statistics: ClientStatistics,
}

/// State of one core.
pub struct Core {
    lines: Lists<PRIORITIES>,
    /// One bit for each line with somebody in it, 64 lines a word.
    occupied: [u64; 4],
    /// `None` for a number that no client has.
    clients: Vec<Option<Client>>,
    metric: Metric,
}

impl Core {
    #[inline]
    fn client(&mut self, client: ClientId) -> Option<&mut Client> {
        self.clients.get_mut(client.index())?.as_mut()
    }

    /// The line to serve.
    #[inline]
    fn first_line(&self) -> Option<u32> {
        let (word, &bits) = (0..).zip(&self.occupied).find(|(_, bits)| **bits != 0)?;
        Some(word * u64::BITS + bits.trailing_zeros())
    }

    #[inline]
    fn enqueue(&mut self, client: ClientId, priority: u8) {
        self.lines.push_back(u32::from(priority), client.0);
        self.occupied[usize::from(priority / 64)] |= 1 << (priority % 64);
    }

    #[inline]
    fn dequeue(&mut self, client: u32) {
        if let Some(line) = self.lines.unlink(client) {
            self.occupied[line as usize / 64] &= !(1 << (line % 64));
        }
    }
}

impl Scheduler for Strict {
    type Shared = SchedulerParams;
    type Core = Box<Core>;

    fn init(&self, params: &SchedulerParams) -> Self::Shared {
        *params
    }

    fn init_core(shared: &Self::Shared, _core: CoreId) -> Self::Core {
        Box::new(Core {
            lines: Lists::new(),
            occupied: [0; 4],
            clients: Vec::new(),
            metric: shared.metric,
        })
    }

    fn add_client(core: &mut Self::Core, id: ClientId, _kind: ClientKind, params: &ClientParams) {
        Self::remove_client(core, id);
        core.lines.reserve(id.0);
        if core.clients.len() <= id.index() {
            core.clients.resize(id.index() + 1, None);
        }
        core.clients[id.index()] = Some(Client {
            priority: params.priority,
            statistics: ClientStatistics::default(),
        });
    }

    fn update_client(core: &mut Self::Core, id: ClientId, params: &ClientParams) {
        let Some(client) = core.client(id) else {
            return;
        };
        if client.priority == params.priority {
            return;
        }
        client.priority = params.priority;
        if core.lines.contains(id.0) {
            core.dequeue(id.0);
            core.enqueue(id, params.priority);
        }
    }

    fn remove_client(core: &mut Self::Core, id: ClientId) {
        Self::client_suspended(core, id);
        if let Some(client) = core.clients.get_mut(id.index()) {
            *client = None;
        }
    }

    #[inline]
    fn schedule<Q: Queues>(core: &mut Self::Core, _queues: &mut Q, _now: u64) -> Option<ClientId> {
        let chosen = core.lines.first(core.first_line()?)?;
        core.dequeue(chosen);
        let chosen = ClientId(chosen);
        core.client(chosen)?.statistics.decisions += 1;
        Some(chosen)
    }

    #[inline]
    fn client_ready(core: &mut Self::Core, id: ClientId, _head_sent_at: u64, _now: u64) {
        if let Some(&mut Client { priority, .. }) = core.client(id)
            && !core.lines.contains(id.0)
        {
            core.enqueue(id, priority);
        }
    }

    fn client_suspended(core: &mut Self::Core, id: ClientId) {
        if core.lines.contains(id.0) {
            core.dequeue(id.0);
        }
    }

    fn is_prompt(_core: &Self::Core) -> bool {
        true
    }

    #[inline]
    fn poll_ready(core: &mut Self::Core, _now: u64) -> Ready {
        match core.first_line() {
            Some(_) => Ready::Now,
            None => Ready::Never,
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
        let client = core.clients.get(id.index()).copied().flatten();
        client.map_or_else(ClientStatistics::default, |client| client.statistics)
    }
}
