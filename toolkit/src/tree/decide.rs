//! The two scheduling decisions and what follows an execution: the hot path of a [`Tree`].

use alloc::vec::Vec;

use crate::ids::ClientId;
use crate::record::Record;
use crate::request::Message;
use crate::scheduler::{Immovable, Queues, Ready, RequestView, Scheduler};
use crate::slab::Slab;
use crate::system::Platform;

use super::{Client, ClientState, Feed, NodeIndex, NodeState, Place, ROOT, Tree, Work};

impl<S: Scheduler, M: Message> Tree<S, M> {
    /// From the multiplexor down to a queue: who is served next. `None` if nobody is ready now.
    ///
    /// The chosen nodes and the client are `Serving` until [`Self::finish`].
    #[inline]
    pub(crate) fn choose(&mut self, platform: &impl Platform, now: u64) -> Option<Place> {
        if self.nodes[ROOT.0].state != NodeState::Serving {
            return None;
        }
        let mut index = ROOT;
        loop {
            let Some(client) = self.decide(platform, index, now) else {
                self.give_up(platform, index, now)?;
                index = ROOT;
                continue;
            };
            match self.nodes[index.0].clients[client.index()].feed {
                Feed::Scheduler(child) => {
                    self.nodes[child.0].state = NodeState::Serving;
                    index = child;
                }
                Feed::Queue(_) | Feed::Nothing => {
                    return Some(Place {
                        node: index,
                        client,
                    });
                }
            }
        }
    }

    /// One scheduler's decision, checked.
    #[inline]
    fn decide(&mut self, platform: &impl Platform, index: NodeIndex, now: u64) -> Option<ClientId> {
        let node = &mut self.nodes[index.0];
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
            return Some(client);
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
    ) -> Option<ClientId> {
        if choice.is_none()
            && let Ready::At(at) = self.nodes[index.0].governor.poll_ready(platform, now)
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
        let node = &mut self.nodes[index.0];
        let place = node.parent?;
        if node.state == NodeState::Serving {
            node.state = NodeState::Idle;
        }
        self.hand_back_all(platform, place, None, now);
        Some(())
    }

    /// Ends the service of `served`: its path is ready again where there is more to do, and the
    /// schedulers on it learn what was used. The client `charged` pays at the resource's scheduler.
    #[inline]
    pub(crate) fn finish(
        &mut self,
        platform: &impl Platform,
        served: Place,
        mut charged: ClientId,
        record: &Record<'_>,
        now: u64,
    ) {
        let more_since = self.more_since(served, now);
        let mut next = Some((served, more_since));
        while let Some((place, more_since)) = next {
            let node = &mut self.nodes[place.node.0];
            node.governor
                .resource_record(platform, charged, record, now);
            next = self.hand_back(platform, place, more_since, now);
            if let Some((parent, _)) = next {
                charged = parent.client;
            }
        }
    }

    /// As [`Self::finish`], when nothing was there to be executed.
    #[cold]
    pub(crate) fn serve_nothing(&mut self, platform: &impl Platform, served: Place, now: u64) {
        let more_since = self.more_since(served, now);
        self.hand_back_all(platform, served, more_since, now);
    }

    fn hand_back_all(
        &mut self,
        platform: &impl Platform,
        place: Place,
        more_since: Option<u64>,
        now: u64,
    ) {
        let mut next = Some((place, more_since));
        while let Some((place, more_since)) = next {
            next = self.hand_back(platform, place, more_since, now);
        }
    }

    /// Since when the queue at `place` has work.
    #[inline]
    fn more_since(&self, place: Place, now: u64) -> Option<u64> {
        match &self.nodes[place.node.0].clients[place.client.index()].feed {
            Feed::Queue(queue) => self
                .slab
                .front(&queue.chain)
                .map(|work| work.sent_at().unwrap_or(now)),
            Feed::Scheduler(_) | Feed::Nothing => None,
        }
    }

    /// The client at `place` is not being served any more; it has more work since `more_since`, if
    /// any. Returns the same for the node at its parent.
    #[inline]
    fn hand_back(
        &mut self,
        platform: &impl Platform,
        place: Place,
        more_since: Option<u64>,
        now: u64,
    ) -> Option<(Place, Option<u64>)> {
        let node = &mut self.nodes[place.node.0];
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
        let parent = node.parent?;
        let again = node.state == NodeState::Serving && self.poll(platform, place.node, now);
        if again {
            self.nodes[place.node.0].state = NodeState::Ready;
        }
        Some((parent, again.then_some(now)))
    }

    /// Tells the schedulers on the path of `charged` of consumption outside a dispatch.
    pub(crate) fn report(
        &mut self,
        platform: &impl Platform,
        charged: Place,
        record: &Record<'_>,
        now: u64,
    ) {
        let mut next = Some(charged);
        while let Some(place) = next {
            let node = &mut self.nodes[place.node.0];
            node.governor
                .resource_record(platform, place.client, record, now);
            next = node.parent;
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
        match self.clients.get(client.index()).map(|client| &client.feed) {
            Some(Feed::Queue(queue)) => queue.chain.len() as usize,
            Some(Feed::Scheduler(_) | Feed::Nothing) | None => 0,
        }
    }

    fn peek(&self, client: ClientId, position: usize) -> Option<RequestView> {
        let Feed::Queue(queue) = &self.clients.get(client.index())?.feed else {
            return None;
        };
        match self.slab.iter(&queue.chain).nth(position)? {
            Work::Request(request) => Some(request.view()),
            Work::Resume(_) => None,
        }
    }

    fn promote(&mut self, client: ClientId, position: usize) -> Result<(), Immovable> {
        let entry = self.clients.get_mut(client.index()).ok_or(Immovable)?;
        let Feed::Queue(queue) = &mut entry.feed else {
            return Err(Immovable);
        };
        let Some(Work::Request(moved)) = self.slab.iter(&queue.chain).nth(position) else {
            return Err(Immovable);
        };
        let must_stay_behind = |work: &Work<M>| match work {
            Work::Request(request) => request.head.precedes(&moved.head),
            // What goes on is at the head because it was there first, with its dependants.
            Work::Resume(_) => true,
        };
        if self
            .slab
            .iter(&queue.chain)
            .take(position)
            .any(must_stay_behind)
        {
            return Err(Immovable);
        }
        self.slab.promote(&mut queue.chain, position);
        Ok(())
    }
}
