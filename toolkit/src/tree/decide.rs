//! The two scheduling decisions and what follows an execution: the hot path of a [`Tree`].

use alloc::vec::Vec;

use crate::ids::ClientId;
use crate::record::Record;
use crate::request::Message;
use crate::scheduler::{Immovable, Queues, Ready, RequestView, Scheduler};
use crate::slab::{Slab, Slot};
use crate::system::Platform;

use super::{Client, ClientState, Node, NodeIndex, NodeState, Place, ROOT, Tree};

/// How a node that was served stands to the scheduler above it.
pub(crate) struct Above {
    /// Which client it is of whom.
    place: Place,
    standing: Standing,
}

/// What a node that was served does next. In the order of the answers of a governor, of which it is
/// made for every request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Its policy has to be asked, or it is not to be served.
    Unclear,
    /// It is ready again, without any question to its policy.
    GoesOn,
    /// It has no ready clients, and is `Idle` or suspended.
    Rests,
}

impl<S: Scheduler, M: Message> Tree<S, M> {
    /// From the multiplexor down to a queue: who is served next. `None` if nobody is ready now.
    /// What is to be done first with the queue chosen is done by `begin`, while it is at hand.
    ///
    /// The chosen nodes and the client stay `Ready` until [`Self::finish`], and nothing is withdrawn
    /// from them before.
    #[inline(always)]
    pub(crate) fn choose<R>(
        &mut self,
        platform: &impl Platform,
        now: u64,
        begin: impl FnOnce(&mut Client, &mut Slab<M>) -> R,
    ) -> Option<(Place, R)> {
        let mut index = ROOT;
        loop {
            let node = &mut self.nodes[index.index()];
            match node.decide(platform, &mut self.slab, now) {
                Ok((client, entry)) => match entry.child {
                    Some(child) => index = child,
                    None => {
                        let begun = begin(entry, &mut self.slab);
                        let node = index;
                        return Some((Place { node, client }, begun));
                    }
                },
                Err(refused) => {
                    if !self.object(platform, index, refused, now) {
                        self.give_up(platform, index, now)?;
                        index = ROOT;
                    }
                }
            }
        }
    }

    /// A decision that cannot be followed: there is none to be had, or a delay is within bounds, or
    /// it is the end of the policy's role. True if the node has to be asked again.
    #[cold]
    fn object(
        &mut self,
        platform: &impl Platform,
        index: NodeIndex,
        refused: Refused,
        now: u64,
    ) -> bool {
        if self.node(index).ready == 0 {
            return false;
        }
        if refused == Refused::Declined
            && let Ready::At(at) = self.node(index).governor.poll_ready(platform, now)
            && self.may_delay(index, at, now)
        {
            self.delay(index, at);
            return false;
        }
        self.demote(index);
        true
    }

    /// A chosen node had no decision after all: its ancestors are not being served. `None` if the
    /// node is the root, so that there is nothing else to try.
    #[cold]
    fn give_up(&mut self, platform: &impl Platform, index: NodeIndex, now: u64) -> Option<()> {
        if index == ROOT {
            return None;
        }
        let above = Above {
            place: self.node(index).parent,
            standing: Standing::Unclear,
        };
        self.finish_above(platform, index, above, None, now);
        Some(())
    }

    /// Ends the service of `served`: what was used is booked, it is ready again if there is more to
    /// do, and its scheduler learns of both. [`Self::finish_above`] has to follow. `None`, and
    /// nothing is done, if the record is of another activity.
    #[inline(always)]
    #[must_use]
    pub(crate) fn finish(
        &mut self,
        platform: &impl Platform,
        served: Place,
        record: &Record<'_>,
        now: u64,
    ) -> Option<Above> {
        let node = &mut self.nodes[served.node.index()];
        let client = &mut node.clients[served.client.index()];
        if client.activity != record.activity {
            return None;
        }
        client.account.book(record);
        // Each in full, for each is simpler than both in one.
        if let Some(since) = client.end_service(&self.slab, now) {
            node.governor
                .client_served(platform, served.client, record, Some(since), now);
        } else {
            node.ready -= 1;
            node.governor
                .client_served(platform, served.client, record, None, now);
        }
        Some(node.above(platform, now))
    }

    /// As [`Self::finish`], if another client of the same scheduler is charged.
    #[cold]
    pub(crate) fn finish_for_another(
        &mut self,
        platform: &impl Platform,
        served: Place,
        charged: ClientId,
        record: &Record<'_>,
        now: u64,
    ) -> Above {
        let node = &mut self.nodes[served.node.index()];
        node.governor
            .resource_record(platform, charged, record, now);
        self.end_service(platform, served, now)
    }

    /// As [`Self::finish`], when nothing was there to be executed.
    #[cold]
    pub(crate) fn serve_nothing(&mut self, platform: &impl Platform, served: Place, now: u64) {
        let above = self.end_service(platform, served, now);
        self.finish_above(platform, served.node, above, None, now);
    }

    fn end_service(&mut self, platform: &impl Platform, served: Place, now: u64) -> Above {
        let node = &mut self.nodes[served.node.index()];
        let client = &mut node.clients[served.client.index()];
        if let Some(since) = client.end_service(&self.slab, now) {
            node.governor
                .client_ready(platform, served.client, since, now);
        } else {
            node.ready -= 1;
        }
        node.above(platform, now)
    }

    /// The node `index` and those above it are not being served any more; their schedulers learn
    /// what was used.
    #[inline(always)]
    pub(crate) fn finish_above(
        &mut self,
        platform: &impl Platform,
        mut index: NodeIndex,
        Above {
            mut place,
            mut standing,
        }: Above,
        record: Option<&Record<'_>>,
        now: u64,
    ) {
        while index != ROOT {
            let again = match standing {
                Standing::GoesOn => true,
                Standing::Rests => false,
                Standing::Unclear => self.rest_or_delay(platform, index, now),
            };
            let Place { node, client } = place;
            index = node;
            let node = &mut self.nodes[index.index()];
            // Each in full, as above.
            if again {
                node.end_child(platform, client, Some(now), record, now);
            } else {
                node.end_child(platform, client, None, record, now);
            }
            if index == ROOT {
                return;
            }
            Above { place, standing } = node.above(platform, now);
        }
    }

    /// A node that was served has no ready clients, or a policy that has to be asked, or is not to
    /// be served. True if it is ready.
    #[cold]
    fn rest_or_delay(&mut self, platform: &impl Platform, index: NodeIndex, now: u64) -> bool {
        self.node(index).state == NodeState::Ready && self.poll(platform, index, now).is_some()
    }

    /// Tells those that `node` asks of consumption during the service of `served`, but for those
    /// that are told of it because they were asked for `served`. Nobody, if `node` is one of these.
    pub(crate) fn report_beside(
        &mut self,
        platform: &impl Platform,
        mut node: NodeIndex,
        served: NodeIndex,
        record: &Record<'_>,
        now: u64,
    ) {
        while !self.is_asked_by(served, node) {
            let place = self.node(node).parent;
            node = place.node;
            self.node(node)
                .governor
                .resource_record(platform, place.client, record, now);
        }
    }

    /// Whether `lower` asks `upper`, directly or not, or is it.
    fn is_asked_by(&mut self, mut lower: NodeIndex, upper: NodeIndex) -> bool {
        while lower != upper && lower != ROOT {
            lower = self.node(lower).parent.node;
        }
        lower == upper
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

/// A decision that cannot be followed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refused {
    /// The policy has chosen nobody.
    Declined,
    /// The policy has chosen someone who is not ready.
    Wrong,
}

impl<S: Scheduler> Node<S> {
    /// One scheduler's decision, checked: a client that is `Ready`. An answer that cannot be followed
    /// is the error.
    #[inline(always)]
    fn decide<M: Message>(
        &mut self,
        platform: &impl Platform,
        slab: &mut Slab<M>,
        now: u64,
    ) -> Result<(ClientId, &mut Client), Refused> {
        let clients = &mut self.clients;
        let mut queues = View { clients, slab };
        let choice = self.governor.schedule(platform, &mut queues, now);
        let Some(id) = choice else {
            return Err(Refused::Declined);
        };
        match self.clients.get_mut(id.index()) {
            Some(client) if client.state == ClientState::Ready => {
                self.declining_since = None;
                Ok((id, client))
            }
            _ => Err(Refused::Wrong),
        }
    }

    /// The scheduler that is `client` is not being served any more; it stays ready if it has been so
    /// since some time.
    #[inline(always)]
    fn end_child(
        &mut self,
        platform: &impl Platform,
        client: ClientId,
        ready_since: Option<u64>,
        record: Option<&Record<'_>>,
        now: u64,
    ) {
        if ready_since.is_none() {
            self.clients[client.index()].state = ClientState::Idle;
            self.ready -= 1;
        }
        if let Some(record) = record {
            self.governor
                .client_served(platform, client, record, ready_since, now);
        } else if let Some(since) = ready_since {
            self.governor.client_ready(platform, client, since, now);
        }
    }

    /// A node is not being served any more. If it has no ready clients, it is told so at once.
    #[inline(always)]
    fn above(&mut self, platform: &impl Platform, now: u64) -> Above {
        let standing = if self.ready == 0 {
            self.rest(platform, now);
            Standing::Rests
        } else if self.governor.is_prompt() {
            Standing::GoesOn
        } else {
            Standing::Unclear
        };
        Above {
            place: self.parent,
            standing,
        }
    }
}

impl Client {
    /// A queue is not being served any more. Says since when it has more to do, if it has: then it
    /// stays ready, of which its scheduler has to be told.
    #[inline(always)]
    fn end_service<M: Message>(&mut self, slab: &Slab<M>, now: u64) -> Option<u64> {
        debug_assert_eq!(self.state, ClientState::Ready);
        let more_since = slab.more_since(&self.chain, now);
        if more_since.is_none() {
            self.state = ClientState::Idle;
        }
        more_since
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
