//! The parts of a [`Tree`](super::Tree): nodes, their clients, and what is queued.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::activity_map::ActivityMap;
use crate::governor::Governor;
use crate::ids::{ActivityId, ClientId};
use crate::request::Request;
use crate::scheduler::{ClientParams, Scheduler};
use crate::slab::Chain;
use crate::statistics::Account;
use crate::waiting::WaiterId;

use super::Place;

/// A scheduler's number on its core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeIndex(pub(crate) usize);

/// The CPU multiplexor.
pub(crate) const ROOT: NodeIndex = NodeIndex(0);

/// What stands in a queue.
#[derive(Debug)]
pub(crate) enum Work<M> {
    /// A request to be handled.
    Request(Request<M>),
    /// A waiting task or request, to be gone on with.
    Resume(WaiterId),
}

impl<M> Work<M> {
    pub(crate) const fn sent_at(&self) -> Option<u64> {
        match self {
            Self::Request(request) => Some(request.head.sent_at),
            Self::Resume(_) => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeState {
    /// Has no ready clients.
    Idle,
    /// Is ready at its parent.
    Ready,
    /// Has ready clients but no decision yet.
    Delayed,
    /// Chosen by its parent; the root always is.
    Serving,
    /// Must not be served.
    Suspended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientState {
    Idle,
    Ready,
    Serving,
    Suspended,
}

/// The request queue of one activity.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) activity: ActivityId,
    pub(crate) chain: Chain,
    pub(crate) account: Arc<Account>,
    /// Waiting requests and tasks that hold back those that depend on them.
    pub(crate) holding: u32,
}

/// Where a client's work comes from.
#[derive(Debug)]
pub(crate) enum Feed {
    Nothing,
    Queue(Queue),
    Scheduler(NodeIndex),
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) state: ClientState,
    pub(crate) feed: Feed,
    pub(crate) params: ClientParams,
}

impl Client {
    pub(crate) const fn new(feed: Feed, params: ClientParams) -> Self {
        Self {
            state: ClientState::Idle,
            feed,
            params,
        }
    }
}

/// One scheduler.
pub(crate) struct Node<S: Scheduler> {
    pub(crate) governor: Governor<S>,
    /// The scheduler that this one asks, and its client there. `None` at the root.
    pub(crate) parent: Option<Place>,
    pub(crate) state: NodeState,
    pub(crate) clients: Vec<Client>,
    vacant: Vec<ClientId>,
    pub(crate) by_activity: ActivityMap,
    /// Clients in state `Ready`.
    pub(crate) ready: u32,
    /// Since when there are ready clients that nobody was chosen from.
    pub(crate) waiting_since: u64,
    /// The earliest entry for this node in the tree's timers.
    pub(crate) timer_at: Option<u64>,
}

impl<S: Scheduler> Node<S> {
    pub(crate) fn new(core: S::Core, parent: Option<Place>) -> Self {
        Self {
            governor: Governor::Chosen(core),
            parent,
            state: NodeState::Idle,
            clients: Vec::new(),
            vacant: Vec::new(),
            by_activity: ActivityMap::default(),
            ready: 0,
            waiting_since: 0,
            timer_at: None,
        }
    }

    pub(crate) fn insert(&mut self, client: Client) -> ClientId {
        if let Some(id) = self.vacant.pop() {
            self.clients[id.index()] = client;
            return id;
        }
        let id = ClientId(u32::try_from(self.clients.len()).expect("clients are u32"));
        self.clients.push(client);
        id
    }

    pub(crate) fn remove(&mut self, id: ClientId) {
        let client = &mut self.clients[id.index()];
        if client.state == ClientState::Ready {
            self.ready -= 1;
        }
        client.state = ClientState::Idle;
        client.feed = Feed::Nothing;
        self.vacant.push(id);
    }
}
