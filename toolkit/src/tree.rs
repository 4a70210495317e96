//! One core's schedulers and queues: a tree with the CPU multiplexor as its root.
//!
//! Inner nodes are schedulers of schedulers, leaves are the schedulers before resources, whose
//! clients are request queues. This module keeps the truth about who has work; policies are told
//! of changes and asked for decisions, and their answers are checked against that truth.
//!
//! Invariants, between two calls:
//! - `node.ready` counts the clients in state `Ready`; those are what the policy was told is ready.
//! - A queue client is `Ready` if and only if it is neither empty nor suspended (nor being served).
//! - A node is `Ready` if and only if its client at its parent is.

mod decide;
mod node;

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

pub(crate) use node::{Client, ClientState, Feed, Node, NodeIndex, NodeState, Queue, ROOT, Work};

use crate::governor::Governor;
use crate::ids::{ActivityId, ClientId};
use crate::request::{Message, Request};
use crate::scheduler::{ClientKind, ClientParams, Ready, Scheduler};
use crate::slab::{Chain, Slab};
use crate::system::Platform;

/// A queue client's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) node: NodeIndex,
    pub(crate) client: ClientId,
}

pub(crate) struct Tree<S: Scheduler, M: Message> {
    pub(crate) nodes: Vec<Node<S>>,
    pub(crate) slab: Slab<Work<M>>,
    vacant: Vec<NodeIndex>,
    /// When delayed nodes are to be asked again. May hold entries that have lost their meaning.
    timers: BinaryHeap<Reverse<(u64, NodeIndex)>>,
    /// Longest time, in cycles, that a policy may let ready clients wait while it chooses nobody.
    patience_cycles: u64,
    /// Policies that have lost their role.
    demotions: u64,
}

impl<S: Scheduler, M: Message> Tree<S, M> {
    pub(crate) fn new(multiplexor: S::Core, patience_cycles: u64) -> Self {
        let mut root = Node::new(multiplexor, None);
        root.state = NodeState::Serving;
        Self {
            nodes: alloc::vec![root],
            slab: Slab::with_capacity(64),
            vacant: Vec::new(),
            timers: BinaryHeap::new(),
            patience_cycles,
            demotions: 0,
        }
    }

    pub(crate) const fn demotions(&self) -> u64 {
        self.demotions
    }

    /// Adds a scheduler as a client of `parent`.
    pub(crate) fn add_node(
        &mut self,
        platform: &impl Platform,
        parent: NodeIndex,
        core: S::Core,
        params: &ClientParams,
    ) -> NodeIndex {
        let index = self.vacant.pop().unwrap_or(NodeIndex(self.nodes.len()));
        let upper = &mut self.nodes[parent.0];
        let client = upper.insert(Client::new(Feed::Scheduler(index), *params));
        upper
            .governor
            .add_client(platform, client, ClientKind::Scheduler, params);
        let node = Node::new(
            core,
            Some(Place {
                node: parent,
                client,
            }),
        );
        if index.0 == self.nodes.len() {
            self.nodes.push(node);
        } else {
            self.nodes[index.0] = node;
        }
        index
    }

    /// Removes a scheduler that has no clients any more.
    pub(crate) fn remove_node(&mut self, platform: &impl Platform, index: NodeIndex) {
        if let Some(parent) = self.nodes[index.0].parent.take() {
            self.vacate(platform, parent);
            self.nodes[index.0].state = NodeState::Suspended;
            self.vacant.push(index);
        }
    }

    /// Adds the queue of `activity` as a client of a resource's scheduler.
    pub(crate) fn add_queue(
        &mut self,
        platform: &impl Platform,
        node: NodeIndex,
        kind: ClientKind,
        queue: Queue,
        params: &ClientParams,
    ) -> Place {
        let leaf = &mut self.nodes[node.0];
        let activity = queue.activity;
        let client = leaf.insert(Client::new(Feed::Queue(queue), *params));
        leaf.by_activity.insert(activity, client);
        leaf.governor.add_client(platform, client, kind, params);
        Place { node, client }
    }

    /// Removes a queue; what was in it is returned, in order.
    pub(crate) fn remove_queue(&mut self, platform: &impl Platform, place: Place) -> Vec<Work<M>> {
        let Some(queue) = self.queue(place) else {
            return Vec::new();
        };
        let activity = queue.activity;
        let mut chain = core::mem::replace(&mut queue.chain, Chain::EMPTY);
        queue.account.queue_length.set(0);
        self.nodes[place.node.0].by_activity.remove(activity);
        self.vacate(platform, place);
        self.slab.extract(&mut chain, |_| true)
    }

    /// All queues of a resource's scheduler.
    pub(crate) fn queues_of(&self, node: NodeIndex) -> Vec<Place> {
        let clients = (0..).map(ClientId).zip(&self.nodes[node.0].clients);
        let queues = clients.filter(|(_, client)| matches!(client.feed, Feed::Queue(_)));
        queues.map(|(client, _)| Place { node, client }).collect()
    }

    /// What is queued at `place`, in order.
    pub(crate) fn works(&self, place: Place) -> impl Iterator<Item = &Work<M>> {
        let client = self.nodes[place.node.0].clients.get(place.client.index());
        let queue = client.and_then(|client| match &client.feed {
            Feed::Queue(queue) => Some(queue),
            Feed::Scheduler(_) | Feed::Nothing => None,
        });
        queue
            .into_iter()
            .flat_map(|queue| self.slab.iter(&queue.chain))
    }

    /// Takes out of a queue, in order, what `wanted` says.
    pub(crate) fn extract(
        &mut self,
        platform: &impl Platform,
        place: Place,
        wanted: impl Fn(&Work<M>) -> bool,
    ) -> Vec<Work<M>> {
        let node = &mut self.nodes[place.node.0];
        let Some(client) = node.clients.get_mut(place.client.index()) else {
            return Vec::new();
        };
        let Feed::Queue(queue) = &mut client.feed else {
            return Vec::new();
        };
        let taken = self.slab.extract(&mut queue.chain, wanted);
        queue.account.queue_length.set(u64::from(queue.chain.len()));
        if queue.chain.is_empty() && client.state == ClientState::Ready {
            client.state = ClientState::Idle;
            node.ready -= 1;
            node.governor.client_suspended(platform, place.client);
            self.disarm(platform, place.node);
        }
        taken
    }

    fn vacate(&mut self, platform: &impl Platform, place: Place) {
        let node = &mut self.nodes[place.node.0];
        node.governor.remove_client(platform, place.client);
        node.remove(place.client);
        self.disarm(platform, place.node);
    }

    /// The queue at `place`, if there is one.
    #[inline]
    pub(crate) fn queue(&mut self, place: Place) -> Option<&mut Queue> {
        match &mut self.nodes[place.node.0]
            .clients
            .get_mut(place.client.index())?
            .feed
        {
            Feed::Queue(queue) => Some(queue),
            Feed::Scheduler(_) | Feed::Nothing => None,
        }
    }

    /// The place of an activity's queue.
    #[inline]
    pub(crate) fn place(&self, node: NodeIndex, activity: ActivityId) -> Option<Place> {
        let client = self.nodes[node.0].by_activity.get(activity)?;
        Some(Place { node, client })
    }

    /// Appends a request; gives it back if the queue is at its limit.
    #[inline]
    pub(crate) fn enqueue(
        &mut self,
        platform: &impl Platform,
        place: Place,
        request: Request<M>,
        now: u64,
    ) -> Result<(), Request<M>> {
        let Some(client) = self.nodes[place.node.0]
            .clients
            .get_mut(place.client.index())
        else {
            return Err(request);
        };
        let Feed::Queue(queue) = &mut client.feed else {
            return Err(request);
        };
        if queue.chain.len() >= client.params.queue_limit {
            return Err(request);
        }
        let sent_at = request.head.sent_at;
        self.slab
            .push_back(&mut queue.chain, Work::Request(request));
        queue.account.queue_length.set(u64::from(queue.chain.len()));
        if client.state == ClientState::Idle {
            self.client_ready(platform, place, sent_at, now);
        }
        Ok(())
    }

    /// Puts work back to the head of its queue.
    pub(crate) fn requeue(
        &mut self,
        platform: &impl Platform,
        place: Place,
        work: Work<M>,
        now: u64,
    ) {
        let mut first = Chain::EMPTY;
        self.slab.push_back(&mut first, work);
        self.requeue_all(platform, place, &mut first, now);
    }

    /// Puts several back to the head of their queue, in their order. The client exists.
    pub(crate) fn requeue_all(
        &mut self,
        platform: &impl Platform,
        place: Place,
        first: &mut Chain,
        now: u64,
    ) {
        let client = &mut self.nodes[place.node.0].clients[place.client.index()];
        let Feed::Queue(queue) = &mut client.feed else {
            return;
        };
        self.slab.prepend(&mut queue.chain, first);
        queue.account.queue_length.set(u64::from(queue.chain.len()));
        let has_work = !queue.chain.is_empty();
        if client.state == ClientState::Idle && has_work {
            self.client_ready(platform, place, now, now);
        }
    }

    /// Takes the next work of a queue.
    #[inline]
    pub(crate) fn take(&mut self, place: Place) -> Option<Work<M>> {
        let client = self.nodes[place.node.0]
            .clients
            .get_mut(place.client.index())?;
        let Feed::Queue(queue) = &mut client.feed else {
            return None;
        };
        let work = self.slab.pop_front(&mut queue.chain);
        queue.account.queue_length.set(u64::from(queue.chain.len()));
        work
    }

    #[inline]
    pub(crate) fn client_ready(
        &mut self,
        platform: &impl Platform,
        place: Place,
        sent_at: u64,
        now: u64,
    ) {
        let node = &mut self.nodes[place.node.0];
        node.clients[place.client.index()].state = ClientState::Ready;
        if node.ready == 0 {
            node.waiting_since = now;
        }
        node.ready += 1;
        node.governor
            .client_ready(platform, place.client, sent_at, now);
        if matches!(node.state, NodeState::Idle | NodeState::Delayed) {
            self.arm(platform, place.node, now);
        }
    }

    /// A node that was not ready may have become so: asks its policy and tells its parent.
    pub(crate) fn arm(&mut self, platform: &impl Platform, index: NodeIndex, now: u64) {
        if self.poll(platform, index, now) {
            let node = &mut self.nodes[index.0];
            match node.parent {
                Some(parent) => {
                    node.state = NodeState::Ready;
                    self.client_ready(platform, parent, now, now);
                }
                None => node.state = NodeState::Serving,
            }
        }
    }

    /// Whether a node has a decision now; if only later, sees to it that it is asked again.
    #[inline]
    fn poll(&mut self, platform: &impl Platform, index: NodeIndex, now: u64) -> bool {
        let node = &mut self.nodes[index.0];
        if node.ready == 0 {
            node.state = NodeState::Idle;
            return false;
        }
        match node.governor.poll_ready(platform, now) {
            Ready::Now => true,
            Ready::At(at) if at > now && self.may_delay(index, at) => {
                self.delay(index, at);
                false
            }
            Ready::At(_) | Ready::Never => {
                self.demote(index);
                true
            }
        }
    }

    fn may_delay(&self, index: NodeIndex, at: u64) -> bool {
        at <= self.nodes[index.0]
            .waiting_since
            .saturating_add(self.patience_cycles)
    }

    fn delay(&mut self, index: NodeIndex, at: u64) {
        let node = &mut self.nodes[index.0];
        node.state = NodeState::Delayed;
        // An earlier entry asks again before; it then comes back here.
        if node.timer_at.is_none_or(|earlier| at < earlier) {
            node.timer_at = Some(at);
            self.timers.push(Reverse((at, index)));
        }
    }

    /// Takes a node's role from its policy.
    #[cold]
    fn demote(&mut self, index: NodeIndex) {
        let node = &mut self.nodes[index.0];
        let mut fallback = crate::governor::RoundRobin::default();
        for (number, client) in node.clients.iter().enumerate() {
            if client.state == ClientState::Ready {
                fallback.ready(ClientId(u32::try_from(number).expect("clients are u32")));
            }
        }
        node.governor = Governor::Fallback(fallback);
        self.demotions += 1;
    }

    /// The next time a delayed node is to be asked again.
    #[inline]
    pub(crate) fn next_timer(&self) -> Option<u64> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// Asks the delayed nodes whose time has come.
    pub(crate) fn run_timers(&mut self, platform: &impl Platform, now: u64) {
        while let Some(Reverse((at, index))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            let node = &mut self.nodes[index.0];
            if node.timer_at == Some(at) {
                node.timer_at = None;
            }
            if node.state == NodeState::Delayed {
                self.arm(platform, index, now);
            }
        }
    }

    /// Stops a node from being served.
    pub(crate) fn suspend_node(&mut self, platform: &impl Platform, index: NodeIndex) {
        let node = &mut self.nodes[index.0];
        let was = core::mem::replace(&mut node.state, NodeState::Suspended);
        if let (NodeState::Ready, Some(parent)) = (was, node.parent) {
            let upper = &mut self.nodes[parent.node.0];
            upper.governor.client_suspended(platform, parent.client);
            upper.clients[parent.client.index()].state = ClientState::Idle;
            upper.ready -= 1;
            self.disarm(platform, parent.node);
        }
    }

    /// Undoes [`Self::suspend_node`].
    pub(crate) fn resume_node(&mut self, platform: &impl Platform, index: NodeIndex, now: u64) {
        if self.nodes[index.0].state == NodeState::Suspended {
            self.nodes[index.0].state = NodeState::Idle;
            self.arm(platform, index, now);
        }
    }

    /// Stops a queue from being served; what arrives stays in it.
    pub(crate) fn suspend_client(&mut self, platform: &impl Platform, place: Place) {
        let node = &mut self.nodes[place.node.0];
        let client = &mut node.clients[place.client.index()];
        match core::mem::replace(&mut client.state, ClientState::Suspended) {
            ClientState::Suspended => return,
            ClientState::Ready => node.ready -= 1,
            ClientState::Idle | ClientState::Serving => {}
        }
        node.governor.client_suspended(platform, place.client);
        self.disarm(platform, place.node);
    }

    /// Undoes [`Self::suspend_client`].
    pub(crate) fn resume_client(&mut self, platform: &impl Platform, place: Place, now: u64) {
        let client = &mut self.nodes[place.node.0].clients[place.client.index()];
        if client.state != ClientState::Suspended {
            return;
        }
        client.state = ClientState::Idle;
        if let Feed::Queue(queue) = &client.feed
            && let Some(work) = self.slab.front(&queue.chain)
        {
            let sent_at = work.sent_at().unwrap_or(now);
            self.client_ready(platform, place, sent_at, now);
        }
    }

    /// A node may have lost its last ready client: then its parent must not choose it.
    fn disarm(&mut self, platform: &impl Platform, index: NodeIndex) {
        let node = &mut self.nodes[index.0];
        if node.ready > 0 || node.state != NodeState::Ready {
            return;
        }
        node.state = NodeState::Idle;
        if let Some(parent) = node.parent {
            let upper = &mut self.nodes[parent.node.0];
            upper.governor.client_suspended(platform, parent.client);
            upper.clients[parent.client.index()].state = ClientState::Idle;
            upper.ready -= 1;
            self.disarm(platform, parent.node);
        }
    }

    /// Puts a new policy in the place of a node's: its clients move over, none of their requests
    /// is touched. Called between two dispatches.
    pub(crate) fn replace_policy(
        &mut self,
        platform: &impl Platform,
        index: NodeIndex,
        core: S::Core,
        kind_of: impl Fn(ActivityId) -> ClientKind,
        now: u64,
    ) {
        let mut governor = Governor::<S>::Chosen(core);
        let node = &mut self.nodes[index.0];
        for (number, client) in node.clients.iter().enumerate() {
            let id = ClientId(u32::try_from(number).expect("clients are u32"));
            let (kind, sent_at) = match &client.feed {
                Feed::Nothing => continue,
                Feed::Scheduler(_) => (ClientKind::Scheduler, None),
                Feed::Queue(queue) => (
                    kind_of(queue.activity),
                    self.slab.front(&queue.chain).and_then(Work::sent_at),
                ),
            };
            governor.add_client(platform, id, kind, &client.params);
            match client.state {
                ClientState::Ready => {
                    governor.client_ready(platform, id, sent_at.unwrap_or(now), now);
                }
                ClientState::Suspended => governor.client_suspended(platform, id),
                ClientState::Idle | ClientState::Serving => {}
            }
        }
        node.governor = governor;
        node.waiting_since = now;
        match node.state {
            NodeState::Delayed => self.arm(platform, index, now),
            // Told its parent that it is ready; the new policy may think otherwise, which the
            // next decision finds out.
            NodeState::Ready | NodeState::Idle | NodeState::Serving | NodeState::Suspended => {}
        }
    }
}
