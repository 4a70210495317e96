//! The two scheduling decisions and what follows an execution: the hot path of a [`Tree`].

use alloc::vec::Vec;

use crate::ids::ClientId;
use crate::record::Record;
use crate::request::Message;
use crate::scheduler::{Immovable, Queues, Ready, RequestView, Scheduler};
use crate::slab::{Slab, Slot};
use crate::system::Platform;

use super::{Client, ClientState, NodeIndex, NodeState, Place, ROOT, Tree};

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
            node.declining_since = None;
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
            && self.may_delay(index, at, now)
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
        self.finish_above(platform, index, None, now);
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
        let node = &mut self.nodes[served.node.index()];
        node.governor
            .resource_record(platform, charged, record, now);
        let client = &mut node.clients[served.client.index()];
        if client.state == ClientState::Serving {
            client.state = ClientState::Idle;
            if let Some(since) = self.slab.more_since(&client.chain, now) {
                client.state = ClientState::Ready;
                node.ready += 1;
                node.governor
                    .client_ready(platform, served.client, since, now);
            }
        }
        self.finish_above(platform, served.node, Some(record), now);
    }

    /// As [`Self::finish`], when nothing was there to be executed.
    #[cold]
    pub(crate) fn serve_nothing(&mut self, platform: &impl Platform, served: Place, now: u64) {
        let more_since = self.more_since(served, now);
        let node = self.node(served.node);
        let client = &mut node.clients[served.client.index()];
        if client.state == ClientState::Serving {
            client.state = ClientState::Idle;
            if let Some(since) = more_since {
                node.again(platform, served.client, since, now);
            }
        }
        self.finish_above(platform, served.node, None, now);
    }

    /// The node `index` and those above it are not being served any more.
    #[inline(always)]
    fn finish_above(
        &mut self,
        platform: &impl Platform,
        mut index: NodeIndex,
        record: Option<&Record<'_>>,
        now: u64,
    ) {
        while index != ROOT {
            let node = &mut self.nodes[index.index()];
            let place = node.parent;
            let again = node.state == NodeState::Serving
                && if node.ready > 0 && node.is_prompt {
                    node.state = NodeState::Ready;
                    true
                } else {
                    self.rest_or_delay(platform, index, now)
                };
            let parent = &mut self.nodes[place.node.index()];
            if let Some(record) = record {
                parent
                    .governor
                    .resource_record(platform, place.client, record, now);
            }
            let client = &mut parent.clients[place.client.index()];
            client.state = ClientState::Idle;
            if again {
                client.state = ClientState::Ready;
                parent.ready += 1;
                parent
                    .governor
                    .client_ready(platform, place.client, now, now);
            }
            index = place.node;
        }
    }

    /// A node that was served has no ready clients, or a policy that has to be asked. True if it is
    /// ready.
    fn rest_or_delay(&mut self, platform: &impl Platform, index: NodeIndex, now: u64) -> bool {
        let again = self.poll(platform, index, now);
        if again {
            self.node(index).state = NodeState::Ready;
        }
        again
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
    slab: &'a mut Slab<M>,
}

impl<M: Message> Queues for View<'_, M> {
    fn len(&self, client: ClientId) -> usize {
        let client = self.clients.get(client.index());
        client.map_or(0, |client| client.chain.len() as usize)
    }

    fn peek(&self, client: ClientId, position: usize) -> Option<RequestView> {
        let client = self.clients.get(client.index())?;
        self.slab.iter(&client.chain).nth(position)?.view()
    }

    fn promote(&mut self, client: ClientId, position: usize) -> Result<(), Immovable> {
        let client = self.clients.get_mut(client.index()).ok_or(Immovable)?;
        let moved = self.slab.iter(&client.chain).nth(position);
        let moved = moved.and_then(Slot::head).ok_or(Immovable)?;
        // What is no request goes on with one, is at the head because it was there first, and may
        // have dependants.
        let must_stay_behind = |slot: &Slot<M>| slot.head().is_none_or(|head| head.precedes(moved));
        if self
            .slab
            .iter(&client.chain)
            .take(position)
            .any(must_stay_behind)
        {
            return Err(Immovable);
        }
        self.slab.promote(&mut client.chain, position);
        Ok(())
    }
}
