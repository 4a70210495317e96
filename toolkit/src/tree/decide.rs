//! The two scheduling decisions and what follows an execution: the hot path of a [`Tree`].

use alloc::vec::Vec;

use crate::ids::ClientId;
use crate::record::Record;
use crate::request::Message;
use crate::scheduler::{Immovable, Queues, Ready, RequestView, Scheduler};
use crate::slab::Slab;
use crate::system::Platform;

use super::{Client, ClientState, NodeIndex, NodeState, Place, ROOT, Tree, Work};

impl<S: Scheduler, M: Message> Tree<S, M> {
    /// From the multiplexor down to a queue: who is served next. `None` if nobody is ready now.
    ///
    /// The chosen nodes and the client are `Serving` until [`Self::finish`].
    #[inline(always)]
    pub(crate) fn choose(&mut self, platform: &impl Platform, now: u64) -> Option<Place> {
        if self.node(ROOT).state != NodeState::Serving {
            return None;
        }
        let mut index = ROOT;
        loop {
            let Some((client, child)) = self.decide(platform, index, now) else {
                self.give_up(platform, index, now)?;
                index = ROOT;
                continue;
            };
            let Some(child) = child else {
                return Some(Place {
                    node: index,
                    client,
                });
            };
            self.node(child).state = NodeState::Serving;
            index = child;
        }
    }

    /// One scheduler's decision, checked: a client, and the scheduler that it is, if it is one.
    #[inline(always)]
    fn decide(
        &mut self,
        platform: &impl Platform,
        index: NodeIndex,
        now: u64,
    ) -> Option<(ClientId, Option<NodeIndex>)> {
        let node = &mut self.nodes[index.index()];
        if node.ready == 0 {
            return None;
        }
        let mut queues = View {
            clients: &mut node.clients,
            slab: &mut self.slab,
        };
        let choice = node.governor.schedule(platform, &mut queues, now);
        if let Some(client) = choice
            && let Some(entry) = node.clients.get_mut(client.index())
            && entry.state == ClientState::Ready
        {
            entry.state = ClientState::Serving;
            node.ready -= 1;
            node.waiting_since = now;
            return Some((client, entry.child));
        }
        self.object(platform, index, choice, now)
    }

    /// A decision that cannot be followed: a delay that is within bounds, or the end of the
    /// policy's role.
    #[cold]
    fn object(
        &mut self,
        platform: &impl Platform,
        index: NodeIndex,
        choice: Option<ClientId>,
        now: u64,
    ) -> Option<(ClientId, Option<NodeIndex>)> {
        if choice.is_none()
            && let Ready::At(at) = self.node(index).governor.poll_ready(platform, now)
            && at > now
            && self.may_delay(index, at)
        {
            self.delay(index, at);
            return None;
        }
        self.demote(index);
        self.decide(platform, index, now)
    }

    /// A chosen node had no decision after all: its ancestors are not being served. `None` if the
    /// node is the root, so that there is nothing else to try.
    #[cold]
    fn give_up(&mut self, platform: &impl Platform, index: NodeIndex, now: u64) -> Option<()> {
        if index == ROOT {
            return None;
        }
        let node = self.node(index);
        if node.state == NodeState::Serving {
            node.state = NodeState::Idle;
        }
        let parent = node.parent;
        self.end_service(platform, parent, None, None, now);
        Some(())
    }

    /// Ends the service of `served`: its path is ready again where there is more to do, and the
    /// schedulers on it learn what was used. The client `charged` pays at the resource's scheduler.
    #[inline(always)]
    pub(crate) fn finish(
        &mut self,
        platform: &impl Platform,
        served: Place,
        charged: ClientId,
        record: &Record<'_>,
        now: u64,
    ) {
        let more_since = self.more_since(served, now);
        self.end_service(platform, served, more_since, Some((record, charged)), now);
    }

    /// As [`Self::finish`], when nothing was there to be executed.
    #[cold]
    pub(crate) fn serve_nothing(&mut self, platform: &impl Platform, served: Place, now: u64) {
        let more_since = self.more_since(served, now);
        self.end_service(platform, served, more_since, None, now);
    }

    /// The client at `place`, and the nodes above it, are not being served any more. The client has
    /// more work since `more_since`, if any.
    #[inline(always)]
    fn end_service(
        &mut self,
        platform: &impl Platform,
        mut place: Place,
        mut more_since: Option<u64>,
        mut consumed: Option<(&Record<'_>, ClientId)>,
        now: u64,
    ) {
        loop {
            let node = &mut self.nodes[place.node.index()];
            if let Some((record, charged)) = consumed {
                node.governor
                    .resource_record(platform, charged, record, now);
            }
            let client = &mut node.clients[place.client.index()];
            if client.state == ClientState::Serving {
                if let Some(since) = more_since {
                    client.state = ClientState::Ready;
                    node.ready += 1;
                    node.governor
                        .client_ready(platform, place.client, since, now);
                } else {
                    client.state = ClientState::Idle;
                }
            }
            if place.node == ROOT {
                return;
            }
            let parent = node.parent;
            let again = node.state == NodeState::Serving && self.poll(platform, place.node, now);
            if again {
                self.node(place.node).state = NodeState::Ready;
            }
            more_since = again.then_some(now);
            consumed = consumed.map(|(record, _)| (record, parent.client));
            place = parent;
        }
    }

    /// Tells the schedulers on the path of `charged` of consumption outside a dispatch.
    pub(crate) fn report(
        &mut self,
        platform: &impl Platform,
        charged: Place,
        record: &Record<'_>,
        now: u64,
    ) {
        let mut place = charged;
        loop {
            let node = self.node(place.node);
            node.governor
                .resource_record(platform, place.client, record, now);
            if place.node == ROOT {
                return;
            }
            place = node.parent;
        }
    }
}

/// The clients' queues as a policy sees them.
struct View<'a, M> {
    clients: &'a mut Vec<Client>,
    slab: &'a mut Slab<Work<M>>,
}

impl<M: Message> Queues for View<'_, M> {
    fn len(&self, client: ClientId) -> usize {
        let client = self.clients.get(client.index());
        client.map_or(0, |client| client.chain.len() as usize)
    }

    fn peek(&self, client: ClientId, position: usize) -> Option<RequestView> {
        let client = self.clients.get(client.index())?;
        match self.slab.iter(&client.chain).nth(position)? {
            Work::Request(request) => Some(request.view()),
            Work::Resume(_) => None,
        }
    }

    fn promote(&mut self, client: ClientId, position: usize) -> Result<(), Immovable> {
        let client = self.clients.get_mut(client.index()).ok_or(Immovable)?;
        let Some(Work::Request(moved)) = self.slab.iter(&client.chain).nth(position) else {
            return Err(Immovable);
        };
        let must_stay_behind = |work: &Work<M>| match work {
            Work::Request(request) => request.head.precedes(&moved.head),
            // What goes on is at the head because it was there first, with its dependants.
            Work::Resume(_) => true,
        };
        let mut before = self.slab.iter(&client.chain).take(position);
        if before.any(must_stay_behind) {
            return Err(Immovable);
        }
        drop(before);
        self.slab.promote(&mut client.chain, position);
        Ok(())
    }
}
