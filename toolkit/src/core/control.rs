//! Changes to the running system, as one core carries them out.
//!
//! A change is announced to all cores through their inboxes and takes effect between two requests.
//! What is to go is told to each core exactly once; the last one to have followed frees its number
//! (see `crate::grid`).

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use crate::binding::Key;
use crate::envelope::{Control, Envelope, Migration};
use crate::governor::Governor;
use crate::grid::{Asker, SchedulerId};
use crate::ids::{ActivityId, CoreId, ResourceId};
use crate::request::{Link, Reason};
use crate::scheduler::{ClientKind, ClientParams};
use crate::slab::{Chain, Work};
use crate::system::System;
use crate::task::Task;
use crate::tree::{NodeIndex, Place};
use crate::waiting::{Party, Waiter};

use super::CoreState;

impl<Y: System> CoreState<Y> {
    /// Tells all cores of a change. What all of them share is changed at once.
    pub(crate) fn announce(&mut self, control: &Control<Y>) {
        match control {
            Control::SuspendActivity(activity) => self.grid.set_suspended(*activity, true),
            Control::ResumeActivity(activity) => self.grid.set_suspended(*activity, false),
            Control::SetClient(resource, activity, params) => {
                self.grid.set_client(*resource, *activity, *params);
            }
            Control::SetAsk(asker, core, params) => self.grid.set_ask(*asker, *core, *params),
            Control::SuspendResource(resource) => {
                if let Some(shared) = self.grid.resource(*resource) {
                    shared.suspended.store(true, Ordering::SeqCst);
                }
            }
            Control::ResumeResource(resource) => return self.resume_resource(*resource),
            Control::ReplacePolicy(resource, policy) => {
                if let Some(shared) = self.grid.resource(*resource) {
                    *shared.instance.policy.write() = policy.0.clone();
                }
            }
            Control::RemoveClient(..) => {}
            Control::EndActivity(_) | Control::RemoveResource(_) | Control::RemoveScheduler(_) => {
                if !self.begin_removal(control) {
                    return;
                }
            }
        }
        for core in self.all_cores() {
            self.push(core, Envelope::Control(control.clone()));
        }
    }

    /// False if there is nothing to remove, or somebody else has begun.
    fn begin_removal(&self, control: &Control<Y>) -> bool {
        match control {
            Control::EndActivity(activity) => {
                *activity != ActivityId::INFRASTRUCTURE && self.grid.end_activity(*activity)
            }
            Control::RemoveResource(resource) => {
                let shared = self.grid.resource(*resource);
                shared.is_some_and(|shared| shared.removal.begin())
            }
            Control::RemoveScheduler(scheduler) => {
                let shared = self.grid.scheduler(*scheduler);
                shared.is_some_and(|shared| shared.removal.begin())
            }
            _ => false,
        }
    }

    pub(crate) fn all_cores(&self) -> impl Iterator<Item = CoreId> + use<Y> {
        let cores = u16::try_from(self.grid.cores()).unwrap_or(u16::MAX);
        (0..cores).map(CoreId)
    }

    /// Carries out a change on this core.
    pub(crate) fn control(&mut self, control: &Control<Y>) {
        match control {
            Control::SuspendActivity(activity) | Control::ResumeActivity(activity) => {
                self.follow_activity(*activity);
            }
            Control::EndActivity(activity) => self.end_activity(*activity),
            Control::SetClient(resource, activity, params) => {
                self.update_client(*resource, *activity, params);
            }
            Control::RemoveClient(resource, activity) => {
                if let Some(place) = self.place(*resource, *activity) {
                    self.remove_queue(place, Reason::ClientRemoved);
                }
            }
            Control::SuspendResource(resource) | Control::ResumeResource(resource) => {
                self.follow_resource(*resource);
            }
            Control::RemoveResource(resource) => self.remove_resource(*resource),
            Control::RemoveScheduler(scheduler) => {
                self.leaving.push(*scheduler);
                self.let_schedulers_go();
            }
            Control::SetAsk(asker, ..) => self.follow_ask(*asker),
            Control::ReplacePolicy(resource, policy) => {
                let resource = *resource;
                if let Some(node) = self.known_node(resource) {
                    let policy = Governor::start(&self.platform, &policy.0, self.id);
                    let kind = |activity| ClientKind::Queue { resource, activity };
                    let now = self.books.mark;
                    self.tree
                        .replace_policy(&self.platform, node, policy, kind, now);
                }
            }
        }
    }

    // Two cores may suspend and resume at once, and their announcements come in any order. So what
    // counts is the last change of what all cores share, not the announcement.

    /// Suspends or resumes an activity's queues here.
    fn follow_activity(&mut self, activity: ActivityId) {
        let suspended = self.grid.is_suspended(activity);
        self.for_queues_of(activity, |state, place| {
            if suspended {
                state.tree.suspend_client(&state.platform, place);
            } else {
                let now = state.books.mark;
                state.tree.resume_client(&state.platform, place, now);
            }
        });
    }

    /// Suspends or resumes a resource here.
    fn follow_resource(&mut self, resource: ResourceId) {
        let (Some(local), Some(node)) = (self.local(resource), self.known_node(resource)) else {
            return;
        };
        let shared = &local.shared;
        let is_full = shared.full[self.id.index()].load(Ordering::SeqCst);
        if shared.suspended.load(Ordering::SeqCst) {
            self.tree.suspend_node(&self.platform, node);
        } else if !is_full {
            let now = self.books.mark;
            self.tree.resume_node(&self.platform, node, now);
        }
    }

    /// A scheduler's parameters where it asks on this core have changed.
    fn follow_ask(&mut self, asker: Asker) {
        let node = match asker {
            Asker::Resource(resource) => self.known_node(resource),
            Asker::Scheduler(scheduler) => self.known_scheduler(scheduler),
        };
        if let (Some(node), Some(ask)) = (node, self.grid.ask(asker, self.id)) {
            let place = self.tree.node(node).parent;
            self.update_place(place, &ask.params);
        }
    }

    fn known_node(&self, resource: ResourceId) -> Option<NodeIndex> {
        self.entrances.node(resource)
    }

    fn for_queues_of(&mut self, activity: ActivityId, mut change: impl FnMut(&mut Self, Place)) {
        let nodes = self.entrances.nodes();
        let places: Vec<_> = nodes
            .filter_map(|node| self.tree.place(node, activity))
            .collect();
        for place in places {
            change(self, place);
        }
    }

    fn update_client(&mut self, resource: ResourceId, activity: ActivityId, params: &ClientParams) {
        if let Some(place) = self.place(resource, activity) {
            self.update_place(place, params);
        }
    }

    fn update_place(&mut self, place: Place, params: &ClientParams) {
        let node = self.tree.node(place.node);
        node.params[place.client.index()] = *params;
        node.clients[place.client.index()].limit = params.queue_limit;
        node.governor
            .update_client(&self.platform, place.client, params);
    }

    /// Removes a queue; its requests, queued or waiting, are handed back. Its tasks are dropped:
    /// they have begun.
    fn remove_queue(&mut self, place: Place, reason: Reason) {
        for waiter in self.waiting.remove_at(place) {
            let Waiter {
                party,
                mut followers,
                ..
            } = waiter;
            match party {
                Party::Request(request) => self.hand_back(request, reason),
                Party::Task(task) => self.give_up_unread(&task),
                Party::Polled => {}
            }
            self.hand_back_chain(&mut followers, reason);
        }
        let removed = self.tree.remove_queue(&self.platform, place);
        for work in removed {
            if let Work::Request(request) = work {
                self.hand_back(request, reason);
            }
        }
    }

    /// A task has ended: what came back to it, and it has not looked at, goes to the resource.
    pub(crate) fn give_up_unread(&mut self, task: &Task<Y::Message>) {
        for (mut request, reason) in task.port().take_unread() {
            request.head.link = Link::None;
            self.returns.push_back((request, reason));
            self.call_attention();
        }
    }

    fn hand_back_chain(&mut self, chain: &mut Chain, reason: Reason) {
        while let Some(work) = self.tree.slab.pop_front(chain) {
            if let Work::Request(request) = work {
                self.hand_back(request, reason);
            }
        }
    }

    fn end_activity(&mut self, activity: ActivityId) {
        self.for_queues_of(activity, |state, place| {
            state.remove_queue(place, Reason::NoActivity);
        });
        for local in self.resources.iter_mut().flatten() {
            local.forget_all_of(activity);
        }
        self.grid.leave_activity(activity);
    }

    fn remove_resource(&mut self, resource: ResourceId) {
        if let Some(node) = self.known_node(resource) {
            for place in self.tree.queues_of(node) {
                self.remove_queue(place, Reason::NoResource);
            }
            self.tree.remove_node(&self.platform, node);
            self.entrances.close(resource);
        }
        if self.local(resource).is_some() {
            self.resources[resource.index()] = None;
        }
        self.grid.leave_resource(resource);
        self.let_schedulers_go();
    }

    /// Those schedulers go that are to, and that nobody here asks any more.
    fn let_schedulers_go(&mut self) {
        while let Some(position) = self.leaving.iter().position(|id| self.is_unasked(*id)) {
            let id = self.leaving.swap_remove(position);
            if let Some(node) = self.known_scheduler(id) {
                self.tree.remove_node(&self.platform, node);
                self.schedulers[id.index()] = None;
            }
            self.grid.leave_scheduler(id);
        }
    }

    fn is_unasked(&self, id: SchedulerId) -> bool {
        let node = self.known_scheduler(id);
        node.is_none_or(|node| self.tree.nodes[node.index()].has_no_clients())
    }

    /// Says to whoever makes room in a resource that this core waits for it. True if that had been
    /// said already.
    pub(crate) fn flag_rejection(&mut self, resource: ResourceId) -> bool {
        let shared = self.local(resource).map(|local| &local.shared);
        shared.is_none_or(|shared| {
            let full = &shared.full[self.id.index()];
            // Others take the flag away, and only this core puts it there: where it is, it need not be put.
            full.load(Ordering::SeqCst) || full.swap(true, Ordering::SeqCst)
        })
    }

    /// Resumes a resource on every core of its own on which it is suspended.
    pub(crate) fn resume_resource(&mut self, resource: ResourceId) {
        let Ok(local) = self.learn(resource) else {
            return;
        };
        let cores = local.shared.cores.len();
        let everywhere = local.shared.suspended.swap(false, Ordering::SeqCst);
        for number in 0..cores {
            let Some(shared) = self.local(resource).map(|local| &local.shared) else {
                return;
            };
            let core = shared.cores[number];
            let waits = shared.full[core.index()].swap(false, Ordering::SeqCst);
            if waits || everywhere {
                self.push(core, Envelope::Control(Control::ResumeResource(resource)));
            }
        }
    }

    /// Tells the owner of a label that it will not be used any more.
    pub(crate) fn release(&mut self, resource: ResourceId, key: Key) {
        let Some(shared) = self.grid.resource(resource) else {
            return;
        };
        if let Some(binding) = shared.bindings.find(key) {
            let owner = binding.word().core;
            self.push(
                owner,
                Envelope::Migration(Migration::Release { resource, key }),
            );
        }
    }
}
