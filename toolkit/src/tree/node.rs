//! The parts of a [`Tree`](super::Tree): nodes, their clients, and what is queued.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::activity_map::ActivityMap;
use crate::governor::Governor;
use crate::grid::SchedulerId;
use crate::ids::{ActivityId, ClientId};
use crate::scheduler::{ClientParams, Scheduler};
use crate::slab::Chain;
use crate::statistics::Account;

use super::Place;

/// A scheduler's number on its core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeIndex(pub(crate) u32);

impl NodeIndex {
    /// That of no scheduler.
    pub(crate) const NONE: Self = Self(u32::MAX);

    #[inline]
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The CPU multiplexor.
pub(crate) const ROOT: NodeIndex = NodeIndex(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeState {
    /// Has no ready clients.
    Idle,
    /// Is ready at its parent, or chosen by it; the root mostly is.
    Ready,
    /// Has ready clients but no decision yet.
    Delayed,
    /// Must not be served.
    Suspended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientState {
    /// The number is free.
    Vacant,
    Idle,
    /// Has something to do, or is being served.
    Ready,
    Suspended,
}

/// A client of one scheduler: a request queue, or another scheduler. What is looked at for every
/// request lies in one line of the cache.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Client {
    /// What is queued; always empty for a scheduler.
    pub(crate) chain: Chain,
    pub(crate) state: ClientState,
    /// The scheduler, if it is one.
    pub(crate) child: Option<NodeIndex>,
    /// Requests that may be queued.
    pub(crate) limit: u32,
    /// Waiting requests and tasks.
    pub(crate) waiters: u32,
    /// Those of them that may hold back others.
    pub(crate) holding: u32,
    /// Who pays; the infrastructure for a scheduler.
    pub(crate) activity: ActivityId,
    /// Below whom that one does what it does by itself; see [`Grid::set_home`](crate::Grid::set_home).
    pub(crate) home: Option<SchedulerId>,
    pub(crate) account: Arc<Account>,
}

impl Client {
    pub(crate) fn queue(activity: ActivityId, account: Arc<Account>) -> Self {
        Self {
            chain: Chain::EMPTY,
            state: ClientState::Idle,
            child: None,
            limit: u32::MAX,
            waiters: 0,
            holding: 0,
            activity,
            home: None,
            account,
        }
    }

    pub(crate) fn scheduler(child: NodeIndex) -> Self {
        let account = Arc::new(Account::default());
        Self {
            child: Some(child),
            ..Self::queue(ActivityId::INFRASTRUCTURE, account)
        }
    }

    /// Whether it is a request queue.
    pub(crate) fn is_queue(&self) -> bool {
        self.child.is_none() && self.state != ClientState::Vacant
    }
}

/// One scheduler.
pub(crate) struct Node<S: Scheduler> {
    pub(crate) governor: Governor<S>,
    pub(crate) state: NodeState,
    /// Clients in state `Ready`.
    pub(crate) ready: u32,
    /// The scheduler that this one asks, and its client there. At the root, the root itself.
    pub(crate) parent: Place,
    pub(crate) clients: Vec<Client>,
    pub(crate) params: Vec<ClientParams>,
    vacant: Vec<ClientId>,
    pub(crate) by_activity: ActivityMap,
    /// The policy may choose nobody for as long as it says.
    pub(crate) is_limited: bool,
    /// Since when the policy has chosen nobody although there are ready clients.
    pub(crate) declining_since: Option<u64>,
    /// The earliest entry for this node in the tree's timers.
    pub(crate) timer_at: Option<u64>,
}

impl<S: Scheduler> Node<S> {
    pub(crate) fn new(governor: Governor<S>, parent: Place) -> Self {
        Self {
            governor,
            state: NodeState::Idle,
            ready: 0,
            parent,
            clients: Vec::new(),
            params: Vec::new(),
            vacant: Vec::new(),
            by_activity: ActivityMap::default(),
            is_limited: false,
            declining_since: None,
            timer_at: None,
        }
    }

    pub(crate) fn insert(&mut self, mut client: Client, params: &ClientParams) -> ClientId {
        client.limit = params.queue_limit;
        if let Some(id) = self.vacant.pop() {
            self.clients[id.index()] = client;
            self.params[id.index()] = *params;
            return id;
        }
        let id = ClientId(u32::try_from(self.clients.len()).expect("clients are u32"));
        self.clients.push(client);
        self.params.push(*params);
        id
    }

    pub(crate) const fn has_no_clients(&self) -> bool {
        self.vacant.len() == self.clients.len()
    }

    pub(crate) fn remove(&mut self, id: ClientId) {
        if self.clients[id.index()].state == ClientState::Ready {
            self.less_ready();
        }
        self.clients[id.index()].state = ClientState::Vacant;
        self.vacant.push(id);
    }

    /// A client is ready no longer, although it was not chosen.
    pub(crate) const fn less_ready(&mut self) {
        self.ready -= 1;
        if self.ready == 0 {
            self.declining_since = None;
        }
    }
}
