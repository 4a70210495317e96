//! Where requests go: routing by binding, the way to other cores, and this core's queues.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use vortex_queue::{Full, Sender, Wake};

use crate::binding::{Binding, FastMap, Key, Phase, Word};
use crate::envelope::{Envelope, Migration};
use crate::governor::Governor;
use crate::grid::{Grid, Parent, Resource, SchedulerId};
use crate::ids::{ActivityId, CoreId, ResourceId};
use crate::request::{Head, Link, Reason, Request};
use crate::scheduler::ClientKind;
use crate::system::{Platform, System};
use crate::tree::{NodeIndex, Place, ROOT};

use super::CoreState;

/// Dead bindings are looked for when a core knows this many of one resource.
const PURGE_AT: usize = 64;

/// The ways to the other cores.
pub(crate) struct Outboxes<Y: System> {
    senders: Vec<Sender<Envelope<Y>>>,
    /// What did not fit into the inboxes, in order.
    overflow: Vec<VecDeque<Envelope<Y>>>,
    /// Values in all of `overflow`.
    waiting: usize,
}

impl<Y: System> Outboxes<Y> {
    pub(crate) fn new(grid: &Grid<Y>) -> Self {
        Self {
            senders: grid.senders.clone(),
            overflow: core::iter::repeat_with(VecDeque::new)
                .take(grid.cores())
                .collect(),
            waiting: 0,
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Sends `value` in its envelope behind all that was sent to `core` before. False if it has to
    /// wait here.
    #[inline(always)]
    fn push<V>(
        &mut self,
        platform: &Y::Platform,
        core: CoreId,
        value: V,
        envelope: impl Fn(V) -> Envelope<Y>,
    ) -> bool {
        if self.waiting > 0 && !self.overflow[core.index()].is_empty() {
            self.hold(core, envelope(value));
            return false;
        }
        match self.senders[core.index()].push_made(value, &envelope) {
            Ok(Wake::Awake) => true,
            Ok(Wake::WasAsleep) => {
                platform.wake(core);
                true
            }
            Err(Full(value)) => {
                self.hold(core, envelope(value));
                false
            }
        }
    }

    /// Keeps what cannot be sent yet.
    #[cold]
    fn hold(&mut self, core: CoreId, envelope: Envelope<Y>) {
        self.overflow[core.index()].push_back(envelope);
        self.waiting += 1;
    }

    /// Sends what fits now.
    fn flush(&mut self, platform: &Y::Platform) {
        for (overflow, sender) in self.overflow.iter_mut().zip(&self.senders) {
            while let Some(envelope) = overflow.pop_front() {
                match sender.push(envelope) {
                    Ok(Wake::Awake) => self.waiting -= 1,
                    Ok(Wake::WasAsleep) => {
                        self.waiting -= 1;
                        let core = self.senders.iter().position(|s| core::ptr::eq(s, sender));
                        let core = core.and_then(|index| u16::try_from(index).ok());
                        platform.wake(CoreId(core.unwrap_or_default()));
                    }
                    Err(Full(envelope)) => {
                        overflow.push_front(envelope);
                        break;
                    }
                }
            }
        }
    }
}

/// A resource as this core knows it.
pub(crate) struct LocalResource<Y: System> {
    pub(crate) id: ResourceId,
    pub(crate) shared: Arc<Resource<Y>>,
    /// The core, if there is only one.
    sole: Option<CoreId>,
    bindings: FastMap<Key, Arc<Binding>>,
    purge_at: usize,
}

impl<Y: System> LocalResource<Y> {
    fn new(shared: Arc<Resource<Y>>) -> Self {
        let sole = match shared.cores[..] {
            [core] => Some(core),
            _ => None,
        };
        Self {
            id: shared.id,
            shared,
            sole,
            bindings: FastMap::default(),
            purge_at: PURGE_AT,
        }
    }

    /// The labels of an activity will not be used any more.
    pub(crate) fn forget_all_of(&mut self, activity: ActivityId) {
        self.bindings.retain(|key, _| key.0 != activity);
    }

    fn remember(&mut self, key: Key, binding: Arc<Binding>) {
        if self.bindings.len() >= self.purge_at {
            self.bindings
                .retain(|_, binding| binding.word().phase != Phase::Dead);
            self.purge_at = PURGE_AT.max(2 * self.bindings.len());
        }
        self.bindings.insert(key, binding);
    }
}

/// Where a request goes.
enum Route {
    To(CoreId),
    /// Behind older requests that are still on their way to the same core.
    Early(CoreId, Arc<Binding>, u64),
    Nowhere(Reason),
}

impl<Y: System> CoreState<Y> {
    /// Sends a request: into a queue of this core, or on its way to another.
    #[inline(always)]
    pub(crate) fn send(&mut self, request: Request<Y::Message>) {
        let Head {
            destination,
            activity,
            affinity,
            link,
            ..
        } = request.head;
        let (node, elsewhere) = match self.entrances.node_only_here(destination) {
            Some(node) => (node, None),
            None => match self.entrances.node(destination) {
                Some(node) => {
                    self.bound(node, destination, (activity, affinity), link.replies_to())
                }
                None => (NodeIndex::NONE, None),
            },
        };
        if let Some(queue) = self.tree.queue_for(node, &request.head) {
            let now = self.books.mark;
            if queue.append(&self.platform, request, now) {
                self.tree.arm(&self.platform, node, now);
            }
            return;
        }
        // Put together anew, so that on the way above it never has to be in memory as a whole.
        let Request { head, message } = request;
        self.send_away(elsewhere, Request { head, message });
    }

    /// Where a request goes for a resource that has `node` here and other cores, too: to the node, or to
    /// another core; neither, if that has to be found out. What is looked at comes by value, or the
    /// request would have to be in memory for that.
    #[inline(never)]
    fn bound(
        &self,
        node: NodeIndex,
        destination: ResourceId,
        key: Key,
        reply_to: Option<CoreId>,
    ) -> (NodeIndex, Option<CoreId>) {
        match reply_to.or_else(|| self.bound_core(destination, key)) {
            Some(core) if core == self.id => (node, None),
            other => (NodeIndex::NONE, other),
        }
    }

    /// The core to which a label is bound, as far as this core knows, if that is not changing.
    #[inline(always)]
    fn bound_core(&self, destination: ResourceId, key: Key) -> Option<CoreId> {
        let local = self.local(destination)?;
        if local.sole.is_some() {
            return local.sole;
        }
        let word = local.bindings.get(&key)?.word();
        (word.phase == Phase::Bound).then_some(word.core)
    }

    /// Sends a request that leaves this core, to `core` if that is known, or has to find its way, or has
    /// found no room here.
    #[inline(never)]
    fn send_away(&mut self, core: Option<CoreId>, request: Request<Y::Message>) {
        let head = &request.head;
        let sole = || self.local(head.destination)?.sole;
        let core = core.or_else(|| head.link.replies_to()).or_else(sole);
        let Some(core) = core.filter(|core| *core != self.id) else {
            return self.send_by_route(request);
        };
        let envelope = Envelope::Request;
        if !self.outboxes.push(&self.platform, core, request, envelope) {
            self.call_attention();
        }
    }

    #[inline(never)]
    fn send_by_route(&mut self, request: Request<Y::Message>) {
        match self.route(&request.head) {
            Route::To(core) if core == self.id => self.accept(request),
            Route::To(core) => self.push(core, Envelope::Request(request)),
            Route::Early(core, binding, generation) => {
                let early = Migration::Early {
                    request,
                    binding,
                    generation,
                };
                if core == self.id {
                    self.migrate(early);
                } else {
                    self.push(core, Envelope::Migration(early));
                }
            }
            Route::Nowhere(reason) => self.hand_back(request, reason),
        }
    }

    #[inline(never)]
    pub(crate) fn push(&mut self, core: CoreId, envelope: Envelope<Y>) {
        if !self
            .outboxes
            .push(&self.platform, core, envelope, |envelope| envelope)
        {
            self.call_attention();
        }
    }

    pub(crate) fn flush(&mut self) {
        if !self.outboxes.is_empty() {
            self.outboxes.flush(&self.platform);
        }
    }

    fn route(&mut self, head: &Head) -> Route {
        // The party that waits for a reply is on the core that asked.
        if let Some(core) = head.link.replies_to() {
            return Route::To(core);
        }
        if let Err(reason) = self.learn(head.destination) {
            return Route::Nowhere(reason);
        }
        let key = (head.activity, head.affinity);
        match self.bound_core(head.destination, key) {
            Some(core) => Route::To(core),
            None => self.route_by_changing_binding(head.destination, key),
        }
    }

    /// The binding is new to this core, or its owner is changing it.
    #[cold]
    fn route_by_changing_binding(&mut self, resource: ResourceId, key: Key) -> Route {
        loop {
            let Some(local) = self.local_mut(resource) else {
                return Route::Nowhere(Reason::NoResource);
            };
            let Some(binding) = local.bindings.get(&key) else {
                // Not for one that has ended: its labels have been forgotten, or will be.
                if !self.grid.is_live(key.0) {
                    return Route::Nowhere(Reason::NoActivity);
                }
                self.bind(resource, key);
                continue;
            };
            let word = binding.word();
            match word.phase {
                Phase::Bound => return Route::To(word.core),
                Phase::Moving => {
                    return Route::Early(word.core, binding.clone(), word.generation);
                }
                Phase::Retiring => {
                    let generation = word.generation + 1;
                    binding.change(
                        word,
                        Word {
                            phase: Phase::Bound,
                            generation,
                            ..word
                        },
                    );
                }
                Phase::Dead => {
                    local.bindings.remove(&key);
                }
            }
        }
    }

    /// Finds a label's binding, or makes it and tells the core it names.
    fn bind(&mut self, resource: ResourceId, key: Key) {
        let Some(local) = self.local(resource) else {
            return;
        };
        let shared = local.shared.clone();
        let decide = || shared.load_share(&self.platform, key);
        let (binding, is_new) = shared.bindings.find_or_bind(key, decide);
        if let Some(local) = self.local_mut(resource) {
            local.remember(key, binding.clone());
        }
        if !is_new || binding.lifetime_cycles() == u64::MAX {
            return;
        }
        let owner = binding.word().core;
        if owner == self.id {
            self.adopt(resource, key, binding);
        } else {
            let own = Migration::Own {
                resource,
                key,
                binding,
            };
            self.push(owner, Envelope::Migration(own));
        }
    }

    /// Puts a request into its queue on this core, or hands it back.
    #[inline(always)]
    pub(crate) fn accept(&mut self, request: Request<Y::Message>) {
        if let Some(node) = self.entrances.node(request.head.destination)
            && let Some(queue) = self.tree.queue_for(node, &request.head)
        {
            let now = self.books.mark;
            if queue.append(&self.platform, request, now) {
                self.tree.arm(&self.platform, node, now);
            }
            return;
        }
        self.accept_first(request);
    }

    /// Puts a request into a queue that may have to be made; hands it back if that cannot be, or
    /// if the queue is full.
    #[cold]
    fn accept_first(&mut self, request: Request<Y::Message>) {
        let now = self.books.mark;
        let node = match self.make_place(request.head.destination, request.head.activity) {
            Ok(place) => place.node,
            Err(reason) => return self.hand_back(request, reason),
        };
        match self.tree.queue_for(node, &request.head) {
            None => self.hand_back(request, Reason::QueueFull),
            Some(queue) => {
                if queue.append(&self.platform, request, now) {
                    self.tree.arm(&self.platform, node, now);
                }
            }
        }
    }

    /// An activity's queue at a resource, if there is one.
    #[inline(always)]
    pub(crate) fn place(&self, resource: ResourceId, activity: ActivityId) -> Option<Place> {
        let node = self.entrances.node(resource)?;
        self.tree.place(node, activity)
    }

    /// A resource, if this core knows it.
    #[inline(always)]
    pub(crate) fn local(&self, resource: ResourceId) -> Option<&LocalResource<Y>> {
        let local = self.resources.get(resource.index())?.as_ref()?;
        // The place may belong to a successor.
        (local.id == resource).then_some(local)
    }

    pub(crate) fn local_mut(&mut self, resource: ResourceId) -> Option<&mut LocalResource<Y>> {
        let local = self.resources.get_mut(resource.index())?.as_mut()?;
        (local.id == resource).then_some(local)
    }

    /// Makes an activity's queue at a resource.
    #[cold]
    pub(crate) fn make_place(
        &mut self,
        resource: ResourceId,
        activity: ActivityId,
    ) -> Result<Place, Reason> {
        let node = self.node_of(resource)?;
        if let Some(place) = self.tree.place(node, activity) {
            return Ok(place);
        }
        let shared = self.learn(resource)?.shared.clone();
        let (params, home) = self
            .grid
            .client_params(&shared, activity)
            .ok_or(Reason::NoActivity)?;
        let account = shared.account(self.id, activity);
        let kind = ClientKind::Queue { resource, activity };
        let place = self
            .tree
            .add_queue(&self.platform, node, kind, (activity, account), &params);
        self.tree.client(place).home = home;
        if self.grid.is_suspended(activity) {
            self.tree.suspend_client(&self.platform, place);
        }
        Ok(place)
    }

    /// The resource's scheduler on this core.
    fn node_of(&mut self, resource: ResourceId) -> Result<NodeIndex, Reason> {
        if let Some(node) = self.entrances.node(resource) {
            return Ok(node);
        }
        let local = self.learn(resource)?;
        let sole = local.sole;
        let shared = local.shared.clone();
        let ask = shared.instance.ask(self.id).ok_or(Reason::NoCore)?;
        let parent = self.parent(ask.parent)?;
        let policy = shared.instance.policy.read().clone();
        let policy = Governor::start(&self.platform, &policy, self.id);
        let node = self
            .tree
            .add_node(&self.platform, parent, policy, &ask.params);
        self.tree.node(node).is_limited = shared.instance.is_limited;
        self.entrances.open(resource, node, sole == Some(self.id));
        if shared.suspended.load(core::sync::atomic::Ordering::SeqCst) {
            self.tree.suspend_node(&self.platform, node);
        }
        Ok(node)
    }

    /// The node of whom a scheduler asks.
    fn parent(&mut self, parent: Parent) -> Result<NodeIndex, Reason> {
        match parent {
            Parent::Multiplexor => Ok(ROOT),
            Parent::Scheduler(id) => self.node_of_scheduler(id),
        }
    }

    fn node_of_scheduler(&mut self, id: SchedulerId) -> Result<NodeIndex, Reason> {
        let shared = self.grid.scheduler(id).ok_or(Reason::NoCore)?;
        // Nobody begins to ask one that is to go.
        if shared.removal.has_begun() {
            return Err(Reason::NoCore);
        }
        if let Some(node) = self.known_scheduler(id) {
            return Ok(node);
        }
        let ask = shared.instance.ask(self.id).ok_or(Reason::NoCore)?;
        // A scheduler asks only those made before it, so this ends.
        let upper = self.parent(ask.parent)?;
        let policy = Governor::start(&self.platform, &shared.instance.policy.read(), self.id);
        let node = self
            .tree
            .add_node(&self.platform, upper, policy, &ask.params);
        self.tree.node(node).is_limited = shared.instance.is_limited;
        if self.schedulers.len() <= id.index() {
            self.schedulers.resize(id.index() + 1, None);
        }
        self.schedulers[id.index()] = Some((id, node));
        Ok(node)
    }

    /// A scheduler's node, if it has one here.
    pub(crate) fn known_scheduler(&self, id: SchedulerId) -> Option<NodeIndex> {
        let (known, node) = (*self.schedulers.get(id.index())?)?;
        (known == id).then_some(node)
    }

    /// Takes note of a resource.
    pub(crate) fn learn(&mut self, resource: ResourceId) -> Result<&LocalResource<Y>, Reason> {
        if self.local(resource).is_none() {
            let shared = self.grid.resource(resource).ok_or(Reason::NoResource)?;
            // Not one that is being removed: this core may have done its part.
            if shared.is_removed() {
                return Err(Reason::NoResource);
            }
            if self.resources.len() <= resource.index() {
                self.resources.resize_with(resource.index() + 1, || None);
            }
            self.resources[resource.index()] = Some(LocalResource::new(shared));
        }
        match self.local(resource) {
            Some(local) if !local.shared.cores.is_empty() => Ok(local),
            Some(_) => Err(Reason::NoCore),
            None => Err(Reason::NoResource),
        }
    }

    /// Sees to it that a request that is not executed comes back to who waits for it.
    #[cold]
    pub(crate) fn hand_back(&mut self, request: Request<Y::Message>, reason: Reason) {
        if let Some(shared) = self.grid.resource(request.head.destination) {
            shared
                .account(self.id, request.head.activity)
                .returned
                .add(1);
        }
        match request.head.link {
            Link::Call(trigger) if trigger.core != self.id => {
                self.push(trigger.core, Envelope::Returned(request, reason));
            }
            Link::Call(_) | Link::Reply(_) | Link::None => {
                self.returns.push_back((request, reason));
                self.call_attention();
            }
        }
    }
}
