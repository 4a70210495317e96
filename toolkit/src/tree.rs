//! One core's schedulers and queues: a tree with the CPU multiplexor as its root.
//!
//! Inner nodes are schedulers of schedulers, leaves are the schedulers before resources, whose
//! clients are request queues. This module keeps the truth about who has work; policies are told
//! of changes and asked for decisions, and their answers are checked against that truth.
//!
//! Invariants, between two calls:
//! - `node.ready` counts the clients in state `Ready`; those are what the policy was told is ready,
//!   and during a service the one that it has chosen.
//! - A queue is `Ready` if and only if it is being served, or neither empty nor suspended.
//! - A node is `Ready` if and only if its client at its parent is.

mod decide;
mod node;
mod ready;

use alloc::collections::BinaryHeap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;

pub(crate) use node::{Client, ClientState, Node, NodeIndex, NodeState, ROOT};

use crate::governor::Governor;
use crate::ids::{ActivityId, ClientId};
use crate::request::{Head, Message, Request};
use crate::scheduler::{ClientKind, ClientParams, Scheduler};
use crate::slab::{Chain, Slab, Slot, Work};
use crate::statistics::Account;
use crate::system::Platform;

/// A client's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) node: NodeIndex,
    pub(crate) client: ClientId,
}

impl Place {
    /// The parent of the root.
    const NOWHERE: Self = Self {
        node: ROOT,
        client: ClientId(u32::MAX),
    };
}

/// A queue that has room.
pub(crate) struct Queue<'a, S: Scheduler, M> {
    node: &'a mut Node<S>,
    client: ClientId,
    slab: &'a mut Slab<M>,
}

impl<S: Scheduler, M: Message> Queue<'_, S, M> {
    /// Appends a request. True if the node may have become ready by that.
    #[inline(always)]
    #[must_use]
    pub(crate) fn append(self, platform: &impl Platform, request: Request<M>, now: u64) -> bool {
        let Some(entry) = self.node.clients.get_mut(self.client.index()) else {
            return false;
        };
        let sent_at = request.head.sent_at;
        self.slab.push_request(&mut entry.chain, request);
        entry.account.queue_length.set(entry.chain.len().into());
        if entry.state != ClientState::Idle {
            return false;
        }
        entry.state = ClientState::Ready;
        self.node.note_ready(platform, self.client, sent_at, now)
    }
}

pub(crate) struct Tree<S: Scheduler, M: Message> {
    pub(crate) nodes: Vec<Node<S>>,
    pub(crate) slab: Slab<M>,
    vacant: Vec<NodeIndex>,
    /// When delayed nodes are to be asked again. May hold entries that have lost their meaning.
    timers: BinaryHeap<Reverse<(u64, NodeIndex)>>,
    /// When the core has to attend to the first of them, or to something that is not the tree's;
    /// `u64::MAX` without any.
    pub(crate) attention_at: u64,
    /// Longest time, in cycles, that a policy may let ready clients wait while it chooses nobody.
    patience_cycles: u64,
    /// Policies that have lost their role.
    demotions: u64,
}

impl<S: Scheduler, M: Message> Tree<S, M> {
    pub(crate) fn new(multiplexor: Governor<S>, patience_cycles: u64) -> Self {
        let mut root = Node::new(multiplexor, Place::NOWHERE);
        root.state = NodeState::Ready;
        Self {
            nodes: alloc::vec![root],
            slab: Slab::with_capacity(64),
            vacant: Vec::new(),
            timers: BinaryHeap::new(),
            attention_at: u64::MAX,
            patience_cycles,
            demotions: 0,
        }
    }

    pub(crate) const fn demotions(&self) -> u64 {
        self.demotions
    }

    #[inline(always)]
    pub(crate) fn node(&mut self, index: NodeIndex) -> &mut Node<S> {
        &mut self.nodes[index.index()]
    }

    #[inline(always)]
    pub(crate) fn client(&mut self, place: Place) -> &mut Client {
        &mut self.nodes[place.node.index()].clients[place.client.index()]
    }

    /// Adds a scheduler as a client of `parent`.
    pub(crate) fn add_node(
        &mut self,
        platform: &impl Platform,
        parent: NodeIndex,
        policy: Governor<S>,
        params: &ClientParams,
    ) -> NodeIndex {
        let next = u32::try_from(self.nodes.len()).expect("schedulers are u32");
        let index = self.vacant.pop().unwrap_or(NodeIndex(next));
        let upper = self.node(parent);
        let client = upper.insert(Client::scheduler(index), params);
        let kind = ClientKind::Scheduler;
        upper.governor.add_client(platform, client, kind, params);
        let place = Place {
            node: parent,
            client,
        };
        let node = Node::new(policy, place);
        if index.0 == next {
            self.nodes.push(node);
        } else {
            *self.node(index) = node;
        }
        index
    }

    /// Removes a scheduler that has no clients any more. It is not the root.
    pub(crate) fn remove_node(&mut self, platform: &impl Platform, index: NodeIndex) {
        let parent = self.node(index).parent;
        self.vacate(platform, parent);
        self.node(index).state = NodeState::Suspended;
        self.vacant.push(index);
    }

    /// Adds the queue of `activity` as a client of a resource's scheduler.
    pub(crate) fn add_queue(
        &mut self,
        platform: &impl Platform,
        index: NodeIndex,
        kind: ClientKind,
        (activity, account): (ActivityId, Arc<Account>),
        params: &ClientParams,
    ) -> Place {
        let node = self.node(index);
        let client = node.insert(Client::queue(activity, account), params);
        node.by_activity.insert(activity, client);
        node.governor.add_client(platform, client, kind, params);
        Place {
            node: index,
            client,
        }
    }

    /// Removes a queue; what was in it is returned, in order.
    pub(crate) fn remove_queue(&mut self, platform: &impl Platform, place: Place) -> Vec<Work<M>> {
        let client = self.client(place);
        let activity = client.activity;
        let mut chain = core::mem::replace(&mut client.chain, Chain::EMPTY);
        client.account.queue_length.set(0);
        self.node(place.node).by_activity.remove(activity);
        self.vacate(platform, place);
        self.slab.extract(&mut chain, |_| true)
    }

    fn vacate(&mut self, platform: &impl Platform, place: Place) {
        let node = self.node(place.node);
        node.governor.remove_client(platform, place.client);
        node.remove(place.client);
        self.disarm(platform, place.node);
    }

    /// The place of an activity's queue.
    #[inline(always)]
    pub(crate) fn place(&self, node: NodeIndex, activity: ActivityId) -> Option<Place> {
        let client = self.nodes[node.index()].by_activity.get(activity)?;
        Some(Place { node, client })
    }

    /// All queues of a resource's scheduler.
    pub(crate) fn queues_of(&mut self, node: NodeIndex) -> Vec<Place> {
        let clients = (0..).map(ClientId).zip(&self.node(node).clients);
        let queues = clients.filter(|(_, client)| client.is_queue());
        queues.map(|(client, _)| Place { node, client }).collect()
    }

    /// What is queued at `place`, in order.
    pub(crate) fn works(&self, place: Place) -> impl Iterator<Item = &Slot<M>> {
        let node = &self.nodes[place.node.index()];
        self.slab.iter(&node.clients[place.client.index()].chain)
    }

    /// Takes out of a queue, in order, what `wanted` says.
    pub(crate) fn extract(
        &mut self,
        platform: &impl Platform,
        place: Place,
        wanted: impl Fn(&Work<M>) -> bool,
    ) -> Vec<Work<M>> {
        let node = &mut self.nodes[place.node.index()];
        let client = &mut node.clients[place.client.index()];
        let taken = self.slab.extract(&mut client.chain, wanted);
        client.account.queue_length.set(client.chain.len().into());
        if client.chain.is_empty() && client.state == ClientState::Ready {
            self.withdraw(platform, place);
        }
        taken
    }

    /// The queue of a request's activity at a resource's scheduler, if there is one that can take
    /// the request.
    #[inline(always)]
    pub(crate) fn queue_for(&mut self, node: NodeIndex, head: &Head) -> Option<Queue<'_, S, M>> {
        let node = self.nodes.get_mut(node.index())?;
        let client = node.by_activity.find(head.activity)?;
        let entry = node.clients.get(client.index())?;
        // A reply was admitted with the request that it answers.
        if entry.chain.len() >= entry.limit && !head.is_reply() {
            return None;
        }
        let slab = &mut self.slab;
        Some(Queue { node, client, slab })
    }

    /// Puts work at the end of its queue.
    pub(crate) fn append(
        &mut self,
        platform: &impl Platform,
        place: Place,
        work: Work<M>,
        now: u64,
    ) {
        let client = &mut self.nodes[place.node.index()].clients[place.client.index()];
        self.slab.push_back(&mut client.chain, work);
        client.account.queue_length.set(client.chain.len().into());
        if client.state == ClientState::Idle {
            self.client_ready(platform, place, now, now);
        }
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

    /// Puts several back to the head of their queue, in their order.
    pub(crate) fn requeue_all(
        &mut self,
        platform: &impl Platform,
        place: Place,
        first: &mut Chain,
        now: u64,
    ) {
        let client = &mut self.nodes[place.node.index()].clients[place.client.index()];
        self.slab.prepend(&mut client.chain, first);
        client.account.queue_length.set(client.chain.len().into());
        if client.state == ClientState::Idle && !client.chain.is_empty() {
            self.client_ready(platform, place, now, now);
        }
    }

    /// Takes the next work of a queue.
    pub(crate) fn take(&mut self, place: Place) -> Option<Work<M>> {
        let client = &mut self.nodes[place.node.index()].clients[place.client.index()];
        let work = self.slab.pop_front(&mut client.chain);
        client.account.queue_length.set(client.chain.len().into());
        work
    }

    /// Puts a new policy in the place of a node's: its clients move over, none of their requests
    /// is touched. Called between two dispatches.
    pub(crate) fn replace_policy(
        &mut self,
        platform: &impl Platform,
        index: NodeIndex,
        mut governor: Governor<S>,
        kind_of: impl Fn(ActivityId) -> ClientKind,
        now: u64,
    ) {
        let node = &mut self.nodes[index.index()];
        for ((client, params), number) in node.clients.iter().zip(&node.params).zip(0..) {
            let id = ClientId(number);
            let (kind, sent_at) = match client.child {
                Some(_) => (ClientKind::Scheduler, None),
                None => (
                    kind_of(client.activity),
                    self.slab
                        .front(&client.chain)
                        .and_then(Slot::head)
                        .map(|head| head.sent_at),
                ),
            };
            if client.state != ClientState::Vacant {
                governor.add_client(platform, id, kind, params);
            }
            match client.state {
                ClientState::Ready => {
                    governor.client_ready(platform, id, sent_at.unwrap_or(now), now);
                }
                ClientState::Suspended => governor.client_suspended(platform, id),
                ClientState::Idle | ClientState::Vacant => {}
            }
        }
        node.governor = governor;
        node.declining_since = None;
        // A node that is ready stays so for its parent; the next decision finds out what the new
        // policy thinks of it.
        if node.state == NodeState::Delayed {
            self.arm(platform, index, now);
        }
    }
}
